//! Picks entries of a log by who, what and when.
//!
//! It reads the log from its start and keeps no index; memory is constant.

use crate::{Damage, Entry, Fault, Link, Record, to_micros};

/// What a query asks for; an empty filter asks for everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only messages of this sender.
    pub sender: Option<String>,
    /// Only messages to this target.
    pub target: Option<String>,
    /// Only what this agent did, sent or was sent.
    pub agent: Option<String>,
    /// Only this decision.
    pub decision: Option<String>,
    /// Only this kind of event.
    pub event_type: Option<String>,
    /// Only this message.
    pub message_id: Option<String>,
    /// Only records of this moment and later, in microseconds since 1970.
    pub from: Option<i64>,
    /// Only records of this moment and earlier, in microseconds since 1970.
    pub to: Option<i64>,
    /// How many records are wanted at most, oldest first.
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            sender: None,
            target: None,
            agent: None,
            decision: None,
            event_type: None,
            message_id: None,
            from: None,
            to: None,
            limit: LIMIT,
        }
    }
}

impl Filter {
    /// Returns whether a record is asked for; the limit is not its concern.
    #[must_use]
    pub fn matches(&self, record: &Record<'_>) -> bool {
        let sender = record.sender_id.as_deref();
        let target = record.target_id.as_deref();
        is(self.sender.as_ref(), sender)
            && is(self.target.as_ref(), target)
            && is(self.decision.as_ref(), Some(&record.decision))
            && is(self.event_type.as_ref(), Some(&record.event_type))
            && is(self.message_id.as_ref(), record.message_id.as_deref())
            && self.agent.as_deref().is_none_or(|agent| {
                record.agent_id == agent || sender == Some(agent) || target == Some(agent)
            })
            && self.covers(&record.timestamp)
    }

    /// Returns whether a time is asked for; one that cannot be read is not, if times matter.
    fn covers(&self, timestamp: &str) -> bool {
        if self.from.is_none() && self.to.is_none() {
            return true;
        }
        to_micros(timestamp).is_some_and(|at| {
            self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at <= to)
        })
    }
}

/// A record that was asked for, with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The place.
    pub link: Link,
    /// The record.
    pub record: Record<'static>,
}

/// Returns the records of a log that a filter asks for, oldest first.
///
/// Damage in the log comes through as it is met and does not count against the
/// limit; an entry without a record is damage, with its number as the offset.
pub fn query<I>(entries: I, filter: &Filter) -> impl Iterator<Item = Result<Found, Damage>>
where
    I: Iterator<Item = Result<Entry, Damage>>,
{
    let mut left = filter.limit;
    let mut entries = entries;
    std::iter::from_fn(move || {
        while left > 0 {
            let found = match entries.next()? {
                Ok(entry) => read(&entry),
                Err(damage) => return Some(Err(damage)),
            };
            if found.as_ref().is_ok_and(|found| !filter.matches(&found.record)) {
                continue;
            }
            left -= usize::from(found.is_ok());
            return Some(found);
        }
        None
    })
}

fn read(entry: &Entry) -> Result<Found, Damage> {
    let record = entry.record().map_err(|error| Damage {
        path: "entry".into(),
        offset: entry.link.seq,
        what: Fault::NotARecord { column: error.column() },
    })?;
    Ok(Found { link: entry.link, record: record.into_owned() })
}

fn is(wanted: Option<&String>, found: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| found == Some(wanted))
}

/// How many records a query returns unless told otherwise.
const LIMIT: usize = 100;

#[cfg(test)]
mod tests;
