//! Who is registered, under which rules and limits: one snapshot in force at a time.
//!
//! The configuration gives the base. Changes made at run time are kept in the store as
//! differences from it, so a later edit of the file and earlier changes both stay in force.

mod difference;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use policy::{AgentRules, Engine, Policy, Role, RuleBook};

pub use difference::Difference;

use crate::limits::RateLimits;
use crate::ports::{Expect, Found, Key, Op, Scan, Space, Store, StoreError};
use crate::types::{AgentId, Timestamp};

/// What the configuration says about an agent, apart from its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// What it can do, in configured order.
    pub capabilities: Vec<String>,
    /// Free metadata, the text of a JSON object.
    pub metadata_json: String,
    /// Its own limits, if it has any.
    pub limits: Option<RateLimits>,
    /// The public key to which fields for it are encrypted, base64url.
    pub sealing_key: Option<String>,
}

/// An agent as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// The agent's id.
    pub agent: AgentId,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// Its rules in force.
    pub rules: AgentRules,
    /// Its limits in force.
    pub limits: RateLimits,
    /// Its connected instances.
    pub instances: Vec<String>,
    /// Messages that wait for it.
    pub queued: u64,
}

/// Everything that one message is judged by; a message sees one snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The registered agents: the allowlist.
    pub agents: BTreeMap<AgentId, Registration>,
    /// The rules in force, as they can be edited.
    pub book: RuleBook,
    /// The rules in force, compiled.
    pub policy: Policy,
}

impl Snapshot {
    /// Returns what is registered for an agent, or nothing if it is not allowlisted.
    #[must_use]
    pub fn registration(&self, agent: &AgentId) -> Option<&Registration> {
        self.agents.get(agent)
    }
}

/// The rules of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// ACL sets and roles, which can be changed at run time.
    pub book: RuleBook,
    /// Those of the policy files, if there are any.
    pub engine: Option<Arc<Engine>>,
}

/// The registered agents and the rules between them.
#[derive(Debug)]
pub struct Registry {
    base: RuleBook,
    current: ArcSwap<Snapshot>,
    /// Held over a change from reading the snapshot to replacing it.
    changing: tokio::sync::Mutex<()>,
}

/// A change that is decided but not yet in force.
#[derive(Debug)]
pub struct Draft<'a> {
    registry: &'a Registry,
    next: Snapshot,
    ops: Vec<Op>,
    changed: bool,
    _exclusive: tokio::sync::MutexGuard<'a, ()>,
}

impl Registry {
    /// Makes the registry of a configuration and brings in the changes kept in `store`.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] when the store cannot be read, and [`StoreError::Corrupt`] when a
    /// kept change is unreadable: rules must never be widened by leaving one out.
    pub async fn load(
        agents: BTreeMap<AgentId, Registration>,
        rules: Rules,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let Rules { book: base, engine } = rules;
        let mut snapshot =
            Snapshot { agents, book: base.clone(), policy: Policy::compile(&RuleBook::default()) };
        for space in [Space::Role, Space::Rules, Space::Limits, Space::SealingKey] {
            let mut after = None;
            loop {
                let page = store.scan(Scan::Values { space, after, now }, PAGE).await?;
                let full = page.len() == PAGE;
                after = None;
                for found in page {
                    if let Found::Value(value) = found {
                        restore(&mut snapshot, &base, &value.key, &value.value)?;
                        after = Some(value.key);
                    }
                }
                if !full || after.is_none() {
                    break;
                }
            }
        }
        snapshot.policy = Policy::with(&snapshot.book, engine);
        let current = ArcSwap::from_pointee(snapshot);
        Ok(Self { base, current, changing: tokio::sync::Mutex::new(()) })
    }

    /// Returns the snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Starts a change; others wait until it is in force or given up.
    pub async fn draft(&self) -> Draft<'_> {
        let exclusive = self.changing.lock().await;
        let next = Snapshot::clone(&self.current.load());
        Draft { registry: self, next, ops: Vec::new(), changed: false, _exclusive: exclusive }
    }
}

