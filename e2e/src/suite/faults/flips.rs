//! Flipped bits in every kind of file: found with their place, or without any effect.
//!
//! A store is filled and killed. Copies of it get one flipped bit each; then everything that it
//! should hold is asked for. What is missing must have been reported with file and byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use palisade_client::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::crash::{QUIET, small_segments};
use crate::suite::Effort;
use crate::{Dice, Gate, Report, Site, eventually};

/// What came of a flipped bit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// The gate did not start, and named the place.
    Refused,
    /// `palisade audit verify` or the gate's log named the place.
    Reported,
    /// Everything is there and verifies: nobody needs that bit.
    Harmless,
    /// Something is missing or different, and nobody said a word.
    Silent(String),
}

/// What a store holds.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    /// The messages that wait, in order.
    messages: Vec<(String, Value)>,
    /// The number of the last record before the gate was started.
    last_seq: u64,
}

/// Of which there must be one to try.
const KINDS: [&str; 5] = ["seg", "snap", "body", "audit", "spare"];

/// Flips bits in copies of a store, one each.
pub(super) async fn run(effort: Effort, report: &mut Report, dice: &mut Dice) -> Result<()> {
    let site = filled().await?;
    fs::rename(site.path("data"), site.path("whole"))?;
    restore(&site)?;
    let verified = site.audit(&["verify"]).await?.ok()?.json()?;
    let whole = content(&site, &site.start_as(QUIET).await?, &verified).await?;
    ensure!(whole.messages.len() == MESSAGES, "{} messages wait", whole.messages.len());
    let kinds = kinds(&site.path("whole"))?;
    for name in ["tried", "detected", "harmless", "silent"] {
        report.add(&format!("flips_{name}"), 0);
    }
    let mut silent = None;
    for (kind, files) in &kinds {
        report.figure(&format!("flips_files_{kind}"), files.len());
        for _flip in 0..effort.rounds(6, 60) {
            restore(&site)?;
            let place = flip(&site, files, dice)?;
            let outcome = judge(&site, &place, &whole).await;
            report.add("flips_tried", 1);
            let figure = match outcome.with_context(|| format!("bit flipped in {place:?}"))? {
                Outcome::Refused | Outcome::Reported => "flips_detected",
                Outcome::Harmless => "flips_harmless",
                Outcome::Silent(why) => {
                    silent.get_or_insert_with(|| format!("bit flipped in {place:?}: {why}"));
                    "flips_silent"
                }
            };
            report.add(figure, 1);
        }
    }
    for kind in KINDS {
        ensure!(kinds.contains_key(kind), "the store has no `.{kind}` file to try: {kinds:?}");
    }
    ensure!(silent.is_none(), "not detected: {silent:?}");
    Ok(())
}

/// Makes a site whose store has files of every kind, and was killed.
async fn filled() -> Result<Site> {
    let site = Site::new(&small_segments())?;
    let gate = site.start_as(QUIET).await?;
    let alice = site.connect(&gate, "alice").await?;
    for start in (0..MESSAGES).step_by(8) {
        let sends = (start..start + 8).map(|number| {
            let (alice, data) = (alice.clone(), json!({ "n": number, "pad": "x".repeat(900) }));
            async move { alice.send("bob", "note", &data).await }
        });
        try_join_all(sends).await?;
    }
    // The next segment's file is filled beside the work, and the snapshot written.
    eventually("the store has files of every kind", async || {
        // Of a gate at work a file may be gone before it is looked at.
        let Ok(found) = kinds(&site.path("data")) else { return Ok(None) };
        Ok(KINDS.iter().all(|kind| found.contains_key(*kind)).then_some(()))
    })
    .await?;
    gate.kill().await?;
    Ok(site)
}

