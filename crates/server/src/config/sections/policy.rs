//! `policy`: the files that say who may do what.
//!
//! The keys name files; what stands in those is the policy crate's part.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The section `policy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyFiles {
    /// Files and folders with rules, in order; see docs/policy.md. Default none: only the lists and
    /// roles of agents count. Relative to this file's folder.
    #[schemars(with = "Vec<String>")]
    pub files: Vec<PathBuf>,
}
