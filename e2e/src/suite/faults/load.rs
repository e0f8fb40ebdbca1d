//! Agents at work: senders that keep their lanes full, receivers that answer every message.
//!
//! All calls run in one task, so that the ledger needs no lock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, join_all, try_join_all};
use palisade_client::{
    Client, Error, HandlerError, Incoming, MessageId, MessageState, Options, Reconnect, Wire,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::late::{self, Late};
use super::ledger::{Lane, Ledger, fate};
use crate::{Gate, Site, eventually};

/// The agents and what they know.
#[derive(Debug)]
pub(super) struct Load {
    senders: Vec<Client>,
    receivers: Vec<Client>,
    /// Messages that end by themselves, where they are wanted.
    pub(super) late: Option<Late>,
    pub(super) ledger: RefCell<Ledger>,
    /// The number of the marks that receivers wait for.
    round: Cell<u64>,
}

/// Returns the settings of a gate for these agents, with more laid over them by the caller.
pub(super) fn settings() -> Value {
    let mut agents = json!({});
    for sender in SENDERS {
        agents[sender] = json!({ "allow": TARGETS });
    }
    for target in TARGETS {
        agents[target] = json!({});
    }
    agents[late::SENDER] = json!({ "allow": [late::ABSENT, late::REFUSER] });
    for target in [late::ABSENT, late::REFUSER] {
        agents[target] = json!({});
    }
    json!({
        "agents": agents,
        "gateway": {
            "rate_limit": { "per_minute": 1_000_000, "per_hour": 1_000_000 },
            "features": { "circuit_breaker": false },
        },
        "delivery": {
            "max_attempts": late::ATTEMPTS_MAX,
            "retry_backoff_ms": 10,
            "retry_backoff_max_ms": 50,
            "statuses_max": 1_000_000,
        },
    })
}

impl Load {
    /// Connects all agents.
    pub(super) async fn connect(site: &Site, gate: &Gate) -> Result<Self> {
        let all = |names: &'static [&'static str]| {
            try_join_all(names.iter().map(|name| connect(site, gate, name)))
        };
        Ok(Self {
            senders: all(&SENDERS).await?,
            receivers: all(&TARGETS).await?,
            late: None,
            ledger: RefCell::default(),
            round: Cell::new(0),
        })
    }

    /// Connects all agents, and those of messages that end by themselves.
    pub(super) async fn with_late(site: &Site, gate: &Gate) -> Result<Self> {
        let sender = connect(site, gate, late::SENDER).await?;
        let late = Some(Late::new(sender, connect(site, gate, late::REFUSER).await?));
        Ok(Self { late, ..Self::connect(site, gate).await? })
    }

    /// Keeps every lane full while something is done to the gate; returns when everything that was
    /// sent has come. Of what is done the gate must be alive at the end.
    pub(super) fn during<'a, T: 'a>(
        &'a self,
        fault: impl Future<Output = Result<T>> + 'a,
    ) -> LocalBoxFuture<'a, Result<T>> {
        self.work(fault).boxed_local()
    }

    async fn work<T>(&self, fault: impl Future<Output = Result<T>>) -> Result<T> {
        let is_over = Cell::new(false);
        let fault = async {
            let done = fault.await;
            is_over.set(true);
            done
        };
        let work = async {
            let late = async {
                let Some(late) = &self.late else { return Ok(()) };
                late.send(&is_over).await
            };
            let (done, (), ()) = tokio::try_join!(fault, self.send(&is_over), late)?;
            // Behind everything else in its lane, so that nothing is missing when it has come.
            let first = self.lanes().filter(|(_, lane)| lane.strand == 0);
            try_join_all(first.map(|(client, lane)| self.mark(client, lane))).await?;
            Ok(done)
        };
        let refused = async {
            let Some(late) = &self.late else { return pending().await };
            late.refuse().await
        };
        let (done, ()) = tokio::select! {
            done = async { tokio::try_join!(work, self.receive()) } => done?,
            ended = refused => bail!("nobody refuses any more: {ended:?}"),
        };
        self.round.set(self.round.get() + 1);
        Ok(done)
    }

    /// Keeps every lane full until a call fails or it is told that the time is over.
    async fn send(&self, is_over: &Cell<bool>) -> Result<()> {
        let lanes = self.lanes().map(|(client, lane)| self.fill(client, lane, is_over));
        let counters = self.senders.iter().map(|client| self.count(client, is_over));
        let (sent, _counted) = tokio::join!(try_join_all(lanes), join_all(counters));
        sent.map(|_all| ())
    }

    fn lanes(&self) -> impl Iterator<Item = (&Client, Lane)> {
        let pairs =
            self.senders.iter().flat_map(|sender| TARGETS.into_iter().map(move |t| (sender, t)));
        pairs.flat_map(|(sender, target)| {
            let pair = (sender.agent_id().to_owned(), target.to_owned());
            (0..STRANDS).map(move |strand| (sender, Lane { pair: pair.clone(), strand }))
        })
    }

    async fn fill(&self, client: &Client, lane: Lane, is_over: &Cell<bool>) -> Result<()> {
        let mut count = 0_u64;
        while !is_over.get() {
            match self.say(client, &lane, "note").await {
                Ok(_id) => {}
                Err(Error::Refused(refused)) if is_temporary(&refused.code) => {
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
                Err(_ended) => return Ok(()),
            }
            count += 1;
            if count.is_multiple_of(8) && !self.ask(client, &lane).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends the next message of a lane.
    async fn say(&self, client: &Client, lane: &Lane, kind: &str) -> Result<MessageId, Error> {
        let number = self.ledger.borrow_mut().sending(lane);
        let round = self.round.get();
        let data = json!({ "n": number, "strand": lane.strand, "round": round,
            "pad": pad(lane, number) });
        let answer = client.send(&lane.pair.1, kind, &data).await;
        let mut ledger = self.ledger.borrow_mut();
        match &answer {
            Ok(id) => ledger.accepted(lane, number, id),
            Err(Error::Refused(refused)) => ledger.refused(lane, number, &refused.code),
            Err(_unknown) => {}
        }
        answer
    }

    /// Asks what became of a message while everything is under way; false if there is no answer.
    async fn ask(&self, client: &Client, lane: &Lane) -> Result<bool> {
        let asked = self.ledger.borrow().newest(lane);
        let Some((id, fate)) = asked else { return Ok(true) };
        let Ok(status) = client.status(&MessageId::new(id.clone())).await else { return Ok(false) };
        if status.state.is_final() {
            ensure!(status.state == fate, "{id} is {:?} and not {fate:?}", status.state);
            self.ledger.borrow_mut().settled(&id, status.state)?;
        }
        Ok(true)
    }

    /// Sets a field of the agent's state to ever higher numbers.
    async fn count(&self, client: &Client, is_over: &Cell<bool>) {
        while !is_over.get() {
            let number = self.ledger.borrow_mut().counting(client.agent_id());
            let update = client.update_state([("count".to_owned(), number.to_string())]);
            if update.await.is_err() {
                return;
            }
            self.ledger.borrow_mut().counted(client.agent_id(), number);
        }
    }

    async fn mark(&self, client: &Client, lane: Lane) -> Result<()> {
        eventually("a mark is taken", async || match self.say(client, &lane, "mark").await {
            Ok(_id) => Ok(Some(())),
            Err(Error::Interrupted) => Ok(None),
            Err(Error::Refused(refused)) if is_temporary(&refused.code) => Ok(None),
            Err(other) => Err(other).with_context(|| format!("a mark of {lane:?}")),
        })
        .await
    }

    /// Takes messages until every sender's mark of this round has come.
    async fn receive(&self) -> Result<()> {
        try_join_all(self.receivers.iter().map(|client| self.take(client))).await?;
        Ok(())
    }

    async fn take(&self, client: &Client) -> Result<()> {
        let mut messages = client.messages();
        let mut missing = BTreeSet::from(SENDERS.map(str::to_owned));
        while !missing.is_empty() {
            let next = timeout(PATIENCE, messages.next()).await;
            let next = next.with_context(|| {
                format!("{} waits in vain for what {missing:?} sent", client.agent_id())
            })?;
            let incoming = next.context("the client of a receiver has ended")?;
            let message = &incoming.message;
            if message.message_type == "mark" && message.data["round"] == self.round.get() {
                missing.remove(&message.sender_id);
            }
            self.answer(incoming).await?;
        }
        Ok(())
    }

    /// Notes a delivery, and acknowledges it or not, as its number says.
    async fn answer(&self, incoming: Incoming) -> Result<()> {
        let message = &incoming.message;
        let pair = (message.sender_id.clone(), message.target_id.clone());
        let number = |field: &str| message.data[field].as_u64().context("no number");
        let (number, strand) = (number("n")?, number("strand")?);
        let lane = Lane { pair, strand };
        let is_whole = message.data["pad"] == pad(&lane, number);
        ensure!(is_whole, "message {number} of {lane:?} has come with other content");
        let fate = fate(&lane, number);
        self.ledger.borrow_mut().delivered(lane, number, &message.message_id);
        // The answer that a crash meets is lost: the message comes again.
        let _heard_or_not = if fate == MessageState::DeadLettered {
            incoming.nack(HandlerError::fatal("by its number")).await
        } else {
            incoming.ack().await
        };
        Ok(())
    }

    /// Returns how many messages the gate has taken.
    pub(super) fn accepted(&self) -> u64 {
        self.ledger.borrow().balance().acknowledged
    }

    /// Waits until so many more messages have been taken.
    pub(super) async fn takes(&self, more: u64) -> Result<()> {
        let before = self.accepted();
        eventually("messages are taken", async || {
            Ok((self.accepted() >= before + more).then_some(()))
        })
        .await
    }

    /// Asks for states and for what became of messages; each question must be answered, or refused
    /// because its record has no room.
    pub(super) async fn read(&self) -> Result<()> {
        let is_typed = |answer: Result<(), Error>| match answer {
            Ok(()) => Ok(()),
            Err(Error::Refused(refused)) if refused.code == "disk_full" => Ok(()),
            Err(other) => Err(other),
        };
        for client in &self.senders {
            is_typed(client.state().await.map(drop))?;
        }
        for (client, lane) in self.lanes() {
            let asked = self.ledger.borrow().newest(&lane);
            if let Some((id, _)) = asked {
                is_typed(client.status(&MessageId::new(id)).await.map(drop))?;
            }
        }
        Ok(())
    }

    /// Waits until everything that was delivered is settled as it should be, and the states are
    /// what they were told to be.
    pub(super) async fn settle(&self) -> Result<()> {
        try_join_all(self.senders.iter().map(|client| async {
            let state = client.state().await?;
            let count = state.get("count").map(String::as_str);
            self.ledger.borrow_mut().check_count(client.agent_id(), count)?;
            let unsettled = self.ledger.borrow().unsettled(client.agent_id());
            for (id, fate) in unsettled {
                self.settled(client, &id, fate).await?;
            }
            anyhow::Ok(())
        }))
        .await?;
        Ok(())
    }

    async fn settled(&self, client: &Client, id: &str, fate: MessageState) -> Result<()> {
        let message = MessageId::new(id);
        let state = eventually(&format!("{id} is {}", fate.as_str()), async || {
            let state = client.status(&message).await?.state;
            Ok(state.is_final().then_some(state))
        })
        .await?;
        ensure!(state == fate, "{id} is {state:?} and not {fate:?}");
        self.ledger.borrow_mut().settled(id, state)
    }
}

/// Connects with a fixed instance id and a quick second try.
async fn connect(site: &Site, gate: &Gate, name: &str) -> Result<Client> {
    let reconnect = Reconnect { first: Duration::from_millis(10), max: Duration::from_millis(100) };
    let instance = Some(format!("{name}-1"));
    let wire = if OF_MAS.contains(&name) { Wire::Mas } else { Wire::Native };
    let options = Options { reconnect, instance, wire, ..site.options(gate, name) };
    Box::pin(Client::connect(options)).await.with_context(|| format!("as {name}"))
}

/// Returns whether a refusal says that the same may be taken later.
fn is_temporary(code: &str) -> bool {
    matches!(code, "backpressure" | "disk_full" | "store_unavailable")
}

/// Returns what a message holds beside its numbers: it follows from them, and its length varies.
fn pad(lane: &Lane, number: u64) -> String {
    let length = if number % 50 == 49 { 20_000 } else { number.wrapping_mul(7919) % 900 };
    let word = format!("{}-{number}.", lane.strand);
    word.repeat(usize::try_from(length).unwrap_or_default() / word.len() + 1)
}

const SENDERS: [&str; 3] = ["alice", "carol", "erin"];
const TARGETS: [&str; 2] = ["bob", "dave"];
/// Those on the MAS wire: one of each kind, so that either sends to either.
const OF_MAS: [&str; 2] = ["carol", "dave"];
/// Lanes of each pair.
const STRANDS: u64 = 4;
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// LIMIT: longer than any delivery takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
