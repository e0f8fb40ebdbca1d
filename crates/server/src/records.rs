//! Reads the audit log page by page, for those who follow it.

use std::sync::Arc;

use audit::Entry;
use gate::ports::{Found, Scan, Store, StoreError};

/// Entries that follow each other in the log; shared by those who follow it.
pub(crate) type Page = Arc<[Entry]>;

/// Returns the entries from a number on that are on disk, up to [`PAGE`]; fewer are the last ones.
pub(crate) async fn page(store: &dyn Store, from: u64) -> Result<Page, StoreError> {
    let found = store.scan(Scan::Records { from }, PAGE).await?;
    Ok(found.into_iter().filter_map(record).collect())
}

fn record(found: Found) -> Option<Entry> {
    if let Found::Record(entry) = found { Some(entry) } else { None }
}

// LIMIT: entries that are read at once.
pub(crate) const PAGE: usize = 512;
