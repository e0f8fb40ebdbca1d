//! Work for a store and the book of what it confirmed, to be compared with what a crash left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use gate::ports::{
    Batch, Claim, Entry, Expect, Found, Key, MessageState, Op, QueueKey, Read, Retry, Settlement,
    Store as _, StoreError,
};
use gate::types::{AgentId, MessageId, SessionId, Timestamp};
use store::{Bounds, Embedded, Options};

use crate::random::Random;

/// Small segments, so that every few messages something is rolled, checkpointed and recycled.
pub(crate) fn options(segment_bytes: u64) -> Options {
    let bounds = Bounds { queue_len_max: 1_000_000, statuses_max: 1_000_000, ..Bounds::default() };
    Options {
        bounds,
        cache_bytes: 2_000,
        segment_bytes,
        checkpoint_bytes: segment_bytes * 2,
        archive_bytes: segment_bytes,
        ..Options::default()
    }
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Acknowledged,
    Dead,
    Retried,
}

/// What happens to a message. What is tried may take effect, what is done has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Sending(u64),
    Sent(u64),
    Ending(u64, End),
    Ended(u64, End),
}

impl Event {
    /// Returns the event as a line, by which another process tells it.
    pub(crate) fn line(self) -> String {
        match self {
            Self::Sending(number) => format!("sending {number}"),
            Self::Sent(number) => format!("sent {number}"),
            Self::Ending(number, end) => format!("ending {number} {end:?}"),
            Self::Ended(number, end) => format!("ended {number} {end:?}"),
        }
    }

    /// Reads such a line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (what, number) = (words.next()?, words.next()?.parse().ok()?);
        let end = words.next().and_then(|word| {
            [End::Acknowledged, End::Dead, End::Retried]
                .into_iter()
                .find(|end| format!("{end:?}") == word)
        });
        Some(match (what, end) {
            ("sending", None) => Self::Sending(number),
            ("sent", None) => Self::Sent(number),
            ("ending", Some(end)) => Self::Ending(number, end),
            ("ended", Some(end)) => Self::Ended(number, end),
            _ => return None,
        })
    }
}

/// What was tried with each message and what was confirmed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    messages: BTreeMap<u64, Line>,
}

#[derive(Debug, Default)]
struct Line {
    is_sent: bool,
    /// What was tried since the message was last known to be queued.
    tried: Vec<End>,
    /// The end that was confirmed, if it was one.
    ended: Option<End>,
    /// Whether a retry was ever tried: its place in the queue is another one then.
    is_retried: bool,
}

impl Ledger {
    pub(crate) fn note(&mut self, event: Event) {
        let (Event::Sending(number)
        | Event::Sent(number)
        | Event::Ending(number, _)
        | Event::Ended(number, _)) = event;
        let line = self.messages.entry(number).or_default();
        match event {
            Event::Sending(_) => {}
            Event::Sent(_) => line.is_sent = true,
            Event::Ending(_, end) => {
                line.is_retried |= end == End::Retried;
                line.tried.push(end);
            }
            Event::Ended(_, End::Retried) => line.tried.clear(),
            Event::Ended(_, end) => line.ended = Some(end),
        }
    }

    /// Returns a number that no message has.
    pub(crate) fn next(&self) -> u64 {
        self.messages.last_key_value().map_or(1, |(last, _)| last + 1)
    }

    pub(crate) fn confirmed(&self) -> usize {
        self.messages.values().filter(|line| line.is_sent).count()
    }

    /// Compares the ledger with a store that was opened after a crash; returns how many messages
    /// are gone, or the ends of which, that were confirmed. What is found there counts as confirmed
    /// from now on: somebody has seen it.
    #[must_use]
    pub(crate) async fn check(&mut self, store: &Embedded, folder: &Path) -> u64 {
        let mut queued = Vec::new();
        let (mut sent, mut dead) = (BTreeSet::new(), BTreeSet::new());
        let lost =
            self.messages.iter().filter(|(number, line)| line.is_lost(state(store, **number)));
        let lost = lost.inspect(|(number, line)| println!("lost: message {number}, {line:?}"));
        let lost = lost.count() as u64;
        if lost > 0 {
            // What else differs follows from that.
            return lost;
        }
        for (number, line) in &mut self.messages {
            let state = state(store, *number);
            line.check(*number, state);
            line.is_sent |= state.is_some();
            let is_noted = has_note(store, *number);
            assert_eq!(is_noted, line.is_sent, "message {number} and its value differ");
            match state {
                Some(MessageState::Queued) => {
                    line.tried.clear();
                    queued.push((*number, line.is_retried));
                }
                Some(MessageState::DeadLettered) => {
                    line.ended = Some(End::Dead);
                    dead.insert(*number);
                    assert_eq!(letter(store, *number).await, Some(envelope(*number)));
                }
                Some(MessageState::Acknowledged) => line.ended = Some(End::Acknowledged),
                None => continue,
                other => panic!("message {number} is {other:?}"),
            }
            sent.insert(*number);
        }
        check_records(folder, &sent, &dead);
        check_queue(store, &queued).await;
        lost
    }
}