impl Draft<'_> {
    /// Changes access rules.
    ///
    /// # Errors
    ///
    /// Returns the reason when a change makes no sense; nothing of the draft is in force then.
    pub fn change(&mut self, changes: &[policy::Change]) -> Result<(), policy::ChangeError> {
        for change in changes {
            self.changed |= self.next.book.apply(change)?;
        }
        if !self.changed {
            return Ok(());
        }
        let before = self.registry.current.load();
        self.ops.extend(role_ops(&self.registry.base, &before.book, &self.next.book));
        self.ops.extend(rule_ops(&self.registry.base, &before.book, &self.next.book));
        self.next.policy = Policy::with(&self.next.book, before.policy.engine().cloned());
        Ok(())
    }

    /// Sets or clears an agent's own limits; false if the agent is not registered.
    pub fn set_limits(&mut self, agent: &AgentId, limits: Option<RateLimits>) -> bool {
        let Some(registration) = self.next.agents.get_mut(agent) else { return false };
        registration.limits = limits;
        self.changed = true;
        // Clearing is kept too, so that it holds against the configuration after a restart.
        self.put(Key::Limits(agent.clone()), &limits);
        true
    }

    /// Registers an agent's key; false if the agent is not registered.
    pub fn set_sealing_key(&mut self, agent: &AgentId, key: &str) -> bool {
        let Some(registration) = self.next.agents.get_mut(agent) else { return false };
        self.changed = registration.sealing_key.as_deref() != Some(key);
        registration.sealing_key = Some(key.to_owned());
        self.put(Key::SealingKey(agent.clone()), &key);
        true
    }

    /// Returns whether anything is changed, and the revision that will be in force.
    #[must_use]
    pub fn outcome(&self) -> (bool, String) {
        (self.changed, self.next.policy.revision().to_owned())
    }

    /// Returns what must be committed before the draft may take effect.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Puts the draft in force; to be called once its operations are durable.
    pub fn apply(self) {
        self.registry.current.store(Arc::new(self.next));
    }

    fn put(&mut self, key: Key, value: &impl serde::Serialize) {
        if let Ok(value) = serde_json::to_vec(value) {
            let value = Bytes::from(value);
            self.ops.push(Op::Put { key, value, expect: Expect::Anything, expires_at: None });
        }
    }
}

const PAGE: usize = 1_000;

fn role_ops(base: &RuleBook, before: &RuleBook, next: &RuleBook) -> Vec<Op> {
    let names = before.roles.keys().chain(next.roles.keys());
    let mut ops = Vec::new();
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let role = next.roles.get(name);
        if before.roles.get(name) == role {
            continue;
        }
        ops.extend(kept(Key::Role(name.clone()), base.roles.get(name) == role, &role));
    }
    ops
}

fn rule_ops(base: &RuleBook, before: &RuleBook, next: &RuleBook) -> Vec<Op> {
    let none = AgentRules::default();
    let mut ops = Vec::new();
    let names = before.agents.keys().chain(next.agents.keys());
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let rules = next.agents.get(name).unwrap_or(&none);
        if before.agents.get(name).unwrap_or(&none) == rules {
            continue;
        }
        let Ok(agent) = AgentId::parse(name) else { continue };
        let difference = Difference::between(base.agents.get(name).unwrap_or(&none), rules);
        ops.extend(kept(Key::Rules(agent), difference.is_empty(), &difference));
    }
    ops
}

/// Keeps a difference, or forgets it where the configuration already says the same.
fn kept(key: Key, same_as_base: bool, value: &impl serde::Serialize) -> Option<Op> {
    if same_as_base {
        return Some(Op::Delete { key, expect: Expect::Anything });
    }
    let value = Bytes::from(serde_json::to_vec(value).ok()?);
    Some(Op::Put { key, value, expect: Expect::Anything, expires_at: None })
}

fn restore(
    snapshot: &mut Snapshot,
    base: &RuleBook,
    key: &Key,
    value: &[u8],
) -> Result<(), StoreError> {
    match key {
        Key::Role(name) => {
            match read::<Option<Role>>(key, value)? {
                Some(role) => snapshot.book.roles.insert(name.clone(), role),
                None => snapshot.book.roles.remove(name),
            };
        }
        Key::Rules(agent) => {
            let difference = read::<Difference>(key, value)?;
            let rules = base.agents.get(agent.as_str()).cloned().unwrap_or_default();
            snapshot.book.agents.insert(agent.to_string(), difference.applied_to(rules));
        }
        Key::Limits(agent) => {
            let limits = read::<Option<RateLimits>>(key, value)?;
            if let Some(registration) = snapshot.agents.get_mut(agent) {
                registration.limits = limits;
            }
        }
        Key::SealingKey(agent) => {
            let sealing_key = read::<String>(key, value)?;
            if let Some(registration) = snapshot.agents.get_mut(agent) {
                registration.sealing_key = Some(sealing_key);
            }
        }
        Key::Pending(_) | Key::State(_) | Key::Circuit { .. } => {}
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|cause| {
        StoreError::Corrupt(format!("the value of {:?} is unreadable: {cause}", key.space()))
    })
}
