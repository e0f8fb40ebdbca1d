//! How a delivery ends: acknowledged, tried again, or dead.

use std::time::Duration;

use audit::Record;

use super::Hub;
use super::held::Held;
use super::live::Live;
use crate::observe::StepKind;
use crate::ports::{Batch, Op, Retry, Settlement, StoreError};
use crate::types::{DeliveryId, SessionId};

/// What a receiver said about a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has the message.
    Acknowledged,
    /// It refused the message.
    Refused {
        /// Why, in the receiver's words.
        reason: String,
        /// Whether another attempt makes sense.
        retryable: bool,
    },
}

/// A delivery and what its receiver said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// What was said.
    pub outcome: Outcome,
}

// LIMIT: characters of a receiver's reason that are kept with a dead letter.
const REASON_CHARS_MAX: usize = 256;

// LIMIT: how often a commit is tried when more writers wait than the store takes.
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
const DISK_FULL_PAUSE: Duration = Duration::from_secs(1);

impl Hub {
    /// Commits what receivers said, together where possible.
    ///
    /// It returns when each answer is durable or moot: a lease that nobody settles would keep
    /// its message from everybody.
    pub(super) async fn settle(&self, live: &Live, answers: Vec<(Held, Outcome)>) {
        if answers.is_empty() {
            return;
        }
        self.trust(&live.agent, answers.len());
        let groups: Vec<Vec<Op>> =
            answers.iter().map(|(held, outcome)| self.ops(live, held, outcome)).collect();
        if groups.len() > 1 && self.commit_together(&groups).await.is_ok() {
            for (held, outcome) in &answers {
                self.note_settled(live, held, self.fate(held, outcome));
            }
            return;
        }
        for ((held, outcome), ops) in answers.iter().zip(groups) {
            self.settle_one(live, held, outcome, &ops).await;
        }
    }

    async fn settle_one(&self, live: &Live, held: &Held, outcome: &Outcome, ops: &[Op]) {
        match self.commit_until_done(live, ops).await {
            Ok(()) => self.note_settled(live, held, self.fate(held, outcome)),
            Err(StoreError::Conflict { .. }) if *outcome == Outcome::Acknowledged => {
                // Another session took the message over meanwhile. The receiver has it, so that
                // lease is settled in its name; what its session says later finds nothing.
                if let Some(holder) = self.take_from_holder(&live.agent, held.message) {
                    let ops: Vec<Op> = ops.iter().map(|op| held_by(op, holder.id)).collect();
                    let answer = self.commit_until_done(live, &ops).await;
                    if answer.is_ok() {
                        self.note_settled(live, held, StepKind::Acknowledged);
                    }
                    log_failure(live, held, answer);
                }
            }
            Err(StoreError::Full { .. }) => self.postpone(live, held).await,
            failed => log_failure(live, held, failed),
        }
    }

    /// Makes a dead letter of a message that this session holds.
    pub(super) async fn bury(&self, live: &Live, held: &Held, code: &'static str, reason: &str) {
        let ops = self.burial(live, held, code, reason);
        match self.commit_until_done(live, &ops).await {
            Ok(()) => self.note_settled(live, held, StepKind::DeadLettered { code }),
            Err(StoreError::Full { .. }) => self.postpone(live, held).await,
            answer => log_failure(live, held, answer),
        }
    }

    /// Puts a message back that should become a dead letter while there is no room for one.
    async fn postpone(&self, live: &Live, held: &Held) {
        held.log_span().in_scope(|| {
            let id = held.message;
            tracing::error!(%id, "no room for a dead letter; it is tried later");
        });
        let now = self.clock.now();
        let not_before = now.after(self.settings.retry_backoff_max);
        let how = Settlement::Retry(Retry { not_before, counts: false });
        let settle = Op::Settle { message: held.message, holder: live.id, how, at: now };
        log_failure(live, held, self.commit_until_done(live, &[settle]).await);
    }

    /// Commits groups of operations as one batch: all of them or none.
    pub(super) async fn commit_together(&self, groups: &[Vec<Op>]) -> Result<(), StoreError> {
        self.store.commit(Batch { ops: groups.iter().flatten().cloned().collect() }).await
    }

    /// Commits, again and again while the store is busy or the disk is full, until the session
    /// ends; what it held is given back then.
    async fn commit_until_done(&self, live: &Live, ops: &[Op]) -> Result<(), StoreError> {
        let pause = |cause: &StoreError| {
            let is_over = live.is_ended() || self.is_closing();
            let is_full = *cause == StoreError::DiskFull;
            let pause = if is_full { DISK_FULL_PAUSE } else { BUSY_PAUSE };
            ((is_full || *cause == StoreError::Busy) && !is_over).then_some(pause)
        };
        self.commit_again(ops, pause).await
    }

    /// Commits operations that nobody waits for.
    pub(super) async fn commit_quietly(&self, ops: Vec<Op>, what: &'static str) {
        let mut tries = BUSY_TRIES;
        let patient = |cause: &StoreError| {
            tries = tries.saturating_sub(1);
            (*cause == StoreError::Busy && tries > 0).then_some(BUSY_PAUSE)
        };
        if let Err(cause) = self.commit_again(&ops, patient).await {
            tracing::warn!(%cause, what, "cannot commit");
        }
    }

