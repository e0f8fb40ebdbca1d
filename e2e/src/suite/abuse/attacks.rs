//! The table of attacks: what each does, and what its attacker must get for it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::calls::{Flood, deep_json, hostile_text, large, ping_pong, sends, unread};
use super::frames::{self, connects, flood, half_preface, hoard, silence, unknown_fields};
use super::ground::mallory;
use super::tally::Tally;
use super::wire::Target;

/// An attack.
#[derive(Debug)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// Whether the short form has it.
    pub(super) is_short: bool,
    /// What its attacker must get, one of these at least: names of counts.
    pub(super) gets: &'static [&'static str],
    run: fn(Target, Tally) -> Running,
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Attack {
    /// Returns the attack of a name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ATTACKS.iter().find(|attack| attack.name == name)
    }

    /// Attacks until it is dropped.
    pub(super) async fn run(&self, target: Target, tally: Tally) {
        (self.run)(target, tally).await;
    }
}

const CLOSED: &[&str] = &["closed", "refused_connections", "goaway_11"];
/// Some get in, at the rate at which anyone does; the others wait or are turned away.
const ATTEMPTS: &[&str] = &["connections", "refused_connections"];
const CUT: &[&str] = &["closed", "goaway_1", "goaway_11", "goaway_0"];
const SLOWED: &[&str] = &["RATE_LIMITED", "BACKPRESSURE"];

const SLOW: Option<Duration> = Some(Duration::from_millis(3));
const DRIP: Option<Duration> = Some(Duration::from_millis(100));

macro_rules! attack {
    ($name:literal, $short:literal, $gets:expr, $run:expr) => {
        Attack { name: $name, is_short: $short, gets: $gets, run: |t, y| Box::pin($run(t, y)) }
    };
}

/// All of them; the short form has a few of each family.
pub(super) const ATTACKS: &[Attack] = &[
    attack!("silent_sockets", true, CLOSED, |t, y| silence(t, y, b"")),
    attack!("half_client_hello", false, CLOSED, |t, y| silence(t, y, b"\x16\x03\x01\x02\0\x01\0")),
    attack!("half_preface", false, CLOSED, half_preface),
    attack!("header_drip", false, CUT, |t, y| flood(t, y, frames::header_drip, DRIP)),
    attack!("connection_flood", false, ATTEMPTS, |t, y| connects(t, y, false)),
    attack!("handshake_flood", true, ATTEMPTS, |t, y| connects(t, y, true)),
    attack!("connection_hoard", false, CLOSED, hoard),
    attack!("open_streams", true, CUT, |t, y| flood(t, y, frames::open_streams, None)),
    attack!("rapid_reset", true, CUT, |t, y| flood(t, y, frames::rapid_reset, None)),
    attack!("slow_reset", false, CUT, |t, y| flood(t, y, frames::slow_reset, SLOW)),
    attack!("made_you_reset", false, CUT, |t, y| flood(t, y, frames::made_you_reset, None)),
    attack!("continuation_flood", false, CUT, |t, y| flood(t, y, frames::continuation, None)),
    attack!("ping_flood", true, CUT, |t, y| flood(t, y, frames::pings, None)),
    attack!("settings_flood", false, CUT, |t, y| flood(t, y, frames::settings, None)),
    attack!("priority_flood", false, CUT, |t, y| flood(t, y, frames::priorities, None)),
    attack!("empty_data_flood", false, CUT, |t, y| flood(t, y, frames::empty_data, None)),
    attack!("tiny_data_flood", true, CUT, |t, y| flood(t, y, frames::tiny_data, None)),
    attack!("huge_metadata", false, &["reset", "closed", "pieces"], |t, y| {
        flood(t, y, frames::huge_headers, SLOW)
    }),
    attack!("unknown_fields", false, &["answered", "closed"], unknown_fields),
    attack!("refused_sends", true, SLOWED, |t, y| {
        let name = mallory(0);
        sends(t, y, Flood { name, to: "sink", payload: "{}".into(), at_once: 64 })
    }),
    attack!("unauthorised_sends", false, &["AUTHZ_DENIED", "closed"], |t, y| {
        let name = mallory(1);
        sends(t, y, Flood { name, to: "honest0", payload: "{}".into(), at_once: 64 })
    }),
    attack!("full_size_messages", true, SLOWED, |t, y| {
        let (name, payload) = ("trusted".to_owned(), large(3_900_000));
        sends(t, y, Flood { name, to: "sink", payload, at_once: 4 })
    }),
    attack!("hostile_text", true, &["DLP_BLOCKED", "RATE_LIMITED", "BACKPRESSURE"], |t, y| {
        let (name, payload) = ("trusted".to_owned(), hostile_text());
        sends(t, y, Flood { name, to: "sink", payload, at_once: 4 })
    }),
    attack!(
        "deep_json",
        false,
        &["INVALID", "DLP_BLOCKED", "RATE_LIMITED", "BACKPRESSURE"],
        |t, y| {
            let (name, payload) = (mallory(2), deep_json());
            sends(t, y, Flood { name, to: "sink", payload, at_once: 16 })
        }
    ),
    attack!("unread_deliveries", true, &["BACKPRESSURE", "closed"], unread),
    attack!("ping_pong", true, SLOWED, ping_pong),
    attack!("small_messages", false, SLOWED, |t, y| {
        let (name, payload) = ("trusted".to_owned(), "{}".into());
        sends(t, y, Flood { name, to: "sink", payload, at_once: 64 })
    }),
];
