//! Refuses what could never be meant: circles, rules about nothing or about everything, and
//! rules that contradict each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{GROUP, ROLE};
use crate::document::{Condition, Document, Effect, Rule};
use crate::fault::{Faults, shown};
use crate::{Action, Authentication, FaultCode, Kind, Place, Selector};

type Defined = BTreeMap<(&'static str, String), Place>;

/// Finds roles that inherit themselves and groups that hold themselves.
pub(super) fn circles(document: &Document, defined: &Defined, faults: &mut Faults) {
    let roles = document.roles.iter();
    let roles = roles.map(|(name, role)| {
        (name.as_str(), role.inherits.iter().map(String::as_str).collect::<Vec<_>>())
    });
    circle(ROLE, &roles.collect(), defined, faults);
    let groups = document.groups.iter().map(|(name, group)| {
        let held = group.members.iter().filter_map(|member| match member {
            Selector::Named { kind: Kind::Group, name } => Some(name.as_str()),
            Selector::Named { .. }
            | Selector::Any
            | Selector::Spiffe(_)
            | Selector::Claim { .. } => None,
        });
        (name.as_str(), held.collect::<Vec<_>>())
    });
    circle(GROUP, &groups.collect(), defined, faults);
}

/// Takes away what leads nowhere until nothing more can be taken: the rest has a circle.
fn circle(
    what: &'static str,
    edges: &BTreeMap<&str, Vec<&str>>,
    defined: &Defined,
    faults: &mut Faults,
) {
    let mut users: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for (name, next) in edges {
        // A name that is not defined leads nowhere, and is told elsewhere.
        let next: Vec<_> = next.iter().filter(|next| edges.contains_key(**next)).collect();
        open.insert(name, next.len());
        for next in next {
            users.entry(next).or_default().push(name);
        }
    }
    let mut ready: Vec<&str> =
        open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = ready.pop() {
        open.remove(name);
        for user in users.get(name).into_iter().flatten() {
            if let Some(count) = open.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    ready.push(user);
                }
            }
        }
    }
    // Those that only lead into a circle are left too; walk on until a name comes again.
    let Some(start) = open.keys().min() else { return };
    let mut way: Vec<&str> = vec![start];
    while let Some(next) = way
        .last()
        .and_then(|name| edges.get(name))
        .and_then(|next| next.iter().find(|next| open.contains_key(**next)))
    {
        if let Some(first) = way.iter().position(|name| name == next) {
            way.drain(..first);
            break;
        }
        way.push(next);
    }
    let Some(place) = way.first().and_then(|name| defined.get(&(what, (*name).to_owned()))) else {
        return;
    };
    let names: Vec<_> =
        way.iter().chain(way.first()).map(|name| format!("`{}`", shown(name))).collect();
    let says = format!("`{what}` go in a circle: {}; remove one of the steps", names.join(" > "));
    faults.add(FaultCode::Cycle, place, says);
}

/// Finds conditions on what no door tells of a message yet; such a denial would deny nothing.
pub(super) fn untold(document: &Document, faults: &mut Faults) {
    let said = || document.message_types.values();
    let labels: BTreeSet<&String> = said().flat_map(|it| &it.labels).collect();
    let domains: BTreeSet<&String> = said().filter_map(|it| it.domain.as_ref()).collect();
    for rule in &document.rules {
        for condition in rule.when.iter().chain(&rule.unless) {
            let (what, missing) = match condition {
                Condition::ApprovedBy(_) => {
                    let says = format!(
                        "rule `{}`: `approved_by` is not supported yet, as no approval is told",
                        rule.id
                    );
                    faults.add(FaultCode::Value, &rule.place, says);
                    continue;
                }
                Condition::LabelsAny(all)
                | Condition::LabelsAll(all)
                | Condition::LabelsNone(all) => {
                    ("label", all.iter().find(|it| !labels.contains(it)))
                }
                Condition::Domains(all) => ("domain", all.iter().find(|it| !domains.contains(it))),
                Condition::MessageTypes(_)
                | Condition::PayloadMin(_)
                | Condition::PayloadMax(_)
                | Condition::TimeWindows(_)
                | Condition::Networks(_)
                | Condition::AuthenticationMin(_)
                | Condition::DelegationDepthMax(_)
                | Condition::NotBefore(_)
                | Condition::Before(_) => continue,
            };
            if let Some(name) = missing {
                let says = format!(
                    "rule `{}`: no entry of `message_types` gives the {what} `{}`; what messages \
                     say of themselves is not supported yet",
                    rule.id,
                    shown(name)
                );
                faults.add(FaultCode::Unknown, &rule.place, says);
            }
        }
    }
}

