//! Logs of lines, read and verified like archives.

use std::fs;

use super::{LINE_BYTES_MAX, LineReader};
use crate::sample::log;
use crate::{EntryError, Fault, What, verify};

fn lines(entries: u64) -> Vec<u8> {
    log(entries).iter().flat_map(|entry| [entry.to_line().unwrap(), vec![b'\n']].concat()).collect()
}

fn reader(content: &[u8]) -> LineReader {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, content).unwrap();
    LineReader::open(path).unwrap()
}

#[test]
fn a_log_of_lines_can_be_verified() {
    let report = verify(reader(&lines(20)), None);
    assert!(report.ok, "{report:?}");
    assert_eq!(report.entries, 20);
}

#[test]
fn every_edited_line_is_found() {
    let text = String::from_utf8(lines(3)).unwrap();
    let edited = text.replacen("\"ALLOWED\"", "\"DLP_BLOCKED\"", 1);
    let report = verify(reader(edited.as_bytes()), None);
    assert_eq!((report.problems.len(), report.problems[0].seq), (1, Some(2)));
    assert_eq!(report.problems[0].what, What::Edited);
}

#[test]
fn a_line_that_is_none_is_reported_and_the_next_read() {
    let mut content = b"{}\n".to_vec();
    content.extend(lines(1));
    let found: Vec<_> = reader(&content).collect();
    let damage = found[0].as_ref().unwrap_err();
    assert_eq!((damage.offset, &damage.what), (0, &Fault::NotALine(EntryError::NotALine)));
    assert!(found[1].is_ok());
}

#[test]
fn a_torn_last_line_is_reported_and_ends_the_log() {
    let mut content = lines(1);
    let whole = content.len() as u64;
    content.extend_from_slice(b"{\"seq\":2");
    let found: Vec<_> = reader(&content).collect();
    let damage = found[1].as_ref().unwrap_err();
    assert_eq!((damage.offset, &damage.what), (whole, &Fault::TornTail { bytes: 8 }));
    assert_eq!(found.len(), 2);
}

#[test]
fn an_endless_line_is_not_read_into_memory() {
    let found: Vec<_> = reader(&vec![b'x'; 2 * LINE_BYTES_MAX]).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].as_ref().unwrap_err().what, Fault::LongLine);
}
