//! Where the examples connect to and as whom: from arguments or the environment.

use std::path::PathBuf;

use palisade_client::Options;

/// The arguments that every example takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The gate's address
    #[arg(long, env = "PALISADE_ADDR", default_value = "localhost:50051")]
    addr: String,
    /// The authority of the gate's certificate
    #[arg(long, env = "PALISADE_CA")]
    ca: PathBuf,
    /// The agent's certificate
    #[arg(long, env = "PALISADE_CERT")]
    cert: PathBuf,
    /// The key of the agent's certificate
    #[arg(long, env = "PALISADE_KEY")]
    key: PathBuf,
}

impl Place {
    pub(crate) fn options(self) -> Options {
        Options::new(self.addr, self.ca, self.cert, self.key)
    }
}
