//! A process that is killed while it commits: nothing that it was told is lost.
//!
//! The process is this test binary, started again with the name of one test and a folder.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gate::ports::{
    Batch, Claim, Entry, Expect, Found, Key, MessageState, Op, QueueKey, Read, Settlement, Store,
};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};
use store::{Bounds, Embedded, Options};

const FOLDER: &str = "PALISADE_CRASH_TEST_FOLDER";
const ROUNDS: u64 = 20;

fn open(folder: &Path) -> Arc<Embedded> {
    let bounds = Bounds { queue_len_max: 1_000_000, statuses_max: 1_000_000, ..Bounds::default() };
    // Small segments, so that rounds end in checkpoints too.
    let options = Options {
        bounds,
        cache_bytes: 10_000,
        segment_bytes: 64 << 10,
        checkpoint_bytes: 128 << 10,
        archive_bytes: 64 << 10,
        ..Options::default()
    };
    Embedded::open(folder, options).unwrap()
}

fn agent() -> AgentId {
    AgentId::parse("a").unwrap()
}

fn queue() -> QueueKey {
    QueueKey { agent: agent(), instance: None }
}

fn message(number: u64) -> MessageId {
    MessageId::from_random(u128::from(number))
}

fn moment() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

/// A message, its record and a value that counts: all or none.
fn batch(number: u64) -> Batch {
    let envelope = Bytes::from(format!("{{\"n\":{number},\"pad\":\"{number:0>200}\"}}"));
    let entry = Entry {
        message: message(number),
        sender: agent(),
        queue: queue(),
        envelope,
        message_type: "t".to_owned(),
        accepted_at: moment(),
        expires_at: moment().after(Duration::from_secs(1_000)),
    };
    let (key, value) = (Key::Role(number.to_string()), Bytes::new());
    let put = Op::Put { key, value, expect: Expect::Absent, expires_at: None };
    let record = Op::record(format!("{{\"n\":{number}}}"));
    Batch { ops: vec![put, Op::Enqueue(entry), record] }
}

/// Commits messages and acknowledges every second one; calls back with what was confirmed.
async fn write(
    store: &Embedded,
    numbers: impl Iterator<Item = u64>,
    mut confirmed: impl FnMut(&str, u64),
) {
    let holder = SessionId::from_random(7);
    for number in numbers {
        let all =
            futures::future::join_all((0..8).map(|part| store.commit(batch(number * 8 + part))));
        for (part, done) in (0..8).zip(all.await) {
            done.unwrap();
            confirmed("queued", number * 8 + part);
        }
        let claim = Claim {
            queues: [queue(), queue()],
            holder,
            count: 4,
            bytes: 1_000_000,
            now: moment(),
            reclaim_after: Duration::from_secs(30),
            release: Vec::new(),
        };
        for leased in store.lease(claim).await.unwrap().messages {
            let how = Settlement::Acknowledged;
            let op = Op::Settle { message: leased.message, holder, how, at: moment() };
            store.commit(Batch { ops: vec![op] }).await.unwrap();
            confirmed("settled", u64::try_from(leased.message.number()).unwrap());
        }
    }
}

/// Also the process that is killed: then it writes until it is.
#[tokio::test]
async fn a_writer_confirms_what_it_wrote() {
    let mut out = std::io::stdout();
    if let Some(folder) = std::env::var_os(FOLDER) {
        let store = open(Path::new(&folder));
        let first = (0..).find(|n| !has(&store, n * 8)).unwrap();
        write(&store, first.., |what, number| writeln!(out, "\n{what} {number}").unwrap()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut confirmed = Vec::new();
    write(&store, 0..3, |what, number| confirmed.push((what.to_owned(), number))).await;
    assert_eq!(confirmed.iter().filter(|(what, _)| what == "queued").count(), 24);
    assert_eq!(confirmed.iter().filter(|(what, _)| what == "settled").count(), 12);
}

fn has(store: &Embedded, number: u64) -> bool {
    state(store, number).is_some()
}

fn state(store: &Embedded, number: u64) -> Option<MessageState> {
    use futures::FutureExt as _;
    let found = store.read(Read::Message(message(number))).now_or_never().unwrap().unwrap();
    found.map(|found| {
        let Found::Message(view) = found else { panic!("{found:?}") };
        view.state
    })
}

/// Starts the writer, kills it after so many lines, returns what it was told by then.
fn killed_after(folder: &Path, lines: usize) -> Vec<(String, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_writer_confirms_what_it_wrote", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let mut told = Vec::new();
    for (index, line) in out.lines().enumerate() {
        let line = line.unwrap();
        let mut words = line.split(' ');
        if let (Some(what @ ("queued" | "settled")), Some(number)) = (words.next(), words.next())
            && let Ok(number) = number.parse()
        {
            told.push((what.to_owned(), number));
        }
        if index == lines {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "the writer ended by itself");
    told
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_that_was_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queued, mut settled) = (BTreeSet::new(), BTreeSet::new());
    let mut random = 0x9e37_79b9_u64;
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let lines = usize::try_from(random >> 33).unwrap() % 1_200 + 20;
        for (what, number) in killed_after(folder.path(), lines) {
            if what == "queued" {
                queued.insert(number)
            } else {
                settled.insert(number)
            };
        }
        let store = open(folder.path());
        for number in &queued {
            let state = state(&store, *number);
            assert!(state.is_some(), "round {round}: message {number} is lost");
            if settled.contains(number) {
                assert_eq!(state, Some(MessageState::Acknowledged), "round {round}: {number}");
            }
        }
        check_audit(folder.path(), &store, &queued);
        store.close().unwrap();
    }
    assert!(queued.len() > 1_000, "only {} messages were confirmed", queued.len());
}

/// The chain holds; each record has its message, each message its record, exactly once.
fn check_audit(folder: &Path, store: &Embedded, queued: &BTreeSet<u64>) {
    let report = audit::verify(store::read_audit(folder, 1), None);
    assert!(report.ok, "{report:?}");
    let mut recorded = BTreeSet::new();
    for entry in store::read_audit(folder, 1) {
        let body = String::from_utf8(entry.unwrap().body.to_vec()).unwrap();
        let number = body.trim_start_matches("{\"n\":").trim_end_matches('}').parse().unwrap();
        assert!(recorded.insert(number), "message {number} was recorded twice");
        assert!(has(store, number), "message {number} was recorded but not queued");
    }
    assert!(queued.is_subset(&recorded), "a message was queued but not recorded");
}
