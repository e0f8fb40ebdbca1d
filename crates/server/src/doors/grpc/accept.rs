//! Accepts connections: TLS handshakes, their bounds, and records of those that fail.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gate::Gate;
use gate::types::{Action, Call, Caller, Rejection, TraceContext};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Routes;
use super::bucket::{Bucket, Buckets};
use super::connection::{Shared, serve};
use super::descriptors::connections_max;
use super::failures::Failures;
use super::measures::DoorMeasures;
use super::memory::{Level, Memory};
use super::peer::{Identifier, Peer};
use super::places::{Place, Places, network};
use super::share::Shares;
use super::standing::Standing;
use crate::background::{Background, Ride, Work};
use crate::config::ServerLimits;
use crate::trust::InForce;

/// A bound listener with everything that its connections need.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) tls: watch::Receiver<InForce>,
    pub(crate) identifier: Identifier,
    pub(crate) gate: Arc<Gate>,
    pub(crate) routes: Routes,
    pub(crate) limits: ServerLimits,
    pub(crate) measures: Arc<DoorMeasures>,
    pub(crate) background: Arc<Background>,
}

// The pause after the system refused a connection, such as when descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

// How long a handshake may take in the slow lane before it goes on as fast as anything else.
const LANE_MAX: Duration = Duration::from_millis(500);

type Accepted = std::io::Result<TlsStream<TcpStream>>;

// How many seconds of an address's rate of handshakes may come together: agents often start so.
const RESERVE_SECONDS: f64 = 5.0;
// The same of the rates of all addresses: what comes together is begun one after the other, since
// each burst of work here is a pause for those who are connected.
const BURST_SECONDS: f64 = 0.01;

impl Listener {
    /// Accepts connections until `closing` becomes true.
    pub(crate) async fn run(self, mut closing: watch::Receiver<bool>) {
        let connections = Arc::new(Semaphore::new(connections_max(self.limits.connections_max)));
        let accepts = Bucket::new(f64::from(self.limits.connections_per_second), BURST_SECONDS);
        let door = Arc::new(self.door(&closing));
        loop {
            // LIMIT: server.limits.connections_per_second; further ones wait in the backlog.
            let pace = accepts.reserve_within(1, Duration::MAX).unwrap_or(ACCEPT_PAUSE);
            if !pace.is_zero() {
                tokio::time::sleep(pace).await;
            }
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
                drop(stream);
                // Not awaited here: a slow store must not keep others from being accepted.
                if let Some(call) = door.failure(address, OVER_ALL) {
                    let gate = Arc::clone(&self.gate);
                    self.gate.tasks().spawn(async move { drop(gate.run(call).await) });
                }
                continue;
            };
            let door = Arc::clone(&door);
            self.gate.tasks().spawn(async move {
                door.welcome(stream, address).await;
                drop(place);
            });
            // Many may come at once: whoever has a message goes first.
            tokio::task::yield_now().await;
        }
    }
}

impl Listener {
    /// Makes what its connections share.
    fn door(&self, closing: &watch::Receiver<bool>) -> Door {
        let limits = self.limits;
        let rate = |per_second: u32| f64::from(per_second);
        Door {
            tls: self.tls.clone(),
            identifier: self.identifier.clone(),
            handshakes: Semaphore::new(limits.handshakes_max),
            handshake_rate: Bucket::new(rate(limits.handshakes_per_second), BURST_SECONDS),
            handshake_rate_of: Buckets::new(
                rate(limits.handshakes_per_second_per_ip),
                RESERVE_SECONDS,
            ),
            of_address: Places::new(limits.connections_per_ip_max, limits.handshakes_per_ip_max),
            of_identity: Places::new(limits.connections_per_identity_max, 1),
            shares: Shares::new(limits),
            failures: Failures::default(),
            shared: Shared {
                gate: Arc::clone(&self.gate),
                routes: self.routes.clone(),
                limits,
                memory: self.watch_memory(closing),
                measures: Arc::clone(&self.measures),
                background: Arc::clone(&self.background),
                turns: Arc::default(),
                closing: closing.clone(),
            },
        }
    }

