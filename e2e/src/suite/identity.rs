//! Certificates that should not be accepted, against the running gate.
//!
//! One gate is shown one certificate after the other. What must be refused is refused, with its
//! code and its record; what is good beside it is served. The same is then done to a client of
//! ours with servers that should not be trusted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use identity::SpiffeId;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{Effort, Report};
use crate::gate::Gate;
use crate::site::Site;

mod cases;
mod certificate;
mod connect;
mod der;
mod held;
mod keys;
mod reload;
mod servers;
mod tickets;
mod traffic;
mod transport;
mod workload;

use cases::{Case, Expected, Mint, PARTNER, PARTNER_DOMAIN, grammar};
use connect::{Answer, Asked, Offer};

pub(super) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let mut tally = Tally::default();
    let mint = Mint::new()?;
    let site = site(&mint)?;
    certificates(&site, &mint, report, &mut tally).await?;
    servers(&site, &mint, report, &mut tally).await;
    Box::pin(workload::run(report)).await;
    report.figure("cases", tally.cases);
    report.figure("refused", tally.refused);
    report.figure("wrongly_accepted", tally.wrongly_accepted);
    report.figure("wrongly_refused", tally.wrongly_refused);
    reload::run(effort, report).await;
    tickets::run(report).await;
    Ok(())
}

/// What the report says in numbers.
#[derive(Debug, Default)]
struct Tally {
    cases: u32,
    refused: u32,
    wrongly_accepted: u32,
    wrongly_refused: u32,
}

impl Tally {
    fn count(&mut self, outcome: Outcome, should_be: Outcome) {
        self.cases += 1;
        match (outcome, should_be) {
            (Outcome::Accepted, Outcome::Accepted) => {}
            (Outcome::Refused, Outcome::Refused) => self.refused += 1,
            (Outcome::Accepted, Outcome::Refused) => self.wrongly_accepted += 1,
            (Outcome::Refused, Outcome::Accepted) => self.wrongly_refused += 1,
        }
    }
}

/// How a case ended, whatever was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
}

impl Outcome {
    const fn of(is_accepted: bool) -> Self {
        if is_accepted { Self::Accepted } else { Self::Refused }
    }
}

/// Shows the gate one certificate after the other, then reads what it wrote down.
async fn certificates(
    site: &Site,
    mint: &Mint,
    report: &mut Report,
    tally: &mut Tally,
) -> Result<()> {
    let gate = site.start().await?;
    let offer = offer(site)?;
    let cases = cases::all();
    let mut asked = Vec::with_capacity(cases.len());
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for case in &cases {
        pace.tick().await;
        asked.push((case.id.as_str(), case.expected, ask(&gate, mint, case, &offer).await));
    }
    asked.extend(transport::all(gate.addr(), mint, &offer).await);
    let hello = transport::good_hello(gate.addr()).await;
    gate.stop().await?;
    let records = Records::read(site).await?;
    for (id, expected, asked) in asked {
        let outcome = asked.and_then(|asked| {
            let should_be = Outcome::of(expected == Expected::Served);
            tally.count(Outcome::of(asked.answer == Answer::Served), should_be);
            judge(expected, &asked, &records)
        });
        report.case(id, outcome);
    }
    tally.count(Outcome::of(hello.is_ok()), Outcome::Accepted);
    report.case("TLS.1-3", hello);
    Ok(())
}

/// Shows a client of ours one server after the other.
async fn servers(site: &Site, mint: &Mint, report: &mut Report, tally: &mut Tally) {
    for server in servers::all() {
        let should_be = Outcome::of(server.is_good);
        let outcome = server.serve(site, mint).await.and_then(|is_accepted| {
            let outcome = Outcome::of(is_accepted);
            tally.count(outcome, should_be);
            ensure!(outcome == should_be, "the client {outcome:?} the server");
            Ok(())
        });
        report.case(server.id, outcome);
    }
}

async fn ask(gate: &Gate, mint: &Mint, case: &Case, offer: &Offer) -> Result<Asked> {
    let shown = (case.made)(mint)?;
    connect::ask(gate.addr(), Some(&shown), offer.clone()).await
}

