//! Tests of the server crate as its users see it.

mod config;
mod door;
