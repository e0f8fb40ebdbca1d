//! The server's TLS files: loaded at the start, and again whenever they change.
//!
//! It judges no certificate, which is the identity crate's part, and ends no connection: it puts
//! in force what the files say.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use identity::{ListExpiry, Material, MaterialFiles, TlsError};
use tokio::sync::watch;

use crate::config::{self, CrlExpired, Server};
use crate::trust::{InForce, Switch, now_unix};

/// The files, as they were when they were last loaded.
pub(crate) struct TlsFiles {
    files: MaterialFiles,
    reload_every: Duration,
    look: Look,
    switch: Switch,
    /// Whether the files, as they are, could not be put in force; time may heal that.
    is_pending: bool,
}

/// What the files looked like, to see whether they changed: each with what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look(Vec<(&'static str, Option<Stamp>)>);

/// Says which content a path leads to, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How long a changed file must stay as it is before it is used: who writes a bundle in place may
/// have written half of it, and half a bundle is a good one that trusts too few.
const SETTLES_WITHIN: Duration = Duration::from_millis(250);
// LIMIT: looks at files that keep changing before others have their turn again.
const LOOKS_MAX: u32 = 8;

impl TlsFiles {
    /// Loads the files for the first time.
    pub(crate) fn load(
        server: &Server,
        named: &config::TlsFiles,
        now_unix: i64,
    ) -> Result<Self, TlsError> {
        let tls = &server.tls;
        let files = MaterialFiles {
            cert: named.cert.clone(),
            key: named.key.clone(),
            trust_domain: server.trust_domain.clone(),
            client_ca: named.client_ca.clone(),
            federated: server.federated.clone(),
            crl: named.crl.clone(),
            crl_expiry: match tls.crl_expired {
                CrlExpired::Refuse => ListExpiry::Refuse,
                CrlExpired::Accept => ListExpiry::Accept,
            },
        };
        // Looked at before they are read: what changes in between is seen at the next look.
        let look = Look::at(&files);
        let switch = Switch::new(&Material::load(&files, now_unix)?)?;
        Ok(Self { files, reload_every: tls.reload_every, look, switch, is_pending: false })
    }

    /// Returns what is in force, now and later.
    pub(crate) fn in_force(&self) -> watch::Receiver<InForce> {
        self.switch.in_force()
    }

    /// Looks at the files again and again until `closing` becomes true.
    pub(crate) async fn follow(mut self, gate: Arc<Gate>, mut closing: watch::Receiver<bool>) {
        if self.reload_every.is_zero() {
            return;
        }
        loop {
            let closed = closing.wait_for(|closing| *closing);
            if tokio::time::timeout(self.reload_every, closed).await.is_ok() {
                return;
            }
            self.check(&gate).await;
            self.switch.warn_of_old_lists(&gate).await;
        }
    }

    async fn check(&mut self, gate: &Gate) {
        let Some(look) = self.settled().await else { return };
        let changed = self.look.difference(&look);
        let now_unix = now_unix(gate);
        let files = self.files.clone();
        let load = tokio::task::spawn_blocking(move || Material::load(&files, now_unix));
        let Ok(loaded) = load.await else { return };
        let outcome = match loaded {
            Ok(material) => self.switch.put(gate, &material, &changed).await,
            Err(cause) => Err(cause.to_string()),
        };
        self.is_pending = outcome.is_err();
        match outcome {
            Ok(()) => tracing::info!(changed, "new TLS files are in force"),
            // Said once for each change, not at each look.
            Err(cause) if !changed.is_empty() => {
                tracing::error!(%cause, changed, "new TLS files are not used, the old stay");
            }
            Err(_) => {}
        }
        self.look = look;
    }

    /// Looks at the files, and if they changed again until they stay as they are.
    async fn settled(&self) -> Option<Look> {
        let mut look = self.glance().await?;
        if look == self.look {
            return self.is_pending.then_some(look);
        }
        for _look in 0..LOOKS_MAX {
            tokio::time::sleep(SETTLES_WITHIN).await;
            let again = self.glance().await?;
            if again == look {
                return Some(look);
            }
            look = again;
        }
        tracing::warn!("the TLS files keep changing, so they are not used yet");
        None
    }

    async fn glance(&self) -> Option<Look> {
        let files = self.files.clone();
        tokio::task::spawn_blocking(move || Look::at(&files)).await.ok()
    }
}

impl Look {
    fn at(files: &MaterialFiles) -> Self {
        let stamp = |name, path: &Path| (name, Stamp::of(path));
        let mut look = vec![
            stamp("cert", &files.cert),
            stamp("key", &files.key),
            stamp("client_ca", &files.client_ca),
        ];
        look.extend(files.crl.as_ref().map(|path| stamp("crl", path)));
        look.extend(files.federated.values().map(|path| stamp("federated", path)));
        Self(look)
    }

    /// Names the files that are not as they were.
    fn difference(&self, other: &Self) -> String {
        let pairs = self.0.iter().zip(&other.0);
        let mut names: Vec<&str> =
            pairs.filter(|(one, other)| one != other).map(|((name, _), _)| *name).collect();
        names.dedup();
        names.join(" ")
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
