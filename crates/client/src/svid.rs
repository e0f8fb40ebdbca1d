//! The own identity from a SPIFFE Workload API, asked anew for each connection.
//!
//! It holds no stream open: what changes is used from the next connection on, and the session makes
//! one before the certificate of the present one ends.

use std::sync::Arc;
use std::time::Duration;

use identity::{Bundle, ClientMaterial, ServerIdentity, Side, Svid};
use tokio::sync::Mutex;
use workload::{Endpoint, Update};

use crate::error::Error;

/// Asks the agent, and remembers what it said last.
#[derive(Debug)]
pub(crate) struct Svids {
    endpoint: Endpoint,
    last: Mutex<Option<ClientMaterial>>,
}

impl Svids {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, last: Mutex::new(None) }
    }

    /// Returns what the agent says now; what it said last while it cannot be reached, as long as
    /// that is valid.
    pub(crate) async fn material(
        &self,
        server: &ServerIdentity,
        now_unix: i64,
    ) -> Result<ClientMaterial, Error> {
        let mut last = self.last.lock().await;
        let update = match workload::first(&self.endpoint, PATIENCE).await {
            Ok((update, _stream)) => update,
            Err(cause) => {
                let valid = last.as_ref().filter(|last| now_unix <= last.not_after_unix);
                if let Some(valid) = valid {
                    tracing::warn!(%cause, "the identity that was given last is used");
                    return Ok(valid.clone());
                }
                return Err(Arc::new(cause).into());
            }
        };
        let material = material(update, server, now_unix)?;
        *last = Some(material.clone());
        Ok(material)
    }
}

fn material(
    update: Update,
    server: &ServerIdentity,
    now_unix: i64,
) -> Result<ClientMaterial, Error> {
    let Update { id, chain, key, mut bundles, .. } = update;
    let svid = Svid::new(&id, chain, key, Side::Client, now_unix)?;
    // The authorities of the server's own trust domain, never those of another.
    let domain = match server {
        ServerIdentity::Spiffe(server) => server.trust_domain(),
        ServerIdentity::DnsName => id.trust_domain(),
    };
    let bundle = Bundle::new(domain, bundles.remove(domain).unwrap_or_default());
    // A bundle that cannot be used trusts nobody.
    Ok(ClientMaterial::new(&svid, &bundle.unwrap_or_default()).map_err(Arc::new)?)
}

/// LIMIT: how long one attempt to connect waits for the agent.
const PATIENCE: Duration = Duration::from_secs(5);
