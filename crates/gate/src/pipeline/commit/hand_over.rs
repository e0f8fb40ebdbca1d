//! Messages and refusals on their way to the store: one batch each, many handed over at once.
//!
//! What a batch becomes is decided when the store has answered; where that takes another batch,
//! such as the record of a refusal by the store itself, those go together again.

use std::fmt;

use futures::future::BoxFuture;

use super::super::inspect::Cleared;
use super::super::report;
use super::super::validate::find_repeat;
use super::{message, refuse, unavailable};
use crate::case::Case;
use crate::gate::Gate;
use crate::observe::Stage;
use crate::ports::{Batch, Op, Sent, StoreError};
use crate::types::{AgentId, Answer, CorrelationId, Refusal, Request, Unavailable};

/// What a verdict asks of the store.
pub(super) enum Prepared {
    /// A message or a refusal.
    Step(Step),
    /// Something else.
    Other(Option<AgentId>, Request),
}

/// What is to be done next with a case.
pub(super) enum Step {
    /// To commit this, and then to see.
    Commit(Batch, Then),
    /// Nothing.
    Done(Result<Answer, Refusal>),
}

/// What a batch that was handed over was for.
pub(super) enum Then {
    Deliver { sender: AgentId, correlation: Option<CorrelationId>, is_reply: bool },
    Repeat(Sent),
    Refuse(Refusal),
}

/// Turns a verdict into what is to be committed.
pub(super) fn prepare(gate: &Gate, case: &mut Case, verdict: Result<Cleared, Refusal>) -> Prepared {
    let (agent, request, envelope) = match verdict {
        Ok(cleared) => cleared.into_parts(),
        Err(refusal) => return Prepared::Step(no(gate, case, refusal)),
    };
    Prepared::Step(match request {
        Request::Message(message) => {
            let (changes, then) =
                message::deliver(gate, case, *message, envelope.unwrap_or_default());
            Step::Commit(case.batch(gate, changes), then)
        }
        Request::Repeat(sent) => Step::Commit(case.batch(gate, Vec::new()), Then::Repeat(sent)),
        request @ (Request::Open(_)
        | Request::Discover(_)
        | Request::ReadState
        | Request::UpdateState(_)
        | Request::ResetState
        | Request::MessageStatus(_)
        | Request::RegisterKey(_)
        | Request::Administer(_)) => return Prepared::Other(agent, request),
    })
}

/// Refuses: with a record, or counted where there are too many of them.
pub(super) fn no(gate: &Gate, case: &mut Case, refusal: Refusal) -> Step {
    if let Some(circuits) = &gate.hub.circuits {
        circuits.cancel(std::mem::take(&mut case.probe));
    }
    // What is counted towards a limit is bounded by it; the rest is bounded here.
    if case.count.is_none() && !gate.refusals.admit(case.principal_name(), refusal.code(), case.at)
    {
        return Step::Done(Err(refusal));
    }
    let mut ops: Vec<Op> = case.count.clone().into_iter().collect();
    ops.push(case.refused(gate, &refusal));
    Step::Commit(Batch { ops }, Then::Refuse(refusal))
}

