//! Merges files into one document: names are checked, defined once, and found.

mod check;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_saphyr::{Error as YamlError, Location, MessageFormatter as _, UserMessageFormatter};
use sha2::{Digest as _, Sha256};

pub(crate) use check::{is_every_action, is_everything};
pub(crate) use rules::is_id;

use super::yaml::{self, Entries, Text};
use super::{CedarText, Document, DocumentRole, Group, Member, MessageType, Workspace};
use crate::change::is_name;
use crate::fault::{Faults, shown};
use crate::selector::is_pattern;
use crate::{Fault, FaultCode, Kind, Network, Pattern, Place, Selector, TimeWindow};

/// Merges files; see [`Document::parse`].
pub(super) fn resolve(files: &[(std::path::PathBuf, String)]) -> Result<Document, Vec<Fault>> {
    let mut resolver = Resolver::default();
    let mut digest = Sha256::new();
    for (path, text) in files {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
        let file: Arc<Path> = path.as_path().into();
        if path.extension().is_some_and(|end| end == "cedar") {
            let place = Place { file, line: 1, column: 1 };
            resolver.document.cedar.push(CedarText { place, margin: 0, text: text.clone() });
            continue;
        }
        match parse(text, &file) {
            Ok(yaml) => resolver.take(&file, yaml, text),
            Err(fault) => resolver.faults.push(fault),
        }
    }
    resolver.document.digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    resolver.finish()
}

