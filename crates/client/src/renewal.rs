//! Renewing the own certificate without a program noticing: a new connection before the old ends.
//!
//! It only makes the connection; the session moves over to it by itself.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::dial::Link;
use crate::shared::Shared;

/// Waits until the files hold a newer certificate, and a connection with it came about.
///
/// Looks more often the sooner the certificate of the connection ends, so that a program which
/// renews it late is still in time.
pub(crate) async fn renewed(shared: &Shared, old: &Link) -> Link {
    loop {
        sleep((old.holds_for() / 4).clamp(LOOK_MIN, LOOK_MAX)).await;
        // Where it does not come about, such as with an authority that the gate does not know
        // yet, the old connection is as good as before.
        match timeout(shared.connect_timeout, shared.dialer.dial_renewed(old)).await {
            Ok(Ok(Some(link))) => return link,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the renewed certificate is not used yet"),
            Err(_elapsed) => tracing::warn!("the renewed certificate is not used yet: no answer"),
        }
    }
}

/// The shortest and the longest time between two looks at the own certificate's file.
const LOOK_MIN: Duration = Duration::from_millis(250);
const LOOK_MAX: Duration = Duration::from_secs(600);
