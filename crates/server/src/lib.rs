//! Doors, configuration and wiring: the only crate that sees everything.
//!
//! It decides nothing about a message: doors hand calls to the gate and give back its answers.

mod background;
pub mod config;
mod copy;
mod doors;
mod ids;
mod metrics;
mod notary;
mod operations;
mod parts;
mod readiness;
mod records;
mod reload;
mod serve;
mod source;
mod telemetry;
mod trust;
mod workload_api;

pub use parts::{SystemClock, gate_parts};
pub use serve::{Running, ServeError, serve, start};
pub use workload_api::WorkloadStartError;
