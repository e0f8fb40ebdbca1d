//! A gate and a client that get their identity and trust from a Workload API, which changes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use identity::{DevCa, Issued, Overwrite, SpiffeId, Validity};
use palisade_client::{Client, Endpoint, Options, ServerIdentity};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use wire::workload::{X509svid, X509svidResponse};

use self::api::Api;
use crate::gate::Gate;
use crate::patience::eventually;
use crate::site::{Site, unix_now};
use crate::suite::Report;

mod api;

pub(super) async fn run(report: &mut Report) {
    // Side by side, since the one waits for a whole patience.
    let (nobody, served) = tokio::join!(nobody_there(), served());
    report.case("workload.nobody-there", nobody);
    match served {
        Err(error) => report.failed("workload", &error),
        Ok(served) => {
            report.figure("workload_rotation_requests", served.requests);
            report.figure("workload_rotation_failed_requests", served.failed);
            report.figure("workload_rotation_sessions", served.sessions);
            report.figure("workload_cut_ms", served.cut_ms);
            for (id, outcome) in served.cases {
                report.case(id, outcome);
            }
        }
    }
}

/// What was seen of a gate that is served.
#[derive(Default)]
struct Served {
    requests: u64,
    failed: u64,
    /// How often alice came to the gate.
    sessions: usize,
    cut_ms: u64,
    cases: Vec<(&'static str, Result<()>)>,
}

/// A gate whose agent is not there ends, and says why.
async fn nobody_there() -> Result<()> {
    let ground = Ground::new()?;
    let began = Instant::now();
    let Err(error) = ground.site.start().await else { bail!("it started") };
    let said = format!("{error:#}");
    ensure!(said.contains("cannot be reached"), "it says: {said}");
    ensure!(began.elapsed() < Duration::from_secs(25), "it took {:?}", began.elapsed());
    Ok(())
}

async fn served() -> Result<Served> {
    let mut served = Served::default();
    let ground = Ground::new()?;
    let gate_api = Api::start(&ground.socket("gate"), ground.gate(&[])?)?;
    let gate = ground.site.start().await?;
    let alice_api = Api::start(&ground.socket("alice"), ground.alice(short()?)?)?;
    let alice = Client::connect(ground.by_workload_api(&gate)?).await?;
    served.cases.push(("workload.both-sides", alice.state().await.map(drop).map_err(Into::into)));
    served.cases.push(("workload.other-gate", ground.refuses_another(&gate).await));
    let rotated = rotate(&ground, &gate_api, &alice_api, &alice).await?;
    (served.requests, served.failed) = rotated;
    let outcome = if rotated.1 == 0 { Ok(()) } else { Err(anyhow::anyhow!("requests failed")) };
    served.cases.push(("workload.rotation", outcome));

    let stranger = Client::connect(ground.carol(&gate)?).await;
    ensure!(stranger.is_err(), "carol is let in without a bundle of her domain");
    gate_api.say(ground.gate(&[OTHER])?);
    let carol = ground.let_in(&gate).await;
    served.cases.push(("workload.federated", carol.as_ref().map(drop).map_err(said)));
    gate_api.say(ground.gate(&[])?);
    let cut = removed(&alice).await;
    served.cut_ms = cut.as_ref().copied().unwrap_or_default();
    served.cases.push(("workload.removed", cut.map(drop)));
    ensure!(Client::connect(ground.carol(&gate)?).await.is_err(), "carol is let in again");
    drop(carol);

    drop(gate_api);
    eventually("the loss is noticed", async || Ok(gate.log().contains(LOST).then_some(()))).await?;
    let alone = Client::connect(ground.by_workload_api(&gate)?).await.map(drop).map_err(Into::into);
    served.cases.push(("workload.lost", alone));
    let gate_api = Api::start(&ground.socket("gate"), ground.gate(&[OTHER])?)?;
    served.cases.push(("workload.back", ground.let_in(&gate).await.map(drop)));
    drop((alice, gate_api, alice_api));
    gate.stop().await?;
    served.cases.push(("workload.on-record", on_record(&ground.site).await));
    let opened = ground.site.records(&["--event", "session.open", "--agent", "alice"]).await?;
    served.sessions = opened.len();
    let moved =
        if served.sessions >= ROTATIONS { Ok(()) } else { Err(anyhow::anyhow!("she stayed")) };
    served.cases.push(("workload.rotation-moved", moved));
    Ok(served)
}

/// Renews both identities again and again while a client asks; returns how much was asked, and
/// how much of it failed.
async fn rotate(
    ground: &Ground,
    gate_api: &Api,
    alice_api: &Api,
    alice: &Client,
) -> Result<(u64, u64)> {
    let (mut requests, mut failed) = (0, 0);
    for _round in 0..ROTATIONS {
        gate_api.say(ground.gate(&[])?);
        alice_api.say(ground.alice(short()?)?);
        let until = Instant::now() + RENEWED_EVERY;
        while Instant::now() < until {
            // A unary call, which is not repeated where it may have been taken.
            requests += 1;
            failed += u64::from(alice.state().await.is_err());
            sleep(Duration::from_millis(5)).await;
        }
    }
    alice_api.say(ground.alice(day()?)?);
    Ok((requests, failed))
}

/// Waits until nobody but the asking agent is connected; returns how many milliseconds it took.
async fn removed(alice: &Client) -> Result<u64> {
    let began = Instant::now();
    eventually("carol's session ended", async || {
        let agents = alice.discover(&[]).await?;
        Ok(agents.iter().all(|agent| agent.id != "carol").then_some(()))
    })
    .await?;
    let took = began.elapsed();
    ensure!(took <= Duration::from_secs(5), "she was cut only after {took:?}");
    Ok(u64::try_from(took.as_millis())?)
}

async fn on_record(site: &Site) -> Result<()> {
    for (event, least) in [
        ("config.tls_reloaded", ROTATIONS),
        ("config.workload_api_lost", 1),
        ("config.workload_api_back", 1),
        ("connection.cut", 1),
    ] {
        let records = site.records(&["--event", event]).await?.len();
        ensure!(records >= least, "{records} records of {event}, not {least}");
    }
    Ok(())
}

/// A folder, two authorities of two trust domains, and what a Workload API says of them.
struct Ground {
    site: Site,
    own: DevCa,
    other: DevCa,
}

impl Ground {
    fn new() -> Result<Self> {
        let site = Site::new(&json!({}))?;
        let socket = format!("unix://{}", site.path("gate.sock").display());
        let nothing = Value::Null;
        site.configure(&json!({
            "agents": {
                "alice": { "allow": ["carol"] },
                "carol": { "allow": ["alice"], "spiffe_id": CAROL },
            },
            "gateway": { "rate_limit": { "per_minute": 100_000, "per_hour": 100_000 } },
            "server": { "tls": {
                "workload_api": socket,
                "cert": nothing, "key": nothing, "client_ca": nothing,
            } },
        }))?;
        let own = DevCa::create("own", unix_now())?;
        let other = DevCa::create("other", unix_now())?;
        let carol = other.issue_agent(&SpiffeId::parse(CAROL)?, day()?)?;
        carol.save(site.folder(), "carol", Overwrite::Refuse)?;
        site.write("own.pem", own.cert_pem().as_bytes())?;
        Ok(Self { site, own, other })
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.site.path(&format!("{name}.sock"))
    }

