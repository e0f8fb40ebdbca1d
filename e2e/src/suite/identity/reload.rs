//! Trust that changes while a hundred connections are open, and certificates that are renewed
//! while twenty clients send.
//!
//! Who is no longer trusted is cut within seconds; nobody else notices anything.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use identity::{DevCa, IdPattern, Overwrite, Validity};
use palisade_client::{Client, Options, Wire};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::held::Held;
use super::traffic::{Sent, Sink, Traffic};
use crate::gate::Gate;
use crate::site::{Site, unix_now};
use crate::suite::{Effort, Report};

pub(super) async fn run(effort: Effort, report: &mut Report) {
    let mut cut_ms_max = 0;
    for (id, change) in
        [("X15.removed-authority", Change::Removed), ("X15.revoked", Change::Revoked)]
    {
        let cut = cut(change).await;
        if let Ok(cut_ms) = &cut {
            cut_ms_max = cut_ms_max.max(*cut_ms);
        }
        report.case(id, cut.map(|_cut_ms| ()));
    }
    report.figure("cut_ms_max", cut_ms_max);
    report.figure("cut_connections", 2 * CONNECTIONS);
    let expired = expired().await;
    if let Ok(after_ms) = &expired {
        report.figure("expired_cut_ms", *after_ms);
    }
    report.case("X14.expired-while-open", expired.map(|_after_ms| ()));
    let rotation = rotation(effort).await;
    if let Ok(Rotated { native, mas, rotations, sessions }) = &rotation {
        report.figure("rotation_requests", native.requests + mas.requests);
        report.figure("rotation_failed_requests", native.failed + mas.failed);
        report.figure("rotation_mas_requests", mas.requests);
        report.figure("rotation_certificates", *rotations);
        report.figure("rotation_sessions", *sessions);
    }
    let (native, mas) = match rotation {
        Ok(Rotated { native, mas, .. }) => (native.held(), mas.held()),
        Err(error) => (Err(anyhow::anyhow!("{error:#}")), Err(error)),
    };
    report.case("rotation.under-load", native);
    report.case("rotation.under-load-mas", mas);
}

/// How those that are to be cut lose their trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Removed,
    Revoked,
}

/// Opens connections of two kinds, takes the trust from one kind, and returns how many
/// milliseconds the last of them lived on.
async fn cut(change: Change) -> Result<u64> {
    let ground = Ground::new().await?;
    let (leaver, stayer) = match change {
        Change::Removed => (&ground.first, &ground.second),
        Change::Revoked => (&ground.second, &ground.second),
    };
    let leaver = ground.pair(leaver, "leaver", day()?)?;
    let stayer = ground.pair(stayer, "stayer", day()?)?;
    let sink = Sink::start(ground.options(&ground.pair(&ground.second, "sink", day()?)?)).await?;
    let mut traffic = Traffic::default();
    for _client in 0..CONNECTIONS {
        traffic.add(ground.options(&stayer)).await?;
    }
    let mut held = Held::default();
    for number in 0..CONNECTIONS {
        held.open(ground.gate.addr(), &ground.server_ca(), &leaver, number).await?;
    }
    sleep(Duration::from_secs(1)).await;
    match change {
        Change::Removed => ground.trust(&[&ground.second])?,
        Change::Revoked => ground.revoke(&leaver)?,
    }
    let changed = Instant::now();
    let last = held.ended().await.context("not all were cut")?;
    let cut_ms = u64::try_from(last.duration_since(changed).as_millis())?;
    ensure!(cut_ms <= CUT_MS_MAX, "the last connection was cut only after {cut_ms} ms");
    ensure!(Client::connect(ground.options(&leaver)).await.is_err(), "who was cut is let in again");
    // Long enough that a later cut of the others would be seen.
    sleep(Duration::from_secs(2)).await;
    let sent = traffic.stop().await;
    sink.got(&sent).await?;
    sent.held().context("others were disturbed")?;
    ground.gate.stop().await?;
    let cuts = ground.site.records(&["--event", "connection.cut"]).await?;
    ensure!(cuts.len() == usize::try_from(CONNECTIONS)?, "{} cuts are on record", cuts.len());
    Ok(cut_ms)
}

/// Holds a connection beyond the end of its certificate; returns how many milliseconds it lived on.
async fn expired() -> Result<u64> {
    let ground = Ground::new().await?;
    let ends = unix_now() + 3;
    let short = Validity { not_before_unix: ends - 60, not_after_unix: ends };
    let pair = ground.pair(&ground.first, "leaver", short)?;
    let mut held = Held::default();
    held.open(ground.gate.addr(), &ground.server_ca(), &pair, 0).await?;
    // The last second of the certificate is a whole one.
    let left = Duration::from_secs(u64::try_from(ends - unix_now())?);
    let opened = Instant::now();
    let ended = held.ended().await?;
    let after = ended.duration_since(opened).saturating_sub(left);
    ensure!(after <= Duration::from_secs(3), "it lived on for {after:?}");
    ground.gate.stop().await?;
    Ok(u64::try_from(after.as_millis())?)
}

/// What the renewal of certificates cost.
struct Rotated {
    /// What was sent by native sessions, which resend what has no outcome.
    native: Sent,
    /// What was sent by unary calls, which cannot.
    mas: Sent,
    rotations: u64,
    /// How often a client came to the gate.
    sessions: usize,
}

