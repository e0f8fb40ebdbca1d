//! `palisade witness`: cosigns the checkpoints of audit logs, as long as none changes its history.
//!
//! It belongs on another machine than the gates that it watches, or at least under another user.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use audit::{KeyKind, VerifierKey};
use witness::{Ledger, Listener};

use crate::clock;
use crate::failure::Failure;
use crate::output::Output;
use crate::verbs::audit::key;
use crate::verbs::serve::told_to_end;

/// What `palisade witness` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen. Plain HTTP: all that is said is signed.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// The witness's key, made by `palisade audit key --witness`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The public key of a log to watch, as `palisade audit key` printed it; may be repeated.
    #[arg(long, value_name = "KEY", required = true)]
    log: Vec<String>,
    /// The folder for the last checkpoint of each log; it is made if need be.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

/// Answers until SIGTERM or SIGINT.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let key = key::load(&args.key)?;
    if key.verifier().kind() != KeyKind::Witness {
        let text = format!(
            "`{}` holds the key of a log; make one with `palisade audit key --witness`",
            args.key.display()
        );
        return Err(Failure::usage("key_kind", text).into());
    }
    let public = key.verifier().to_string();
    let logs = args.log.iter().map(|text| log(text)).collect::<Result<Vec<_>, _>>()?;
    let ledger = Ledger::open(key, &args.state, logs)
        .map_err(|error| Failure::failed(error.code(), error))?;
    let listener = Listener::bind(args.listen, ledger, unix_seconds).await.map_err(|error| {
        Failure::failed("listen_failed", format!("cannot listen on {}: {error}", args.listen))
    })?;
    let address = listener.address().context("no address")?;
    let ended = told_to_end()?;
    if out.json {
        out.json(&serde_json::json!({ "listening": address, "verifier_key": public }))?;
    } else {
        out.line(&format!("palisade witness listening on {address}\n{public}"))?;
    }
    listener.run(ended).await;
    Ok(ExitCode::SUCCESS)
}

fn log(text: &str) -> Result<VerifierKey, Failure> {
    let key = VerifierKey::parse(text)
        .map_err(|error| Failure::usage(error.code(), format!("--log: {error}")))?;
    if key.kind() == KeyKind::Log {
        Ok(key)
    } else {
        Err(Failure::usage("key_kind", "--log takes the key of a log, not that of a witness"))
    }
}

fn unix_seconds() -> u64 {
    clock::unix_seconds().try_into().unwrap_or_default()
}
