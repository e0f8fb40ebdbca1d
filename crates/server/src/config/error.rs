//! What can be wrong with a configuration, and where.
//!
//! Never the value that is wrong: a password that stands on the wrong line must not reach a log.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::tree::Origin;

/// Says what kind of problem a [`ConfigError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ConfigErrorCode {
    /// There is no configuration file.
    #[serde(rename = "config_missing")]
    Missing,
    /// The file cannot be read.
    #[serde(rename = "config_unreadable")]
    Unreadable,
    /// The file is larger than the limit.
    #[serde(rename = "config_too_large")]
    TooLarge,
    /// The file is no YAML that is accepted.
    #[serde(rename = "config_syntax")]
    Syntax,
    /// A key is not known.
    #[serde(rename = "config_unknown_key")]
    UnknownKey,
    /// A key is given twice.
    #[serde(rename = "config_duplicate_key")]
    DuplicateKey,
    /// A required key is not given.
    #[serde(rename = "config_missing_key")]
    MissingKey,
    /// A value is not usable.
    #[serde(rename = "config_value")]
    Value,
    /// An environment variable has a name that starts like ours and is none of ours.
    #[serde(rename = "config_unknown_variable")]
    UnknownVariable,
}

impl ConfigErrorCode {
    /// Returns the stable name of the code, such as `config_unknown_key`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "config_missing",
            Self::Unreadable => "config_unreadable",
            Self::TooLarge => "config_too_large",
            Self::Syntax => "config_syntax",
            Self::UnknownKey => "config_unknown_key",
            Self::DuplicateKey => "config_duplicate_key",
            Self::MissingKey => "config_missing_key",
            Self::Value => "config_value",
            Self::UnknownVariable => "config_unknown_variable",
        }
    }
}

/// One problem of a configuration, with its place and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// What kind of problem it is.
    pub code: ConfigErrorCode,
    /// The file that it is in, as it was named.
    pub file: Option<Box<Path>>,
    /// The line in the file, from 1.
    pub line: Option<u32>,
    /// The column in the line, from 1, in characters.
    pub column: Option<u32>,
    /// The environment variable that it is in, instead of a file.
    pub variable: Option<Box<str>>,
    /// The keys that lead there, such as `gateway.rate_limit.per_minute`; empty for the whole.
    pub path: Box<str>,
    /// What is wrong, and what to do where that is known.
    pub message: Box<str>,
    /// What was probably meant.
    pub suggestion: Option<Box<str>>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variable) = &self.variable {
            write!(f, "environment variable {variable}: ")?;
        } else if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean {suggestion}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// Makes an error about a whole file.
    pub(super) fn about(code: ConfigErrorCode, file: &Path, message: impl Into<Box<str>>) -> Self {
        Self {
            code,
            file: Some(file.into()),
            line: None,
            column: None,
            variable: None,
            path: Box::default(),
            message: message.into(),
            suggestion: None,
        }
    }
}

/// Collects the problems of one file, so that all of them can be mended at once.
pub(super) struct Report {
    file: PathBuf,
    errors: Vec<ConfigError>,
}

impl Report {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), errors: Vec::new() }
    }

    /// Adds a problem.
    pub(super) fn add(
        &mut self,
        code: ConfigErrorCode,
        at: &Origin,
        path: &str,
        message: impl Into<String>,
    ) {
        self.suggest(code, at, (path, message.into()), None);
    }

    /// Adds a problem with what was probably meant.
    pub(super) fn suggest(
        &mut self,
        code: ConfigErrorCode,
        at: &Origin,
        (path, message): (&str, String),
        suggestion: Option<String>,
    ) {
        // LIMIT: problems that are listed; nobody reads more, and a hostile file has many.
        if self.errors.len() >= ERRORS_MAX {
            return;
        }
        let (path, suggestion) = (path.into(), suggestion.map(Into::into));
        let mut error =
            ConfigError { path, suggestion, ..ConfigError::about(code, &self.file, message) };
        match at {
            Origin::File { line, column } => {
                error.line = Some(*line);
                error.column = Some(*column);
            }
            Origin::Variable(name) => {
                error.file = None;
                error.variable = Some(name.as_ref().into());
            }
        }
        self.errors.push(error);
    }

    /// Returns whether nothing was found.
    pub(super) const fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }
}

/// The most problems that are reported of one file.
const ERRORS_MAX: usize = 100;
