//! Access rules: ACL sets and roles, compiled into a decision with its reason.
//!
//! An operator edits a [`RuleBook`], by file or by one [`Change`] at a time; the
//! gate asks the [`Policy`] compiled from it. This crate reads no file, knows no
//! clock and does not check who is asking: the sender it is given is verified.

mod book;
mod change;
mod check;
mod decision;
mod pattern;
mod policy;

pub use book::{AgentRules, Role, RuleBook};
pub use change::{Change, ChangeError};
pub use check::{Level, Problem};
pub use decision::{Action, Decision, Reason};
pub use pattern::{BadPattern, Pattern};
pub use policy::Policy;
