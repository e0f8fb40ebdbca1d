//! `palisade cert show`: whose a certificate is, and whether the gate's own check takes it.
//!
//! It does not follow the chain: who signed is decided in the handshake, by the files that the gate
//! is configured with.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use identity::{IdPattern, PeerCertificate, check_leaf};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Serialize;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock;
use crate::failure::Failure;
use crate::keyring::{AGENT_PATH, OPERATOR_PATH, TRUST_DOMAIN};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// A certificate in PEM form; of several the first is shown.
    file: PathBuf,
    /// The trust domain to compare with.
    #[arg(long, default_value = TRUST_DOMAIN)]
    trust_domain: String,
}

/// What a certificate says.
#[derive(Debug, Serialize)]
struct Seen {
    subject: String,
    names: Vec<String>,
    not_before: String,
    not_after: String,
    /// `valid`, `expired` or `not yet valid`.
    time: &'static str,
    /// Whether it would pass as a client of the gate, dates and issuer aside.
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_with: Option<Refused>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_id: Option<String>,
    /// `agent NAME` or `operator NAME` for an ID of the default form.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint_sha256: Option<String>,
}

#[derive(Debug, Serialize)]
struct Refused {
    code: &'static str,
    reason: String,
}

/// Shows the certificate.
pub(super) fn run(args: &ShowArgs, out: &Output) -> anyhow::Result<ExitCode> {
    let place = args.file.display();
    let der = CertificateDer::from_pem_file(&args.file).map_err(|error| {
        let text = format!("`{place}` holds no certificate in PEM form: {error}");
        Failure::failed("certificate_unreadable", text)
    })?;
    let seen = look(&der, &args.trust_domain)
        .with_context(|| format!("`{place}` holds a certificate that cannot be read"))?;
    if out.json {
        out.json(&seen)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        row("subject", &seen.subject),
        row("names", &seen.names.join(", ")),
        row("valid from", &seen.not_before),
        row("valid until", &format!("{} ({})", seen.not_after, seen.time)),
    ];
    if let Some(id) = &seen.spiffe_id {
        rows.push(row("identity", id));
    }
    if let Some(principal) = &seen.principal {
        rows.push(row("is", principal));
    }
    if let Some(fingerprint) = &seen.fingerprint_sha256 {
        rows.push(row("SHA-256", fingerprint));
    }
    rows.push(row("as a client", &seen.verdict()));
    out.table(&["certificate", ""], &rows)?;
    Ok(ExitCode::SUCCESS)
}

impl Seen {
    fn verdict(&self) -> String {
        self.refused_with.as_ref().map_or_else(
            || "accepted".to_owned(),
            |refused| format!("refused: {}: {}", refused.code, refused.reason),
        )
    }
}

fn row(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

fn look(der: &CertificateDer<'_>, trust_domain: &str) -> anyhow::Result<Seen> {
    let (_rest, certificate) = X509Certificate::from_der(der)?;
    let validity = certificate.validity();
    let now = clock::unix_seconds();
    let time = if now < validity.not_before.timestamp() {
        "not yet valid"
    } else if now > validity.not_after.timestamp() {
        "expired"
    } else {
        "valid"
    };
    let names = certificate.subject_alternative_name()?.map_or_else(Vec::new, |extension| {
        extension.value.general_names.iter().map(name_text).collect()
    });
    let checked = check_leaf(der);
    let id = checked.as_ref().ok().map(|leaf| leaf.spiffe_id.to_string());
    Ok(Seen {
        subject: certificate.subject().to_string(),
        names,
        not_before: validity.not_before.to_string(),
        not_after: validity.not_after.to_string(),
        time,
        accepted: checked.is_ok(),
        principal: match &checked {
            Ok(leaf) => principal(leaf, trust_domain)?,
            Err(_) => None,
        },
        fingerprint_sha256: checked.as_ref().ok().map(|leaf| leaf.fingerprint_sha256.clone()),
        refused_with: checked
            .err()
            .map(|error| Refused { code: error.code(), reason: error.to_string() }),
        spiffe_id: id,
    })
}

/// Names the principal if the ID has the form that this program's own certificates have.
fn principal(leaf: &PeerCertificate, trust_domain: &str) -> anyhow::Result<Option<String>> {
    for (kind, path) in [("agent", AGENT_PATH), ("operator", OPERATOR_PATH)] {
        let pattern = IdPattern::new(trust_domain, path)?;
        if let Some(name) = pattern.extract(&leaf.spiffe_id) {
            return Ok(Some(format!("{kind} {name}")));
        }
    }
    Ok(None)
}

fn name_text(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(text) => format!("DNS {text}"),
        GeneralName::URI(text) => format!("URI {text}"),
        GeneralName::RFC822Name(text) => format!("e-mail {text}"),
        GeneralName::IPAddress([a, b, c, d]) => format!("IP {a}.{b}.{c}.{d}"),
        GeneralName::IPAddress(bytes) => <[u8; 16]>::try_from(*bytes).map_or_else(
            |_length| "IP ?".to_owned(),
            |bytes| format!("IP {}", std::net::Ipv6Addr::from(bytes)),
        ),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => name.to_string(),
    }
}
