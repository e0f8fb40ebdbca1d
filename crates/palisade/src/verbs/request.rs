//! `palisade request`: a question from the shell, and its answer.
//!
//! It takes nothing but the reply: messages for the agent stay for whoever listens as it.

use std::process::ExitCode;
use std::time::Duration;

use palisade_client::Receive;
use serde_json::json;

use crate::connect::{self, Connect};
use crate::output::Output;
use crate::verbs::send::payload;

/// What `palisade request` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent to ask.
    target: String,
    /// The message's type: free text by which the receiver tells messages apart.
    #[arg(value_name = "TYPE")]
    message_type: String,
    /// The payload, a JSON object; `-` reads it from standard input.
    #[arg(value_name = "JSON", default_value = "{}")]
    data: String,
    /// How long to wait for the reply (`5s`, `500ms`, `2m`).
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = connect::duration)]
    timeout: Duration,
    #[command(flatten)]
    connect: Connect,
}

/// Asks and prints the reply's payload.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    connect::conclude(ask(args, out).await, out)
}

async fn ask(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let data = payload(args.data)?;
    let client = args.connect.client(|options| options.receive = Receive::Replies).await?;
    let (target, message_type) = (&args.target, &args.message_type);
    let reply = client.request_json(target, message_type, data, args.timeout).await?;
    client.close().await;
    if out.json {
        out.json(&json!({
            "message_id": reply.message_id,
            "sender_id": reply.sender_id,
            "message_type": reply.message_type,
            "data": reply.data,
        }))?;
    } else {
        out.line(&crate::output::clean(&reply.data.to_string()))?;
    }
    Ok(ExitCode::SUCCESS)
}
