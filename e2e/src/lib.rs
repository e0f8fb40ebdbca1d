//! The ground that end-to-end tests stand on: the real binary, real TLS, folders of their own.
//!
//! It knows the program only from outside, as its users do: the command line, the configuration
//! file, the wire. The tests themselves are in `tests/it`, clients of others in `interop`.
//!
//! | module | holds |
//! |---|---|
//! | `site` | a folder with an authority, certificates and a configuration |
//! | `gate` | a server process: started, stopped, killed, started again |
//! | `health` | what the gate says of its health |
//! | `program` | one run of the command line |
//! | `frail` | a disk whose power can be cut, in memory, mounted through FUSE |
//! | `dice` | random numbers from a seed |
//! | `foreign` | a run of Python with clients that nobody here wrote |
//! | `started` | a process that goes on while the test does |
//! | `patience` | waiting for something with a deadline |
//! | `suite` | the long suites, which the binary `suite` of this crate runs |

mod dice;
mod foreign;
mod frail;
mod gate;
mod health;
mod patience;
mod program;
mod site;
mod started;
mod suite;

pub use dice::Dice;
pub use foreign::Foreign;
pub use frail::{FrailDisk, Loss};
pub use gate::{Gate, Start};
pub use health::Health;
pub use patience::eventually;
pub use program::{Program, Run, binary};
pub use site::{Site, unix_now};
pub use started::Started;
pub use suite::{Effort, Report, Skipped, Suite, Together, attack_if_told};
