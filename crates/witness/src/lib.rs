//! Witnesses of audit logs: who cosigns checkpoints, and how they are asked.
//!
//! The protocol is C2SP `tlog-witness`, the signatures are those of `tlog-cosignature`, so our
//! witness serves logs of others and others' witnesses serve ours. A witness remembers the last
//! checkpoint of each log and cosigns only what continues it: a log that was shortened or
//! rewritten gets no further cosignature. It never sees a record.
//!
//! | module | holds |
//! |---|---|
//! | `submission` | what a witness is asked, as bytes and back |
//! | `ledger` | the last checkpoints, and the decision |
//! | `listen` | the witness as an HTTP server |
//! | `submit` | asking a witness |

mod ledger;
mod listen;
mod submission;
mod submit;

pub use ledger::{Ledger, LedgerError, Verdict};
pub use listen::Listener;
pub use submission::{Malformed, Submission};
pub use submit::{Answer, SubmitError, submit};
