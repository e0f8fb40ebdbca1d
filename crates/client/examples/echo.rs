//! Answers every request with what it said, until interrupted.

use clap::Parser;
use palisade_client::{Client, HandlerError};

mod place;

/// Answers every request with what it said
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: place::Place,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let agent = Client::connect(Arguments::parse().place.options()).await?;
    let listening = agent.listen(|message| async move {
        if message.expects_reply {
            let sent = message.reply("echo", &message.data).await;
            sent.map_err(|error| HandlerError::retryable(error.to_string()))?;
        }
        Ok(())
    });
    tokio::select! {
        ended = listening => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    agent.close().await;
    Ok(())
}