/// Takes files one by one, and remembers where names stand.
#[derive(Default)]
struct Resolver {
    document: Document,
    faults: Faults,
    /// Where each name is defined.
    defined: BTreeMap<(&'static str, String), Place>,
    /// The names that must be defined in the end, and where they are used.
    used: Vec<(&'static str, String, Place)>,
}

impl Resolver {
    fn take(&mut self, file: &Arc<Path>, yaml: yaml::File, source: &str) {
        let place = |text: &Location| place(file, text);
        if let Some(version) = yaml.version.filter(|version| version.value != VERSION) {
            let says = format!("version {} is not known; this one is {VERSION}", version.value);
            self.faults.add(FaultCode::Value, &place(&version.referenced), says);
        }
        for (name, it) in self.entries(WORKSPACE, file, yaml.workspaces) {
            let members =
                self.selectors(file, &it.unwrap_or_default().members, Belonging::Workspace);
            self.document.workspaces.insert(name, Workspace { members });
        }
        for (name, it) in self.entries(ROLE, file, yaml.roles) {
            let it = it.unwrap_or_default();
            let inherits = self.names(file, ROLE, &it.inherits);
            let members = self.selectors(file, &it.members, Belonging::Role);
            self.document.roles.insert(name, DocumentRole { inherits, members });
        }
        for (name, it) in self.entries(GROUP, file, yaml.groups) {
            let it = it.unwrap_or_default();
            let members = self.selectors(file, &it.members, Belonging::Group);
            let roles = self.names(file, ROLE, &it.roles);
            self.document.groups.insert(name, Group { members, roles });
        }
        self.members("agents", file, yaml.agents);
        self.members("users", file, yaml.users);
        self.members("service_accounts", file, yaml.service_accounts);
        self.message_types(file, yaml.message_types);
        self.networks(file, yaml.networks);
        self.windows(file, yaml.time_windows);
        for rule in yaml.rules.unwrap_or_default() {
            self.rule(file, rule);
        }
        if let Some(text) = yaml.cedar {
            let text = cedar(place(&text.referenced), text.value, source);
            self.document.cedar.push(text);
        }
    }

    fn members(
        &mut self,
        what: &'static str,
        file: &Arc<Path>,
        yaml: Entries<Option<yaml::Member>>,
    ) {
        for (name, it) in self.entries(what, file, yaml) {
            let it = it.unwrap_or_default();
            let workspace = it.workspace.map(|name| {
                self.used.push((WORKSPACE, name.value.clone(), place(file, &name.referenced)));
                name.value
            });
            let member = Member {
                workspace,
                roles: self.names(file, ROLE, &it.roles),
                groups: self.names(file, GROUP, &it.groups),
                domains: it.domains.map(|texts| self.texts(file, &texts)),
                message_types: it.message_types.map(|texts| self.patterns(file, &texts)),
                skills: it.skills.map(|texts| self.texts(file, &texts)),
            };
            let members = match what {
                "agents" => &mut self.document.agents,
                "users" => &mut self.document.users,
                _ => &mut self.document.service_accounts,
            };
            members.insert(name, member);
        }
    }

    fn message_types(&mut self, file: &Arc<Path>, yaml: Entries<Option<yaml::MessageType>>) {
        for (name, it) in yaml.0 {
            let at = place(file, &name.referenced);
            if !is_pattern(&name.value) {
                let says = format!("`{}` is no type of messages", shown(&name.value));
                self.faults.add(FaultCode::Value, &at, says);
                continue;
            }
            if !self.define("message_types", &name.value, at) {
                continue;
            }
            let it = it.unwrap_or_default();
            let mut one = |text: Option<Text>| {
                text.and_then(|text| self.texts(file, &[text]).into_iter().next())
            };
            let (domain, skill) = (one(it.domain), one(it.skill));
            let labels = self.texts(file, &it.labels);
            let said = MessageType { labels, domain, skill };
            self.document.message_types.insert(name.value, said);
        }
    }

    fn networks(&mut self, file: &Arc<Path>, yaml: Entries<Vec<Text>>) {
        for (name, ranges) in self.entries(NETWORK, file, yaml) {
            let mut networks = Vec::new();
            if ranges.is_empty() {
                let says = format!("network `{}` has no range of addresses", shown(&name));
                let at = self.defined.get(&(NETWORK, name.clone())).cloned();
                self.faults.add(FaultCode::Value, &at.unwrap_or_else(|| Place::whole(file)), says);
            }
            for range in ranges {
                if let Some(network) = Network::parse(&range.value) {
                    networks.push(network);
                } else {
                    let says = format!(
                        "`{}` is no range of addresses; write `10.0.0.0/8`, with zeros behind the \
                         prefix",
                        shown(&range.value)
                    );
                    self.faults.add(FaultCode::Value, &place(file, &range.referenced), says);
                }
            }
            self.document.networks.insert(name, networks);
        }
    }

    fn windows(&mut self, file: &Arc<Path>, yaml: Entries<yaml::Window>) {
        for (name, it) in self.entries(TIME_WINDOW, file, yaml) {
            let days: Vec<&str> = it.days.iter().map(|day| day.value.as_str()).collect();
            match TimeWindow::new(&it.zone.value, &days, &it.from.value, &it.until.value) {
                Ok(window) => {
                    self.document.time_windows.insert(name, window);
                }
                Err(why) => {
                    let says = format!("a part of time window `{}` {why}", shown(&name));
                    self.faults.add(FaultCode::Value, &place(file, &it.zone.referenced), says);
                }
            }
        }
    }

    /// Notes where names are defined, and refuses those that are none or are there already.
    fn entries<T>(
        &mut self,
        what: &'static str,
        file: &Arc<Path>,
        entries: Entries<T>,
    ) -> Vec<(String, T)> {
        let mut kept = Vec::with_capacity(entries.0.len());
        for (name, value) in entries.0 {
            let at = place(file, &name.referenced);
            if !is_name(&name.value) {
                let says = format!(
                    "`{}` is not a name: it must have 1 to 128 printing characters, no blank and \
                     no `*`",
                    shown(&name.value)
                );
                self.faults.add(FaultCode::Value, &at, says);
            } else if self.define(what, &name.value, at) {
                kept.push((name.value, value));
            }
        }
        kept
    }

    fn define(&mut self, what: &'static str, name: &str, at: Place) -> bool {
        let earlier = self.defined.entry((what, name.to_owned()));
        match earlier {
            std::collections::btree_map::Entry::Occupied(earlier) => {
                let says = format!(
                    "`{}` stands in `{what}` at {} already; remove one of them",
                    shown(name),
                    earlier.get()
                );
                self.faults.add(FaultCode::Duplicate, &at, says);
                false
            }
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(at);
                true
            }
        }
    }

    fn names(&mut self, file: &Arc<Path>, what: &'static str, texts: &[Text]) -> BTreeSet<String> {
        for text in texts {
            self.used.push((what, text.value.clone(), place(file, &text.referenced)));
        }
        texts.iter().map(|text| text.value.clone()).collect()
    }

    fn texts(&mut self, file: &Arc<Path>, texts: &[Text]) -> BTreeSet<String> {
        for text in texts.iter().filter(|text| !is_name(&text.value)) {
            let says = format!("`{}` is no name without blanks and `*`", shown(&text.value));
            self.faults.add(FaultCode::Value, &place(file, &text.referenced), says);
        }
        texts.iter().map(|text| text.value.clone()).collect()
    }

    fn patterns(&mut self, file: &Arc<Path>, texts: &[Text]) -> Vec<Pattern> {
        for text in texts.iter().filter(|text| !is_pattern(&text.value)) {
            let says = format!("`{}` is no name without blanks, nor with `*`", shown(&text.value));
            self.faults.add(FaultCode::Value, &place(file, &text.referenced), says);
        }
        let mut patterns: Vec<_> = texts.iter().map(|text| Pattern::new(&text.value)).collect();
        patterns.sort();
        patterns.dedup();
        patterns
    }

    fn selectors(&mut self, file: &Arc<Path>, texts: &[Text], of: Belonging) -> Vec<Selector> {
        let mut selectors = Vec::with_capacity(texts.len());
        for text in texts {
            let at = place(file, &text.referenced);
            let says = match Selector::parse(&text.value) {
                Ok(selector) if of.takes(&selector) => {
                    if let Selector::Named { kind, name } = &selector
                        && let Some(what) = section(*kind)
                    {
                        self.used.push((what, name.as_str().to_owned(), at));
                    }
                    selectors.push(selector);
                    continue;
                }
                Ok(_) => format!("`{}` cannot stand here; {}", shown(&text.value), of.wants()),
                Err(why) => format!("`{}` {why}", shown(&text.value)),
            };
            self.faults.add(FaultCode::Value, &at, says);
        }
        selectors.sort();
        selectors.dedup();
        selectors
    }

    fn finish(mut self) -> Result<Document, Vec<Fault>> {
        for (what, name, at) in std::mem::take(&mut self.used) {
            if !self.defined.contains_key(&(what, name.clone())) {
                let says = format!(
                    "`{}` is nowhere defined; add it under `{what}` or correct the name",
                    shown(&name)
                );
                self.faults.add(FaultCode::Unknown, &at, says);
            }
        }
        check::circles(&self.document, &self.defined, &mut self.faults);
        check::rules(&self.document, &mut self.faults);
        check::untold(&self.document, &mut self.faults);
        self.faults.or(self.document)
    }
}

/// Where a list of selectors stands.
#[derive(Clone, Copy)]
enum Belonging {
    Principals,
    Resources,
    Workspace,
    Role,
    Group,
}

impl Belonging {
    fn takes(self, selector: &Selector) -> bool {
        let kind = if let Selector::Named { kind, .. } = selector { Some(*kind) } else { None };
        match self {
            Self::Principals => selector.is_principal(),
            Self::Resources => selector.is_resource(),
            // A partition that everything is in, or that follows from another one, parts nothing.
            // Who is asked is known by name alone: a certificate or a claim would place an agent
            // when it sends, and not when it is sent to.
            Self::Workspace => kind.is_some_and(|kind| !kind.is_set()),
            Self::Role => {
                *selector != Selector::Any
                    && selector.is_principal()
                    && !matches!(kind, Some(Kind::Role | Kind::Workspace))
            }
            Self::Group => {
                *selector != Selector::Any
                    && selector.is_principal()
                    && !matches!(kind, Some(Kind::Role | Kind::Workspace))
            }
        }
    }

