//! Who belongs to what: principals and resources, and the sets that the policy puts them in.
//!
//! A pattern in the policy becomes a set too, whose members are found by matching; so each rule
//! is about membership and nothing else.

use std::collections::{BTreeSet, HashMap};

use crate::{Claims, Document, Kind, Pattern, Principal, Resource, Selector};

/// The number of something that the policy names.
pub(super) type Node = u32;

/// What every principal and every resource belongs to.
pub(super) const ANY: Node = 0;

/// What the policy names, and what it belongs to.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// By kind.
    names: [Texts; Kind::ALL.len()],
    spiffe: Texts,
    /// By name of the claim.
    claims: HashMap<Box<str>, Texts>,
    selectors: HashMap<Selector, Node>,
    /// Of each node: what it is, and what it belongs to, with itself.
    nodes: Vec<(Selector, Vec<Node>)>,
    /// The workspace that a member names itself.
    named: HashMap<Node, Box<str>>,
    /// Whether message types are resources somewhere.
    pub(super) has_message_types: bool,
}

/// Texts and patterns of texts that stand for nodes.
#[derive(Debug, Default)]
struct Texts {
    exact: HashMap<Box<str>, Node>,
    patterns: Vec<(Pattern, Node)>,
}

/// Where something stands: what it belongs to, and in which workspace.
#[derive(Debug)]
pub(super) struct Standing {
    /// Sorted, with [`ANY`].
    pub(super) nodes: Vec<Node>,
    /// Nothing if it is not clear which.
    pub(super) workspace: Option<Box<str>>,
    /// Whether the policy puts it there.
    pub(super) is_placed: bool,
}

impl Texts {
    fn insert(&mut self, pattern: &Pattern, node: Node) {
        if pattern.is_exact() {
            self.exact.insert(pattern.as_str().into(), node);
        } else {
            self.patterns.push((pattern.clone(), node));
        }
    }

    fn find(&self, text: &str) -> impl Iterator<Item = Node> {
        let matching = self.patterns.iter().filter(move |(pattern, _)| pattern.matches(text));
        self.exact.get(text).copied().into_iter().chain(matching.map(|(_, node)| *node))
    }
}

impl Graph {
    pub(super) fn new(document: &Document) -> Self {
        let mut graph = Self { nodes: vec![(Selector::Any, vec![ANY])], ..Self::default() };
        let set = |kind, name: &str| Selector::Named { kind, name: Pattern::new(name) };
        for (name, role) in &document.roles {
            let node = graph.node(&set(Kind::Role, name));
            for inherited in &role.inherits {
                graph.put(node, &set(Kind::Role, inherited));
            }
            graph.fill(&role.members, node);
        }
        for (name, group) in &document.groups {
            let node = graph.node(&set(Kind::Group, name));
            for role in &group.roles {
                graph.put(node, &set(Kind::Role, role));
            }
            graph.fill(&group.members, node);
        }
        for (name, workspace) in &document.workspaces {
            let node = graph.node(&set(Kind::Workspace, name));
            graph.fill(&workspace.members, node);
        }
        let members = [
            (Kind::Agent, &document.agents),
            (Kind::User, &document.users),
            (Kind::ServiceAccount, &document.service_accounts),
        ];
        for (kind, members) in members {
            for (name, member) in members {
                let node = graph.node(&set(kind, name));
                let roles = member.roles.iter().map(|name| set(Kind::Role, name));
                let groups = member.groups.iter().map(|name| set(Kind::Group, name));
                for it in roles.chain(groups) {
                    graph.put(node, &it);
                }
                if let Some(workspace) = &member.workspace {
                    graph.named.insert(node, workspace.as_str().into());
                }
            }
        }
        graph
    }

    /// Returns the node of a selector; there is one afterwards.
    pub(super) fn node(&mut self, selector: &Selector) -> Node {
        if *selector == Selector::Any {
            return ANY;
        }
        if let Some(node) = self.selectors.get(selector) {
            return *node;
        }
        let node = Node::try_from(self.nodes.len()).unwrap_or(Node::MAX);
        self.nodes.push((selector.clone(), vec![node]));
        self.selectors.insert(selector.clone(), node);
        match selector {
            Selector::Any => {}
            Selector::Named { kind, name } => {
                self.has_message_types |= *kind == Kind::MessageType;
                if let Some(names) = self.names.get_mut(*kind as usize) {
                    names.insert(name, node);
                }
            }
            Selector::Spiffe(pattern) => self.spiffe.insert(pattern, node),
            Selector::Claim { name, value } => {
                self.claims.entry(name.clone()).or_default().insert(value, node);
            }
        }
        node
    }

