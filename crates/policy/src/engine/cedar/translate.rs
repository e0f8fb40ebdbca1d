//! One rule as one Cedar policy, built and never written as text, so no name can end its quotes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Policy, pst};
use pst::{BinaryOp, Clause, EntityOrSlot, Expr, Literal, PatternElem, UnaryOp, Var};

use super::schema;
use crate::{Condition, Effect, Pattern, Rule, Selector};

/// Returns the rule as a policy with its id.
pub(super) fn translate(rule: &Rule) -> Result<Policy, String> {
    build(rule).map_err(|error| error.to_string())
}

fn build(rule: &Rule) -> Result<Policy, pst::PstConstructionError> {
    let mut clauses = Vec::new();
    let principal = match &*rule.principals {
        [one] => match entity(one)? {
            None => pst::PrincipalConstraint::Any,
            Some(uid) => pst::PrincipalConstraint::In(EntityOrSlot::Entity(uid)),
        },
        many => {
            clauses.extend(belongs(&Var::Principal, many)?.map(Clause::When));
            pst::PrincipalConstraint::Any
        }
    };
    let resource = match &*rule.resources {
        [one] => match entity(one)? {
            None => pst::ResourceConstraint::Any,
            Some(uid) => pst::ResourceConstraint::In(EntityOrSlot::Entity(uid)),
        },
        many => {
            clauses.extend(belongs(&Var::Resource, many)?.map(Clause::When));
            pst::ResourceConstraint::Any
        }
    };
    let actions = rule.actions.iter().map(|action| uid("Action", action.as_str()));
    let actions = pst::ActionConstraint::In(actions.collect::<Result<_, _>>()?);
    for one in &rule.when {
        clauses.push(Clause::When(condition(one)));
    }
    if let Some(all) = joined(BinaryOp::And, rule.unless.iter().map(condition)) {
        clauses.push(Clause::Unless(all));
    }
    let effect = match rule.effect {
        Effect::Allow => pst::Effect::Permit,
        Effect::Deny => pst::Effect::Forbid,
    };
    let mut annotations = BTreeMap::from([("id".to_owned(), (&*rule.id).into())]);
    if rule.cross_workspace {
        annotations.insert("cross_workspace".to_owned(), "true".into());
    }
    let template = pst::Template::new(&*rule.id, effect, principal, actions, resource)
        .with_annotations(annotations)
        .try_with_clauses(clauses)?;
    Policy::from_pst(pst::Policy::Static(pst::StaticPolicy::try_from(template)?))
}

/// Returns the entity of a selector; nothing for everything.
fn entity(selector: &Selector) -> Result<Option<pst::EntityUID>, pst::PstConstructionError> {
    match selector {
        Selector::Any => Ok(None),
        Selector::Named { kind, name } if name.is_exact() => {
            uid(schema::name(*kind), name.as_str()).map(Some)
        }
        Selector::Named { .. } | Selector::Spiffe(_) | Selector::Claim { .. } => {
            uid(schema::PATTERN, &selector.to_string()).map(Some)
        }
    }
}

fn uid(kind: &str, id: &str) -> Result<pst::EntityUID, pst::PstConstructionError> {
    let ty = pst::EntityType::from_name(pst::Name::unqualified(kind)?);
    Ok(pst::EntityUID { ty, eid: id.into() })
}

/// Returns that a variable belongs to one of the selectors; nothing if that is always so.
fn belongs(
    variable: &Var,
    selectors: &[Selector],
) -> Result<Option<Arc<Expr>>, pst::PstConstructionError> {
    let mut all = Vec::with_capacity(selectors.len());
    for selector in selectors {
        let Some(uid) = entity(selector)? else { return Ok(None) };
        let left = Arc::new(Expr::Var(variable.clone()));
        let right = Arc::new(Expr::Literal(Literal::EntityUID(uid)));
        all.push(binary(BinaryOp::In, left, right));
    }
    Ok(joined(BinaryOp::Or, all.into_iter()))
}

