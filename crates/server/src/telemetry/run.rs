//! One run of the pipeline as spans: itself, and one for each stage.

use std::time::Duration;

use ::telemetry::{Attribute, Kind, Place, Source, Span, Status, rpc};
use gate::observe::{Marks, Observed, Stage};

use super::{below, client_id, nanos};
use crate::doors::grpc::status_code;

/// What is kept of a run until its spans are made.
pub(super) struct Run {
    place: Place,
    parent: Option<Place>,
    event_type: &'static str,
    /// The method that was called and the status of the answer; nothing of what was published.
    call: Option<(&'static str, i32)>,
    id: Option<String>,
    is_agent: bool,
    caller: String,
    instance: Option<String>,
    target: Option<String>,
    message_type: Option<String>,
    correlation: Option<String>,
    reason: Option<String>,
    decided_by: Option<String>,
    policy_revision: String,
    decision: &'static str,
    code: Option<&'static str>,
    refused_at: Option<Stage>,
    started_ns: u64,
    marks: Marks,
    payload_bytes: usize,
    findings: usize,
}

impl Run {
    pub(super) fn of(run: &Observed<'_>, place: Place) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Self {
            place,
            parent: super::place(run.given),
            event_type: run.event_type,
            call: method(run.event_type).filter(|_| !run.is_published).map(|method| {
                (method, run.refusal.map_or(0, |refusal| status_code(refusal).into()))
            }),
            id: run.is_message.then(|| run.id.to_string()),
            is_agent: run.is_agent,
            caller: run.caller.to_owned(),
            instance: own(run.instance),
            target: own(run.target),
            message_type: own(run.message_type),
            correlation: own(run.correlation),
            reason: own(run.reason),
            decided_by: own(run.decided_by),
            policy_revision: run.policy_revision.to_owned(),
            decision: run.decision.as_str(),
            code: run.code,
            refused_at: run.refused_at,
            started_ns: nanos(run.started),
            marks: run.marks,
            payload_bytes: run.payload_bytes,
            findings: run.findings,
        }
    }

    fn at(&self, after: Duration) -> u64 {
        self.started_ns.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX))
    }

    fn whole(self) -> Span {
        let times = (self.started_ns, self.at(self.marks.total()));
        let mut span = Span::new(self.place, self.event_type, Kind::Server, times);
        span.parent = self.parent;
        let text = Attribute::text;
        span.attributes = vec![
            Attribute::fixed("palisade.decision", self.decision),
            text("palisade.policy.revision", self.policy_revision),
            Attribute::number("palisade.findings", self.findings),
        ];
        let say = &mut span.attributes;
        if let Some((method, status)) = self.call {
            say.extend(rpc::call(method));
            say.push(rpc::answer(status));
        }
        if let Some(id) = self.id {
            let operation = self.event_type.trim_start_matches("message.");
            say.push(Attribute::fixed("messaging.system", "palisade"));
            say.push(Attribute::fixed("messaging.operation.name", operation));
            say.push(Attribute::fixed("messaging.operation.type", "send"));
            say.push(Attribute::id("messaging.message.id", id));
            say.push(Attribute::number("messaging.message.body.size", self.payload_bytes));
        }
        let client = self.instance.map(|instance| client_id(&self.caller, &instance));
        let caller = if self.is_agent { "palisade.sender" } else { "palisade.operator" };
        let caller = Some(self.caller).filter(|caller| !caller.is_empty()).map(|who| (caller, who));
        let named = [
            ("messaging.destination.name", self.target.clone()),
            ("messaging.client.id", client),
            ("messaging.message.conversation_id", self.correlation),
            ("palisade.message.type", self.message_type),
            ("palisade.decided_by", self.decided_by),
            ("palisade.reason", self.reason),
        ];
        let named = named.into_iter().filter_map(|(key, value)| Some((key, value?)));
        say.extend(named.chain(caller).map(|(key, value)| text(key, value)));
        if let Some(stage) = self.refused_at {
            say.push(Attribute::fixed("palisade.refused_at", stage.as_str()));
        }
        match self.code {
            Some(code) => {
                span.status = Status::Failed;
                span.attributes.push(Attribute::fixed("error.type", code));
            }
            // What a refused caller names may be anything, and names of spans are to be few.
            None => span.of = self.target,
        }
        span
    }
}

impl Source for Run {
    fn count(&self) -> u64 {
        u64::try_from(1 + self.marks.spans().count()).unwrap_or(u64::MAX)
    }

    fn spans(self: Box<Self>, into: &mut Vec<Span>) {
        for (stage, begins, ends) in self.marks.spans() {
            let number = u64::try_from(stage.index()).unwrap_or(u64::MAX);
            let times = (self.at(begins), self.at(ends));
            let mut span =
                Span::new(below(&self.place, number), stage.as_str(), Kind::Internal, times);
            span.parent = Some(self.place);
            if self.refused_at == Some(stage) {
                span.status = Status::Failed;
                span.attributes.extend(self.code.map(|code| Attribute::fixed("error.type", code)));
            }
            into.push(span);
        }
        into.push(self.whole());
    }
}

/// Returns which method of the contracts leads to an event; nothing where that may be several, or
/// where there was no call that could be read.
fn method(event_type: &str) -> Option<&'static str> {
    let found = METHODS.iter().find(|(event, _)| *event == event_type);
    found.map(|(_, method)| *method)
}

/// Events and the methods that alone lead to them.
pub(super) const METHODS: [(&str, &str); 18] = [
    ("message.send", "mas.runtime.v1.RuntimeService/Send"),
    ("message.request", "mas.runtime.v1.RuntimeService/Request"),
    ("message.reply", "mas.runtime.v1.RuntimeService/Reply"),
    ("discover", "mas.runtime.v1.RuntimeService/Discover"),
    ("state.read", "mas.runtime.v1.RuntimeService/GetState"),
    ("state.update", "mas.runtime.v1.RuntimeService/UpdateState"),
    ("state.reset", "mas.runtime.v1.RuntimeService/ResetState"),
    ("message.status", "palisade.bus.v1.BusService/MessageStatus"),
    ("key.register", "palisade.bus.v1.BusService/RegisterKey"),
    ("admin.list_agents", "palisade.admin.v1.AdminService/ListAgents"),
    ("policy.changed", "palisade.admin.v1.AdminService/ChangePolicy"),
    ("policy.limits_changed", "palisade.admin.v1.AdminService/SetLimits"),
    ("admin.list_dead_letters", "palisade.admin.v1.AdminService/ListDeadLetters"),
    ("admin.show_dead_letter", "palisade.admin.v1.AdminService/ShowDeadLetter"),
    ("admin.replay_dead_letter", "palisade.admin.v1.AdminService/ReplayDeadLetter"),
    ("admin.drop_dead_letter", "palisade.admin.v1.AdminService/DropDeadLetter"),
    ("admin.overview", "palisade.admin.v1.AdminService/Overview"),
    ("admin.trace_message", "palisade.admin.v1.AdminService/TraceMessage"),
];
