//! The words of the gate: parsed once, valid ever after.
//!
//! Nothing here decides anything or touches the outside.

mod call;
mod contents;
mod decision;
mod envelope;
mod ids;
mod instant;
mod principal;
mod refusal;
mod request;

pub use call::{
    Action, AdminAnswer, AdminCommand, AgentView, Answer, Call, Caller, Hello, Intake, Item,
    Outgoing, Publish, Rejection,
};
pub use contents::Contents;
pub use decision::Decision;
pub use envelope::{Envelope, MessageKind, TraceContext};
pub use ids::{AgentId, CorrelationId, DeliveryId, IdError, InstanceId, MessageId, SessionId};
pub use instant::Timestamp;
pub use principal::{Principal, PrincipalKind};
pub use refusal::{Refusal, Unavailable};
pub(crate) use request::{Message, Pending, Request};
