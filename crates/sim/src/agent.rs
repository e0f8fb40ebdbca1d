//! An agent: what its two tasks share, and the one that receives. The other is in `sender`.

use std::sync::Arc;
use std::time::Duration;

use gate::delivery::{Delivery, Outcome, Session, Settled};
use gate::types::{Action, AgentId, Answer, Hello, Intake, MessageId};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::network::{Connected, Heard, call};
use crate::site::{Present, Site};

/// What both tasks of an agent share.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) site: Arc<Site>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// Its session, if it has one.
    pub(crate) connected: watch::Sender<Option<Connected>>,
    /// Becomes true when nothing goes wrong any more.
    pub(crate) calm: watch::Receiver<bool>,
}

pub(crate) const INSTANCE: &str = "one";
/// The pause before what could not be done is tried again.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

impl Agent {
    /// Receives for ever, over all lives of the gate.
    pub(crate) async fn receive(self: Arc<Self>, mut chance: Chance) {
        while let Some(present) = self.site.present().await {
            self.site.step_apart(&self.id).await;
            let hello = Action::Open(Hello::Instance(INSTANCE.to_owned(), Intake::Everything));
            let heard = call(&self.site, &present, &mut chance, &self.id, hello).await;
            if let Heard::Yes(Answer::Opened(session)) = heard {
                let connected = Connected { present: present.clone(), session: session.handle() };
                self.connected.send_replace(Some(connected));
                self.serve(&present, session, &mut chance).await;
                self.connected.send_replace(None);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Works on what a session gets, until one side ends it or the connection breaks.
    async fn serve(&self, present: &Present, mut session: Session, chance: &mut Chance) {
        let mut over = present.over.clone();
        loop {
            let deliveries = tokio::select! {
                biased;
                _killed = over.wait_for(|over| *over) => return,
                deliveries = session.next() => deliveries,
            };
            // From here on the gate counts them as delivered, whether or not they arrive.
            let Some(deliveries) = self.handed(deliveries.unwrap_or_default()) else { return };
            if deliveries.is_empty() || !self.arrives(present, chance).await {
                return;
            }
            for (message, delivery) in deliveries {
                if !self.work(present, &session, (message, delivery), chance).await {
                    return;
                }
            }
            if *over.borrow() {
                return;
            }
        }
    }

    /// Notes what was handed over; nothing if it is not what may be handed over.
    fn handed(&self, deliveries: Vec<Delivery>) -> Option<Vec<(MessageId, Delivery)>> {
        let mut ledger = self.ledger.lock();
        let noted = deliveries.into_iter().map(|delivery| {
            let message = ledger.delivered(&self.id, &delivery.envelope).ok()?;
            Some((message, delivery))
        });
        noted.collect()
    }

    /// Waits for what is under way on the session; returns false if its connection breaks before.
    async fn arrives(&self, present: &Present, chance: &mut Chance) -> bool {
        let plan = &self.site.plan;
        let (late, is_cut) = (chance.delay(plan.lag), chance.percent(plan.cut_percent));
        let mut over = present.over.clone();
        tokio::select! {
            biased;
            _killed = over.wait_for(|over| *over) => false,
            () = tokio::time::sleep(late) => !is_cut || *self.calm.borrow(),
        }
    }

    /// Works on one delivery; returns whether the session goes on.
    async fn work(
        &self,
        present: &Present,
        session: &Session,
        (message, delivery): (MessageId, Delivery),
        chance: &mut Chance,
    ) -> bool {
        let plan = &self.site.plan;
        let mut over = present.over.clone();
        let is_calm = *self.calm.borrow();
        let doing = if is_calm { Doing::Acknowledge } else { Doing::draw(chance, plan.receivers) };
        let work = async {
            tokio::time::sleep(chance.delay(plan.work)).await;
            let outcome = match doing {
                Doing::Ignore => return true,
                Doing::Disconnect => return false,
                Doing::Acknowledge => Outcome::Acknowledged,
                Doing::Refuse { retryable } => {
                    Outcome::Refused { reason: "not now".to_owned(), retryable }
                }
            };
            // Before it is settled: the answer may be lost, and the gate may be killed between its
            // commit and its own.
            self.ledger.lock().answered(message, &outcome);
            if !self.arrives(present, chance).await {
                return false;
            }
            session.handle().settle(vec![Settled { delivery: delivery.id, outcome }]).await;
            true
        };
        tokio::select! {
            biased;
            _killed = over.wait_for(|over| *over) => false,
            goes_on = work => goes_on,
        }
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
