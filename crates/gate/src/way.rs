//! The way of one message: what its records say, and the times that are still in memory.

use std::time::Duration;

use audit::Record;

use crate::gate::Gate;
use crate::ports::{Found, MessageView, Read, Scan, StoreError};
use crate::recent::{PastRun, PastStep};
use crate::types::MessageId;

/// All that is known of one message, or of a call that was refused.
#[derive(Debug)]
pub struct Way {
    /// Its id.
    pub id: MessageId,
    /// What the store says of it; nothing if it was not kept, or is forgotten.
    pub view: Option<MessageView>,
    /// The times of its stages, if they are still in memory.
    pub run: Option<PastRun>,
    /// What happened behind the pipeline, as far as it is still in memory.
    pub steps: Vec<PastStep>,
    /// Its records, oldest first, with their numbers.
    pub records: Vec<(u64, Record<'static>)>,
    /// The first and the last number of the records that were searched.
    pub searched: Option<(u64, u64)>,
}

// How many records are searched unless the caller says.
const RECORDS_USUAL: u64 = 100_000;

// LIMIT: records that are in memory at once while they are searched; a page on disk is read from
// the beginning of its file, so small ones would read it many times.
const PAGE: u64 = 16_384;

// LIMIT: how long records are searched; the door gives a call 30 s.
const SEARCH_MAX: Duration = Duration::from_secs(10);

// LIMIT: records of one message that are returned. A message has two, and one for each time that
// an operator looked at it as a dead letter or replayed it.
const FOUND_MAX: usize = 256;

impl Gate {
    /// Finds the way of a message; nothing if there is no trace of it where it was looked for.
    pub(crate) async fn way(
        &self,
        id: MessageId,
        records_max: u64,
    ) -> Result<Option<Way>, StoreError> {
        let (run, steps) = self.recent.find(id);
        let view = self.store.read(Read::Message(id)).await?;
        let view = if let Some(Found::Message(view)) = view { Some(view) } else { None };
        let mut way = Way { id, view, run, steps, records: Vec::new(), searched: None };
        let records_max = if records_max == 0 { RECORDS_USUAL } else { records_max };
        self.search(&mut way, records_max).await?;
        let is_known = way.view.is_some()
            || way.run.is_some()
            || !way.steps.is_empty()
            || !way.records.is_empty();
        Ok(is_known.then_some(way))
    }

    /// Searches the newest records page by page, until the one that began it all is found.
    async fn search(&self, way: &mut Way, records_max: u64) -> Result<(), StoreError> {
        let last = self.store.read(Read::RecordCount).await?;
        let last = if let Some(Found::RecordCount(count)) = last { count } else { 0 };
        let text = way.id.to_string();
        let began = self.clock.elapsed();
        let mut upper = last;
        let lowest = last.saturating_sub(records_max);
        while upper > lowest {
            let lower = upper.saturating_sub(PAGE).max(lowest);
            let count = usize::try_from(upper - lower).unwrap_or(usize::MAX);
            let page = self.store.scan(Scan::Records { from: lower + 1 }, count).await?;
            let found: Vec<_> = page.iter().filter_map(|found| about(found, &text)).collect();
            let is_complete = found.iter().any(|(_, record)| begins(record, &text));
            way.records.splice(0..0, found);
            way.records.truncate(FOUND_MAX);
            way.searched = Some((lower + 1, last));
            if is_complete || self.clock.elapsed().saturating_sub(began) > SEARCH_MAX {
                return Ok(());
            }
            upper = lower;
        }
        Ok(())
    }
}

/// Returns whether this is the record of the call itself, which nothing precedes.
fn begins(record: &Record<'_>, id: &str) -> bool {
    record.request_id == id && !matches!(&*record.event_type, "expired" | "dead_letter")
}

/// Reads a record if it is about the message.
fn about(found: &Found, id: &str) -> Option<(u64, Record<'static>)> {
    let Found::Record(entry) = found else { return None };
    // Most are not: reading all of them would take ten times as long.
    if !std::str::from_utf8(&entry.body).ok()?.contains(id) {
        return None;
    }
    let record = entry.record().ok()?;
    let is_about = record.request_id == id
        || record.message_id.as_deref() == Some(id)
        || record.detail.get("dead_letter").is_some_and(|letter| letter == id);
    is_about.then(|| (entry.link.seq, record.into_owned()))
}
