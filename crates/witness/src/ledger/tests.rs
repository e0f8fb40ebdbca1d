//! What a witness cosigns, and everything that it does not.

use std::sync::Arc;

use audit::{Frontier, KeyKind, consistency_proof};
use tempfile::TempDir;

use super::*;

fn leaves(count: u64, from: u8) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&[&[from][..], &n.to_be_bytes()].concat())).collect()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree.root()
}

fn proof(leaves: &[Hash], old: u64) -> Vec<Hash> {
    let node = |level: u32, index: u64| {
        let (from, count) = (usize::try_from(index << level).unwrap(), 1 << level);
        Ok::<_, ()>(root(&leaves[from..from + count]))
    };
    consistency_proof(old, leaves.len() as u64, node).unwrap().unwrap()
}

struct Court {
    log: SigningKey,
    folder: TempDir,
    secret: String,
}

impl Court {
    fn new() -> Self {
        let key = SigningKey::generate(KeyKind::Witness, "w").unwrap();
        Self {
            log: SigningKey::generate(KeyKind::Log, "log").unwrap(),
            folder: tempfile::tempdir().unwrap(),
            secret: key.to_text().to_string(),
        }
    }

    fn open(&self) -> Ledger {
        let key = SigningKey::parse(&self.secret).unwrap();
        Ledger::open(key, self.folder.path(), [self.log.verifier().clone()]).unwrap()
    }

    fn submission(&self, leaves: &[Hash], old_size: u64) -> Submission {
        let size = leaves.len() as u64;
        let checkpoint = SignedCheckpoint::sign(&self.log, size, root(leaves)).unwrap();
        Submission { old_size, proof: proof(leaves, old_size.min(size)), checkpoint }
    }
}

#[test]
fn what_continues_is_cosigned_also_after_a_restart() {
    let court = Court::new();
    let all = leaves(40, 0);
    let mut old = 0;
    for size in [1, 2, 3, 8, 21, 40] {
        let ledger = court.open();
        let submission = court.submission(&all[..size], old);
        let Verdict::Cosigned(signature) = ledger.judge(&submission, 77).unwrap() else { panic!() };
        let mut signed = submission.checkpoint;
        signed.add(signature);
        assert_eq!(signed.check_witness(ledger.key()), Ok(77));
        old = size as u64;
        // The same again is the same: an answer may have been lost.
        let again = court.submission(&all[..size], old);
        assert!(matches!(ledger.judge(&again, 78).unwrap(), Verdict::Cosigned(_)));
    }
}

#[test]
fn a_shorter_another_and_a_rewritten_history_are_refused_and_change_nothing() {
    let court = Court::new();
    let ledger = court.open();
    let (all, other) = (leaves(20, 0), leaves(30, 1));
    let judge = |submission: &Submission| ledger.judge(submission, 1).unwrap();
    assert!(matches!(judge(&court.submission(&all[..10], 0)), Verdict::Cosigned(_)));
    // Shortened: a restored backup.
    assert_eq!(judge(&court.submission(&all[..7], 0)), Verdict::Conflict { size: 10 });
    assert_eq!(judge(&court.submission(&all[..7], 7)), Verdict::Conflict { size: 10 });
    assert_eq!(judge(&court.submission(&all[..7], 10)), Verdict::Backwards);
    // As long, and another.
    assert_eq!(judge(&court.submission(&other[..10], 10)), Verdict::Conflict { size: 10 });
    // Longer, and another.
    assert_eq!(judge(&court.submission(&other, 10)), Verdict::BadProof);
    let mut rewritten = all.clone();
    rewritten[3] = [9; 32];
    assert_eq!(judge(&court.submission(&rewritten, 10)), Verdict::BadProof);
    // Proofs that are none.
    let good = court.submission(&all, 10);
    for spoil in [
        |proof: &mut Vec<Hash>| proof.truncate(1),
        |proof: &mut Vec<Hash>| proof.push([0; 32]),
        |proof: &mut Vec<Hash>| proof[0][0] ^= 1,
        |proof: &mut Vec<Hash>| proof.clear(),
    ] {
        let mut bad = good.clone();
        spoil(&mut bad.proof);
        assert_eq!(judge(&bad), Verdict::BadProof);
    }
    assert!(matches!(judge(&good), Verdict::Cosigned(_)));
}

#[test]
fn a_proof_for_the_first_checkpoint_must_be_empty() {
    let court = Court::new();
    let ledger = court.open();
    let mut first = court.submission(&leaves(3, 0), 0);
    first.proof.push([0; 32]);
    assert_eq!(ledger.judge(&first, 1).unwrap(), Verdict::BadProof);
    let checkpoint = SignedCheckpoint::sign(&court.log, 0, [1; 32]).unwrap();
    let wrong = Submission { old_size: 0, proof: Vec::new(), checkpoint };
    assert_eq!(ledger.judge(&wrong, 1).unwrap(), Verdict::Conflict { size: 0 });
}

#[test]
fn strangers_are_refused() {
    let court = Court::new();
    let ledger = court.open();
    let all = leaves(3, 0);
    let sign = |key: &SigningKey| {
        let checkpoint = SignedCheckpoint::sign(key, 3, root(&all)).unwrap();
        ledger.judge(&Submission { old_size: 0, proof: Vec::new(), checkpoint }, 1).unwrap()
    };
    assert_eq!(sign(&SigningKey::generate(KeyKind::Log, "other").unwrap()), Verdict::UnknownLog);
    assert_eq!(sign(&SigningKey::generate(KeyKind::Log, "log").unwrap()), Verdict::UnknownKey);
    assert!(matches!(sign(&court.log), Verdict::Cosigned(_)));
}

#[test]
fn of_many_at_once_none_goes_back() {
    let court = Court::new();
    let all = leaves(64, 0);
    let ledger = Arc::new(court.open());
    assert!(matches!(ledger.judge(&court.submission(&all[..1], 0), 1), Ok(Verdict::Cosigned(_))));
    let submissions: Vec<_> = (2..=64).map(|size| court.submission(&all[..size], 1)).collect();
    let cosigned: usize = std::thread::scope(|scope| {
        let judges: Vec<_> =
            submissions.iter().map(|one| scope.spawn(|| ledger.judge(one, 1).unwrap())).collect();
        let verdicts = judges.into_iter().map(|judge| judge.join().unwrap());
        verdicts.filter(|verdict| matches!(verdict, Verdict::Cosigned(_))).count()
    });
    assert_eq!(cosigned, 1);
}

#[test]
fn a_damaged_memory_or_a_second_witness_is_no_fresh_start() {
    let court = Court::new();
    let ledger = court.open();
    ledger.judge(&court.submission(&leaves(3, 0), 0), 1).unwrap();
    let again = || {
        let key = SigningKey::parse(&court.secret).unwrap();
        Ledger::open(key, court.folder.path(), [court.log.verifier().clone()])
    };
    assert_eq!(again().unwrap_err().code(), "witness_in_use");
    let file = ledger.logs["log"].file.clone();
    drop(ledger);
    let whole = fs::read_to_string(&file).unwrap();
    for damaged in
        [String::new(), whole.replace("\n3\n", "\n2\n"), whole.get(..40).unwrap().to_owned()]
    {
        fs::write(&file, damaged).unwrap();
        assert_eq!(again().unwrap_err().code(), "witness_state_damaged");
    }
    fs::write(&file, whole).unwrap();
    again().unwrap();
}