impl Line {
    /// Tells whether the message, or its end, was confirmed and is not there.
    fn is_lost(&self, state: Option<MessageState>) -> bool {
        match state {
            None => self.is_sent,
            Some(state) => self.ended.is_some() && self.ended != end_of(state),
        }
    }

    fn check(&self, number: u64, state: Option<MessageState>) {
        let Some(state) = state else { return };
        let is_tried = end_of(state).is_none_or(|end| self.tried.contains(&end));
        assert!(is_tried, "message {number} is {state:?}, which nobody asked for");
    }
}

fn end_of(state: MessageState) -> Option<End> {
    match state {
        MessageState::Acknowledged => Some(End::Acknowledged),
        MessageState::DeadLettered => Some(End::Dead),
        MessageState::Queued | MessageState::Delivered | MessageState::Expired => None,
    }
}

/// The chain holds; each message and each dead letter has one record, and each record its effect.
fn check_records(folder: &Path, sent: &BTreeSet<u64>, dead: &BTreeSet<u64>) {
    let report = audit::verify(store::read_audit(folder, 1), None);
    assert!(report.ok, "{report:?}");
    let (mut sent_found, mut dead_found) = (BTreeSet::new(), BTreeSet::new());
    for entry in store::read_audit(folder, 1) {
        let body = String::from_utf8(entry.unwrap().body.to_vec()).unwrap();
        let number = |kind| body.strip_prefix(kind)?.strip_suffix('}')?.parse::<u64>().ok();
        let is_new = match (number("{\"sent\":"), number("{\"dead\":")) {
            (Some(number), None) => sent_found.insert(number),
            (None, Some(number)) => dead_found.insert(number),
            other => panic!("{body}: {other:?}"),
        };
        assert!(is_new, "{body} was recorded twice");
    }
    assert_eq!(&sent_found, sent, "records and messages differ");
    assert_eq!(&dead_found, dead, "records and dead letters differ");
}

/// Each message is leased once, whole, and in the order in which they were sent.
async fn check_queue(store: &Embedded, queued: &[(u64, bool)]) {
    let mut leased = BTreeSet::new();
    let in_order = queued.iter().filter(|(_, is_retried)| !is_retried).map(|(number, _)| *number);
    let in_order: BTreeSet<u64> = in_order.collect();
    let mut last = 0;
    let claim = Claim { count: usize::MAX, bytes: usize::MAX, ..claim(SessionId::from_random(7)) };
    for found in store.lease(claim).await.unwrap().messages {
        let number = u64::try_from(found.message.number()).unwrap();
        assert_eq!(found.envelope, envelope(number));
        assert!(leased.insert(number), "message {number} was leased twice");
        if in_order.contains(&number) {
            assert!(number > last, "message {number} is behind {last}");
            last = number;
        }
    }
    let wanted: BTreeSet<u64> = queued.iter().map(|(number, _)| *number).collect();
    assert_eq!(leased, wanted, "what is leased is not what is queued");
}

