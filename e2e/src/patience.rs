//! Waiting for something with a deadline, instead of sleeping for as long as it may take.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Asks again and again until the attempt returns something.
///
/// # Errors
/// Returns the error of an attempt, or says what was waited for in vain.
pub async fn eventually<T, F, A>(what: &str, mut attempt: F) -> Result<T>
where
    F: FnMut() -> A,
    A: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = attempt().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {DEADLINE:?} in vain: {what}");
        }
        sleep(PAUSE).await;
    }
}

/// Generous, since the machines of the tests are slow and busy; nothing takes this long.
const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
