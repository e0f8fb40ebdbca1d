//! An agent: one task that receives, one that sends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gate::delivery::{Delivery, Outcome, Session, Settled};
use gate::types::{Action, AgentId, Answer, Hello, Intake, Outgoing, Refusal};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::chance::Chance;
use crate::ledger::{Ledger, sent};
use crate::network::{Heard, call};
use crate::site::{Present, Site};

/// What both tasks of an agent share.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) site: Arc<Site>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// Whether it has a session.
    pub(crate) connected: watch::Sender<bool>,
    /// Becomes true when nothing goes wrong any more.
    pub(crate) calm: watch::Receiver<bool>,
}

const INSTANCE: &str = "one";
/// The pause before what could not be done is tried again.
const AGAIN: Duration = Duration::from_millis(250);

impl Agent {
    /// Receives for ever, over all lives of the gate.
    pub(crate) async fn receive(self: Arc<Self>, mut chance: Chance) {
        while let Some(present) = self.site.present().await {
            self.site.step_apart(&self.id).await;
            let hello = Action::Open(Hello::Instance(INSTANCE.to_owned(), Intake::Everything));
            let heard = call(&self.site, &present, &mut chance, &self.id, hello).await;
            if let Heard::Yes(Answer::Opened(session)) = heard {
                self.connected.send_replace(true);
                self.serve(&present, session, &mut chance).await;
                self.connected.send_replace(false);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Works on what a session gets, until one side ends it.
    async fn serve(&self, present: &Present, mut session: Session, chance: &mut Chance) {
        let mut over = present.over.clone();
        loop {
            let deliveries = tokio::select! {
                biased;
                _killed = over.wait_for(|over| *over) => return,
                deliveries = session.next() => deliveries,
            };
            for delivery in deliveries.into_iter().flatten() {
                if !self.work(present, &session, delivery, chance).await {
                    return;
                }
            }
            if *over.borrow() {
                return;
            }
        }
    }

    /// Works on one delivery; returns whether the session goes on.
    async fn work(
        &self,
        present: &Present,
        session: &Session,
        delivery: Delivery,
        chance: &mut Chance,
    ) -> bool {
        let Ok(message) = self.ledger.lock().delivered(&self.id, &delivery.envelope) else {
            return false;
        };
        let plan = &self.site.plan;
        let mut over = present.over.clone();
        let is_calm = *self.calm.borrow();
        let doing = if is_calm { Doing::Acknowledge } else { Doing::draw(chance, plan.receivers) };
        let work = async {
            tokio::time::sleep(chance.delay(plan.work)).await;
            let outcome = match doing {
                Doing::Ignore | Doing::Disconnect => return,
                Doing::Acknowledge => Outcome::Acknowledged,
                Doing::Refuse { retryable } => {
                    Outcome::Refused { reason: "not now".to_owned(), retryable }
                }
            };
            // Before it is settled: the gate may be killed between its commit and its answer.
            self.ledger.lock().answered(message, &outcome);
            session.handle().settle(vec![Settled { delivery: delivery.id, outcome }]).await;
        };
        tokio::select! {
            biased;
            _killed = over.wait_for(|over| *over) => false,
            () = work => doing != Doing::Disconnect,
        }
    }

    /// Sends the messages of the plan, each until it knows what became of it or cannot know.
    pub(crate) async fn send(self: Arc<Self>, mut chance: Chance) {
        let plan = &self.site.plan;
        for number in 1..=plan.messages {
            let Some(target) = plan.agents.get(chance.below(plan.agents.len())) else { return };
            if chance.percent(20) {
                self.write_state(number, &mut chance).await;
            }
            while !self.try_send(target, number, &mut chance).await {}
            let pause = Duration::from_millis(chance.below(4_000) as u64);
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends one message once; returns false if it must be sent again.
    async fn try_send(&self, target: &AgentId, number: usize, chance: &mut Chance) -> bool {
        let Some(present) = self.connected().await else { return true };
        self.ledger.lock().sending(&self.id, target, number);
        let action = Action::Send {
            target: target.to_string(),
            message: Outgoing {
                instance: INSTANCE.to_owned(),
                message_type: "note".to_owned(),
                hops: None,
                payload: format!(r#"{{"from":"{}","number":{number}}}"#, self.id),
            },
        };
        let heard = call(&self.site, &present, chance, &self.id, action).await;
        let again = match &heard {
            Heard::No(
                Refusal::RateLimited { retry_after, .. }
                | Refusal::CircuitOpen { retry_after }
                | Refusal::Backpressure { retry_after, .. },
            ) => Some((*retry_after).max(AGAIN)),
            Heard::No(Refusal::SessionNotConnected) => Some(AGAIN),
            Heard::No(_) | Heard::Yes(_) | Heard::Nothing => None,
        };
        let is_allowed = self.site.plan.allows(&self.id, target);
        let key = sent(&self.id, target, number);
        self.ledger.lock().heard(key, is_allowed, &heard);
        if let Some(pause) = again {
            tokio::time::sleep(pause).await;
        }
        again.is_none()
    }

    async fn write_state(&self, number: usize, chance: &mut Chance) {
        let Some(present) = self.connected().await else { return };
        self.ledger.lock().writing_state(&self.id, number);
        let updates = BTreeMap::from([("number".to_owned(), number.to_string())]);
        let action = Action::UpdateState { updates };
        let heard = call(&self.site, &present, chance, &self.id, action).await;
        if let Heard::Yes(Answer::Done) = heard {
            self.ledger.lock().wrote_state(&self.id, number);
        }
    }

    /// Waits for a session of the agent, and returns the gate that it is with.
    async fn connected(&self) -> Option<Present> {
        self.connected.subscribe().wait_for(|is_connected| *is_connected).await.ok()?;
        let present = self.site.present().await;
        self.site.step_apart(&self.id).await;
        present
    }
}

/// What a receiver does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Acknowledge,
    Refuse { retryable: bool },
    Disconnect,
    Ignore,
}

impl Doing {
    fn draw(chance: &mut Chance, receivers: crate::plan::Receivers) -> Self {
        let choices = [
            (receivers.refuse_percent, Self::Refuse { retryable: true }),
            (receivers.refuse_for_good_percent, Self::Refuse { retryable: false }),
            (receivers.disconnect_percent, Self::Disconnect),
            (receivers.ignore_percent, Self::Ignore),
        ];
        let chosen = choices.into_iter().find(|(percent, _)| chance.percent(*percent));
        chosen.map_or(Self::Acknowledge, |(_, doing)| doing)
    }
}
