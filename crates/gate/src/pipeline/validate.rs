//! Stage 2: is the request well formed and in its place?
//!
//! Texts become types here and are not checked again behind it.

mod repeat;

use std::collections::BTreeMap;
use std::time::Duration;

use ::inspect::Document;

use super::authenticate::Identified;
use crate::case::Case;
use crate::gate::Gate;
use crate::ports::{Found, Key, Read, Sent};
use crate::types::{
    Action, AdminCommand, AgentId, CorrelationId, Hello, InstanceId, Message, MessageId,
    MessageKind, Outgoing, Pending, Refusal, Request, Unavailable,
};

pub(super) use repeat::find as find_repeat;

/// A request that is well formed.
#[derive(Debug)]
pub(super) struct Valid {
    pub(super) agent: Option<AgentId>,
    pub(super) request: Request,
}

// LIMIT: changes that one command makes; each stands in its record, whose details have room for
// 32 pairs, and one of those is the revision.
const CHANGES_MAX: usize = 31;

// LIMIT: capabilities that one discovery names.
const CAPABILITIES_MAX: usize = 256;

// LIMIT: the longest time that an asker may wait; also keeps its arithmetic in range.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);

pub(super) async fn check(
    gate: &Gate,
    case: &mut Case,
    identified: Identified,
    action: Action,
) -> Result<Valid, Refusal> {
    if gate.is_draining() {
        return Err(Refusal::Unavailable(Unavailable::Draining));
    }
    let agent = match identified {
        Identified::Agent(agent) => agent,
        Identified::Operator => {
            let Action::Administer(command) = action else {
                return Err(Refusal::WrongPrincipal { needs: "an agent" });
            };
            check_command(&command)?;
            return Ok(Valid { agent: None, request: Request::Administer(command) });
        }
    };
    let request = match action {
        // A connection that holds needs no call; there is nothing to answer.
        Action::Connect | Action::Oversize => return Err(Refusal::MessageTooLarge),
        Action::Malformed => return Err(Refusal::MalformedRequest),
        Action::Refused(refusal) => return Err(refusal),
        Action::Open(hello) => open(gate, &agent, hello)?,
        Action::Send { target, message } => {
            let draft = Draft::check(gate, &agent, message).await?;
            if let Some(sent) = draft.repeats(gate, case, ("send", &target)).await? {
                return Ok(Valid { agent: Some(agent), request: Request::Repeat(sent) });
            }
            draft.to(&target, MessageKind::Send, Duration::ZERO)?
        }
        Action::Request { target, message, timeout } => {
            let draft = Draft::check(gate, &agent, message).await?;
            if let Some(sent) = draft.repeats(gate, case, ("request", &target)).await? {
                return Ok(Valid { agent: Some(agent), request: Request::Repeat(sent) });
            }
            let correlation = CorrelationId::from_random(gate.ids.random());
            case.correlation = Some(correlation.to_string());
            let timeout = timeout.unwrap_or(gate.settings.delivery.request_timeout);
            draft.to(&target, MessageKind::Request { correlation }, timeout.min(TIMEOUT_MAX))?
        }
        Action::Reply { correlation, message } => {
            let draft = Draft::check(gate, &agent, message).await?;
            if let Some(sent) = draft.repeats(gate, case, ("reply", &correlation)).await? {
                return Ok(Valid { agent: Some(agent), request: Request::Repeat(sent) });
            }
            reply(gate, case, draft, &correlation).await?
        }
        Action::Discover { capabilities } => discover(capabilities)?,
        Action::ReadState => Request::ReadState,
        Action::UpdateState { updates } => update(gate, updates)?,
        Action::ResetState => Request::ResetState,
        Action::MessageStatus { message } => {
            Request::MessageStatus(MessageId::parse(&message).ok())
        }
        Action::RegisterKey { key } => register(gate, key)?,
        Action::Administer(_) => return Err(Refusal::WrongPrincipal { needs: "an operator" }),
    };
    Ok(Valid { agent: Some(agent), request })
}

fn update(gate: &Gate, updates: BTreeMap<String, String>) -> Result<Request, Refusal> {
    // LIMIT: validation.state_field_bytes_max
    let max = gate.settings.validation.state_field_bytes_max;
    match updates.values().find(|value| value.len() > max) {
        Some(large) => Err(Refusal::StateTooLarge { bytes: large.len(), max }),
        None => Ok(Request::UpdateState(updates)),
    }
}

fn register(gate: &Gate, key: String) -> Result<Request, Refusal> {
    let checked = gate.sealer.check_key(&key);
    checked.map_err(|reason| Refusal::Field { field: "sealing_key", reason })?;
    Ok(Request::RegisterKey(key))
}

fn discover(capabilities: Vec<String>) -> Result<Request, Refusal> {
    if capabilities.len() > CAPABILITIES_MAX {
        let reason = format!("has more than {CAPABILITIES_MAX} entries");
        return Err(Refusal::Field { field: "capabilities", reason });
    }
    Ok(Request::Discover(capabilities))
}

fn check_command(command: &AdminCommand) -> Result<(), Refusal> {
    match command {
        AdminCommand::Malformed { field, reason } => {
            Err(Refusal::Field { field, reason: (*reason).to_owned() })
        }
        AdminCommand::ChangePolicy(changes) if changes.len() > CHANGES_MAX => {
            let reason = format!("names more than {CHANGES_MAX} changes; make them one by one");
            Err(Refusal::Field { field: "objects", reason })
        }
        AdminCommand::ChangePolicy(_)
        | AdminCommand::ListAgents
        | AdminCommand::SetLimits { .. }
        | AdminCommand::ListDeadLetters { .. }
        | AdminCommand::ShowDeadLetter(_)
        | AdminCommand::ReplayDeadLetter(_)
        | AdminCommand::DropDeadLetter(_)
        | AdminCommand::Overview
        | AdminCommand::TraceMessage { .. } => Ok(()),
    }
}

