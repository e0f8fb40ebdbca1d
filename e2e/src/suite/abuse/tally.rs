//! What an attacker got: counts by name, told to the suite as one JSON object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use palisade_client::Error;
use serde_json::{Value, json};

/// Counts that all tasks of an attacker share.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

impl Tally {
    pub(super) fn add(&self, name: &str, count: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = counts.get(name).copied().unwrap_or_default();
        counts.insert(name.to_owned(), old.saturating_add(count));
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

    pub(super) fn json(&self) -> Value {
        json!(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds the counts of one run of an attacker to those of others.
pub(super) fn merge(into: &mut BTreeMap<String, u64>, counts: &Value) {
    for (name, count) in counts.as_object().into_iter().flatten() {
        let sum = into.entry(name.clone()).or_default();
        *sum = sum.saturating_add(count.as_u64().unwrap_or_default());
    }
}
