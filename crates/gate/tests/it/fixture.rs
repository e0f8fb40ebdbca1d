//! A gate over the model store, with what tests need to ask it and to see what it did.
//!
//! Time is the runtime's paused time: it moves when a test moves it, or waits for something.

mod plan;
mod ports;
mod watched;
mod words;

use std::sync::Arc;
use std::time::Duration;

use audit::Record;
use futures::FutureExt as _;
use gate::Gate;
use gate::delivery::{Delivery, Outcome, Session, Settled};
use gate::ports::{Clock as _, Found, MessageView, Op, Read, Scan, Store as _, StoreError};
use gate::types::{
    Action, AdminAnswer, AdminCommand, Answer, Call, Caller, CorrelationId, DeliveryId, MessageId,
    Refusal, Timestamp, TraceContext,
};
use serde_json::Value;
use store::{Bounds, Memory};

pub(crate) use plan::Plan;
pub(crate) use ports::Corner;
pub(crate) use watched::Watched;
pub(crate) use words::{
    agent, answer, ask, ask_after, caller, hello, id, limits, operator, say, say_after, say_from,
    state, status_of, text_of,
};

use ports::Outside;

/// A gate and everything around it.
pub(crate) struct World {
    pub(crate) gate: Arc<Gate>,
    pub(crate) store: Arc<Watched>,
    outside: Outside,
}

/// A message as its receiver sees it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) delivery: DeliveryId,
    pub(crate) text: String,
    pub(crate) envelope: Value,
}

impl World {
    pub(crate) async fn new(plan: Plan) -> Self {
        Self::bounded(plan, Bounds::default()).await
    }

    pub(crate) async fn bounded(plan: Plan, bounds: Bounds) -> Self {
        let store = Arc::new(Watched::new(Memory::new(bounds)));
        let outside = Outside::new();
        let gate = Gate::open(plan.parts(Arc::clone(&store), &outside)).await.unwrap();
        Self { gate, store, outside }
    }

    /// Returns the next gate over what this one's store keeps over a restart.
    pub(crate) async fn restarted(&self, plan: Plan) -> Self {
        let store = Arc::new(Watched::new(self.store.memory.restarted()));
        let outside = self.outside.clone();
        let gate = Gate::open(plan.parts(Arc::clone(&store), &outside)).await.unwrap();
        Self { gate, store, outside }
    }

    /// Returns why no gate starts over what this one's store keeps.
    pub(crate) async fn fails_to_restart(&self, plan: Plan) -> StoreError {
        let store = Arc::new(Watched::new(self.store.memory.restarted()));
        Gate::open(plan.parts(store, &self.outside)).await.unwrap_err()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.outside.clock.now()
    }

    pub(crate) async fn run(&self, caller: Caller, action: Action) -> Result<Answer, Refusal> {
        self.gate.run(call(caller, action)).await
    }

    /// Runs a call of an agent that must be accepted.
    pub(crate) async fn accept(&self, agent: &str, action: Action) -> Answer {
        let shown = format!("{action:?}");
        let answer = self.run(caller(agent), action).await;
        answer.unwrap_or_else(|refusal| panic!("{agent}: {shown} was refused: {refusal}"))
    }

    pub(crate) async fn open(&self, agent: &str, instance: &str) -> Session {
        let hello = hello(instance);
        let answer = self.accept(agent, hello).await;
        let Answer::Opened(session) = answer else { panic!("no session but {answer:?}") };
        session
    }

    pub(crate) async fn send(&self, sender: &str, target: &str, payload: &str) -> MessageId {
        self.message(sender, say(target, payload)).await.0
    }

    pub(crate) async fn message(
        &self,
        sender: &str,
        action: Action,
    ) -> (MessageId, Option<CorrelationId>) {
        let answer = self.accept(sender, action).await;
        let Answer::Accepted { message, correlation, .. } = answer else {
            panic!("no message but {answer:?}")
        };
        (message, correlation)
    }

    /// Asks with a timeout of 10 s and returns the correlation.
    pub(crate) async fn request(&self, sender: &str, target: &str) -> String {
        let (_, correlation) = self.message(sender, ask(target, "{}", Some(10))).await;
        correlation.unwrap().to_string()
    }

    pub(crate) async fn status(&self, sender: &str, message: MessageId) -> Option<MessageView> {
        let answer = self.accept(sender, status_of(message)).await;
        let Answer::Status(view) = answer else { panic!("no status but {answer:?}") };
        view
    }

    pub(crate) async fn admin(&self, command: AdminCommand) -> AdminAnswer {
        let answer = self.run(operator("root"), Action::Administer(command)).await.unwrap();
        let Answer::Admin(answer) = answer else {
            panic!("no answer to an operator but {answer:?}")
        };
        answer
    }

