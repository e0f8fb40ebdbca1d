//! Finds and reads the configuration file.
//!
//! What the file says is not looked at here.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::{ConfigError, ConfigErrorCode};

/// Returns the configuration file: the explicit one, else the one that `PALISADE_CONFIG` or
/// `GATEWAY_CONFIG_FILE` names, else `palisade.yaml` or `mas.yaml` in the folder.
///
/// # Errors
/// Returns `config_missing` if none of them is there, and says what to do.
pub fn find(
    explicit: Option<&Path>,
    folder: &Path,
    environment: &Environment,
) -> Result<PathBuf, ConfigError> {
    let (path, by) = match (explicit, environment.file()) {
        (Some(path), _) => (path.to_owned(), None),
        (None, Some((variable, path))) => (path, Some(variable)),
        (None, None) => {
            let mut places = NAMES.iter().map(|name| folder.join(name));
            return places.find(|path| path.is_file()).ok_or_else(|| {
                let message = "no palisade.yaml or mas.yaml here; run `palisade dev` to make one, \
                               or name one with --config";
                ConfigError::about(ConfigErrorCode::Missing, folder, message)
            });
        }
    };
    if folder.join(&path).exists() {
        return Ok(path);
    }
    let message = match by {
        Some(variable) => format!("there is no such file; {variable} names it"),
        None => NO_FILE.to_owned(),
    };
    Err(ConfigError::about(ConfigErrorCode::Missing, &path, message))
}

/// Reads a file that is not too large, without its byte order mark.
///
/// # Errors
/// Returns why it cannot be read.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let fail = |code, message: String| ConfigError::about(code, path, message);
    let unreadable = |error: std::io::Error| {
        if error.kind() == ErrorKind::NotFound {
            return fail(ConfigErrorCode::Missing, NO_FILE.to_owned());
        }
        fail(ConfigErrorCode::Unreadable, format!("cannot be read: {error}"))
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BYTES_MAX {
        let message = format!("is larger than {BYTES_MAX} bytes, the most that is read");
        return Err(fail(ConfigErrorCode::TooLarge, message));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let message = format!("is not UTF-8 text, from byte {}", error.utf8_error().valid_up_to());
        fail(ConfigErrorCode::Syntax, message)
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

const NO_FILE: &str = "there is no such file; check its name, or run `palisade dev` to make one";
const NAMES: [&str; 2] = ["palisade.yaml", "mas.yaml"];
/// LIMIT: bytes of a configuration file; one with 5,000 agents has half of it.
const BYTES_MAX: u64 = 1_048_576;
