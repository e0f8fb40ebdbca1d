//! Values with versions and expiry.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use gate::ports::{Key, Space, Versioned};
use gate::types::Timestamp;

/// A value as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct Value {
    pub(in crate::embedded) value: Bytes,
    pub(in crate::embedded) version: u64,
    pub(in crate::embedded) expires_at: Option<Timestamp>,
}

impl Value {
    pub(in crate::embedded) fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

/// All values.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Values {
    spaces: BTreeMap<Space, BTreeMap<Key, Value>>,
    /// Those that will expire, the first first.
    expiring: BTreeSet<(Timestamp, Key)>,
    version: u64,
}

impl Values {
    /// Writes a value with the next version.
    pub(in crate::embedded) fn put(
        &mut self,
        key: Key,
        value: Bytes,
        expires_at: Option<Timestamp>,
    ) {
        self.version = self.version.saturating_add(1);
        let version = self.version;
        self.restore(key, Value { value, version, expires_at });
    }

    /// Writes a value as it was, with its version.
    pub(in crate::embedded) fn restore(&mut self, key: Key, value: Value) {
        if let Some(at) = value.expires_at {
            self.expiring.insert((at, key.clone()));
        }
        let expires_at = value.expires_at;
        let old = self.spaces.entry(key.space()).or_default().insert(key.clone(), value);
        if let Some(at) = old.and_then(|old| old.expires_at).filter(|at| Some(*at) != expires_at) {
            self.expiring.remove(&(at, key));
        }
    }

    pub(in crate::embedded) fn delete(&mut self, key: &Key) {
        let old = self.spaces.get_mut(&key.space()).and_then(|space| space.remove(key));
        if let Some(at) = old.and_then(|old| old.expires_at) {
            self.expiring.remove(&(at, key.clone()));
        }
    }

    /// Deletes up to `count` values whose time is over.
    pub(in crate::embedded) fn purge(&mut self, now: Timestamp, count: usize) {
        for _ in 0..count {
            match self.expiring.first() {
                Some((at, key)) if *at <= now => {
                    let key = key.clone();
                    self.delete(&key);
                }
                Some(_) | None => break,
            }
        }
    }

    pub(in crate::embedded) fn live(&self, key: &Key, now: Timestamp) -> Option<&Value> {
        self.spaces.get(&key.space())?.get(key).filter(|value| value.is_live(now))
    }

    /// Lists live values of a space in key order, behind `after`.
    pub(in crate::embedded) fn page(
        &self,
        space: Space,
        after: Option<&Key>,
        now: Timestamp,
    ) -> impl Iterator<Item = Versioned> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let values = self.spaces.get(&space).into_iter();
        let values = values.flat_map(move |values| values.range((from, Bound::Unbounded)));
        values.filter(move |(_, value)| value.is_live(now)).map(|(key, value)| Versioned {
            key: key.clone(),
            value: value.value.clone(),
            version: value.version,
        })
    }

    pub(in crate::embedded) fn iter(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.spaces.values().flatten()
    }

    /// Returns the version of the latest write.
    pub(in crate::embedded) const fn version(&self) -> u64 {
        self.version
    }

    pub(in crate::embedded) const fn set_version(&mut self, version: u64) {
        self.version = version;
    }
}
