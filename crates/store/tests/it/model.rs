//! Random operations on the model and on the embedded engine: both must answer alike, also after
//! the power was cut.
//!
//! `PALISADE_MODEL_CASES` says how many sequences are tried.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gate::limits::RateLimits;
use gate::ports::{
    Batch, Claim, CounterClass, DeadLetterScan, Entry, Expect, Key, Op, QueueKey, Read, Retry,
    Scan, Sent, Settlement, Space, Store, StoreError,
};
use gate::types::{AgentId, CorrelationId, InstanceId, MessageId, SessionId, Timestamp};
use proptest::prelude::*;
use store::{Bounds, Embedded, Memory, Options};
use tempfile::TempDir;

use crate::fragile::Fragile;

const BOUNDS: Bounds = Bounds {
    queue_bytes_max: 500,
    queue_len_max: 5,
    share_bytes_max: 350,
    share_len_max: 3,
    sender_bytes_max: 450,
    total_bytes_max: 700,
    dead_letters_max: 3,
    dead_letter_bytes_max: 300,
    agent_letters_max: 2,
    agent_letter_bytes_max: 250,
    statuses_max: 2,
    sent_max: 2,
};
const LIMITS: RateLimits = RateLimits { per_minute: 3, per_hour: 6 };
const MESSAGES: u128 = 7;
const KEYS: u128 = 5;

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Draft>),
    Lease {
        holder: u128,
        instance: bool,
        count: usize,
        release: Option<u128>,
    },
    Pass(u64),
    /// Ends without a checkpoint.
    Restart,
    /// Ends with a checkpoint.
    Reopen,
    /// The power fails while nothing happens.
    LosePower,
    /// The power fails at the operation of the disk behind so many others.
    CutAfter(u64),
}

/// An operation without its time, which depends on when it is done.
#[derive(Debug, Clone)]
enum Draft {
    Put { key: u8, expect: u8, lasts: Option<u64> },
    Delete { key: u8, expect: u8 },
    Count { agent: bool },
    Enqueue { message: u128, way: (bool, bool), instance: bool, bytes: usize, lasts: u64 },
    Settle { message: u128, holder: u128, how: u8 },
    Expire(u128),
    Revive(u128),
    Drop(u128),
    Record(u8),
    Remember { sender: bool, key: u128, lasts: u64 },
}