/// Compares an answer, and what the gate wrote down about it, with what had to come.
fn judge(expected: Expected, asked: &Asked, records: &Records) -> Result<()> {
    let Asked { from, answer } = asked;
    let record = records.of(*from);
    let said = || format!("{answer:?}; on record: {record:?}");
    match expected {
        Expected::Served => {
            ensure!(*answer == Answer::Served, "it was not served: {}", said());
            ensure!(record.is_none(), "it was served, with a refusal on record: {}", said());
        }
        Expected::Unauthenticated(code, cause) => {
            let status = Answer::Refused(UNAUTHENTICATED.to_owned(), code.to_owned());
            ensure!(*answer == status, "not refused with `{code}`: {}", said());
            let record = record.with_context(|| format!("not on record: {}", said()))?;
            ensure!(record.reason == code, "another reason: {}", said());
            ensure!(record.said.contains(cause), "`{cause}` is not the cause: {}", said());
        }
        Expected::NoHandshake(cause) => {
            ensure!(matches!(answer, Answer::Closed(_)), "not closed: {}", said());
            let record = record.with_context(|| format!("not on record: {}", said()))?;
            ensure!(record.reason == "tls_handshake_failed", "another reason: {}", said());
            ensure!(record.said.contains(cause), "`{cause}` is not the cause: {}", said());
        }
    }
    Ok(())
}

/// Makes a site whose gate trusts the authorities of a mint beside its own: most for its own trust
/// domain, one for another domain, and one for the longest domain that there can be.
fn site(mint: &Mint) -> Result<Site> {
    let distant = grammar::of_domain_bytes(255);
    let distant_domain = SpiffeId::parse(&distant)?.trust_domain().to_owned();
    let site = Site::new(&json!({
        "agents": {
            "alice": { "allow": ["bob"] },
            "bob": { "allow": ["alice"] },
            "partner": { "spiffe_id": PARTNER },
            "distant": { "spiffe_id": distant },
            "long": { "spiffe_id": grammar::of_bytes(2_048) },
        },
        "gateway": { "rate_limit": { "per_minute": 100_000, "per_hour": 100_000 } },
        "server": {
            "tls": { "client_ca": AUTHORITIES },
            "spiffe": { "federated": { PARTNER_DOMAIN: PARTNERS, distant_domain: DISTANT } },
        },
    }))?;
    let trusted = [&mint.root, &mint.rsa_root, &mint.constrained_root];
    let own: String = trusted.iter().map(|authority| pem(&authority.certificate)).collect();
    site.write(AUTHORITIES, own.as_bytes())?;
    site.write(PARTNERS, pem(&mint.partner_root.certificate).as_bytes())?;
    site.write(DISTANT, pem(&mint.root.certificate).as_bytes())?;
    Ok(site)
}

/// Writes a certificate as a PEM section (RFC 7468).
fn pem(certificate: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// Says whom a client of this site takes for the gate.
fn offer(site: &Site) -> Result<Offer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.path("ca.pem"))?)?;
    Ok(Offer { roots: Arc::new(roots), protocol: b"h2" })
}

/// The gate's records of who was not let in, by the address that they came from.
struct Records(HashMap<String, Record>);

#[derive(Debug)]
struct Record {
    reason: String,
    said: String,
}

impl Records {
    /// Reads them from the log of a gate that has ended.
    async fn read(site: &Site) -> Result<Self> {
        let records = site.records(&["--decision", "AUTHN_FAILED"]).await?;
        let text = |record: &Value, key: &str| Some(record.get(key)?.as_str()?.to_owned());
        let of = |record: &Value| {
            let said = record.get("decided_by").map(Value::to_string).unwrap_or_default();
            Some((text(record, "peer")?, Record { reason: text(record, "reason")?, said }))
        };
        Ok(Self(records.iter().filter_map(of).collect()))
    }

    fn of(&self, from: SocketAddr) -> Option<&Record> {
        self.0.get(&from.to_string())
    }
}

/// The gate writes 20 records of failed handshakes in a second, and of more their number only.
const PACE: Duration = Duration::from_millis(60);
/// The number of the status (`google.rpc.Code`).
const UNAUTHENTICATED: &str = "16";
const AUTHORITIES: &str = "authorities.pem";
const PARTNERS: &str = "partners.pem";
const DISTANT: &str = "distant.pem";
