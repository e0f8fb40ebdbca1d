//! Everything that can be done to a log, on copies: it is found, and its place is named.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use audit::{Chain, Entry};
use serde_json::Value;

use super::Effort;
use super::desk::{Desk, copy, refused, size};
use crate::{Dice, Report};

/// Changes single records of the JSON lines, also with a chain that was made anew behind it.
pub(super) async fn lines(
    desk: &Desk,
    effort: Effort,
    dice: &mut Dice,
    report: &mut Report,
) -> Result<()> {
    let text = fs::read_to_string(desk.site.path("audit.jsonl"))?;
    let whole: Vec<String> = text.lines().map(str::to_owned).collect();
    let foreign = foreign_line(&whole)?;
    let mut tried = 0_u64;
    for _ in 0..effort.rounds(3, 60) {
        let at = usize::try_from(dice.below(whole.len() as u64 - 2))? + 1;
        let other = usize::try_from(dice.below(at as u64))?;
        for (how, changed) in changes(&whole, at, other, &foreign)? {
            desk.site.write("changed.jsonl", (changed.join("\n") + "\n").as_bytes())?;
            let cosigned = desk.cosigned()?.display().to_string();
            let arguments = [
                "--json",
                "audit",
                "--file",
                "changed.jsonl",
                "verify",
                "--checkpoint",
                &cosigned,
                "--key",
                &desk.log_key,
            ];
            let found = refused(&desk.site.run(&arguments).await?)
                .with_context(|| format!("{how} at line {at} and {other}"))?;
            named(&found).with_context(|| format!("{how} at line {at} and {other}"))?;
            tried += 1;
        }
    }
    report.figure("records_tampered", tried);
    report.figure("records_tampered_found", tried);
    Ok(())
}

/// The changed logs, each with a name for it.
fn changes(
    whole: &[String],
    at: usize,
    other: usize,
    foreign: &str,
) -> Result<Vec<(&'static str, Vec<String>)>> {
    let change = |work: &dyn Fn(&mut Vec<String>)| {
        let mut changed = whole.to_vec();
        work(&mut changed);
        changed
    };
    let edited = whole[at].replacen("\"outcome\":\"success\"", "\"outcome\":\"failure\"", 1);
    ensure!(edited != whole[at], "nothing to edit in {}", whole[at]);
    let rewritten = |lines: Vec<String>| -> Result<Vec<String>> {
        let mut chain = Chain::genesis();
        let lines = lines.into_iter().map(|line| {
            let body = Entry::from_line(line.as_bytes())?.body;
            let entry = Entry { link: chain.append(&body), body };
            Ok(String::from_utf8(entry.to_line()?)?)
        });
        lines.collect()
    };
    let cut = change(&|lines| lines.truncate(at));
    let without = change(&|lines| drop(lines.remove(at)));
    let edit = change(&|lines| lines[at].clone_from(&edited));
    Ok(vec![
        ("edited", edit.clone()),
        ("missing", without.clone()),
        ("duplicated", change(&|lines| lines.insert(at, lines[at].clone()))),
        ("reordered", change(&|lines| lines.swap(at, other))),
        ("spliced", change(&|lines| foreign.clone_into(&mut lines[at]))),
        ("truncated", cut),
        ("edited, with a new chain", rewritten(edit)?),
        ("missing, with a new chain", rewritten(without)?),
        ("reordered, with a new chain", rewritten(change(&|lines| lines.swap(at, other)))?),
    ])
}

/// A record of another log, as well made as those of this one.
fn foreign_line(whole: &[String]) -> Result<String> {
    let mut chain = Chain::genesis();
    let line = whole.get(3).context("no records")?;
    let body = Entry::from_line(line.as_bytes())?.body;
    let entry = Entry { link: chain.append(&body), body };
    Ok(String::from_utf8(entry.to_line()?)?)
}

