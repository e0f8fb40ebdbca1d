//! Asks one witness to cosign each checkpoint, off the way of messages.
//!
//! A witness that cannot be reached is asked again; one that says that the history has changed is
//! believed as far as an alarm goes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use audit::{SignedCheckpoint, TileSource, to_hex};
use tokio::sync::watch;
use witness::{Answer, Submission, submit};

use super::alarms::Alarms;
use super::tree::write_draft;
use crate::config::Witness;

/// One witness, and what it has cosigned.
pub(super) struct Cosigner {
    witness: Witness,
    tree: PathBuf,
    file: PathBuf,
    alarms: Arc<Alarms>,
    cosigned_size: u64,
}

/// Why a checkpoint was not cosigned.
enum Uncosigned {
    /// The witness knows another history.
    Refused(String),
    /// It could not be asked, or did not understand.
    Trouble(String),
}

// LIMIT: how long one answer may take, and the wait after failures in a row.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);

impl Cosigner {
    pub(super) fn open(witness: &Witness, tree: &Path, alarms: &Arc<Alarms>) -> Self {
        let file = tree.join(FOLDER).join(to_hex(&witness.key.id()));
        let last = fs::read(&file).ok().and_then(|bytes| SignedCheckpoint::parse(&bytes).ok());
        let last = last.filter(|last| last.check_witness(&witness.key).is_ok());
        let cosigned_size = last.map_or(0, |last| last.checkpoint().size);
        let (witness, tree, alarms) = (witness.clone(), tree.to_owned(), Arc::clone(alarms));
        Self { witness, tree, file, alarms, cosigned_size }
    }

    /// Has each newest checkpoint cosigned until no more come.
    pub(super) async fn run(mut self, mut newest: watch::Receiver<Option<Arc<SignedCheckpoint>>>) {
        let mut pause = Duration::ZERO;
        let mut is_last = false;
        loop {
            if pause.is_zero() {
                if newest.changed().await.is_err() {
                    return;
                }
            } else {
                // A newer checkpoint does not make an unreachable witness reachable.
                is_last = self.wait(pause, &newest).await;
            }
            let Some(signed) = newest.borrow_and_update().clone() else { continue };
            match self.ask(&signed).await {
                Ok(()) => {
                    if !pause.is_zero() {
                        tracing::info!(witness = self.witness.key.name(), "it cosigns again");
                    }
                    pause = Duration::ZERO;
                    self.alarms.clear(self.witness.key.name());
                }
                Err(Uncosigned::Refused(why)) => {
                    self.alarms.raise(self.witness.key.name(), &why);
                    pause = (pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
                }
                Err(Uncosigned::Trouble(cause)) => {
                    if pause.is_zero() {
                        let (witness, url) = (self.witness.key.name(), &self.witness.url);
                        tracing::warn!(%cause, witness, url, "the witness does not cosign");
                    }
                    pause = (pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
                }
            }
            if is_last {
                return;
            }
        }
    }

    /// Waits for a while; returns whether no more checkpoints will come.
    async fn wait(
        &self,
        pause: Duration,
        newest: &watch::Receiver<Option<Arc<SignedCheckpoint>>>,
    ) -> bool {
        // Once a second is often enough to notice the end.
        let step = Duration::from_secs(1).min(pause);
        let mut left = pause;
        while !left.is_zero() && newest.has_changed().is_ok() {
            tokio::time::sleep(step.min(left)).await;
            left = left.saturating_sub(step);
        }
        newest.has_changed().is_err()
    }

    async fn ask(&mut self, signed: &SignedCheckpoint) -> Result<(), Uncosigned> {
        let size = signed.checkpoint().size;
        let mut old_size = self.cosigned_size;
        // The first answer may name the size that the witness knows.
        for _ in 0..2 {
            let submission = self.submission(signed, old_size).await?;
            let Witness { url, key } = &self.witness;
            let answer = submit(url, key, &submission, PATIENCE).await;
            match answer.map_err(|cause| Uncosigned::Trouble(cause.to_string()))? {
                Answer::Cosigned(signature) => {
                    let mut signed = signed.clone();
                    signed.add(signature);
                    self.keep(&signed).map_err(|cause| Uncosigned::Trouble(cause.to_string()))?;
                    self.cosigned_size = size;
                    return Ok(());
                }
                Answer::Conflict { size: known } if known > size => {
                    return Err(Uncosigned::Refused(format!(
                        "the witness has cosigned {known} records, and the log has {size}: its end \
                         was cut off, or an old copy restored"
                    )));
                }
                Answer::Conflict { size: known } if known != old_size => old_size = known,
                Answer::Conflict { .. } | Answer::BadProof => {
                    return Err(Uncosigned::Refused(format!(
                        "the first {old_size} records are not those that the witness has cosigned"
                    )));
                }
                Answer::Unknown => {
                    let text = "it does not know this log or its key; give it `--log` with the key \
                                that `palisade audit key --of` prints";
                    return Err(Uncosigned::Trouble(text.to_owned()));
                }
            }
        }
        Err(Uncosigned::Trouble("it names another size each time".to_owned()))
    }

    async fn submission(
        &self,
        signed: &SignedCheckpoint,
        old_size: u64,
    ) -> Result<Submission, Uncosigned> {
        let (tree, size) = (self.tree.clone(), signed.checkpoint().size);
        let proof = tokio::task::spawn_blocking(move || {
            TileSource::new(tree).consistency(old_size, size).map_err(|cause| cause.to_string())
        });
        let proof = proof.await.map_err(|cause| Uncosigned::Trouble(cause.to_string()))?;
        let proof = proof.map_err(Uncosigned::Trouble)?.ok_or_else(|| {
            Uncosigned::Refused(format!("{old_size} records were cosigned, the log has {size}"))
        })?;
        Ok(Submission { old_size, proof, checkpoint: signed.clone() })
    }

    /// Keeps the newest cosigned checkpoint.
    fn keep(&self, signed: &SignedCheckpoint) -> std::io::Result<()> {
        let folder = self.tree.join(FOLDER);
        fs::create_dir_all(&folder)?;
        let draft = self.file.with_extension("draft");
        write_draft(&draft, &signed.to_string())?.sync_all()?;
        fs::rename(&draft, &self.file)?;
        File::open(&folder)?.sync_all()
    }
}

/// Where cosigned checkpoints are kept, one file a witness, by the id of its key.
const FOLDER: &str = "witnessed";
