//! The gRPC contracts in `proto/` as Rust: messages, clients and servers.
//!
//! Nothing here is written by hand and nothing here decides anything: `cargo xtask codegen`
//! makes all of it.

#![allow(
    clippy::all,
    clippy::pedantic,
    rustdoc::all,
    reason = "the shape of generated code is its generator's, its text comes from the contracts"
)]

pub mod mas {
    pub mod runtime {
        pub mod v1;
    }
}
pub mod palisade {
    pub mod admin {
        pub mod v1;
    }
    pub mod bus {
        pub mod v1;
    }
}
pub mod workload;
