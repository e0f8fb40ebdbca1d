//! Who is let in: one certificate after the other, presented by a client of others.
//!
//! Whatever is refused leaves a record; a refusal at the TLS handshake too.

use std::fs;

use anyhow::Result;
use e2e::{Foreign, Site, eventually, unix_now};
use identity::{DevCa, Overwrite, SpiffeId, Validity};
use palisade_client::Client;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Use, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// What a certificate says, all of it changeable.
struct Draft {
    names: Vec<SanType>,
    uses: Vec<Use>,
    days: std::ops::Range<i64>,
    is_ca: IsCa,
}

fn agent(uri: &str) -> Draft {
    Draft {
        names: vec![uri_name(uri)],
        uses: vec![Use::ClientAuth],
        days: -1..1,
        is_ca: IsCa::NoCa,
    }
}

fn uri_name(uri: &str) -> SanType {
    SanType::URI(uri.to_owned().try_into().unwrap())
}

fn dns_name(name: &str) -> SanType {
    SanType::DnsName(name.to_owned().try_into().unwrap())
}

/// Has the site's authority sign a draft, which no tool of ours would.
fn sign(site: &Site, name: &str, draft: Draft) {
    let ca_key = KeyPair::from_pem(&fs::read_to_string(site.path("ca.key")).unwrap()).unwrap();
    let ca_cert = fs::read_to_string(site.path("ca.pem")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&ca_cert, ca_key).unwrap();
    let mut params = CertificateParams::default();
    let day = |day| OffsetDateTime::from_unix_timestamp(unix_now() + day * 86_400).unwrap();
    (params.not_before, params.not_after) = (day(draft.days.start), day(draft.days.end));
    params.distinguished_name.push(DnType::CommonName, "alice");
    params.subject_alt_names = draft.names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if draft.is_ca != IsCa::NoCa {
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    }
    params.is_ca = draft.is_ca;
    params.extended_key_usages = draft.uses;
    let key = KeyPair::generate().unwrap();
    site.write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem().as_bytes())
        .unwrap();
    site.write(&format!("{name}.key"), key.serialize_pem().as_bytes()).unwrap();
}

/// Makes a certificate of another authority of the same name, for an agent that exists.
fn sign_elsewhere(site: &Site, name: &str) {
    let other = DevCa::create("e2e", unix_now()).unwrap();
    let id = SpiffeId::parse("spiffe://mas/agent/alice").unwrap();
    let issued = other.issue_agent(&id, Validity::from_days(unix_now(), 1).unwrap()).unwrap();
    issued.save(site.folder(), name, Overwrite::Refuse).unwrap();
}

/// The answer of a session and of a call that is the same for both.
fn both(status: &str, text: &str) -> Value {
    json!([[status, text], [status, text]])
}

const ID: &str = "spiffe://mas/agent/alice";