/// Finds rules about nothing or everything, and pairs that contradict each other.
pub(super) fn rules(document: &Document, faults: &mut Faults) {
    type Scope<'a> =
        (&'a [Selector], Vec<Action>, &'a [Selector], &'a [Condition], &'a [Condition]);
    let mut seen: HashMap<Scope<'_>, &Rule> = HashMap::new();
    for rule in &document.rules {
        let lists = [rule.principals.len(), rule.actions.len(), rule.resources.len()];
        if lists.contains(&0) {
            let says = format!(
                "rule `{}` applies to nothing: `principals`, `actions` and `resources` must each \
                 have an entry",
                rule.id
            );
            faults.add(FaultCode::Value, &rule.place, says);
            continue;
        }
        if lists.iter().product::<usize>() > KEYS_MAX {
            let says = format!(
                "rule `{}` has more than {KEYS_MAX} combinations of principals, actions and \
                 resources; use a group or a role",
                rule.id
            );
            faults.add(FaultCode::TooLarge, &rule.place, says);
        }
        let is_all = rule.principals.iter().any(is_everything)
            && rule.resources.iter().any(is_everything)
            && is_every_action(rule.actions.iter())
            && rule.when.iter().all(always_holds)
            && rule.unless.is_empty();
        if is_all && rule.effect == Effect::Allow {
            let says = format!(
                "rule `{}` allows everything to everybody; name principals, actions or resources",
                rule.id
            );
            faults.add(FaultCode::Value, &rule.place, says);
        }
        let actions = rule.actions.iter().copied().collect();
        let scope = (&*rule.principals, actions, &*rule.resources, &*rule.when, &*rule.unless);
        match seen.get(&scope) {
            Some(other) if other.effect != rule.effect => {
                let says = format!(
                    "rule `{}` and rule `{}` at {} say the opposite of the same; remove one",
                    rule.id, other.id, other.place
                );
                faults.add(FaultCode::Value, &rule.place, says);
            }
            Some(_) => {}
            None => {
                seen.insert(scope, rule);
            }
        }
    }
}

/// Returns whether nobody of a kind, or nothing, is left out.
pub(crate) fn is_everything(selector: &Selector) -> bool {
    match selector {
        Selector::Any => true,
        Selector::Named { name, .. } => name.as_str().bytes().all(|byte| byte == b'*'),
        Selector::Spiffe(_) | Selector::Claim { .. } => false,
    }
}

/// Returns whether no action between agents is left out; today's doors ask for no others.
pub(crate) fn is_every_action<'a>(mut actions: impl Iterator<Item = &'a Action>) -> bool {
    let mut left = Action::MESSAGING.to_vec();
    actions.any(|action| {
        left.retain(|it| it != action);
        left.is_empty()
    })
}

/// Returns whether a condition leaves out nothing.
fn always_holds(condition: &Condition) -> bool {
    match condition {
        Condition::MessageTypes(types) => {
            types.iter().any(|it| it.as_str().bytes().all(|byte| byte == b'*'))
        }
        Condition::PayloadMin(min) => *min == 0,
        Condition::PayloadMax(max) => *max >= i64::MAX.unsigned_abs(),
        Condition::AuthenticationMin(min) => *min == Authentication::None,
        Condition::DelegationDepthMax(max) => *max == u32::MAX,
        Condition::LabelsAny(_)
        | Condition::LabelsAll(_)
        | Condition::LabelsNone(_)
        | Condition::Domains(_)
        | Condition::TimeWindows(_)
        | Condition::Networks(_)
        | Condition::ApprovedBy(_)
        | Condition::NotBefore(_)
        | Condition::Before(_) => false,
    }
}

/// LIMIT: combinations of principals, actions and resources that one rule names.
const KEYS_MAX: usize = 100_000;
