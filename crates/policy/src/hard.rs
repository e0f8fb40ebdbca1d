//! What no rule can allow: another agent's namespace, and more than the credential carries.

use std::collections::BTreeSet;

use crate::{Action, Kind, Reason, Request};

/// Returns why a request is refused whatever the rules say.
pub(crate) fn refuses<'a>(request: &Request<'a>) -> Option<Reason<'a>> {
    let Request { principal, action, resource, .. } = request;
    let changes = matches!(action, Action::Write | Action::Publish | Action::Administer);
    if changes && resource.kind == Kind::Table && !owns(principal.kind, principal.id, resource.id) {
        return Some(Reason::Namespace { principal: principal.id, table: resource.id });
    }
    let capabilities = principal.claims.and_then(|claims| claims.capabilities());
    if capabilities.is_some_and(|held| !covers(held, *action, resource.kind, resource.id)) {
        let (principal, resource) = (principal.id, resource.id);
        return Some(Reason::Capability { principal, action: *action, resource });
    }
    None
}

/// Returns whether a table is in nobody's namespace, or in that of the agent.
fn owns(kind: Kind, id: &str, table: &str) -> bool {
    let Some(rest) = table.strip_prefix(NAMESPACE) else { return true };
    // Whole names: `agents.statement` is no part of it, `agents.state` itself is nobody's.
    let Some(rest) = rest.strip_prefix('.') else { return !rest.is_empty() };
    // The name before the next dot as a whole: were `a.b` an agent, its namespace would be in that
    // of `a`; so an id with a dot has none.
    let owner = rest.split_once('.').filter(|(_, name)| !name.is_empty()).map(|(owner, _)| owner);
    kind == Kind::Agent && !id.is_empty() && owner == Some(id)
}

/// Returns whether one of the capabilities allows the action on the resource.
fn covers(held: &BTreeSet<String>, action: Action, kind: Kind, id: &str) -> bool {
    // A plan has no object in its scope; everything else has.
    let is_plan = matches!(action, Action::Propose | Action::Vote);
    let words = scopes(action, kind);
    held.iter().any(|scope| match scope.split_once(':') {
        None => is_plan && words.contains(&scope.as_str()),
        Some((word, object)) => !is_plan && words.contains(&word) && is_under(object, id),
    })
}

/// Returns whether an object of a scope is the resource, or a name with `.*` above it.
fn is_under(object: &str, id: &str) -> bool {
    match object.strip_suffix(".*") {
        Some(above) => {
            let below = id.strip_prefix(above).and_then(|rest| rest.strip_prefix('.'));
            below.is_some_and(|name| !name.is_empty())
        }
        None => object == id,
    }
}

/// Returns the words of the scopes that allow an action, without the object.
const fn scopes(action: Action, kind: Kind) -> &'static [&'static str] {
    match (action, kind) {
        (Action::Read | Action::Subscribe, Kind::Table) => &["neuralbus.read"],
        (Action::Write | Action::Publish, Kind::Table) => &["neuralbus.write"],
        (Action::Propose, _) => &["planning.propose"],
        (Action::Vote, _) => &["planning.vote"],
        (Action::Query, Kind::EmbeddingSpace) => &["embedding.query"],
        (Action::Query, Kind::Table) => &["neuralbus.read"],
        (Action::Query, _) => &["neuralbus.query"],
        (Action::Send, _) => &["neuralbus.send"],
        (Action::Request, _) => &["neuralbus.request", "neuralbus.send"],
        (Action::Reply, _) => &["neuralbus.reply", "neuralbus.send"],
        (Action::Discover, _) => &["neuralbus.discover", "neuralbus.send"],
        (Action::Subscribe | Action::Read, _) => &["neuralbus.subscribe"],
        (Action::Publish | Action::Write, _) => &["neuralbus.publish"],
        (Action::Administer, _) => &["neuralbus.administer"],
    }
}

