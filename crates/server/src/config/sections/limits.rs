//! `server.limits`: what a connection may cost, before anyone is authenticated and after.
//!
//! The numbers only; who keeps to them are the files of the door.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{milliseconds, seconds};

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
    /// Connections accepted in a second. Default 1000; further ones wait in the system's queue,
    /// so that a flood of them takes no processor from those who are connected.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_second: u32,
    /// TLS handshakes in a second, all addresses together; further ones wait. Default 200.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub handshakes_per_second: u32,
    /// Of these, from one address (IPv6: from one /64 network). Default 50: a twentieth of what
    /// one core can do.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub handshakes_per_second_per_ip: u32,
    /// TLS handshakes of one address at once. Default 64, so that one address cannot take the
    /// places of all.
    #[schemars(range(min = 1, max = 65_536))]
    pub handshakes_per_ip_max: usize,
    /// Milliseconds from the handshake to the first HTTP/2 SETTINGS. Default 2000: clients send
    /// it at once.
    #[serde(rename = "first_settings_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 600_000))]
    pub first_settings_timeout: Duration,
    /// Seconds after which a connection is asked to end, and its client to connect again; each
    /// up to a tenth earlier, so that not all end at once. Default 86400, a day; 0 never.
    #[serde(rename = "connection_age_max_seconds", with = "seconds")]
    #[schemars(with = "f64", range(min = 0, max = 2_592_000))]
    pub connection_age_max: Duration,
    /// Bytes that a client may send ahead of what is read, on one stream. Default 262144.
    #[schemars(range(min = 16_384, max = 16_777_216))]
    pub stream_window_bytes: u32,
    /// The same for all streams of a connection. Default 524288; `connections_max` times this is
    /// the most that unread bytes can take.
    #[schemars(range(min = 65_535, max = 67_108_864))]
    pub connection_window_bytes: u32,
    /// Streams of one connection that the server resets because the client broke the protocol,
    /// before the connection is closed. Default 64.
    #[schemars(range(min = 1, max = 65_536))]
    pub broken_streams_max: usize,
    /// Streams that a client resets before they are looked at, before the connection is closed.
    /// Default 20.
    #[schemars(range(min = 1, max = 65_536))]
    pub early_resets_max: usize,
    /// Headers of one request. Default 64.
    #[schemars(range(min = 16, max = 1_024))]
    pub header_entries_max: usize,
    /// Bytes of one header whose name ends in `-bin`, as it is written. Default 4096.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub binary_header_bytes_max: usize,
    /// Milliseconds for a call that is no session, with reading its body. Default 30000. What
    /// was handed to the gate by then is still decided and recorded.
    #[serde(rename = "call_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 3_600_000))]
    pub call_timeout: Duration,
    /// Milliseconds between two pieces of such a call's body. Default 10000.
    #[serde(rename = "body_idle_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 3_600_000))]
    pub body_idle_timeout: Duration,
    /// Milliseconds that a session may leave a delivery unread before its connection is closed
    /// and its deliveries go to others. Default 60000.
    #[serde(rename = "stall_timeout_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 1, max = 3_600_000))]
    pub stall_timeout: Duration,
    /// Calls of one agent or operator under way at once, over all its connections; those whose
    /// caller has gone count until they end. Default 256.
    #[schemars(range(min = 1, max = 65_536))]
    pub calls_per_identity_max: usize,
    /// Bytes of calls under way, of one agent or operator. Default 67108864.
    #[schemars(range(min = 1_024, max = 1_099_511_627_776_u64))]
    pub call_bytes_per_identity_max: usize,
    /// Bytes of calls under way in all. Default 268435456.
    #[schemars(range(min = 1_024, max = 1_099_511_627_776_u64))]
    pub call_bytes_max: usize,
    /// Bytes in a second that are read from one agent or operator; further ones wait. Default
    /// 33554432.
    #[schemars(range(min = 1_024, max = 1_099_511_627_776_u64))]
    pub bytes_per_second_per_identity: u64,
    /// HTTP/2 frames without work (pings, settings, window updates, tiny pieces of data) in a
    /// second, of one agent or operator, beyond those that answer ours; more of them close the
    /// connection. Default 2000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub idle_frames_per_second: u32,
    /// Calls that one agent or operator cancels in a second; more of them close the connection.
    /// Default 100.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub cancels_per_second: u32,
    /// Calls of one agent or operator that are refused in a second; the answers to further ones
    /// are held back for up to a second, and where too many are, the connection is closed.
    /// Default 100.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub refusals_per_second: u32,
    /// Milliseconds for which new connections are refused to an agent or operator whose
    /// connection was closed for what it did. Default 2000; 0 lets it come back at once.
    #[serde(rename = "penalty_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 0, max = 600_000))]
    pub penalty: Duration,
    /// The longest such time, in milliseconds: it doubles each time that another connection has
    /// to be closed soon after. Default 60000.
    #[serde(rename = "penalty_max_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 0, max = 3_600_000))]
    pub penalty_max: Duration,
    /// Milliseconds for which the connections of an agent or operator are served in the slow
    /// lane, behind everyone else, because it did much of what is limited here. Default 5000; 0
    /// never.
    #[serde(rename = "slow_lane_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 0, max = 600_000))]
    pub slow_lane: Duration,
    /// The longest such time, in milliseconds: it doubles each time that it is needed again soon.
    /// Default 300000.
    #[serde(rename = "slow_lane_max_ms", with = "milliseconds")]
    #[schemars(with = "u64", range(min = 0, max = 3_600_000))]
    pub slow_lane_max: Duration,
    /// Payloads of 16 KiB and more that wait to be looked at; further ones are refused. Default
    /// 256.
    #[schemars(range(min = 1, max = 65_536))]
    pub large_payloads_max: usize,
    /// Of these, payloads of one agent. Default 32; they are looked at one after the other.
    #[schemars(range(min = 1, max = 65_536))]
    pub large_payloads_per_identity_max: usize,
    /// Bytes of memory that the process should stay below. From 80 % on calls that bring a message
    /// are refused, from 90 % on new connections too. Default 2147483648; 0 looks at nothing.
    #[schemars(range(min = 0, max = 1_125_899_906_842_624_u64))]
    pub memory_bytes_max: u64,
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
            connections_per_second: 1_000,
            handshakes_per_second: 200,
            handshakes_per_second_per_ip: 50,
            handshakes_per_ip_max: 64,
            first_settings_timeout: Duration::from_secs(2),
            connection_age_max: Duration::from_secs(24 * 3_600),
            stream_window_bytes: 262_144,
            connection_window_bytes: 524_288,
            broken_streams_max: 64,
            early_resets_max: 20,
            header_entries_max: 64,
            binary_header_bytes_max: 4_096,
            call_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            calls_per_identity_max: 256,
            call_bytes_per_identity_max: 67_108_864,
            call_bytes_max: 268_435_456,
            bytes_per_second_per_identity: 33_554_432,
            idle_frames_per_second: 2_000,
            cancels_per_second: 100,
            refusals_per_second: 100,
            penalty: Duration::from_secs(2),
            penalty_max: Duration::from_secs(60),
            slow_lane: Duration::from_secs(5),
            slow_lane_max: Duration::from_secs(300),
            large_payloads_max: 256,
            large_payloads_per_identity_max: 32,
            memory_bytes_max: 2_147_483_648,
        }
    }
}