    /// Returns what a node stands for.
    pub(super) fn selector(&self, node: Node) -> &Selector {
        let at = usize::try_from(node).unwrap_or(usize::MAX);
        self.nodes.get(at).map_or(&Selector::Any, |(selector, _)| selector)
    }

    fn put(&mut self, node: Node, into: &Selector) {
        let into = self.node(into);
        if let Some((_, parents)) = usize::try_from(node).ok().and_then(|at| self.nodes.get_mut(at))
        {
            parents.push(into);
        }
    }

    fn fill(&mut self, members: &[Selector], set: Node) {
        for member in members {
            let node = self.node(member);
            let into = self.selector(set).clone();
            self.put(node, &into);
        }
    }

    /// Returns where a principal stands.
    pub(super) fn principal(&self, principal: &Principal<'_>) -> Standing {
        let mut found = self.direct(principal.kind, principal.id);
        if !principal.spiffe_id.is_empty() {
            found.extend(self.spiffe.find(principal.spiffe_id));
        }
        for (name, values) in principal.claims.into_iter().flat_map(Claims::others) {
            if let Some(texts) = self.claims.get(name.as_str()) {
                found.extend(values.iter().flat_map(|value| texts.find(value)));
            }
        }
        let mut standing = self.standing(found);
        if let Some(claimed) = principal.claims.and_then(Claims::workspace_id) {
            let is_same = standing.workspace.as_deref() == Some(claimed);
            standing.workspace = (is_same || !standing.is_placed).then(|| claimed.into());
            self.enter(&mut standing);
        }
        standing
    }

    /// Returns where a resource stands; a message to an agent is both the agent and its type.
    pub(super) fn resource(&self, resource: &Resource<'_>, message_type: &str) -> Standing {
        let found = self.direct(resource.kind, resource.id);
        let mut standing = self.standing(found);
        if resource.kind == Kind::Workspace {
            standing.workspace = Some(resource.id.into());
            self.enter(&mut standing);
        }
        if self.has_message_types && resource.kind == Kind::Agent && !message_type.is_empty() {
            let types = self.closure(self.direct(Kind::MessageType, message_type));
            standing.nodes.extend(types);
            standing.nodes.sort_unstable();
            standing.nodes.dedup();
        }
        standing
    }

    fn direct(&self, kind: Kind, id: &str) -> Vec<Node> {
        self.names.get(kind as usize).into_iter().flat_map(|names| names.find(id)).collect()
    }

    fn standing(&self, found: Vec<Node>) -> Standing {
        let named = found.iter().find_map(|node| self.named.get(node)).cloned();
        let nodes = self.closure(found);
        let workspaces: BTreeSet<&str> = nodes
            .iter()
            .filter_map(|node| match self.selector(*node) {
                Selector::Named { kind: Kind::Workspace, name } => Some(name.as_str()),
                Selector::Named { .. }
                | Selector::Any
                | Selector::Spiffe(_)
                | Selector::Claim { .. } => None,
            })
            .collect();
        let is_placed = named.is_some() || !workspaces.is_empty();
        let workspace = named.or_else(|| match workspaces.len() {
            0 => Some(DEFAULT.into()),
            1 => workspaces.first().map(|name| Box::from(*name)),
            _ => None,
        });
        let mut standing = Standing { nodes, workspace, is_placed };
        self.enter(&mut standing);
        standing
    }

    /// Keeps the one workspace among the nodes that it stands in.
    fn enter(&self, standing: &mut Standing) {
        standing.nodes.retain(|node| {
            !matches!(self.selector(*node), Selector::Named { kind: Kind::Workspace, .. })
        });
        let node = standing.workspace.as_deref().and_then(|name| {
            self.names.get(Kind::Workspace as usize).and_then(|names| names.exact.get(name))
        });
        standing.nodes.extend(node);
        standing.nodes.sort_unstable();
    }

    /// Returns all that nodes belong to, with themselves, sorted.
    fn closure(&self, mut open: Vec<Node>) -> Vec<Node> {
        let mut seen = BTreeSet::from([ANY]);
        while let Some(node) = open.pop() {
            if seen.insert(node) {
                let at = usize::try_from(node).unwrap_or(usize::MAX);
                open.extend(self.nodes.get(at).into_iter().flat_map(|(_, parents)| parents));
            }
        }
        seen.into_iter().collect()
    }
}

/// The workspace of whoever and whatever has no other.
pub(super) const DEFAULT: &str = "default";