/// Says what is next when the store has answered.
pub(super) async fn finish(
    gate: &Gate,
    case: &mut Case,
    then: Then,
    answer: Result<(), StoreError>,
) -> Step {
    match (then, answer) {
        (Then::Deliver { correlation, .. }, Ok(())) => {
            Step::Done(Ok(Answer::Accepted { message: case.id, correlation, duplicate: false }))
        }
        (Then::Repeat(sent), Ok(())) => {
            let Sent { message, correlation, .. } = sent;
            Step::Done(Ok(Answer::Accepted { message, correlation, duplicate: true }))
        }
        (Then::Deliver { sender, is_reply, .. }, Err(cause @ StoreError::Conflict { .. })) => {
            // Of racing messages with one key one wins, and the others repeat it.
            case.refused_at = Some(Stage::Commit);
            match find_repeat(gate, case, &sender).await {
                Ok(Some(sent)) => {
                    if let Some(circuits) = &gate.hub.circuits {
                        circuits.cancel(std::mem::take(&mut case.probe));
                    }
                    (case.commitment, case.refused_at) = (None, None);
                    Step::Commit(case.batch(gate, Vec::new()), Then::Repeat(sent))
                }
                // Of racing replies one wins.
                Ok(None) if is_reply => no(gate, case, Refusal::UnknownCorrelation),
                Ok(None) => no(gate, case, unavailable(&cause)),
                Err(refusal) => no(gate, case, refusal),
            }
        }
        (Then::Deliver { .. } | Then::Repeat(_), Err(cause)) => {
            case.refused_at = Some(Stage::Commit);
            let refusal = refuse(case, &cause);
            no(gate, case, refusal)
        }
        (Then::Refuse(refusal), Ok(())) => Step::Done(Err(refusal)),
        (Then::Refuse(refusal), Err(StoreError::OverLimit { .. })) if case.count.is_some() => {
            // Others were quicker; a refused call is not counted.
            case.count = None;
            let ops = vec![case.refused(gate, &refusal)];
            Step::Commit(Batch { ops }, Then::Refuse(refusal))
        }
        // Nothing is refused without a record either: the caller learns that we cannot answer.
        (Then::Refuse(_), Err(cause)) => Step::Done(Err(unavailable(&cause))),
    }
}

/// Messages that were handed to the store together.
pub struct Handed<'a> {
    gate: &'a Gate,
    cases: Vec<(Case, Option<Result<Answer, Refusal>>)>,
    /// What the batches that are under way are for, by the number of the case.
    thens: Vec<(usize, Then)>,
    answers: BoxFuture<'a, Vec<Result<(), StoreError>>>,
}

impl fmt::Debug for Handed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed").field("cases", &self.cases.len()).finish_non_exhaustive()
    }
}

impl<'a> Handed<'a> {
    /// Hands the batches of these verdicts to the store.
    pub(in crate::pipeline) fn over(
        gate: &'a Gate,
        verdicts: Vec<(Case, Result<Cleared, Refusal>)>,
    ) -> Self {
        let mut cases = Vec::with_capacity(verdicts.len());
        let mut batches = Vec::with_capacity(verdicts.len());
        let mut thens = Vec::with_capacity(verdicts.len());
        for (number, (mut case, verdict)) in verdicts.into_iter().enumerate() {
            let step = match prepare(gate, &mut case, verdict) {
                Prepared::Step(step) => step,
                Prepared::Other(..) => {
                    let what = Unavailable::Internal("only messages are published");
                    no(gate, &mut case, Refusal::Unavailable(what))
                }
            };
            let mut outcome = None;
            match step {
                Step::Done(done) => outcome = Some(done),
                Step::Commit(batch, then) => {
                    batches.push(batch);
                    thens.push((number, then));
                }
            }
            cases.push((case, outcome));
        }
        Self { gate, cases, thens, answers: gate.store.commit_each(batches) }
    }

    /// Waits until each is durable or refused, with its record; returns what became of each.
    pub async fn outcomes(mut self) -> Vec<Result<Answer, Refusal>> {
        while !self.thens.is_empty() {
            let answers = (&mut self.answers).await;
            let mut batches = Vec::new();
            let mut thens = Vec::new();
            for ((number, then), answer) in std::mem::take(&mut self.thens).into_iter().zip(answers)
            {
                let Some((case, outcome)) = self.cases.get_mut(number) else { continue };
                match finish(self.gate, case, then, answer).await {
                    Step::Done(done) => *outcome = Some(done),
                    Step::Commit(batch, then) => {
                        batches.push(batch);
                        thens.push((number, then));
                    }
                }
            }
            self.thens = thens;
            self.answers = self.gate.store.commit_each(batches);
        }
        let lost = || Err(Refusal::Unavailable(Unavailable::Internal("the store did not answer")));
        let outcomes = self.cases.into_iter().map(|(mut case, outcome)| {
            let outcome = outcome.unwrap_or_else(lost);
            if !matches!(outcome, Ok(Answer::Accepted { duplicate: false, .. })) {
                self.gate.hub.forget(case.id);
            }
            case.mark(self.gate, Stage::Commit);
            report::report(self.gate, &mut case, &outcome);
            outcome
        });
        outcomes.collect()
    }
}
