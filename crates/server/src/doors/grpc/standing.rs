//! Whether an open connection would still be let in: its chain, judged again when trust changes.
//!
//! It judges chains only; that a leaf runs out is the connection's own timer.

use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use gate::types::Rejection;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::peer::Peer;
use crate::trust::InForce;

/// The chain of an open connection, and what it was last judged by.
pub(super) struct Standing {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) in_force: watch::Receiver<InForce>,
    /// The revision by which the handshake judged the chain.
    pub(super) revision: u64,
}

impl Standing {
    /// Waits until the chain is no longer trusted; then the peer speaks for nobody, and a record
    /// says so.
    pub(super) async fn ends(self, gate: Arc<Gate>, peer: Arc<Peer>) {
        let cause = self.broken(&gate).await;
        let is_revoked = cause == rustls::CertificateError::Revoked.into();
        let code = if is_revoked { "certificate_revoked" } else { "certificate_untrusted" };
        let reason = format!("the connection's certificate is no longer trusted: {cause}");
        tracing::info!(peer = %peer.address, id = peer.id(), code, "a connection is cut");
        let detail = [
            ("peer", peer.address.to_string()),
            ("spiffe_id", peer.id().to_owned()),
            ("code", code.to_owned()),
            ("reason", reason.clone()),
        ];
        peer.reject(Rejection { code, reason });
        // Not awaited here: the connection ends whether or not this can be recorded.
        let recorder = Arc::clone(&gate);
        gate.tasks().spawn(async move {
            if let Err(cause) = recorder.record_event("connection.cut", detail).await {
                tracing::error!(%cause, "the cut of a connection cannot be recorded");
            }
        });
    }

    async fn broken(mut self, gate: &Gate) -> rustls::Error {
        loop {
            let now = Duration::from_secs(gate.now().seconds());
            let now_unix = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let trust = {
                let in_force = self.in_force.borrow_and_update();
                let is_new = in_force.revision != self.revision;
                self.revision = in_force.revision;
                is_new.then(|| Arc::clone(&in_force.trust))
            };
            if let Some(trust) = trust
                && let Err(cause) = trust.verify(&self.chain, UnixTime::since_unix_epoch(now))
            {
                return cause;
            }
            let turn = self.in_force.borrow().trust.verify_again_at(&self.chain, now_unix);
            let turn = turn.and_then(|turn| u64::try_from(turn.saturating_sub(now_unix)).ok());
            let turn = Duration::from_secs(turn.unwrap_or(u64::MAX)).min(TURN_MAX);
            match tokio::time::timeout(turn, self.in_force.changed()).await {
                // Nobody looks for new material any more, so what there is stays in force.
                Ok(Err(_gone)) => std::future::pending::<()>().await,
                Ok(Ok(())) => {}
                // Something may have run out: judge again although nothing was changed.
                Err(_elapsed) => self.revision = u64::MAX,
            }
        }
    }
}

// LIMIT: the longest time between two looks at what may have run out; keeps the timer in range,
// and finds a clock that was set.
const TURN_MAX: Duration = Duration::from_secs(3_600);
