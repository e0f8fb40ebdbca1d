//! The rules as Cedar policies, and Cedar's answer to a few of them.

mod bounds;
mod schema;
mod scope;
mod translate;

use std::collections::{HashMap, HashSet};
use std::fmt;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName,
    EntityUid, Policy, PolicyId, PolicySet, Request as CedarRequest, RestrictedExpression, Schema,
    ValidationMode, Validator,
};

use self::scope::Scope;
use super::graph::{Graph, Standing};
use super::{Deciding, Verdict};
use crate::fault::Faults;
use crate::{Action, Document, Effect, Fault, FaultCode, Kind, Request, Rule, Selector};

/// All rules as Cedar policies.
pub(super) struct Cedar {
    policies: Vec<Compiled>,
    /// How many of them come from YAML; those stand first.
    from_yaml: usize,
    by_id: HashMap<PolicyId, u32>,
    authorizer: Authorizer,
    names: Names,
}

/// A request, and where its principal and resource stand.
pub(super) struct Asked<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) graph: &'a Graph,
    pub(super) principal: &'a Standing,
    pub(super) resource: &'a Standing,
}

/// The circumstances of a request, by name.
pub(super) type Pairs = Vec<(String, RestrictedExpression)>;

/// All rules as one set.
#[derive(Debug)]
pub(super) struct All(PolicySet);

/// One rule.
struct Compiled {
    policy: Policy,
    effect: Effect,
    cross_workspace: bool,
    /// What a rule of a Cedar text is about; those of YAML say it themselves.
    scope: Option<Scope>,
}

/// The names of types and actions, parsed once.
#[derive(Debug)]
struct Names {
    kinds: Vec<EntityTypeName>,
    pattern: EntityTypeName,
    actions: Vec<EntityUid>,
}

impl Cedar {
    pub(super) fn compile(document: &Document) -> Result<Self, Vec<Fault>> {
        let (schema, names) = schema::schema().map_err(|says| {
            let place = crate::Place::whole(std::path::Path::new("schema"));
            vec![Fault::new(FaultCode::Cedar, place, says)]
        })?;
        let mut cedar = Self {
            policies: Vec::with_capacity(document.rules.len()),
            from_yaml: document.rules.len(),
            by_id: HashMap::new(),
            authorizer: Authorizer::new(),
            names,
        };
        let mut faults = Faults::default();
        let mut shapes = Shapes { validator: Validator::new(schema), known: HashMap::new() };
        for rule in &document.rules {
            match translate::translate(rule) {
                Ok(policy) => {
                    if let Some(says) = shapes.judge(rule, &policy) {
                        faults.add(FaultCode::Value, &rule.place, says);
                    }
                    cedar.add(Compiled {
                        policy,
                        effect: rule.effect,
                        cross_workspace: rule.cross_workspace,
                        scope: None,
                    });
                }
                Err(says) => faults.add(FaultCode::Value, &rule.place, says),
            }
        }
        for text in &document.cedar {
            for (policy, scope) in scope::read(text, document, &shapes.validator, &mut faults) {
                if cedar.by_id.contains_key(policy.id()) {
                    let says = format!("the id `{}` is there already; choose another", policy.id());
                    faults.add(FaultCode::Duplicate, &scope.place, says);
                }
                let effect = match policy.effect() {
                    cedar_policy::Effect::Permit => Effect::Allow,
                    cedar_policy::Effect::Forbid => Effect::Deny,
                };
                let cross_workspace = policy.annotation("cross_workspace") == Some("true");
                cedar.add(Compiled { policy, effect, cross_workspace, scope: Some(scope) });
            }
        }
        faults.or(cedar)
    }

    fn add(&mut self, compiled: Compiled) {
        let number = u32::try_from(self.policies.len()).unwrap_or(u32::MAX);
        self.by_id.insert(compiled.policy.id().clone(), number);
        self.policies.push(compiled);
    }

    pub(super) const fn len(&self) -> usize {
        self.policies.len()
    }

    /// Returns the rules of Cedar texts, with their numbers.
    pub(super) fn scopes(&self) -> impl Iterator<Item = (u32, &Scope)> {
        let all = self.policies.iter().zip(0..).skip(self.from_yaml);
        all.filter_map(|(compiled, number)| Some((number, compiled.scope.as_ref()?)))
    }

    pub(super) fn id(&self, rule: u32) -> Option<&str> {
        self.get(rule).map(|compiled| compiled.policy.id().as_ref())
    }

    /// Returns whether the rule counts between workspaces: a denial always does.
    pub(super) fn may_cross(&self, rule: u32) -> bool {
        self.is_denial(rule) || self.get(rule).is_some_and(|it| it.cross_workspace)
    }

    pub(super) fn is_denial(&self, rule: u32) -> bool {
        self.get(rule).is_some_and(|it| it.effect == Effect::Deny)
    }

    fn get(&self, rule: u32) -> Option<&Compiled> {
        self.policies.get(usize::try_from(rule).ok()?)
    }

    /// Asks Cedar about some of the rules.
    pub(super) fn decide(&self, rules: &[u32], asked: &Asked<'_>, context: Pairs) -> Verdict {
        let failed = || Verdict::Failed(Deciding::of(rules.iter().copied()));
        let Some((request, entities)) = self.question(asked, context) else { return failed() };
        let policies = rules.iter().filter_map(|rule| self.get(*rule)).map(|it| it.policy.clone());
        let Ok(policies) = PolicySet::from_policies(policies) else { return failed() };
        let response = self.authorizer.is_authorized(&request, &policies, &entities);
        let diagnostics = response.diagnostics();
        if diagnostics.errors().next().is_some() {
            // Cedar leaves out a rule that it cannot compute; it may have been a denial.
            let wrong = diagnostics.errors().map(|error| match error {
                AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
            });
            return Verdict::Failed(self.deciding(wrong));
        }
        let deciding = self.deciding(diagnostics.reason());
        match response.decision() {
            Decision::Allow => Verdict::Allowed(deciding),
            Decision::Deny if deciding == Deciding::default() => Verdict::Silent,
            Decision::Deny => Verdict::Denied(deciding),
        }
    }

