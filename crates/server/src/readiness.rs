//! Whether calls are taken, and why not: decided here and nowhere else, for all who ask.
//!
//! It refuses nothing: a call whose record cannot be kept is refused where it is committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use store::Condition;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::doors::grpc::HealthReporter;
use crate::trust::{InForce, now_unix};

/// Why calls are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotReady {
    /// The server ends.
    Draining,
    /// The disk of the store is full.
    DiskFull,
    /// The store takes no batches any more.
    StoreFailed,
    /// The audit log does not continue what was signed before.
    History,
    /// The server's own certificate has run out, so that nobody can connect any more.
    CertificateExpired,
}

impl NotReady {
    pub(crate) const ALL: [Self; 5] = [
        Self::Draining,
        Self::DiskFull,
        Self::StoreFailed,
        Self::History,
        Self::CertificateExpired,
    ];

    /// Returns the stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::DiskFull => "disk_full",
            Self::StoreFailed => "store_failed",
            Self::History => "history_changed",
            Self::CertificateExpired => "certificate_expired",
        }
    }

    /// Returns a sentence for a person.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Draining => "the server is shutting down",
            Self::DiskFull => "the disk of the store is full; calls are taken when there is room",
            Self::StoreFailed => "the store has failed; the log says why; restart the server",
            Self::History => {
                "the audit log does not continue what was signed before; see docs/audit.md"
            }
            Self::CertificateExpired => {
                "the server's own certificate has expired, so nobody can connect; give it a new one"
            }
        }
    }
}

/// The reasons that hold, each reported by the one part of the server that knows; calls are taken
/// while there is none. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readiness(Arc<watch::Sender<BTreeSet<NotReady>>>);

impl Readiness {
    /// Returns why calls are not taken; nothing if they are.
    pub(crate) fn reasons(&self) -> BTreeSet<NotReady> {
        self.0.borrow().clone()
    }

    /// Takes in whether a reason holds; returns whether that is news.
    pub(crate) fn set(&self, reason: NotReady, holds: bool) -> bool {
        self.0.send_if_modified(|reasons| {
            if holds { reasons.insert(reason) } else { reasons.remove(&reason) }
        })
    }

    /// Reports what the store says of itself until the server closes.
    pub(crate) async fn watch_store(
        self,
        mut condition: watch::Receiver<Condition>,
        mut closing: watch::Receiver<bool>,
    ) {
        loop {
            let now = condition.borrow_and_update().clone();
            let cause = if let Condition::Failed(cause) = &now { Some(cause) } else { None };
            // The failure first, so that a full disk that breaks is ready at no moment.
            if self.set(NotReady::StoreFailed, cause.is_some()) {
                tracing::error!(cause, "not serving: the store has failed");
            }
            let is_full = now == Condition::Full;
            if self.set(NotReady::DiskFull, is_full) && is_full {
                tracing::error!("not serving: the disk of the store is full");
            }
            tokio::select! {
                changed = condition.changed() => if changed.is_err() { return },
                // Also when the server is gone.
                _closed = closing.wait_for(|is_closing| *is_closing) => return,
            }
        }
    }

    /// Reports whether the server's own certificate has run out until the server closes; when it
    /// does, a record says so.
    pub(crate) async fn watch_certificate(
        self,
        gate: Arc<Gate>,
        in_force: watch::Receiver<InForce>,
        mut closing: watch::Receiver<bool>,
    ) {
        loop {
            let end_unix = in_force.borrow().own_validity.not_after_unix;
            let is_over = now_unix(&gate) > end_unix;
            if self.set(NotReady::CertificateExpired, is_over) && is_over {
                tracing::error!("not serving: the server's own certificate has expired");
                let recorded = gate.record_event("config.own_certificate_expired", []).await;
                if let Err(cause) = recorded {
                    tracing::error!(%cause, "this cannot be recorded");
                }
            }
            let closed = closing.wait_for(|is_closing| *is_closing);
            if timeout(LOOK_EVERY, closed).await.is_ok() {
                return;
            }
        }
    }

    /// Tells health clients each change, the last of which is that the server ends.
    pub(crate) fn tell(&self, health: HealthReporter) -> impl Future<Output = ()> + Send + use<> {
        let mut reasons = self.0.subscribe();
        async move {
            loop {
                let (is_ready, is_last) = {
                    let reasons = reasons.borrow_and_update();
                    (reasons.is_empty(), reasons.contains(&NotReady::Draining))
                };
                health.tell(is_ready).await;
                if is_last || reasons.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// How often to look whether the certificate has run out, or another is in force.
const LOOK_EVERY: Duration = Duration::from_secs(1);
