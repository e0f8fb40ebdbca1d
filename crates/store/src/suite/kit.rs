//! What the cases are written with: short ways to build batches and to compare.
//!
//! It checks nothing by itself.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gate::ports::{
    Batch, Claim, Entry, Expect, Found, Key, Leases, MessageState, MessageView, Op, QueueKey, Read,
    Retry, Scan, Settlement, Store, StoreError, Versioned,
};
use gate::types::{AgentId, InstanceId, MessageId, SessionId, Timestamp};

use super::Subject;

/// What a case ends with: nothing, or what was seen instead.
pub(super) type Checked = Result<(), String>;

/// How long the takeover of an idle lease takes in the cases.
pub(super) const RECLAIM: Duration = Duration::from_secs(30);

/// An engine under check.
pub(super) struct Kit {
    subject: Box<dyn Subject>,
}

impl Kit {
    pub(super) fn new(subject: Box<dyn Subject>) -> Self {
        Self { subject }
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.subject.store()
    }

    pub(super) async fn reopen(&mut self) -> Checked {
        self.subject.reopen().await
    }

    pub(super) async fn commit(&self, ops: Vec<Op>) -> Checked {
        self.store().commit(Batch { ops }).await.map_err(|error| format!("refused: {error}"))
    }

    /// Commits what must be refused with exactly this error.
    pub(super) async fn refuse(&self, ops: Vec<Op>, error: StoreError) -> Checked {
        same("a refusal", &self.store().commit(Batch { ops }).await, &Err(error))
    }

    pub(super) async fn conflict(&self, op: usize, ops: Vec<Op>) -> Checked {
        self.refuse(ops, StoreError::Conflict { op }).await
    }

    pub(super) async fn read(&self, what: Read) -> Result<Option<Found>, String> {
        self.store().read(what).await.map_err(|error| format!("read: {error}"))
    }

    pub(super) async fn scan(&self, what: Scan, count: usize) -> Result<Vec<Found>, String> {
        self.store().scan(what, count).await.map_err(|error| format!("scan: {error}"))
    }

    pub(super) async fn value(&self, key: &Key, now: u64) -> Result<Option<Versioned>, String> {
        match self.read(Read::Value(key.clone(), at(now))).await? {
            None => Ok(None),
            Some(Found::Value(found)) => Ok(Some(found)),
            Some(other) => Err(format!("a value is read as {other:?}")),
        }
    }

    pub(super) async fn version(&self, key: &Key, now: u64) -> Result<u64, String> {
        let found = self.value(key, now).await?;
        found.map(|found| found.version).ok_or_else(|| format!("{key:?} is absent"))
    }

    pub(super) async fn view(&self, number: u128) -> Result<Option<MessageView>, String> {
        match self.read(Read::Message(message(number))).await? {
            None => Ok(None),
            Some(Found::Message(view)) => Ok(Some(view)),
            Some(other) => Err(format!("a message is read as {other:?}")),
        }
    }

    pub(super) async fn state(&self, number: u128) -> Result<Option<MessageState>, String> {
        Ok(self.view(number).await?.map(|view| view.state))
    }

    pub(super) async fn depth(&self, name: &str) -> Result<u64, String> {
        match self.read(Read::Depth(agent(name)?)).await? {
            Some(Found::Depth(depth)) => Ok(depth),
            other => Err(format!("a depth is read as {other:?}")),
        }
    }

    pub(super) async fn total_depth(&self) -> Result<u64, String> {
        match self.read(Read::TotalDepth).await? {
            Some(Found::Depth(depth)) => Ok(depth),
            other => Err(format!("a depth is read as {other:?}")),
        }
    }

    pub(super) async fn record_count(&self) -> Result<u64, String> {
        match self.read(Read::RecordCount).await? {
            Some(Found::RecordCount(count)) => Ok(count),
            other => Err(format!("a number of entries is read as {other:?}")),
        }
    }