    /// Returns all rules as one set.
    pub(super) fn all(&self) -> Option<All> {
        PolicySet::from_policies(self.policies.iter().map(|it| it.policy.clone())).ok().map(All)
    }

    /// Asks Cedar about all rules.
    pub(super) fn allows(&self, all: &All, asked: &Asked<'_>, context: Pairs) -> bool {
        self.question(asked, context).is_some_and(|(request, entities)| {
            let response = self.authorizer.is_authorized(&request, &all.0, &entities);
            response.decision() == Decision::Allow
        })
    }

    fn deciding<'a>(&self, ids: impl Iterator<Item = &'a PolicyId>) -> Deciding {
        Deciding::of(ids.filter_map(|id| self.by_id.get(id).copied()))
    }

    fn question(&self, asked: &Asked<'_>, context: Pairs) -> Option<(CedarRequest, Entities)> {
        let Request { principal, action, resource, .. } = asked.request;
        let who = self.names.uid(principal.kind, principal.id)?;
        let what = self.names.uid(resource.kind, resource.id)?;
        let action = self.names.actions.get(*action as usize)?.clone();
        let mut entities = Vec::with_capacity(2);
        if who == what {
            // One thing with two names: it belongs to what either belongs to.
            let mut nodes = [&*asked.principal.nodes, &*asked.resource.nodes].concat();
            nodes.sort_unstable();
            nodes.dedup();
            let workspace = asked.principal.workspace.clone();
            let standing = Standing { nodes, workspace, is_placed: asked.principal.is_placed };
            entities.push(self.entity(who.clone(), &standing, asked.graph)?);
        } else {
            entities.push(self.entity(who.clone(), asked.principal, asked.graph)?);
            entities.push(self.entity(what.clone(), asked.resource, asked.graph)?);
        }
        let entities = Entities::from_entities(entities, None).ok()?;
        let context = if context.is_empty() {
            Context::empty()
        } else {
            Context::from_pairs(context).ok()?
        };
        let request = CedarRequest::new(who, action, what, context, None).ok()?;
        Some((request, entities))
    }

    fn entity(&self, uid: EntityUid, standing: &Standing, graph: &Graph) -> Option<Entity> {
        let parents: HashSet<EntityUid> = standing
            .nodes
            .iter()
            .filter_map(|node| self.names.of(graph.selector(*node)))
            .filter(|parent| *parent != uid)
            .collect();
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let attributes = HashMap::from([
            ("id".to_owned(), text(uid.id().unescaped())),
            ("workspace".to_owned(), text(standing.workspace.as_deref().unwrap_or_default())),
        ]);
        Entity::new(uid, attributes, parents).ok()
    }
}

impl Names {
    fn uid(&self, kind: Kind, id: &str) -> Option<EntityUid> {
        let name = self.kinds.get(kind as usize)?.clone();
        Some(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
    }

    /// Returns the entity that stands for a selector in policies.
    fn of(&self, selector: &Selector) -> Option<EntityUid> {
        match selector {
            Selector::Any => None,
            Selector::Named { kind, name } if name.is_exact() => self.uid(*kind, name.as_str()),
            Selector::Named { .. } | Selector::Spiffe(_) | Selector::Claim { .. } => {
                let id = EntityId::new(selector.to_string());
                Some(EntityUid::from_type_name_and_id(self.pattern.clone(), id))
            }
        }
    }
}

/// What Cedar's validator says to rules, by their shape: types do not depend on names.
struct Shapes {
    validator: Validator,
    known: HashMap<Shape, Option<Box<str>>>,
}

type Shape = (Vec<u8>, Vec<Action>, Vec<u8>, Vec<u8>);

impl Shapes {
    fn judge(&mut self, rule: &Rule, policy: &Policy) -> Option<Box<str>> {
        let kinds = |selectors: &[Selector]| {
            let mut kinds: Vec<u8> = selectors.iter().map(translate::shape).collect();
            kinds.sort_unstable();
            kinds.dedup();
            kinds
        };
        let conditions = rule.when.iter().map(translate::condition_shape);
        let exceptions = rule.unless.iter().map(|it| translate::condition_shape(it) | 0x80);
        let actions = rule.actions.iter().copied().collect();
        let shape = (
            kinds(&rule.principals),
            actions,
            kinds(&rule.resources),
            conditions.chain(exceptions).collect(),
        );
        let validator = &self.validator;
        self.known.entry(shape).or_insert_with(|| scope::validate(validator, policy)).clone()
    }
}

impl fmt::Debug for Cedar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cedar").field("policies", &self.policies.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for Cedar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for compiled in &self.policies {
            writeln!(f, "{}\n", compiled.policy)?;
        }
        Ok(())
    }
}

/// Returns a policy set with one policy, for the validator.
fn alone(policy: &Policy) -> Option<PolicySet> {
    PolicySet::from_policies([policy.clone()]).ok()
}

/// Strict: what Cedar can prove and nothing else.
const MODE: ValidationMode = ValidationMode::Strict;

fn parse_schema(text: &str) -> Result<Schema, String> {
    Schema::from_cedarschema_str(text).map(|(schema, _warnings)| schema).map_err(|e| e.to_string())
}
