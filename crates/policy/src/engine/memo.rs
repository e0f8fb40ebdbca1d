//! What was decided, by everything that it depended on; bounded, and gone with its revision.

use std::hash::{Hash, Hasher};

use parking_lot::RwLock;
use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use std::sync::Arc;

use super::Verdict;
use super::atoms::{Facts, Wanted};
use crate::{Claims, Request};

/// The memory of an engine.
#[derive(Debug)]
pub(super) struct Memo {
    slices: Cache<OwnedKey, Arc<Slice>>,
}

/// Everything about a request but its circumstances.
pub(super) struct Key<'a> {
    pub(super) request: &'a Request<'a>,
    /// The message type where that is part of the resource, else nothing.
    pub(super) message_type: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
struct OwnedKey {
    head: [u8; 3],
    principal: Box<str>,
    resource: Box<str>,
    spiffe_id: Box<str>,
    message_type: Box<str>,
    claims: Option<Box<Claims>>,
}

/// What all requests with one key have in common.
#[derive(Debug)]
pub(super) struct Slice {
    /// The rules that may apply.
    pub(super) rules: Box<[u32]>,
    /// What these rules look at.
    pub(super) wanted: Wanted,
    /// Whether principal and resource are in different workspaces.
    pub(super) crosses: bool,
    /// Whether the target may have declared what it takes.
    pub(super) is_declared: bool,
    pub(super) known: Known,
}

/// What was decided under which facts.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<Vec<(Facts, Verdict)>>);

impl Memo {
    pub(super) fn new() -> Self {
        Self { slices: Cache::new(SLICES_MAX) }
    }

    pub(super) fn slice(&self, key: &Key<'_>, make: impl FnOnce() -> Slice) -> Arc<Slice> {
        if let Some(slice) = self.slices.get(key) {
            return slice;
        }
        let slice = Arc::new(make());
        // LIMIT: a claim has no bound of its own here; what is large is decided each time.
        if key.size() <= KEY_BYTES_MAX && slice.rules.len() <= RULES_MAX {
            self.slices.insert(key.to_owned(), Arc::clone(&slice));
        }
        slice
    }
}

impl Known {
    pub(super) fn get(&self, facts: Facts) -> Option<Verdict> {
        let known = self.0.read();
        known.iter().find(|(it, _)| *it == facts).map(|(_, verdict)| *verdict)
    }

    pub(super) fn remember(&self, facts: Facts, verdict: Verdict) {
        let mut known = self.0.write();
        if known.len() >= FACTS_MAX {
            known.clear();
        }
        known.push((facts, verdict));
    }
}

impl Key<'_> {
    const fn head(&self) -> [u8; 3] {
        let Request { principal, action, resource, .. } = self.request;
        [principal.kind as u8, *action as u8, resource.kind as u8]
    }

    fn size(&self) -> usize {
        let Request { principal, resource, .. } = self.request;
        let claims = principal.claims.map_or(0, |claims| {
            let others = claims.others().iter();
            let others = others.map(|(name, values)| {
                name.len() + values.iter().map(|value| value.len() + CELL).sum::<usize>()
            });
            let capabilities = claims.capabilities().into_iter().flatten();
            let capabilities: usize = capabilities.map(|value| value.len() + CELL).sum();
            others.sum::<usize>() + capabilities + claims.workspace_id().map_or(0, str::len)
        });
        let texts = [principal.id, principal.spiffe_id, resource.id, self.message_type];
        claims + texts.iter().map(|text| text.len()).sum::<usize>()
    }

    fn to_owned(&self) -> OwnedKey {
        let Request { principal, resource, .. } = self.request;
        OwnedKey {
            head: self.head(),
            principal: principal.id.into(),
            resource: resource.id.into(),
            spiffe_id: principal.spiffe_id.into(),
            message_type: self.message_type.into(),
            claims: principal.claims.cloned().map(Box::new),
        }
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Request { principal, resource, .. } = self.request;
        hash(self.head(), principal.id, resource.id, principal.claims, state);
        self.message_type.hash(state);
    }
}

impl Hash for OwnedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.head, &self.principal, &self.resource, self.claims.as_deref(), state);
        self.message_type.hash(state);
    }
}

/// Hashes what tells most requests apart; equality tells apart the rest.
fn hash<H: Hasher>(
    head: [u8; 3],
    principal: &str,
    resource: &str,
    claims: Option<&Claims>,
    state: &mut H,
) {
    head.hash(state);
    principal.hash(state);
    resource.hash(state);
    // Many tokens of one principal must not fall together.
    claims.hash(state);
}

impl Equivalent<OwnedKey> for Key<'_> {
    fn equivalent(&self, key: &OwnedKey) -> bool {
        let Request { principal, resource, .. } = self.request;
        self.head() == key.head
            && *principal.id == *key.principal
            && *resource.id == *key.resource
            && *principal.spiffe_id == *key.spiffe_id
            && *self.message_type == *key.message_type
            && principal.claims == key.claims.as_deref()
    }
}

/// LIMIT: principals, actions and resources that are remembered; some 30 MB.
const SLICES_MAX: usize = 65_536;
/// LIMIT: bytes of what is remembered of one.
const KEY_BYTES_MAX: usize = 4_096;
/// Bytes that a text costs besides its own.
const CELL: usize = 32;
/// LIMIT: rules of one that is remembered.
const RULES_MAX: usize = 1_024;
/// LIMIT: combinations of facts that are remembered of one.
const FACTS_MAX: usize = 16;