/// Renews the certificates of the gate and of twenty clients again and again while they send, half
/// of them on each wire.
async fn rotation(effort: Effort) -> Result<Rotated> {
    let ground = Ground::new().await?;
    let agents = ["r0", "r1", "r2", "r3"];
    let renew = |agent: &str| -> Result<Pair> {
        let now = unix_now();
        let short = Validity { not_before_unix: now - 60, not_after_unix: now + LIFE_SECONDS };
        ground.pair(&ground.first, agent, short)
    };
    let sink = Sink::start(ground.options(&ground.pair(&ground.second, "sink", day()?)?)).await?;
    let (mut native, mut mas) = (Traffic::default(), Traffic::default());
    for agent in agents.iter().cycle().take(CLIENTS / 2) {
        let pair = renew(agent)?;
        native.add(ground.options(&pair)).await?;
        mas.add(Options { wire: Wire::Mas, ..ground.options(&pair) }).await?;
    }
    let mut rotations = 0;
    for _round in 0..effort.rounds(6, 30) {
        sleep(RENEWED_EVERY).await;
        for agent in agents {
            renew(agent)?;
            rotations += 1;
        }
        ground.renew_server()?;
        rotations += 1;
    }
    let (native, mas) = tokio::join!(native.stop(), mas.stop());
    sink.got(&native.and(&mas)).await?;
    ground.gate.stop().await?;
    let mut sessions = 0;
    for agent in agents {
        let opened = ground.site.records(&["--event", "session.open", "--agent", agent]).await?;
        sessions += opened.len();
    }
    // Each came back with several of its certificates, or nothing was tried.
    ensure!(sessions >= 3 * CLIENTS, "only {sessions} sessions were opened by {CLIENTS} clients");
    Ok(Rotated { native, mas, rotations, sessions })
}

/// A gate that trusts two authorities, with a revocation list of the second.
pub(super) struct Ground {
    site: Site,
    pub(super) gate: Gate,
    pub(super) first: DevCa,
    pub(super) second: DevCa,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Ground {
    pub(super) async fn new() -> Result<Self> {
        let allow = json!({ "allow": ["sink"] });
        let site = Site::new(&json!({
            "agents": {
                "leaver": allow, "stayer": allow, "sink": {},
                "r0": allow, "r1": allow, "r2": allow, "r3": allow,
            },
            "gateway": { "rate_limit": { "per_minute": 1_000_000, "per_hour": 1_000_000 } },
            "server": { "tls": { "client_ca": TRUSTED, "crl": REVOKED } },
        }))?;
        let first = DevCa::load(site.folder())?;
        let second = DevCa::create("second", unix_now())?;
        site.write(TRUSTED, format!("{}{}", first.cert_pem(), second.cert_pem()).as_bytes())?;
        site.write(REVOKED, second.revocation_list(&[], day()?)?.as_bytes())?;
        let gate = site.start().await?;
        Ok(Self { site, gate, first, second })
    }

    /// Issues a certificate, in place of the one that the agent has.
    pub(super) fn pair(&self, authority: &DevCa, agent: &str, validity: Validity) -> Result<Pair> {
        let id = IdPattern::new("mas", "/agent/{agent_id}")?.format(agent)?;
        authority.issue_agent(&id, validity)?.save(
            self.site.folder(),
            agent,
            Overwrite::Replace,
        )?;
        let path = |end: &str| self.site.path(&format!("{agent}.{end}"));
        Ok(Pair { cert: path("pem"), key: path("key") })
    }

    fn renew_server(&self) -> Result<()> {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let server = self.first.issue_server(&names, None, day()?)?;
        Ok(server.save(self.site.folder(), "server", Overwrite::Replace)?)
    }

    pub(super) fn server_ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    fn options(&self, pair: &Pair) -> Options {
        let addr = self.gate.addr().to_string();
        Options::new(addr, self.server_ca(), &pair.cert, &pair.key)
    }

    /// Lets the gate trust these authorities and no other.
    pub(super) fn trust(&self, authorities: &[&DevCa]) -> Result<()> {
        let pem: String = authorities.iter().map(|authority| authority.cert_pem()).collect();
        self.replace(TRUSTED, &pem)
    }

    fn revoke(&self, pair: &Pair) -> Result<()> {
        let pem = std::fs::read_to_string(&pair.cert)?;
        self.replace(REVOKED, &self.second.revocation_list(&[&pem], day()?)?)
    }

    /// Replaces a file in one step, as the guide says.
    fn replace(&self, name: &str, text: &str) -> Result<()> {
        self.site.write("new.draft", text.as_bytes())?;
        Ok(std::fs::rename(self.site.path("new.draft"), self.site.path(name))?)
    }
}

pub(super) fn day() -> Result<Validity> {
    Ok(Validity::from_days(unix_now(), 1)?)
}

const TRUSTED: &str = "trusted.pem";
const REVOKED: &str = "revoked.pem";
/// Of each of the two kinds.
const CONNECTIONS: u32 = 50;
/// What is promised.
const CUT_MS_MAX: u64 = 5_000;
/// Clients that send while certificates change.
const CLIENTS: usize = 20;
/// How long a certificate of the rotation is good for, and how often it is renewed.
const LIFE_SECONDS: i64 = 8;
const RENEWED_EVERY: Duration = Duration::from_secs(2);