/// Returns the files of a store by their kind, which is their extension.
fn kinds(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files(folder)? {
        let Some(kind) = file.extension().and_then(|kind| kind.to_str()) else { continue };
        let below = file.strip_prefix(folder)?.to_owned();
        kinds.entry(kind.to_owned()).or_default().push(below);
    }
    Ok(kinds)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for found in fs::read_dir(folder)? {
        let path = found?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// Puts back the store as it was.
fn restore(site: &Site) -> Result<()> {
    let (whole, data) = (site.path("whole"), site.path("data"));
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    for file in files(&whole)? {
        let to = data.join(file.strip_prefix(&whole)?);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        fs::copy(&file, to)?;
    }
    Ok(())
}

/// Flips a bit of a byte that is not zero, as most that nobody needs are; returns where.
fn flip(site: &Site, files: &[PathBuf], dice: &mut Dice) -> Result<(PathBuf, usize)> {
    let roll = |dice: &mut Dice, bound: usize| {
        usize::try_from(dice.below(bound as u64)).unwrap_or_default()
    };
    let file = files.get(roll(dice, files.len())).context("no file")?;
    let path = site.path("data").join(file);
    let mut bytes = fs::read(&path)?;
    let start = roll(dice, bytes.len());
    let used = |place: &usize| bytes.get(*place).is_some_and(|byte| *byte != 0);
    let place = (start..bytes.len()).chain(0..start).find(used).unwrap_or(start);
    let byte = bytes.get_mut(place).context("an empty file")?;
    *byte ^= 1_u8.wrapping_shl(u32::try_from(dice.below(8))?);
    fs::write(&path, bytes)?;
    Ok((file.clone(), place))
}

/// Asks for everything that a store with a flipped bit should hold.
async fn judge(site: &Site, place: &(PathBuf, usize), whole: &Content) -> Result<Outcome> {
    let name = place.0.file_name().and_then(|name| name.to_str()).context("no name")?.to_owned();
    let is_named = |text: &str| text.contains(&name) && text.contains("byte");
    let verify = site.audit(&["verify"]).await?;
    let is_found = verify.code != 0;
    ensure!(!is_found || is_named(&verify.stdout), "verify names no place: {verify:?}");
    fs::write(site.path("gate.log"), "")?;
    let gate = match site.start_as(QUIET).await {
        Ok(gate) => gate,
        Err(error) => {
            let why = format!("{error:#}");
            ensure!(is_named(&why), "the gate names no place: {why}");
            return Ok(Outcome::Refused);
        }
    };
    let verdict = if is_found { Value::Null } else { verify.json()? };
    let content = content(site, &gate, &verdict).await?;
    let log = gate.log();
    gate.kill().await?;
    if is_found {
        return Ok(Outcome::Reported);
    }
    if content == *whole {
        return Ok(Outcome::Harmless);
    }
    let is_logged = log.contains(&name) && (log.contains("byte") || log.contains("offset"));
    if is_logged {
        return Ok(Outcome::Reported);
    }
    let (had, has) = (whole.messages.len(), content.messages.len());
    let why =
        format!("{has} of {had} messages, records to {}, no word of it: {log}", content.last_seq);
    Ok(Outcome::Silent(why))
}

/// Takes everything that waits.
async fn content(site: &Site, gate: &Gate, verdict: &Value) -> Result<Content> {
    let alice = site.connect(gate, "alice").await?;
    alice.send("bob", "mark", &json!({})).await?;
    let bob: Client = site.connect(gate, "bob").await?;
    let (mut next, mut messages) = (bob.messages(), Vec::new());
    loop {
        let incoming = timeout(PATIENCE, next.next()).await.context("no mark")?;
        let incoming = incoming.context("the receiver has ended")?;
        let message = &incoming.message;
        if message.message_type == "mark" {
            break;
        }
        messages.push((message.message_id.as_str().to_owned(), message.data.clone()));
        incoming.ack().await?;
    }
    let last_seq = verdict["last_seq"].as_u64().unwrap_or_default();
    Ok(Content { messages, last_seq })
}

const MESSAGES: usize = 400;
/// LIMIT: longer than a delivery takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
