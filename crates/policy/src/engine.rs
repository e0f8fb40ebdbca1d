//! A document, compiled: rules in Cedar, an index that finds the few that a request can meet, and
//! a memory of what was decided.
//!
//! Cedar decides; the index only leaves out rules whose principal, action or resource cannot
//! match, and the memory is keyed by everything that the remaining rules look at.

mod atoms;
mod cedar;
mod graph;
mod index;
mod memo;
mod types;

use std::fmt;

use self::atoms::{Atoms, Wanted};
use self::cedar::{Asked, Cedar};
use self::graph::Graph;
use self::index::Index;
use self::memo::{Key, Known, Memo, Slice};
use self::types::Types;
use crate::{Context, Document, Effect, Fault, Kind, Request};

/// A document in force, ready to be asked.
#[derive(Debug)]
pub struct Engine {
    document: Document,
    graph: Graph,
    index: Index,
    atoms: Atoms,
    types: Types,
    cedar: Cedar,
    memo: Memo,
}

/// All rules of an engine without its index and its memory: what Cedar does by itself.
///
/// The borders of workspaces, the hard rules and the rule book are no part of it.
#[derive(Debug)]
pub struct Plain<'a> {
    engine: &'a Engine,
    policies: cedar::All,
}

/// What the rules of the files say to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Rules allow it, and none denies it.
    Allowed(Deciding),
    /// Rules deny it.
    Denied(Deciding),
    /// A rule could not be computed.
    Failed(Deciding),
    /// No rule applies.
    Silent,
}

/// What the engine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// Whether principal and resource are in different workspaces.
    pub(crate) crosses: bool,
    /// What the target has not declared, if anything.
    pub(crate) undeclared: Option<&'static str>,
}

/// The first rules that decided, by their numbers, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deciding {
    first: [u32; DECIDING_MAX],
    count: u32,
}

/// The rules that decided, by their ids.
#[derive(Clone, Copy)]
pub struct Ruling<'a> {
    engine: &'a Engine,
    effect: Effect,
    deciding: Deciding,
}

impl Engine {
    /// Compiles a document.
    ///
    /// # Errors
    /// Returns the rules and Cedar policies that are ill-typed or can never apply, with their
    /// places.
    pub fn compile(document: Document) -> Result<Self, Vec<Fault>> {
        let cedar = Cedar::compile(&document)?;
        let mut graph = Graph::new(&document);
        let index = Index::new(&document, &cedar, &mut graph);
        let atoms = Atoms::new(&document, &cedar);
        let types = Types::new(&document);
        Ok(Self { document, graph, index, atoms, types, cedar, memo: Memo::new() })
    }

