//! The audit log, held against what was delivered, the states and the dead letters.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use palisade_client::admin::ListDeadLettersRequest;
use serde_json::Value;

use super::late::{ABSENT, REFUSER};
use super::ledger::Pair;
use super::load::Load;
use crate::{Gate, Site};

/// What the audit log and the list of dead letters say.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// The messages that were taken, by pair, in order; without those that end late.
    sent: BTreeMap<Pair, Vec<String>>,
    /// Of the targets whose messages end late: what was sent, what has ended and how, and the
    /// dead letters that are there.
    pub(super) by_target: BTreeMap<(&'static str, &'static str), BTreeSet<String>>,
    /// Dead letters of the others: their records, and those that are there.
    dead: BTreeSet<String>,
    letters: BTreeSet<String>,
    /// Records of letters for having been tried too often.
    pub(super) exhausted: usize,
    /// Changes of states that were allowed, by agent.
    updates: BTreeMap<String, u64>,
}

/// What has no counterpart.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unmatched {
    /// Records without their effect and effects without their record.
    pub(super) records: u64,
    /// Dead letters that were told of and are not there.
    pub(super) letters: u64,
}

impl Books {
    /// Reads everything, also what is not known to have happened.
    pub(super) async fn read(site: &Site, gate: &Gate) -> Result<Self> {
        let mut books = Self::default();
        for record in site.records(&[]).await? {
            books.enter(&record)?;
        }
        let operator = site.operator(gate).await?;
        let mut after = String::new();
        loop {
            let request = ListDeadLettersRequest { after, limit: 1000, target_id: String::new() };
            let letters = operator.dead_letters(request).await?;
            let Some(last) = letters.last() else { return Ok(books) };
            after = last.message_id.clone();
            for letter in letters {
                match late(&letter.target_id) {
                    Some(target) => books.note_late("letter", target, letter.message_id)?,
                    None => _ = books.letters.insert(letter.message_id),
                }
            }
        }
    }

    fn enter(&mut self, record: &Value) -> Result<()> {
        let text = |field: &str| record[field].as_str().map(str::to_owned);
        let event = record["event_type"].as_str().unwrap_or_default();
        let is_allowed = record["decision"] == "ALLOWED";
        if event == "state.update" && is_allowed {
            *self.updates.entry(text("agent_id").context("no agent")?).or_default() += 1;
        }
        let Some(id) = text("message_id") else { return Ok(()) };
        self.exhausted += usize::from(record["reason"] == "attempts_exhausted");
        let late = record["target_id"].as_str().and_then(late);
        match (event, late) {
            ("message.send", _) if !is_allowed => {}
            ("message.send", Some(target)) => self.note_late("message.send", target, id)?,
            ("dead_letter", Some(target)) => self.note_late("dead_letter", target, id)?,
            ("expired", Some(target)) => self.note_late("expired", target, id)?,
            ("message.send", None) => {
                let pair = text("sender_id").zip(text("target_id"));
                self.sent.entry(pair.context("a record without its pair")?).or_default().push(id);
            }
            ("dead_letter", None) => ensure!(self.dead.insert(id), "a letter is recorded twice"),
            _ => {}
        }
        Ok(())
    }

    fn note_late(&mut self, what: &'static str, target: &'static str, id: String) -> Result<()> {
        let is_new = self.by_target.entry((what, target)).or_default().insert(id);
        ensure!(is_new, "a `{what}` of a message for {target} is there twice");
        Ok(())
    }

    /// Holds all of it against what the agents know, but for what ends late.
    pub(super) fn against(&self, load: &Load) -> Result<Unmatched> {
        let ledger = load.ledger.borrow();
        let got = ledger.got();
        let mut records = 0;
        for pair in self.sent.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
            let sent = self.sent.get(pair).map_or(&[][..], Vec::as_slice);
            records += differences(sent, got.get(pair).map_or(&[][..], Vec::as_slice))
                .with_context(|| format!("from {} to {}", pair.0, pair.1))?;
        }
        let expected: BTreeSet<String> = ledger.letters().into_iter().map(str::to_owned).collect();
        records += differing(&self.dead, &expected) + differing(&self.letters, &expected);
        let letters = expected.difference(&self.letters).count() as u64;
        for (agent, confirmed, tried) in ledger.updates() {
            let found = self.updates.get(agent).copied().unwrap_or_default();
            records += confirmed.saturating_sub(found) + found.saturating_sub(tried);
        }
        Ok(Unmatched { records, letters })
    }
}

/// Counts what is in one of two sets only.
pub(super) fn differing(one: &BTreeSet<String>, other: &BTreeSet<String>) -> u64 {
    one.symmetric_difference(other).count() as u64
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

/// Returns the target if its messages end late.
fn late(target: &str) -> Option<&'static str> {
    [ABSENT, REFUSER].into_iter().find(|late| *late == target)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_that_is_there_twice_is_noticed() {
        let mut books = Books::default();
        let expired = json!({ "event_type": "expired", "message_id": "m", "target_id": ABSENT });
        assert!(books.enter(&expired).is_ok());
        assert!(books.enter(&expired).is_err());
    }

    #[test]
    fn only_changes_of_state_that_were_allowed_are_counted() {
        let mut books = Books::default();
        for (event, decision) in [
            ("state.update", "ALLOWED"),
            ("state.update", "ALLOWED"),
            ("state.update", "RATE_LIMITED"),
            ("state.read", "ALLOWED"),
        ] {
            let record = json!({ "event_type": event, "decision": decision, "agent_id": "alice" });
            books.enter(&record).unwrap();
        }
        assert_eq!(books.updates, BTreeMap::from([("alice".to_owned(), 2)]));
    }

    #[test]
    fn records_and_deliveries_are_compared_also_by_their_order() {
        let records = ["a", "b"].map(str::to_owned);
        assert_eq!(differences(&records, &["a", "b"]).unwrap(), 0);
        assert_eq!(differences(&records, &["a", "c"]).unwrap(), 2);
        assert!(differences(&records, &["b", "a"]).is_err());
    }
}
