//! What the fuzz targets share: folders in memory, and an independent opinion to compare with.
//!
//! | target | takes | must hold besides "no panic" |
//! |---|---|---|
//! | `spiffe_id` | text | the verdict of a second, plainer reading of the grammar |
//! | `leaf` | DER | who is accepted has one URI name and it is the identity |
//! | `envelope` | JSON text | what is accepted is one JSON object to another parser too |
//! | `dlp` | JSON text | what comes out is JSON, and is let through when it comes again |
//! | `config` | YAML text | each error says where and what |
//! | `log_recovery` | edits of a log | what is opened is an unbroken beginning |
//! | `http2` | bytes of a client: calls, sessions | the server answers the next client |
//! | `note` | notes, proofs, keys | they are written as they were; no key holds for other texts |
//! | `submission` | what a witness is asked | one history is cosigned, and only forwards |
//!
//! `cargo xtask fuzz` runs them; `cargo +nightly fuzz run TARGET` does too.

pub mod signed;

use std::path::Path;

use tempfile::TempDir;

/// Returns a folder that is gone when it is dropped, in memory where the system has such a place.
///
/// # Panics
/// When no folder can be made.
#[must_use]
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

/// Tells whether a text is a SPIFFE ID that names a workload, by the plainest reading of the
/// SPIFFE-ID document, sections 2.1 to 2.3.
#[must_use]
pub fn is_spiffe_id(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://") else { return false };
    let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_domain = (1..=255).contains(&domain.len())
        && domain.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_'))
    };
    let is_path = path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment));
    is_domain && (path.is_empty() || is_path) && text.len() <= 2_048
}
