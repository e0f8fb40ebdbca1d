//! `storage`: where messages, rules and the audit log are kept.
//!
//! Not the store itself, which takes these values.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which store is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The store of this server, in files of one folder of one machine.
    #[default]
    Embedded,
}

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it is on disk; a power cut loses nothing that was acknowledged.
    #[default]
    Fsync,
    /// When the system has it; a power cut can lose the last seconds, a crash of the server
    /// nothing.
    None,
}

/// Where messages, rules and the audit log are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Which store is used. Default embedded, which needs nothing else installed.
    pub engine: Engine,
    /// Folder of the store, made if missing. Default data; relative to this file's folder.
    #[schemars(with = "String", extend("format" = "path"))]
    pub path: PathBuf,
    /// When a commit counts as done. Default fsync: acknowledged means on disk.
    pub durability: Durability,
    /// Bytes of one file of the log. Default 67108864.
    #[schemars(range(min = 65_536, max = 4_294_967_296_u64))]
    pub segment_bytes: u64,
    /// Bytes of full segments after which state is written beside the log and they can go, at
    /// least: where the state is large, several times its size. Default 67108864.
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    pub checkpoint_bytes: u64,
    /// Bytes of messages kept in memory. Default 67108864.
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    pub cache_bytes: u64,
    /// Bytes of the whole store; above it senders are told to slow down. Default 1073741824.
    #[schemars(range(min = 1_048_576, max = 1_125_899_906_842_624_u64))]
    pub bytes_max: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            engine: Engine::Embedded,
            path: PathBuf::from("data"),
            durability: Durability::Fsync,
            segment_bytes: 67_108_864,
            checkpoint_bytes: 67_108_864,
            cache_bytes: 67_108_864,
            bytes_max: 1_073_741_824,
        }
    }
}
