//! The policy as people write it: YAML files, merged, checked and resolved.
//!
//! It decides nothing: [`crate::Engine`] is compiled from it.

mod read;
mod resolve;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use crate::window::TimeWindow;
use crate::{Action, Authentication, Fault, Network, Pattern, Place, Selector};

pub use read::Sources;
pub(crate) use resolve::{is_every_action, is_everything, is_id};

/// All policy files together. Names that are used are defined, ids are unique, nothing is cyclic.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Document {
    /// SHA-256 of the files, in hexadecimal.
    pub digest: String,
    /// The partitions, by name.
    pub workspaces: BTreeMap<String, Workspace>,
    /// The roles, by name.
    pub roles: BTreeMap<String, DocumentRole>,
    /// The groups, by name.
    pub groups: BTreeMap<String, Group>,
    /// What is said of agents, by name.
    pub agents: BTreeMap<String, Member>,
    /// What is said of users, by name.
    pub users: BTreeMap<String, Member>,
    /// What is said of service accounts, by name.
    pub service_accounts: BTreeMap<String, Member>,
    /// What is said of messages, by their type; `*` stands for any characters.
    pub message_types: BTreeMap<String, MessageType>,
    /// Ranges of addresses, by name.
    pub networks: BTreeMap<String, Vec<Network>>,
    /// Times of the week, by name.
    pub time_windows: BTreeMap<String, TimeWindow>,
    /// The rules, in the order of the files.
    pub rules: Vec<Rule>,
    /// Policies that are written in Cedar.
    pub cedar: Vec<CedarText>,
}

/// A partition: nothing crosses its border without a rule that says so.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Who and what belongs to it, besides those that name it.
    pub members: Vec<Selector>,
}

/// A set of rights that can be held.
#[derive(Clone, Debug, Default)]
pub struct DocumentRole {
    /// The roles whose rights its holders have too.
    pub inherits: BTreeSet<String>,
    /// Who holds it, besides those that name it.
    pub members: Vec<Selector>,
}

/// A set of principals.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Who belongs to it, besides those that name it; groups can be members.
    pub members: Vec<Selector>,
    /// The roles that its members hold.
    pub roles: BTreeSet<String>,
}

/// What the policy says of one principal.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// The partition that it belongs to.
    pub workspace: Option<String>,
    /// The roles that it holds.
    pub roles: BTreeSet<String>,
    /// The groups that it belongs to.
    pub groups: BTreeSet<String>,
    /// The domains that it works in; messages about others are refused.
    pub domains: Option<BTreeSet<String>>,
    /// The types of messages that it takes; others are refused.
    pub message_types: Option<Vec<Pattern>>,
    /// What it can be asked for; other skills are refused.
    pub skills: Option<BTreeSet<String>>,
}

/// What the policy says of all messages of a type, whatever they say of themselves.
#[derive(Clone, Debug, Default)]
pub struct MessageType {
    /// The labels that they have besides their own.
    pub labels: BTreeSet<String>,
    /// The domain that they are about.
    pub domain: Option<String>,
    /// The skill that they ask for.
    pub skill: Option<String>,
}

/// Whether a rule allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Allows, unless another rule denies.
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// A rule: who may or may not do what, on what, when.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, by which records and explanations call it.
    pub id: Box<str>,
    /// Where it stands.
    pub place: Place,
    /// What it is for, in the author's words.
    pub description: Box<str>,
    /// Whether it allows or denies.
    pub effect: Effect,
    /// Whom it is about: any of these.
    pub principals: Vec<Selector>,
    /// What it is about: any of these.
    pub actions: BTreeSet<Action>,
    /// On what: any of these.
    pub resources: Vec<Selector>,
    /// What must hold, all of it.
    pub when: Vec<Condition>,
    /// What must not hold as a whole; empty if there is no such thing.
    pub unless: Vec<Condition>,
    /// Whether it also allows what crosses the border of a workspace.
    pub cross_workspace: bool,
}

/// Something that must hold for a rule to apply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The message type is one of these.
    MessageTypes(Vec<Pattern>),
    /// The payload has at least this size.
    PayloadMin(u64),
    /// The payload has at most this size.
    PayloadMax(u64),
    /// The message has one of these labels.
    LabelsAny(BTreeSet<String>),
    /// The message has all of these labels.
    LabelsAll(BTreeSet<String>),
    /// The message has none of these labels.
    LabelsNone(BTreeSet<String>),
    /// The message is about one of these domains.
    Domains(BTreeSet<String>),
    /// One of these time windows is open.
    TimeWindows(BTreeSet<String>),
    /// The request comes from one of these networks.
    Networks(BTreeSet<String>),
    /// The principal has proved who it is at least this well.
    AuthenticationMin(Authentication),
    /// At most so many have passed the request on.
    DelegationDepthMax(u32),
    /// One of these has approved.
    ApprovedBy(BTreeSet<String>),
    /// It is this moment or later, in seconds of the epoch.
    NotBefore(i64),
    /// It is before this moment, in seconds of the epoch.
    Before(i64),
}

/// Policies that are written in Cedar.
#[derive(Clone, Debug)]
pub struct CedarText {
    /// Where the text begins.
    pub place: Place,
    /// The columns before each of its lines but the first.
    pub margin: u32,
    /// The text.
    pub text: String,
}

impl Document {
    /// Reads, merges and checks files and folders.
    ///
    /// # Errors
    /// Returns every fault that was found, at most 100, with its place.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Fault>> {
        Self::parse(&sources.read()?)
    }

    /// Merges and checks the texts of files, by the names they are to be called.
    ///
    /// # Errors
    /// Returns every fault that was found, at most 100, with its place.
    pub fn parse(files: &[(std::path::PathBuf, String)]) -> Result<Self, Vec<Fault>> {
        resolve::resolve(files)
    }
}