fn draft() -> impl Strategy<Value = Draft> {
    let message = 0..MESSAGES;
    prop_oneof![
        2 => (0..4_u8, 0..5_u8, proptest::option::of(0..40_u64))
            .prop_map(|(key, expect, lasts)| Draft::Put { key, expect, lasts }),
        1 => (0..4_u8, 0..5_u8).prop_map(|(key, expect)| Draft::Delete { key, expect }),
        1 => any::<bool>().prop_map(|agent| Draft::Count { agent }),
        4 => (message.clone(), any::<(bool, bool)>(), any::<bool>(), 0..200_usize, 5..200_u64)
            .prop_map(|(message, way, instance, bytes, lasts)| {
                Draft::Enqueue { message, way, instance, bytes, lasts }
            }),
        5 => (message.clone(), 0..3_u128, 0..5_u8)
            .prop_map(|(message, holder, how)| Draft::Settle { message, holder, how }),
        1 => message.clone().prop_map(Draft::Expire),
        1 => message.clone().prop_map(Draft::Revive),
        1 => message.prop_map(Draft::Drop),
        1 => any::<u8>().prop_map(Draft::Record),
        2 => (any::<bool>(), 0..KEYS, 0..60_u64)
            .prop_map(|(sender, key, lasts)| Draft::Remember { sender, key, lasts }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec(draft(), 1..5).prop_map(Step::Commit),
        5 => (0..3_u128, any::<bool>(), 0..4_usize, proptest::option::of(0..3_u128)).prop_map(
            |(holder, instance, count, release)| Step::Lease { holder, instance, count, release }
        ),
        2 => (1..40_u64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
        1 => Just(Step::Reopen),
        1 => Just(Step::LosePower),
        1 => (0..30_u64).prop_map(Step::CutAfter),
    ]
}

fn name(second: bool) -> AgentId {
    AgentId::parse(if second { "b" } else { "a" }).unwrap()
}

fn queue(agent: AgentId, instance: bool) -> QueueKey {
    let instance = instance.then(|| InstanceId::parse("i").unwrap());
    QueueKey { agent, instance }
}

fn key(number: u8) -> Key {
    match number {
        0 => Key::Pending(CorrelationId::from_random(0)),
        1 => Key::Pending(CorrelationId::from_random(1)),
        2 => Key::Role("r".to_owned()),
        _ => Key::Circuit { target: name(false), sender: None },
    }
}

fn expect(number: u8) -> Expect {
    match number {
        0 | 1 => Expect::Anything,
        2 => Expect::Absent,
        other => Expect::Version(u64::from(other)),
    }
}

fn op(draft: &Draft, now: Timestamp) -> Op {
    let later = |seconds| now.after(Duration::from_secs(seconds));
    let id = MessageId::from_random;
    match *draft {
        Draft::Put { key: number, expect: wanted, lasts } => Op::Put {
            key: key(number),
            value: Bytes::from(vec![number, wanted]),
            expect: expect(wanted),
            expires_at: lasts.map(later),
        },
        Draft::Delete { key: number, expect: wanted } => {
            Op::Delete { key: key(number), expect: expect(wanted) }
        }
        Draft::Count { agent } => {
            Op::Count { agent: name(agent), class: CounterClass::Message, at: now, limits: LIMITS }
        }
        Draft::Enqueue { message, way: (from, to), instance, bytes, lasts } => Op::Enqueue(Entry {
            message: id(message),
            sender: name(from),
            queue: queue(name(to), instance),
            envelope: Bytes::from(vec![b'e'; bytes]),
            message_type: format!("t{bytes}"),
            accepted_at: now,
            expires_at: later(lasts),
        }),
        Draft::Settle { message, holder, how } => Op::Settle {
            message: id(message),
            holder: SessionId::from_random(holder),
            how: match how {
                0 | 1 => Settlement::Acknowledged,
                2 => Settlement::Dead { reason: format!("r{holder}") },
                other => Settlement::Retry(Retry { not_before: later(9), counts: other == 3 }),
            },
            at: now,
        },
        Draft::Expire(message) => Op::Expire { message: id(message), at: now },
        Draft::Revive(message) => Op::Revive { message: id(message), expires_at: later(50) },
        Draft::Drop(message) => Op::Drop { message: id(message) },
        Draft::Record(byte) => Op::record(format!("{{\"n\":{byte}}}")),
        Draft::Remember { sender, key, lasts } => Op::Remember(Sent {
            sender: name(sender),
            key,
            content: key << 1,
            message: id(key),
            correlation: None,
            expires_at: later(lasts),
        }),
    }
}

fn options() -> Options {
    Options {
        bounds: BOUNDS,
        cache_bytes: 150,
        segment_bytes: 8 << 10,
        checkpoint_bytes: 8 << 10,
        archive_bytes: 2 << 10,
        ..Options::default()
    }
}

/// Everything that both engines can be asked.
async fn ask(store: &dyn Store, now: Timestamp) -> Vec<String> {
    let mut answers = Vec::new();
    for message in (0..MESSAGES).map(MessageId::from_random) {
        answers.push(format!("{:?}", store.read(Read::Message(message)).await));
        answers.push(format!("{:?}", store.read(Read::DeadLetter(message)).await));
    }
    for agent in [name(false), name(true)] {
        let class = CounterClass::Message;
        let window = Read::Window { agent: agent.clone(), class, limits: LIMITS, now };
        answers.push(format!("{:?}", store.read(window).await));
        answers.push(format!("{:?}", store.read(Read::Depth(agent)).await));
    }
    for (sender, key) in [false, true].into_iter().flat_map(|of| (0..KEYS).map(move |k| (of, k))) {
        let sent = Read::Sent { sender: name(sender), key, now };
        answers.push(format!("{:?}", store.read(sent).await));
    }
    for space in [Space::Pending, Space::Role, Space::Circuit] {
        let scan = Scan::Values { space, after: None, now };
        answers.push(format!("{:?}", store.scan(scan, 9).await));
    }
    let letters = Scan::DeadLetters(DeadLetterScan::default());
    answers.push(format!("{:?}", store.read(Read::TotalDepth).await));
    for scan in [letters, Scan::Expired { now }, Scan::Queues, Scan::Records { from: 1 }] {
        answers.push(format!("{:?}", store.scan(scan, 1_000).await));
    }
    answers
}

/// The engine on a disk whose power can be cut.
struct Subject {
    folder: TempDir,
    disk: Arc<Fragile>,
    engine: Arc<Embedded>,
    seed: u64,
    _removed: TempDir,
}

impl Subject {
    fn open(folder: TempDir, seed: u64) -> Self {
        let removed = tempfile::tempdir().unwrap();
        let disk = Arc::new(Fragile::new(folder.path(), removed.path(), seed, u64::MAX));
        let engine = Embedded::open_on(folder.path(), options(), Arc::<Fragile>::clone(&disk) as _);
        Self { folder, disk, engine: engine.unwrap(), seed, _removed: removed }
    }

    /// Cuts the power, if it is not cut, and starts again with what is left.
    fn lose_power(self) -> Self {
        self.disk.cut();
        drop(self.engine);
        let left = tempfile::tempdir().unwrap();
        self.disk.survivors(left.path());
        Self::open(left, self.seed + 1)
    }

    /// Ends and starts again, in an orderly way or not.
    fn restart(self, is_orderly: bool) -> Self {
        let closed = if is_orderly { self.engine.close() } else { Ok(()) };
        drop(self.engine);
        if self.disk.is_cut() {
            let left = tempfile::tempdir().unwrap();
            self.disk.survivors(left.path());
            return Self::open(left, self.seed + 1);
        }
        closed.unwrap();
        Self::open(self.folder, self.seed + 1)
    }
}

async fn run(steps: Vec<Step>, seed: u64) {
    let mut model = Memory::new(BOUNDS);
    let mut subject = Subject::open(tempfile::tempdir().unwrap(), seed);
    let mut now = Timestamp::from_micros(1_700_000_000_000_000);
    for step in steps {
        match step {
            Step::Commit(drafts) => {
                let ops = drafts.iter().map(|draft| op(draft, now)).collect();
                let batch = Batch { ops };
                let before = model.restarted();
                let wanted = model.commit(batch.clone()).await;
                let done = subject.engine.commit(batch.clone()).await;
                if done != wanted && subject.disk.is_cut() {
                    assert!(matches!(done, Err(StoreError::Unreachable(_))), "{done:?}");
                    subject = subject.lose_power();
                    // Nobody was told whether the batch took effect, but it did or it did not.
                    let after = model.restarted();
                    let found = ask(&*subject.engine, now).await;
                    let is_before = found == ask(&before, now).await;
                    model = if is_before { before } else { after };
                } else {
                    assert_eq!(done, wanted, "{batch:?}");
                }
            }
            Step::Lease { holder, instance, count, release } => {
                let claim = Claim {
                    queues: [queue(name(true), false), queue(name(instance), true)],
                    holder: SessionId::from_random(holder),
                    count,
                    bytes: 250,
                    or_one: true,
                    now,
                    reclaim_after: Duration::from_secs(20),
                    release: release.into_iter().map(SessionId::from_random).collect(),
                };
                let wanted = model.lease(claim.clone()).await.unwrap();
                let leases = subject.engine.lease(claim).await.unwrap();
                assert_eq!(leases.messages, wanted.messages);
                assert_eq!(leases.wake_at, wanted.wake_at);
            }
            Step::Pass(seconds) => now = now.after(Duration::from_secs(seconds)),
            Step::CutAfter(operations) => subject.disk.cut_after(operations),
            Step::Restart | Step::Reopen | Step::LosePower => {
                subject = if matches!(step, Step::LosePower) {
                    subject.lose_power()
                } else {
                    subject.restart(matches!(step, Step::Reopen))
                };
                model = model.restarted();
            }
        }
        assert_eq!(ask(&*subject.engine, now).await, ask(&model, now).await);
    }
    let entries = store::read_audit(subject.folder.path(), 1);
    assert!(audit::verify(entries, None).ok);
}

fn cases() -> u32 {
    std::env::var("PALISADE_MODEL_CASES").map_or(96, |text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_engine_answers_as_the_model_does(
        steps in proptest::collection::vec(step(), 1..80),
        seed in 0..1_000_000_u64,
    ) {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).build().unwrap();
        let runtime = Arc::new(runtime);
        runtime.block_on(run(steps, seed));
    }
}
