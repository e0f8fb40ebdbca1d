//! The sending half of an agent: single calls, and frames of items with keys, some of them at once.
//!
//! A call is made once and its fate may stay unknown. An item has a key, and is sent again until
//! its outcome is known, as a client of the native session does.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gate::delivery::Wanted;
use gate::types::{Action, Answer, Item, Outgoing, Refusal, TraceContext};

use crate::agent::{AGAIN, Agent, INSTANCE};
use crate::chance::Chance;
use crate::ledger::{Sent, sent};
use crate::network::{Connected, Heard, call, publish};

/// Items of a frame at most.
const FRAME_MAX: usize = 4;
/// How much later than the first one the last of what is sent at once may begin.
const APART_MAX: Duration = Duration::from_millis(500);

impl Agent {
    /// Sends the messages of the plan, each until it knows what became of it or cannot know.
    pub(crate) async fn send(self: Arc<Self>, mut chance: Chance) {
        let plan = &self.site.plan;
        let mut last = 0;
        while last < plan.messages {
            if chance.percent(20) {
                self.write_state(last + 1, &mut chance).await;
            }
            let mut lanes = Vec::new();
            for _lane in 0..=chance.below(plan.at_once_max) {
                let is_keyed = chance.percent(plan.keyed_percent);
                let count = if is_keyed { 1 + chance.below(FRAME_MAX) } else { 1 };
                let numbers = last + 1..=plan.messages.min(last + count);
                if numbers.is_empty() {
                    break;
                }
                last = *numbers.end();
                lanes.push(Box::pin(self.lane(numbers, is_keyed, chance.another())));
            }
            join_all(lanes).await;
            let pause = Duration::from_millis(chance.below(4_000) as u64);
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends some messages while others are under way.
    async fn lane(&self, numbers: RangeInclusive<usize>, is_keyed: bool, mut chance: Chance) {
        tokio::time::sleep(chance.delay(APART_MAX)).await;
        let agents = &self.site.plan.agents;
        let mut messages = Vec::new();
        for number in numbers {
            let Some(target) = agents.get(chance.below(agents.len())) else { return };
            messages.push(sent(&self.id, target, number));
        }
        if is_keyed {
            self.publish(messages, &mut chance).await;
        } else {
            for message in messages {
                while !self.try_send(&message, &mut chance).await {}
            }
        }
    }

    /// Sends one message once; returns false if it must be sent again.
    async fn try_send(&self, message: &Sent, chance: &mut Chance) -> bool {
        self.connected().await;
        let Some(present) = self.site.present().await else { return true };
        self.ledger.lock().sending(message, false);
        let heard = call(&self.site, &present, chance, &self.id, action(message)).await;
        let is_allowed = self.site.plan.allows(&self.id, &message.target);
        self.ledger.lock().heard(message, is_allowed, &heard);
        self.ledger.lock().over(message);
        // It has no key: what may have been taken is not sent again.
        let again = match &heard {
            Heard::No(refusal) => again(refusal),
            Heard::Yes(_) | Heard::Nothing { .. } => None,
        };
        if let Some(pause) = again {
            tokio::time::sleep(pause).await;
        }
        again.is_none()
    }

    /// Publishes messages in one frame, and again what has no outcome, until each has one.
    async fn publish(&self, mut left: Vec<Sent>, chance: &mut Chance) {
        let mut is_first = true;
        while !left.is_empty() {
            let Some(connected) = self.connected().await else { return };
            for message in &left {
                self.ledger.lock().sending(message, true);
            }
            let items: Vec<Item> = left.iter().map(item).collect();
            let copies = publish(&self.site, &connected, chance, &self.id, &items).await;
            let (unsettled, pause) = self.learn(&left, &copies);
            if is_first && copies.len() == 1 {
                // Nobody else had a hand in these: what was taken is in their order.
                self.ledger.lock().in_order(&left);
            }
            (left, is_first) = (unsettled, false);
            tokio::time::sleep(pause).await;
        }
    }

    /// Notes what was heard of messages in each copy of their frame; returns those that must be
    /// sent again, and when.
    fn learn(&self, messages: &[Sent], copies: &[Vec<Heard>]) -> (Vec<Sent>, Duration) {
        let mut ledger = self.ledger.lock();
        let (mut left, mut pause) = (Vec::new(), Duration::ZERO);
        for (place, message) in messages.iter().enumerate() {
            let is_allowed = self.site.plan.allows(&self.id, &message.target);
            let (mut is_known, mut is_refused) = (false, true);
            for heard in copies.iter().filter_map(|copy| copy.get(place)) {
                ledger.heard(message, is_allowed, heard);
                match heard {
                    Heard::Yes(_) => is_known = true,
                    Heard::No(refusal) => {
                        let wait = again(refusal);
                        is_refused &= wait.is_none();
                        pause = pause.max(wait.unwrap_or_default());
                    }
                    Heard::Nothing { .. } => is_refused = false,
                }
            }
            ledger.over(message);
            if !is_known && !is_refused {
                pause = pause.max(AGAIN);
                left.push(message.clone());
            }
        }
        (left, pause)
    }

    async fn write_state(&self, number: usize, chance: &mut Chance) {
        self.connected().await;
        let Some(present) = self.site.present().await else { return };
        self.ledger.lock().writing_state(&self.id, number);
        let updates = BTreeMap::from([("number".to_owned(), number.to_string())]);
        let action = Action::UpdateState { updates };
        let heard = call(&self.site, &present, chance, &self.id, action).await;
        if let Heard::Yes(Answer::Done) = heard {
            self.ledger.lock().wrote_state(&self.id, number);
        }
    }

    /// Waits for a session of the agent.
    async fn connected(&self) -> Option<Connected> {
        let mut sessions = self.connected.subscribe();
        let connected = sessions.wait_for(Option::is_some).await.ok()?.clone();
        self.site.step_apart(&self.id).await;
        connected
    }
}

/// Returns when what was refused may be tried again; nothing if that does not help.
fn again(refusal: &Refusal) -> Option<Duration> {
    if let Refusal::RateLimited { retry_after, .. }
    | Refusal::CircuitOpen { retry_after }
    | Refusal::Backpressure { retry_after, .. } = refusal
    {
        return Some((*retry_after).max(AGAIN));
    }
    (*refusal == Refusal::SessionNotConnected).then_some(AGAIN)
}

fn action(Sent { sender, target, number }: &Sent) -> Action {
    Action::Send {
        target: target.to_string(),
        message: Outgoing {
            instance: INSTANCE.to_owned(),
            message_type: "note".to_owned(),
            hops: None,
            payload: format!(r#"{{"from":"{sender}","number":{number}}}"#),
        },
    }
}

fn item(message: &Sent) -> Item {
    Item {
        action: action(message),
        trace: TraceContext::default(),
        key: format!("{}.{}", message.target, message.number),
        ttl: None,
        wanted: Wanted::default(),
    }
}
