//! Everything that can be done to a log is found, at its place.

use proptest::prelude::*;

use std::path::PathBuf;
use std::sync::Arc;

use super::{Anchor, Place, Report, Spot, What, verify, verify_against};
use crate::sample::{log, read, resealed};
use crate::{
    ArchiveReader, ArchiveWriter, Damage, Entry, Fault, Frontier, Hash, Unplaced, file_name,
    leaf_hash,
};

fn check(entries: &[Entry]) -> Report {
    verify(read(entries), None)
}

/// Returns what was found: the number, the position and what is wrong.
fn found(report: &Report) -> Vec<(u64, u64, What)> {
    assert_eq!(report.ok, report.problems.is_empty());
    assert_eq!(report.problem_count, report.problems.len() as u64);
    let problem = |problem: &super::Problem| match problem.place {
        Place::Entry { position, .. } => (problem.seq.unwrap(), position, problem.what.clone()),
        Place::Byte(_) | Place::End { .. } => panic!("{problem}"),
    };
    report.problems.iter().map(problem).collect()
}

#[test]
fn a_whole_log_is_whole() {
    let entries = log(10);
    let report = check(&entries);
    assert!(report.ok, "{report:?}");
    assert_eq!((report.entries, report.first_seq, report.last_seq), (10, 1, 10));
    assert_eq!(report.head, entries[9].link.hash);
    assert!(report.against(10, entries[9].link.hash).ok);
}

#[test]
fn an_empty_log_is_whole_unless_more_was_expected() {
    let report = check(&[]);
    assert!(report.ok);
    assert_eq!((report.entries, report.first_seq, report.last_seq), (0, 0, 0));
    assert_eq!(report.against(3, [7; 32]).problems[0].what, What::WrongEnd { expected: 3 });
}

#[test]
fn an_edited_entry_is_found() {
    let mut entries = log(5);
    entries[2].body = b"{\"decision\":\"ALLOWED\"}".as_slice().into();
    assert_eq!(found(&check(&entries)), [(3, 3, What::Edited)]);
}

#[test]
fn an_entry_edited_with_its_hash_is_found_by_its_successor() {
    let mut entries = log(5);
    entries[2] = resealed(&entries[2], b"{\"decision\":\"ALLOWED\"}");
    assert_eq!(found(&check(&entries)), [(4, 4, What::Unlinked)]);
}

#[test]
fn an_edited_link_is_found() {
    let mut entries = log(5);
    entries[2].link.prev[0] ^= 1;
    assert_eq!(found(&check(&entries)), [(3, 3, What::Edited), (3, 3, What::Unlinked)]);
}

#[test]
fn repairing_the_next_link_as_the_reference_allows_is_found() {
    let mut entries = log(5);
    entries[2] = resealed(&entries[2], b"{\"decision\":\"ALLOWED\"}");
    entries[3].link.prev = entries[2].link.hash;
    assert_eq!(found(&check(&entries)), [(4, 4, What::Edited)]);
}

#[test]
fn a_missing_entry_is_found() {
    let mut entries = log(6);
    entries.drain(2..4);
    assert_eq!(found(&check(&entries)), [(5, 3, What::Missing { from: 3, to: 4 })]);
    let headless = &log(6)[1..];
    assert_eq!(found(&check(headless)), [(2, 1, What::Missing { from: 1, to: 1 })]);
}

#[test]
fn a_missing_entry_hidden_by_new_numbers_is_found() {
    let mut entries = log(4);
    entries.remove(1);
    entries[1].link.seq = 2;
    entries[2].link.seq = 3;
    let expected = [(2, 2, What::Edited), (2, 2, What::Unlinked), (3, 3, What::Edited)];
    assert_eq!(found(&check(&entries)), expected);
}

#[test]
fn a_duplicated_entry_is_found() {
    let mut entries = log(4);
    entries.insert(2, entries[1].clone());
    assert_eq!(found(&check(&entries)), [(2, 3, What::Duplicated)]);
    let mut first = log(2);
    first.insert(1, first[0].clone());
    assert_eq!(found(&check(&first)), [(1, 2, What::Duplicated)]);
}

#[test]
fn reordered_entries_are_found() {
    let mut entries = log(5);
    entries.swap(2, 3);
    let expected = [(4, 3, What::Missing { from: 3, to: 3 }), (3, 4, What::Reordered)];
    assert_eq!(found(&check(&entries)), expected);
}

