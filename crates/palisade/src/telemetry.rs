//! The spans of a verb that talks as an agent, on their way to a collector.
//!
//! What the keys mean is the server crate's knowledge, what is exported the client's. `serve`
//! exports by itself.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use palisade_client::Tracer;
use palisade_client::telemetry::Telemetry;
use server::config;

use crate::configuration;

/// The one export of this process, which ends with it.
static EXPORT: OnceLock<Arc<Telemetry>> = OnceLock::new();

/// Starts the export, if the file or the environment turns it on.
///
/// # Errors
/// Returns all problems of `gateway.telemetry` in one failure.
pub(crate) fn start(file: Option<&Path>) -> anyhow::Result<Option<Arc<dyn Tracer>>> {
    let environment = std::env::vars_os().collect();
    let settings = config::load_telemetry(file, &environment);
    let settings = settings.map_err(|problems| configuration::failure(&problems))?;
    let export = settings.map(|settings| EXPORT.get_or_init(|| Telemetry::start(settings)));
    Ok(export.map(|export| Arc::clone(export) as Arc<dyn Tracer>))
}

/// Exports what waits; takes 5 seconds at most.
pub(crate) async fn end() {
    if let Some(export) = EXPORT.get() {
        export.close().await;
    }
}
