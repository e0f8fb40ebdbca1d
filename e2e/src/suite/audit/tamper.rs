//! What can be done to records, on copies: it is found, and its place is named.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use audit::{Chain, Entry};

use super::Effort;
use super::desk::{Desk, refused, size};
use super::place::{self, Expected, sound_lines};
use crate::{Dice, Report};

/// A log that was changed.
struct Changed {
    how: &'static str,
    lines: Vec<String>,
    chain: place::Chain,
}

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
    let kept = kept(desk)?;
    for name in ["records_tampered", "records_tampered_found"] {
        report.add(name, 0);
    }
    let mut missed = None;
    for _ in 0..effort.rounds(3, 60) {
        let at = usize::try_from(dice.below(whole.len() as u64 - 2))? + 1;
        let other = usize::try_from(dice.below(at as u64))?;
        for changed in changes(&whole, at, other, &foreign)? {
            let what = format!("{} at line {at} and {other}", changed.how);
            let found = judge(desk, &whole, &changed, &kept).await.context(what);
            report.add("records_tampered", 1);
            report.add("records_tampered_found", u64::from(found.is_ok()));
            missed = missed.or_else(|| found.err());
        }
    }
    missed.map_or(Ok(()), Err)
}

/// Verifies changed lines against the trees that were kept: the change is found at its place, and
/// all before it is vouched for.
async fn judge(
    desk: &Desk,
    whole: &[String],
    changed: &Changed,
    kept: &[(u64, String)],
) -> Result<()> {
    let Changed { lines, chain, .. } = changed;
    desk.site.write(FILE, (lines.join("\n") + "\n").as_bytes())?;
    let mut arguments = vec!["--json", "audit", "--file", FILE, "verify", "--key", &desk.log_key];
    for (_, file) in kept {
        arguments.extend(["--checkpoint", file]);
    }
    let found = refused(&desk.site.run(&arguments).await?)?;
    let sizes: Vec<u64> = kept.iter().map(|(size, _)| *size).collect();
    let expected = Expected::of_lines(FILE, (whole, lines), *chain, &sizes)?;
    expected.check(&found)?;
    if matches!(expected, Expected::Place(_)) {
        let sound = sound_lines(whole, lines) as u64;
        let vouched = sizes.into_iter().filter(|size| *size <= sound).max().unwrap_or_default();
        ensure!(found["anchored"] == vouched, "not vouched for up to {vouched}: {found}");
    }
    Ok(())
}

/// Returns the files of some checkpoints, with the number of records of each; among them the one
/// over all that is there.
fn kept(desk: &Desk) -> Result<Vec<(u64, String)>> {
    let files = desk.checkpoints()?;
    let ways = files.len() / KEPT_MAX + 1;
    let some = files.into_iter().rev().step_by(ways).chain([desk.cosigned()?]);
    let sized = some.map(|file| anyhow::Ok((size(&file)?, file.display().to_string())));
    let kept: Vec<(u64, String)> = sized.collect::<Result<_>>()?;
    ensure!(kept.len() > 2, "only {} checkpoints were kept", kept.len());
    Ok(kept)
}

/// The changed logs, each with a name for it.
fn changes(whole: &[String], at: usize, other: usize, foreign: &str) -> Result<Vec<Changed>> {
    let change = |work: &dyn Fn(&mut Vec<String>)| {
        let mut changed = whole.to_vec();
        work(&mut changed);
        changed
    };
    let edited = whole[at].replacen("\"outcome\":\"success\"", "\"outcome\":\"failure\"", 1);
    ensure!(edited != whole[at], "nothing to edit in {}", whole[at]);
    let without = change(&|lines| drop(lines.remove(at)));
    let edit = change(&|lines| lines[at].clone_from(&edited));
    let reorder = change(&|lines| lines.swap(at, other));
    let broken = |how, lines| Changed { how, lines, chain: place::Chain::Broken };
    let anew = |how, lines| {
        anyhow::Ok(Changed { how, lines: rechained(lines)?, chain: place::Chain::Anew })
    };
    Ok(vec![
        broken("edited", edit.clone()),
        broken("missing", without.clone()),
        broken("duplicated", change(&|lines| lines.insert(at, lines[at].clone()))),
        broken("reordered", reorder.clone()),
        broken("spliced", change(&|lines| foreign.clone_into(&mut lines[at]))),
        broken("truncated", change(&|lines| lines.truncate(at))),
        anew("edited, with a new chain", edit)?,
        anew("missing, with a new chain", without)?,
        anew("reordered, with a new chain", reorder)?,
    ])
}

/// Makes the chain of records anew.
fn rechained(lines: Vec<String>) -> Result<Vec<String>> {
    let mut chain = Chain::genesis();
    let lines = lines.into_iter().map(|line| {
        let body = Entry::from_line(line.as_bytes())?.body;
        let entry = Entry { link: chain.append(&body), body };
        Ok(String::from_utf8(entry.to_line()?)?)
    });
    lines.collect()
}

/// A record of another log, as well made as those of this one.
fn foreign_line(whole: &[String]) -> Result<String> {
    let mut chain = Chain::genesis();
    let line = whole.get(3).context("no records")?;
    let body = Entry::from_line(line.as_bytes())?.body;
    let entry = Entry { link: chain.append(&body), body };
    Ok(String::from_utf8(entry.to_line()?)?)
}

const FILE: &str = "changed.jsonl";
/// LIMIT: how many checkpoints one run is given.
const KEPT_MAX: usize = 16;
