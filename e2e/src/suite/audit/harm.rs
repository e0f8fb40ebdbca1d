//! What can be done to the files of a store, on copies: it is found, and its place is named.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use audit::{ArchiveReader, ArchiveWriter, Entry, file_name};

use super::Effort;
use super::desk::{Desk, copy, refused, size};
use super::place::{Expected, frame_of};
use crate::{Dice, Report};

/// Changes the files of a store: single bits, and whole files.
pub(super) async fn files(
    desk: &Desk,
    effort: Effort,
    dice: &mut Dice,
    report: &mut Report,
) -> Result<()> {
    let data = desk.site.path("filed");
    in_files(&desk.site.path("data"), &data)?;
    let kept = desk.site.path("kept.checkpoint");
    fs::copy(desk.cosigned()?, &kept)?;
    let kept = kept.display().to_string();
    for name in ["tampers_tried", "tampers_found"] {
        report.add(name, 0);
    }
    let archives = named_files(&data.join("audit"), "audit")?;
    ensure!(archives.len() > FILES / 2, "the log was hardly archived: {archives:?}");
    let mut missed = None;
    let mut judged = |found: Result<()>| {
        report.add("tampers_tried", 1);
        report.add("tampers_found", u64::from(found.is_ok()));
        missed = missed.take().or_else(|| found.err());
    };
    for _ in 0..effort.rounds(25, 1_000) {
        let archive = &archives[usize::try_from(dice.below(archives.len() as u64))?];
        judged(Box::pin(flipped(desk, &data, archive, (&kept, &mut *dice))).await);
    }
    for (how, work) in harms() {
        let harmed = desk.site.path("harmed");
        drop(fs::remove_dir_all(&harmed));
        copy(&data, &harmed)?;
        let expected = work(&harmed).context(how)?;
        let found = refused(&desk.verify(&harmed, &["--checkpoint", &kept]).await?);
        judged(found.and_then(|found| expected.check(&found)).context(how));
    }
    missed.map_or(Ok(()), Err)?;
    let sound = desk.verify(&data, &["--checkpoint", &kept]).await?.ok()?.json()?;
    ensure!(sound["anchored"] == size(Path::new(&kept))?, "{sound}");
    Ok(())
}

/// Copies a store, its archive cut into several files, as that of a longer log is.
fn in_files(data: &Path, to: &Path) -> Result<()> {
    copy(data, to)?;
    let folder = to.join("audit");
    let entries: Vec<Entry> = ArchiveReader::open(&folder)?.collect::<Result<_, _>>()?;
    for file in named_files(&folder, "audit")? {
        fs::remove_file(file)?;
    }
    for part in entries.chunks(entries.len() / FILES + 1) {
        let first = part.first().context("no entries")?;
        let mut writer = ArchiveWriter::open(folder.join(file_name(first.link.seq)))?;
        part.iter().try_for_each(|entry| writer.append(entry))?;
        writer.sync()?;
    }
    Ok(())
}

/// Flips a bit of a file for the time of a check: the entry that has it must be named.
async fn flipped(
    desk: &Desk,
    data: &Path,
    archive: &Path,
    (kept, dice): (&str, &mut Dice),
) -> Result<()> {
    let bytes = fs::read(archive)?;
    let (at, bit) = (usize::try_from(dice.below(bytes.len() as u64))?, dice.below(8));
    let expected = Expected::byte(archive, frame_of(&bytes, at)?);
    let mut changed = bytes.clone();
    changed[at] ^= 1 << bit;
    fs::write(archive, changed)?;
    let run = desk.verify(data, &["--checkpoint", kept]).await;
    fs::write(archive, bytes)?;
    let found = refused(&run?).and_then(|found| expected.check(&found));
    found.with_context(|| format!("{archive:?} byte {at} bit {bit}"))
}

/// Does something to the files of a store; returns what a check must say.
type Harm = fn(&Path) -> Result<Expected>;

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
            let frame = frame_of(&bytes, bytes.len() / 2)?;
            fs::write(last, bytes.get(..frame + 20).unwrap_or_default())?;
            empty_log(data)?;
            Ok(Expected::byte(last, frame))
        }),
        ("a file stands for another", |data| {
            let files = named_files(&data.join("audit"), "audit")?;
            let (first, last) = (files.first().context("no file")?, files.last());
            fs::copy(first, last.context("no file")?)?;
            empty_log(data)?;
            ends_with(&files)
        }),
        ("the first file is gone", |data| {
            let files = named_files(&data.join("audit"), "audit")?;
            let [first, second, ..] = files.as_slice() else { bail!("one file: {files:?}") };
            fs::remove_file(first)?;
            Ok(Expected::first_of(second))
        }),
    ]
}

fn remove_last(data: &Path, count: usize) -> Result<Expected> {
    let mut files = named_files(&data.join("audit"), "audit")?;
    for file in files.split_off(files.len().saturating_sub(count)) {
        fs::remove_file(file)?;
    }
    empty_log(data)?;
    ends_with(&files)
}

/// What must be said where these files are all that is left.
fn ends_with(files: &[PathBuf]) -> Result<Expected> {
    let last = files.last().map(|file| anyhow::Ok((file, fs::read(file)?))).transpose()?;
    Expected::end(last.as_ref().map(|(file, bytes)| (file.as_path(), bytes.as_slice())))
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

/// Files of the archive; those of a gate are larger than a suite should wait for.
const FILES: usize = 6;
