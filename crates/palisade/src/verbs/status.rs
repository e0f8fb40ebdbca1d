//! `palisade status`: what became of a message.
//!
//! Only the agent that sent it is told.

use std::process::ExitCode;

use palisade_client::{MessageId, MessageState};

use crate::connect::{self, Connect};
use crate::failure::EXIT_FAILED;
use crate::output::Output;
use crate::verbs::send::print_status;

/// What `palisade status` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The message's id, as `palisade send` printed it.
    message_id: String,
    #[command(flatten)]
    connect: Connect,
}

/// Asks the gate and prints where the message is; fails if the gate does not know it.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    connect::conclude(ask(args, out).await, out)
}

async fn ask(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let client = args.connect.sender().await?;
    let id = MessageId::new(args.message_id);
    let status = client.status(&id).await?;
    client.close().await;
    print_status(&id, &status, out)?;
    let known = status.state != MessageState::Unknown;
    Ok(if known { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}