/// The tables in which each agent has a namespace of its own.
const NAMESPACE: &str = "agents.state";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claims, Context, Principal, Resource};

    fn code(principal: Principal<'_>, action: Action, kind: Kind, id: &str) -> &'static str {
        let resource = Resource { kind, id };
        let request = Request { principal, action, resource, context: Context::default() };
        refuses(&request).map_or("", |reason| reason.code())
    }

    #[test]
    fn an_agent_changes_only_its_own_namespace() {
        for (table, code_wanted) in [
            ("agents.state.a.mood", ""),
            ("agents.state.a.mood.deep", ""),
            ("agents.state.a", "namespace"),
            ("agents.state.a.", "namespace"),
            ("agents.state.b.mood", "namespace"),
            ("agents.state.ab.mood", "namespace"),
            ("agents.state", "namespace"),
            ("agents.state.", "namespace"),
            ("agents.state..mood", "namespace"),
            ("agents.statement.b", ""),
            ("orders", ""),
        ] {
            for action in [Action::Write, Action::Publish, Action::Administer] {
                let found = code(Principal::agent("a"), action, Kind::Table, table);
                assert_eq!(found, code_wanted, "{action} {table}");
            }
            assert_eq!(code(Principal::agent("a"), Action::Read, Kind::Table, table), "");
        }
        let user = Principal { kind: Kind::User, ..Principal::agent("a") };
        assert_eq!(code(user, Action::Write, Kind::Table, "agents.state.a.mood"), "namespace");
        let dotted = Principal::agent("a.b");
        assert_eq!(code(dotted, Action::Write, Kind::Table, "agents.state.a.b.mood"), "namespace");
        let nobody = Principal::agent("");
        assert_eq!(code(nobody, Action::Write, Kind::Table, "agents.state..mood"), "namespace");
    }

    #[test]
    fn a_credential_allows_no_more_than_its_capabilities() {
        let table: &[(&[&str], Action, Kind, &str, bool)] = &[
            (&[], Action::Read, Kind::Table, "orders", false),
            (&["neuralbus.read:orders"], Action::Read, Kind::Table, "orders", true),
            (&["neuralbus.read:orders"], Action::Subscribe, Kind::Table, "orders", true),
            (&["neuralbus.read:orders"], Action::Write, Kind::Table, "orders", false),
            (&["neuralbus.read:orders"], Action::Read, Kind::Table, "orders.eu", false),
            (&["neuralbus.read:orders.*"], Action::Read, Kind::Table, "orders.eu", true),
            (&["neuralbus.read:orders.*"], Action::Read, Kind::Table, "orders.eu.x", true),
            (&["neuralbus.read:orders.*"], Action::Read, Kind::Table, "orders", false),
            (&["neuralbus.read:orders.*"], Action::Read, Kind::Table, "orders.", false),
            (&["neuralbus.read:orders.*"], Action::Read, Kind::Table, "ordersx", false),
            (&["neuralbus.read:ord*"], Action::Read, Kind::Table, "orders", false),
            (&["neuralbus.read:*"], Action::Read, Kind::Table, "orders", false),
            (&["Neuralbus.read:orders"], Action::Read, Kind::Table, "orders", false),
            (&["neuralbus.write:orders"], Action::Write, Kind::Table, "orders", true),
            (&["planning.propose"], Action::Propose, Kind::Workspace, "acme", true),
            (&["planning.propose"], Action::Vote, Kind::Workspace, "acme", false),
            (&["planning.vote"], Action::Vote, Kind::Channel, "plans", true),
            (&["embedding.query:docs"], Action::Query, Kind::EmbeddingSpace, "docs", true),
            (&["embedding.query:docs"], Action::Query, Kind::EmbeddingSpace, "mail", false),
            (&["neuralbus.send:b"], Action::Send, Kind::Agent, "b", true),
            (&["neuralbus.send:b"], Action::Request, Kind::Agent, "b", true),
            (&["neuralbus.request:b"], Action::Send, Kind::Agent, "b", false),
            (&["neuralbus.send:c"], Action::Send, Kind::Agent, "b", false),
        ];
        for (held, action, kind, id, is_allowed) in table {
            let held: BTreeSet<String> = held.iter().map(ToString::to_string).collect();
            let claims = Claims::new(None, Some(held.clone()), Default::default());
            let principal = Principal { claims: Some(&claims), ..Principal::agent("a") };
            let wanted = if *is_allowed { "" } else { "capability" };
            assert_eq!(code(principal, *action, *kind, id), wanted, "{held:?} {action} {id}");
        }
        let unlimited = Claims::default();
        let principal = Principal { claims: Some(&unlimited), ..Principal::agent("a") };
        assert_eq!(code(principal, Action::Read, Kind::Table, "orders"), "");
    }
}
