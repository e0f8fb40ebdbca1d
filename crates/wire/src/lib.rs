//! The gRPC contracts in `proto/` as Rust: messages, clients and servers.
//!
//! Nothing here decides anything, and nothing but `codec` is written by hand: `cargo xtask codegen`
//! makes the rest.

#![allow(
    clippy::all,
    clippy::pedantic,
    rustdoc::all,
    reason = "the shape of generated code is its generator's, its text comes from the contracts"
)]

pub mod codec;
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
