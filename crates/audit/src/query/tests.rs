//! Filters, each alone and together, their limit, and damage on the way.

use super::{Filter, query};
use crate::sample::{log, read};
use crate::{Damage, Entry, Fault, Record};

fn seqs(filter: &Filter) -> Vec<u64> {
    query(read(&log(12)), filter).map(|found| found.unwrap().link.seq).collect()
}

#[test]
fn each_filter_picks_its_records() {
    let some = |text: &str| Some(text.to_owned());
    let all = Filter::default;
    let table = [
        (all(), (1..=12).collect()),
        (Filter { sender: some("a"), ..all() }, vec![3, 6, 9, 12]),
        (Filter { target: some("a"), ..all() }, vec![2, 5, 8, 11]),
        (Filter { agent: some("a"), ..all() }, vec![2, 3, 5, 6, 8, 9, 11, 12]),
        (Filter { agent: some("A"), ..all() }, vec![]),
        (Filter { decision: some("ALLOWED"), ..all() }, vec![2, 4, 6, 8, 10, 12]),
        (Filter { event_type: some("message.send"), limit: 1, ..all() }, vec![1]),
        (Filter { event_type: some("authentication"), ..all() }, vec![]),
        (Filter { message_id: some("m-7"), ..all() }, vec![7]),
        (Filter { from: Some(11_000_000), ..all() }, vec![11, 12]),
        (Filter { from: Some(11_000_001), ..all() }, vec![12]),
        (Filter { to: Some(2_000_000), ..all() }, vec![1, 2]),
        (Filter { to: Some(1_999_999), ..all() }, vec![1]),
        (Filter { from: Some(3_000_000), to: Some(5_000_000), limit: 2, ..all() }, vec![3, 4]),
        (Filter { sender: some("a"), decision: some("ALLOWED"), ..all() }, vec![6, 12]),
        (Filter { limit: 0, ..all() }, vec![]),
    ];
    for (filter, expected) in table {
        assert_eq!(seqs(&filter), expected, "{filter:?}");
    }
}

#[test]
fn a_record_without_a_readable_time_is_outside_every_time_range() {
    let record = Record { timestamp: "soon".into(), ..Record::default() };
    assert!(Filter::default().matches(&record));
    assert!(!Filter { from: Some(0), ..Filter::default() }.matches(&record));
    assert!(!Filter { to: Some(i64::MAX), ..Filter::default() }.matches(&record));
}

#[test]
fn damage_comes_through_and_the_query_goes_on() {
    let mut entries: Vec<Result<Entry, Damage>> = read(&log(3)).collect();
    let damage = Damage { path: "x".into(), offset: 5, what: Fault::Broken { bytes: 1 } };
    entries.insert(1, Err(damage.clone()));
    entries[2].as_mut().unwrap().body = b"{\"timestamp\":7}".as_slice().into();
    let filter = Filter { limit: 2, ..Filter::default() };
    let found: Vec<_> = query(entries.into_iter(), &filter).collect();
    assert_eq!(found[0].as_ref().unwrap().link.seq, 1);
    assert_eq!(found[1], Err(damage));
    assert_eq!(found[2].as_ref().unwrap_err().what, Fault::NotARecord { column: 14 });
    assert_eq!(found[3].as_ref().unwrap().link.seq, 3);
    assert_eq!(found.len(), 4);
}
