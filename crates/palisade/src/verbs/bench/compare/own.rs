//! Our side of a comparison: this very program as the server, by either wire of its clients.

use std::sync::Arc;

use anyhow::bail;
use palisade_client::{Client, Options, Outgoing, Sent, Wire};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::board::{self, Board, Sample, Shape};
use super::ring::{self, Ends};
use crate::verbs::bench::load;
use crate::verbs::bench::target::{Credential, Extra, Own};

/// Starts a server anew, puts it under load, ends it and looks into its audit log.
///
/// # Errors
/// Returns what fails of the load, and an error if not every accepted message is in the log.
pub(super) async fn sample(wire: Wire, shape: Shape) -> anyhow::Result<Sample> {
    let own = Own::start(&ring::agents(shape.sessions), Extra::default()).await?;
    let sample = loaded(&own, wire, shape).await?;
    let audited = own.finish().await?;
    if audited != sample.accepted {
        bail!("{} messages were accepted and {audited} are in the audit log", sample.accepted);
    }
    Ok(sample)
}

/// Puts a server of ours under load, whose agents are those of the ring.
///
/// # Errors
/// Returns what fails of the load.
pub(in crate::verbs::bench) async fn loaded(
    own: &Own,
    wire: Wire,
    shape: Shape,
) -> anyhow::Result<Sample> {
    let mut clients = Vec::new();
    for number in 0..shape.sessions {
        let options = own.options(&ring::agent(number))?;
        clients.push((open(options, wire, shape).await?, ring::partner(number, shape.sessions)));
    }
    drive(clients, wire, shape, Some(own.pid()?)).await
}

/// Puts one agent of our own server under the load of [`given`], for a fair comparison with it.
///
/// # Errors
/// As [`sample`].
pub(super) async fn alone(wire: Wire, shape: Shape) -> anyhow::Result<Sample> {
    let own = Own::start(&ring::agents(1), Extra::default()).await?;
    let mut clients = Vec::new();
    for _ in 0..shape.sessions {
        let client = open(own.options(&ring::agent(0))?, wire, shape).await?;
        clients.push((client, ring::agent(0)));
    }
    let sample = drive(clients, wire, shape, Some(own.pid()?)).await?;
    own.finish().await?;
    Ok(sample)
}

/// Puts a server under load that somebody else runs: all sessions are of the one agent of the
/// credential, which sends to itself.
///
/// # Errors
/// Returns what fails of the load.
pub(super) async fn given(
    addr: &str,
    credential: &Credential,
    pid: Option<u32>,
    shape: Shape,
) -> anyhow::Result<Sample> {
    let Credential { ca, cert, key } = credential;
    let mut clients = Vec::new();
    for _ in 0..shape.sessions {
        let client = open(Options::new(addr, ca, cert, key), Wire::Mas, shape).await?;
        let itself = client.agent_id().to_owned();
        clients.push((client, itself));
    }
    drive(clients, Wire::Mas, shape, pid).await
}

async fn open(mut options: Options, wire: Wire, shape: Shape) -> anyhow::Result<Client> {
    options.calls_max = shape.in_flight.max(1);
    options.wire = wire;
    Ok(Client::connect(options).await?)
}

async fn drive(
    clients: Vec<(Client, String)>,
    wire: Wire,
    shape: Shape,
    pid: Option<u32>,
) -> anyhow::Result<Sample> {
    let board = Arc::new(Board::default());
    let flights = board::flights(shape);
    let mut sessions = JoinSet::new();
    for (number, (client, target)) in (0_u32..).zip(clients) {
        let ends = ring::ends(&flights, number)?;
        sessions.spawn(receive(client.clone(), Arc::clone(&board), ends.clone()));
        if wire == Wire::Native {
            let (sent, outcomes) = mpsc::channel(shape.in_flight.max(1));
            sessions.spawn(publish(client, target, Arc::clone(&board), (ends, sent)));
            sessions.spawn(outcomes_of(outcomes, Arc::clone(&board)));
            continue;
        }
        for _ in 0..shape.in_flight {
            let (client, board) = (client.clone(), Arc::clone(&board));
            sessions.spawn(send(client, target.clone(), board, ends.clone()));
        }
    }
    board::measure(sessions, &board, pid, shape.window).await
}

/// Has one send under way at a time; there are as many of these as messages in flight.
async fn send(client: Client, target: String, board: Arc<Board>, ends: Ends) -> anyhow::Result<()> {
    loop {
        ends.own.acquire().await?.forget();
        let Some(number) = board.next() else { break };
        client.send_json(&target, load::MESSAGE_TYPE, load::payload(number)).await?;
        board.accepted(1);
    }
    // It has nothing more to do, which is no failure: the others are still waited for.
    std::future::pending().await
}

/// Publishes as much as may be in flight, all at once.
async fn publish(
    client: Client,
    target: String,
    board: Arc<Board>,
    (ends, sent): (Ends, mpsc::Sender<Sent>),
) -> anyhow::Result<()> {
    loop {
        ends.own.acquire().await?.forget();
        let Some(number) = board.next() else { break };
        let message = Outgoing::json(&target, load::MESSAGE_TYPE, load::payload(number));
        sent.send(client.publish(message).await?).await?;
    }
    std::future::pending().await
}

/// Waits for what the server says of each message, in their order.
async fn outcomes_of(mut sent: mpsc::Receiver<Sent>, board: Arc<Board>) -> anyhow::Result<()> {
    while let Some(mut message) = sent.recv().await {
        message.accepted().await?;
        board.accepted(1);
    }
    Ok(())
}

async fn receive(client: Client, board: Arc<Board>, ends: Ends) -> anyhow::Result<()> {
    let mut messages = client.messages();
    while let Some(incoming) = messages.next().await {
        incoming.ack().await?;
        board.taken(1);
        ends.sender.add_permits(1);
    }
    Err(client.ended().await.into())
}
