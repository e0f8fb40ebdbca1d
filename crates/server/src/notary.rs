//! Signs checkpoints over the audit log, for those who check it without trusting this server.
//!
//! The tree under the store's folder is a view of the log that catches up after a failure and
//! never holds up a message; how far it is, its tiles say. Only records that are on disk are
//! signed. A log that does not continue what was signed before is not signed again: that is an
//! alarm, and nothing here repairs it.

mod alarms;
mod cosigner;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use audit::{SignedCheckpoint, SigningKey};
use gate::ports::Store;
use gate::tasks::Tasks;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::alarms::Alarms;
use self::cosigner::Cosigner;
use self::tree::{SignedTree, Stopped};
use crate::config::Config;
use crate::readiness::{NotReady, Readiness};
use crate::records::{self, PAGE, Page};
use crate::serve::ServeError;

/// The signing of checkpoints under way.
pub(crate) struct Notary {
    tree: Arc<Mutex<SignedTree>>,
    store: Arc<dyn Store>,
    every: Duration,
    alarms: Arc<Alarms>,
    cosigners: Vec<Cosigner>,
    newest: watch::Sender<Option<Arc<SignedCheckpoint>>>,
    /// Where pages go for the copy of the log.
    copy: mpsc::Sender<Page>,
    /// The number of the entry that the tree wants next, unless the tree has to be asked.
    next: Option<u64>,
}

// How long a failed look at log or disk waits for the next.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

// How long new entries may wait until they are in the tree. The store has the last few megabytes in
// memory; what is older has to be read from disk, and a busy gate writes that much in a second.
const GATHER_PAUSE: Duration = Duration::from_millis(50);

// LIMIT: how long the end waits for witnesses.
const END_PATIENCE: Duration = Duration::from_secs(5);

impl Notary {
    /// Takes up the tree beside the store with the key that the configuration names; nothing, and
    /// a line in the log, if it names none. Pages that were read go to `copy` as long as it has
    /// room, too.
    pub(crate) fn open(
        config: &Config,
        store: &Arc<dyn Store>,
        copy: mpsc::Sender<Page>,
    ) -> Result<Option<Self>, ServeError> {
        let audit = &config.audit;
        let Some(path) = &audit.signing_key else {
            tracing::warn!(
                "audit checkpoints are off, so a rewritten log would not be noticed; make a key \
                 with `palisade audit key --out audit.key` and name it under audit.signing_key"
            );
            return Ok(None);
        };
        let is_inside = match (path.canonicalize(), config.storage.path.canonicalize()) {
            (Ok(key), Ok(store)) => key.starts_with(store),
            (Err(_), _) | (_, Err(_)) => false,
        };
        if is_inside {
            let text = "the key is in the store's folder: who can change the log could sign it too";
            return Err(ServeError::AuditKey(text.to_owned()));
        }
        let bytes =
            identity::read_secret(path).map_err(|cause| ServeError::AuditKey(cause.to_string()))?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let key = SigningKey::parse(text)
            .map_err(|cause| ServeError::AuditKey(format!("`{}`: {cause}", path.display())))?;
        let folder = config.storage.path.join(FOLDER);
        tracing::info!(key = %key.verifier(), "audit checkpoints are signed");
        let alarms = Arc::new(Alarms::new(&folder));
        let cosigners =
            audit.witnesses.iter().map(|witness| Cosigner::open(witness, &folder, &alarms));
        Ok(Some(Self {
            cosigners: cosigners.collect(),
            tree: Arc::new(Mutex::new(SignedTree::new(folder, key, audit.checkpoints_kept))),
            store: Arc::clone(store),
            every: audit.checkpoint_every,
            alarms,
            newest: watch::Sender::new(None),
            copy,
            next: None,
        }))
    }

    /// Signs until `closing` becomes true, and then what is left. A log that is not what was
    /// signed before ends the signing, and the readiness of the server.
    pub(crate) async fn run(mut self, mut closing: watch::Receiver<bool>, readiness: Readiness) {
        let tasks = Tasks::default();
        for cosigner in std::mem::take(&mut self.cosigners) {
            tasks.spawn(cosigner.run(self.newest.subscribe()));
        }
        let mut due = Instant::now();
        loop {
            let (is_last, now) = (*closing.borrow(), Instant::now());
            let is_due = is_last || now >= due;
            if is_due {
                due = now + self.every;
            }
            let Some(pause) = self.look(is_due).await else {
                readiness.set(NotReady::History, true);
                break;
            };
            if is_last {
                break;
            }
            // Either way the log is looked at again; at the end once more.
            let closed = closing.wait_for(|closing| *closing);
            drop(tokio::time::timeout(pause, closed).await);
        }
        // Without a sender the witnesses are asked about the last checkpoint, and then no more.
        drop(self.newest);
        drop(tokio::time::timeout(END_PATIENCE, tasks.drain()).await);
    }

    /// Takes what is new, and signs it if that is due; returns when to look again, or nothing if
    /// never.
    async fn look(&mut self, is_due: bool) -> Option<Duration> {
        match self.catch_up(is_due).await {
            Ok(signed) => {
                self.alarms.clear(LOG);
                if let Some(signed) = signed {
                    self.newest.send_replace(Some(Arc::new(signed)));
                }
                Some(self.every.min(GATHER_PAUSE))
            }
            Err(Stopped::Inconsistent(why)) => {
                self.alarms.raise(LOG, &why);
                None
            }
            Err(Stopped::Failed(cause)) => {
                self.next = None;
                tracing::error!(%cause, "cannot sign a checkpoint; it will be tried again");
                Some(FAILED_PAUSE)
            }
        }
    }

    async fn catch_up(&mut self, is_due: bool) -> Result<Option<SignedCheckpoint>, Stopped> {
        loop {
            let from = match self.next {
                Some(next) => next,
                None => self.on_tree(SignedTree::next_seq).await?,
            };
            let page = records::page(&*self.store, from).await;
            let page = page.map_err(|cause| Stopped::Failed(cause.to_string()))?;
            let count = page.len();
            if count > 0 {
                // A copy that is slow, or that there is not, reads the log by itself.
                self.copy.try_send(Arc::clone(&page)).unwrap_or_default();
                self.on_tree(move |tree| tree.take(&page)).await?;
            }
            self.next = Some(from.saturating_add(count as u64));
            if count < PAGE {
                return if is_due { self.on_tree(SignedTree::sign).await } else { Ok(None) };
            }
        }
    }

    /// Does something that reads and writes files.
    async fn on_tree<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SignedTree) -> Result<T, Stopped> + Send + 'static,
    ) -> Result<T, Stopped> {
        let tree = Arc::clone(&self.tree);
        let worked = tokio::task::spawn_blocking(move || work(&mut tree.lock())).await;
        worked.map_err(|cause| Stopped::Failed(cause.to_string()))?
    }
}

/// Where the tree is, below the store's folder.
const FOLDER: &str = "tree";
/// Whose alarm it is when the log is not what was signed.
const LOG: &str = "log";

#[cfg(test)]
mod tests;
