//! Has a stage's computation done aside if it is a long one.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::gate::Gate;
use crate::types::{AgentId, Refusal, Unavailable};

// Below so many bytes a computation takes less than some 50 us, and less than handing it over and
// back would gain for others.
const ASIDE_BYTES: usize = 16 * 1024;

// The time after which a caller may try again what found no room.
const ROOM_WAIT: Duration = Duration::from_millis(200);

impl Gate {
    /// Computes something about `bytes` of an agent's text: here if it is small, else aside.
    ///
    /// # Errors
    ///
    /// Returns [`Refusal::Backpressure`] when too much waits aside.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        owner: &AgentId,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if bytes < ASIDE_BYTES {
            return Ok(work());
        }
        let (answer, computed) = oneshot::channel();
        let work = move || drop(answer.send(work()));
        self.aside
            .run(owner.as_str(), Box::new(work))
            .map_err(|full| Refusal::Backpressure { what: full.what, retry_after: ROOM_WAIT })?;
        let failed = Refusal::Unavailable(Unavailable::Internal("a computation failed"));
        computed.await.map_err(|_dropped| failed)
    }
}
