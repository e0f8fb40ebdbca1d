//! The long suites: the promises of the program, tried against the real binary for as long as
//! one likes, with one report each.
//!
//! | suite | asks |
//! |---|---|
//! | `faults` | is anything lost that was acknowledged, whatever happens to process and disk? |
//! | `audit` | can a third party find every change of the audit log? |
//! | `identity` | does any certificate get in that should not? |
//! | `abuse` | can one attacker harm the others? |
//!
//! `cargo xtask suite NAME` runs them; their short forms are part of the test command.

mod abuse;
mod audit;
mod effort;
mod faults;
mod identity;
mod report;
mod together;

use anyhow::Result;

pub use abuse::attack_if_told;
pub use effort::Effort;
pub use report::{Report, Skipped};
pub use together::Together;

/// A suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// Crashes and disks.
    Faults,
    /// The audit log in the hands of a third party.
    Audit,
    /// Certificates that should not be accepted.
    Identity,
    /// One attacker among honest agents.
    Abuse,
}

impl Suite {
    /// Returns the name that the command line and the report use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::Audit => "audit",
            Self::Identity => "identity",
            Self::Abuse => "abuse",
        }
    }

    /// Runs it. A case that fails is in the report; the others still run.
    pub async fn run(self, effort: Effort) -> Report {
        let mut report = Report::new(self.name(), effort);
        let ran: Result<()> = match self {
            Self::Faults => faults::run(effort, &mut report).await,
            Self::Audit => audit::run(effort, &mut report).await,
            Self::Identity => identity::run(effort, &mut report).await,
            Self::Abuse => abuse::run(effort, &mut report).await,
        };
        if let Err(error) = ran {
            report.failed("the suite itself", &error);
        }
        report.close();
        report
    }
}
