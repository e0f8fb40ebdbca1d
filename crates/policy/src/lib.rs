//! Access rules: who may do what, on what, when; compiled into a decision with its reason.
//!
//! There are two sources. An operator edits a [`RuleBook`] of ACL sets and roles, by the
//! configuration or by one [`Change`] at a time. And people write policy files:
//!
//! 1. [`Sources`] reads files and folders, each once and bounded;
//! 2. [`Document::load`] merges and checks them, and says [`Fault`]s with file, line and column;
//! 3. [`Engine::compile`] turns the rules into Cedar policies behind an index and a memory.
//!
//! [`Policy`] is both together, and the only thing that the gate asks: [`Policy::judge`] takes a
//! [`Request`] and gives a [`Decision`] with the [`Reason`]. A `Document` is plain data with public
//! fields, so that tools can look at rules without an engine.
//!
//! This crate reads no file but those it is given, knows no clock and does not check who is
//! asking: the principal and the circumstances it is given are verified.

mod book;
mod change;
mod check;
mod decision;
mod document;
mod engine;
mod fault;
mod hard;
mod network;
mod pattern;
mod policy;
mod request;
mod selector;
mod window;

pub use book::{AgentRules, Role, RuleBook};
pub use change::{Change, ChangeError};
pub use check::{Level, Problem};
pub use decision::{Action, Decision, Reason};
pub use document::{
    CedarText, Condition, Document, DocumentRole, Effect, Group, Member, MessageType, Rule,
    Sources, Workspace,
};
pub use engine::{Engine, Plain, Ruling};
pub use fault::{Fault, FaultCode, Place};
pub use network::Network;
pub use pattern::{BadPattern, Pattern};
pub use policy::Policy;
pub use request::{Authentication, Claims, Context, Principal, Request, Resource};
pub use selector::{BadSelector, Kind, Selector};
pub use window::{BadWindow, TimeWindow};
