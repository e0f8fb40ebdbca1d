//! Audit records, their hash chain, the archive, queries, exports and the file sink.
//!
//! Usable on its own by an auditor: it needs a folder of archive files or a JSONL
//! file and nothing else. It makes no decision, holds no clock, and never sees a
//! payload, only commitments to it. `docs/audit-format.md` states every byte.

mod chain;
mod commitment;
mod disk;
mod entry;
mod export;
mod file;
mod hex;
mod json;
mod lines;
mod moment;
mod note;
mod proof;
mod query;
mod record;
#[cfg(test)]
mod sample;
mod sink;
mod tiles;
mod tree;
mod verify;

pub use chain::{Chain, Hash, Link};
pub use commitment::{SALT_BYTES, Salt, short_hash, text_hash};
pub use disk::{Disk, RealDisk};
pub use entry::{Entry, EntryError};
pub use export::{ExportError, export_csv, export_json};
pub use file::{ArchiveError, ArchiveReader, ArchiveWriter, Backed, Damage, Fault, file_name};
pub use hex::{from_hex, to_hex};
pub use lines::LineReader;
pub use moment::{MomentError, parse_moment, timestamp, to_micros};
pub use note::{
    Checkpoint, KeyError, KeyKind, Note, NoteError, Signature, SignedCheckpoint, SigningKey,
    VerifierKey,
};
pub use proof::{RecordProof, RecordProofError};
pub use query::{Filter, Found, query};
pub use record::{BODY_BYTES_MAX, Outcome, Record, RecordError};
pub use sink::{FileSink, SinkError};
pub use tiles::{TileError, TileSource, TileWriter};
pub use tree::{
    Frontier, ProofError, consistency_proof, empty_root, inclusion_proof, leaf_hash, node_hash,
    tree_root, verify_consistency, verify_inclusion,
};
pub use verify::{
    Anchor, Entries, Place, Problem, Report, Spot, Unplaced, What, verify, verify_against,
};
