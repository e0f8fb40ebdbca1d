//! The configuration as an operator meets it.

use std::path::PathBuf;

use server::config::{self, Config, ConfigError, Environment};
use tempfile::TempDir;

mod check;
mod environment;
mod example;
mod hostile;
mod place;
mod telemetry;

/// A folder with one configuration file.
struct Folder {
    folder: TempDir,
    file: PathBuf,
}

impl Folder {
    fn with(name: &str, text: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Self { folder, file }
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Config, Vec<ConfigError>> {
        config::load(&self.file, &environment.iter().copied().collect::<Environment>())
    }

    /// Loads and returns the errors, with the folder cut off.
    fn errors(&self, environment: &[(&str, &str)]) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let errors = self.load(environment).unwrap_err();
        errors.iter().map(|error| error.to_string().replace(&folder, "")).collect()
    }
}

/// A file that has what is required and then this.
fn with(text: &str) -> Folder {
    Folder::with("palisade.yaml", format!("{TLS}{text}"))
}

/// What is required; two lines.
const TLS: &str = "server:\n  tls: { cert: s.pem, key: s.key, client_ca: ca.pem }\n";
