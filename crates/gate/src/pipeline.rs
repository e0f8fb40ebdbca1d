//! The pipeline: what every call passes, in this order. Start here.
//!
//! | stage | file | question | refuses with |
//! | --- | --- | --- | --- |
//! | 1 | authenticate | does the credential hold, and is the caller registered? | `AUTHN_FAILED` |
//! | 2 | validate | is the request well formed and in its place? | `INVALID` |
//! | 3 | authorize | does a rule allow it? | `AUTHZ_DENIED` |
//! | 4 | `rate_limit` | has the caller budget left? | `RATE_LIMITED` |
//! | 5 | circuit | does the target keep failing? | `CIRCUIT_OPEN` |
//! | 6 | inspect | may the content pass, and in which form? | `DLP_BLOCKED` |
//! | 7 | commit | are delivery and record durable, together? | `BACKPRESSURE` |
//! | 8 | report | what do counters and log say? | never |
//!
//! The first stage that refuses decides. Stages before the commit only decide; nothing is
//! durable until one commit makes the message and its record visible together, and a refusal is
//! a commit of its record alone. Each stage takes the proof of the one before and returns its
//! own: a `Cleared` has passed them all, and only the commit takes one.
//! A stage that cannot answer refuses; there is no setting to let messages through then.

mod authenticate;
mod authorize;
mod circuit;
mod commit;
mod inspect;
mod rate_limit;
mod report;
mod validate;

use std::sync::Arc;

use crate::case::Case;
use crate::gate::Gate;
use crate::types::{Action, Answer, Call, Caller, Refusal, Timestamp, Unavailable};

impl Gate {
    /// Runs a call through the pipeline.
    ///
    /// Dropping the returned future does not stop the run: what was handed in is decided,
    /// recorded and, if accepted, delivered.
    ///
    /// # Errors
    ///
    /// Returns the [`Refusal`] of the first stage that refuses; its record is durable then,
    /// or the refusal is [`Refusal::Unavailable`].
    pub async fn run(self: &Arc<Self>, call: Call) -> Result<Answer, Refusal> {
        self.run_holding(call, ()).await
    }

    /// Does [`Gate::run`] and drops `held` when the run has ended, however early its caller went
    /// away: what a door counts as under way is counted until then.
    ///
    /// # Errors
    ///
    /// Returns the [`Refusal`] of the first stage that refuses.
    pub async fn run_holding(
        self: &Arc<Self>,
        call: Call,
        held: impl Send + 'static,
    ) -> Result<Answer, Refusal> {
        let gate = Arc::clone(self);
        let run = self.tasks.spawn(async move {
            let mut case = Case::open(&gate, &call);
            let verdict = gate.decide(&mut case, call.caller, call.action).await;
            let outcome = commit::commit(&gate, &mut case, verdict).await;
            report::report(&gate, &case, &outcome);
            drop(held);
            outcome
        });
        run.await.unwrap_or(Err(Refusal::Unavailable(Unavailable::Internal("a stage failed"))))
    }

    async fn decide(
        &self,
        case: &mut Case,
        caller: Caller,
        action: Action,
    ) -> Result<inspect::Cleared, Refusal> {
        let identified = authenticate::check(self, case, caller, &action)?;
        if let Action::Refused(refusal) = action {
            // The door had no room or time for it; who asked is known now, and the rest is not.
            return Err(refusal);
        }
        let valid = validate::check(self, case, identified, action).await?;
        let permit = authorize::check(self, case, valid)?;
        let admitted = rate_limit::check(self, case, permit).await?;
        let routed = circuit::check(self, case, admitted)?;
        inspect::check(self, case, routed)
    }
}

/// Writes a moment as records carry it.
pub(crate) fn moment(at: Timestamp) -> String {
    audit::timestamp(i64::try_from(at.micros()).unwrap_or(i64::MAX))
}
