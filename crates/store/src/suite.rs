//! The conformance suite: what every engine behind `gate::ports::Store` must do.
//!
//! It sees an engine only through the trait, so one in another process can be checked too. It
//! does not check durability against crashes: that depends on the medium and is each engine's
//! own test.

mod audit_log;
mod kit;
mod leases;
mod letters;
mod queues;
mod restarts;
mod sent;
mod shares;
mod values;
mod windows;

use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, LocalBoxFuture};
use gate::ports::Store;

use self::kit::{Checked, Kit};
use crate::Bounds;

/// One engine with its data.
pub trait Subject: Send {
    /// Returns the running engine.
    fn store(&self) -> Arc<dyn Store>;

    /// Ends the engine in an orderly way and starts it again over the same data.
    ///
    /// # Errors
    ///
    /// Returns why it did not start.
    fn reopen(&mut self) -> BoxFuture<'_, Result<(), String>>;
}

/// Makes an engine without data, with these bounds.
pub type Make<'a> = dyn Fn(Bounds) -> BoxFuture<'a, Result<Box<dyn Subject>, String>> + 'a;

/// What an engine did not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The promise, as a sentence.
    pub case: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not kept: {}: {}", self.case, self.seen)
    }
}

impl std::error::Error for Failure {}

/// The bounds under which the cases run: small, so that the cases reach them.
#[must_use]
pub const fn bounds() -> Bounds {
    Bounds {
        queue_bytes_max: 4_000,
        queue_len_max: 8,
        share_bytes_max: 4_000,
        share_len_max: 8,
        sender_bytes_max: 60_000,
        total_bytes_max: 6_000,
        dead_letters_max: 3,
        dead_letter_bytes_max: 2_500,
        agent_letters_max: 3,
        agent_letter_bytes_max: 2_500,
        statuses_max: 3,
        sent_max: 3,
    }
}

/// Runs every case, each on an engine of its own; returns how many there are.
///
/// # Errors
///
/// Returns the first promise that was not kept.
pub async fn run(make: &Make<'_>) -> Result<usize, Failure> {
    let mut count = 0;
    let shared = shares::CASES.iter().map(|case| (shares::bounds(), *case));
    for (bounds, (name, case)) in cases().map(|case| (bounds(), case)).chain(shared) {
        let fail = |seen| Failure { case: name, seen };
        let subject = make(bounds).await.map_err(fail)?;
        let mut kit = Kit::new(subject);
        case(&mut kit).await.map_err(fail)?;
        count += 1;
    }
    Ok(count)
}

type Case = fn(&mut Kit) -> LocalBoxFuture<'_, Checked>;

fn cases() -> impl Iterator<Item = (&'static str, Case)> {
    [
        values::CASES,
        queues::CASES,
        leases::CASES,
        letters::CASES,
        windows::CASES,
        audit_log::CASES,
        restarts::CASES,
        sent::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}
