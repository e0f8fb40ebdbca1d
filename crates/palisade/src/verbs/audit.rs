//! `palisade audit`: reads, checks and exports the audit log, also while the gate runs.
//!
//! It works on the store's folder, or reads a file of the JSONL sink: an auditor needs neither a
//! running gate nor its permission. Only `erase` changes something: it clears salts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use audit::{Filter, LineReader};

use crate::clock;
use crate::configuration;
use crate::failure::Failure;
use crate::output::Output;

mod anchor;
mod check;
mod export;
pub(crate) mod key;
mod prove;
mod salts;
mod show;
mod tail;

/// What `palisade audit` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the newest records, and with -f those that follow.
    Tail(tail::TailArgs),
    /// Print records by sender, target, decision or time, oldest first.
    Query(QueryArgs),
    /// Check that every record is unchanged, present, once and in order; exit code 1 if not.
    Verify(check::CheckArgs),
    /// Write the proof that a record is in the log, for somebody who has only the log's key.
    Prove(prove::ProveArgs),
    /// Check such a proof; needs no store and no configuration.
    CheckProof(prove::CheckProofArgs),
    /// Tell whether one checkpoint continues another.
    Consistency(prove::ConsistencyArgs),
    /// Make the key that signs checkpoints, or that of a witness, and print its public half.
    Key(key::KeyArgs),
    /// Write records as CSV for spreadsheets or as a JSON array.
    Export(export::ExportArgs),
    /// Check whether a payload is the one of a record; exit code 1 if not.
    Match(salts::MatchArgs),
    /// Erase the salts of records, so that nobody can check a guess of their payload any more.
    Erase(salts::EraseArgs),
}

#[derive(Debug, clap::Args)]
struct QueryArgs {
    #[command(flatten)]
    select: Select,
    /// How many records at most.
    #[arg(long, default_value_t = QUERY_RECORDS, value_name = "N")]
    limit: usize,
}

/// Where the log is.
#[derive(Debug, clap::Args)]
struct Source {
    /// The store's folder; without it that of the configuration.
    #[arg(long, global = true, display_order = 900, value_name = "DIR")]
    #[arg(conflicts_with = "file")]
    data: Option<PathBuf>,
    /// The configuration that names the store's folder; without it the one in this folder or in
    /// `.palisade`.
    #[arg(long, global = true, display_order = 901, value_name = "FILE")]
    #[arg(conflicts_with_all = ["data", "file"])]
    config: Option<PathBuf>,
    /// Read a file that the sink under `gateway.audit` wrote instead of the store.
    #[arg(long, global = true, display_order = 902, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// The log's entries as they are read, in constant memory.
type Entries = Box<dyn audit::Entries>;

/// A log that was found.
#[derive(Debug)]
enum Log {
    Store(PathBuf),
    Lines(PathBuf),
}

impl Source {
    fn find(&self) -> anyhow::Result<Log> {
        if let Some(file) = &self.file {
            return Ok(Log::Lines(file.clone()));
        }
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None => configuration::load_local(self.config.as_deref())?.storage.path,
        };
        if !folder.is_dir() {
            let text = format!(
                "`{}` is no folder of a store: give one with --data, or the configuration with \
                 --config",
                folder.display()
            );
            return Err(Failure::failed("store_missing", text).into());
        }
        Ok(Log::Store(folder))
    }
}

impl Log {
    fn entries(&self, from_seq: u64) -> anyhow::Result<Entries> {
        match self {
            Self::Store(folder) => Ok(Box::new(store::read_audit(folder, from_seq))),
            Self::Lines(file) => lines(file, from_seq),
        }
    }
}

fn lines(file: &Path, from_seq: u64) -> anyhow::Result<Entries> {
    let reader =
        LineReader::open(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(Box::new(reader.from_seq(from_seq)))
}

/// Which records are wanted.
#[derive(Debug, clap::Args)]
struct Select {
    /// Only messages of this sender.
    #[arg(long, value_name = "AGENT")]
    sender: Option<String>,
    /// Only messages to this target.
    #[arg(long, value_name = "AGENT")]
    target: Option<String>,
    /// Only what this agent did, sent or was sent.
    #[arg(long)]
    agent: Option<String>,
    /// Only this decision, such as `ALLOWED`, `DLP_BLOCKED` or `RATE_LIMITED`.
    #[arg(long)]
    decision: Option<String>,
    /// Only this kind of event, such as message.send or authentication.
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Only this message.
    #[arg(long, value_name = "ID")]
    message: Option<String>,
    /// From this moment: 2026-01-31T12:00:00Z, or 90s, 15m, 2h, 7d ago.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until this moment, written likewise.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Select {
    fn filter(&self, limit: usize) -> Result<Filter, Failure> {
        let now = clock::unix_micros();
        let moment = |text: &Option<String>| {
            text.as_deref()
                .map(|text| audit::parse_moment(text, now))
                .transpose()
                .map_err(|error| Failure::usage("moment", error))
        };
        Ok(Filter {
            sender: self.sender.clone(),
            target: self.target.clone(),
            agent: self.agent.clone(),
            decision: self.decision.as_deref().map(str::to_ascii_uppercase),
            event_type: self.event.clone(),
            message_id: self.message.clone(),
            from: moment(&self.since)?,
            to: moment(&self.until)?,
            limit,
        })
    }
}

/// Reads, checks or exports the log.
pub(crate) async fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let source = &args.source;
    match args.action {
        Action::Key(args) => key::run(&args, out),
        Action::CheckProof(args) => prove::check_proof(&args, out),
        Action::Tail(args) => tail::run(&args, &source.find()?, out).await,
        Action::Query(args) => {
            let filter = args.select.filter(args.limit)?;
            show::table(audit::query(source.find()?.entries(1)?, &filter), out)
        }
        Action::Verify(args) => check::run(&args, &source.find()?, out),
        Action::Export(args) => export::run(&args, &source.find()?, out),
        Action::Prove(args) => prove::prove(&args, &source.find()?, out),
        Action::Consistency(args) => prove::consistency(&args, &source.find()?, out),
        Action::Match(args) => salts::check(&args, &source.find()?, out),
        Action::Erase(args) => salts::erase(&args, &source.find()?, out),
    }
}

/// How many records a query prints unless told otherwise.
const QUERY_RECORDS: usize = 100;
