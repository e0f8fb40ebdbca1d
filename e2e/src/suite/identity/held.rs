//! Connections with an open session that are held until the gate ends them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Request;
use identity::ServerIdentity;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::reload::Pair;
use crate::site::unix_now;

/// Connections that end when the gate wants it; each says when.
#[derive(Debug, Default)]
pub(super) struct Held(JoinSet<Result<Instant>>);

impl Held {
    /// Opens a connection and a session on it, and returns when the gate has said welcome.
    pub(super) async fn open(
        &mut self,
        to: SocketAddr,
        server_ca: &Path,
        pair: &Pair,
        number: u32,
    ) -> Result<()> {
        let name = ServerIdentity::DnsName;
        let config = identity::load_client(server_ca, &pair.cert, &pair.key, name, unix_now())?;
        let (welcomed, welcome) = oneshot::channel();
        self.0.spawn(async move {
            let stream = TcpStream::connect(to).await?;
            let name = ServerName::IpAddress(to.ip().into());
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            let (mut sender, connection) = h2::client::handshake(stream).await?;
            let session = async {
                let request = Request::post(format!("https://{to}{TRANSPORT}"))
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(())?;
                let (response, mut body) = sender.send_request(request, false)?;
                body.send_data(hello(number)?, false)?;
                let mut events = response.await?.into_body();
                let first = events.data().await.context("no welcome")??;
                ensure!(!first.is_empty(), "an empty welcome");
                let _nobody_waits = welcomed.send(());
                // Held open, and never ended from this side.
                std::future::pending::<()>().await;
                drop((body, events));
                Ok(())
            };
            tokio::select! {
                failed = session => failed.and(Ok(Instant::now())),
                _ended = connection => Ok(Instant::now()),
            }
        });
        timeout(PATIENCE, welcome).await.context("no welcome in time")?.context("not let in")
    }

    /// Waits until all have ended, and returns when the last one did.
    pub(super) async fn ended(mut self) -> Result<Instant> {
        let mut last = None;
        let all = async {
            while let Some(ended) = self.0.join_next().await {
                last = last.max(Some(ended??));
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, all).await.context("not in time")??;
        last.context("there was none")
    }
}

/// Writes the hello of an instance as a gRPC message: `ClientEvent { hello { instance_id } }`.
fn hello(number: u32) -> Result<Bytes> {
    let instance = format!("held-{number}");
    let inner = u8::try_from(instance.len())?;
    let mut message = vec![0x0a, inner + 2, 0x0a, inner];
    message.extend(instance.as_bytes());
    let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len())?];
    frame.extend(message);
    Ok(frame.into())
}

const TRANSPORT: &str = "/mas.runtime.v1.RuntimeService/Transport";
/// LIMIT: longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
