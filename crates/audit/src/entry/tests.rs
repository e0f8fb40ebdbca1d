//! Lines hold entries byte for byte, and nothing else passes as a line.

use bytes::Bytes;
use proptest::prelude::*;

use super::{Entry, EntryError};
use crate::{Chain, Record, sample, to_hex};

#[test]
fn a_line_is_the_link_and_the_record() {
    let entry = &sample::log(2)[1];
    let line = String::from_utf8(entry.to_line().unwrap()).unwrap();
    let (hash, prev) = (to_hex(&entry.link.hash), to_hex(&entry.link.prev));
    let start = format!(r#"{{"seq":2,"hash":"{hash}","prev_hash":"{prev}","timestamp":"#);
    assert!(line.starts_with(&start), "{line}");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["message_id"], "m-2");
    assert_eq!(Record::decode(line.as_bytes()).unwrap(), entry.record().unwrap());
    assert_eq!(Entry::from_line(line.as_bytes()).unwrap(), *entry);
}

#[test]
fn a_body_that_is_no_line_is_refused() {
    for body in ["", "{", "{}", "[]", "x", "{\"a\":1}\n", "{\"a\":\n1}", "{\"a\":1"] {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let entry = Entry { link: Chain::genesis().append(&body), body };
        assert_eq!(entry.to_line(), Err(EntryError::NotCanonical), "{:?}", entry.body);
    }
}

#[test]
fn a_line_that_is_not_ours_is_refused() {
    let line = String::from_utf8(sample::log(1)[0].to_line().unwrap()).unwrap();
    let table = [
        String::new(),
        "{}".to_owned(),
        line.replace("{\"seq\":1,", "{\"seq\":01,"),
        line.replace("{\"seq\":1,", "{\"seq\":,"),
        line.replace("{\"seq\":1,", "{\"seq\":99999999999999999999,"),
        line.replace("{\"seq\":1,", "{"),
        line.replace("\"hash\":\"", "\"hash\":\"Z"),
        line.replace("\"prev_hash\"", "\"previous\""),
        line.to_uppercase(),
        format!(" {line}"),
    ];
    for line in table {
        assert_eq!(Entry::from_line(line.as_bytes()), Err(EntryError::NotALine), "{line}");
    }
    let torn = &line.as_bytes()[..line.len() - 1];
    assert_eq!(Entry::from_line(torn), Err(EntryError::NotCanonical));
}

proptest! {
    #[test]
    fn reading_any_line_never_panics(line in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Entry::from_line(&line).is_err());
    }

    #[test]
    fn a_changed_line_is_refused_or_a_different_entry(place in 0_usize..400, bit in 0_u8..8) {
        let entry = sample::log(1).remove(0);
        let mut line = entry.to_line().unwrap();
        let place = place % line.len();
        line[place] ^= 1 << bit;
        prop_assert_ne!(Entry::from_line(&line).ok(), Some(entry));
    }
}
