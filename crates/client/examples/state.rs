//! Counts its own runs in the state that the gate keeps for it.
#![expect(clippy::print_stdout, reason = "an example prints what it got")]

use clap::Parser;
use palisade_client::{Client, Receive};

mod place;

/// Counts its own runs in the state that the gate keeps for it
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: place::Place,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut options = Arguments::parse().place.options();
    options.receive = Receive::Replies;
    let agent = Client::connect(options).await?;
    let state = agent.state().await?;
    let runs: u64 = state.get("runs").map_or(Ok(0), |text| text.parse())?;
    agent.update_state([("runs".to_owned(), (runs + 1).to_string())]).await?;
    println!("run {} of {}", runs + 1, agent.agent_id());
    agent.close().await;
    Ok(())
}