    /// Runs a call of an agent that must be refused so.
    pub(crate) async fn refuse(
        &self,
        agent: &str,
        action: Action,
        decision: &str,
        reason: &str,
    ) -> Refusal {
        self.refuse_caller(caller(agent), action, decision, reason).await
    }

    /// Runs a call that must be refused so: one record says it and nothing else has changed.
    pub(crate) async fn refuse_caller(
        &self,
        caller: Caller,
        action: Action,
        decision: &str,
        reason: &str,
    ) -> Refusal {
        let (event, shown) = (action.event_type(), format!("{action:?}"));
        let (records, commits) = (self.records().await.len(), self.store.commits().len());
        let refusal = match self.run(caller, action).await {
            Err(refusal) => refusal,
            Ok(answer) => panic!("{shown} was accepted: {answer:?}"),
        };
        let mut written = self.records().await.split_off(records);
        written.retain(|record| record.event_type == event);
        let [record] = written.as_slice() else { panic!("{shown}: not one record: {written:?}") };
        assert_eq!(refusal.decision().as_str(), decision, "{shown}");
        assert_eq!(record.decision, decision, "{shown}");
        assert_eq!(record.reason.as_deref(), Some(reason), "{shown}");
        assert_eq!(record.decided_by.as_deref(), Some(refusal.to_string().as_str()), "{shown}");
        assert_eq!(record.outcome, audit::Outcome::Refused, "{shown}");
        assert_eq!(
            (record.payload_commitment.as_deref(), record.sensitive_data_masked),
            (None, false)
        );
        for op in self.store.commits().split_off(commits).into_iter().flat_map(|batch| batch.ops) {
            assert!(matches!(op, Op::Record { .. } | Op::Count { .. }), "{shown} changed: {op:?}");
        }
        refusal
    }

    pub(crate) async fn records(&self) -> Vec<Record<'static>> {
        let found = self.store.memory.scan(Scan::Records { from: 0 }, usize::MAX).await.unwrap();
        let record = |found| {
            let Found::Record(entry) = found else { panic!("no record but {found:?}") };
            Record::decode(&entry.body).unwrap().into_owned()
        };
        found.into_iter().map(record).collect()
    }

    /// Returns the latest record of an event.
    pub(crate) async fn record(&self, event: &str) -> Record<'static> {
        let mut records = self.records().await;
        records.retain(|record| record.event_type == event);
        records.pop().unwrap_or_else(|| panic!("no record of {event}"))
    }

    pub(crate) async fn queued(&self, target: &str) -> u64 {
        let answer = self.store.memory.read(Read::Depth(agent(target))).await.unwrap();
        let Some(Found::Depth(depth)) = answer else { panic!("no depth but {answer:?}") };
        depth
    }
}

pub(crate) fn call(caller: Caller, action: Action) -> Call {
    Call { caller, peer: "192.0.2.7:4711".to_owned(), trace: TraceContext::default(), action }
}

/// Lets everything run that can run without time passing.
pub(crate) async fn settle_down() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Moves the time.
pub(crate) async fn pass(span: Duration) {
    tokio::time::advance(span).await;
    settle_down().await;
}

/// Waits for what must come within a minute.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(seconds(60), what).await.expect("it took more than a minute")
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns what a session gets at this moment.
pub(crate) fn poll(session: &mut Session) -> Vec<Received> {
    read(session.next().now_or_never().flatten().unwrap_or_default())
}

/// Reads deliveries as their receiver does.
pub(crate) fn read(deliveries: Vec<Delivery>) -> Vec<Received> {
    let received = |delivery: Delivery| Received {
        delivery: delivery.id,
        text: String::from_utf8(delivery.envelope.to_vec()).unwrap(),
        envelope: serde_json::from_slice(&delivery.envelope).unwrap(),
    };
    deliveries.into_iter().map(received).collect()
}

/// Returns the one message that a session gets at this moment.
pub(crate) fn one(session: &mut Session) -> Received {
    let mut received = poll(session);
    assert_eq!(received.len(), 1, "not one delivery: {received:?}");
    received.pop().unwrap()
}

pub(crate) async fn ack(session: &Session, received: &Received) {
    session.handle().settle(vec![Settled::acknowledged(received.delivery)]).await;
}

pub(crate) async fn nack(session: &Session, received: &Received, retryable: bool) {
    let outcome = Outcome::Refused { reason: "will not".to_owned(), retryable };
    session.handle().settle(vec![Settled { delivery: received.delivery, outcome }]).await;
}