    /// Has the memory watched; a change is logged and recorded.
    fn watch_memory(&self, closing: &watch::Receiver<bool>) -> Memory {
        let memory = Memory::default();
        let bytes_max = self.limits.memory_bytes_max;
        let gate = Arc::clone(&self.gate);
        let changed = move |level, used: u64| {
            let said = match level {
                Level::Calm => "memory is free again",
                Level::Tight => "memory is short: no messages are taken",
                Level::Full => "memory is short: no messages and no new connections are taken",
            };
            tracing::warn!(used, bytes_max, "{said}");
            let detail = [("used_bytes", used.to_string()), ("state", said.to_owned())];
            let recorder = Arc::clone(&gate);
            gate.tasks().spawn(async move {
                if let Err(cause) = recorder.record_event("server.memory", detail).await {
                    tracing::error!(%cause, "the state of the memory cannot be recorded");
                }
            });
        };
        self.gate.tasks().spawn(memory.clone().watch(bytes_max, closing.clone(), changed));
        memory
    }
}

/// Why a connection is closed that is one too many.
const OVER_ALL: Failed<'_> = Failed {
    code: "too_many_connections",
    reason: "the server has as many connections as it may (server.limits.connections_max)",
};
const OVER_ADDRESS: Failed<'_> = Failed {
    code: "too_many_connections",
    reason: "the address has as many connections as it may \
             (server.limits.connections_per_ip_max)",
};
const OVER_IDENTITY: Failed<'_> = Failed {
    code: "too_many_connections",
    reason: "the identity has as many connections as it may \
             (server.limits.connections_per_identity_max)",
};

const OVER_MEMORY: Failed<'_> = Failed {
    code: "memory_short",
    reason: "the server has too little memory for another connection \
             (server.limits.memory_bytes_max)",
};
const PUNISHED: Failed<'_> = Failed {
    code: "connection_refused",
    reason: "a connection of the identity was closed for what it did \
             (server.limits.penalty_ms)",
};

/// Why a connection ended before it could ask for anything.
#[derive(Debug, Clone, Copy)]
struct Failed<'a> {
    code: &'static str,
    reason: &'a str,
}

struct Door {
    tls: watch::Receiver<InForce>,
    identifier: Identifier,
    handshakes: Semaphore,
    handshake_rate: Bucket,
    handshake_rate_of: Buckets<IpAddr>,
    of_address: Arc<Places<IpAddr>>,
    of_identity: Arc<Places<String>>,
    shares: Shares,
    failures: Failures,
    shared: Shared,
}

