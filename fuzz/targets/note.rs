//! Signed notes, checkpoints, proofs of records and keys: what is read is written again as it was,
//! and a key holds for nothing that it has not signed.
#![no_main]

use std::sync::LazyLock;

use audit::{Checkpoint, Note, RecordProof, SignedCheckpoint, SigningKey, VerifierKey};
use libfuzzer_sys::fuzz_target;
use palisade_fuzz::signed::{self, Version};

static LOG: LazyLock<VerifierKey> = LazyLock::new(|| signed::log().verifier().clone());
static WITNESS: LazyLock<VerifierKey> = LazyLock::new(|| signed::witness().verifier().clone());

/// Tells whether the log's key has signed this text.
fn is_signed(text: &str) -> bool {
    let Ok(Checkpoint { origin, size, root, extensions }) = Checkpoint::parse(text) else {
        return false;
    };
    let is_known = Version::ALL.iter().any(|version| version.root(size) == Some(root));
    is_known && origin == LOG.name() && extensions.is_empty()
}

fn keys(text: &str) {
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = SigningKey::parse(text) {
        assert_eq!(key.to_text().trim(), text.trim());
        let read = VerifierKey::parse(&key.verifier().to_string()).expect("its public half");
        assert_eq!(&read, key.verifier());
    }
}

fn note(bytes: &[u8]) {
    let Ok(note) = Note::parse(bytes) else { return };
    assert_eq!(note.to_string().as_bytes(), bytes);
    if note.check(&LOG).is_ok() {
        assert!(is_signed(note.text()), "nobody signed {:?}", note.text());
    }
    if let Ok(time) = note.check(&WITNESS) {
        assert_eq!(time, signed::COSIGNED_AT);
        assert!(is_signed(note.text()), "nobody cosigned {:?}", note.text());
    }
    let Ok(signed) = SignedCheckpoint::parse(bytes) else { return };
    assert_eq!(signed.checkpoint().to_string(), note.text());
    assert_eq!(signed.to_string().as_bytes(), bytes);
}

fn proof(bytes: &[u8]) {
    let Ok(proof) = RecordProof::parse(bytes) else { return };
    assert_eq!(proof.to_string().as_bytes(), bytes);
    if proof.check(&LOG).is_ok() {
        let is_there = |version: &Version| version.body(proof.index) == proof.body;
        assert!(Version::ALL.iter().any(is_there), "a record that nobody wrote: {proof:?}");
    }
    if proof.check_path().is_ok() {
        let mut changed = proof;
        changed.body.push(b' ');
        assert!(changed.check_path().is_err(), "it proves two records: {changed:?}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        keys(text);
    }
    note(bytes);
    proof(bytes);
});
