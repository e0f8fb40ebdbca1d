//! What an attacker got: counts by name, and the messages that were taken from it; told to the
//! suite as one JSON object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use palisade_client::{Error, MessageId};
use serde_json::{Value, json};

/// Counts that all tasks of an attacker share.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<String, u64>,
    /// Ids of messages by whom they are for.
    taken: BTreeMap<String, Vec<String>>,
}

impl Tally {
    pub(super) fn add(&self, name: &str, count: u64) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = inner.counts.get(name).copied().unwrap_or_default();
        inner.counts.insert(name.to_owned(), old.saturating_add(count));
    }

    pub(super) fn one(&self, name: &str) {
        self.add(name, 1);
    }

    /// Counts how a call ended: by its decision where the gate said no.
    pub(super) fn ended<T>(&self, result: &Result<T, Error>) {
        match result {
            Ok(_) => self.one("accepted"),
            Err(Error::Refused(refused)) => self.one(&refused.decision),
            Err(_) => self.one("closed"),
        }
    }

    /// The same for a message that nobody takes before all attacks are over.
    pub(super) fn sent(&self, to: &str, result: &Result<MessageId, Error>) {
        self.ended(result);
        if let Ok(id) = result {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.taken.entry(to.to_owned()).or_default().push(id.to_string());
        }
    }

    pub(super) fn json(&self) -> Value {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        json!({ "counts": inner.counts, "taken": inner.taken })
    }
}

/// What an attacker got over all its runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Got {
    pub(super) counts: BTreeMap<String, u64>,
    /// What was taken from it, by whom it is for.
    pub(super) taken: Taken,
}

/// Messages by whom they are for.
pub(super) type Taken = BTreeMap<String, BTreeSet<MessageId>>;

impl Got {
    /// Adds what one run told.
    pub(super) fn add(&mut self, told: &Value) {
        for (name, count) in told["counts"].as_object().into_iter().flatten() {
            let sum = self.counts.entry(name.clone()).or_default();
            *sum = sum.saturating_add(count.as_u64().unwrap_or_default());
        }
        for (to, ids) in told["taken"].as_object().into_iter().flatten() {
            let ids = ids.as_array().into_iter().flatten().filter_map(Value::as_str);
            self.taken.entry(to.clone()).or_default().extend(ids.map(MessageId::new));
        }
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_runs_got_is_added_up() {
        let mut got = Got::default();
        for id in ["one", "two", "two"] {
            let tally = Tally::default();
            tally.sent("sink", &Ok(MessageId::new(id)));
            tally.add("closed", 2);
            got.add(&tally.json());
        }
        assert_eq!((got.count("accepted"), got.count("closed"), got.count("reset")), (3, 6, 0));
        assert_eq!(got.taken["sink"], ["one", "two"].map(MessageId::new).into());
    }
}
