//! The engine of one machine: one log in one folder, its state in memory.
//!
//! Start with [`committer`]: everything that changes passes there. The log is the only truth;
//! what it means is in `state`, what may be done in `plan`, what is on disk in
//! `docs/log-format.md`. There is no clock here: time comes with what is asked.

mod ahead;
mod applied;
mod archive;
mod bells;
mod bodies;
mod change;
mod checkpoint;
mod committer;
mod condition;
mod disk;
mod error;
mod figures;
mod folder;
mod frame;
mod group;
mod log;
mod look;
mod options;
mod plan;
mod recovery;
mod replay;
mod salts;
mod segment;
mod shared;
mod snapshot;
mod spares;
mod state;
mod threads;
mod trail;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use audit::{Disk, RealDisk};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gate::ports::{Batch, Claim, Found, Leased, Leases, Read, Scan, Store, StoreError};
use gate::types::{AgentId, SessionId};
use tokio::sync::{oneshot, watch};

pub use self::condition::Condition;
pub use self::error::OpenError;
pub use self::figures::Figures;
use self::group::{Request, Waiting};
pub use self::options::{Durability, FatalHook, Options};
pub use self::salts::{erase_salts, read_salt};
use self::shared::Shared;
use self::state::{Picked, Spot};
use self::threads::Threads;
pub use self::trail::{AuditTrail, read_audit};
use crate::bounds::size_of;

/// A store in a folder.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    threads: Threads,
}

impl Embedded {
    /// Opens the store in a folder, making it if there is none.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be used, another process has it open, or what is in it is
    /// damaged or of a later version; it is left as it was then.
    pub fn open(dir: &Path, options: Options) -> Result<Arc<Self>, OpenError> {
        Self::open_on(dir, options, Arc::new(RealDisk))
    }

    /// Opens the store as [`Embedded::open`] does, on a given disk: the one of a test.
    ///
    /// # Errors
    ///
    /// Fails as [`Embedded::open`] does.
    pub fn open_on(
        dir: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
    ) -> Result<Arc<Self>, OpenError> {
        let (shared, threads) = threads::start(dir, options, disk)?;
        Ok(Arc::new(Self { shared, threads }))
    }

    /// Returns whether batches are taken, now and from now on.
    #[must_use]
    pub fn condition(&self) -> watch::Receiver<Condition> {
        self.shared.fatal.watch()
    }

    /// Returns the numbers of this moment.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.shared.figures()
    }

    /// Ends the store in an orderly way: finishes what waits and makes a last checkpoint, so
    /// that the next start is quick. Blocks until that is done; later commits are refused.
    ///
    /// # Errors
    ///
    /// Returns why the store had stopped taking batches before, if so.
    pub fn close(&self) -> Result<(), StoreError> {
        self.threads.stop(&self.shared, true);
        self.shared.fatal.error().map_or(Ok(()), Err)
    }

    /// Hands batches over to the committer.
    fn hand_over(&self, batches: Vec<Batch>) -> Result<oneshot::Receiver<Answers>, StoreError> {
        let mut bytes = 0_usize;
        for batch in &batches {
            bytes = bytes.saturating_add(size_of(batch)?);
        }
        if let Some(error) = self.shared.fatal.error() {
            return Err(error);
        }
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let request = Request::Commit(Waiting { batches, bytes, answer });
        let sent = if waiting > self.shared.options.waiting_bytes_max {
            Err(StoreError::Busy)
        } else {
            self.threads.send(request)
        };
        if sent.is_err() {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent.map(|()| answered)
    }

    /// Says why the committer did not answer.
    fn gone(&self) -> StoreError {
        let closed = || StoreError::Unreachable("the store was closed".to_owned());
        self.shared.fatal.error().unwrap_or_else(closed)
    }

    /// Leases in memory; wakes those who wait for what was released.
    fn pick(&self, claim: &Claim) -> (Vec<Picked>, Leases) {
        let mut state = self.shared.state.lock();
        let released = state.queues.release(claim);
        let number = state.queues.touch(released.iter());
        let picked = state.queues.lease(claim);
        let wake_at = state.queues.wake_at(claim);
        let seen = state.queues.changes();
        drop(state);
        for agent in &released {
            self.shared.bells.ring(agent, number);
        }
        (picked, Leases { messages: Vec::new(), wake_at, seen })
    }

    /// Adds the envelopes that are not in memory. A message whose envelope cannot be read is set
    /// aside: it holds up no other.
    async fn deliver(
        &self,
        holder: SessionId,
        picked: Vec<Picked>,
        mut leases: Leases,
    ) -> Result<Leases, StoreError> {
        let absent: Vec<_> =
            picked.iter().filter(|p| p.envelope.is_none()).map(|p| p.head.message).collect();
        let mut read = Vec::new().into_iter();
        if !absent.is_empty() {
            let shared = Arc::clone(&self.shared);
            match aside(move || Ok(look::envelopes(&shared, holder, absent))).await {
                Ok(envelopes) => read = envelopes.into_iter(),
                Err(error) => {
                    let mut state = self.shared.state.lock();
                    for picked in &picked {
                        state.queues.take_back(picked.head.message, holder, Spot::Ready);
                    }
                    return Err(error);
                }
            }
        }
        for Picked { head, attempt, envelope, .. } in picked {
            let Some(envelope) = envelope.or_else(|| read.next().flatten()) else { continue };
            leases.messages.push(Leased {
                message: head.message,
                sender: head.sender,
                queue: head.queue,
                envelope,
                attempt,
                message_type: head.message_type.as_ref().to_owned(),
            });
        }
        Ok(leases)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.threads.stop(&self.shared, false);
    }
}

