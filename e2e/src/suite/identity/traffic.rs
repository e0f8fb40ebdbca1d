//! Honest clients that send one message after the other, and the agent that takes them all.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
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
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// What one of the failed ones was told.
    pub(super) failure: Option<String>,
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
                if let Err(error) = client.send("sink", "note", &json!({})).await {
                    sent.failed += 1;
                    sent.failure = Some(error.to_string());
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
                requests: 0,
                failed: 1,
                failure: Some(cause.to_string()),
            };
            let sent = sent.unwrap_or_else(gone);
            all.failure = all.failure.or(sent.failure);
            all.requests += sent.requests;
            all.failed += sent.failed;
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

    /// Waits until so many messages arrived.
    pub(super) async fn got(self, messages: u64) -> Result<()> {
        let wanted = usize::try_from(messages)?;
        let arrived = || {
            let got = self.got.lock().len();
            async move { Ok((got >= wanted).then_some(())) }
        };
        eventually("all messages", arrived)
            .await
            .with_context(|| format!("{} of {messages} messages arrived", self.got.lock().len()))
    }
}

const BETWEEN: Duration = Duration::from_millis(100);
