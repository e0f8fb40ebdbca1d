//! Honest clients that send one message after the other, and the agent that takes them all.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_client::{Client, Options};
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::patience::eventually;

/// Clients that send until they are told to stop.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    clients: JoinSet<Sent>,
    stop: Arc<AtomicBool>,
}

/// What clients sent.
#[derive(Debug, Default, Clone)]
pub(super) struct Sent {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// What one of the failed ones was told.
    failure: Option<String>,
    /// The ids that were given for the others.
    accepted: HashSet<String>,
}

impl Sent {
    /// Adds what others sent.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            failed: self.failed + other.failed,
            failure: self.failure.clone().or_else(|| other.failure.clone()),
            accepted: self.accepted.union(&other.accepted).cloned().collect(),
        }
    }

    /// Checks that there was something, and that nothing of it failed.
    pub(super) fn held(&self) -> Result<()> {
        let Self { requests, failed, failure, .. } = self;
        ensure!(*failed == 0, "{failed} requests failed, such as: {failure:?}");
        ensure!(*requests > 0, "nothing was sent");
        Ok(())
    }
}

impl Traffic {
    /// Connects one more client, which sends to `sink` from now on.
    pub(super) async fn add(&mut self, options: Options) -> Result<()> {
        let client = Client::connect(options).await?;
        let stop = Arc::clone(&self.stop);
        self.clients.spawn(async move {
            let mut sent = Sent::default();
            while !stop.load(Ordering::Relaxed) {
                sent.requests += 1;
                match client.send("sink", "note", &json!({})).await {
                    Ok(id) => drop(sent.accepted.insert(id.to_string())),
                    Err(error) => {
                        sent.failed += 1;
                        sent.failure = Some(error.to_string());
                    }
                }
                sleep(BETWEEN).await;
            }
            client.close().await;
            sent
        });
        Ok(())
    }

    /// Stops all of them.
    pub(super) async fn stop(mut self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        while let Some(sent) = self.clients.join_next().await {
            let gone = |cause: tokio::task::JoinError| Sent {
                failed: 1,
                failure: Some(cause.to_string()),
                ..Sent::default()
            };
            all = all.and(&sent.unwrap_or_else(gone));
        }
        all
    }
}

/// The agent `sink`, which acknowledges everything.
#[derive(Debug)]
pub(super) struct Sink {
    got: Arc<Mutex<HashSet<String>>>,
    _listening: JoinSet<()>,
}

impl Sink {
    /// Connects it.
    pub(super) async fn start(options: Options) -> Result<Self> {
        let client = Client::connect(options).await?;
        let got: Arc<Mutex<HashSet<String>>> = Arc::default();
        let mut listening = JoinSet::new();
        let into = Arc::clone(&got);
        listening.spawn(async move {
            let taken = client.listen(move |message| {
                into.lock().insert(message.message_id.to_string());
                async { Ok(()) }
            });
            drop(taken.await);
        });
        Ok(Self { got, _listening: listening })
    }

    /// Waits until everything arrived that was accepted. More than that may only come of requests
    /// that failed: anything else was sent twice.
    pub(super) async fn got(self, sent: &Sent) -> Result<()> {
        let missing = || sent.accepted.difference(&self.got.lock()).count();
        let arrived = || {
            let is_there = missing() == 0;
            async move { Ok(is_there.then_some(())) }
        };
        let waited = eventually("all messages", arrived).await;
        waited.with_context(|| format!("{} of {} are missing", missing(), sent.accepted.len()))?;
        let more = u64::try_from(self.got.lock().difference(&sent.accepted).count())?;
        ensure!(more <= sent.failed, "{more} messages came that nobody sent");
        Ok(())
    }
}

const BETWEEN: Duration = Duration::from_millis(100);
