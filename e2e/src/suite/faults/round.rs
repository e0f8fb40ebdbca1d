//! What is checked after every fault, and the sums over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use palisade_client::admin::ListDeadLettersRequest;

use super::ledger::{Balance, Pair};
use super::load::Load;
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
        let unreconciled = reconcile(site, gate, load).await?;
        self.unreconciled += unreconciled;
        let balance = load.ledger.borrow().balance();
        balance.check()?;
        let duplicated = load.ledger.borrow().duplicated_acked;
        ensure!(duplicated == 0, "{duplicated} deliveries of what was settled");
        ensure!(unreconciled == 0, "{unreconciled} records and messages do not match");
        self.rounds += 1;
        Ok(())
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

/// Holds the audit log against what was delivered and against the dead letters; returns how many
/// have no counterpart.
async fn reconcile(site: &Site, gate: &Gate, load: &Load) -> Result<u64> {
    let mut accepted: BTreeMap<Pair, Vec<String>> = BTreeMap::new();
    let mut dead = BTreeSet::new();
    for record in site.records(&[]).await? {
        let text = |field: &str| record[field].as_str().map(str::to_owned);
        let Some(id) = text("message_id") else { continue };
        match record["event_type"].as_str() {
            Some("message.send") if record["decision"] == "ALLOWED" => {
                let pair = text("sender_id").zip(text("target_id"));
                accepted.entry(pair.context("a record without its pair")?).or_default().push(id);
            }
            Some("dead_letter") => ensure!(dead.insert(id), "a letter is recorded twice"),
            _ => {}
        }
    }
    let letters = dead_letters(site, gate).await?;
    let ledger = load.ledger.borrow();
    let got = ledger.got();
    let mut unmatched = 0;
    for pair in accepted.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
        let records = accepted.get(pair).map_or(&[][..], Vec::as_slice);
        unmatched += differences(records, got.get(pair).map_or(&[][..], Vec::as_slice))
            .with_context(|| format!("from {} to {}", pair.0, pair.1))?;
    }
    let expected = ledger.letters();
    let differs = |found: &BTreeSet<String>| {
        found.iter().map(String::as_str).collect::<BTreeSet<_>>() != expected
    };
    Ok(unmatched + u64::from(differs(&dead)) + u64::from(differs(&letters)))
}

/// Counts records without a delivery and deliveries without a record; both must be in one order.
fn differences(records: &[String], got: &[&str]) -> Result<u64> {
    let known: BTreeSet<&str> = records.iter().map(String::as_str).collect();
    ensure!(known.len() == records.len(), "a message is recorded twice");
    let delivered: BTreeSet<&str> = got.iter().copied().collect();
    let count = known.symmetric_difference(&delivered).count();
    ensure!(count > 0 || records.iter().eq(got), "delivered in another order than accepted");
    Ok(count as u64)
}

async fn dead_letters(site: &Site, gate: &Gate) -> Result<BTreeSet<String>> {
    let operator = site.operator(gate).await?;
    let (mut all, mut after) = (BTreeSet::new(), String::new());
    loop {
        let request = ListDeadLettersRequest { after, limit: 1000, target_id: String::new() };
        let letters = operator.dead_letters(request).await?;
        let Some(last) = letters.last() else { return Ok(all) };
        after = last.message_id.clone();
        all.extend(letters.into_iter().map(|letter| letter.message_id));
    }
}