    pub(super) async fn lease(&self, claim: Claim) -> Result<Leases, String> {
        self.store().lease(claim).await.map_err(|error| format!("lease: {error}"))
    }

    /// Leases up to `count` messages of agent `b` to a session; returns message and attempt.
    pub(super) async fn take(
        &self,
        holder: u128,
        now: u64,
        count: usize,
    ) -> Result<Vec<(u128, u32)>, String> {
        let leases = self.lease(Claim { count, ..claim(holder, now)? }).await?;
        Ok(leases.messages.iter().map(|m| (m.message.number(), m.attempt)).collect())
    }
}

/// Compares what was seen with what should be.
pub(super) fn same<T: PartialEq + Debug>(what: &str, seen: &T, wanted: &T) -> Checked {
    if seen == wanted {
        return Ok(());
    }
    Err(format!("{what} is {seen:?} and should be {wanted:?}"))
}

/// A moment so many seconds into the case.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000 + seconds) * 1_000_000)
}

pub(super) fn agent(name: &str) -> Result<AgentId, String> {
    AgentId::parse(name).map_err(|error| error.to_string())
}

pub(super) const fn message(number: u128) -> MessageId {
    MessageId::from_random(number)
}

pub(super) const fn session(number: u128) -> SessionId {
    SessionId::from_random(number)
}

/// The queue of an agent, or with a second name of one instance of it.
pub(super) fn queue(name: &str, instance: Option<&str>) -> Result<QueueKey, String> {
    let instance =
        instance.map(InstanceId::parse).transpose().map_err(|error| error.to_string())?;
    Ok(QueueKey { agent: agent(name)?, instance })
}

/// A message from `a` to the shared queue of `b`, accepted at second 0, that lasts 1,000 s.
pub(super) fn entry(number: u128) -> Result<Entry, String> {
    Ok(Entry {
        message: message(number),
        sender: agent("a")?,
        queue: queue("b", None)?,
        envelope: Bytes::from(format!("{{\"message\":{number}}}")),
        message_type: format!("type-{number}"),
        accepted_at: at(0),
        expires_at: at(1_000),
    })
}

pub(super) fn enqueue(number: u128) -> Result<Op, String> {
    Ok(Op::Enqueue(entry(number)?))
}

/// A message with an envelope of so many bytes.
pub(super) fn sized(number: u128, bytes: usize) -> Result<Entry, String> {
    Ok(Entry { envelope: Bytes::from(vec![b'x'; bytes]), ..entry(number)? })
}

/// Asks for everything that instance `i` of agent `b` may have.
pub(super) fn claim(holder: u128, now: u64) -> Result<Claim, String> {
    Ok(Claim {
        queues: [queue("b", None)?, queue("b", Some("i"))?],
        holder: session(holder),
        count: 100,
        bytes: 1_000_000,
        or_one: true,
        now: at(now),
        reclaim_after: RECLAIM,
        release: Vec::new(),
    })
}

pub(super) const fn settle(number: u128, holder: u128, how: Settlement, when: Timestamp) -> Op {
    Op::Settle { message: message(number), holder: session(holder), how, at: when }
}

pub(super) fn ack(number: u128, holder: u128) -> Op {
    settle(number, holder, Settlement::Acknowledged, at(1))
}

pub(super) fn kill(number: u128, holder: u128, when: u64) -> Op {
    settle(number, holder, Settlement::Dead { reason: format!("because {number}") }, at(when))
}

pub(super) fn retry(number: u128, holder: u128, not_before: u64) -> Op {
    let retry = Retry { not_before: at(not_before), counts: true };
    settle(number, holder, Settlement::Retry(retry), at(1))
}

pub(super) fn put(key: &Key, value: &'static str, expect: Expect) -> Op {
    Op::Put {
        key: key.clone(),
        value: Bytes::from_static(value.as_bytes()),
        expect,
        expires_at: None,
    }
}
