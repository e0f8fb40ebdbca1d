//! Doors, configuration and wiring.

pub mod config;
