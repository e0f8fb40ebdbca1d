//! What the gate took from attackers is as safe as what it took from anyone: in the end all of it
//! is there, or is a dead letter.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use palisade_client::{Client, MessageId, MessageState};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::ground::Ground;
use super::tally::Taken;

/// Takes everything that waits for those whom attackers sent to, and compares.
///
/// # Errors
/// Says what is lost.
pub(super) async fn reconcile(ground: &Ground, taken: &Taken) -> Result<Value> {
    let sender = ground.site.connect(&ground.gate, "trusted").await?;
    let mut figures = json!({});
    for (to, ids) in taken {
        let client = ground.site.connect(&ground.gate, to).await?;
        let mut left = Left { missing: ids.clone(), delivered: 0, dead: 0 };
        left.take(&client, &sender).await.with_context(|| format!("messages for {to}"))?;
        client.close().await;
        figures[to] = json!({
            "taken": ids.len(),
            "delivered": left.delivered,
            "dead_letters": left.dead,
            "lost": left.missing.len(),
        });
        ensure!(left.missing.is_empty(), "{} messages for {to} are lost", left.missing.len());
    }
    Ok(figures)
}

/// How long nothing comes before it is asked what became of the others.
const SILENCE: Duration = Duration::from_secs(1);
/// Longer than a message waits for its next attempt.
const PATIENCE: Duration = Duration::from_secs(45);

struct Left {
    missing: BTreeSet<MessageId>,
    delivered: usize,
    dead: usize,
}

impl Left {
    async fn take(&mut self, client: &Client, sender: &Client) -> Result<()> {
        let mut messages = client.messages();
        let begun = Instant::now();
        while !self.missing.is_empty() && begun.elapsed() < PATIENCE {
            let Ok(incoming) = timeout(SILENCE, messages.next()).await else {
                self.ask(sender).await?;
                continue;
            };
            let incoming = incoming.context("the session ended")?;
            self.delivered += usize::from(self.missing.remove(&incoming.message.message_id));
            incoming.ack().await?;
        }
        Ok(())
    }

    /// Passes over what is a dead letter: a receiver that reads nothing wears out its attempts.
    async fn ask(&mut self, sender: &Client) -> Result<()> {
        for id in self.missing.clone() {
            if sender.status(&id).await?.state == MessageState::DeadLettered {
                self.missing.remove(&id);
                self.dead += 1;
            }
        }
        Ok(())
    }
}
