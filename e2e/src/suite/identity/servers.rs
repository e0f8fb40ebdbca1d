//! The other side: a client of ours, and servers that show it what it should not trust.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use palisade_client::{Client, Error, Options, ServerIdentity, SpiffeId};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::cases::Mint;
use super::certificate::{
    ALT_NAME, CLIENT_AUTH, Draft, Flaw, KEY_USAGE, SERVER_AUTH, SIGN, SIGN_CERTIFICATES,
    common_name, constraints, uri,
};
use super::connect::{Shown, certified};
use super::keys::Key;
use super::{AUTHORITIES, der};
use crate::site::{Site, unix_now};

/// One server, and whether the client may go on with it.
pub(super) struct Server {
    pub(super) id: &'static str,
    made: fn(&Mint) -> Result<Shown>,
    by: By,
    pub(super) is_good: bool,
}

/// How the client recognises its server.
#[derive(Clone, Copy)]
enum By {
    Id,
    Name,
}

/// Returns all of them.
pub(super) fn all() -> Vec<Server> {
    let good = |id, by, made| Server { id, made, by, is_good: true };
    let bad = |id, by, made| Server { id, made, by, is_good: false };
    let mut all = vec![
        good("server.pinned", By::Id, |mint| mint.show(&gate(mint))),
        good("server.pinned-below-intermediate", By::Id, |mint| {
            mint.show_by(&gate(mint), &mint.intermediate)
        }),
        good("server.by-name", By::Name, |mint| mint.show(&mint.named(&[address()]))),
    ];
    all.extend(
        [
            ("server.other-id", (|mint| mint.show(&mint.named(&[uri(OTHER)]))) as fn(&Mint) -> _),
            ("server.other-case", |mint| mint.show(&mint.named(&[uri("spiffe://mas/Gate")]))),
            ("server.other-domain", |mint| mint.show(&mint.named(&[uri("spiffe://mass/gate")]))),
            ("server.no-names", |mint| mint.show(&gate(mint).without(ALT_NAME))),
            ("server.only-its-address", |mint| mint.show(&mint.named(&[address()]))),
            ("server.two-ids", |mint| mint.show(&mint.named(&[uri(GATE), uri(OTHER)]))),
            ("server.id-as-common-name", |mint| {
                mint.show(&gate(mint).without(ALT_NAME).subject(common_name(GATE)))
            }),
            ("server.authority", |mint| mint.show(&gate(mint).with(constraints(true, None)))),
            ("server.no-key-usage", |mint| mint.show(&gate(mint).without(KEY_USAGE))),
            ("server.key-usage-not-critical", |mint| {
                mint.show(&gate(mint).key_usage(false, &[SIGN]))
            }),
            ("server.sign-certificates", |mint| {
                mint.show(&gate(mint).key_usage(true, &[SIGN, SIGN_CERTIFICATES]))
            }),
            ("server.client-only", |mint| mint.show(&gate(mint).extended_usage(&[CLIENT_AUTH]))),
            ("server.expired", |mint| {
                let now = unix_now();
                mint.show(&gate(mint).valid(now - 7_200, now - 3_600))
            }),
            ("server.unknown-issuer", |mint| mint.show_by(&gate(mint), &stranger()?)),
            ("server.bad-signature", |mint| mint.show(&gate(mint).flaw(Flaw::Signature))),
            ("server.trailing-bytes", |mint| mint.show(&gate(mint).flaw(Flaw::Trailing))),
            ("server.key-of-another", |mint| {
                Ok(Shown { key: Key::ecdsa()?, ..mint.show(&gate(mint))? })
            }),
            ("server.intermediate-expired", |mint| {
                let now = unix_now();
                let old = mint.authority().valid(now - 7_200, now - 3_600);
                mint.show_by(&gate(mint), &old.below(&mint.root)?)
            }),
            ("server.intermediate-may-not-sign", |mint| {
                let idle = mint.authority().key_usage(true, &[SIGN]);
                mint.show_by(&gate(mint), &idle.below(&mint.root)?)
            }),
        ]
        .map(|(id, made)| bad(id, By::Id, made)),
    );
    all.extend(by_name());
    all
}

/// Those that are recognised by the name that the connection is opened to.
fn by_name() -> impl Iterator<Item = Server> {
    let bad = |(id, made)| Server { id, made, by: By::Name, is_good: false };
    [
        ("server.by-other-name", (|mint| mint.show(&mint.named(&[name()]))) as fn(&Mint) -> _),
        ("server.by-id-only", |mint| mint.show(&gate(mint))),
        ("server.by-common-name", |mint| {
            mint.show(&mint.leaf().without(ALT_NAME).subject(common_name("127.0.0.1")))
        }),
        // A name that fits must not make up for a chain that does not.
        ("server.by-name-unknown-issuer", |mint| {
            mint.show_by(&mint.named(&[address()]), &stranger()?)
        }),
        ("server.by-name-client-only", |mint| {
            mint.show(&mint.named(&[address()]).extended_usage(&[CLIENT_AUTH]))
        }),
    ]
    .into_iter()
    .map(bad)
}

impl Server {
    /// Lets a client connect; returns whether it went on behind the handshake.
    pub(super) async fn serve(&self, site: &Site, mint: &Mint) -> Result<bool> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config(&(self.made)(mint)?)?));
        let serving = async {
            let (stream, _) = listener.accept().await?;
            acceptor.accept(stream).await
        };
        let connecting = Client::connect(self.options(site, addr)?);
        let both = async {
            tokio::pin!(connecting);
            tokio::select! {
                served = serving => match served {
                    // The client has sent its own certificate and takes this for the gate.
                    Ok(_) => Ok(true),
                    Err(_refused) => said(connecting.await.err()).map(|()| false),
                },
                refused = &mut connecting => said(refused.err()).map(|()| false),
            }
        };
        Box::pin(timeout(PATIENCE, both)).await.context("no end in time")?
    }

    fn options(&self, site: &Site, addr: SocketAddr) -> Result<Options> {
        let file = |name: &str| site.path(name);
        let mut options =
            Options::new(addr.to_string(), file(AUTHORITIES), file("alice.pem"), file("alice.key"));
        options.server = match self.by {
            By::Id => ServerIdentity::Spiffe(SpiffeId::parse(GATE)?),
            By::Name => ServerIdentity::DnsName,
        };
        Ok(options)
    }
}

/// Checks that the client says that it was the handshake.
fn said(error: Option<Error>) -> Result<()> {
    let error = error.ok_or_else(|| anyhow!("the client connected to a server without a gate"))?;
    ensure!(matches!(error, Error::Handshake { .. }), "the client says: {error}");
    Ok(())
}

fn config(shown: &Shown) -> Result<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified(shown))));
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Begins with a good certificate of the gate; only for servers, as they often are.
fn gate(mint: &Mint) -> Draft {
    mint.named(&[uri(GATE)]).extended_usage(&[SERVER_AUTH])
}

fn stranger() -> Result<super::certificate::Authority> {
    Draft::authority(unix_now(), "stranger").root(Key::ecdsa()?)
}

fn address() -> der::Der {
    der::implicit(7, &[127, 0, 0, 1])
}

fn name() -> der::Der {
    der::implicit(2, b"elsewhere.example")
}

const GATE: &str = "spiffe://mas/gate";
const OTHER: &str = "spiffe://mas/agent/bob";
/// LIMIT: longer than a client takes for one attempt.
const PATIENCE: Duration = Duration::from_secs(20);
