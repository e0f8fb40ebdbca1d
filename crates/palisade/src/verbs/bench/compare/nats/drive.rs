//! One connection under load: publishes as much as may be in flight, acknowledges what arrives.
//!
//! All that came with one read is answered with one write, as a good client does.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::super::board::{Board, Shape};
use super::super::ring::{self, Ends};
use super::wire::Connection;
use super::{ADMIN, Consumer, STREAM};
use crate::verbs::bench::load;

/// Makes the stream and one consumer for each agent.
///
/// # Errors
/// Returns what the server refuses.
pub(super) async fn prepare(
    port: u16,
    folder: &Path,
    consumer: Consumer,
    shape: Shape,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(port, folder, ADMIN).await?;
    connection.line(&format!("SUB _INBOX.{ADMIN} {ANSWERS}"));
    let stream = json!({ "name": STREAM, "subjects": ["bench.*"], "storage": "file" });
    ask(&mut connection, &format!("STREAM.CREATE.{STREAM}"), &stream).await?;
    for number in 0..shape.sessions {
        let agent = ring::agent(number);
        let mut config = json!({
            "durable_name": agent,
            "filter_subject": format!("bench.{agent}"),
            "ack_policy": "explicit",
            // More than may be in flight, so that the peer is never held up by it.
            "max_ack_pending": shape.in_flight.saturating_mul(4).max(1_000),
        });
        if let (Consumer::Push, Some(config)) = (consumer, config.as_object_mut()) {
            config.insert("deliver_subject".to_owned(), deliveries(&agent).into());
        }
        let consumer = json!({ "stream_name": STREAM, "config": config });
        let subject = format!("CONSUMER.DURABLE.CREATE.{STREAM}.{agent}");
        ask(&mut connection, &subject, &consumer).await?;
    }
    Ok(())
}

/// Calls the API of `JetStream`.
async fn ask(connection: &mut Connection, what: &str, request: &Value) -> anyhow::Result<()> {
    let subject = format!("$JS.API.{what}");
    connection.publish(&subject, &format!("_INBOX.{ADMIN}"), request.to_string().as_bytes());
    connection.flush().await?;
    let mut answer = None;
    while answer.is_none() {
        connection.receive().await?;
        connection.each(|_subscription, _reply, payload, _out| {
            answer = Some(serde_json::from_slice::<Value>(payload)?);
            Ok(())
        })?;
    }
    match answer.as_ref().and_then(|answer| answer.get("error")) {
        Some(error) => bail!("the NATS server refuses {what}: {error}"),
        None => Ok(()),
    }
}

/// One agent's connection.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    subject: String,
    outcomes: String,
    /// How to ask for messages; none if they come by themselves.
    pull: Option<Pull>,
}

/// Asks for messages before those run out that were asked for.
#[derive(Debug)]
struct Pull {
    subject: String,
    inbox: String,
    asked_for: usize,
}

/// Connects an agent and subscribes to what it is to receive.
///
/// # Errors
/// Returns why there is no connection.
pub(super) async fn connect(
    port: u16,
    folder: &Path,
    consumer: Consumer,
    (number, sessions): (u32, u32),
) -> anyhow::Result<Session> {
    let agent = ring::agent(number);
    let mut connection = Connection::open(port, folder, &agent).await?;
    let outcomes = format!("_INBOX.{agent}.outcomes");
    connection.line(&format!("SUB {outcomes} {ANSWERS}"));
    let inbox = deliveries(&agent);
    connection.line(&format!("SUB {inbox} {DELIVERIES}"));
    connection.flush().await?;
    let pull = (consumer == Consumer::Pull).then(|| Pull {
        subject: format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{agent}"),
        inbox,
        asked_for: 0,
    });
    let subject = format!("bench.{}", ring::partner(number, sessions));
    Ok(Session { connection, subject, outcomes, pull })
}

impl Session {
    /// Runs until it is stopped from outside.
    ///
    /// # Errors
    /// Returns why it cannot go on.
    pub(super) async fn run(mut self, board: Arc<Board>, ends: Ends) -> anyhow::Result<()> {
        loop {
            self.ask();
            self.fill(&board, &ends);
            self.connection.flush().await?;
            tokio::select! {
                received = self.connection.receive() => received?,
                permit = ends.own.acquire() => {
                    permit?.forget();
                    self.publish(&board);
                    continue;
                }
            }
            self.take(&board, &ends)?;
        }
    }

    /// Asks for more messages when half of those have come that were asked for.
    fn ask(&mut self) {
        if let Some(Pull { subject, inbox, asked_for }) = &mut self.pull
            && *asked_for <= PULL_BATCH / 2
        {
            *asked_for += PULL_BATCH;
            let request = format!("{{\"batch\":{PULL_BATCH}}}");
            self.connection.publish(subject, inbox, request.as_bytes());
        }
    }

    /// Publishes all that may be in flight now.
    fn fill(&mut self, board: &Board, ends: &Ends) {
        while let Ok(permit) = ends.own.try_acquire() {
            permit.forget();
            self.publish(board);
        }
    }

    fn publish(&mut self, board: &Board) {
        if let Some(number) = board.next() {
            let payload = load::payload(number);
            self.connection.publish(&self.subject, &self.outcomes, payload.as_bytes());
        }
    }

    fn take(&mut self, board: &Board, ends: &Ends) -> anyhow::Result<()> {
        let (mut accepted, mut taken) = (0_u64, 0_usize);
        self.connection.each(|subscription, reply, payload, out| {
            if subscription == ANSWERS {
                // LIMIT: an acknowledgement names the stream and a number; an error names itself.
                if !payload.starts_with(br#"{"stream":"#) {
                    bail!("not stored: {}", String::from_utf8_lossy(payload));
                }
                accepted += 1;
            } else {
                let reply = reply.context("a delivery that cannot be acknowledged")?;
                out.extend_from_slice(b"PUB ");
                out.extend_from_slice(reply.as_bytes());
                out.extend_from_slice(b" 4\r\n+ACK\r\n");
                taken += 1;
            }
            Ok(())
        })?;
        if let Some(pull) = &mut self.pull {
            pull.asked_for = pull.asked_for.saturating_sub(taken);
        }
        board.accepted(accepted);
        board.taken(u64::try_from(taken)?);
        ends.sender.add_permits(taken);
        Ok(())
    }
}

fn deliveries(agent: &str) -> String {
    format!("_INBOX.{agent}.deliveries")
}

/// The subscription to what the server answers to publishes.
const ANSWERS: &str = "1";
/// How many messages are asked for at once; clients of NATS ask for 100 to 500.
const PULL_BATCH: usize = 200;
/// The subscription to messages.
const DELIVERIES: &str = "2";
