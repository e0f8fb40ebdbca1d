//! A group on its way through the committer: what it changed, and who waits for it.
//!
//! Nothing is judged or written here.

use std::collections::BTreeSet;

use audit::{Entry, Salt};
use bytes::Bytes;
use gate::ports::StoreError;
use gate::types::AgentId;

use super::change::Change;
use super::group::{Answer, answer};
use super::state::{Origin, State};

/// A frame on its way to the disk, and what it makes visible.
#[derive(Debug)]
pub(super) struct Stuck {
    pub(super) frame: Vec<u8>,
    pub(super) applied: Applied,
    pub(super) entries: Vec<Entry>,
}

/// A group after it was applied.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) answers: Answers,
    pub(super) changes: Vec<(Change, Option<Bytes>)>,
    pub(super) records: Vec<(Bytes, Option<Salt>)>,
    /// Agents in whose queues messages became leasable.
    pub(super) agents: BTreeSet<AgentId>,
    /// The place behind the last message of the group.
    pub(super) next_place: u64,
    /// Bytes of all envelopes of the group.
    pub(super) envelopes: usize,
}

impl Applied {
    /// Applies what a batch changes.
    ///
    /// # Errors
    ///
    /// Fails if a change does not fit the state, which none does that was planned on it.
    pub(super) fn take(
        &mut self,
        state: &mut State,
        changes: Vec<(Change, Option<Bytes>)>,
        origin: &Origin,
    ) -> Result<(), String> {
        for (mut change, envelope) in changes {
            if let (Change::Enqueue { slot, .. }, Some(envelope)) = (&mut change, &envelope) {
                slot.at = u32::try_from(self.envelopes).unwrap_or(u32::MAX);
                self.envelopes = self.envelopes.saturating_add(envelope.len());
            }
            let agent = state.apply(&change, origin, envelope.clone());
            let agent = agent.map_err(|misfit| format!("a planned change named {}", misfit.0))?;
            if let Some(agent) = agent
                && !self.agents.contains(&agent)
            {
                self.agents.insert(agent);
            }
            self.changes.push((change, envelope));
        }
        Ok(())
    }
}

/// Who waits for a group, and what each hears of its batches once the group is durable.
#[derive(Debug, Default)]
pub(super) struct Answers(Vec<(Answer, Vec<Result<(), StoreError>>)>);

impl Answers {
    /// Notes what a caller will hear; one of whom nothing was accepted hears it at once.
    pub(super) fn push(&mut self, waiting: Answer, results: Vec<Result<(), StoreError>>) {
        if results.iter().all(Result::is_err) {
            answer(waiting, results);
        } else {
            self.0.push((waiting, results));
        }
    }

    /// Tells everybody.
    pub(super) fn tell(self) {
        for (waiting, results) in self.0 {
            answer(waiting, results);
        }
    }

    /// Tells everybody that it is not known whether what was accepted took effect.
    pub(super) fn fail(&mut self, why: &str) {
        for (waiting, mut results) in self.0.drain(..) {
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(StoreError::Unreachable(why.to_owned()));
            }
            answer(waiting, results);
        }
    }
}
