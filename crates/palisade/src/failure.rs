//! How a verb fails: a stable code, a sentence, and the exit code.
//!
//! Any other error may be returned as it is; it then has the code `failed` and exits with 1.

use std::fmt;
use std::process::ExitCode;

/// Says why a verb could not do its work, so that scripts can tell the cases apart.
#[derive(Debug)]
pub(crate) struct Failure {
    code: String,
    message: String,
    exit: u8,
}

impl Failure {
    /// Makes the error for work that failed.
    pub(crate) fn failed(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { code: code.into(), message: message.to_string(), exit: EXIT_FAILED }
    }

    /// Makes the error for a command line or a configuration that cannot be used.
    pub(crate) fn usage(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { code: code.into(), message: message.to_string(), exit: EXIT_USAGE }
    }

    /// Returns the code that scripts match on.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// Returns the exit code of the process.
    pub(crate) fn exit(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The work failed.
pub(crate) const EXIT_FAILED: u8 = 1;
/// The command line or the configuration cannot be used.
pub(crate) const EXIT_USAGE: u8 = 2;
