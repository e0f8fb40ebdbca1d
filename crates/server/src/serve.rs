//! A server from its configuration to its end.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use ::telemetry::Worker;
use gate::ports::{Clock as _, Store};
use gate::{Gate, Parts};

use store::{Durability, Embedded, FatalHook, OpenError, Options};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::background::Background;
use crate::config::{self, Config};
use crate::copy::{self, AuditCopy};
use crate::doors::grpc;
use crate::metrics::Metrics;
use crate::notary::Notary;
use crate::operations;
use crate::parts::{SystemClock, bounds, gate_parts};
use crate::readiness::{NotReady, Readiness};
use crate::source::Source;
use crate::telemetry::Spans;
use crate::workload_api::WorkloadStartError;

/// Why a server did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A certificate, key or CA file is not usable.
    #[error(transparent)]
    Tls(#[from] identity::TlsError),
    /// The Workload API gives nothing that can be used.
    #[error(transparent)]
    WorkloadApi(#[from] WorkloadStartError),
    /// The inspection rules do not compile.
    #[error("gateway.dlp: {0}")]
    Rules(String),
    /// The policy files have faults.
    #[error("{}", listed(.0))]
    Policy(Vec<policy::Fault>),
    /// The copy of the audit log cannot be written.
    #[error("gateway.audit: {0}")]
    AuditFile(String),
    /// The key that signs checkpoints of the audit log is not usable.
    #[error("audit.signing_key: {0}")]
    AuditKey(String),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {cause}; {advice}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
        /// What to do.
        advice: String,
    },
    /// The system gives no further threads.
    #[error("cannot start a thread: {0}; raise the limit of threads of the server's user")]
    Threads(std::io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed at the start.
    #[error("the store failed: {0}")]
    Store(gate::ports::StoreError),
    /// The store lost a write while serving; the process must not go on.
    #[error("the store failed: {0}; restart the server, it recovers from its log")]
    StoreLost(String),
}

impl ServeError {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tls(cause) => cause.code(),
            Self::WorkloadApi(cause) => cause.code(),
            Self::Rules(_) => "config_value",
            Self::Policy(faults) => {
                faults.first().map_or("policy_value", |fault| fault.code.as_str())
            }
            Self::AuditFile(_) => "audit_file",
            Self::AuditKey(_) => "audit_key",
            Self::Listen { .. } => "listen_failed",
            Self::Threads(_) => "no_threads",
            Self::Open(cause) => cause.code(),
            Self::Store(_) => "store_failed",
            Self::StoreLost(_) => "store_lost",
        }
    }

    /// Returns whether the configuration must be changed, so that a restart alone cannot help.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Rules(_) | Self::Policy(_) | Self::AuditKey(_))
    }
}

/// Returns one line for each fault.
fn listed(faults: &[policy::Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Serves a configuration until `shutdown` is ready, then drains.
///
/// `ready` is called with the bound address as soon as connections are taken.
///
/// # Errors
///
/// Returns [`ServeError`] when the server cannot start, or when its store fails for good.
pub async fn serve(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
    ready: impl FnOnce(SocketAddr) + Send,
) -> Result<(), ServeError> {
    let (fatal, mut failed) = watch::channel(None);
    let engine = open_engine(&config, fatal).await?;
    let store: Arc<dyn Store> = Arc::<Embedded>::clone(&engine);
    let mut running = start(&config, store).await?;
    running.follow(&engine);
    ready(running.address());
    let lost = tokio::select! {
        () = shutdown => None,
        lost = failed.wait_for(Option::is_some) => lost.ok().and_then(|lost| lost.clone()),
    };
    if let Some(cause) = lost {
        // Law 11: nothing may be acknowledged any more, so nothing is drained either.
        return Err(ServeError::StoreLost(cause));
    }
    running.stop().await;
    let closed = tokio::task::spawn_blocking(move || engine.close()).await;
    match closed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(cause)) => Err(ServeError::Store(cause)),
        Err(cause) => Err(ServeError::StoreLost(cause.to_string())),
    }
}

async fn open_engine(
    config: &Config,
    fatal: watch::Sender<Option<String>>,
) -> Result<Arc<Embedded>, ServeError> {
    let storage = &config.storage;
    let options = Options {
        bounds: bounds(config),
        durability: match storage.durability {
            config::Durability::Fsync => Durability::Fsync,
            config::Durability::None => Durability::Relaxed,
        },
        segment_bytes: storage.segment_bytes,
        checkpoint_bytes: storage.checkpoint_bytes,
        cache_bytes: storage.cache_bytes,
        on_fatal: FatalHook::new(move |cause| drop(fatal.send(Some(cause.to_owned())))),
        ..Options::default()
    };
    let path = storage.path.clone();
    let opened = tokio::task::spawn_blocking(move || Embedded::open(&path, options)).await;
    opened.map_err(|cause| ServeError::StoreLost(cause.to_string()))?.map_err(ServeError::Open)
}

