//! Identity and trust from the SPIFFE Workload API: taken at the start, and again at each message.
//!
//! A message replaces everything: a bundle that is not in it is not trusted any more. What cannot
//! be used in one is left out, and never more is trusted for it. While the agent cannot be reached
//! the last message stays in force, loudly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use identity::{
    Bundle, ListExpiry, Material, RevocationLists, Side, Svid, SvidError, TlsError, Trust,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use workload::{Backoff, Endpoint, Update, Updates, WorkloadError};

use crate::config::{CrlExpired, Server};
use crate::trust::{InForce, Switch, now_unix};

/// Why a server does not start with what the Workload API gives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadStartError {
    /// There is no message.
    #[error("server.tls.workload_api: {0}")]
    Api(#[from] WorkloadError),
    /// The identity in it is of no use.
    #[error("server.tls.workload_api: the identity that it gives cannot be used: {0}")]
    Svid(#[from] SvidError),
    /// The identity in it is of another trust domain than the configuration says.
    #[error(
        "server.tls.workload_api: gives an identity of another trust domain than \
         server.spiffe.trust_domain, which is `{expected}`: make them the same"
    )]
    Domain {
        /// The configured one.
        expected: String,
    },
    /// A revocation list in it is of no use.
    #[error("server.tls.workload_api: a revocation list that it gives cannot be used: {0}")]
    List(#[from] identity::ListError),
    /// The TLS library refuses it.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl WorkloadStartError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Api(cause) => cause.code(),
            Self::Svid(_) | Self::Domain { .. } | Self::List(_) => "workload_api_useless",
            Self::Tls(cause) => cause.code(),
        }
    }
}

/// The agent's stream, and what was last taken from it.
pub(crate) struct WorkloadApi {
    endpoint: Endpoint,
    domain: String,
    expiry: ListExpiry,
    updates: Option<Updates>,
    backoff: Backoff,
    svid: Svid,
    lists: RevocationLists,
    switch: Switch,
    /// The trust and the leaf that are in force.
    seen: Seen,
}

#[derive(PartialEq, Eq)]
struct Seen {
    trust: [u8; 32],
    leaf: Vec<u8>,
}

/// What the stream brought.
enum Event {
    Update(Update),
    Useless(WorkloadError),
    Lost(WorkloadError),
    Back,
    Quiet,
}

impl WorkloadApi {
    /// Asks for the first message; waits for the agent for as long as a start may take.
    pub(crate) async fn open(
        server: &Server,
        endpoint: &Endpoint,
        now_unix: i64,
    ) -> Result<Self, WorkloadStartError> {
        let (update, updates) = workload::first(endpoint, START_WITHIN).await?;
        let domain = server.trust_domain.clone();
        if update.id.trust_domain() != domain {
            return Err(WorkloadStartError::Domain { expected: domain });
        }
        let expiry = match server.tls.crl_expired {
            CrlExpired::Refuse => ListExpiry::Refuse,
            CrlExpired::Accept => ListExpiry::Accept,
        };
        let Update { id, chain, key, bundles, lists } = update;
        let svid = Svid::new(&id, chain, key, Side::Server, now_unix)?;
        let lists = RevocationLists::new(lists, expiry, now_unix)?;
        let trust = trust(&domain, bundles, &lists)?;
        let material = material(&svid, trust);
        Ok(Self {
            endpoint: endpoint.clone(),
            domain,
            expiry,
            updates: Some(updates),
            backoff: Backoff::default(),
            switch: Switch::new(&material)?,
            seen: Seen::of(&material),
            svid,
            lists,
        })
    }

    /// Returns what is in force, now and later.
    pub(crate) fn in_force(&self) -> watch::Receiver<InForce> {
        self.switch.in_force()
    }

    /// Takes message after message until `closing` becomes true.
    pub(crate) async fn follow(mut self, gate: Arc<Gate>, mut closing: watch::Receiver<bool>) {
        loop {
            let event = tokio::select! {
                _closing = closing.wait_for(|closing| *closing) => return,
                event = self.event() => event,
            };
            match event {
                Event::Update(update) => self.take(&gate, update).await,
                Event::Useless(cause) => tracing::error!(%cause, "the last message stays in force"),
                Event::Lost(cause) => {
                    let was_up = self.updates.take().is_some();
                    if was_up {
                        tracing::error!(%cause, "the Workload API is lost, its last message stays");
                        let detail = [("cause", cause.to_string())];
                        record(&gate, "config.workload_api_lost", detail).await;
                    }
                }
                Event::Back => {
                    tracing::info!("the Workload API is back");
                    record(&gate, "config.workload_api_back", []).await;
                }
                Event::Quiet => {}
            }
            self.switch.warn_of_old_lists(&gate).await;
        }
    }

