//! Our server with telemetry off, on, and on with a collector that is dead, under the same load.
//!
//! The collectors are of this process, so what they cost is not counted with the server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use palisade_client::Wire;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::board::{Sample, Shape};
use super::{own, ring};
use crate::verbs::bench::target::{Extra, Own};

/// What is exported, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Export {
    Off,
    /// Metrics are exported, and no trace is kept.
    NoneKept,
    /// Every trace is kept, as far as the exporter's queue goes.
    AllKept,
    /// Likewise; whoever is to take them takes connections and never answers.
    DeadCollector,
}

impl Export {
    pub(super) const ALL: [Self; 4] =
        [Self::Off, Self::NoneKept, Self::AllKept, Self::DeadCollector];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoneKept => "none_kept",
            Self::AllKept => "all_kept",
            Self::DeadCollector => "dead_collector",
        }
    }

    /// Returns the value of `gateway.telemetry`.
    fn keys(self, collector: SocketAddr) -> String {
        if self == Self::Off {
            return "{ enabled: false }".to_owned();
        }
        let ratio = if self == Self::NoneKept { "0" } else { "1" };
        // The shortest interval, so that each window has what exporting metrics costs.
        format!(
            "{{ enabled: true, otlp_endpoint: 'http://{collector}', sample_ratio: {ratio}, \
             metrics_export_interval_ms: 1000 }}"
        )
    }
}

/// Starts a server anew, puts it under load and ends it.
///
/// # Errors
/// Returns what fails of the load, and an error if a collector that lives has heard nothing.
pub(super) async fn sample(export: Export, shape: Shape) -> anyhow::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (collector, taken) = (listener.local_addr()?, Arc::<AtomicU64>::default());
    let mut collecting = JoinSet::new();
    // A socket that nobody accepts from is a dead collector: the kernel takes its connections.
    let dead = if export == Export::DeadCollector {
        Some(listener)
    } else {
        collecting.spawn(collect(listener, Arc::clone(&taken)));
        None
    };
    let keys = export.keys(collector);
    let extra = Extra { telemetry: Some(&keys), ..Extra::default() };
    let own = Own::start(&ring::agents(shape.sessions), extra).await?;
    let sample = own::loaded(&own, Wire::Native, shape).await?;
    let audited = own.finish().await?;
    drop(dead);
    ensure!(audited == sample.accepted, "{} accepted, {audited} audited", sample.accepted);
    let is_heard = taken.load(Ordering::Relaxed) > 0;
    let is_told = matches!(export, Export::NoneKept | Export::AllKept);
    ensure!(is_heard == is_told, "the collector got requests: {is_heard}, expected: {is_told}");
    Ok(sample)
}

/// Takes everything and looks at nothing.
async fn collect(listener: TcpListener, taken: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let taken = Arc::clone(&taken);
        let service = service_fn(move |request: Request<Incoming>| {
            let taken = Arc::clone(&taken);
            async move {
                // A body that breaks off is the end of its connection, which hyper sees too.
                if request.into_body().collect().await.is_ok() {
                    taken.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
