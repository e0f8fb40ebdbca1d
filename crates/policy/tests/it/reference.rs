//! The meaning of a policy once more, as plainly as it can be said: every rule is looked at, every
//! name compared, nothing compiled, indexed or remembered.

use policy::{
    Action, Claims, Condition, Context, Document, Effect, Kind, Member, MessageType, Pattern,
    Principal, Request, Rule, RuleBook, Selector,
};

/// Why something is allowed or denied, and by which rules.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) allowed: bool,
    pub(crate) code: &'static str,
    /// The first four, as the policy names no more.
    pub(crate) rules: Vec<String>,
    pub(crate) count: usize,
}

fn outcome(allowed: bool, code: &'static str, rules: &[&Rule]) -> Outcome {
    let ids = rules.iter().take(4).map(|rule| rule.id.to_string()).collect();
    Outcome { allowed, code, rules: ids, count: rules.len() }
}

/// Decides a request, with what the policy says of the type of the message.
pub(crate) fn decide(book: &RuleBook, document: &Document, request: &Request<'_>) -> Outcome {
    let context = &request.context;
    let said = said_of(document, context.message_type);
    let of_type = said.iter().flat_map(|it| &it.labels).map(String::as_str);
    let labels: Vec<&str> = context.labels.iter().copied().chain(of_type).collect();
    let context = Context {
        labels: &labels,
        domain: said.iter().find_map(|it| it.domain.as_deref()).unwrap_or(context.domain),
        skill: said.iter().find_map(|it| it.skill.as_deref()).unwrap_or(context.skill),
        ..*context
    };
    decide_as_said(book, document, &Request { context, ..*request })
}

fn decide_as_said(book: &RuleBook, document: &Document, request: &Request<'_>) -> Outcome {
    let Request { principal, action, resource, context } = request;
    if breaks_namespace(request) {
        return outcome(false, "namespace", &[]);
    }
    if principal.claims.and_then(Claims::capabilities).is_some_and(|all| {
        !all.iter().any(|scope| scope_covers(scope, *action, resource.kind, resource.id))
    }) {
        return outcome(false, "capability", &[]);
    }
    let in_book = principal.kind == Kind::Agent
        && resource.kind == Kind::Agent
        && matches!(action, Action::Send | Action::Request | Action::Reply | Action::Discover);
    let rights = in_book.then(|| book.agents.get(principal.id)).flatten();
    if rights.is_some_and(|it| it.block.contains("*") || it.block.contains(resource.id)) {
        return outcome(false, "blocked", &[]);
    }
    let who = Subject::Principal(principal);
    let what = Subject::Resource(resource.kind, resource.id, context.message_type);
    let (here, there) = (workspace(document, &who), workspace(document, &what));
    let is_clear = here.is_some() && there.is_some();
    let crosses = !is_clear || here != there;
    let applying: Vec<&Rule> = document
        .rules
        .iter()
        .filter(|rule| {
            rule.actions.contains(action)
                && rule.principals.iter().any(|it| belongs(document, &who, it))
                && rule.resources.iter().any(|it| belongs(document, &what, it))
                && rule.when.iter().all(|it| holds(document, it, context))
                && (rule.unless.is_empty()
                    || !rule.unless.iter().all(|it| holds(document, it, context)))
        })
        .collect();
    let of = |effect| -> Vec<&Rule> {
        let counts = |rule: &&Rule| {
            let may_cross = !crosses || (is_clear && rule.cross_workspace);
            rule.effect == effect && (effect == Effect::Deny || may_cross)
        };
        applying.iter().copied().filter(counts).collect()
    };
    if !of(Effect::Deny).is_empty() {
        return outcome(false, "denied_by_rule", &of(Effect::Deny));
    }
    let by_book = !crosses
        && rights.is_some_and(|it| {
            it.allow.contains("*") || it.allow.contains(resource.id) || by_role(book, it, request)
        });
    let by_rules = of(Effect::Allow);
    if !by_book && by_rules.is_empty() {
        return outcome(false, if crosses { "workspace" } else { "denied" }, &[]);
    }
    if resource.kind == Kind::Agent
        && matches!(action, Action::Send | Action::Request)
        && document.agents.get(resource.id).is_some_and(|it| !declares(it, context))
    {
        return outcome(false, "undeclared", &[]);
    }
    if by_book { outcome(true, "book", &[]) } else { outcome(true, "rules", &by_rules) }
}

