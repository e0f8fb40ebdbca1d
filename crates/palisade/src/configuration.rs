//! How verbs find and load the server's configuration.
//!
//! What the keys mean is the server crate's knowledge.

use std::path::{Path, PathBuf};

use server::config::{self, Config, ConfigError, Environment};

use crate::failure::Failure;
use crate::output;

/// Finds and loads the configuration: the named file, else the one that the environment or the
/// current folder has.
///
/// # Errors
/// Returns all problems of the file in one failure with the exit code for configurations.
pub(crate) fn load(explicit: Option<&Path>) -> anyhow::Result<Config> {
    let environment: Environment = std::env::vars_os().collect();
    let path = find(explicit, &environment)?;
    read(&path, &environment)
}

/// Likewise, and falls back on what `palisade dev` made in this folder.
///
/// # Errors
/// As for [`load`].
pub(crate) fn load_local(explicit: Option<&Path>) -> anyhow::Result<Config> {
    let made_by_dev = Path::new(DEV_FOLDER).join(FILE_NAME);
    let error = match load(explicit) {
        Err(error) if explicit.is_none() && made_by_dev.is_file() => error,
        other => return other,
    };
    let is_missing = output::failure(&error).is_some_and(|failure| failure.code() == MISSING);
    if is_missing { load(Some(&made_by_dev)) } else { Err(error) }
}

/// Reads a file under an environment.
///
/// # Errors
/// As for [`load`].
pub(crate) fn read(path: &Path, environment: &Environment) -> anyhow::Result<Config> {
    config::load(path, environment).map_err(|problems| failure(&problems).into())
}

fn find(explicit: Option<&Path>, environment: &Environment) -> anyhow::Result<PathBuf> {
    let folder = std::env::current_dir()?;
    config::find(explicit, &folder, environment)
        .map_err(|problem| failure(std::slice::from_ref(&problem)).into())
}

/// Makes one failure of all problems, one a line.
pub(crate) fn failure(problems: &[ConfigError]) -> Failure {
    let code = problems.first().map_or("config_value", |problem| problem.code.as_str());
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::usage(code, lines.join("\n"))
}

/// The code of the error for a configuration that is not there.
const MISSING: &str = "config_missing";
/// What `palisade dev` makes in the current folder.
pub(crate) const DEV_FOLDER: &str = ".palisade";
/// What a configuration is called.
pub(crate) const FILE_NAME: &str = "palisade.yaml";