    const fn wants(self) -> &'static str {
        match self {
            Self::Principals => {
                "name agents, users, service accounts, groups, roles, workspaces, SPIFFE IDs, \
                 claims or `*`"
            }
            Self::Resources => {
                "name agents, groups, roles, workspaces, message types, channels, tables, tools, \
                 embedding spaces, UDFs or `*`"
            }
            Self::Workspace => {
                "name principals and resources by their names, no sets, SPIFFE IDs or claims and \
                 not `*`"
            }
            Self::Role | Self::Group => {
                "name agents, users, service accounts, groups, SPIFFE IDs or claims"
            }
        }
    }
}

/// Returns the section in which a set is defined.
const fn section(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Group => Some(GROUP),
        Kind::Role => Some(ROLE),
        Kind::Workspace => Some(WORKSPACE),
        Kind::Agent
        | Kind::User
        | Kind::ServiceAccount
        | Kind::MessageType
        | Kind::Channel
        | Kind::Table
        | Kind::Tool
        | Kind::EmbeddingSpace
        | Kind::Udf => None,
    }
}

fn parse(text: &str, file: &Arc<Path>) -> Result<yaml::File, Fault> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 4,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPLAYED_MAX,
        },
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Option<yaml::File>>(text, options)
        .map(Option::unwrap_or_default)
        .map_err(|error| {
            let mut error = &error;
            while let YamlError::AliasError { error: inner, .. } = error {
                error = inner;
            }
            let at = error.location().filter(|at| at.line() > 0);
            let at = at.map_or_else(|| Place::whole(file), |at| place(file, &at));
            let said = UserMessageFormatter.format_message(error);
            // LIMIT: characters of the parser's message; some of them repeat a piece of the file.
            let said: String = said.chars().take(400).flat_map(char::escape_debug).collect();
            let code = if matches!(error, YamlError::DuplicateMappingKey { .. }) {
                FaultCode::Duplicate
            } else {
                FaultCode::Syntax
            };
            Fault::new(code, at, said)
        })
}

