//! Whom to connect to, as whom, and every bound of the client.
//!
//! It reads no file and checks nothing: that is done when the connection is made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use identity::{OpeningKey, ServerIdentity};
use workload::Endpoint;

use crate::tracer::Tracer;

/// Holds everything that a connection needs.
#[derive(Debug)]
pub struct Options {
    /// Where the gate listens, as `host:port`.
    pub addr: String,
    /// The authority that signed the gate's certificate, as PEM.
    pub ca: PathBuf,
    /// The own certificate, as PEM; it says who this agent is.
    pub cert: PathBuf,
    /// The key of the own certificate, as PEM.
    pub key: PathBuf,
    /// Where identity and authorities come from instead of the three files, which are then not
    /// looked at: an agent's SPIFFE Workload API.
    pub workload_api: Option<Endpoint>,
    /// How the gate is recognised; by its name unless said otherwise.
    pub server: ServerIdentity,
    /// The name in the gate's certificate, where it is not the host of `addr`.
    pub server_name: Option<String>,
    /// The instance id, 1 to 32 letters, digits, `_` or `-`; drawn at random if absent.
    pub instance: Option<String>,
    /// Opens fields that the gate encrypted to this agent; its public half is registered with the
    /// gate at each connect.
    pub opening_key: Option<OpeningKey>,
    /// What the session is there to receive.
    pub receive: Receive,
    /// How long to wait between attempts to connect again.
    pub reconnect: Reconnect,
    /// The longest time for one attempt: TCP, TLS and the welcome together.
    pub connect_timeout: Duration,
    /// The longest time for one call, waiting for a connection included.
    pub call_timeout: Duration,
    /// The longest time for a graceful close.
    pub close_timeout: Duration,
    /// How long the session may be silent before a heartbeat is sent.
    pub heartbeat: Duration,
    /// The largest payload or envelope in bytes.
    pub message_bytes_max: usize,
    /// How many unary calls may be under way at once; more wait.
    pub calls_max: usize,
    /// How the session is spoken.
    pub wire: Wire,
    /// How many bytes of messages may be handed over for sending and not answered yet; more wait.
    pub unanswered_bytes_max: usize,
    /// How many bytes of messages the gate may hand over before this program has answered them.
    pub credit_bytes: usize,
    /// How many messages the gate may hand over before this program has answered them; 0 leaves it
    /// to the gate.
    pub deliveries_max: u32,
    /// How many handlers of [`Client::listen`](crate::Client::listen) run at once; with 1 messages
    /// are handled in the order in which they arrive.
    pub handlers_max: usize,
    /// Makes spans of what the client does; nobody does so unless set.
    pub tracer: Option<Arc<dyn Tracer>>,
}

impl Options {
    /// Takes the four things without which there is no connection; the rest gets its default.
    #[must_use]
    pub fn new(
        addr: impl Into<String>,
        ca: impl Into<PathBuf>,
        cert: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        Self {
            addr: addr.into(),
            ca: ca.into(),
            cert: cert.into(),
            key: key.into(),
            workload_api: None,
            server: ServerIdentity::DnsName,
            server_name: None,
            instance: None,
            opening_key: None,
            receive: Receive::All,
            reconnect: Reconnect::default(),
            connect_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            message_bytes_max: 4 * 1024 * 1024,
            calls_max: 256,
            wire: Wire::default(),
            unanswered_bytes_max: 8 * 1024 * 1024,
            credit_bytes: 4 * 1024 * 1024,
            deliveries_max: 0,
            handlers_max: 16,
            tracer: None,
        }
    }

    /// Takes identity and authorities from a SPIFFE Workload API; each connection asks it anew.
    #[must_use]
    pub fn from_workload_api(addr: impl Into<String>, endpoint: Endpoint) -> Self {
        let none = PathBuf::new;
        Self { workload_api: Some(endpoint), ..Self::new(addr, none(), none(), none()) }
    }
}

/// Says how a session is spoken; what a program can do is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// The native session, and the MAS wire where the server knows no other.
    #[default]
    Native,
    /// The MAS wire: one stream for deliveries, a unary call for each message that is sent.
    Mas,
}

/// Says what a session is there to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receive {
    /// The agent's messages, and replies to this instance.
    #[default]
    All,
    /// Only replies to this instance: for a program that sends or asks and ends again, and must
    /// not be handed messages that another instance should handle.
    Replies,
}

/// Says how long to wait between attempts to connect again.
///
/// The bound doubles with each attempt; the wait itself is drawn evenly from nothing to the bound,
/// so that the agents of a restarted gate do not all come back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The bound of the first wait.
    pub first: Duration,
    /// The bound that is not exceeded.
    pub max: Duration,
}

impl Reconnect {
    /// Returns the wait before an attempt, the first having number 0.
    pub(crate) fn wait(self, attempt: u32) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(attempt.min(DOUBLINGS_MAX)));
        let bound = doubled.min(self.max);
        // The low bits of a random UUID (its last 8 bytes but for 2 bits) are random.
        let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
        let draw = u32::try_from(low & u64::from(u16::MAX)).unwrap_or_default();
        bound.saturating_mul(draw) / (u32::from(u16::MAX) + 1)
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), max: Duration::from_secs(10) }
    }
}

/// Keeps the power of two inside its type.
const DOUBLINGS_MAX: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_of_the_wait_doubles_up_to_its_maximum() {
        let reconnect = Reconnect::default();
        for (attempt, bound) in [(0, 100), (1, 200), (6, 6_400), (7, 10_000), (u32::MAX, 10_000)] {
            let longest = (0..200).map(|_| reconnect.wait(attempt)).max().unwrap();
            let bound = Duration::from_millis(bound);
            assert!(longest <= bound, "{attempt}: {longest:?}");
            // That none of 200 draws exceeds half of the bound has a chance of 2^-200.
            assert!(longest > bound / 2, "{attempt}: {longest:?}");
        }
    }
}
