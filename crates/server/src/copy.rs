//! Copies the audit log to a JSONL file, for those who ship it elsewhere.
//!
//! The store's log is the record; the file is a view of it that catches up after a failure and
//! never holds up a message. Where it stopped is read from the file itself.

use std::sync::Arc;
use std::time::Duration;

use audit::{Entry, FileSink, SinkError};
use gate::ports::{Found, Scan, Store};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::AuditFile;
use crate::serve::ServeError;

/// A copy under way.
pub(crate) struct AuditCopy {
    sink: Arc<Mutex<FileSink>>,
    store: Arc<dyn Store>,
}

// How often the log is looked at for new entries, and how long a failed write waits.
const PERIOD: Duration = Duration::from_millis(200);
const FAILED_PAUSE: Duration = Duration::from_secs(5);

// LIMIT: entries that are copied at once.
const PAGE: usize = 512;

impl AuditCopy {
    /// Opens the file that `gateway.audit` names; nothing if it names none.
    pub(crate) fn open(
        settings: &AuditFile,
        store: &Arc<dyn Store>,
    ) -> Result<Option<Self>, ServeError> {
        let Some(path) = &settings.file_path else { return Ok(None) };
        let sink = FileSink::open(path, settings.max_bytes, settings.backup_count)
            .map_err(|cause| ServeError::AuditFile(cause.to_string()))?;
        Ok(Some(Self { sink: Arc::new(Mutex::new(sink)), store: Arc::clone(store) }))
    }

    /// Copies until `closing` becomes true, and then what is left.
    pub(crate) async fn run(self, mut closing: watch::Receiver<bool>) {
        loop {
            let is_last = *closing.borrow();
            let pause = match self.catch_up().await {
                Ok(()) => PERIOD,
                Err(cause) => {
                    tracing::error!(%cause, "cannot copy the audit log; it will be tried again");
                    FAILED_PAUSE
                }
            };
            if is_last {
                return;
            }
            // Either way the log is looked at again; at the end once more.
            let closed = closing.wait_for(|closing| *closing);
            drop(tokio::time::timeout(pause, closed).await);
        }
    }

    async fn catch_up(&self) -> Result<(), String> {
        loop {
            let from = self.sink.lock().last_seq() + 1;
            let page = self.store.scan(Scan::Records { from }, PAGE).await;
            let page = page.map_err(|cause| cause.to_string())?;
            let count = page.len();
            let sink = Arc::clone(&self.sink);
            let written = tokio::task::spawn_blocking(move || append(&sink, page)).await;
            written.map_err(|cause| cause.to_string())?.map_err(|cause| cause.to_string())?;
            if count < PAGE {
                return Ok(());
            }
        }
    }
}

fn append(sink: &Mutex<FileSink>, page: Vec<Found>) -> Result<(), SinkError> {
    let mut sink = sink.lock();
    let entries = page.into_iter().filter_map(|found| -> Option<Entry> {
        if let Found::Record(entry) = found { Some(entry) } else { None }
    });
    for entry in entries {
        sink.write(&entry)?;
    }
    sink.flush()
}
