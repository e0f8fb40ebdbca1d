//! What is checked after every fault, and the sums over all of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::late::Ends;
use super::ledger::Balance;
use super::load::Load;
use super::records::{Books, Unmatched};
use crate::{Gate, Report, Site, Start};

/// Sums over all rounds of a case.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) rounds: u32,
    acknowledged: u64,
    lost: u64,
    redelivered: u64,
    duplicated_acked: u64,
    unreconciled: u64,
    states: u64,
    states_lost: u64,
    letters: u64,
    letters_lost: u64,
    expired: u64,
    recovery_max: Duration,
    is_drained: bool,
}

impl Sums {
    /// Starts a gate again where it was before, and notes how long that took.
    pub(super) async fn restart(&mut self, site: &Site, how: Start) -> Result<Gate> {
        self.is_drained = false;
        let (gate, took) = start(site, how).await?;
        self.recovery_max = self.recovery_max.max(took);
        Ok(gate)
    }

    /// Holds everything against the ledger and the audit log, when nothing is under way.
    pub(super) async fn check(&mut self, site: &Site, gate: &Gate, load: &Load) -> Result<()> {
        load.settle().await?;
        self.is_drained = true;
        let unmatched = Books::read(site, gate).await?.against(load)?;
        self.note(unmatched);
        let balance = load.ledger.borrow().balance();
        balance.check()?;
        let duplicated = load.ledger.borrow().duplicated_acked;
        ensure!(duplicated == 0, "{duplicated} deliveries of what was settled");
        ensure!(unmatched == Unmatched::default(), "without counterpart: {unmatched:?}");
        self.rounds += 1;
        Ok(())
    }

    /// Waits until what ends late has ended, and holds that against its records too.
    pub(super) async fn close(&mut self, site: &Site, gate: &Gate, load: &Load) -> Result<()> {
        let late = load.late.as_ref().context("nobody sent what ends late")?;
        let ends = late.ends().await?;
        let books = Books::read(site, gate).await?;
        let unmatched =
            Unmatched { records: late.differs(&books)?, letters: late.letters_lost(&books) };
        self.note(unmatched);
        let Ends { expired, dead, lost, astray } = ends;
        self.acknowledged += expired + dead + lost + astray;
        self.expired += expired;
        self.letters += dead;
        self.lost += lost;
        ensure!(expired > 0 && dead > 0, "none has ended late: {ends:?}");
        ensure!(lost + astray == 0, "{ends:?}");
        ensure!(unmatched == Unmatched::default(), "ended late, no counterpart: {unmatched:?}");
        Ok(())
    }

    fn note(&mut self, unmatched: Unmatched) {
        self.unreconciled += unmatched.records;
        self.letters_lost += unmatched.letters;
    }

    /// Adds what the ledger of a store says at the end.
    pub(super) fn add(&mut self, load: &Load) {
        let ledger = load.ledger.borrow();
        let Balance { acknowledged, lost, .. } = ledger.balance();
        self.acknowledged += acknowledged;
        // Before everything has come it only has not come yet.
        self.lost += if self.is_drained { lost } else { 0 };
        self.redelivered += ledger.redelivered;
        self.duplicated_acked += ledger.duplicated_acked;
        self.states += ledger.updates().map(|(_, confirmed, _)| confirmed).sum::<u64>();
        self.states_lost += ledger.states_lost;
        self.letters += ledger.letters().len() as u64;
    }

    /// Puts the sums into the report.
    pub(super) fn tell(&self, case: &str, report: &mut Report) {
        report.figure(&format!("rounds_{case}"), self.rounds);
        let recovery = u64::try_from(self.recovery_max.as_millis()).unwrap_or(u64::MAX);
        for (name, figure) in [
            ("acknowledged", self.acknowledged),
            ("lost", self.lost),
            ("redelivered", self.redelivered),
            ("duplicated_acked", self.duplicated_acked),
            ("unreconciled", self.unreconciled),
            ("states", self.states),
            ("states_lost", self.states_lost),
            ("letters", self.letters),
            ("letters_lost", self.letters_lost),
            ("expired", self.expired),
            ("recovery_ms_max", recovery),
        ] {
            report.figure(&format!("{case}_{name}"), figure);
        }
    }
}

/// Starts a gate; returns how long it took until it listened.
#[expect(clippy::disallowed_methods, reason = "how long a start takes is what is measured")]
pub(super) async fn start(site: &Site, how: Start) -> Result<(Gate, Duration)> {
    let began = Instant::now();
    let gate = site.start_as(how).await?;
    Ok((gate, began.elapsed()))
}

/// Checks that the audit log of a site verifies, as somebody would who only has the files.
pub(super) async fn verify(site: &Site) -> Result<()> {
    let run = site.audit(&["verify"]).await?;
    ensure!(run.code == 0, "the audit log does not verify: {}{}", run.stdout, run.stderr);
    let verdict = run.json()?;
    ensure!(verdict["ok"] == true, "the audit log does not verify: {verdict}");
    Ok(())
}
