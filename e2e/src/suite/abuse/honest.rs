//! Honest agents: a hundred of them, each sends to the next at its own pace and acknowledges what
//! it is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use palisade_client::Client;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

use super::ground::{Ground, HONEST, honest};

/// The agents, at work until this is dropped.
#[derive(Debug)]
pub(super) struct Load {
    seen: Arc<Seen>,
    began: Instant,
    tasks: JoinSet<()>,
    clients: Vec<Client>,
}

#[derive(Debug, Default)]
struct Seen {
    sent: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
    /// When each message was sent, and after how long it was acknowledged, in microseconds.
    arrived: Mutex<Vec<(u64, u64)>>,
}

impl Load {
    /// Connects all, and lets them work.
    pub(super) async fn start(ground: &Ground) -> Result<Self> {
        let mut load = Self {
            seen: Arc::default(),
            began: Instant::now(),
            tasks: JoinSet::new(),
            clients: Vec::new(),
        };
        for number in 0..HONEST {
            load.clients.push(ground.site.connect(&ground.gate, &honest(number)).await?);
        }
        for (number, client) in load.clients.iter().enumerate() {
            let began = load.began;
            load.tasks.spawn(receive(client.clone(), Arc::clone(&load.seen), began));
            let next = honest(number.wrapping_add(1));
            load.tasks.spawn(send(client.clone(), next, Arc::clone(&load.seen), (began, number)));
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
        let arrived = self.seen.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let within = arrived.iter().filter(|(at, _)| (from..to).contains(at));
        let mut took: Vec<u64> = within.map(|(_, took)| *took).collect();
        took.sort_unstable();
        let rank = took.len().checked_sub(took.len() / 100 + 1)?;
        took.get(rank).copied().filter(|_| took.len() >= SAMPLES_MIN)
    }

    /// Lets all finish; nothing may have been refused or lost.
    ///
    /// # Errors
    /// Says what was.
    pub(super) async fn finish(mut self) -> Result<u64> {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        let failed = self.seen.failed.load(Ordering::Relaxed);
        let first = self.seen.first_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        ensure!(failed == 0, "{failed} calls of honest agents failed, the first: {first:?}");
        for client in &self.clients {
            client.close().await;
        }
        Ok(self.seen.sent.load(Ordering::Relaxed))
    }

    /// Waits until everything that was sent has arrived.
    ///
    /// # Errors
    /// Says how much has not.
    pub(super) async fn settle(&self) -> Result<()> {
        // Those under way now; later ones are the next caller's.
        let sent = self.seen.sent.load(Ordering::Relaxed);
        for _ in 0..SETTLE_TRIES {
            let arrived = self.seen.arrived.lock().unwrap_or_else(PoisonError::into_inner).len();
            if u64::try_from(arrived).unwrap_or_default() >= sent {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("messages of honest agents did not arrive")
    }
}

/// Messages of each agent in a second are one by this.
const PACE: Duration = Duration::from_millis(333);
/// A hundredth of fewer would say nothing.
const SAMPLES_MIN: usize = 100;
const SETTLE_TRIES: u32 = 200;

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn send(client: Client, next: String, seen: Arc<Seen>, (began, number): (Instant, usize)) {
    // Spread over the pace, so that they do not all send at once.
    let offset = PACE / 100 * u32::try_from(number % 100).unwrap_or_default();
    let mut ticks = interval_at(Instant::now() + offset, PACE);
    loop {
        ticks.tick().await;
        let at = micros(began);
        match client.send(&next, "work", &json!({ "at": at, "text": "a few words" })).await {
            Ok(_) => drop(seen.sent.fetch_add(1, Ordering::Relaxed)),
            Err(error) => {
                seen.failed.fetch_add(1, Ordering::Relaxed);
                let mut first = seen.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

async fn receive(client: Client, seen: Arc<Seen>, began: Instant) {
    let mut messages = client.messages();
    while let Some(incoming) = messages.next().await {
        let at = incoming.message.data.get("at").and_then(serde_json::Value::as_u64);
        if incoming.ack().await.is_ok()
            && let Some(at) = at
        {
            let took = micros(began).saturating_sub(at);
            seen.arrived.lock().unwrap_or_else(PoisonError::into_inner).push((at, took));
        }
    }
}
