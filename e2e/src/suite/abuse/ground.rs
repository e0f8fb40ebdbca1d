//! Where the attacks take place: a gate on a disk of memory, honest agents, and attackers.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gate::Start;
use crate::{Gate, Site};

/// A running gate with everyone's certificates.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) site: Site,
    pub(super) gate: Gate,
    /// What is set otherwise than by default, but for the agents.
    pub(super) settings: Value,
    /// Keeps the store; not on a disk, whose noise would hide what is measured.
    _store: TempDir,
}

/// Honest agents.
pub(super) const HONEST: usize = 100;
/// Attackers with the usual limits.
pub(super) const MALLORIES: usize = 8;
/// Attackers whose connections are cut; they have to stay away longer each time.
pub(super) const INTRUDERS: usize = 8;
/// The process may not have more than this in memory, whatever is done to it.
pub(super) const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// The rates that floods are held against.
pub(super) const CONNECTIONS_PER_SECOND: u32 = 1_000;
pub(super) const HANDSHAKES_PER_SECOND: u32 = 50;
pub(super) const REFUSALS_PER_SECOND: u32 = 100;

pub(super) fn honest(number: usize) -> String {
    format!("honest{}", number % HONEST)
}

pub(super) fn mallory(number: usize) -> String {
    format!("mallory{}", number % MALLORIES)
}

pub(super) fn intruder(number: usize) -> String {
    format!("intruder{}", number % INTRUDERS)
}

impl Ground {
    /// Starts a gate where these and further agents are known.
    pub(super) async fn start(more: &Value) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        builder.prefix("palisade-abuse-");
        let store = match builder.tempdir_in(memory) {
            Ok(store) => store,
            Err(_no_memory_disk) => builder.tempdir()?,
        };
        let mut settings = settings(store.path());
        for section in ["/agents", "/delivery", "/server/limits"] {
            let added = more.pointer(section).and_then(Value::as_object).into_iter().flatten();
            for (key, value) in added {
                if let Some(section) = settings.pointer_mut(section) {
                    section[key] = value.clone();
                }
            }
        }
        let site = Site::new(&settings)?;
        // At the level of an operator: a line for each message would be measured too.
        let gate = site.start_as(Start { log: "warn", ..Start::default() }).await?;
        if let Some(settings) = settings.as_object_mut() {
            settings.remove("agents");
            settings.remove("storage");
        }
        Ok(Self { site, gate, settings, _store: store })
    }
}

fn settings(store: &Path) -> Value {
    let raised = json!({ "per_minute": 1_000_000, "per_hour": 10_000_000 });
    let mut agents = json!({});
    for number in 0..HONEST {
        agents[honest(number)] = json!({ "allow": [honest(number + 1)], "limits": raised });
    }
    for number in 0..MALLORIES {
        agents[mallory(number)] = json!({ "allow": ["sink", mallory(number + 1)] });
    }
    for number in 0..INTRUDERS {
        agents[intruder(number)] = json!({ "allow": ["sink"] });
    }
    // What an attacker does whom an operator trusted too much.
    agents["trusted"] = json!({ "allow": ["sink", "blind"], "limits": raised });
    agents["sink"] = json!({});
    agents["blind"] = json!({});
    json!({
        "agents": agents,
        "server": { "limits": {
            "handshake_timeout_ms": 1000,
            "first_settings_timeout_ms": 500,
            "body_idle_timeout_ms": 1000,
            "stall_timeout_ms": 1000,
            "memory_bytes_max": MEMORY_BYTES_MAX,
            "connections_per_ip_max": 300,
            "connections_per_identity_max": 200,
            "connections_per_second": CONNECTIONS_PER_SECOND,
            // Honest agents come from one address; an attacker has its own.
            "handshakes_per_second_per_ip": HANDSHAKES_PER_SECOND,
            "refusals_per_second": REFUSALS_PER_SECOND,
            "first_request_timeout_ms": 1000,
        } },
        "storage": { "path": store.join("data") },
        // Small, so that an attacker has its share full within a window on any machine.
        "delivery": { "queue_bytes_max": 16_777_216 },
    })
}
