//! Doors, configuration and wiring: the only crate that sees everything.
//!
//! It decides nothing about a message: doors hand calls to the gate and give back its answers.

pub mod config;
mod copy;
mod doors;
mod notary;
mod parts;
mod readiness;
mod reload;
mod serve;
mod source;
mod trust;
mod workload_api;

pub use parts::{SystemClock, gate_parts};
pub use serve::{Running, ServeError, serve, start};
pub use workload_api::WorkloadStartError;
