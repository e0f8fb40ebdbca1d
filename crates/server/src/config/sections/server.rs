//! `server`: the address, the certificate, the identities and the limits of connections.
//!
//! No key here turns TLS off: there is no other door.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::units::{milliseconds, seconds};

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

/// What connections may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimits {
    /// Connections open at once. Default 4096; more are closed at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_max: usize,
    /// Of these, connections from one address (IPv6: from one /64 network). Default 1024.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_ip_max: usize,
    /// And connections of one agent or operator, however many addresses they come from. Default
    /// 1024.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_identity_max: usize,
    /// Milliseconds for a TLS handshake. Default 5000; a slow peer holds nothing longer.
    #[serde(rename = "handshake_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 600_000))]
    pub handshake_timeout: Duration,
    /// TLS handshakes at once. Default 256: handshakes are the costliest thing that a stranger
    /// can ask for.
    #[schemars(range(min = 1, max = 65_536))]
    pub handshakes_max: usize,
    /// Streams open at once on one connection. Default 256; clients wait with what is over it.
    #[schemars(range(min = 1, max = 65_536))]
    pub streams_per_connection_max: u32,
    /// Bytes of one gRPC message that is received. Default 4194304, the default of gRPC.
    #[schemars(range(min = 1_024, max = 67_108_864))]
    pub message_bytes_max: usize,
    /// Bytes of the headers of one request. Default 16384; our own clients need less than 1024.
    #[schemars(range(min = 1_024, max = 1_048_576))]
    pub header_bytes_max: u32,
    /// Milliseconds of silence after which a connection is pinged. Default 20000.
    #[serde(rename = "keepalive_interval_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 3_600_000))]
    pub keepalive_interval: Duration,
    /// Milliseconds to answer a ping before the connection is closed. Default 10000, so that a
    /// vanished agent gives its deliveries back within half a minute.
    #[serde(rename = "keepalive_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 3_600_000))]
    pub keepalive_timeout: Duration,
    /// Milliseconds from the handshake to the first request, and from opening a stream to its
    /// hello. Default 10000.
    #[serde(rename = "first_request_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 600_000))]
    pub first_request_timeout: Duration,
    /// Milliseconds that a stopping server waits for running calls. Default 10000.
    #[serde(rename = "drain_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 0, max = 600_000))]
    pub drain_timeout: Duration,
    /// Sessions of one agent at once, over all its instances. Default 1024.
    #[schemars(range(min = 1, max = 65_536))]
    pub sessions_per_agent_max: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            connections_per_ip_max: 1_024,
            connections_per_identity_max: 1_024,
            handshake_timeout: Duration::from_secs(5),
            handshakes_max: 256,
            streams_per_connection_max: 256,
            message_bytes_max: 4_194_304,
            header_bytes_max: 16_384,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            first_request_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
            sessions_per_agent_max: 1_024,
        }
    }
}
