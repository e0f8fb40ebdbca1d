//! The server's TLS files: loaded at the start, and again whenever they change.
//!
//! It judges no certificate, which is the identity crate's part, and ends no connection: it says
//! what is in force, and a connection ends itself when that no longer trusts as it did.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use gate::Gate;
use identity::TlsError;
use tokio::sync::watch;

use crate::config::Tls;

/// What new connections are made with.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    /// The own certificate, and the authorities that are trusted.
    pub(crate) config: Arc<rustls::ServerConfig>,
    /// Goes up when the authorities change: what an earlier one let in must come again.
    pub(crate) authorities: u64,
}

/// The three files, as they were when they were last loaded.
pub(crate) struct TlsFiles {
    files: Tls,
    look: Look,
    in_force: watch::Sender<InForce>,
    /// Whether the files, as they are, could not be put in force; time may heal that.
    is_pending: bool,
}

/// What the files looked like, to see whether they changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    cert: Option<Stamp>,
    key: Option<Stamp>,
    client_ca: Option<Stamp>,
    /// What the CA file said; a copy of the same text is no change of trust.
    authorities: Vec<u8>,
}

/// Says which content a path leads to, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

// LIMIT: bytes of the CA file that are compared; the identity crate takes no larger file.
const AUTHORITIES_BYTES_MAX: u64 = 2 << 20;

impl TlsFiles {
    /// Loads the files for the first time.
    pub(crate) fn load(files: &Tls, now_unix: i64) -> Result<Self, TlsError> {
        // Looked at before they are read: what changes in between is seen at the next look.
        let look = Look::at(files);
        let config = identity::load_server(&files.cert, &files.key, &files.client_ca, now_unix)?;
        let in_force = watch::Sender::new(InForce { config, authorities: 0 });
        Ok(Self { files: files.clone(), look, in_force, is_pending: false })
    }

    /// Returns what is in force, now and later.
    pub(crate) fn in_force(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    /// Looks at the files again and again until `closing` becomes true.
    pub(crate) async fn follow(mut self, gate: Arc<Gate>, mut closing: watch::Receiver<bool>) {
        if self.files.reload_every.is_zero() {
            return;
        }
        loop {
            let closed = closing.wait_for(|closing| *closing);
            if tokio::time::timeout(self.files.reload_every, closed).await.is_ok() {
                return;
            }
            self.check(&gate).await;
        }
    }

    async fn check(&mut self, gate: &Gate) {
        let files = self.files.clone();
        let before = (!self.is_pending).then(|| self.look.clone());
        let now_unix = i64::try_from(gate.now().seconds()).unwrap_or(i64::MAX);
        let work = move || {
            let look = Look::at(&files);
            if before.is_some_and(|before| before == look) {
                return None;
            }
            let Tls { cert, key, client_ca, .. } = &files;
            Some((look, identity::load_server(cert, key, client_ca, now_unix)))
        };
        let Ok(Some((look, loaded))) = tokio::task::spawn_blocking(work).await else { return };
        let changed = self.look.difference(&look);
        let outcome = match loaded {
            Ok(config) => self.put_in_force(gate, config, &look, &changed).await,
            Err(cause) => Err(cause.to_string()),
        };
        self.is_pending = outcome.is_err();
        match outcome {
            Ok(()) => {
                tracing::info!(changed, "new TLS files are in force");
                self.look = look;
            }
            // Said once for each change, not at each look.
            Err(cause) if !changed.is_empty() => {
                tracing::error!(%cause, changed, "new TLS files are not used, the old stay");
                self.look = Look { authorities: self.look.authorities.clone(), ..look };
            }
            Err(_) => {}
        }
    }

    /// Has the change recorded, then makes it; what cannot be recorded is not done.
    async fn put_in_force(
        &self,
        gate: &Gate,
        config: Arc<rustls::ServerConfig>,
        look: &Look,
        changed: &str,
    ) -> Result<(), String> {
        let is_other_trust = look.authorities != self.look.authorities;
        let detail =
            [("changed", changed.to_owned()), ("ends_connections", is_other_trust.to_string())];
        let recorded = gate.record_event("config.tls_reloaded", detail).await;
        recorded.map_err(|cause| format!("the change cannot be recorded: {cause}"))?;
        self.in_force.send_modify(|in_force| {
            in_force.config = config;
            in_force.authorities += u64::from(is_other_trust);
        });
        Ok(())
    }
}

impl Look {
    fn at(files: &Tls) -> Self {
        Self {
            cert: Stamp::of(&files.cert),
            key: Stamp::of(&files.key),
            client_ca: Stamp::of(&files.client_ca),
            authorities: authorities(&files.client_ca),
        }
    }

    /// Names the files that are not as they were.
    fn difference(&self, other: &Self) -> String {
        let names = [
            (self.cert != other.cert).then_some("cert"),
            (self.key != other.key).then_some("key"),
            (self.client_ca != other.client_ca).then_some("client_ca"),
        ];
        names.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            place: (file.dev(), file.ino()),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            // Also changes where a copy was given the old one's time of modification.
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

fn authorities(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(AUTHORITIES_BYTES_MAX).read_to_end(&mut text));
    match read {
        Ok(_len) => text,
        // The loader reads the file too, and says what is wrong with it.
        Err(_) => Vec::new(),
    }
}
