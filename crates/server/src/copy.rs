//! Copies the audit log to a JSONL file, for those who ship it elsewhere.
//!
//! The store's log is the record; the file is a view of it that catches up after a failure and
//! never holds up a message. Where it stopped is read from the file itself. Pages that the notary
//! has read are taken from it; what it had no place for is read from the log.

use std::sync::Arc;
use std::time::Duration;

use audit::{FileSink, SinkError};
use gate::ports::Store;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::config::AuditFile;
use crate::records::{self, PAGE, Page};
use crate::serve::ServeError;

/// A copy under way.
pub(crate) struct AuditCopy {
    sink: Arc<Mutex<FileSink>>,
    store: Arc<dyn Store>,
}

// How often the log is looked at for new entries, and how long a failed write waits.
const PERIOD: Duration = Duration::from_millis(200);
const FAILED_PAUSE: Duration = Duration::from_secs(5);

// LIMIT: pages that wait to be copied; whoever follows the log does not wait for a slow file.
pub(crate) const PAGES_AHEAD: usize = 16;

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

    /// Copies until `closing` becomes true, and then what is left. `read` has pages that somebody
    /// else has read already.
    pub(crate) async fn run(
        self,
        mut closing: watch::Receiver<bool>,
        mut read: mpsc::Receiver<Page>,
    ) {
        loop {
            let is_last = *closing.borrow();
            let pause = match self.catch_up(&mut read).await {
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

    async fn catch_up(&self, read: &mut mpsc::Receiver<Page>) -> Result<(), String> {
        for _ in 0..PAGES_AHEAD {
            let Ok(page) = read.try_recv() else { break };
            self.append(page).await?;
        }
        loop {
            let from = self.sink.lock().last_seq() + 1;
            let page = records::page(&*self.store, from).await;
            let page = page.map_err(|cause| cause.to_string())?;
            let count = page.len();
            self.append(page).await?;
            if count < PAGE {
                return Ok(());
            }
        }
    }

    /// Writes what of a page comes next, and what an earlier failure has left.
    async fn append(&self, page: Page) -> Result<(), String> {
        let sink = Arc::clone(&self.sink);
        let written = tokio::task::spawn_blocking(move || append(&sink, &page)).await;
        written.map_err(|cause| cause.to_string())?.map_err(|cause| cause.to_string())
    }
}

fn append(sink: &Mutex<FileSink>, page: &Page) -> Result<(), SinkError> {
    let mut sink = sink.lock();
    for entry in page.iter() {
        // Pages in between were not kept for this copy: they are read from the log first.
        if entry.link.seq > sink.last_seq() + 1 {
            break;
        }
        sink.write(entry)?;
    }
    sink.flush()
}

#[cfg(test)]
mod tests;
