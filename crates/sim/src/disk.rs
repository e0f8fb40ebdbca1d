//! What survives a crash, and the store over it.
//!
//! A store takes batches in the order in which they come, writes some of them together and answers
//! later. A crash cuts it off between any two of these steps.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use gate::ports::{Batch, Claim, Found, Leases, Read, Scan, Store, StoreError};
use gate::types::AgentId;
use parking_lot::Mutex;
use store::Memory;
use tokio::sync::{mpsc, oneshot, watch};

use crate::chance::Chance;
use crate::site::apart;

/// The store in one life of the gate.
pub(crate) struct Life {
    memory: Arc<Memory>,
    agents: Vec<AgentId>,
    batches: mpsc::Sender<Waiting>,
    /// Becomes true at the crash.
    over: watch::Receiver<bool>,
    chance: Mutex<Chance>,
    trouble: watch::Receiver<Trouble>,
}

/// What is wrong with the disk at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// There is no room.
    pub(crate) is_full: bool,
    /// A sync takes this long.
    pub(crate) sync: Duration,
    /// How many batches in a hundred are turned away because too many wait.
    pub(crate) busy_percent: u32,
}

struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

// LIMIT: batches that wait; the engine has a bound too.
const WAITING_MAX: usize = 4_096;

impl Life {
    /// Begins a life over what the last one left.
    pub(crate) fn begin(
        memory: Arc<Memory>,
        agents: Vec<AgentId>,
        over: watch::Receiver<bool>,
        chance: Chance,
        trouble: watch::Receiver<Trouble>,
    ) -> Arc<Self> {
        let (batches, waiting) = mpsc::channel(WAITING_MAX);
        let committer = Committer {
            memory: Arc::clone(&memory),
            over: over.clone(),
            trouble: trouble.clone(),
            chance: chance.clone(),
        };
        drop(gate::tasks::Tasks::default().spawn(committer.run(waiting)));
        Arc::new(Self { memory, agents, batches, over, chance: Mutex::new(chance), trouble })
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }
}

fn dead() -> StoreError {
    StoreError::Unreachable("the process has crashed".to_owned())
}

struct Committer {
    memory: Arc<Memory>,
    over: watch::Receiver<bool>,
    trouble: watch::Receiver<Trouble>,
    chance: Chance,
}

impl Committer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut group = Vec::new();
        loop {
            let size = 1 + self.chance.below(32);
            if waiting.recv_many(&mut group, size).await == 0 {
                return;
            }
            let sync = self.trouble.borrow().sync;
            tokio::time::sleep(self.chance.delay(sync)).await;
            let mut answers = Vec::with_capacity(group.len());
            for Waiting { batch, answer } in group.drain(..) {
                // The moment of truth: what is not written by now is lost.
                if *self.over.borrow() {
                    return;
                }
                answers.push((answer, self.memory.commit(batch).await));
            }
            // Written, but nobody has heard of it yet.
            tokio::time::sleep(self.chance.delay(sync)).await;
            for (answer, done) in answers {
                drop(answer.send(done));
            }
        }
    }
}

impl Store for Life {
    fn read(&self, what: Read) -> BoxFuture<'_, Result<Option<Found>, StoreError>> {
        if self.is_over() {
            return futures::future::ready(Err(dead())).boxed();
        }
        self.memory.read(what)
    }

    fn scan(&self, what: Scan, count: usize) -> BoxFuture<'_, Result<Vec<Found>, StoreError>> {
        if self.is_over() {
            return futures::future::ready(Err(dead())).boxed();
        }
        self.memory.scan(what, count)
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        let trouble = *self.trouble.borrow();
        let refused = if self.is_over() {
            Some(dead())
        } else if trouble.is_full {
            Some(StoreError::DiskFull)
        } else {
            let is_busy = self.chance.lock().percent(trouble.busy_percent);
            is_busy.then_some(StoreError::Busy)
        };
        let (answer, answered) = oneshot::channel();
        let handed = match refused {
            Some(error) => Err(error),
            None => {
                let waiting = Waiting { batch, answer };
                self.batches.try_send(waiting).map_err(|_full| StoreError::Busy)
            }
        };
        async move {
            handed?;
            answered.await.unwrap_or_else(|_crashed| Err(dead()))
        }
        .boxed()
    }

    fn lease(&self, claim: Claim) -> BoxFuture<'_, Result<Leases, StoreError>> {
        if self.is_over() {
            return futures::future::ready(Err(dead())).boxed();
        }
        self.memory.lease(claim)
    }

    fn wait(&self, agent: AgentId, seen: u64) -> BoxFuture<'_, u64> {
        if self.is_over() {
            return futures::future::pending().boxed();
        }
        async move {
            let step = apart(&self.agents, &agent);
            let number = self.memory.wait(agent, seen).await;
            // All who wait are woken at once, in any order.
            tokio::time::sleep(step).await;
            number
        }
        .boxed()
    }
}