/// Returns the entries of a type: its own name, then patterns, the longer first, by the alphabet.
fn said_of<'d>(document: &'d Document, name: &str) -> Vec<&'d MessageType> {
    let mut all: Vec<(&String, &MessageType)> = document
        .message_types
        .iter()
        .filter(|(it, _)| if it.contains('*') { glob(it, name) } else { *it == name })
        .filter(|_| !name.is_empty())
        .collect();
    all.sort_by_key(|(it, _)| (it.contains('*'), usize::MAX - it.len(), *it));
    all.into_iter().map(|(_, it)| it).collect()
}

fn breaks_namespace(request: &Request<'_>) -> bool {
    let Request { principal, action, resource, .. } = request;
    let changes = matches!(action, Action::Write | Action::Publish | Action::Administer);
    if !changes || resource.kind != Kind::Table {
        return false;
    }
    let mut parts = resource.id.splitn(4, '.');
    if (parts.next(), parts.next()) != (Some("agents"), Some("state")) {
        return false;
    }
    let owner = parts.next().unwrap_or_default();
    let rest = parts.next().unwrap_or_default();
    principal.kind != Kind::Agent || owner.is_empty() || owner != principal.id || rest.is_empty()
}

fn scope_covers(scope: &str, action: Action, kind: Kind, id: &str) -> bool {
    let words: Vec<&str> = match (action, kind) {
        (Action::Propose, _) => return scope == "planning.propose",
        (Action::Vote, _) => return scope == "planning.vote",
        (Action::Read | Action::Subscribe | Action::Query, Kind::Table) => vec!["neuralbus.read"],
        (Action::Write | Action::Publish, Kind::Table) => vec!["neuralbus.write"],
        (Action::Query, Kind::EmbeddingSpace) => vec!["embedding.query"],
        (Action::Query, _) => vec!["neuralbus.query"],
        (Action::Send, _) => vec!["neuralbus.send"],
        (Action::Request, _) => vec!["neuralbus.send", "neuralbus.request"],
        (Action::Reply, _) => vec!["neuralbus.send", "neuralbus.reply"],
        (Action::Discover, _) => vec!["neuralbus.send", "neuralbus.discover"],
        (Action::Read | Action::Subscribe, _) => vec!["neuralbus.subscribe"],
        (Action::Write | Action::Publish, _) => vec!["neuralbus.publish"],
        (Action::Administer, _) => vec!["neuralbus.administer"],
    };
    words.iter().any(|word| {
        let exact = format!("{word}:{id}");
        scope == exact
            || scope.strip_suffix('*').is_some_and(|above| {
                above.ends_with('.') && exact.len() > above.len() && exact.starts_with(above)
            })
    })
}

fn by_role(book: &RuleBook, rules: &policy::AgentRules, request: &Request<'_>) -> bool {
    let words = [Action::Send.as_str(), request.action.as_str()];
    let held = rules.roles.iter().filter_map(|name| book.roles.get(name));
    book.rbac
        && held.flat_map(|role| &role.permissions).any(|permission| {
            words.iter().any(|word| glob(permission, &format!("{word}:{}", request.resource.id)))
        })
}

fn declares(member: &Member, context: &Context<'_>) -> bool {
    let types = member.message_types.as_ref();
    types.is_none_or(|all| all.iter().any(|it| glob(it.as_str(), context.message_type)))
        && (context.domain.is_empty()
            || member.domains.as_ref().is_none_or(|all| all.contains(context.domain)))
        && (context.skill.is_empty()
            || member.skills.as_ref().is_none_or(|all| all.contains(context.skill)))
}

enum Subject<'a> {
    Principal(&'a Principal<'a>),
    Resource(Kind, &'a str, &'a str),
}

impl Subject<'_> {
    fn name(&self) -> (Kind, &str) {
        match self {
            Self::Principal(it) => (it.kind, it.id),
            Self::Resource(kind, id, _) => (*kind, id),
        }
    }

    fn member<'d>(&self, document: &'d Document) -> Option<&'d Member> {
        match self.name() {
            (Kind::Agent, id) => document.agents.get(id),
            (Kind::User, id) => document.users.get(id),
            (Kind::ServiceAccount, id) => document.service_accounts.get(id),
            _ => None,
        }
    }
}

