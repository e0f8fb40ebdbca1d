//! What a witness is asked: whatever comes, in whatever order, it cosigns one history of the log,
//! and only forwards.
#![no_main]

use std::sync::LazyLock;

use audit::{Note, VerifierKey};
use libfuzzer_sys::fuzz_target;
use palisade_fuzz::signed::{self, Version};
use witness::{Ledger, Submission, Verdict};

static LOG: LazyLock<VerifierKey> = LazyLock::new(|| signed::log().verifier().clone());
static WITNESS: LazyLock<VerifierKey> = LazyLock::new(|| signed::witness().verifier().clone());

fn open(folder: &tempfile::TempDir) -> Ledger {
    Ledger::open(signed::witness(), folder.path(), [LOG.clone()]).expect("a folder")
}

/// Judges one submission after the other, parted by zeros.
fn judge(submissions: &[Submission]) {
    let folder = palisade_fuzz::folder();
    let mut ledger = open(&folder);
    // The versions of the log that what was cosigned so far can be the beginning of.
    let mut versions = Version::ALL.to_vec();
    let mut last = 0;
    for submission in submissions {
        let signed = &submission.checkpoint;
        let new = signed.checkpoint();
        match ledger.judge(submission, signed::COSIGNED_AT).expect("it remembers") {
            Verdict::Cosigned(signature) => {
                versions.retain(|version| version.root(new.size) == Some(new.root));
                assert!(!versions.is_empty(), "cosigned another history: {new:?}");
                assert!(submission.old_size == last && new.size >= last, "{last}: {new:?}");
                let mut note = Note::new(signed.note().text()).expect("it was one");
                note.add(signature);
                assert_eq!(note.check(&WITNESS), Ok(signed::COSIGNED_AT));
                last = new.size;
            }
            Verdict::Conflict { size } => assert_eq!(size, last),
            Verdict::UnknownLog => assert_ne!(new.origin, LOG.name()),
            Verdict::UnknownKey => assert!(signed.check_log(&LOG).is_err()),
            Verdict::Backwards => assert!(submission.old_size > new.size),
            Verdict::BadProof => assert_eq!(submission.old_size, last),
        }
        // A restart changes nothing.
        drop(ledger);
        ledger = open(&folder);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut submissions = Vec::new();
    for one in bytes.split(|byte| *byte == 0) {
        if let Ok(submission) = Submission::parse(one) {
            assert_eq!(submission.to_string().as_bytes(), one);
            submissions.push(submission);
        }
    }
    if !submissions.is_empty() {
        judge(&submissions);
    }
});