    /// Returns the document that is in force.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// Returns how many rules there are, with those in Cedar.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cedar.len()
    }

    /// Returns whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all rules as Cedar policies.
    #[must_use]
    pub fn to_cedar(&self) -> String {
        self.cedar.to_string()
    }

    /// Returns the rules as Cedar alone would be asked about them, to compare with.
    ///
    /// Nothing if Cedar does not take them together.
    #[must_use]
    pub fn plain(&self) -> Option<Plain<'_>> {
        Some(Plain { engine: self, policies: self.cedar.all()? })
    }

    /// Returns the workspace that a principal is in; nothing if the policy and its token disagree.
    #[must_use]
    pub fn workspace_of(&self, request: &Request<'_>) -> Option<Box<str>> {
        self.graph.principal(&request.principal).workspace
    }

    /// Answers a request, from memory where it was answered before under the same facts.
    pub(crate) fn answer(&self, request: &Request<'_>) -> Answer {
        let context = &request.context;
        let Some(said) = self.types.find(&self.document, context.message_type) else {
            return self.answer_as_said(request);
        };
        // What the policy says of a type holds whatever the message says of itself.
        let labels: Vec<&str> = context.labels.iter().copied().chain(said.labels).collect();
        let context = Context {
            labels: &labels,
            domain: said.domain.unwrap_or(context.domain),
            skill: said.skill.unwrap_or(context.skill),
            ..*context
        };
        self.answer_as_said(&Request { context, ..*request })
    }

    fn answer_as_said(&self, request: &Request<'_>) -> Answer {
        let message_type =
            if self.graph.has_message_types { request.context.message_type } else { "" };
        let key = Key { request, message_type };
        let slice = self.memo.slice(&key, || self.slice(request));
        let undeclared = if slice.is_declared { self.undeclared(request) } else { None };
        let facts = self.atoms.facts(&slice.wanted, &request.context);
        let known = facts.and_then(|facts| slice.known.get(facts));
        let verdict = known.unwrap_or_else(|| {
            let verdict = self.decide(&slice, request);
            if let Some(facts) = facts {
                slice.known.remember(facts, verdict);
            }
            verdict
        });
        Answer { verdict, crosses: slice.crosses, undeclared }
    }

    /// Finds what a request can meet.
    fn slice(&self, request: &Request<'_>) -> Slice {
        let principal = self.graph.principal(&request.principal);
        let resource = self.graph.resource(&request.resource, request.context.message_type);
        let mut rules = self.index.candidates(request.action, &principal.nodes, &resource.nodes);
        let crosses = match (&principal.workspace, &resource.workspace) {
            (Some(one), Some(other)) if one == other => false,
            (Some(_), Some(_)) => {
                rules.retain(|rule| self.cedar.may_cross(*rule));
                true
            }
            // Where it is not clear what lies between, no rule can say that it may be crossed.
            _ => {
                rules.retain(|rule| self.cedar.is_denial(*rule));
                true
            }
        };
        let wanted = self.atoms.wanted(&rules);
        let is_message = request.resource.kind == Kind::Agent && request.action.is_asking();
        let is_declared = is_message && self.document.agents.contains_key(request.resource.id);
        Slice { rules: rules.into(), wanted, crosses, is_declared, known: Known::default() }
    }

    fn decide(&self, slice: &Slice, request: &Request<'_>) -> Verdict {
        if slice.rules.is_empty() {
            return Verdict::Silent;
        }
        let asked = Asked {
            request,
            graph: &self.graph,
            principal: &self.graph.principal(&request.principal),
            resource: &self.graph.resource(&request.resource, request.context.message_type),
        };
        let context = self.atoms.context(&slice.wanted, &request.context);
        self.cedar.decide(&slice.rules, &asked, context)
    }

    fn undeclared(&self, request: &Request<'_>) -> Option<&'static str> {
        let target = self.document.agents.get(request.resource.id)?;
        let context = &request.context;
        let has_type = target
            .message_types
            .as_ref()
            .is_none_or(|types| types.iter().any(|pattern| pattern.matches(context.message_type)));
        // What names no domain and no skill is about none.
        let has = |declared: &Option<std::collections::BTreeSet<String>>, wanted: &str| {
            wanted.is_empty() || declared.as_ref().is_none_or(|all| all.contains(wanted))
        };
        if !has_type {
            Some("message type")
        } else if !has(&target.domains, context.domain) {
            Some("domain")
        } else if !has(&target.skills, context.skill) {
            Some("skill")
        } else {
            None
        }
    }

    pub(crate) const fn ruling(&self, effect: Effect, deciding: Deciding) -> Ruling<'_> {
        Ruling { engine: self, effect, deciding }
    }
}

impl Plain<'_> {
    /// Returns whether Cedar allows a request, asked about every rule.
    #[must_use]
    pub fn allows(&self, request: &Request<'_>) -> bool {
        let engine = self.engine;
        let context = engine.atoms.context(&Wanted::Everything, &request.context);
        let asked = Asked {
            request,
            graph: &engine.graph,
            principal: &engine.graph.principal(&request.principal),
            resource: &engine.graph.resource(&request.resource, request.context.message_type),
        };
        engine.cedar.allows(&self.policies, &asked, context)
    }
}

impl Deciding {
    fn of(rules: impl Iterator<Item = u32>) -> Self {
        let mut all: Vec<u32> = rules.collect();
        all.sort_unstable();
        let mut deciding = Self { first: [0; DECIDING_MAX], count: 0 };
        for (place, rule) in deciding.first.iter_mut().zip(&all) {
            *place = *rule;
        }
        deciding.count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        deciding
    }
}

impl<'a> Ruling<'a> {
    /// Returns the ids of the rules that decided, at most four, in the order of the policy.
    pub fn ids(&self) -> impl Iterator<Item = &'a str> {
        let engine = self.engine;
        let count = usize::try_from(self.deciding.count).unwrap_or(usize::MAX);
        self.deciding.first.into_iter().take(count).filter_map(|rule| engine.cedar.id(rule))
    }

    /// Returns how many rules decided.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.deciding.count
    }

    /// Returns what the rules say.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.effect
    }
}

impl PartialEq for Ruling<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.engine, other.engine)
            && self.effect == other.effect
            && self.deciding == other.deciding
    }
}

impl Eq for Ruling<'_> {}

impl fmt::Debug for Ruling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Ruling<'_> {
    /// Writes which rules they are, without what they say.
    pub(crate) fn write_names(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.ids().collect();
        let count = usize::try_from(self.deciding.count).unwrap_or(usize::MAX);
        f.write_str(if count == 1 { "rule " } else { "rules " })?;
        f.write_str(&ids.join(", "))?;
        if count > ids.len() {
            write!(f, " and {} more", count - ids.len())?;
        }
        Ok(())
    }
}

impl fmt::Display for Ruling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_names(f)?;
        f.write_str(match (self.effect, self.deciding.count) {
            (Effect::Allow, 1) => " allows it",
            (Effect::Allow, _) => " allow it",
            (Effect::Deny, 1) => " denies it",
            (Effect::Deny, _) => " deny it",
        })
    }
}

/// LIMIT: deciding rules that are named; the others are counted.
const DECIDING_MAX: usize = 4;
