//! A small SPIFFE Workload API: says over a Unix socket what the suite tells it to.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use anyhow::Result;
use futures::{Stream, StreamExt as _};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use wire::workload::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use wire::workload::{X509svidRequest, X509svidResponse};

/// A listening API; it is gone, with its connections, when this is dropped.
#[derive(Debug)]
pub(super) struct Api {
    path: PathBuf,
    says: watch::Sender<X509svidResponse>,
    _serving: JoinSet<()>,
}

impl Api {
    /// Listens at a path and says one thing until told another.
    pub(super) fn start(path: &Path, says: X509svidResponse) -> Result<Self> {
        let listener = UnixListener::bind(path)?;
        let says = watch::Sender::new(says);
        let service = SpiffeWorkloadApiServer::new(Told(says.subscribe()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, service));
        Ok(Self { path: path.to_owned(), says, _serving: serving })
    }

    /// Says something else, to those who listen and to those who come.
    pub(super) fn say(&self, message: X509svidResponse) {
        self.says.send_replace(message);
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // So that another one can listen here.
        drop(fs::remove_file(&self.path));
    }
}

async fn serve(listener: UnixListener, service: SpiffeWorkloadApiServer<Told>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(service.clone());
        let connection = http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        // How a connection ends is its client's affair.
        connections.spawn(async move { drop(connection.await) });
    }
}

/// Streams what is said to each caller.
struct Told(watch::Receiver<X509svidResponse>);

#[tonic::async_trait]
impl SpiffeWorkloadApi for Told {
    type FetchX509SVIDStream = Pin<Box<dyn Stream<Item = Result<X509svidResponse, Status>> + Send>>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        let header = request.metadata().get("workload.spiffe.io");
        if header.is_none_or(|value| value != "true") {
            return Err(Status::invalid_argument("security header missing from request"));
        }
        if self.0.borrow().svids.is_empty() {
            return Err(Status::permission_denied("no identity issued"));
        }
        Ok(Response::new(WatchStream::new(self.0.clone()).map(Ok).boxed()))
    }
}
