//! What is wrong with a policy file, where, and what to do.
//!
//! It says names and never other content of a file: a secret on the wrong line must not reach a
//! log.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Says what kind of problem a [`Fault`] is; its name is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum FaultCode {
    /// There is no such file or folder.
    #[serde(rename = "policy_missing")]
    Missing,
    /// The file cannot be read, or is no regular file.
    #[serde(rename = "policy_unreadable")]
    Unreadable,
    /// The file changed while it was read.
    #[serde(rename = "policy_changed")]
    Changed,
    /// There is more than the limits allow.
    #[serde(rename = "policy_too_large")]
    TooLarge,
    /// The file is no YAML, or has a key or a type that the schema does not know.
    #[serde(rename = "policy_syntax")]
    Syntax,
    /// A value is not usable.
    #[serde(rename = "policy_value")]
    Value,
    /// A name is defined twice.
    #[serde(rename = "policy_duplicate")]
    Duplicate,
    /// A name is used and nowhere defined.
    #[serde(rename = "policy_unknown")]
    Unknown,
    /// Roles or groups hold each other in a circle.
    #[serde(rename = "policy_cycle")]
    Cycle,
    /// The Cedar text is not accepted.
    #[serde(rename = "policy_cedar")]
    Cedar,
}

impl FaultCode {
    /// Returns the stable name of the code, such as `policy_unknown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "policy_missing",
            Self::Unreadable => "policy_unreadable",
            Self::Changed => "policy_changed",
            Self::TooLarge => "policy_too_large",
            Self::Syntax => "policy_syntax",
            Self::Value => "policy_value",
            Self::Duplicate => "policy_duplicate",
            Self::Unknown => "policy_unknown",
            Self::Cycle => "policy_cycle",
            Self::Cedar => "policy_cedar",
        }
    }
}

/// A place in a policy file; line and column count from 1, and 0 stands for the whole file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: std::sync::Arc<Path>,
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

impl Place {
    /// Returns the place that stands for a whole file.
    #[must_use]
    pub fn whole(file: &Path) -> Self {
        Self { file: PathBuf::from(file).into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// One problem of a policy, with its place and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What kind of problem it is.
    pub code: FaultCode,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong and what to do.
    pub message: Box<str>,
}

impl Fault {
    pub(crate) fn new(code: FaultCode, place: Place, message: impl Into<Box<str>>) -> Self {
        Self { code, place, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for Fault {}

/// Collects faults, so that all of them can be mended at once.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, code: FaultCode, place: &Place, message: impl Into<Box<str>>) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault::new(code, place.clone(), message));
        }
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(fault);
        }
    }

    /// Returns the value, or the faults if there are any.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

/// LIMIT: faults that are told at once.
const FAULTS_MAX: usize = 100;

/// Returns a name from a file as a message may show it: short, on one line.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}
