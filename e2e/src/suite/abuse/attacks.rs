//! The table of attacks: what each does, what its attacker must get for it, and what it must not.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::calls::{
    Flood, deep_json, hostile_text, large, ping_pong, sends, unknown_fields, unread,
};
use super::crowd;
use super::frames::{self, connects, flood, half_preface, hoard, silence};
use super::ground::{
    CONNECTIONS_PER_SECOND, HANDSHAKES_PER_SECOND, MALLORIES, REFUSALS_PER_SECOND, mallory,
};
use super::native;
use super::tally::Tally;
use super::wire::Target;

/// An attack.
#[derive(Debug)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// Whether the short form has it.
    pub(super) is_short: bool,
    /// What its attacker must get, one of these at least: names of counts. Each is what the gate
    /// does to it, and not what it does itself.
    pub(super) gets: &'static [&'static str],
    /// What it must not get, or no more of than this.
    pub(super) at_most: Option<AtMost>,
    run: fn(Target, Tally) -> Running,
}

/// A rate above which an attacker must not get something.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtMost {
    pub(super) count: &'static str,
    pub(super) per_second: u32,
    /// What it may have on top of that, once.
    pub(super) at_once: u32,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Attack {
    /// Returns the attack of a name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ATTACKS.iter().chain([&CROWD]).find(|attack| attack.name == name)
    }

    /// Has the attack fail if its attacker gets more than this.
    const fn at_most(self, most: AtMost) -> Self {
        Self { at_most: Some(most), ..self }
    }

    /// Attacks until it is dropped.
    pub(super) async fn run(&self, target: Target, tally: Tally) {
        (self.run)(target, tally).await;
    }
}

const CLOSED: &[&str] = &["closed"];
const CUT: &[&str] = &["closed", "goaway_1", "goaway_11", "goaway_0"];
const SLOWED: &[&str] = &["RATE_LIMITED", "BACKPRESSURE"];
const BLOCKED: &[&str] = &["DLP_BLOCKED"];

const NOTHING: AtMost = AtMost { count: "accepted", per_second: 0, at_once: 0 };
/// Five seconds of the rate may come at once.
const HANDSHAKES: AtMost = AtMost {
    count: "connections",
    per_second: HANDSHAKES_PER_SECOND,
    at_once: 5 * HANDSHAKES_PER_SECOND,
};
/// One second of the rate, and as many as the system says yes to before they are accepted (Linux:
/// `net.core.somaxconn`).
const CONNECTIONS: AtMost = AtMost {
    count: "connections",
    per_second: CONNECTIONS_PER_SECOND,
    at_once: CONNECTIONS_PER_SECOND + 4_096,
};
#[expect(clippy::cast_possible_truncation, reason = "eight")]
const REFUSALS: AtMost = AtMost {
    count: "INVALID",
    per_second: REFUSALS_PER_SECOND * MALLORIES as u32,
    at_once: 5 * REFUSALS_PER_SECOND * MALLORIES as u32,
};

const SLOW: Option<Duration> = Some(Duration::from_millis(3));
const DRIP: Option<Duration> = Some(Duration::from_millis(100));

macro_rules! attack {
    ($name:literal, $short:literal, $gets:expr, $run:expr) => {
        Attack {
            name: $name,
            is_short: $short,
            gets: $gets,
            at_most: None,
            run: |t, y| Box::pin($run(t, y)),
        }
    };
}

/// What the case of the crowd starts; not measured in windows, as it comes to an end by itself.
pub(super) const CROWD: Attack = attack!("crowd", true, SLOWED, crowd::come);

/// All of them; the short form has a few of each family.
pub(super) const ATTACKS: &[Attack] = &[
    attack!("silent_sockets", true, CLOSED, |t, y| silence(t, y, b"")),
    attack!("half_client_hello", false, CLOSED, |t, y| silence(t, y, b"\x16\x03\x01\x02\0\x01\0")),
    attack!("half_preface", false, CLOSED, half_preface),
    attack!("header_drip", false, CUT, |t, y| flood(t, y, frames::header_drip, DRIP)),
    attack!("connection_flood", false, &["connections"], |t, y| connects(t, y, false))
        .at_most(CONNECTIONS),
    attack!("handshake_flood", true, &["refused_connections"], |t, y| connects(t, y, true))
        .at_most(HANDSHAKES),
    attack!("connection_hoard", false, CLOSED, hoard),
    attack!("open_streams", true, CUT, |t, y| flood(t, y, frames::open_streams, None)),
    attack!("rapid_reset", true, CUT, |t, y| flood(t, y, frames::rapid_reset, None)),
    attack!("slow_reset", false, CUT, |t, y| flood(t, y, frames::slow_reset, SLOW)),
    attack!("made_you_reset", true, CUT, |t, y| flood(t, y, frames::made_you_reset, None)),
    attack!("continuation_flood", false, CUT, |t, y| flood(t, y, frames::continuation, None)),
    attack!("ping_flood", true, CUT, |t, y| flood(t, y, frames::pings, None)),
    attack!("settings_flood", false, CUT, |t, y| flood(t, y, frames::settings, None)),
    attack!("priority_flood", false, CUT, |t, y| flood(t, y, frames::priorities, None)),
    attack!("empty_data_flood", false, CUT, |t, y| flood(t, y, frames::empty_data, None)),
    attack!("tiny_data_flood", true, CUT, |t, y| flood(t, y, frames::tiny_data, None)),
    attack!("huge_metadata", false, &["reset", "closed", "goaway_1", "goaway_11"], |t, y| {
        flood(t, y, frames::huge_headers, SLOW)
    }),
    attack!("unknown_fields", false, &["INVALID"], unknown_fields).at_most(REFUSALS),
    attack!("refused_sends", true, SLOWED, |t, y| {
        let name = mallory(0);
        sends(t, y, Flood { name, to: "sink", payload: "{}".into(), at_once: 64 })
    }),
    attack!("unauthorised_sends", false, &["AUTHZ_DENIED"], |t, y| {
        let name = mallory(1);
        sends(t, y, Flood { name, to: "honest0", payload: "{}".into(), at_once: 64 })
    })
    .at_most(NOTHING),
    attack!("full_size_messages", true, SLOWED, |t, y| {
        let (name, payload) = ("trusted".to_owned(), large(3_900_000));
        sends(t, y, Flood { name, to: "sink", payload, at_once: 4 })
    }),
    attack!("hostile_text", true, BLOCKED, |t, y| {
        let (name, payload) = ("trusted".to_owned(), hostile_text());
        sends(t, y, Flood { name, to: "sink", payload, at_once: 4 })
    })
    .at_most(NOTHING),
    attack!("deep_json", false, BLOCKED, |t, y| {
        let (name, payload) = ("trusted".to_owned(), deep_json());
        sends(t, y, Flood { name, to: "sink", payload, at_once: 16 })
    })
    .at_most(NOTHING),
    attack!("unread_outcomes", true, &["stalled", "ended"], native::unread_outcomes),
    attack!("credit_overrun", false, &["credit_exceeded"], native::credit_overrun).at_most(NOTHING),
    attack!("tiny_items", true, &["malformed_request"], native::tiny_items).at_most(NOTHING),
    attack!("unread_deliveries", true, &["BACKPRESSURE", "closed"], unread),
    attack!("ping_pong", true, SLOWED, ping_pong),
    attack!("small_messages", false, SLOWED, |t, y| {
        let (name, payload) = ("trusted".to_owned(), "{}".into());
        sends(t, y, Flood { name, to: "sink", payload, at_once: 64 })
    }),
];
