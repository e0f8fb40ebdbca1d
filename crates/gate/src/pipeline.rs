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

use tracing::Instrument as _;

use crate::case::Case;
use crate::delivery::SessionHandle;
use crate::gate::Gate;
use crate::observe::Stage;
use crate::types::{Action, Answer, Call, Caller, Item, Publish, Refusal, Timestamp, Unavailable};

pub use commit::Handed;

// Messages after which others get their turn.
const TURN: usize = 64;

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
            let Call { caller, peer, trace, action } = call;
            let mut case = Case::open(&gate, &peer, trace, &action);
            let verdict = gate.decide(&mut case, caller, action).await;
            let outcome = commit::commit(&gate, &mut case, verdict).await;
            case.mark(&gate, Stage::Commit);
            report::report(&gate, &mut case, &outcome);
            drop(held);
            outcome
        });
        run.await.unwrap_or(Err(Refusal::Unavailable(Unavailable::Internal("a stage failed"))))
    }

    /// Runs messages through the pipeline, each by itself and in their order, and hands what is
    /// to be committed to the store together.
    ///
    /// When it returns, all are handed in: messages of a later call come behind them, and nothing
    /// takes them back.
    pub async fn publish(&self, publish: Publish, session: &SessionHandle) -> Handed<'_> {
        let Publish { caller, peer, items } = publish;
        let mut cases = Vec::with_capacity(items.len());
        for (number, item) in items.into_iter().enumerate() {
            if number % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let Item { action, trace, key, ttl, wanted } = item;
            let mut case = Case::open(self, &peer, trace, &action);
            (case.key, case.ttl, case.is_published) = (key, ttl, true);
            let verdict = self.decide(&mut case, caller.clone(), action).await;
            if verdict.is_ok() {
                session.follow(case.id, wanted);
            }
            cases.push((case, verdict));
        }
        Handed::over(self, cases)
    }

    async fn decide(
        &self,
        case: &mut Case,
        caller: Caller,
        action: Action,
    ) -> Result<inspect::Cleared, Refusal> {
        let log = case.log_span();
        let verdict = self.judge(case, caller, action).instrument(log).await;
        if verdict.is_err() && !case.is_door_refusal {
            case.mark_refusal(self);
        }
        verdict
    }

    async fn judge(
        &self,
        case: &mut Case,
        caller: Caller,
        action: Action,
    ) -> Result<inspect::Cleared, Refusal> {
        let identified = authenticate::check(self, case, caller, &action)?;
        case.mark(self, Stage::Authenticate);
        if let Action::Refused(refusal) = action {
            // The door had no room or time for it; who asked is known now, and the rest is not.
            case.is_door_refusal = true;
            return Err(refusal);
        }
        let valid = validate::check(self, case, identified, action).await?;
        case.mark(self, Stage::Validate);
        let permit = authorize::check(self, case, valid)?;
        case.mark(self, Stage::Authorize);
        let admitted = rate_limit::check(self, case, permit).await?;
        case.mark(self, Stage::RateLimit);
        let routed = circuit::check(self, case, admitted)?;
        case.mark(self, Stage::Circuit);
        let cleared = inspect::check(self, case, routed).await?;
        case.mark(self, Stage::Inspect);
        Ok(cleared)
    }
}

/// Writes a moment as records carry it.
pub(crate) fn moment(at: Timestamp) -> String {
    audit::timestamp(i64::try_from(at.micros()).unwrap_or(i64::MAX))
}