fn belongs(document: &Document, subject: &Subject<'_>, selector: &Selector) -> bool {
    match selector {
        Selector::Any => true,
        Selector::Spiffe(pattern) => match subject {
            Subject::Principal(it) => {
                !it.spiffe_id.is_empty() && glob(pattern.as_str(), it.spiffe_id)
            }
            Subject::Resource(..) => false,
        },
        Selector::Claim { name, value } => match subject {
            Subject::Principal(it) => it.claims.is_some_and(|claims| {
                let values = claims.others().get(&**name).into_iter().flatten();
                values.into_iter().any(|it| glob(value.as_str(), it))
            }),
            Subject::Resource(..) => false,
        },
        Selector::Named { kind: Kind::Group, name } => in_group(document, subject, name.as_str()),
        Selector::Named { kind: Kind::Role, name } => has_role(document, subject, name.as_str()),
        Selector::Named { kind: Kind::Workspace, name } => {
            workspace(document, subject).as_deref() == Some(name.as_str())
        }
        Selector::Named { kind: Kind::MessageType, name } => match subject {
            Subject::Resource(Kind::Agent, _, of) => !of.is_empty() && glob(name.as_str(), of),
            Subject::Resource(Kind::MessageType, id, _) => glob(name.as_str(), id),
            Subject::Resource(..) | Subject::Principal(_) => false,
        },
        Selector::Named { kind, name } => {
            let (of, id) = subject.name();
            of == *kind && glob(name.as_str(), id)
        }
    }
}

fn in_group(document: &Document, subject: &Subject<'_>, group: &str) -> bool {
    subject.member(document).is_some_and(|member| member.groups.contains(group))
        || document.groups[group].members.iter().any(|it| belongs(document, subject, it))
}

fn has_role(document: &Document, subject: &Subject<'_>, role: &str) -> bool {
    subject.member(document).is_some_and(|member| member.roles.contains(role))
        || document.roles[role].members.iter().any(|it| belongs(document, subject, it))
        || document
            .groups
            .iter()
            .any(|(name, group)| group.roles.contains(role) && in_group(document, subject, name))
        || document
            .roles
            .iter()
            .any(|(name, heir)| heir.inherits.contains(role) && has_role(document, subject, name))
}

/// Returns the workspace; nothing if there is more than one candidate.
fn workspace(document: &Document, subject: &Subject<'_>) -> Option<String> {
    if let Subject::Resource(Kind::Workspace, id, _) = subject {
        return Some((*id).to_owned());
    }
    let named = subject.member(document).and_then(|member| member.workspace.clone());
    let all = document.workspaces.iter();
    let found: Vec<String> = all
        .filter(|(_, it)| it.members.iter().any(|member| belongs(document, subject, member)))
        .map(|(name, _)| name.clone())
        .collect();
    let placed = named.is_some() || !found.is_empty();
    let own = named.or_else(|| match &*found {
        [] => Some("default".to_owned()),
        [one] => Some(one.clone()),
        _ => None,
    });
    let claimed = match subject {
        Subject::Principal(it) => it.claims.and_then(Claims::workspace_id),
        Subject::Resource(..) => None,
    };
    match claimed {
        None => own,
        Some(claimed) if !placed || own.as_deref() == Some(claimed) => Some(claimed.to_owned()),
        Some(_) => None,
    }
}

fn holds(document: &Document, condition: &Condition, context: &Context<'_>) -> bool {
    let has = |label: &String| context.labels.iter().any(|it| it == label);
    match condition {
        Condition::MessageTypes(all) => {
            all.iter().any(|it: &Pattern| glob(it.as_str(), context.message_type))
        }
        Condition::PayloadMin(min) => context.payload_bytes >= *min,
        Condition::PayloadMax(max) => context.payload_bytes <= *max,
        Condition::LabelsAny(all) => all.iter().any(has),
        Condition::LabelsAll(all) => all.iter().all(has),
        Condition::LabelsNone(all) => !all.iter().any(has),
        Condition::Domains(all) => all.iter().any(|it| it == context.domain),
        Condition::TimeWindows(all) => {
            all.iter().any(|it| document.time_windows[it].is_open(context.now))
        }
        Condition::Networks(all) => context.source.is_some_and(|source| {
            all.iter().flat_map(|it| &document.networks[it]).any(|it| it.contains(source))
        }),
        Condition::AuthenticationMin(min) => context.authentication.rank() >= min.rank(),
        Condition::DelegationDepthMax(max) => context.delegation_depth <= *max,
        Condition::ApprovedBy(all) => context.approved_by.iter().any(|it| all.contains(*it)),
        Condition::NotBefore(moment) => context.now >= *moment,
        Condition::Before(moment) => context.now < *moment,
    }
}

/// Matches by trying every length for each `*`.
fn glob(pattern: &str, text: &str) -> bool {
    fn chars(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            (['*', rest @ ..], _) => (0..=text.len()).any(|at| chars(rest, &text[at..])),
            ([one, rest @ ..], [other, after @ ..]) => one == other && chars(rest, after),
            ([_, ..], []) => false,
        }
    }
    let all = |text: &str| text.chars().collect::<Vec<_>>();
    chars(&all(pattern), &all(text))
}
