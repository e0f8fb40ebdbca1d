//! The ways in: a door turns bytes into calls and outcomes into bytes, and decides nothing.

pub(crate) mod grpc;
