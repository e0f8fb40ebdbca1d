//! `server`: the address, the certificate, the identities and the limits of connections.
//!
//! No key here turns TLS off: there is no other door.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::limits::ServerLimits;
use super::units::seconds;

/// The section `server` as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ServerKeys {
    /// Address and port to listen on. Default 127.0.0.1:50051, so that a first try is seen by
    /// this machine only; port 0 takes a free port and prints it.
    #[serde(default)]
    #[schemars(with = "String", extend("format" = "socket-address", "default" = "127.0.0.1:50051"))]
    pub(in super::super) listen: Listen,
    /// Certificate, key and client CA. Required: there is no connection without mutual TLS.
    pub(in super::super) tls: Tls,
    /// How agents and operators are named in certificates.
    #[serde(default)]
    pub(in super::super) spiffe: SpiffeKeys,
    /// What connections may cost before anyone is authenticated, and after.
    #[serde(default)]
    pub(in super::super) limits: ServerLimits,
}

/// The address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in super::super) struct Listen(pub(in super::super) SocketAddr);

impl Default for Listen {
    fn default() -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_051)))
    }
}

/// The files of the server's own identity and of those it trusts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the server's certificate, leaf first. Relative to this file's folder.
    #[schemars(with = "String", extend("format" = "path"))]
    pub cert: PathBuf,
    /// PEM file with its private key, readable by the server's user only. Relative to this
    /// file's folder.
    #[schemars(with = "String", extend("format" = "path"))]
    pub key: PathBuf,
    /// PEM file with the CA that signs the certificates of agents and operators. Relative to
    /// this file's folder.
    #[schemars(with = "String", extend("format" = "path"))]
    pub client_ca: PathBuf,
    /// File with revocation lists of that CA and others, PEM or DER, at most 16 MiB. Relative to
    /// this file's folder. Default none: a certificate holds until it ends or its CA is removed.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub crl: Option<PathBuf>,
    /// What becomes of certificates whose issuer's revocation list is out of date: refuse or
    /// accept. Default refuse: nobody knows any more which of them were revoked.
    #[serde(default)]
    pub crl_expired: CrlExpired,
    /// Seconds between looks at the files: changed ones are used without a restart, and
    /// connections that are no longer trusted end. Default 1, so that they end within 5 seconds;
    /// 0 never looks.
    #[serde(rename = "reload_seconds", default = "reload_every", with = "seconds")]
    #[schemars(with = "f64", range(min = 0, max = 86_400), extend("default" = 1.0))]
    pub reload_every: Duration,
}

/// What becomes of certificates whose issuer's revocation list is out of date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CrlExpired {
    /// They are refused.
    #[default]
    Refuse,
    /// They are judged by the old list.
    Accept,
}

const fn reload_every() -> Duration {
    Duration::from_secs(1)
}

/// The section `server.spiffe` as it is written.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct SpiffeKeys {
    /// The own trust domain, which `server.tls.client_ca` belongs to. Default mas, as in certificates
    /// made for a MAS server.
    pub(in super::super) trust_domain: String,
    /// Path of an agent's SPIFFE ID; the placeholder is the agent id. Default
    /// `/agent/{agent_id}`.
    pub(in super::super) agent_path: String,
    /// Files with the CAs of other trust domains, by trust domain, PEM; an empty file trusts
    /// nobody. Relative to this file's folder. Default none. Such an agent needs
    /// `agents.NAME.spiffe_id`.
    #[schemars(schema_with = "federated")]
    pub(in super::super) federated: BTreeMap<String, PathBuf>,
    /// Path of an operator's SPIFFE ID; operators may change rules and replay dead letters.
    /// Default `/operator/{operator}`.
    pub(in super::super) operator_path: String,
}

fn federated(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "format": "trust-domain" },
        "additionalProperties": { "type": "string", "format": "path" },
    })
}

impl Default for SpiffeKeys {
    fn default() -> Self {
        Self {
            trust_domain: "mas".to_owned(),
            agent_path: "/agent/{agent_id}".to_owned(),
            operator_path: "/operator/{operator}".to_owned(),
            federated: BTreeMap::new(),
        }
    }
}