#[test]
fn a_splice_of_two_logs_is_found() {
    let mut entries = log(6);
    let mut chain = crate::Chain::genesis();
    let other: Vec<Entry> = entries
        .iter()
        .map(|_| Entry { link: chain.append(b"{\"x\":1}"), body: b"{\"x\":1}".as_slice().into() })
        .collect();
    entries.splice(3.., other[3..].iter().cloned());
    assert_eq!(found(&check(&entries)), [(4, 4, What::Unlinked)]);
}

#[test]
fn a_cut_tail_is_found_against_a_kept_head() {
    let entries = log(5);
    let kept = entries[4].link;
    let cut = check(&entries[..4]);
    assert!(cut.ok, "nothing in the log itself shows it");
    let report = cut.against(kept.seq, kept.hash);
    assert!(!report.ok);
    assert_eq!(report.problems[0].what, What::WrongEnd { expected: 5 });
    assert_eq!(report.problems[0].to_string(), "end of the log: the last entry should be 5");
}

#[test]
fn a_last_entry_edited_with_its_hash_is_found_against_a_kept_head() {
    let mut entries = log(5);
    let kept = entries[4].link;
    entries[4] = resealed(&entries[4], b"{\"decision\":\"ALLOWED\"}");
    let report = check(&entries).against(kept.seq, kept.hash);
    assert_eq!(report.problems[0].what, What::WrongHead);
}

#[test]
fn a_part_is_verified_from_where_it_starts() {
    let entries = log(6);
    let part = &entries[3..];
    assert!(verify(read(part), Some((4, entries[2].link.hash))).ok);
    let report = verify(read(part), Some((4, [9; 32])));
    assert_eq!(found(&report), [(4, 1, What::Unlinked)]);
    let report = verify(read(part), Some((3, [9; 32])));
    assert_eq!(found(&report), [(4, 1, What::Missing { from: 3, to: 3 })]);
}

#[test]
fn damage_is_reported_with_its_byte() {
    let entries = log(2);
    let what = Fault::Broken { bytes: 9 };
    let damage = Damage { path: "x.audit".into(), offset: 40, what: what.clone() };
    let all = [Ok(entries[0].clone()), Err(damage), Ok(entries[1].clone())];
    let report = verify(Unplaced(all.into_iter()), None);
    assert_eq!(report.problems.len(), 1);
    let spot = Spot { path: Arc::new("x.audit".into()), offset: 40 };
    assert_eq!(report.problems[0].place, Place::Byte(spot));
    assert_eq!(report.problems[0].what, What::Damaged(what));
}

#[test]
fn problems_are_counted_beyond_those_named() {
    let mut entries = log(300);
    for entry in &mut entries {
        entry.body = b"{\"x\":1}".as_slice().into();
    }
    let report = check(&entries);
    assert_eq!((report.problems.len(), report.problem_count), (100, 300));
}

#[test]
fn a_report_becomes_json() {
    let mut entries = log(2);
    entries.remove(0);
    let json = serde_json::to_value(check(&entries)).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["head"], crate::to_hex(&entries[0].link.hash));
    assert_eq!(json["problems"][0]["seq"], 2);
    assert_eq!(json["problems"][0]["place"], "position 1");
    assert_eq!(json["problems"][0]["what"], "entry 1 is missing before it");
}

/// The tree over the first entries of a log.
fn anchor(entries: &[Entry], size: usize) -> Anchor {
    let mut tree = Frontier::new();
    entries[..size].iter().for_each(|entry| tree.append(leaf_hash(&entry.body)));
    Anchor { size: size as u64, root: tree.root() }
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report.problems.iter().map(|problem| problem.what.code()).collect()
}

#[test]
fn a_log_that_goes_on_agrees_with_every_tree_that_was_kept() {
    let entries = log(20);
    let anchors: Vec<Anchor> = [20, 0, 7, 8].map(|size| anchor(&entries, size)).into();
    let report = verify_against(read(&entries), &anchors);
    assert!(report.ok, "{report:?}");
    assert_eq!((report.anchored, report.root), (20, Some(anchors[0].root)));
    let report = verify_against(read(&entries[..0]), &anchors[1..2]);
    assert!(report.ok && report.root == Some(crate::empty_root()));
}

#[test]
fn a_cut_tail_is_found_against_a_kept_tree() {
    let entries = log(20);
    let anchors = [7, 15, 20].map(|size| anchor(&entries, size));
    let report = verify_against(read(&entries[..14]), &anchors);
    let what: Vec<&What> = report.problems.iter().map(|problem| &problem.what).collect();
    assert_eq!(what, [&What::Truncated { size: 15 }, &What::Truncated { size: 20 }]);
    assert_eq!(report.anchored, 7);
}

