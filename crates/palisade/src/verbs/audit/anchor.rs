//! Signed checkpoints as the verbs meet them: found in the store or in a file, checked with keys.
//!
//! Whether the log fits them is `audit`'s answer.

use std::fs;
use std::path::{Path, PathBuf};

use audit::{Hash, KeyKind, SignedCheckpoint, VerifierKey, timestamp};
use serde::Serialize;

use crate::failure::Failure;

/// The keys that signatures are checked with.
#[derive(Debug, clap::Args)]
pub(super) struct Keys {
    /// The public key of the log, as `palisade audit key` printed it; without it roots are
    /// compared and no signature is checked.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The public key of a witness that must have cosigned.
    #[arg(long, value_name = "KEY")]
    witness_key: Option<String>,
}

/// A checkpoint that the log is held against.
#[derive(Debug, Serialize)]
pub(super) struct Anchor {
    file: PathBuf,
    origin: String,
    size: u64,
    /// Whether the signature of the log was checked.
    is_signature_checked: bool,
    /// When the witness cosigned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cosigned_at: Option<String>,
    #[serde(skip)]
    root: Hash,
}

impl Keys {
    /// Checks that the keys given have signed; returns when the witness did.
    pub(super) fn check(&self, signed: &SignedCheckpoint) -> Result<Option<u64>, Failure> {
        let failed = |error: audit::NoteError| Failure::failed(error.code(), error);
        if let Some(text) = &self.key {
            signed.check_log(&read_key(text, KeyKind::Log, "--key")?).map_err(failed)?;
        }
        let Some(text) = &self.witness_key else { return Ok(None) };
        let key = read_key(text, KeyKind::Witness, "--witness-key")?;
        signed.check_witness(&key).map(Some).map_err(failed)
    }

    pub(super) const fn has_log_key(&self) -> bool {
        self.key.is_some()
    }

    pub(super) const fn wants_witness(&self) -> bool {
        self.witness_key.is_some()
    }
}

fn read_key(text: &str, kind: KeyKind, option: &str) -> Result<VerifierKey, Failure> {
    let key = VerifierKey::parse(text)
        .map_err(|error| Failure::usage(error.code(), format!("{option}: {error}")))?;
    if key.kind() == kind {
        return Ok(key);
    }
    let text = format!(
        "{option}: this is the key of a {}",
        match kind {
            KeyKind::Log => "witness, and not of a log",
            KeyKind::Witness => "log, and not of a witness",
        }
    );
    Err(Failure::usage("key_kind", text))
}

/// Reads a checkpoint from a file.
pub(super) fn read(file: &Path) -> Result<SignedCheckpoint, Failure> {
    let bytes = fs::read(file).map_err(|error| {
        Failure::failed("checkpoint_unreadable", format!("`{}`: {error}", file.display()))
    })?;
    SignedCheckpoint::parse(&bytes)
        .map_err(|error| Failure::failed(error.code(), format!("`{}`: {error}", file.display())))
}

impl Anchor {
    /// Takes a checkpoint as an anchor if the keys have signed it.
    pub(super) fn of(file: &Path, keys: &Keys) -> Result<Self, Failure> {
        let signed = read(file)?;
        let cosigned = keys.check(&signed)?;
        Ok(Self {
            file: file.to_owned(),
            origin: signed.checkpoint().origin.clone(),
            size: signed.checkpoint().size,
            is_signature_checked: keys.has_log_key(),
            cosigned_at: cosigned.map(moment),
            root: signed.checkpoint().root,
        })
    }
}

impl Anchor {
    /// Returns the tree that it states.
    pub(super) const fn tree(&self) -> audit::Anchor {
        audit::Anchor { size: self.size, root: self.root }
    }

    /// Says whose it is and who signed.
    pub(super) fn line(&self) -> String {
        let signed = if self.is_signature_checked { "" } else { ", its signature unchecked" };
        let cosigned = self.cosigned_at.as_ref();
        let cosigned = cosigned.map(|at| format!(", cosigned at {at}")).unwrap_or_default();
        format!("checkpoint of {} records of {}{signed}{cosigned}", self.size, self.origin)
    }
}

/// Writes a time in seconds since 1970 as records do.
pub(super) fn moment(unix_seconds: u64) -> String {
    timestamp(i64::try_from(unix_seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000))
}

/// Returns the files with the newest checkpoints of a store: those that witnesses cosigned, and
/// its own.
pub(super) fn newest(store: &Path) -> Vec<PathBuf> {
    let tree = store.join(TREE);
    let witnessed = fs::read_dir(tree.join("witnessed")).into_iter().flatten();
    let mut files: Vec<PathBuf> = witnessed.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|file| file.extension().is_none());
    files.sort_unstable();
    files.extend(Some(tree.join("checkpoint")).filter(|file| file.exists()));
    files
}

/// Returns what the server has noted to be wrong with the history, one line each.
pub(super) fn alarms(store: &Path) -> Vec<String> {
    let text = fs::read_to_string(store.join(TREE).join("alarm")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Where the tree is, below the store's folder.
pub(super) const TREE: &str = "tree";