    /// Says who the gate is, with a new certificate, and which other domains it trusts.
    fn gate(&self, federated: &[&str]) -> Result<X509svidResponse> {
        let names = ["127.0.0.1".to_owned()];
        let issued = self.own.issue_server(&names, Some(&SpiffeId::parse(GATE)?), day()?)?;
        let other = der(self.other.cert_pem())?;
        let named = federated.iter().map(|domain| (format!("spiffe://{domain}"), other.clone()));
        let federated_bundles = named.map(|(name, der)| (name, der.into())).collect();
        Ok(X509svidResponse { federated_bundles, ..self.says(GATE, &issued)? })
    }

    fn alice(&self, life: Validity) -> Result<X509svidResponse> {
        self.says(ALICE, &self.own.issue_agent(&SpiffeId::parse(ALICE)?, life)?)
    }

    fn says(&self, id: &str, issued: &Issued) -> Result<X509svidResponse> {
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())?;
        let svid = X509svid {
            spiffe_id: id.to_owned(),
            x509_svid: der(&issued.cert_pem)?.into(),
            x509_svid_key: key.secret_der().to_vec().into(),
            bundle: der(self.own.cert_pem())?.into(),
            hint: String::new(),
        };
        Ok(X509svidResponse { svids: vec![svid], ..X509svidResponse::default() })
    }

    /// Returns the options of alice, who asks her own Workload API.
    fn by_workload_api(&self, gate: &Gate) -> Result<Options> {
        let socket = format!("unix://{}", self.socket("alice").display());
        let mut options =
            Options::from_workload_api(gate.addr().to_string(), Endpoint::parse(&socket)?);
        options.server = ServerIdentity::Spiffe(SpiffeId::parse(GATE)?);
        Ok(options)
    }

    /// Returns the options of carol, who has files of another trust domain.
    fn carol(&self, gate: &Gate) -> Result<Options> {
        let path = |name: &str| self.site.path(name);
        let (ca, cert, key) = (path("own.pem"), path("carol.pem"), path("carol.key"));
        let mut options = Options::new(gate.addr().to_string(), ca, cert, key);
        options.server = ServerIdentity::Spiffe(SpiffeId::parse(GATE)?);
        Ok(options)
    }

    async fn let_in(&self, gate: &Gate) -> Result<Client> {
        eventually("carol is let in", async || Ok(Client::connect(self.carol(gate)?).await.ok()))
            .await
    }

    /// A client that looks for another server does not take this one.
    async fn refuses_another(&self, gate: &Gate) -> Result<()> {
        for id in ["spiffe://mas/other", "spiffe://other.org/gate"] {
            let mut options = self.by_workload_api(gate)?;
            options.server = ServerIdentity::Spiffe(SpiffeId::parse(id)?);
            ensure!(Client::connect(options).await.is_err(), "the gate was taken for `{id}`");
        }
        Ok(())
    }
}

fn said(error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

fn der(pem: &str) -> Result<Vec<u8>> {
    Ok(CertificateDer::from_pem_slice(pem.as_bytes()).context("a certificate")?.to_vec())
}

fn day() -> Result<Validity> {
    Ok(Validity::from_days(unix_now(), 1)?)
}

/// So short that who has it looks for the next one between two renewals.
fn short() -> Result<Validity> {
    let now = unix_now();
    Ok(Validity { not_before_unix: now - 60, not_after_unix: now + LIFE_SECONDS })
}

const GATE: &str = "spiffe://mas/gate";
const ALICE: &str = "spiffe://mas/agent/alice";
const CAROL: &str = "spiffe://other.org/agent/carol";
const OTHER: &str = "other.org";
const LOST: &str = "the Workload API is lost";
const ROTATIONS: usize = 5;
const RENEWED_EVERY: Duration = Duration::from_millis(2_000);
const LIFE_SECONDS: i64 = 6;