/// Checks that a report names at least one place.
fn named(found: &Value) -> Result<()> {
    let problem = found.pointer("/problems/0/place").and_then(Value::as_str);
    let code = found.pointer("/error/code").and_then(Value::as_str);
    ensure!(problem.or(code).is_some_and(|place| !place.is_empty()), "no place: {found}");
    Ok(())
}

/// Changes the files of a store.
pub(super) async fn files(
    desk: &Desk,
    effort: Effort,
    dice: &mut Dice,
    report: &mut Report,
) -> Result<()> {
    let data = desk.site.path("data");
    let kept = desk.site.path("kept.checkpoint");
    fs::copy(desk.cosigned()?, &kept)?;
    let kept = kept.display().to_string();
    let archives = named_files(&data.join("audit"), "audit")?;
    ensure!(!archives.is_empty(), "the log was not archived");
    let (mut tried, mut found) = (0_u64, 0_u64);
    for _ in 0..effort.rounds(25, 1_000) {
        let archive = &archives[usize::try_from(dice.below(archives.len() as u64))?];
        let bytes = fs::read(archive)?;
        let (at, bit) = (usize::try_from(dice.below(bytes.len() as u64))?, dice.below(8));
        let mut changed = bytes.clone();
        changed[at] ^= 1 << bit;
        fs::write(archive, changed)?;
        let run = desk.verify(&data, &["--checkpoint", &kept]).await;
        fs::write(archive, bytes)?;
        let report = refused(&run?).with_context(|| format!("{archive:?} byte {at} bit {bit}"))?;
        named(&report)?;
        (tried, found) = (tried + 1, found + 1);
    }
    for (how, work) in harms() {
        let harmed = desk.site.path("harmed");
        drop(fs::remove_dir_all(&harmed));
        copy(&data, &harmed)?;
        work(&harmed).context(how)?;
        let report = refused(&desk.verify(&harmed, &["--checkpoint", &kept]).await?);
        named(&report.context(how)?).context(how)?;
        (tried, found) = (tried + 1, found + 1);
    }
    report.figure("tampers_tried", tried);
    report.figure("tampers_found", found);
    let sound = desk.verify(&data, &["--checkpoint", &kept]).await?.ok()?.json()?;
    ensure!(sound["anchored"] == size(Path::new(&kept))?, "{sound}");
    Ok(())
}

type Harm = fn(&Path) -> Result<()>;

/// What is done to whole files. Each takes the log's end with it where that would show it.
fn harms() -> Vec<(&'static str, Harm)> {
    vec![
        ("the last file is gone", |data| remove_last(data, 1)),
        ("the last three files are gone", |data| remove_last(data, 3)),
        ("the last file is gone, and the tree with it", |data| {
            fs::remove_dir_all(data.join("tree"))?;
            remove_last(data, 1)
        }),
        ("all files are gone", |data| remove_last(data, usize::MAX)),
        ("the last file is cut off", |data| {
            let files = named_files(&data.join("audit"), "audit")?;
            let last = files.last().context("no file")?;
            let bytes = fs::read(last)?;
            fs::write(last, bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            empty_log(data)
        }),
        ("a file stands for another", |data| {
            let files = named_files(&data.join("audit"), "audit")?;
            let [first, .., last] = files.as_slice() else { return remove_last(data, 1) };
            fs::copy(first, last)?;
            Ok(())
        }),
        ("the first file is gone", |data| {
            let files = named_files(&data.join("audit"), "audit")?;
            fs::remove_file(files.first().context("no file")?)?;
            Ok(())
        }),
    ]
}

fn remove_last(data: &Path, count: usize) -> Result<()> {
    for file in named_files(&data.join("audit"), "audit")?.iter().rev().take(count) {
        fs::remove_file(file)?;
    }
    empty_log(data)
}

/// Takes the log's segments away, which may hold the end of the records a second time.
fn empty_log(data: &Path) -> Result<()> {
    for file in named_files(&data.join("log"), "seg")? {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn named_files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.filter_map(|file| Some(file.ok()?.path()));
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    Ok(files)
}
