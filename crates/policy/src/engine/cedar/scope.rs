//! Reads policies that are written in Cedar, and says what they are about.

use std::str::FromStr as _;

use cedar_policy::{
    ActionConstraint, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    ResourceConstraint, Validator,
};
use miette::Diagnostic as _;

use super::{MODE, alone, bounds, schema};
use crate::document::{CedarText, is_every_action, is_everything};
use crate::fault::{Faults, shown};
use crate::{Action, Document, FaultCode, Kind, Pattern, Place, Selector};

/// What a policy of a Cedar text is about, as far as its head says it.
#[derive(Debug)]
pub(in crate::engine) struct Scope {
    pub(super) place: Place,
    pub(in crate::engine) principal: Selector,
    pub(in crate::engine) actions: Vec<Action>,
    pub(in crate::engine) resource: Selector,
    /// What its conditions name.
    pub(in crate::engine) named: Vec<Selector>,
    pub(in crate::engine) looks_at_context: bool,
}

/// Reads a text; what is wrong with it goes to `faults`.
pub(super) fn read(
    text: &CedarText,
    document: &Document,
    validator: &Validator,
    faults: &mut Faults,
) -> Vec<(Policy, Scope)> {
    if let Err((offset, says)) = bounds::check(&text.text) {
        faults.add(FaultCode::TooLarge, &within(text, offset), says);
        return Vec::new();
    }
    let set = match PolicySet::from_str(&text.text) {
        Ok(set) => set,
        Err(error) => {
            let offset = error.labels().and_then(|mut labels| labels.next());
            let place = offset.map_or_else(|| text.place.clone(), |at| within(text, at.offset()));
            let says: String = error.to_string().chars().take(400).collect();
            faults.add(FaultCode::Cedar, &place, says);
            return Vec::new();
        }
    };
    if set.templates().next().is_some() {
        faults.add(FaultCode::Cedar, &text.place, "templates are not used here; write each policy");
    }
    let mut read = Vec::new();
    for policy in set.policies() {
        let Some(id) = policy.annotation("id").filter(|id| is_id(id)) else {
            let says = "each policy needs an annotation `@id(\"NAME\")` of 1 to 128 letters, \
                        digits, `-`, `_` or `.`";
            faults.add(FaultCode::Cedar, &text.place, says);
            continue;
        };
        let policy = policy.new_id(PolicyId::new(id));
        let place = text.text.find(&format!("\"{id}\"")).map(|offset| within(text, offset));
        let place = place.unwrap_or_else(|| text.place.clone());
        if let Some(says) = validate(validator, &policy) {
            faults.add(FaultCode::Cedar, &place, says);
            continue;
        }
        let scope = scope(&policy, place);
        if policy.effect() == cedar_policy::Effect::Permit
            && !policy.has_non_scope_constraint()
            && is_everything(&scope.principal)
            && is_everything(&scope.resource)
            && is_every_action(scope.actions.iter())
        {
            let says = format!(
                "policy `{id}` allows everything to everybody; name principals, actions or \
                 resources"
            );
            faults.add(FaultCode::Value, &scope.place, says);
        }
        for selector in [&scope.principal, &scope.resource].into_iter().chain(&scope.named) {
            if !is_defined(selector, document) {
                let says = format!(
                    "policy `{id}` names `{}`, which is nowhere defined",
                    shown(&selector.to_string())
                );
                faults.add(FaultCode::Unknown, &scope.place, says);
            }
        }
        read.push((policy, scope));
    }
    read
}

/// Returns what the validator has against a policy, if anything.
pub(super) fn validate(validator: &Validator, policy: &Policy) -> Option<Box<str>> {
    let Some(set) = alone(policy) else { return Some("is no policy by itself".into()) };
    let result = validator.validate(&set, MODE);
    let errors = result.validation_errors().map(ToString::to_string);
    let warnings = result.validation_warnings().filter_map(|warning| {
        let is_impossible = matches!(warning, cedar_policy::ValidationWarning::ImpossiblePolicy(_));
        is_impossible.then(|| NEVER.to_owned())
    });
    errors.chain(warnings).next().map(|says| says.chars().take(400).collect::<String>().into())
}

fn scope(policy: &Policy, place: Place) -> Scope {
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => Selector::Any,
        PrincipalConstraint::In(uid)
        | PrincipalConstraint::Eq(uid)
        | PrincipalConstraint::IsIn(_, uid) => selector(&uid),
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => Selector::Any,
        ResourceConstraint::In(uid)
        | ResourceConstraint::Eq(uid)
        | ResourceConstraint::IsIn(_, uid) => selector(&uid),
    };
    let actions = match policy.action_constraint() {
        ActionConstraint::Any => Action::ALL.to_vec(),
        ActionConstraint::In(all) => all.iter().filter_map(action).collect(),
        ActionConstraint::Eq(one) => action(&one).into_iter().collect(),
    };
    // What cannot be looked into is taken to look at everything.
    let json = policy.to_json().map(|json| json.to_string());
    let looks_at_context = json.map_or(true, |json| json.contains(r#"{"Var":"context"}"#));
    let named = policy.entity_literals().iter().map(selector).collect();
    Scope { place, principal, actions, resource, named, looks_at_context }
}

fn action(uid: &EntityUid) -> Option<Action> {
    Action::ALL.into_iter().find(|action| action.as_str() == uid.id().unescaped())
}

/// Returns the selector of an entity; what stands for none can be anything.
fn selector(uid: &EntityUid) -> Selector {
    let (name, id) = (uid.type_name().to_string(), uid.id().unescaped());
    if name == schema::PATTERN {
        return Selector::parse(id).unwrap_or(Selector::Any);
    }
    let kind = Kind::ALL.into_iter().find(|kind| schema::name(*kind) == name);
    match kind {
        // A `*` stands for itself in an entity of Cedar.
        Some(kind) if !id.contains('*') => Selector::Named { kind, name: Pattern::new(id) },
        _ => Selector::Any,
    }
}

fn is_defined(selector: &Selector, document: &Document) -> bool {
    match selector {
        Selector::Named { kind: Kind::Group, name } => document.groups.contains_key(name.as_str()),
        Selector::Named { kind: Kind::Role, name } => document.roles.contains_key(name.as_str()),
        Selector::Named { kind: Kind::Workspace, name } => {
            document.workspaces.contains_key(name.as_str())
        }
        Selector::Named { .. } | Selector::Any | Selector::Spiffe(_) | Selector::Claim { .. } => {
            true
        }
    }
}

fn is_id(text: &str) -> bool {
    crate::document::is_id(text)
}

/// Returns the place of a byte of the text.
fn within(text: &CedarText, offset: usize) -> Place {
    let before = text.text.get(..offset).unwrap_or_default();
    let lines = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let first = if lines == 0 { text.place.column } else { text.margin.saturating_add(1) };
    let line = text.place.line.saturating_add(small(lines));
    Place { line, column: first.saturating_add(small(column)), ..text.place.clone() }
}

const NEVER: &str = "can never apply: no such principal can do these actions with such a \
                     resource, or a list is empty; see the table of actions in docs/policy.md";
