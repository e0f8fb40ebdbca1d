//! What the gate tells those who ask for its health over gRPC, as an orchestrator does.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use identity::ServerIdentity;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::site::OPERATOR;
use crate::{Gate, Site, eventually, unix_now};

/// A connection on which health is asked for.
#[derive(Debug)]
pub struct Health {
    sender: SendRequest<Bytes>,
    url: String,
    /// Ends with this.
    _connection: JoinSet<()>,
}

impl Health {
    pub(crate) async fn connect(site: &Site, gate: &Gate) -> Result<Self> {
        let [cert, key] = ["pem", "key"].map(|kind| site.path(&format!("{OPERATOR}.{kind}")));
        let server = ServerIdentity::DnsName;
        let config = identity::load_client(&site.path("ca.pem"), &cert, &key, server, unix_now())?;
        let stream = TcpStream::connect(gate.addr()).await?;
        let name = ServerName::IpAddress(gate.addr().ip().into());
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        let mut connections = JoinSet::new();
        connections.spawn(async move { drop(connection.await) });
        let url = format!("https://{}/grpc.health.v1.Health/Check", gate.addr());
        Ok(Self { sender, url, _connection: connections })
    }

    /// Returns whether the gate says that it takes calls.
    ///
    /// # Errors
    /// Returns what the network said, or an answer that is none.
    pub async fn is_serving(&self) -> Result<bool> {
        let request = Request::post(&self.url)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut body) = sender.send_request(request, false)?;
        // A message without fields: it asks for the server as a whole.
        body.send_data(Bytes::from_static(&[0; HEAD_BYTES]), true)?;
        let mut answer = response.await?.into_body();
        let answer = answer.data().await.context("no answer about health")??;
        // The one field of the answer is its status; see `grpc/health/v1/health.proto`.
        match answer.get(HEAD_BYTES..) {
            Some([0x08, 1]) => Ok(true),
            Some([0x08, 2]) => Ok(false),
            _ => bail!("the health of the gate is {answer:?}"),
        }
    }

    /// Waits until the gate says whether it takes calls as it should.
    ///
    /// # Errors
    /// Returns what [`Health::is_serving`] does, or that it did not come to that.
    pub async fn becomes(&self, is_serving: bool) -> Result<()> {
        let what = format!("health says that serving is {is_serving}");
        eventually(&what, async || Ok((self.is_serving().await? == is_serving).then_some(()))).await
    }
}

/// The bytes before a message in gRPC: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;
