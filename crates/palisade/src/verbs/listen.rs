//! `palisade listen`: an agent in the shell that prints what it gets and may answer.
//!
//! It handles one message after another, in order; each is acknowledged after it was printed.

use std::process::ExitCode;

use palisade_client::{Client, HandlerError, Incoming, Message, OpeningKey};
use serde_json::{Value, json};

use crate::connect::{self, Connect};
use crate::output::{Output, clean};

/// What `palisade listen` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Answer requests with this JSON object.
    #[arg(long, value_name = "JSON", conflicts_with = "echo", value_parser = object)]
    reply: Option<Value>,
    /// Answer requests with what they said.
    #[arg(long)]
    echo: bool,
    /// End after this many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Refuse every message instead of acknowledging it: `final` makes it a dead letter, `retry`
    /// has it delivered again.
    #[arg(long, value_enum)]
    nack: Option<Nack>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Nack {
    Final,
    Retry,
}

/// Prints messages until it is interrupted, has its count, or the gate ends the session for good.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    connect::conclude(listen(args, out).await, out)
}

async fn listen(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let mut sealing_key = None;
    let client = args
        .connect
        .client(|options| {
            sealing_key = options.opening_key.as_ref().map(OpeningKey::sealing_key).cloned();
        })
        .await?;
    let opens = if sealing_key.is_some() { ", opens encrypted fields" } else { "" };
    out.note(&format!(
        "listening as {} (instance {}){opens}; Ctrl-C ends",
        client.agent_id(),
        client.instance_id()
    ));
    let handled = tokio::select! {
        handled = handle_all(&args, &client, out) => handled,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
    };
    // Also after a failure: what was answered should reach the gate.
    client.close().await;
    handled.map(|()| ExitCode::SUCCESS)
}

async fn handle_all(args: &Args, client: &Client, out: &Output) -> anyhow::Result<()> {
    let mut messages = client.messages();
    let mut left = args.count;
    while left != Some(0) {
        let Some(incoming) = messages.next().await else { return Err(client.ended().await.into()) };
        if let Err(error) = handle(args, incoming, out).await? {
            // The gate delivers it again; that is no reason to end.
            out.note(&format!("answer not given: {error}"));
        }
        left = left.map(|left| left.saturating_sub(1));
    }
    Ok(())
}

/// Prints and answers one message; the outer error ends the verb, the inner one does not.
async fn handle(
    args: &Args,
    incoming: Incoming,
    out: &Output,
) -> anyhow::Result<Result<(), palisade_client::Error>> {
    print(&incoming.message, out)?;
    let nack = match args.nack {
        Some(Nack::Final) => Some(HandlerError::fatal("refused by `palisade listen --nack`")),
        Some(Nack::Retry) => Some(HandlerError::retryable("refused by `palisade listen --nack`")),
        None => None,
    };
    if let Some(why) = nack {
        return Ok(incoming.nack(why).await);
    }
    let answer = if args.echo { Some(&incoming.message.data) } else { args.reply.as_ref() };
    if let Some(answer) = answer.filter(|_| incoming.message.expects_reply) {
        let message_type = &incoming.message.message_type;
        if let Err(error) = incoming.message.reply(message_type, answer).await {
            out.note(&format!("reply not taken: {error}"));
        }
    }
    Ok(incoming.ack().await)
}

fn print(message: &Message, out: &Output) -> std::io::Result<()> {
    if out.json {
        return out.json(&json!({
            "message_id": message.message_id,
            "sender_id": message.sender_id,
            "message_type": message.message_type,
            "data": message.data,
            "expects_reply": message.expects_reply,
            "correlation_id": message.correlation_id,
            "timestamp": message.timestamp,
            "unopened": message.unopened,
        }));
    }
    let asks = if message.expects_reply { " (asks)" } else { "" };
    out.line(&clean(&format!(
        "{}{asks} {} {}",
        message.sender_id, message.message_type, message.data
    )))
}

fn object(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if value.is_object() { Ok(value) } else { Err("a reply is a JSON object".to_owned()) }
}
