//! Pictures from the gate, also over its restarts.

use std::time::Duration;

use palisade_client::Error;
use palisade_client::admin::OverviewResponse;
use tokio::sync::mpsc;

use super::Args;

/// What comes from the gate.
#[derive(Debug)]
pub(super) enum News {
    Picture(Box<OverviewResponse>),
    /// The connection is gone; it is tried again.
    Lost(String),
}

/// Hands on pictures until nobody takes them.
///
/// # Errors
/// Returns why there is no first picture, and later a refusal that another try will not change.
pub(super) async fn run(args: &Args, news: &mpsc::Sender<News>) -> anyhow::Result<()> {
    let mut was_there = false;
    loop {
        let cause = match follow(args, news, &mut was_there).await {
            Ok(()) => return Ok(()),
            Err(cause) => cause,
        };
        if !was_there || is_final(&cause) {
            return Err(cause);
        }
        if news.send(News::Lost(cause.to_string())).await.is_err() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Hands on the pictures of one connection; returns when nobody takes them any more.
async fn follow(
    args: &Args,
    news: &mpsc::Sender<News>,
    was_there: &mut bool,
) -> anyhow::Result<()> {
    let operator = args.connect.operator().await?;
    let mut pictures = operator.overview(super::request(args)).await?;
    loop {
        // A gate that says nothing for long is as good as gone.
        let next = tokio::time::timeout(args.interval + SILENCE_MAX, pictures.next());
        let picture = next.await.map_err(|_elapsed| Error::Timeout)??;
        *was_there = true;
        if news.send(News::Picture(Box::new(picture))).await.is_err() {
            return Ok(());
        }
    }
}

/// Returns whether the gate says no for good: not while it ends or has no room.
fn is_final(cause: &anyhow::Error) -> bool {
    let Some(Error::Refused(refused)) = cause.downcast_ref() else { return false };
    refused.retry_after.is_none() && refused.code != "draining"
}

/// The pause before the gate is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// LIMIT: how long a gate may be silent beyond its interval.
const SILENCE_MAX: Duration = Duration::from_secs(10);