    /// Commits, and again after each failure for which `pause` says how long to wait.
    async fn commit_again(
        &self,
        ops: &[Op],
        mut pause: impl FnMut(&StoreError) -> Option<Duration>,
    ) -> Result<(), StoreError> {
        loop {
            let answer = self.store.commit(Batch { ops: ops.to_vec() }).await;
            let Some(pause) = answer.as_ref().err().and_then(&mut pause) else { return answer };
            tokio::time::sleep(pause).await;
        }
    }

    fn ops(&self, live: &Live, held: &Held, outcome: &Outcome) -> Vec<Op> {
        let now = self.clock.now();
        let mut ops = Vec::with_capacity(1);
        match outcome {
            Outcome::Acknowledged => {
                ops.push(Op::Settle {
                    message: held.message,
                    holder: live.id,
                    how: Settlement::Acknowledged,
                    at: now,
                });
                if let Some(circuits) = &self.circuits {
                    ops.extend(circuits.success(&held.sender, &live.agent));
                }
            }
            Outcome::Refused { reason, .. } => {
                let fate = self.fate(held, outcome);
                if let StepKind::DeadLettered { code } = fate {
                    ops.extend(self.burial(live, held, code, reason));
                } else {
                    let not_before = now.after(self.backoff(held.attempt));
                    let how = Settlement::Retry(Retry { not_before, counts: true });
                    ops.push(Op::Settle { message: held.message, holder: live.id, how, at: now });
                }
                // A message counts once: its retries say nothing new about the target.
                if held.attempt == 1
                    && let Some(circuits) = &self.circuits
                {
                    ops.extend(circuits.failure(&held.sender, &live.agent, now));
                }
            }
        }
        ops
    }

    /// Returns how a delivery ends by its receiver's answer.
    fn fate(&self, held: &Held, outcome: &Outcome) -> StepKind {
        match outcome {
            Outcome::Acknowledged => StepKind::Acknowledged,
            Outcome::Refused { retryable: false, .. } => StepKind::DeadLettered { code: "refused" },
            Outcome::Refused { .. } if held.attempt < self.settings.max_attempts => {
                StepKind::Retried
            }
            Outcome::Refused { .. } => StepKind::DeadLettered { code: "attempts_exhausted" },
        }
    }

    fn burial(&self, live: &Live, held: &Held, code: &'static str, reason: &str) -> Vec<Op> {
        let now = self.clock.now();
        let words: String = reason.chars().take(REASON_CHARS_MAX).collect();
        // The code comes first: it is what the sender is told, the words are for operators.
        let reason = if words.is_empty() { code.to_owned() } else { format!("{code}: {words}") };
        let record = Record {
            timestamp: crate::pipeline::moment(now).into(),
            event_type: "dead_letter".into(),
            agent_id: live.agent.as_str().into(),
            request_id: held.message.to_string().into(),
            outcome: audit::Outcome::Refused,
            decision: "DLQ".into(),
            // The receiver's own words stay with the letter: they may quote the payload.
            reason: Some(code.into()),
            message_id: Some(held.message.to_string().into()),
            sender_id: Some(held.sender.as_str().into()),
            target_id: Some(live.agent.as_str().into()),
            message_type: Some(held.message_type.as_str().into()),
            ..Record::default()
        };
        let settle = Op::Settle {
            message: held.message,
            holder: live.id,
            how: Settlement::Dead { reason },
            at: now,
        };
        vec![settle, Op::record(record.encode())]
    }

    pub(super) fn session_closed(&self, live: &Live) -> Op {
        let record = Record {
            timestamp: crate::pipeline::moment(self.clock.now()).into(),
            event_type: "session.close".into(),
            agent_id: live.agent.as_str().into(),
            request_id: live.id.to_string().into(),
            outcome: audit::Outcome::Success,
            decision: "ALLOWED".into(),
            sender_id: Some(live.agent.as_str().into()),
            sender_instance_id: Some(live.instance.as_str().into()),
            ..Record::default()
        };
        Op::record(record.encode())
    }

    /// Returns the pause before the attempt behind `attempt`.
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1).min(20)).unwrap_or(u32::MAX);
        self.settings.retry_backoff.saturating_mul(doubled).min(self.settings.retry_backoff_max)
    }
}

/// Returns the operation with another holder of the lease that it ends.
fn held_by(op: &Op, holder: SessionId) -> Op {
    let mut op = op.clone();
    if let Op::Settle { holder: former, .. } = &mut op {
        *former = holder;
    }
    op
}

fn log_failure(live: &Live, held: &Held, answer: Result<(), StoreError>) {
    match answer {
        // The lease was taken over, and is its new holder's to settle.
        Ok(()) | Err(StoreError::Conflict { .. }) => {}
        Err(cause) => held.log_span().in_scope(|| {
            let (id, agent) = (held.message, &live.agent);
            tracing::warn!(%id, %agent, %cause, "cannot settle a delivery");
        }),
    }
}
