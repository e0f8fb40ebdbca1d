//! Accepts connections: TLS handshakes, their bounds, and records of those that fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use gate::types::{Action, Call, Caller, Rejection, Timestamp, TraceContext};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::service::Routes;

use super::connection::{Shared, serve};
use super::peer::{Identifier, Peer};
use crate::config::ServerLimits;

/// A bound listener with everything that its connections need.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) identifier: Identifier,
    pub(crate) gate: Arc<Gate>,
    pub(crate) routes: Routes,
    pub(crate) limits: ServerLimits,
}

// The pause after the system refused a connection, such as when descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Listener {
    /// Accepts connections until `closing` becomes true.
    pub(crate) async fn run(self, mut closing: watch::Receiver<bool>) {
        let connections = Arc::new(Semaphore::new(self.limits.connections_max));
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes_max));
        let door = Arc::new(Door {
            acceptor: TlsAcceptor::from(self.tls),
            identifier: self.identifier,
            failures: Failures::default(),
            shared: Shared {
                gate: Arc::clone(&self.gate),
                routes: self.routes,
                limits: self.limits,
                closing: closing.clone(),
            },
        });
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _closing = closing.wait_for(|closing| *closing) => return,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(cause) => {
                    tracing::warn!(%cause, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // LIMIT: server.limits.connections_max; what is over it is closed at once.
            let Ok(place) = Arc::clone(&connections).try_acquire_owned() else {
                tracing::warn!(%address, "closed a connection: too many are open");
                continue;
            };
            let (door, handshakes) = (Arc::clone(&door), Arc::clone(&handshakes));
            self.gate.tasks().spawn(async move {
                door.welcome(stream, address, &handshakes).await;
                drop(place);
            });
        }
    }
}

struct Door {
    acceptor: TlsAcceptor,
    identifier: Identifier,
    failures: Failures,
    shared: Shared,
}

impl Door {
    async fn welcome(&self, stream: TcpStream, address: SocketAddr, handshakes: &Semaphore) {
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "cannot set nodelay");
        }
        let Some(stream) = self.handshake(stream, address, handshakes).await else { return };
        let (_, tls) = stream.get_ref();
        let Some(leaf) = identity::peer_leaf(tls) else { return };
        let caller = self.identifier.identify(leaf);
        serve(self.shared.clone(), stream, Arc::new(Peer { caller, address })).await;
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        handshakes: &Semaphore,
    ) -> Option<TlsStream<TcpStream>> {
        let work = async {
            // LIMIT: server.limits.handshakes_max; further ones wait within their timeout.
            let _place = handshakes.acquire().await;
            self.acceptor.accept(stream).await
        };
        match tokio::time::timeout(self.shared.limits.handshake_timeout, work).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(cause)) => {
                self.record_failure(address, &cause.to_string()).await;
                None
            }
            Err(_elapsed) => {
                self.record_failure(address, "the handshake took too long").await;
                None
            }
        }
    }

    /// Has a failed handshake recorded; beyond a rate only their number is.
    async fn record_failure(&self, address: SocketAddr, cause: &str) {
        tracing::debug!(%address, cause, "a TLS handshake failed");
        let gate = &self.shared.gate;
        let Some(unrecorded) = self.failures.admit(gate.now()) else { return };
        let mut reason = format!("the TLS handshake failed: {cause}");
        if unrecorded > 0 {
            reason.push_str(&format!("; {unrecorded} more failed since the last record"));
        }
        let call = Call {
            caller: Caller::Rejected(Rejection { code: "tls_handshake_failed", reason }),
            peer: address.to_string(),
            trace: TraceContext::default(),
            action: Action::Connect,
        };
        // The refusal is the point: it is what gets recorded.
        drop(gate.run(call).await);
    }
}

/// Bounds the records of failed handshakes, which cost their sender almost nothing.
#[derive(Default)]
struct Failures(Mutex<(Timestamp, u32, u64)>);

// LIMIT: records of failed handshakes in a second.
const RECORDS_PER_SECOND: u32 = 20;

impl Failures {
    /// Returns how many were left out since the last record, or nothing if this one is too.
    fn admit(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.0.lock();
        let (since, recorded, left_out) = &mut *state;
        if now.since(*since) >= Duration::from_secs(1) {
            *since = now;
            *recorded = 0;
        }
        if *recorded >= RECORDS_PER_SECOND {
            *left_out += 1;
            return None;
        }
        *recorded += 1;
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failed_handshakes_is_recorded_as_a_number() {
        let failures = Failures::default();
        let at = |second| Timestamp::from_micros(second * 1_000_000);
        for _ in 0..RECORDS_PER_SECOND {
            assert_eq!(failures.admit(at(10)), Some(0));
        }
        for _ in 0..500 {
            assert_eq!(failures.admit(at(10)), None);
        }
        assert_eq!(failures.admit(at(11)), Some(500));
        assert_eq!(failures.admit(at(11)), Some(0));
    }
}
