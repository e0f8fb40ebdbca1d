//! The library that agents link to talk through a Palisade gate.
//!
//! It speaks the gate's gRPC door over mutual TLS and keeps one session open. It decides nothing
//! and does not know the server: whatever is refused was refused by the gate, and the reason is
//! in [`Refused`].
//!
//! ```no_run
//! # async fn example() -> Result<(), palisade_client::Error> {
//! use palisade_client::{Client, Options};
//! use std::time::Duration;
//!
//! let options = Options::new("localhost:50051", "ca.pem", "alice.pem", "alice.key");
//! let alice = Client::connect(options).await?;
//! alice.send("bob", "note", &serde_json::json!({ "text": "hello" })).await?;
//! let question = serde_json::json!({ "question": "how many?" });
//! let answer = alice.request("bob", "ask", &question, Duration::from_secs(5)).await?;
//! assert_eq!(answer.sender_id, "bob");
//! alice.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! What to rely on:
//!
//! - A message that [`Client::send`] returned an id for is durable in the gate.
//! - Delivery is at least once. A handler may see a [`Message::message_id`] again.
//! - When the certificate files are renewed, the client moves to a connection with the new ones
//!   before the old certificate ends; no call fails for it.
//! - When the connection goes, the client connects again by itself, as the same instance; calls
//!   wait for it, and requests that wait for a reply go on waiting.
//!
//! | module | holds |
//! |---|---|
//! | `options` | whom to connect to, as whom, and every bound |
//! | `client` | the calls of an agent |
//! | `operator` | the calls of an operator, without a session |
//! | `session` | the one stream: hello, deliveries, acknowledgements, reconnecting |
//! | `dial`, `channel` | one connection: TCP, TLS, HTTP/2 |
//! | `renewal` | moving to a new connection when the own certificate is renewed |
//! | `pending` | requests that wait for their reply |
//! | `incoming`, `listen` | deliveries on their way to the program |
//! | `hops` | which message led to which |
//! | `message`, `sealed` | what arrived, with fields decrypted |
//! | `error` | what can go wrong |

mod call;
mod channel;
mod client;
mod dial;
mod error;
mod hops;
mod incoming;
mod listen;
mod message;
mod operator;
mod options;
mod payload;
mod pending;
mod renewal;
mod sealed;
mod session;
mod shared;
mod svid;
mod tasks;

pub use client::{Agent, Client};
pub use error::{Error, HandlerError, Invalid, Refused};
pub use identity::{OpeningKey, ServerIdentity, SpiffeId};
pub use incoming::{Incoming, Messages};
pub use message::{Message, MessageId, MessageState, MessageStatus};
pub use operator::Operator;
pub use options::{Options, Receive, Reconnect};
pub use tonic::Code;
/// The messages of the operator's calls, as the contract defines them.
pub use wire::palisade::admin::v1 as admin;
pub use workload::{Endpoint, EndpointError, SOCKET_VARIABLE};
