//! What happened: the steps of the demo as the agents saw them.
//!
//! A step holds what was seen on the wire; the decision of an accepted message is filled in from
//! the audit log, which is the only place that knows it.

use std::fmt;

use indicatif::ProgressBar;
use palisade_client::{MessageId, Refused};
use serde::Serialize;
use serde_json::Value;

use super::scenes;
use super::stage::Stage;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    /// What was tried.
    pub(super) step: &'static str,
    pub(super) who: &'static str,
    pub(super) whom: &'static str,
    /// The decision: of a refusal as the sender heard it, else as the log has it.
    pub(super) decision: String,
    /// What the demo expects the decision to be.
    #[serde(skip)]
    pub(super) expected: &'static str,
    /// Why: of a refusal as the sender heard it, else as the log has it.
    pub(super) why: String,
    /// What came of it, as the receiver saw it.
    #[serde(skip_serializing_if = "String::is_empty")]
    outcome: String,
    /// Whether a receiver took the message.
    pub(super) is_delivered: bool,
    /// The accepted message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_id: Option<MessageId>,
    /// The payload that was sent, to compare its hash with the log's.
    #[serde(skip)]
    pub(super) sent: Option<Value>,
}

impl Step {
    /// Makes the step of a message that was taken.
    pub(super) fn taken(
        step: &'static str,
        (who, whom): (&'static str, &'static str),
        expected: &'static str,
        id: &MessageId,
        outcome: impl fmt::Display,
    ) -> Self {
        Self {
            step,
            who,
            whom,
            decision: String::new(),
            expected,
            why: String::new(),
            outcome: outcome.to_string(),
            is_delivered: true,
            message_id: Some(id.clone()),
            sent: None,
        }
    }

    /// Says that the receiver did not take it.
    pub(super) fn but_dead(mut self) -> Self {
        self.is_delivered = false;
        self
    }

    /// Makes the step of a message that was refused.
    pub(super) fn refused(
        step: &'static str,
        (who, whom): (&'static str, &'static str),
        expected: &'static str,
        refused: Refused,
    ) -> Self {
        Self {
            step,
            who,
            whom,
            decision: refused.decision,
            expected,
            why: refused.reason.unwrap_or(refused.code),
            outcome: String::new(),
            is_delivered: false,
            message_id: None,
            sent: None,
        }
    }

    /// Adds what was sent.
    pub(super) fn with_payload(mut self, sent: &Value) -> Self {
        self.sent = Some(sent.clone());
        self
    }

    /// Returns the step as a row of the table.
    pub(super) fn row(&self) -> Vec<String> {
        let parts = [self.why.as_str(), self.outcome.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        vec![
            self.step.to_owned(),
            format!("{} -> {}", self.who, self.whom),
            self.decision.clone(),
            parts.join("; "),
        ]
    }
}

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    steps: Vec<Step>,
}

impl Story {
    pub(super) fn add(&mut self, step: Step) {
        self.steps.push(step);
    }
}

/// Plays all scenes.
pub(super) async fn play(stage: &mut Stage, progress: &ProgressBar) -> anyhow::Result<Vec<Step>> {
    let mut story = Story::default();
    let alice = stage.agent("alice").await?;
    let mut bob = stage.agent("bob").await?;
    progress.set_message("alice writes to bob");
    scenes::contents(&alice, &mut bob, &mut story).await?;
    scenes::strangers(stage, &mut bob, &mut story).await?;
    progress.set_message("alice asks bob");
    scenes::question(&alice, &mut bob, &mut story).await?;
    scenes::second_try(&alice, &mut bob, &mut story).await?;
    progress.set_message("dave refuses everything");
    let mut dave = stage.agent("dave").await?;
    let dead = scenes::broken_receiver(&alice, &mut dave, &mut story).await?;
    progress.set_message("the gate is killed with messages in its queues");
    scenes::crash(stage, &alice, &mut story).await?;
    progress.set_message("the operator replays a dead letter");
    scenes::replay(stage, &alice, &mut dave, (&dead, &mut story)).await?;
    for actor in [alice, bob, dave] {
        actor.leave().await;
    }
    Ok(story.steps)
}