/// What the committer answers, for each batch.
type Answers = Vec<Result<(), StoreError>>;

impl Store for Embedded {
    fn read(&self, what: Read) -> BoxFuture<'_, Result<Option<Found>, StoreError>> {
        let found = if what == Read::RecordCount {
            let next = self.shared.recent.lock().next_seq();
            Some(Found::RecordCount(next.saturating_sub(1)))
        } else {
            look::read(&mut self.shared.state.lock(), what)
        };
        async move {
            let Some(Found::DeadLetter(letter)) = found else { return Ok(found) };
            let shared = Arc::clone(&self.shared);
            aside(move || look::letter(&shared, letter)).await
        }
        .boxed()
    }

    fn scan(&self, what: Scan, count: usize) -> BoxFuture<'_, Result<Vec<Found>, StoreError>> {
        async move {
            let Scan::Records { from } = what else {
                return Ok(look::scan(&self.shared.state.lock(), &what, count));
            };
            let recent = self.shared.recent.lock().page(from, count);
            if let Some(entries) = recent {
                return Ok(entries.into_iter().map(Found::Record).collect());
            }
            let shared = Arc::clone(&self.shared);
            aside(move || look::records(&shared, from, count)).await
        }
        .boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        let handed = self.hand_over(vec![batch]);
        async move {
            let answers = handed?.await.map_err(|_closed| self.gone())?;
            answers.into_iter().next().unwrap_or_else(|| Err(self.gone()))
        }
        .boxed()
    }

    fn commit_each(&self, batches: Vec<Batch>) -> BoxFuture<'_, Vec<Result<(), StoreError>>> {
        let mut refused = Vec::with_capacity(batches.len());
        let mut taken = Vec::with_capacity(batches.len());
        for batch in batches {
            match size_of(&batch) {
                Ok(_) => {
                    refused.push(None);
                    taken.push(batch);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let handed = self.hand_over(taken);
        async move {
            let (mut answers, otherwise) = match handed {
                Ok(answered) => match answered.await {
                    Ok(answers) => (answers.into_iter(), self.gone()),
                    Err(_closed) => (Vec::new().into_iter(), self.gone()),
                },
                Err(error) => (Vec::new().into_iter(), error),
            };
            let mut next = || answers.next().unwrap_or_else(|| Err(otherwise.clone()));
            refused.into_iter().map(|refused| refused.map_or_else(&mut next, Err)).collect()
        }
        .boxed()
    }

    fn lease(&self, claim: Claim) -> BoxFuture<'_, Result<Leases, StoreError>> {
        let (mut picked, mut leases) = self.pick(&claim);
        async move {
            loop {
                let is_drained = picked.is_empty();
                let delivered = self.deliver(claim.holder, picked, leases).await?;
                if is_drained || !delivered.messages.is_empty() {
                    return Ok(delivered);
                }
                // None of these could be read: others may wait behind them.
                (picked, leases) = self.pick(&claim);
            }
        }
        .boxed()
    }

    fn wait(&self, agent: AgentId, seen: u64) -> BoxFuture<'_, u64> {
        async move {
            // The bell is taken first, so that no change falls between the two looks.
            let mut waiter = self.shared.bells.waiter(agent.clone());
            let changed = self.shared.state.lock().queues.changed(&agent);
            match changed.filter(|number| *number > seen) {
                Some(number) => number,
                None => waiter.rung(seen).await,
            }
        }
        .boxed()
    }
}

/// Runs what reads the disk on a thread that may wait.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::Unreachable(error.to_string())))
}

#[cfg(test)]
mod tests;
