//! `palisade serve`: runs the gate until it is told to end.
//!
//! The gate itself is the server crate; here are only the signals and the one line that says
//! where it listens.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use server::config::Config;
use tokio::signal::unix::{SignalKind, signal};

use crate::configuration;
use crate::failure::Failure;
use crate::output::Output;

/// What `palisade serve` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration; without it the file that `PALISADE_CONFIG` names, else palisade.yaml
    /// or mas.yaml in this folder. Single keys can be set in the environment, as in
    /// `PALISADE_SERVER__LISTEN=0.0.0.0:50051`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT, then drains.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let config = configuration::load(args.config.as_deref())?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Box::pin(serve(config, |addr| {
        let said = if out.json {
            out.json(&serde_json::json!({ "listening": addr }))
        } else {
            out.line(&format!("{READY}{addr}"))
        };
        if let Err(error) = said {
            tracing::warn!(%addr, %error, "listening, but could not say so");
        }
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// Has memory given in small pages only. The allocator asks for pages of 2 MiB, of which a whole
/// one is taken where a few bytes are used: that made a session at rest a third larger, and
/// messages no cheaper.
fn avoid_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay in use");
    }
}

/// Serves a configuration until a signal comes.
///
/// # Errors
/// Returns what the server says, with the exit code that fits.
pub(crate) async fn serve(
    config: Config,
    ready: impl FnOnce(SocketAddr) + Send,
) -> anyhow::Result<()> {
    avoid_huge_pages();
    let ended = server::serve(config, told_to_end()?, ready).await;
    ended.map_err(|error| {
        if error.is_configuration() {
            Failure::usage(error.code(), &error).into()
        } else {
            Failure::failed(error.code(), &error).into()
        }
    })
}

/// Resolves at the first SIGTERM or SIGINT; listens for them from now on.
pub(crate) fn told_to_end() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _told = terminate.recv() => {}
            _told = interrupt.recv() => {}
        }
    })
}

/// What the line begins with that says where the gate listens; scripts wait for it.
pub(crate) const READY: &str = "palisade listening on ";
