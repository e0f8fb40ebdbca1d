//! `palisade audit prove`, `check-proof` and `consistency`: evidence for third parties.
//!
//! A proof is one file that is checked with the log's public key and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use audit::{Hash, Record, RecordProof, SignedCheckpoint, TileSource, to_hex, verify_consistency};

use super::anchor::{self, Keys, TREE};
use super::{Log, check};
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct ProveArgs {
    /// The number of the record.
    #[arg(value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..))]
    seq: u64,
    /// The file to write; without it the proof is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckProofArgs {
    /// The proof.
    file: PathBuf,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Debug, clap::Args)]
pub(super) struct ConsistencyArgs {
    /// The older checkpoint.
    old: PathBuf,
    /// The newer checkpoint.
    new: PathBuf,
    #[command(flatten)]
    keys: Keys,
}

/// Writes the proof that a record is in the log.
pub(super) fn prove(args: &ProveArgs, log: &Log, out: &Output) -> anyhow::Result<ExitCode> {
    let store = store(log)?;
    let (seq, index) = (args.seq, args.seq - 1);
    let checkpoint = covering(store, seq, &args.keys)?;
    let entry = log.entries(seq)?.next().transpose().map_err(|damage| check::damaged(&damage))?;
    let entry = entry.filter(|entry| entry.link.seq == seq);
    let entry = entry
        .ok_or_else(|| Failure::failed("record_missing", format!("the log has no record {seq}")))?;
    let size = checkpoint.checkpoint().size;
    let path = TileSource::new(store.join(TREE)).inclusion(index, size).map_err(unreadable)?;
    let path = path.context("the tree has no such record")?;
    let proof = RecordProof { body: entry.body.to_vec(), index, path, checkpoint };
    // What does not hold is not handed out.
    proof.check_path().map_err(|error| {
        Failure::failed(
            "audit_damaged",
            format!("record {seq}: {error}; run `palisade audit verify`"),
        )
    })?;
    let text = proof.to_string();
    match &args.out {
        Some(file) => {
            fs::write(file, &text).with_context(|| format!("cannot write `{}`", file.display()))?;
        }
        None if out.json => {}
        None => out.line(text.trim_end_matches('\n'))?,
    }
    if out.json {
        let inline = args.out.is_none().then_some(&text);
        out.json(&serde_json::json!({
            "seq": seq, "size": size, "bytes": text.len(), "file": args.out, "proof": inline,
        }))?;
    } else if let Some(file) = &args.out {
        let shown = file.display();
        out.line(&format!("{shown}: record {seq} of {size}, {} bytes", text.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Chooses the checkpoint to prove with: cosigned if possible, as new as possible.
fn covering(store: &Path, seq: u64, keys: &Keys) -> Result<SignedCheckpoint, Failure> {
    let (mut last, mut best) = (0, None);
    let mut refused = None;
    for file in anchor::newest(store) {
        let signed = anchor::read(&file)?;
        let size = signed.checkpoint().size;
        last = size.max(last);
        match keys.check(&signed) {
            Ok(_cosigned) if size >= seq => {
                best = best.or(Some(signed));
            }
            Ok(_) => {}
            Err(error) => refused = Some(error),
        }
    }
    best.ok_or_else(|| match refused {
        Some(refused) if last >= seq => refused,
        Some(_) | None if last == 0 => Failure::failed(
            "no_checkpoint",
            "the log has no signed checkpoint; name a key under audit.signing_key",
        ),
        Some(_) | None => Failure::failed(
            "record_unsigned",
            format!("record {seq} is not signed yet: the newest checkpoint has {last} records"),
        ),
    })
}

/// Checks a proof with the keys given.
pub(super) fn check_proof(args: &CheckProofArgs, out: &Output) -> anyhow::Result<ExitCode> {
    if !args.keys.has_log_key() {
        let text = "give the log's public key with --key: without it a proof proves nothing";
        return Err(Failure::usage("key_missing", text).into());
    }
    let bytes =
        fs::read(&args.file).with_context(|| format!("cannot read `{}`", args.file.display()))?;
    let failed = |error: audit::RecordProofError| Failure::failed(error.code(), error);
    let proof = RecordProof::parse(&bytes).map_err(failed)?;
    let cosigned = args.keys.check(&proof.checkpoint)?;
    proof.check_path().map_err(failed)?;
    let record = Record::decode(&proof.body).map_err(|error| {
        Failure::failed("proof_malformed", format!("what is proven is no record: {error}"))
    })?;
    let (seq, signed) = (proof.index + 1, proof.checkpoint.checkpoint());
    let cosigned = cosigned.map(anchor::moment);
    if out.json {
        let body: &serde_json::value::RawValue = serde_json::from_slice(&proof.body)?;
        out.json(&serde_json::json!({
            "ok": true, "seq": seq, "size": signed.size, "origin": signed.origin,
            "cosigned_at": cosigned, "record": body,
        }))?;
    } else {
        let cosigned = cosigned.map(|at| format!(", cosigned at {at}")).unwrap_or_default();
        out.line(&format!("ok: record {seq} of {} in {}{cosigned}", signed.size, signed.origin))?;
        out.line(&String::from_utf8_lossy(&proof.body))?;
    }
    drop(record);
    Ok(ExitCode::SUCCESS)
}

/// Tells whether one checkpoint continues another, and proves it from the store's tree.
pub(super) fn consistency(
    args: &ConsistencyArgs,
    log: &Log,
    out: &Output,
) -> anyhow::Result<ExitCode> {
    let [old, new] = [&args.old, &args.new].map(|file| {
        let signed = anchor::read(file)?;
        args.keys.check(&signed)?;
        Ok::<_, Failure>(signed.checkpoint().clone())
    });
    let (old, new) = (old?, new?);
    let (sizes, mut proof) = ((old.size, new.size), Vec::new());
    let problem = if old.origin == new.origin {
        let tree = store(log)?.join(TREE);
        match TileSource::new(tree).consistency(old.size, new.size).map_err(unreadable)? {
            None => Some("the first one is the newer one".to_owned()),
            Some(found) => {
                proof = found;
                let verdict =
                    verify_consistency((old.size, &old.root), (new.size, &new.root), &proof);
                verdict.err().map(|error| error.to_string())
            }
        }
    } else {
        Some(format!("they are of two logs, `{}` and `{}`", old.origin, new.origin))
    };
    if out.json {
        let proof: Vec<String> = proof.iter().map(|hash: &Hash| to_hex(hash)).collect();
        out.json(&serde_json::json!({
            "ok": problem.is_none(), "old_size": sizes.0, "new_size": sizes.1, "proof": proof,
            "problem": problem,
        }))?;
    } else if let Some(problem) = &problem {
        out.line(&format!("NOT OK: {problem}"))?;
    } else {
        let (old, new) = sizes;
        out.line(&format!("ok: the {new} records continue the {old}; {} hashes", proof.len()))?;
    }
    Ok(if problem.is_none() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

fn store(log: &Log) -> Result<&Path, Failure> {
    match log {
        Log::Store(folder) => Ok(folder),
        Log::Lines(_) => Err(Failure::usage(
            "tree_missing",
            "a JSONL file has no tree: give the store with --data or --config",
        )),
    }
}

fn unreadable(error: audit::TileError) -> Failure {
    Failure::failed("tree_unreadable", error)
}
