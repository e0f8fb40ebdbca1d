//! What OpenTelemetry's conventions say of a call over gRPC.
//!
//! Source: semantic conventions for RPC and gRPC spans, release candidate. Names of spans stay
//! those of the gate's events, so that both sides of a call have the same.

use crate::span::Attribute;

/// Says which method is called, as `package.Service/Method`.
#[must_use]
pub const fn call(method: &'static str) -> [Attribute; 2] {
    [Attribute::fixed("rpc.system.name", "grpc"), Attribute::fixed("rpc.method", method)]
}

/// Says how a call was answered, by the number of its gRPC status.
#[must_use]
pub const fn answer(status: i32) -> Attribute {
    Attribute::fixed("rpc.response.status_code", status_name(status))
}

/// Returns the name of a gRPC status; what is none is unknown.
#[must_use]
pub const fn status_name(status: i32) -> &'static str {
    match status {
        0 => "OK",
        1 => "CANCELLED",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "UNKNOWN",
    }
}
