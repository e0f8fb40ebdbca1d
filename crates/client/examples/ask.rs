//! Asks another agent something and prints the reply.
#![expect(clippy::print_stdout, reason = "an example prints what it got")]

use std::time::Duration;

use clap::Parser;
use palisade_client::{Client, Receive};
use serde_json::json;

mod place;

/// Asks another agent something and prints the reply
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: place::Place,
    /// The agent to ask
    target: String,
    /// What to ask
    question: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { place, target, question } = Arguments::parse();
    let mut options = place.options();
    // This program handles no messages, so it must not be given any.
    options.receive = Receive::Replies;
    let agent = Client::connect(options).await?;
    let question = json!({ "question": question });
    let reply = agent.request(&target, "ask", &question, Duration::from_secs(10)).await?;
    println!("{}", reply.data);
    agent.close().await;
    Ok(())
}