/// A server that takes connections.
pub struct Running {
    gate: Arc<Gate>,
    address: SocketAddr,
    operations: Option<SocketAddr>,
    engine: Arc<OnceLock<Arc<Embedded>>>,
    readiness: Readiness,
    telling: JoinHandle<()>,
    patience: std::time::Duration,
    accepting: watch::Sender<bool>,
    copying: watch::Sender<bool>,
    followers: Vec<JoinHandle<()>>,
    exporting: Option<(Arc<Spans>, JoinHandle<()>)>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Starts the doors of a configuration over an open store.
///
/// # Errors
///
/// Returns [`ServeError`] when the server cannot start; nothing is bound then.
pub async fn start(config: &Config, store: Arc<dyn Store>) -> Result<Running, ServeError> {
    let server = &config.server;
    let now = i64::try_from(SystemClock.now().seconds()).unwrap_or(i64::MAX);
    let tls = Source::open(server, now).await?;
    let copy = AuditCopy::open(&config.gateway.audit, &store)?;
    let (to_copy, read) = mpsc::channel(copy::PAGES_AHEAD);
    let notary = Notary::open(config, &store, to_copy)?;
    let (socket, address) = bind(server.listen, "server.listen").await?;
    let watched = bind_operations(server.operations).await?;
    let operations = watched.as_ref().map(|(_, address)| *address);
    let mut parts = gate_parts(config, store)?;
    let export = export(config, &mut parts)?;
    let gate = Gate::open(parts).await.map_err(ServeError::Store)?;
    let readiness = Readiness::default();
    let state_max = config.validation.state_bytes_max;
    let (routes, health) = grpc::routes(&gate, &server.limits, state_max, &readiness).await;
    let accepting = watch::Sender::new(false);
    let measures = Arc::new(grpc::DoorMeasures::default());
    let mut metrics = Metrics::new(&gate, &measures, &readiness, tls.in_force());
    metrics.exporter = export.as_ref().map(|(spans, _)| spans.exporter());
    let engine = Arc::clone(&metrics.engine);
    let listener = grpc::Listener {
        socket,
        tls: tls.in_force(),
        identifier: grpc::Identifier::new(config),
        gate: Arc::clone(&gate),
        routes,
        limits: server.limits,
        measures,
        background: Arc::new(Background::start().map_err(ServeError::Threads)?),
    };
    let telling = gate.tasks().spawn(readiness.tell(health));
    let (own, closing) = (tls.in_force(), accepting.subscribe());
    gate.tasks().spawn(readiness.clone().watch_certificate(Arc::clone(&gate), own, closing));
    gate.tasks().spawn(listener.run(accepting.subscribe()));
    gate.tasks().spawn(tls.follow(Arc::clone(&gate), accepting.subscribe()));
    let copying = watch::Sender::new(false);
    // Not tasks of the gate: they go on until the gate's last record is written.
    let tasks = gate::tasks::Tasks::default();
    let copy = copy.map(|copy| tasks.spawn(copy.run(copying.subscribe(), read)));
    let notary =
        notary.map(|notary| tasks.spawn(notary.run(copying.subscribe(), readiness.clone())));
    let work = |(spans, worker): (Arc<Spans>, _)| (Spans::work(worker, metrics.clone()), spans);
    let exporting = export.map(work).map(|(work, spans)| (spans, tasks.spawn(work.run())));
    // It tells of the end until there is nothing more to tell.
    let watching = watched
        .map(|(socket, _)| tasks.spawn(operations::run(socket, metrics, copying.subscribe())));
    let followers = copy.into_iter().chain(notary).chain(watching).collect();
    Ok(Running {
        gate,
        address,
        operations,
        engine,
        readiness,
        telling,
        patience: server.limits.drain_timeout,
        accepting,
        copying,
        followers,
        exporting,
    })
}

/// Makes the export of traces and metrics, if it is on; what it masks follows the rules for
/// payloads.
fn export(config: &Config, parts: &mut Parts) -> Result<Option<(Arc<Spans>, Worker)>, ServeError> {
    let Some(settings) = &config.gateway.telemetry else { return Ok(None) };
    let dlp = inspect::Dlp::compile(&config.gateway.dlp);
    let dlp = dlp.map_err(|cause| ServeError::Rules(cause.to_string()))?;
    let (spans, worker) = Spans::new(settings, dlp);
    spans.attach(parts);
    Ok(Some((spans, worker)))
}

impl Running {
    /// Returns the bound address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the bound address of metrics and health, if they are configured.
    #[must_use]
    pub const fn operations(&self) -> Option<SocketAddr> {
        self.operations
    }

    /// Returns the gate behind the doors.
    #[must_use]
    pub const fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Says from now on that the server does not serve while its store takes no batches, and tells
    /// its numbers.
    pub fn follow(&mut self, engine: &Arc<Embedded>) {
        let condition = engine.condition();
        // The first one stays.
        drop(self.engine.set(Arc::clone(engine)));
        let watch = self.readiness.clone().watch_store(condition, self.accepting.subscribe());
        self.gate.tasks().spawn(watch);
    }

    /// Stops taking connections, ends sessions, waits for what is under way.
    pub async fn stop(self) {
        self.readiness.set(NotReady::Draining, true);
        self.accepting.send_replace(true);
        // Health clients are told before their connections may end.
        drop(self.telling.await);
        self.gate.drain(self.patience).await;
        self.copying.send_replace(true);
        for follower in self.followers {
            drop(follower.await);
        }
        if let Some((spans, exporting)) = self.exporting {
            spans.close();
            drop(exporting.await);
        }
    }
}

/// Binds the address for those who watch, if there is one.
async fn bind_operations(
    address: Option<SocketAddr>,
) -> Result<Option<(TcpListener, SocketAddr)>, ServeError> {
    let Some(address) = address else { return Ok(None) };
    bind(address, "server.operations.listen").await.map(Some)
}

async fn bind(
    address: SocketAddr,
    key: &'static str,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let bound = TcpListener::bind(address).await;
    let bound = bound.and_then(|socket| socket.local_addr().map(|bound| (socket, bound)));
    bound.map_err(|cause| {
        let advice = if cause.kind() == ErrorKind::AddrInUse {
            format!("another program uses this port; stop it or set another `{key}`")
        } else if cause.kind() == ErrorKind::AddrNotAvailable {
            format!("this machine does not have that address; set another `{key}`")
        } else {
            format!("check `{key}`; ports below 1024 need a privilege")
        };
        ServeError::Listen { address, cause, advice }
    })
}
