//! What is under way between an agent and the gate: it takes a while, may never arrive, may arrive
//! twice or behind what was sent later, and its answer may never come.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gate::delivery::SessionHandle;
use gate::types::{
    Action, AgentId, Answer, Call, Caller, Item, Principal, PrincipalKind, Publish, Refusal,
    Timestamp, TraceContext,
};

use crate::chance::Chance;
use crate::plan::Plan;
use crate::site::{Present, Site};

/// What a caller learns.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It was done.
    Yes(Answer),
    /// It was not done.
    No(Refusal),
    /// Nothing.
    Nothing {
        /// Whether it may have been done, as nobody but the network knows.
        may_be_done: bool,
    },
}

impl From<Result<Answer, Refusal>> for Heard {
    fn from(answer: Result<Answer, Refusal>) -> Self {
        answer.map_or_else(Self::No, Self::Yes)
    }
}

/// A session, and the gate that it is with.
#[derive(Clone)]
pub(crate) struct Connected {
    pub(crate) present: Present,
    pub(crate) session: SessionHandle,
}

/// How one request travels, and its answer.
#[derive(Debug, Clone, Copy)]
struct Way {
    there: Duration,
    back: Duration,
    arrives: bool,
    is_answered: bool,
}

/// What became of a request that travelled.
enum Travelled<T> {
    Answered(T),
    /// It arrived, and its answer did not.
    Unanswered,
    /// It never arrived.
    Lost,
    /// The gate was killed.
    Killed,
}

/// How long a caller waits for an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(2);

impl Way {
    fn draw(plan: &Plan, chance: &mut Chance) -> Self {
        Self {
            there: chance.delay(plan.lag),
            back: chance.delay(plan.lag),
            arrives: !chance.percent(plan.lost_requests_percent),
            is_answered: !chance.percent(plan.lost_percent),
        }
    }

    /// Has work done at the other end.
    async fn travel<T>(self, present: &Present, work: impl Future<Output = T>) -> Travelled<T> {
        let mut over = present.over.clone();
        let whole = async {
            tokio::time::sleep(self.there).await;
            if !self.arrives {
                tokio::time::sleep(PATIENCE).await;
                return Travelled::Lost;
            }
            let answer = work.await;
            tokio::time::sleep(self.back).await;
            if self.is_answered { Travelled::Answered(answer) } else { Travelled::Unanswered }
        };
        tokio::select! {
            biased;
            _killed = over.wait_for(|over| *over) => Travelled::Killed,
            travelled = whole => travelled,
        }
    }
}

/// Makes a call to the gate as it lives now.
pub(crate) async fn call(
    site: &Site,
    present: &Present,
    chance: &mut Chance,
    agent: &AgentId,
    action: Action,
) -> Heard {
    let way = Way::draw(&site.plan, chance);
    match way.travel(present, present.gate.run(request(agent, action))).await {
        Travelled::Answered(answer) => answer.into(),
        Travelled::Unanswered => Heard::Nothing { may_be_done: true },
        Travelled::Lost => Heard::Nothing { may_be_done: false },
        Travelled::Killed => {
            site.step_apart(agent).await;
            Heard::Nothing { may_be_done: true }
        }
    }
}

/// Publishes items in one frame of a session, now and then in two equal ones on ways of their own,
/// as a client does that sends again what has no outcome; returns what was heard of the items of
/// each frame.
pub(crate) async fn publish(
    site: &Site,
    connected: &Connected,
    chance: &mut Chance,
    agent: &AgentId,
    items: &[Item],
) -> Vec<Vec<Heard>> {
    let copies = if chance.percent(site.plan.twice_percent) { 2 } else { 1 };
    let frames = (0..copies).map(|copy| {
        let mut way = Way::draw(&site.plan, chance);
        // The second comes later, also behind what is sent after the first.
        way.there += chance.delay(site.plan.lag * 8 * copy);
        frame(way, connected, agent, items.to_vec())
    });
    let heard = join_all(frames.collect::<Vec<_>>()).await;
    if *connected.present.over.borrow() {
        site.step_apart(agent).await;
    }
    heard
}

async fn frame(way: Way, connected: &Connected, agent: &AgentId, items: Vec<Item>) -> Vec<Heard> {
    let count = items.len();
    let Call { caller, peer, .. } = request(agent, Action::Malformed);
    let publish = Publish { caller, peer, items };
    let work = async {
        let (gate, session) = (Arc::clone(&connected.present.gate), connected.session.clone());
        // The session reads on, whatever becomes of who sent this.
        let reading = async move { gate.publish(publish, &session).await.outcomes().await };
        connected.present.gate.tasks().spawn(reading).await
    };
    let nothing = |may_be_done| (0..count).map(|_| Heard::Nothing { may_be_done }).collect();
    match way.travel(&connected.present, work).await {
        Travelled::Answered(Ok(outcomes)) => outcomes.into_iter().map(Heard::from).collect(),
        Travelled::Answered(Err(_)) | Travelled::Unanswered | Travelled::Killed => nothing(true),
        Travelled::Lost => nothing(false),
    }
}

/// Returns the call of an agent whose certificate never ends.
pub(crate) fn request(agent: &AgentId, action: Action) -> Call {
    Call {
        caller: Caller::Verified(Principal {
            kind: PrincipalKind::Agent(agent.clone()),
            spiffe_id: format!("spiffe://mas/agent/{agent}"),
            valid_until: Timestamp::from_micros(u64::MAX),
        }),
        peer: "192.0.2.1:1".to_owned(),
        trace: TraceContext::default(),
        action,
    }
}
