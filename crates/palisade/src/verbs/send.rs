//! `palisade send`: one message from the shell.
//!
//! It receives nothing: messages for the agent stay for whoever listens as it.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use palisade_client::{Client, MessageId, MessageState, MessageStatus};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::connect::{self, Connect};
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::Output;

/// What `palisade send` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent to send to.
    target: String,
    /// The message's type: free text by which the receiver tells messages apart.
    #[arg(value_name = "TYPE")]
    message_type: String,
    /// The payload, a JSON object; `-` reads it from standard input.
    #[arg(value_name = "JSON", default_value = "{}")]
    data: String,
    /// Wait until the target has taken the message, this long at most (`10`, `500ms`).
    #[arg(long, value_name = "TIME", value_parser = connect::duration)]
    wait_ack: Option<Duration>,
    #[command(flatten)]
    connect: Connect,
}

/// Sends the message and prints its id.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    connect::conclude(send(args, out).await, out)
}

async fn send(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let data = payload(args.data)?;
    let client = args.connect.sender().await?;
    let id = client.send_json(&args.target, &args.message_type, data).await?;
    let Some(wait) = args.wait_ack else {
        client.close().await;
        if out.json {
            out.json(&json!({ "message_id": id }))?;
        } else {
            out.line(id.as_str())?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let status = settled(&client, &id, wait).await?;
    client.close().await;
    print_status(&id, &status, out)?;
    let taken = status.state == MessageState::Acknowledged;
    Ok(if taken { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

/// Returns a payload from the command line or standard input.
///
/// # Errors
/// Returns an error if standard input cannot be read or holds more than any gate takes.
pub(crate) fn payload(argument: String) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument);
    }
    let mut text = String::new();
    std::io::stdin()
        .take(STDIN_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed("stdin", format!("cannot read the payload: {error}")))?;
    Ok(text)
}

/// Prints what became of a message.
///
/// # Errors
/// Returns what the system says about standard output.
pub(crate) fn print_status(
    id: &MessageId,
    status: &MessageStatus,
    out: &Output,
) -> anyhow::Result<()> {
    let MessageStatus { state, attempts, reason } = status;
    if out.json {
        let value =
            json!({ "message_id": id, "state": state, "attempts": attempts, "reason": reason });
        return Ok(out.json(&value)?);
    }
    let mut line = format!("{id} {}", state.as_str());
    if *attempts > 0 {
        line.push_str(&format!(" after {attempts} attempt(s)"));
    }
    if !reason.is_empty() {
        line.push_str(&format!(": {}", crate::output::clean(reason)));
    }
    Ok(out.line(&line)?)
}

/// Asks until nothing further will happen to the message or the time is over.
async fn settled(
    client: &Client,
    id: &MessageId,
    wait: Duration,
) -> Result<MessageStatus, palisade_client::Error> {
    let asking = async {
        let mut pause = PAUSE_FIRST;
        loop {
            let status = client.status(id).await?;
            if status.state.is_final() {
                return Ok(status);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    };
    match timeout(wait, asking).await {
        Ok(settled) => settled,
        Err(_elapsed) => client.status(id).await,
    }
}

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// LIMIT: twice what a gate takes, so that it is the client that says by how much it is too much.
const STDIN_BYTES_MAX: u64 = 8 * 1024 * 1024;
