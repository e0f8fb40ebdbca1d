//! A seeded simulation of the gate and its agents: one thread, invented time, and everything that
//! can go wrong between them.
//!
//! The gate is the real one; around it are a store that crashes, a network that delays, loses,
//! doubles and reorders, and a clock that jumps. The same seed gives the same run, event by event,
//! so a failure is replayed by its number: `palisade-sim --seed N`.
//!
//! | module | holds |
//! |---|---|
//! | `plan` | how many agents, who may reach whom, what goes wrong: drawn from the seed |
//! | `chance` | the random numbers of each actor |
//! | `clock` | the time of day, which jumps; timers do not |
//! | `disk` | what survives a crash, and the store over it, which the crash cuts off |
//! | `site` | the gate in its present life: started, killed, started again |
//! | `network` | what is under way: late, lost, twice, overtaken, or never answered |
//! | `agent` | an agent, and its task that receives |
//! | `sender` | its task that sends: calls, and frames of items with keys |
//! | `ledger` | what was promised and what happened, and whether they agree |
//!
//! Not here: the server, its doors and its wire; agents reach the gate as doors do. And not the
//! bytes on the disk. The crash suite of the store has them; here the store is the model that the
//! suite of both engines holds to the same contract.

mod agent;
mod chance;
mod clock;
mod disk;
mod ledger;
mod network;
mod plan;
mod run;
mod sender;
mod site;

pub use ledger::Figures;
pub use run::{Outcome, run};
