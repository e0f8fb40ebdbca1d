//! Honest agents: a hundred of them, each sends to the next at its own pace and acknowledges what
//! it is sent; half of them by the native session, half by the MAS wire.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use palisade_client::{Client, MessageId, Options, Wire};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout};

use super::ground::{Ground, HONEST, honest};

/// The agents, at work until this is dropped.
#[derive(Debug)]
pub(super) struct Load {
    seen: Arc<Seen>,
    began: Instant,
    senders: JoinSet<()>,
    receivers: JoinSet<()>,
    clients: Vec<Client>,
}

#[derive(Debug, Default)]
struct Seen {
    sent: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
    /// When each message was sent, and after how long it was acknowledged, in microseconds.
    arrived: Mutex<Vec<(u64, u64)>>,
    ids: Mutex<Ids>,
    is_over: AtomicBool,
}

/// Which messages have come, and which have not.
#[derive(Debug, Default)]
struct Ids {
    /// The gate has them, and their receiver has not.
    awaited: BTreeSet<MessageId>,
    /// They came before their sender knew of them, or once more.
    early: BTreeSet<MessageId>,
}

impl Ids {
    fn sent(&mut self, id: MessageId) {
        if !self.early.remove(&id) {
            self.awaited.insert(id);
        }
    }

    fn arrived(&mut self, id: MessageId) {
        if !self.awaited.remove(&id) {
            self.early.insert(id);
        }
    }
}

/// What became of all that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finished {
    pub(super) sent: u64,
    /// Messages that came once more, or whose sender was told that they were not taken.
    pub(super) again: usize,
}

impl Load {
    /// Connects all, and lets them work.
    pub(super) async fn start(ground: &Ground) -> Result<Self> {
        let mut load = Self {
            seen: Arc::default(),
            began: Instant::now(),
            senders: JoinSet::new(),
            receivers: JoinSet::new(),
            clients: Vec::new(),
        };
        for number in 0..HONEST {
            let wire = if number % 2 == 0 { Wire::Native } else { Wire::Mas };
            let options = ground.site.options(&ground.gate, &honest(number));
            let client = Box::pin(Client::connect(Options { wire, ..options })).await;
            let client = client.with_context(|| format!("the gate: {}", ground.gate.log()))?;
            load.clients.push(client);
        }
        for (number, client) in load.clients.iter().enumerate() {
            let began = load.began;
            load.receivers.spawn(receive(client.clone(), Arc::clone(&load.seen), began));
            let next = honest(number.wrapping_add(1));
            load.senders.spawn(send(client.clone(), next, Arc::clone(&load.seen), (began, number)));
        }
        Ok(load)
    }

    /// Returns how many microseconds it has been going on.
    pub(super) fn now(&self) -> u64 {
        micros(self.began)
    }

    /// Returns how long a hundredth of the messages took at least that were sent in a span, in
    /// microseconds; nothing if there were too few.
    pub(super) fn p99(&self, from: u64, to: u64) -> Option<u64> {
        let arrived = hold(&self.seen.arrived);
        let within = arrived.iter().filter(|(at, _)| (from..to).contains(at));
        let mut took: Vec<u64> = within.map(|(_, took)| *took).collect();
        took.sort_unstable();
        let rank = took.len().checked_sub(took.len() / 100 + 1)?;
        took.get(rank).copied().filter(|_| took.len() >= SAMPLES_MIN)
    }

    /// Lets all finish; nothing may have been refused, and nothing be lost.
    ///
    /// # Errors
    /// Says what was.
    pub(super) async fn finish(mut self) -> Result<Finished> {
        self.seen.is_over.store(true, Ordering::Relaxed);
        let senders = async { while self.senders.join_next().await.is_some() {} };
        timeout(PATIENCE, senders).await.context("honest senders do not end")?;
        self.settle().await?;
        self.receivers.abort_all();
        while self.receivers.join_next().await.is_some() {}
        let failed = self.seen.failed.load(Ordering::Relaxed);
        let first = hold(&self.seen.first_failure).take();
        ensure!(failed == 0, "{failed} calls of honest agents failed, the first: {first:?}");
        for client in &self.clients {
            client.close().await;
        }
        let again = hold(&self.seen.ids).early.len();
        Ok(Finished { sent: self.seen.sent.load(Ordering::Relaxed), again })
    }

    /// Waits until each message that was taken has arrived.
    ///
    /// # Errors
    /// Says how many have not.
    pub(super) async fn settle(&self) -> Result<()> {
        // Those under way now; later ones are the next caller's.
        let mut awaited = hold(&self.seen.ids).awaited.clone();
        for _ in 0..SETTLE_TRIES {
            {
                let now = hold(&self.seen.ids);
                awaited.retain(|id| now.awaited.contains(id));
            }
            if awaited.is_empty() {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("{} messages of honest agents did not arrive", awaited.len())
    }
}

/// Messages of each agent in a second are one by this.
const PACE: Duration = Duration::from_millis(333);
/// A hundredth of fewer would say nothing.
const SAMPLES_MIN: usize = 100;
const SETTLE_TRIES: u32 = 200;
/// Longer than a call may take.
const PATIENCE: Duration = Duration::from_secs(40);

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn hold<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send(client: Client, next: String, seen: Arc<Seen>, (began, number): (Instant, usize)) {
    // Spread over the pace, so that they do not all send at once.
    let offset = PACE / 100 * u32::try_from(number % 100).unwrap_or_default();
    let mut ticks = interval_at(Instant::now() + offset, PACE);
    while !seen.is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let at = micros(began);
        match client.send(&next, "work", &json!({ "at": at, "text": "a few words" })).await {
            Ok(id) => {
                seen.sent.fetch_add(1, Ordering::Relaxed);
                hold(&seen.ids).sent(id);
            }
            Err(error) => {
                seen.failed.fetch_add(1, Ordering::Relaxed);
                hold(&seen.first_failure).get_or_insert_with(|| error.to_string());
            }
        }
    }
}

async fn receive(client: Client, seen: Arc<Seen>, began: Instant) {
    let mut messages = client.messages();
    while let Some(incoming) = messages.next().await {
        let at = incoming.message.data.get("at").and_then(Value::as_u64);
        let id = incoming.message.message_id.clone();
        if incoming.ack().await.is_ok()
            && let Some(at) = at
        {
            let took = micros(began).saturating_sub(at);
            hold(&seen.arrived).push((at, took));
            hold(&seen.ids).arrived(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_twice_does_not_stand_for_one_that_is_lost() {
        let mut ids = Ids::default();
        let [one, two] = ["one", "two"].map(MessageId::new);
        ids.arrived(one.clone());
        ids.sent(one.clone());
        ids.sent(two.clone());
        ids.arrived(one.clone());
        assert_eq!(ids.awaited, [two].into());
        assert_eq!(ids.early, [one].into());
    }
}
