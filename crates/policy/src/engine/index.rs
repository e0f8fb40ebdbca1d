//! Finds the rules that a request can meet, without looking at the others.

use std::collections::HashMap;

use super::cedar::Cedar;
use super::graph::{Graph, Node};
use crate::{Action, Document};

/// The rules by action, by what principals belong to, by what resources belong to.
#[derive(Debug, Default)]
pub(super) struct Index {
    actions: [HashMap<Node, HashMap<Node, Vec<u32>>>; Action::ALL.len()],
}

impl Index {
    pub(super) fn new(document: &Document, cedar: &Cedar, graph: &mut Graph) -> Self {
        let mut index = Self::default();
        for (rule, at) in document.rules.iter().zip(0..) {
            let principals: Vec<_> = rule.principals.iter().map(|it| graph.node(it)).collect();
            let resources: Vec<_> = rule.resources.iter().map(|it| graph.node(it)).collect();
            index.add(at, &principals, rule.actions.iter().copied(), &resources);
        }
        for (at, scope) in cedar.scopes() {
            let principal = graph.node(&scope.principal);
            let resource = graph.node(&scope.resource);
            // What a condition asks to be a member of must be known as something to belong to.
            for selector in &scope.named {
                graph.node(selector);
            }
            index.add(at, &[principal], scope.actions.iter().copied(), &[resource]);
        }
        index
    }

    fn add(
        &mut self,
        rule: u32,
        principals: &[Node],
        actions: impl Iterator<Item = Action>,
        resources: &[Node],
    ) {
        for action in actions {
            let Some(by_principal) = self.actions.get_mut(action as usize) else { continue };
            for principal in principals {
                let by_resource = by_principal.entry(*principal).or_default();
                for resource in resources {
                    by_resource.entry(*resource).or_default().push(rule);
                }
            }
        }
    }

    /// Returns the rules in their order, each once.
    pub(super) fn candidates(
        &self,
        action: Action,
        principal: &[Node],
        resource: &[Node],
    ) -> Vec<u32> {
        let mut rules: Vec<u32> = Vec::new();
        let Some(by_principal) = self.actions.get(action as usize) else { return rules };
        for by_resource in principal.iter().filter_map(|node| by_principal.get(node)) {
            if by_resource.len() < resource.len() {
                let found = by_resource.iter().filter(|(it, _)| resource.binary_search(it).is_ok());
                rules.extend(found.flat_map(|(_, rules)| rules));
            } else {
                rules.extend(resource.iter().filter_map(|node| by_resource.get(node)).flatten());
            }
        }
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}
