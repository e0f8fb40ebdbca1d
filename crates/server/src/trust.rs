//! What new connections are made with, and whom all of them are held to: swapped while serving.
//!
//! It neither knows where the material comes from nor ends a connection: a source puts new
//! material in force, and each connection judges its own chain by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gate::Gate;
use identity::{Material, TlsError, Trust, Validity};
use tokio::sync::watch;

/// The material in force.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    /// For new connections.
    pub(crate) config: Arc<rustls::ServerConfig>,
    /// When the certificate that they are shown is valid.
    pub(crate) own_validity: Validity,
    /// Whom they, and all that are open, are held to.
    pub(crate) trust: Arc<Trust>,
    /// Goes up when the trust changes.
    pub(crate) revision: u64,
}

/// Where a source of material puts it, and connections look.
#[derive(Debug)]
pub(crate) struct Switch {
    in_force: watch::Sender<InForce>,
    /// The revision whose revocation lists were reported to be out of date.
    warned_of: AtomicU64,
}

impl Switch {
    /// Takes the first material.
    ///
    /// # Errors
    /// Returns what the TLS library refuses.
    pub(crate) fn new(material: &Material) -> Result<Self, TlsError> {
        let config = identity::server_config(material)?;
        let (own_validity, trust) = (material.own_validity, Arc::clone(&material.trust));
        let in_force = InForce { config, own_validity, trust, revision: 1 };
        let in_force = watch::Sender::new(in_force);
        Ok(Self { in_force, warned_of: AtomicU64::new(0) })
    }

    /// Returns what is in force, now and later.
    pub(crate) fn in_force(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    /// Has the change recorded, then makes it; what cannot be recorded is not done.
    ///
    /// `changed` names what is not as it was, for the record.
    ///
    /// # Errors
    /// Returns a sentence on why the old material stays in force.
    pub(crate) async fn put(
        &self,
        gate: &Gate,
        material: &Material,
        changed: &str,
    ) -> Result<(), String> {
        let config = identity::server_config(material).map_err(|cause| cause.to_string())?;
        let is_other_trust = self.in_force.borrow().trust.digest() != material.trust.digest();
        let detail = [
            ("changed", changed.to_owned()),
            // Each open connection is then judged anew.
            ("trust_changed", is_other_trust.to_string()),
        ];
        let recorded = gate.record_event("config.tls_reloaded", detail).await;
        recorded.map_err(|cause| format!("the change cannot be recorded: {cause}"))?;
        self.in_force.send_modify(|in_force| {
            in_force.config = config;
            in_force.own_validity = material.own_validity;
            if is_other_trust {
                in_force.trust = Arc::clone(&material.trust);
                in_force.revision += 1;
            }
        });
        Ok(())
    }

    /// Says once for each trust that a revocation list is out of date, if so.
    pub(crate) async fn warn_of_old_lists(&self, gate: &Gate) {
        let InForce { trust, revision, .. } = self.in_force.borrow().clone();
        let is_old = trust.lists_end_unix().is_some_and(|end_unix| end_unix < now_unix(gate));
        if !is_old || self.warned_of.swap(revision, Ordering::Relaxed) == revision {
            return;
        }
        tracing::error!("a revocation list is out of date: replace the file server.tls.crl");
        if let Err(cause) = gate.record_event("config.crl_out_of_date", []).await {
            tracing::error!(%cause, "this cannot be recorded");
        }
    }
}

/// Returns the gate's time as certificates have it, in seconds since 1970.
pub(crate) fn now_unix(gate: &Gate) -> i64 {
    i64::try_from(gate.now().seconds()).unwrap_or(i64::MAX)
}