fn open(gate: &Gate, agent: &AgentId, hello: Hello) -> Result<Request, Refusal> {
    let (instance, intake) = match hello {
        Hello::Missing => return Err(Refusal::MissingHello),
        Hello::Unexpected => return Err(Refusal::ExpectedHello),
        Hello::Instance(instance, intake) => (instance, intake),
    };
    let instance = InstanceId::parse(&instance).or(Err(Refusal::InvalidInstance))?;
    Ok(Request::Open(gate.hub.reserve(agent, &instance, intake)?))
}

/// A message whose own parts hold, before it is known where it goes.
struct Draft {
    sender: AgentId,
    instance: InstanceId,
    message_type: String,
    document: Document,
    hops: u32,
}

impl Draft {
    async fn check(gate: &Gate, sender: &AgentId, message: Outgoing) -> Result<Self, Refusal> {
        let Outgoing { instance, message_type, payload, hops } = message;
        let instance = InstanceId::parse(&instance).or(Err(Refusal::InvalidInstance))?;
        if !gate.hub.is_connected(sender, &instance) {
            return Err(Refusal::SessionNotConnected);
        }
        let max = gate.settings.validation.message_type_bytes_max;
        if message_type.len() > max {
            return Err(Refusal::MessageTypeTooLong { bytes: message_type.len(), max });
        }
        let (limits, bytes) = (gate.settings.validation.payload, payload.len());
        let parsing = move || Document::parse(&payload, &limits);
        let document = gate.compute(sender, bytes, parsing).await?.map_err(Refusal::Payload)?;
        let hops = check_hops(gate, hops.as_deref())?;
        Ok(Self { sender: sender.clone(), instance, message_type, document, hops })
    }

    /// Looks whether an earlier call with the same key made a message of the same content, of this
    /// kind and towards this target or correlation.
    async fn repeats(
        &self,
        gate: &Gate,
        case: &mut Case,
        (kind, towards): (&str, &str),
    ) -> Result<Option<Sent>, Refusal> {
        if case.key.is_empty() {
            return Ok(None);
        }
        let ttl = case.ttl.unwrap_or_default().as_millis().to_le_bytes();
        let content: [&[u8]; 5] = [
            kind.as_bytes(),
            towards.as_bytes(),
            self.message_type.as_bytes(),
            self.document.text().as_bytes(),
            &ttl,
        ];
        repeat::note(case, &content)?;
        repeat::find(gate, case, &self.sender).await
    }

    fn to(self, target: &str, kind: MessageKind, timeout: Duration) -> Result<Request, Refusal> {
        let Ok(target) = AgentId::parse(target) else {
            // An impossible name is an agent that does not exist; MAS clients know one answer.
            let by = "no agent can have the target's name".to_owned();
            return Err(Refusal::NotAuthorized { code: "target_unknown", by });
        };
        Ok(self.addressed(target, kind, timeout, None))
    }

    fn addressed(
        self,
        target: AgentId,
        kind: MessageKind,
        timeout: Duration,
        answers: Option<u64>,
    ) -> Request {
        let Self { sender, instance, message_type, document, hops } = self;
        let message = Message {
            sender,
            instance,
            target,
            message_type,
            kind,
            hops,
            document,
            timeout,
            answers,
        };
        Request::Message(Box::new(message))
    }
}

/// Reads how many messages led to one: agents that answer each message with another would never
/// end, and where they say what led to what, they are stopped.
fn check_hops(gate: &Gate, hops: Option<&str>) -> Result<u32, Refusal> {
    let Some(text) = hops else { return Ok(0) };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let Some(hops) = text.parse().ok().filter(|_| digits) else {
        let reason = "must be a number of messages, in digits".to_owned();
        return Err(Refusal::Field { field: "palisade-hops", reason });
    };
    // LIMIT: delivery.hops_max
    let max = gate.settings.delivery.hops_max;
    if hops > max { Err(Refusal::TooManyHops { hops, max }) } else { Ok(hops) }
}

/// Finds the request that a reply answers; it is used up only when the reply is committed.
async fn reply(
    gate: &Gate,
    case: &mut Case,
    mut draft: Draft,
    correlation: &str,
) -> Result<Request, Refusal> {
    if correlation.is_empty() {
        return Err(Refusal::MissingCorrelation);
    }
    let correlation = CorrelationId::parse(correlation).or(Err(Refusal::UnknownCorrelation))?;
    let found = gate.store.read(Read::Value(Key::Pending(correlation), case.at)).await;
    let value = match found {
        Ok(Some(Found::Value(value))) => value,
        Ok(_) => return Err(Refusal::UnknownCorrelation),
        Err(cause) => return Err(super::commit::unavailable(&cause)),
    };
    let pending: Pending =
        serde_json::from_slice(&value.value).or(Err(Refusal::UnknownCorrelation))?;
    case.target = Some(pending.agent_id.to_string());
    if pending.target_id != draft.sender {
        return Err(Refusal::ReplySenderMismatch);
    }
    if pending.is_over(case.at) {
        return Err(Refusal::CorrelationExpired);
    }
    // Known here, so it need not be believed. A reply is never one too many: its request was
    // taken, and somebody waits for it.
    draft.hops = pending.hops.saturating_add(1);
    let kind = MessageKind::Reply { correlation, instance: pending.instance_id };
    Ok(draft.addressed(pending.agent_id, kind, Duration::ZERO, Some(value.version)))
}
