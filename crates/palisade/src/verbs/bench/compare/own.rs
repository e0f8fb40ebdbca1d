//! Our side of a comparison: this very program as the server, with either of its wires.

use std::sync::Arc;

use anyhow::bail;
use palisade_client::{Client, Options};
use tokio::task::JoinSet;

use super::board::{self, Board, Sample, Shape};
use super::ring::{self, Ends};
use crate::verbs::bench::load;
use crate::verbs::bench::target::{Credential, Extra, Own};

/// By which wire agents speak to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verbs::bench) enum Wire {
    /// Unary sends, deliveries and acknowledgements by `Transport`: what every MAS server has.
    Mas,
}

impl Wire {
    /// The one that costs the server least.
    pub(in crate::verbs::bench) const BEST: Self = Self::Mas;
}

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
    drive(clients, shape, Some(own.pid()?)).await
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
    let sample = drive(clients, shape, Some(own.pid()?)).await?;
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
    drive(clients, shape, pid).await
}

async fn open(mut options: Options, wire: Wire, shape: Shape) -> anyhow::Result<Client> {
    options.calls_max = shape.in_flight.max(1);
    match wire {
        Wire::Mas => options.wire = palisade_client::Wire::Mas,
    }
    Ok(Client::connect(options).await?)
}

async fn drive(
    clients: Vec<(Client, String)>,
    shape: Shape,
    pid: Option<u32>,
) -> anyhow::Result<Sample> {
    let board = Arc::new(Board::default());
    let flights = board::flights(shape);
    let mut sessions = JoinSet::new();
    for (number, (client, target)) in (0_u32..).zip(clients) {
        let ends = ring::ends(&flights, number)?;
        sessions.spawn(receive(client.clone(), Arc::clone(&board), ends.clone()));
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

async fn receive(client: Client, board: Arc<Board>, ends: Ends) -> anyhow::Result<()> {
    let mut messages = client.messages();
    while let Some(incoming) = messages.next().await {
        incoming.ack().await?;
        board.taken(1);
        ends.sender.add_permits(1);
    }
    Err(client.ended().await.into())
}
