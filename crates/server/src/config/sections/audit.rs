//! `audit`: signed checkpoints over the audit log, and who else watches it.
//!
//! The log itself is in the store and has no switch; its JSONL copy is `gateway.audit`.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::seconds;

/// The section `audit` as it is written.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct AuditKeys {
    /// File with the key that signs checkpoints, made by `palisade audit key`. Default none: no
    /// checkpoints. It must not be in the store's folder, or who can change the log can sign it
    /// too. Relative to this file's folder.
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub(in super::super) signing_key: Option<PathBuf>,
    /// Seconds between checkpoints at least; without new records there are none. Default 1.
    #[serde(rename = "checkpoint_seconds", with = "seconds")]
    #[schemars(with = "f64", range(min = 0.05, max = 86_400.0))]
    pub(in super::super) checkpoint_every: Duration,
    /// Older checkpoints that are kept. Default 1000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in super::super) checkpoints_kept: usize,
    /// Witnesses that cosign each checkpoint and refuse a changed history, each with url and key.
    /// Default none.
    pub(in super::super) witnesses: Vec<WitnessKeys>,
}

impl Default for AuditKeys {
    fn default() -> Self {
        Self {
            signing_key: None,
            checkpoint_every: Duration::from_secs(1),
            checkpoints_kept: 1_000,
            witnesses: Vec::new(),
        }
    }
}

/// One witness as it is written.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct WitnessKeys {
    /// Where it is asked, such as `http://10.0.0.7:8091`. Required. Plain HTTP, because all that
    /// is said is signed.
    #[schemars(extend("format" = "witness-url"))]
    pub(in super::super) url: String,
    /// Its public key, as `palisade audit key --witness` printed it. Required.
    #[schemars(extend("format" = "witness-key"))]
    pub(in super::super) key: String,
}
