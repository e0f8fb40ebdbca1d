//! `palisade bench pipeline`: a run for each number of sessions, and the report.
//!
//! What a run does is in `load`, against what in `target`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;

use super::latency::Quantiles;
use super::load::{self, Load};
use super::target::{Credential, Given, Own, Target};
use super::{cores, count};
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct PipelineArgs {
    /// How long each run is measured, after one second of warming up.
    #[arg(long, default_value_t = 5, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How many sessions send, one run for each number.
    #[arg(long, value_delimiter = ',', default_value = "1,16,256", value_name = "N,...")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    sessions: Vec<u32>,
    /// Measure this server instead of an own one.
    #[arg(long, value_name = "HOST:PORT", requires_all = ["ca", "cert", "key"])]
    addr: Option<String>,
    /// The authority of that server's certificate.
    #[arg(long, value_name = "FILE", requires = "addr")]
    ca: Option<PathBuf>,
    /// The certificate of the agent to send and receive as.
    #[arg(long, value_name = "FILE", requires = "addr")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "addr")]
    key: Option<PathBuf>,
    /// The process of that server on this machine, to measure its CPU time and memory.
    #[arg(long, value_name = "PID", requires = "addr")]
    server_pid: Option<u32>,
}

/// The figures of one run.
#[derive(Debug, Serialize)]
struct Run {
    sessions: u32,
    receivers: usize,
    messages: u64,
    messages_per_s: f64,
    server_cpu_us_per_message: Option<f64>,
    server_cores: Option<f64>,
    send_ms: Quantiles,
    delivery_ms: Quantiles,
    server_peak_rss_bytes: Option<u64>,
    /// Accepted and not delivered until long after the end: must be 0.
    undelivered: u64,
    /// Records of accepted messages in the audit log, for an own server.
    audited: Option<u64>,
    /// Accepted messages, warming up included.
    accepted: u64,
}

impl Run {
    fn ok(&self) -> bool {
        self.undelivered == 0 && self.audited.is_none_or(|audited| audited == self.accepted)
    }
}

/// Measures one number of sessions after the other and prints the figures.
pub(super) async fn run(args: PipelineArgs, out: &Output) -> anyhow::Result<ExitCode> {
    let progress = if out.terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    progress.enable_steady_tick(Duration::from_millis(100));
    let window = Duration::from_secs(args.seconds);
    let mut runs = Vec::new();
    for sessions in &args.sessions {
        progress.set_message(format!("{sessions} sessions, {} s", args.seconds));
        runs.push(measure(&args, *sessions, window).await?);
    }
    progress.finish_and_clear();
    let ok = runs.iter().all(Run::ok);
    if out.json {
        out.json(&report(&args, &runs, ok))?;
    } else {
        print(&runs, out)?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

async fn measure(args: &PipelineArgs, sessions: u32, window: Duration) -> anyhow::Result<Run> {
    let target = target(args, sessions).await?;
    let Load { senders, receivers } = target.connect(sessions).await?;
    let receiver_count = receivers.len();
    let pid = target.pid()?;
    let measured = load::run(Load { senders, receivers }, window, pid).await?;
    let audited = target.finish().await?;
    let seconds = measured.window.as_secs_f64();
    let (messages, cpu) = (measured.taken, measured.cpu.map(|cpu| cpu.as_secs_f64()));
    Ok(Run {
        sessions,
        receivers: receiver_count,
        messages,
        messages_per_s: per(count(messages), seconds),
        server_cpu_us_per_message: cpu.map(|cpu| per(cpu * 1e6, count(messages))),
        server_cores: cpu.map(|cpu| per(cpu, seconds)),
        send_ms: measured.send,
        delivery_ms: measured.delivery,
        server_peak_rss_bytes: measured.peak_rss_bytes,
        undelivered: measured.undelivered,
        audited,
        accepted: measured.accepted,
    })
}

async fn target(args: &PipelineArgs, sessions: u32) -> anyhow::Result<Target> {
    let (Some(addr), Some(ca), Some(cert), Some(key)) =
        (&args.addr, &args.ca, &args.cert, &args.key)
    else {
        return Ok(Target::Own(Box::new(Own::for_pipeline(sessions).await?)));
    };
    if let Some(pid) = args.server_pid.filter(|pid| !super::process::exists(*pid)) {
        let text = format!("there is no process {pid} to measure");
        return Err(Failure::usage("no_such_process", text).into());
    }
    let credential = Credential { ca: ca.clone(), cert: cert.clone(), key: key.clone() };
    Ok(Target::Given(Given { addr: addr.clone(), credential, pid: args.server_pid }))
}

fn report(args: &PipelineArgs, runs: &[Run], ok: bool) -> serde_json::Value {
    serde_json::json!({
        "ok": ok,
        "bench": "pipeline",
        "workload": {
            "payload_bytes": load::PAYLOAD_BYTES,
            "payload": "clean JSON",
            "transport": "gRPC over mTLS: unary Send, deliveries and acknowledgements by Transport",
            "sends_under_way_per_session": 1,
            "seconds": args.seconds,
            "server": args.addr.as_deref().unwrap_or("own: all stages, default rules, fsync"),
        },
        "machine": { "cores": cores() },
        "runs": runs,
    })
}

fn print(runs: &[Run], out: &Output) -> anyhow::Result<()> {
    let headers = [
        "sessions",
        "messages/s",
        "server CPU us/message",
        "server cores",
        "send p50 / p99 ms",
        "send to delivery p50 / p99 ms",
        "peak memory MiB",
        "lost",
    ];
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    out.table(&headers, &rows)?;
    for run in runs.iter().filter(|run| !run.ok()) {
        out.line(&format!(
            "NOT OK: {} sessions: {} accepted, {} not delivered, {} audited",
            run.sessions,
            run.accepted,
            run.undelivered,
            run.audited.map_or_else(|| "?".to_owned(), |audited| audited.to_string()),
        ))?;
    }
    Ok(())
}

fn row(run: &Run) -> Vec<String> {
    let unknown = || "-".to_owned();
    vec![
        run.sessions.to_string(),
        format!("{:.0}", run.messages_per_s),
        run.server_cpu_us_per_message.map_or_else(unknown, |cost| format!("{cost:.1}")),
        run.server_cores.map_or_else(unknown, |cores| format!("{cores:.2}")),
        run.send_ms.to_string(),
        run.delivery_ms.to_string(),
        run.server_peak_rss_bytes.map_or_else(unknown, |bytes| (bytes >> 20).to_string()),
        run.undelivered.to_string(),
    ]
}

fn per(amount: f64, unit: f64) -> f64 {
    if unit > 0.0 { amount / unit } else { 0.0 }
}