/// Each certificate that is let in or refused after the handshake, with the answer.
fn after_the_handshake() -> Vec<(&'static str, Draft, Value)> {
    let refused = |text| both("UNAUTHENTICATED", text);
    let long = format!("spiffe://mas/agent/{}", "a".repeat(65));
    let two = vec![uri_name(ID), uri_name("spiffe://mas/agent/bob")];
    let other_kinds = vec![dns_name("alice.example"), uri_name(ID)];
    let mut cases = vec![
        ("other names beside it", Draft { names: other_kinds, ..agent(ID) }, welcome()),
        ("no names", Draft { names: Vec::new(), ..agent(ID) }, refused("missing_spiffe_san")),
        (
            "only a DNS name",
            Draft { names: vec![dns_name("spiffe.example")], ..agent(ID) },
            refused("invalid_spiffe_san"),
        ),
        ("two ids", Draft { names: two, ..agent(ID) }, refused("invalid_spiffe_san")),
        ("no SPIFFE ID", agent("https://mas/agent/alice"), refused("invalid_spiffe_san")),
        (
            "an authority's",
            Draft { is_ca: IsCa::Ca(BasicConstraints::Unconstrained), ..agent(ID) },
            Value::Null,
        ),
        ("not allowlisted", agent("spiffe://mas/agent/mallory"), refused("agent_not_allowlisted")),
    ];
    for (name, id) in [
        ("another trust domain", "spiffe://other/agent/alice"),
        ("a longer path", "spiffe://mas/agent/alice/one"),
        ("another path", "spiffe://mas/user/alice"),
        ("no name in the path", "spiffe://mas/agent/"),
        ("a trailing line feed", "spiffe://mas/agent/alice\n"),
        ("a trailing slash", "spiffe://mas/agent/alice/"),
        ("an escaped letter", "spiffe://mas/agent/alic%65"),
        ("a query", "spiffe://mas/agent/alice?a=b"),
        ("a port", "spiffe://mas:1/agent/alice"),
        ("a name too long", long.as_str()),
    ] {
        cases.push((name, agent(id), refused("invalid_spiffe_format")));
    }
    cases
}

/// Each certificate that does not survive the handshake.
fn in_the_handshake() -> Vec<(&'static str, Draft)> {
    vec![
        ("expired", Draft { days: -3..-1, ..agent(ID) }),
        ("not yet valid", Draft { days: 1..2, ..agent(ID) }),
        ("for servers only", Draft { uses: vec![Use::ServerAuth], ..agent(ID) }),
    ]
}

fn welcome() -> Value {
    json!([["OK", "alice"], ["OK", "state"]])
}

#[tokio::test]
async fn every_certificate_gets_its_answer_and_every_refusal_its_record() {
    let site = Site::of_two().unwrap();
    let mut question = vec![json!(["the right one", "alice.pem", "alice.key"])];
    let mut expected = vec![("the right one", welcome())];
    let mut ask = |name: &'static str, answer: Value| {
        question.push(json!([name, format!("{name}.pem"), format!("{name}.key")]));
        expected.push((name, answer));
    };
    for (name, draft, answer) in after_the_handshake() {
        sign(&site, name, draft);
        ask(name, answer);
    }
    for (name, draft) in in_the_handshake() {
        sign(&site, name, draft);
        ask(name, both("UNAVAILABLE", ""));
    }
    sign_elsewhere(&site, "another-authority");
    ask("another-authority", both("UNAVAILABLE", ""));
    question.push(json!(["the authority itself", "ca.pem", "ca.key"]));
    expected.push(("the authority itself", Value::Null));
    question.push(json!(["no certificate", "", ""]));
    expected.push(("no certificate", both("UNAVAILABLE", "")));
    let gate = site.start().await.unwrap();
    let identity = Foreign::new(&site, &gate, "identity.py").unwrap();
    let answers = identity.ask(&Value::Array(question)).await.unwrap();
    for (name, expected) in &expected {
        if expected.is_null() {
            // The chain check may refuse it before our own does; let in it must not be.
            for answer in answers[name].as_array().unwrap() {
                assert!(["UNAVAILABLE", "UNAUTHENTICATED"].contains(&answer[0].as_str().unwrap()));
            }
        } else {
            assert_eq!(&answers[name], expected, "{name}");
        }
    }
    assert_eq!(answers["TLS 1.2"], "refused");
    gate.stop().await.unwrap();
    check_records(&site, &expected).await;
}

