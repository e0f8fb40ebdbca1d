//! Says to health clients whether calls are taken: not while the store cannot keep a record, and
//! not while the server drains.
//!
//! It refuses nothing: a call whose record cannot be kept is refused where it is committed.

use store::Condition;
use tokio::sync::watch;

use crate::doors::grpc::HealthReporter;

/// Follows the store until the server closes.
pub(crate) async fn follow(
    health: HealthReporter,
    mut condition: watch::Receiver<Condition>,
    mut closing: watch::Receiver<bool>,
) {
    loop {
        let now = condition.borrow_and_update().clone();
        let is_serving = match &now {
            Condition::Taking => true,
            Condition::Full => {
                tracing::error!("not serving: the disk of the store is full");
                false
            }
            Condition::Failed(cause) => {
                tracing::error!(cause, "not serving: the store has failed");
                false
            }
        };
        health.tell(is_serving).await;
        tokio::select! {
            changed = condition.changed() => if changed.is_err() { return },
            // Also when the server is gone.
            _closed = closing.wait_for(|is_closing| *is_closing) => return,
        }
    }
}
