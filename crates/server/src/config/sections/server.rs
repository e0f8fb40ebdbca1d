//! `server`: the address, the certificate, the identities and the limits of connections.
//!
//! No key here turns TLS off: there is no other door.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use workload::Endpoint;

use super::limits::ServerLimits;
use super::units::seconds;

/// The section `server` as it is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ServerKeys {
    /// Address and port to listen on. Default 127.0.0.1:50051, so that a first try is seen by
    /// this machine only; port 0 takes a free port and prints it.
    #[serde(default)]
    #[schemars(with = "String", extend("format" = "socket-address", "default" = "127.0.0.1:50051"))]
    pub(in super::super) listen: Listen,
    /// Certificate, key and client CA, or the Workload API that has them. One of both is required:
    /// there is no connection without mutual TLS.
    #[serde(default)]
    pub(in super::super) tls: TlsKeys,
    /// How agents and operators are named in certificates.
    #[serde(default)]
    pub(in super::super) spiffe: SpiffeKeys,
    /// Metrics and health for the machines that watch the server.
    #[serde(default)]
    pub(in super::super) operations: OperationsKeys,
    /// What connections may cost before anyone is authenticated, and after.
    #[serde(default)]
    pub(in super::super) limits: ServerLimits,
}

/// The section `server.operations` as it is written.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in super::super) struct OperationsKeys {
    /// Address and port of `/metrics`, `/livez` and `/readyz`. Default none: they are plain HTTP
    /// without a certificate and leave no record, so they belong on loopback or in a network of
    /// operators. They tell nothing about agents or messages but numbers.
    #[schemars(with = "Option<String>", extend("format" = "socket-address"))]
    pub(in super::super) listen: Option<SocketAddr>,
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

/// Where the server's own identity comes from, and those it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// Files or a Workload API.
    pub source: TlsSource,
    /// What becomes of certificates whose issuer's revocation list is out of date.
    pub crl_expired: CrlExpired,
    /// The time between looks at the files.
    pub reload_every: Duration,
}

/// Where identity and trust come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsSource {
    /// From files.
    Files(TlsFiles),
    /// From an agent on this machine, by the SPIFFE Workload API.
    WorkloadApi(Endpoint),
}

/// The files of the server's own identity and of those it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The server's certificate, leaf first, as PEM.
    pub cert: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// The authorities of the own trust domain, as PEM.
    pub client_ca: PathBuf,
    /// Revocation lists, as PEM or DER.
    pub crl: Option<PathBuf>,
}

/// The section `server.tls` as it is written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct TlsKeys {
    /// PEM file with the server's certificate, leaf first. Relative to this file's folder.
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub(in super::super) cert: Option<PathBuf>,
    /// PEM file with its private key, readable by the server's user only. Relative to this
    /// file's folder.
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub(in super::super) key: Option<PathBuf>,
    /// PEM file with the CA that signs the certificates of agents and operators. Relative to
    /// this file's folder.
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub(in super::super) client_ca: Option<PathBuf>,
    /// Socket of a SPIFFE Workload API, such as `unix:///run/spire/agent.sock`, that gives
    /// identity, bundles and revocation lists. Stands in place of the four files. Default none.
    pub(in super::super) workload_api: Option<String>,
    /// File with revocation lists of that CA and others, PEM or DER, at most 16 MiB. Relative to
    /// this file's folder. Default none: a certificate holds until it ends or its CA is removed.
    #[serde(default)]
    #[schemars(with = "Option<String>", extend("format" = "path"))]
    pub(in super::super) crl: Option<PathBuf>,
    /// What becomes of certificates whose issuer's revocation list is out of date: refuse or
    /// accept. Default refuse: nobody knows any more which of them were revoked.
    #[serde(default)]
    pub(in super::super) crl_expired: CrlExpired,
    /// Seconds between looks at the files: changed ones are used without a restart, and
    /// connections that are no longer trusted end. Default 1, so that they end within 5 seconds;
    /// 0 never looks.
    #[serde(rename = "reload_seconds", default = "reload_every", with = "seconds")]
    #[schemars(with = "f64", range(min = 0, max = 86_400), extend("default" = 1.0))]
    pub(in super::super) reload_every: Duration,
}

impl Default for TlsKeys {
    fn default() -> Self {
        Self {
            cert: None,
            key: None,
            client_ca: None,
            workload_api: None,
            crl: None,
            crl_expired: CrlExpired::default(),
            reload_every: reload_every(),
        }
    }
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
    /// The own trust domain, which `server.tls.client_ca` belongs to. Default mas, as in
    /// certificates made for a MAS server.
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
