//! Identities from the SPIFFE Workload API: who this program is and whom it may trust, told by an
//! agent on the same machine (such as SPIRE's) over a Unix socket, again at each change.
//!
//! It takes and hands on; whether a certificate is any good is judged by `identity`. Nothing is
//! kept here, and nothing is written to disk.
//!
//! | module | holds |
//! |---|---|
//! | `endpoint` | where the agent listens |
//! | `update` | one message of the agent, taken apart |
//! | `stream` | the connection that brings them |

mod endpoint;
mod stream;
mod update;

pub use endpoint::{Endpoint, EndpointError, SOCKET_VARIABLE};
pub use stream::{Backoff, Updates, WorkloadError, first, updates};
pub use update::{Update, UpdateError};