/// Compares the log with what was asked: two connections' worth of refusals for each case.
async fn check_records(site: &Site, expected: &[(&'static str, Value)]) {
    let records = site.records(&["--decision", "AUTHN_FAILED"]).await.unwrap();
    let of = |reason: &str| records.iter().filter(|record| record["reason"] == reason).count();
    for reason in [
        "missing_spiffe_san",
        "invalid_spiffe_san",
        "invalid_spiffe_format",
        "agent_not_allowlisted",
    ] {
        let asked = expected.iter().filter(|(_, answer)| answer[0][1] == reason).count();
        assert_eq!(of(reason), 2 * asked, "{reason}");
    }
    // Handshakes are tried more than once by some clients.
    let handshakes: Vec<&Value> =
        records.iter().filter(|record| record["reason"] == "tls_handshake_failed").collect();
    let failed = expected.iter().filter(|(_, answer)| answer[0][0] == "UNAVAILABLE").count();
    assert!(handshakes.len() > failed, "{} of {failed}", handshakes.len());
    for record in &handshakes {
        assert_eq!(record["event_type"], "authentication");
        assert_eq!(record["outcome"], "refused");
        assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    }
    let said: String = handshakes.iter().map(|record| record["decided_by"].to_string()).collect();
    for cause in ["expired", "BadSignature", "no certificates", "SupportedVersions"] {
        assert!(said.contains(cause), "{cause} is not in {said}");
    }
}

#[tokio::test]
async fn an_expired_certificate_ends_its_connection() {
    let site = Site::of_two().unwrap();
    let gate = site.start().await.unwrap();
    let (now, id) = (unix_now(), SpiffeId::parse(ID).unwrap());
    let ca = DevCa::load(site.folder()).unwrap();
    // Long enough for a slow machine to connect with it.
    let soon = Validity { not_before_unix: now - 60, not_after_unix: now + 4 };
    let issued = ca.issue_agent(&id, soon).unwrap();
    issued.save(site.folder(), "alice", Overwrite::Replace).unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let operator = site.operator(&gate).await.unwrap();
    let sessions = async || -> Result<usize> {
        let agents = operator.agents().await?.agents;
        Ok(agents.iter().map(|agent| agent.instances.len()).sum())
    };
    assert_eq!(sessions().await.unwrap(), 1);
    eventually("the session ended", async || Ok((sessions().await? == 0).then_some(())))
        .await
        .unwrap();
    assert!(unix_now() >= soon.not_after_unix, "it ended before its time");
    drop(alice);
    gate.stop().await.unwrap();
}

#[tokio::test]
async fn a_new_authority_is_taken_without_a_restart_and_ends_what_the_old_one_let_in() {
    let site = Site::new(&json!({
        "agents": { "alice": { "allow": ["bob"] }, "bob": { "allow": ["alice"] } },
        "server": { "tls": { "reload_seconds": 0.1 } },
        "gateway": { "rate_limit": { "per_minute": 100_000, "per_hour": 100_000 } },
    }))
    .unwrap();
    let gate = site.start().await.unwrap();
    let alice = site.connect(&gate, "alice").await.unwrap();
    let next = DevCa::create("next", unix_now()).unwrap();
    let valid = Validity::from_days(unix_now(), 1).unwrap();
    let bob = SpiffeId::parse("spiffe://mas/agent/bob").unwrap();
    let names = ["127.0.0.1".to_owned()];
    // A key without its certificate, as it is for a moment while files are replaced: of no use,
    // and no reason to end.
    site.write("server.pem", b"half of it").unwrap();
    next.save(site.folder(), Overwrite::Replace).unwrap();
    let issued = next.issue_agent(&bob, valid).unwrap();
    issued.save(site.folder(), "bob", Overwrite::Replace).unwrap();
    let issued = next.issue_server(&names, None, valid).unwrap();
    issued.save(site.folder(), "server", Overwrite::Replace).unwrap();
    let bob = eventually("the new authority is in force", async || {
        Ok(Client::connect(site.options(&gate, "bob")).await.ok())
    })
    .await
    .unwrap();
    eventually("the old authority's session ended", async || {
        Ok(bob.discover(&[]).await?.is_empty().then_some(()))
    })
    .await
    .unwrap();
    Client::connect(site.options(&gate, "alice")).await.unwrap_err();
    drop(alice);
    gate.stop().await.unwrap();
}
