//! `palisade dlq`: dead letters, their payload, and what to do with them.
//!
//! It works on the running gate as an operator; each replay and drop is audited there.

use std::process::ExitCode;

use palisade_client::Operator;
use palisade_client::admin::{DeadLetter, ListDeadLettersRequest};
use serde_json::{Value, json};

use crate::connect::{self, Connect};
use crate::output::{Output, clean};

/// What `palisade dlq` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List dead letters, oldest first.
    List(ListArgs),
    /// Show one dead letter with its payload.
    Show {
        /// The message's id.
        id: String,
    },
    /// Put dead letters back into their targets' queues.
    Replay(Ids),
    /// Delete dead letters for good.
    Drop(Ids),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only letters to this agent.
    #[arg(long, value_name = "AGENT", default_value = "")]
    target: String,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Continue behind this message id.
    #[arg(long, value_name = "ID", default_value = "")]
    after: String,
}

#[derive(Debug, clap::Args)]
struct Ids {
    /// The messages' ids.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Lists, shows, replays or drops.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    connect::conclude(act(args, out).await, out)
}

async fn act(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let operator = args.connect.operator().await?;
    match args.action {
        Action::List(list_args) => list(&operator, list_args, out).await?,
        Action::Show { id } => show(&operator, &id, out).await?,
        Action::Replay(Ids { ids }) => {
            for id in ids {
                operator.replay(&id).await?;
                done(&id, "replayed", out)?;
            }
        }
        Action::Drop(Ids { ids }) => {
            for id in ids {
                operator.drop_letter(&id).await?;
                done(&id, "dropped", out)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn done(id: &str, what: &str, out: &Output) -> std::io::Result<()> {
    if out.json {
        out.json(&json!({ "message_id": id, "done": what }))
    } else {
        out.line(&clean(&format!("{id} {what}")))
    }
}

async fn list(operator: &Operator, args: ListArgs, out: &Output) -> anyhow::Result<()> {
    let ListArgs { target, limit, after } = args;
    let request = ListDeadLettersRequest { after, limit, target_id: target };
    let letters = operator.dead_letters(request).await?;
    if out.json {
        for letter in &letters {
            out.json(&letter_json(letter))?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = letters
        .iter()
        .map(|letter| {
            vec![
                letter.message_id.clone(),
                died_at(letter),
                letter.sender_id.clone(),
                letter.target_id.clone(),
                letter.message_type.clone(),
                letter.attempts.to_string(),
                letter.size_bytes.to_string(),
                letter.reason.clone(),
            ]
        })
        .collect();
    Ok(out.table(HEADERS, &rows)?)
}

async fn show(operator: &Operator, id: &str, out: &Output) -> anyhow::Result<()> {
    let response = operator.dead_letter(id).await?;
    let letter = response.letter.unwrap_or_default();
    // An envelope that is no JSON is a dead letter too, and then shown as text.
    let envelope: Value = serde_json::from_str(&response.envelope_json)
        .unwrap_or_else(|_not_json| Value::from(response.envelope_json));
    if out.json {
        let mut shown = letter_json(&letter);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("envelope".to_owned(), envelope);
        }
        return Ok(out.json(&shown)?);
    }
    let DeadLetter { sender_id, target_id, attempts, reason, .. } = &letter;
    out.line(&clean(&format!(
        "{sender_id} -> {target_id}, dead since {} after {attempts} attempt(s): {reason}",
        died_at(&letter)
    )))?;
    for line in serde_json::to_string_pretty(&envelope)?.lines() {
        out.line(&clean(line))?;
    }
    Ok(())
}

fn letter_json(letter: &DeadLetter) -> Value {
    json!({
        "message_id": letter.message_id,
        "sender_id": letter.sender_id,
        "target_id": letter.target_id,
        "message_type": letter.message_type,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "died_at_ms": letter.died_at_ms,
        "size_bytes": letter.size_bytes,
    })
}

fn died_at(letter: &DeadLetter) -> String {
    let micros = letter.died_at_ms.saturating_mul(1000);
    audit::timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
}

const HEADERS: &[&str] = &["message", "died", "from", "to", "type", "attempts", "bytes", "reason"];