impl Door {
    async fn welcome(&self, stream: TcpStream, address: SocketAddr) {
        if self.shared.memory.level() == Level::Full {
            drop(stream);
            return self.record(address, OVER_MEMORY).await;
        }
        // LIMIT: server.limits.connections_per_ip_max; counted before anything is read.
        let Some(of_address) = self.of_address.take(network(address.ip())) else {
            drop(stream);
            return self.record(address, OVER_ADDRESS).await;
        };
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "cannot set nodelay");
        }
        let (stream, in_force) = match self.handshake(stream, &of_address, address.ip()).await {
            Ok(done) => done,
            Err(cause) => {
                let reason = format!("the TLS handshake failed: {cause}");
                let failed = Failed { code: "tls_handshake_failed", reason: &reason };
                return self.record(address, failed).await;
            }
        };
        let _connected = self.shared.measures.connected();
        let chain = identity::peer_chain(stream.get_ref().1);
        let Some(leaf) = chain.first() else { return };
        let caller = self.identifier.identify(leaf, &in_force.trust);
        // LIMIT: server.limits.connections_per_identity_max; certificates that speak for nobody
        // count as one identity.
        let name = match &caller {
            Caller::Verified(principal) => principal.spiffe_id.clone(),
            Caller::Rejected(_) => String::new(),
        };
        let Some(_of_identity) = self.of_identity.take(name.clone()) else {
            drop(stream);
            let reason = format!("{}: `{name}`", OVER_IDENTITY.reason);
            let failed = Failed { reason: &reason, ..OVER_IDENTITY };
            return self.record(address, failed).await;
        };
        let share = self.shares.of(&name);
        if share.is_punished() {
            drop(stream);
            let reason = format!("{}: `{name}`", PUNISHED.reason);
            return self.record(address, Failed { reason: &reason, ..PUNISHED }).await;
        }
        let peer = Arc::new(Peer::new(caller, address));
        let InForce { revision, .. } = in_force;
        let standing = Standing { chain, in_force: self.tls.clone(), revision };
        let untrusted = standing.ends(Arc::clone(&self.shared.gate), Arc::clone(&peer));
        Box::pin(serve(self.shared.clone(), stream, (peer, share), untrusted)).await;
    }

    /// Does the handshake; returns the stream and by what it was judged.
    async fn handshake(
        &self,
        stream: TcpStream,
        place: &Place<IpAddr>,
        address: IpAddr,
    ) -> Result<(TlsStream<TcpStream>, InForce), String> {
        let work = async {
            let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
            let hello = hello.await?;
            self.pace(address).await?;
            // LIMIT: server.limits.handshakes_per_ip_max.
            let _turn = place.turn().await;
            // LIMIT: server.limits.handshakes_max; further ones wait within their timeout. Who
            // has said nothing yet holds no place.
            let _place = self.handshakes.acquire().await;
            let in_force = self.tls.borrow().clone();
            let work = Box::pin(hello.into_stream(Arc::clone(&in_force.config)));
            let stream = self.accept(work).await?;
            Ok((stream, in_force))
        };
        let mut work = Box::pin(work);
        match tokio::time::timeout(self.shared.limits.handshake_timeout, &mut work).await {
            Ok(done) => done.map_err(|cause: std::io::Error| cause.to_string()),
            Err(_elapsed) => {
                // Those that came together are over together; closing them is work, too.
                self.shared.turns.queue().await;
                Err("the handshake took too long".to_owned())
            }
        }
    }

    /// Does the costly part of a handshake in the slow lane: anyone can ask for it. Where that
    /// takes long, the processor is busy with those who are connected; then it goes on here, so
    /// that nobody is kept out.
    async fn accept(&self, work: Work<Accepted>) -> Accepted {
        let begun = tokio::time::Instant::now();
        let lane = &self.shared.background;
        let ride = lane.ride(self.shared.gate.tasks(), work, move || begun.elapsed() < LANE_MAX);
        match ride.await {
            Some(Ride::Done(accepted)) => accepted,
            Some(Ride::Back(work)) => work.await,
            None => Err(std::io::Error::other("the handshake broke off")),
        }
    }

    /// Waits until the address may begin another handshake.
    async fn pace(&self, address: IpAddr) -> std::io::Result<()> {
        // LIMIT: server.limits.handshakes_per_second_per_ip, handshakes_per_second.
        let patience = self.shared.limits.handshake_timeout;
        let wait = self.handshake_rate_of.reserve_within(network(address), patience);
        tokio::time::sleep(wait.ok_or_else(too_often)?).await;
        let wait = self.handshake_rate.reserve_within(1, patience);
        tokio::time::sleep(wait.ok_or_else(too_often)?).await;
        Ok(())
    }

    /// Has a failed connection recorded; beyond a rate only their number is.
    async fn record(&self, address: SocketAddr, failed: Failed<'_>) {
        if let Some(call) = self.failure(address, failed) {
            // The refusal is the point: it is what gets recorded.
            drop(self.shared.gate.run(call).await);
        }
    }

    /// Returns the call that stands for a failed connection, if it is to be recorded.
    fn failure(&self, address: SocketAddr, Failed { code, reason }: Failed<'_>) -> Option<Call> {
        tracing::debug!(%address, code, reason, "a connection failed");
        self.shared.measures.failed(code);
        let unrecorded = self.failures.admit(self.shared.gate.now())?;
        let mut reason = reason.to_owned();
        if unrecorded > 0 {
            reason.push_str(&format!("; {unrecorded} more failed since the last record"));
        }
        Some(Call {
            caller: Caller::Rejected(Rejection { code, reason }),
            peer: address.to_string(),
            trace: TraceContext::default(),
            action: Action::Connect,
        })
    }
}

fn too_often() -> std::io::Error {
    std::io::Error::other("there are too many handshakes (server.limits.handshakes_per_second)")
}