    /// Waits for what the stream brings, or for a moment; connects again if it is lost.
    async fn event(&mut self) -> Event {
        let Some(updates) = &mut self.updates else {
            sleep(self.backoff.next_wait()).await;
            return match timeout(CONNECT_WITHIN, workload::updates(&self.endpoint)).await {
                Ok(Ok(updates)) => {
                    self.updates = Some(updates);
                    Event::Back
                }
                Ok(Err(cause)) => Event::Lost(cause),
                Err(_elapsed) => Event::Quiet,
            };
        };
        match timeout(LOOK_EVERY, updates.next()).await {
            Ok(Ok(update)) => {
                // Only a message shows that the agent is really there.
                self.backoff = Backoff::default();
                Event::Update(update)
            }
            Ok(Err(cause @ WorkloadError::Useless(_))) => Event::Useless(cause),
            Ok(Err(cause)) => Event::Lost(cause),
            Err(_elapsed) => Event::Quiet,
        }
    }

    /// Puts a message in force; of what cannot be used in it, the old stays.
    async fn take(&mut self, gate: &Gate, update: Update) {
        let now_unix = now_unix(gate);
        let Update { id, chain, key, bundles, lists } = update;
        if id.trust_domain() == self.domain {
            match Svid::new(&id, chain, key, Side::Server, now_unix) {
                Ok(svid) => self.svid = svid,
                Err(cause) => tracing::error!(%cause, "a new identity is not used, the old stays"),
            }
        } else {
            tracing::error!("a new identity of another trust domain is not used, the old stays");
        }
        match RevocationLists::new(lists, self.expiry, now_unix) {
            Ok(lists) => self.lists = lists,
            Err(cause) => {
                tracing::error!(%cause, "new revocation lists are not used, the old stay");
            }
        }
        let outcome = match trust(&self.domain, bundles, &self.lists) {
            Ok(trust) => {
                let material = material(&self.svid, trust);
                self.put(gate, &material).await
            }
            Err(cause) => Err(cause.to_string()),
        };
        if let Err(cause) = outcome {
            tracing::error!(%cause, "a message of the Workload API is not used, the last stays");
            // Asked anew, so that it is not forgotten: the agent begins with the present state.
            self.updates = None;
        }
    }

    async fn put(&mut self, gate: &Gate, material: &Material) -> Result<(), String> {
        let seen = Seen::of(material);
        if seen == self.seen {
            return Ok(());
        }
        self.switch.put(gate, material, "workload_api").await?;
        self.seen = seen;
        tracing::info!("a message of the Workload API is in force");
        Ok(())
    }
}

impl Seen {
    fn of(material: &Material) -> Self {
        let leaf = material.own.end_entity_cert().map(|leaf| leaf.to_vec());
        Self { trust: *material.trust.digest(), leaf: leaf.unwrap_or_default() }
    }
}

fn material(svid: &Svid, trust: Trust) -> Material {
    Material { own: svid.own(), own_validity: svid.validity(), trust: Arc::new(trust) }
}

/// Makes the trust of a message; a bundle that cannot be used trusts nobody.
fn trust(
    domain: &str,
    bundles: BTreeMap<String, Vec<rustls::pki_types::CertificateDer<'static>>>,
    lists: &RevocationLists,
) -> Result<Trust, identity::ListError> {
    let mut usable = BTreeMap::new();
    for (name, certificates) in bundles {
        let bundle = Bundle::new(&name, certificates).unwrap_or_else(|cause| {
            tracing::error!(%cause, domain = name, "a bundle is not usable: it trusts nobody");
            Bundle::default()
        });
        usable.insert(name, bundle);
    }
    let own = usable.remove(domain).unwrap_or_default();
    if own.is_empty() {
        tracing::error!("there is no authority of the own trust domain: nobody can connect");
    }
    Trust::new(domain, &own, &usable, lists)
}

async fn record(
    gate: &Gate,
    event: &'static str,
    detail: impl IntoIterator<Item = (&'static str, String)> + Send,
) {
    if let Err(cause) = gate.record_event(event, detail).await {
        tracing::error!(%cause, event, "this cannot be recorded");
    }
}

/// LIMIT: how long a start waits for the agent, which a machine may start at the same time.
const START_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How often to look whether something ran out while the agent says nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);