/// Returns a Cedar text with the place of its first character.
fn cedar(mut place: Place, text: String, source: &str) -> CedarText {
    let line = |number: u32| {
        source.lines().nth(usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1))
    };
    let column = usize::try_from(place.column).unwrap_or(usize::MAX).saturating_sub(1);
    let first = line(place.line).and_then(|line| line.chars().nth(column));
    let mut margin = 0;
    match first {
        // A block begins on the line after its sign, with the same indent in each line.
        Some('|' | '>') => {
            place.line = place.line.saturating_add(1);
            let indent = line(place.line).map_or(0, |line| line.len() - line.trim_start().len());
            margin = u32::try_from(indent).unwrap_or(u32::MAX);
            place.column = margin.saturating_add(1);
        }
        Some('"' | '\'') => place.column = place.column.saturating_add(1),
        Some(_) | None => {}
    }
    CedarText { place, margin, text }
}

fn place(file: &Arc<Path>, at: &Location) -> Place {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Place { file: Arc::clone(file), line: small(at.line()), column: small(at.column()) }
}

const VERSION: u64 = 1;
const WORKSPACE: &str = "workspaces";
const ROLE: &str = "roles";
const GROUP: &str = "groups";
const NETWORK: &str = "networks";
const TIME_WINDOW: &str = "time_windows";
const RULE: &str = "rules";

/// LIMIT: levels of nesting; the deepest key has five.
const DEPTH_MAX: usize = 16;
/// LIMIT: values in a file; a rule has some twenty.
const NODES_MAX: usize = 1_000_000;
/// LIMIT: values that aliases stand for, all together.
const REPLAYED_MAX: usize = 100_000;
/// LIMIT: aliases and anchors in a file.
const ALIASES_MAX: usize = 10_000;