fn condition(condition: &Condition) -> Arc<Expr> {
    match condition {
        Condition::MessageTypes(types) => {
            let likes = types.iter().map(|pattern| {
                Arc::new(Expr::Like { expr: context("message_type"), pattern: elements(pattern) })
            });
            joined(BinaryOp::Or, likes).unwrap_or_else(never)
        }
        Condition::PayloadMin(min) => {
            binary(BinaryOp::GreaterEq, context("payload_bytes"), long(*min))
        }
        Condition::PayloadMax(max) => {
            binary(BinaryOp::LessEq, context("payload_bytes"), long(*max))
        }
        Condition::LabelsAny(labels) => any_of("labels", labels),
        Condition::LabelsAll(labels) => {
            if labels.is_empty() {
                return Arc::new(Expr::Literal(Literal::Bool(true)));
            }
            binary(BinaryOp::ContainsAll, context("labels"), set(labels))
        }
        Condition::LabelsNone(labels) => {
            Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr: any_of("labels", labels) })
        }
        Condition::Domains(domains) => {
            if domains.is_empty() {
                return never();
            }
            binary(BinaryOp::Contains, set(domains), context("domain"))
        }
        Condition::TimeWindows(names) => any_of("time_windows", names),
        Condition::Networks(names) => any_of("networks", names),
        Condition::AuthenticationMin(min) => {
            binary(BinaryOp::GreaterEq, context("authentication"), long(min.rank().into()))
        }
        Condition::DelegationDepthMax(max) => {
            binary(BinaryOp::LessEq, context("delegation_depth"), long((*max).into()))
        }
        Condition::ApprovedBy(names) => any_of("approved_by", names),
        Condition::NotBefore(moment) => binary(
            BinaryOp::GreaterEq,
            context("now"),
            Arc::new(Expr::Literal(Literal::Long(*moment))),
        ),
        Condition::Before(moment) => {
            binary(BinaryOp::Less, context("now"), Arc::new(Expr::Literal(Literal::Long(*moment))))
        }
    }
}

fn any_of(attribute: &str, texts: &BTreeSet<String>) -> Arc<Expr> {
    // Cedar has no type for an empty set; nothing is among none.
    if texts.is_empty() {
        never()
    } else {
        binary(BinaryOp::ContainsAny, context(attribute), set(texts))
    }
}

fn never() -> Arc<Expr> {
    Arc::new(Expr::Literal(Literal::Bool(false)))
}

fn context(attribute: &str) -> Arc<Expr> {
    Arc::new(Expr::GetAttr { expr: Arc::new(Expr::Var(Var::Context)), attr: attribute.into() })
}

fn long(number: u64) -> Arc<Expr> {
    Arc::new(Expr::Literal(Literal::Long(i64::try_from(number).unwrap_or(i64::MAX))))
}

fn set(texts: &BTreeSet<String>) -> Arc<Expr> {
    let text = |text: &String| Arc::new(Expr::Literal(Literal::String(text.as_str().into())));
    Arc::new(Expr::Set(texts.iter().map(text).collect()))
}

fn elements(pattern: &Pattern) -> Vec<PatternElem> {
    let element = |c| if c == '*' { PatternElem::Wildcard } else { PatternElem::Char(c) };
    pattern.as_str().chars().map(element).collect()
}

fn binary(op: BinaryOp, left: Arc<Expr>, right: Arc<Expr>) -> Arc<Expr> {
    Arc::new(Expr::BinaryOp { op, left, right })
}

/// Joins expressions as a tree that is as flat as can be: Cedar bounds the depth.
fn joined(op: BinaryOp, all: impl Iterator<Item = Arc<Expr>>) -> Option<Arc<Expr>> {
    let mut level: Vec<Arc<Expr>> = all.collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(binary(op, Arc::clone(left), Arc::clone(right))),
                [one] => Some(Arc::clone(one)),
                _ => None,
            })
            .collect();
    }
    level.pop()
}

/// Returns a number for what the type of a selector depends on.
pub(super) const fn shape(selector: &Selector) -> u8 {
    match selector {
        Selector::Any => 0xff,
        Selector::Spiffe(_) | Selector::Claim { .. } => 0xfe,
        Selector::Named { kind, name } if name.is_exact() => *kind as u8,
        Selector::Named { .. } => 0xfe,
    }
}

/// Returns a number below 128 for what the type of a condition depends on.
pub(super) fn condition_shape(condition: &Condition) -> u8 {
    let (number, is_empty) = match condition {
        Condition::MessageTypes(types) => (0, types.is_empty()),
        Condition::PayloadMin(_) => (1, false),
        Condition::PayloadMax(_) => (2, false),
        Condition::LabelsAny(texts) => (3, texts.is_empty()),
        Condition::LabelsAll(texts) => (4, texts.is_empty()),
        Condition::LabelsNone(texts) => (5, texts.is_empty()),
        Condition::Domains(texts) => (6, texts.is_empty()),
        Condition::TimeWindows(texts) => (7, texts.is_empty()),
        Condition::Networks(texts) => (8, texts.is_empty()),
        Condition::AuthenticationMin(_) => (9, false),
        Condition::DelegationDepthMax(_) => (10, false),
        Condition::ApprovedBy(texts) => (11, texts.is_empty()),
        Condition::NotBefore(_) => (12, false),
        Condition::Before(_) => (13, false),
    };
    number << 1 | u8::from(is_empty)
}