/// Sends and settles until the store fails or `steps` are done; tells what it does.
///
/// # Errors
///
/// Returns the failure. A full disk is none: what it refuses is tried again later.
pub(crate) async fn work(
    store: &Embedded,
    random: &mut Random,
    (first, steps): (u64, u64),
    mut told: impl FnMut(Event),
) -> Result<(), StoreError> {
    let holder = SessionId::from_random(1);
    let mut next = first;
    for _ in 0..steps {
        let count = random.below(8) + 1;
        let numbers = next..next + count;
        next += count;
        numbers.clone().for_each(|number| told(Event::Sending(number)));
        let all = futures::future::join_all(numbers.clone().map(|n| store.commit(batch(n))));
        let mut failed = Ok(());
        for (number, done) in numbers.zip(all.await) {
            match done {
                Ok(()) => told(Event::Sent(number)),
                Err(StoreError::DiskFull) => {}
                Err(error) => failed = Err(error),
            }
        }
        failed?;
        let claim = Claim { count: usize::try_from(random.below(12)).unwrap(), ..claim(holder) };
        for found in store.lease(claim).await?.messages {
            let number = u64::try_from(found.message.number()).unwrap();
            let end = match random.below(8) {
                0 => End::Retried,
                1 => End::Dead,
                _ => End::Acknowledged,
            };
            told(Event::Ending(number, end));
            match store.commit(settling(number, holder, end)).await {
                Ok(()) => told(Event::Ended(number, end)),
                Err(StoreError::DiskFull) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn agent() -> AgentId {
    AgentId::parse("a").unwrap()
}

pub(crate) fn message(number: u64) -> MessageId {
    MessageId::from_random(u128::from(number))
}

fn moment() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

fn note_key(number: u64) -> Key {
    Key::Role(number.to_string())
}

pub(crate) fn envelope(number: u64) -> Bytes {
    let pad = "x".repeat(usize::try_from(number * 37 % 700).unwrap());
    Bytes::from(format!("{{\"n\":{number},\"pad\":\"{pad}\"}}"))
}

/// A message, its record and a value: all or none.
pub(crate) fn batch(number: u64) -> Batch {
    let entry = Entry {
        message: message(number),
        sender: agent(),
        queue: QueueKey { agent: agent(), instance: None },
        envelope: envelope(number),
        message_type: "t".to_owned(),
        accepted_at: moment(),
        expires_at: moment().after(Duration::from_secs(1_000)),
    };
    let (key, value) = (note_key(number), Bytes::new());
    let put = Op::Put { key, value, expect: Expect::Absent, expires_at: None };
    let record = Op::record(format!("{{\"sent\":{number}}}"));
    Batch { ops: vec![put, Op::Enqueue(entry), record] }
}

fn settling(number: u64, holder: SessionId, end: End) -> Batch {
    let how = match end {
        End::Acknowledged => Settlement::Acknowledged,
        End::Dead => Settlement::Dead { reason: "r".to_owned() },
        End::Retried => Settlement::Retry(Retry { not_before: moment(), counts: true }),
    };
    let mut ops = vec![Op::Settle { message: message(number), holder, how, at: moment() }];
    if end == End::Dead {
        ops.push(Op::record(format!("{{\"dead\":{number}}}")));
    }
    Batch { ops }
}

pub(crate) fn claim(holder: SessionId) -> Claim {
    let queue = QueueKey { agent: agent(), instance: None };
    Claim {
        queues: [queue.clone(), queue],
        holder,
        count: 0,
        bytes: 1_000_000,
        or_one: true,
        now: moment().after(Duration::from_secs(1)),
        reclaim_after: Duration::from_secs(30),
        release: Vec::new(),
    }
}

pub(crate) fn state(store: &Embedded, number: u64) -> Option<MessageState> {
    let found = store.read(Read::Message(message(number))).now_or_never().unwrap().unwrap();
    found.map(|found| {
        let Found::Message(view) = found else { panic!("{found:?}") };
        view.state
    })
}

fn has_note(store: &Embedded, number: u64) -> bool {
    let read = store.read(Read::Value(note_key(number), moment()));
    read.now_or_never().unwrap().unwrap().is_some()
}

async fn letter(store: &Embedded, number: u64) -> Option<Bytes> {
    match store.read(Read::DeadLetter(message(number))).await.unwrap() {
        Some(Found::DeadLetter(letter)) => letter.envelope,
        other => panic!("{number}: {other:?}"),
    }
}

#[test]
fn a_message_or_an_end_that_was_confirmed_and_is_gone_is_lost() {
    let told = |events: &[Event]| {
        let mut ledger = Ledger::default();
        events.iter().for_each(|event| ledger.note(*event));
        ledger.messages.remove(&1).unwrap()
    };
    let tried = told(&[Event::Sending(1)]);
    assert!(!tried.is_lost(None) && !tried.is_lost(Some(MessageState::Queued)));
    let sent = told(&[Event::Sending(1), Event::Sent(1), Event::Ending(1, End::Dead)]);
    assert!(sent.is_lost(None));
    assert!(!sent.is_lost(Some(MessageState::Queued)));
    let ended = told(&[Event::Sent(1), Event::Ending(1, End::Dead), Event::Ended(1, End::Dead)]);
    assert!(!ended.is_lost(Some(MessageState::DeadLettered)));
    for state in [Some(MessageState::Queued), Some(MessageState::Acknowledged), None] {
        assert!(ended.is_lost(state), "{state:?}");
    }
}