#[test]
fn a_history_written_anew_is_found_against_a_kept_tree() {
    let entries = log(20);
    let kept = [5, 9, 20].map(|size| anchor(&entries, size));
    let mut chain = crate::Chain::genesis();
    let anew: Vec<Entry> = entries
        .iter()
        .enumerate()
        .map(|(n, entry)| {
            let body = if n == 6 { b"{\"x\":1}".as_slice().into() } else { entry.body.clone() };
            Entry { link: chain.append(&body), body }
        })
        .collect();
    assert!(check(&anew).ok, "nothing in the log itself shows it");
    let report = verify_against(read(&anew), &kept);
    assert_eq!(found(&report), [(9, 9, What::AnotherHistory { size: 9 })]);
    assert_eq!((report.anchored, report.root), (5, None));
}

/// An archive of two files in a folder.
fn two_files(entries: &[Entry]) -> (tempfile::TempDir, [PathBuf; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let half = entries.len() / 2;
    let paths = [&entries[..half], &entries[half..]].map(|part| {
        let path = folder.path().join(file_name(part[0].link.seq));
        let mut writer = ArchiveWriter::open(&path).unwrap();
        part.iter().for_each(|entry| writer.append(entry).unwrap());
        writer.sync().unwrap();
        path
    });
    (folder, paths)
}

fn places(report: &Report) -> Vec<(PathBuf, u64)> {
    let spot = |problem: &super::Problem| match problem.place.clone() {
        Place::Entry { spot, .. } => spot,
        Place::Byte(spot) => Some(spot),
        Place::End { last } => last,
    };
    let spots = report.problems.iter().map(|problem| spot(problem).unwrap());
    spots.map(|spot| (spot.path.to_path_buf(), spot.offset)).collect()
}

#[test]
fn file_and_byte_are_named() {
    let mut entries = log(10);
    let kept: [Hash; 1] = [anchor(&entries, 10).root];
    let bytes = |entries: &[Entry]| entries.iter().map(|e| 80 + e.body.len() as u64).sum::<u64>();
    let (folder, paths) = two_files(&entries);
    let archive = || ArchiveReader::open(folder.path()).unwrap();
    let longer = Anchor { size: 11, root: kept[0] };
    let report = verify_against(archive(), &[longer]);
    assert_eq!(kinds(&report), ["truncated"]);
    assert_eq!(places(&report), [(paths[1].clone(), 8 + bytes(&entries[5..9]))]);
    let other = Anchor { size: 7, root: [7; 32] };
    let report = verify_against(archive(), &[other]);
    assert_eq!(kinds(&report), ["another_history"]);
    assert_eq!(places(&report), [(paths[1].clone(), 8 + bytes(&entries[5..6]))]);
    entries[2] = resealed(&entries[2], b"{\"x\":1}");
    entries[3].link.prev = entries[2].link.hash;
    let (folder, paths) = two_files(&entries);
    let report = verify(ArchiveReader::open(folder.path()).unwrap(), None);
    assert_eq!(kinds(&report), ["edited"]);
    assert_eq!(places(&report), [(paths[0].clone(), 8 + bytes(&entries[..3]))]);
    let text = report.problems[0].to_string();
    let place = format!("position 4, {}, byte {}", paths[0].display(), 8 + bytes(&entries[..3]));
    assert_eq!(text, format!("entry 4 ({place}): was changed: it does not match its hash"));
}

#[test]
fn a_missing_file_of_the_archive_is_found() {
    let entries = log(10);
    let (folder, paths) = two_files(&entries);
    std::fs::remove_file(&paths[0]).unwrap();
    let report = verify(ArchiveReader::open(folder.path()).unwrap(), None);
    assert_eq!(kinds(&report), ["missing"]);
    assert_eq!(places(&report), [(paths[1].clone(), 8)]);
    let (folder, paths) = two_files(&entries);
    std::fs::remove_file(&paths[1]).unwrap();
    let kept = [anchor(&entries, 10)];
    let report = verify_against(ArchiveReader::open(folder.path()).unwrap(), &kept);
    assert_eq!(kinds(&report), ["truncated"]);
}

proptest! {
    /// Any other sequence of sound entries than the log itself is found, but for a cut tail.
    #[test]
    fn only_a_prefix_of_the_log_passes(picked in prop::collection::vec(0_usize..8, 0..10)) {
        let entries = log(8);
        let chosen: Vec<Entry> = picked.iter().map(|n| entries[*n].clone()).collect();
        let is_prefix = picked.iter().enumerate().all(|(place, n)| place == *n);
        prop_assert_eq!(check(&chosen).ok, is_prefix);
    }
}
