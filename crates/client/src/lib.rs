//! The library that agents link to talk through a Palisade gate.
//!
//! It speaks the gate's gRPC door over mutual TLS and keeps one session open: the native one, and
//! that of the MAS wire where the server knows no other ([`Wire`]). It decides nothing
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
//! Many messages at once need no task for each: [`Client::publish`] hands one over without waiting
//! for the gate, and what waits goes out together.
//!
//! ```no_run
//! # async fn example(alice: palisade_client::Client) -> Result<(), palisade_client::Error> {
//! use palisade_client::{MessageState, Outgoing};
//!
//! let readings = (0..1000).map(|n| Outgoing::json("bob", "reading", format!("{{\"n\":{n}}}")));
//! for taken in alice.send_all(readings).await? {
//!     taken?;
//! }
//! let order = serde_json::json!({ "article": 7 });
//! let order = Outgoing::new("bob", "order", &order)?.key("order-4711").receipts();
//! let mut sent = alice.publish(order).await?;
//! if sent.accepted().await?.duplicate {
//!     println!("an earlier run of this program had sent it");
//! }
//! let status = sent.acknowledged().await?;
//! assert_eq!(status.state, MessageState::Acknowledged);
//! # Ok(())
//! # }
//! ```
//!
//! What to rely on:
//!
//! - A message that [`Client::send`] returned an id for is durable in the gate.
//! - A message whose outcome was lost with the connection is sent again by itself, with the same
//!   idempotency key, and makes no second message; only the MAS wire leaves it to the program
//!   ([`Error::Interrupted`]).
//! - Messages to one target arrive in the order in which they were handed over. One that is refused
//!   does not come later by itself.
//! - Delivery is at least once. A handler may see a [`Message::message_id`] again.
//! - When the certificate files are renewed, the client moves to a connection with the new ones
//!   before the old certificate ends; no call fails for it.
//! - When the connection goes, the client connects again by itself, as the same instance; calls
//!   wait for it, and requests that wait for a reply go on waiting.
//! - A program that takes no messages is handed no more than [`Options::deliveries_max`] and
//!   [`Options::credit_bytes`] let it; what it sends and asks goes on meanwhile.
//!
//! | module | holds |
//! |---|---|
//! | `options` | whom to connect to, as whom, and every bound |
//! | `client` | the calls of an agent |
//! | `operator` | the calls of an operator, without a session |
//! | `session` | the one stream, native or MAS: hello, deliveries, acknowledgements, reconnecting |
//! | `dial`, `channel` | one connection: TCP, TLS, HTTP/2 |
//! | `renewal` | moving to a new connection when the own certificate is renewed |
//! | `pending` | requests that wait for their reply |
//! | `posting` | sending, asking and answering, by either wire |
//! | `outgoing`, `sent`, `receipts` | a message before and after it was sent |
//! | `outbox` | what was sent by the native session and has no outcome yet |
//! | `line`, `frame` | the native session's frames: what goes into them, and how |
//! | `buffer`, `incoming`, `listen` | deliveries on their way to the program |
//! | `cause`, `trace` | which message led to which, and in which trace |
//! | `tracer`, `telemetry` | spans of what a client does, for programs that want them |
//! | `message`, `sealed` | what arrived, with fields decrypted |
//! | `error` | what can go wrong |

mod buffer;
mod call;
mod cause;
mod channel;
mod client;
mod dial;
mod error;
mod frame;
mod incoming;
mod line;
mod listen;
mod message;
mod operator;
mod options;
mod outbox;
mod outgoing;
mod payload;
mod pending;
mod posting;
mod receipts;
mod renewal;
mod sealed;
mod sent;
mod session;
mod shared;
mod svid;
mod tasks;
#[cfg(feature = "telemetry")]
pub mod telemetry;
mod trace;
mod tracer;

pub use client::{Agent, Client};
pub use error::{Error, HandlerError, Invalid, Refused};
pub use identity::{OpeningKey, ServerIdentity, SpiffeId};
pub use incoming::{Incoming, Messages};
pub use message::{Accepted, Message, MessageId, MessageState, MessageStatus};
pub use operator::{Operator, Pictures};
pub use options::{Options, Receive, Reconnect, Wire};
pub use outgoing::Outgoing;
pub use sent::Sent;
pub use tonic::Code;
pub use trace::TraceContext;
pub use tracer::{Ending, Operation, Tracer, Underway, Work};
/// The messages of the operator's calls, as the contract defines them.
pub use wire::palisade::admin::v1 as admin;
pub use workload::{Endpoint, EndpointError, SOCKET_VARIABLE};
