//! The bounded queue, batches, repeated attempts, the end.
//!
//! Offering never waits: what does not fit is dropped and counted. One task does the rest, and a
//! collector that is slow, dead or unwilling costs only what was meant for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use crate::context::Place;
use crate::mask::Masker;
use crate::metric::Reading;
use crate::otlp;
use crate::post::{Post, PostError};
use crate::sampler::Sampler;
use crate::settings::Settings;
use crate::span::Span;

/// Something that spans are made of, on the exporter's own task.
pub trait Source: Send {
    /// Returns how many spans it will make, for the count of what was dropped.
    fn count(&self) -> u64;

    /// Makes the spans.
    fn spans(self: Box<Self>, into: &mut Vec<Span>);
}

impl Source for Span {
    fn count(&self) -> u64 {
        1
    }

    fn spans(self: Box<Self>, into: &mut Vec<Self>) {
        into.push(*self);
    }
}

/// Reads out everything that was counted.
pub type ReadOut = Box<dyn Fn() -> Reading + Send + Sync>;

/// Takes what is to be exported; cheap to clone.
#[derive(Clone)]
pub struct Exporter {
    queue: mpsc::Sender<Box<dyn Source>>,
    sampler: Sampler,
    counts: Arc<Counts>,
    closing: Arc<watch::Sender<bool>>,
}

/// What became of spans so far.
#[derive(Debug, Default)]
struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Exporter {
    /// Makes an exporter and the work that its task is to run.
    #[must_use]
    pub fn new(settings: Settings, masker: Masker) -> (Self, Worker) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let closing = watch::Sender::new(false);
        let counts = Arc::<Counts>::default();
        let shared = Shared {
            post: Post::new(settings.endpoint.clone(), settings.headers.clone()),
            closing: closing.subscribe(),
            counts: Arc::clone(&counts),
            masker,
            settings,
        };
        let sampler = Sampler::new(shared.settings.sample_ratio);
        let exporter = Self { queue, sampler, counts, closing: Arc::new(closing) };
        (exporter, Worker { waiting, read_out: None, shared })
    }

    /// Returns the place of a span that follows `parent`, or begins a trace.
    #[must_use]
    pub fn place(&self, parent: Option<Place>, random: impl Fn() -> u128) -> Place {
        self.sampler.place(parent, random)
    }

    /// Hands over what spans are made of; it is dropped where the queue is full.
    pub fn offer(&self, source: Box<dyn Source>) {
        if let Err(full) = self.queue.try_send(source) {
            let (mpsc::error::TrySendError::Full(left) | mpsc::error::TrySendError::Closed(left)) =
                full;
            self.counts.dropped.fetch_add(left.count(), Ordering::Relaxed);
        }
    }

    /// Returns how many spans the collector took.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.counts.exported.load(Ordering::Relaxed)
    }

    /// Returns how many spans were lost: the queue was full, or the collector did not take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Lets the worker export what waits and end, within [`Worker::CLOSE_MAX`].
    pub fn close(&self) {
        self.closing.send_replace(true);
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// The work of an exporter's task.
pub struct Worker {
    waiting: mpsc::Receiver<Box<dyn Source>>,
    read_out: Option<ReadOut>,
    shared: Shared,
}

struct Shared {
    settings: Settings,
    masker: Masker,
    post: Post,
    closing: watch::Receiver<bool>,
    counts: Arc<Counts>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Worker {
    /// LIMIT: how long the end waits for the collector.
    pub const CLOSE_MAX: Duration = Duration::from_secs(5);

    /// Exports these readings too, where the settings ask for metrics.
    #[must_use]
    pub fn reading(self, read_out: ReadOut) -> Self {
        Self { read_out: Some(read_out), ..self }
    }

    /// Exports until the exporter is closed or gone, and then what waits.
    pub async fn run(self) {
        let Self { waiting, read_out, shared } = self;
        let both = async { tokio::join!(shared.spans(waiting), shared.metrics(read_out)) };
        let late = async {
            shared.closed().await;
            sleep(Self::CLOSE_MAX).await;
        };
        tokio::select! {
            ((), ()) = both => {}
            () = late => tracing::warn!("telemetry is left that the collector did not take"),
        }
    }
}

impl Shared {
    /// Waits until the exporter is closed or gone.
    async fn closed(&self) {
        // An error says that it is gone.
        drop(self.closing.clone().wait_for(|is_closing| *is_closing).await);
    }

    async fn spans(&self, mut waiting: mpsc::Receiver<Box<dyn Source>>) {
        let mut failures = Failures::default();
        let mut batch = Vec::new();
        loop {
            let is_last = self.gather(&mut waiting, &mut batch).await;
            if !batch.is_empty() {
                let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                let body = otlp::traces(&batch, &self.settings, &self.masker);
                batch.clear();
                let sent = self.send("traces", body.into(), &mut failures).await;
                let taken = sent.map_or(0, |rejected| count.saturating_sub(rejected));
                self.counts.exported.fetch_add(taken, Ordering::Relaxed);
                self.counts.dropped.fetch_add(count - taken, Ordering::Relaxed);
            } else if is_last {
                return;
            }
        }
    }

    /// Gathers a batch; returns whether there will be nothing behind what waits now.
    async fn gather(
        &self,
        waiting: &mut mpsc::Receiver<Box<dyn Source>>,
        batch: &mut Vec<Span>,
    ) -> bool {
        let mut until = None;
        while batch.len() < BATCH_SPANS {
            let due = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                source = waiting.recv() => match source {
                    Some(source) => source.spans(batch),
                    None => return true,
                },
                () = self.closed() => return true,
                () = due => return false,
            }
            until = until.or_else(|| Some(soon()));
        }
        false
    }

    async fn metrics(&self, read_out: Option<ReadOut>) {
        let (Some(read_out), Some(every)) = (read_out, self.settings.metrics_interval) else {
            return;
        };
        let mut failures = Failures::default();
        let mut ticks = interval_at(soon() - BATCH_DELAY + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                _tick = ticks.tick() => false,
                () = self.closed() => true,
            };
            let body = otlp::metrics(&read_out(), &self.settings);
            // What is not taken is in the next reading too.
            let _taken = self.send("metrics", body.into(), &mut failures).await;
            if is_last {
                return;
            }
        }
    }

    /// Sends a message, again where that may help; returns how much of it was not taken.
    async fn send(&self, signal: &str, body: Bytes, failures: &mut Failures) -> Option<u64> {
        for attempt in 0..ATTEMPTS_MAX {
            let error = match timeout(REQUEST_MAX, self.post.post(signal, body.clone())).await {
                Ok(Ok(answer)) => {
                    failures.end(signal);
                    return Some(otlp::rejected(&answer));
                }
                Ok(Err(error)) => error,
                Err(_elapsed) => PostError::Unreachable("no answer in time".to_owned()),
            };
            let is_final = !error.is_passing() || attempt + 1 == ATTEMPTS_MAX;
            failures.note(signal, &error, &self.settings);
            if is_final || *self.closing.borrow() {
                return None;
            }
            let wait = error.retry_after().unwrap_or_else(|| RETRY_FIRST * 2_u32.pow(attempt));
            tokio::select! {
                () = sleep(wait.min(RETRY_MAX)) => {}
                () = self.closed() => {}
            }
        }
        None
    }
}

/// How often in a row the collector did not take what was sent.
#[derive(Default)]
struct Failures(u32);

impl Failures {
    /// Logs the first, and then ever more rarely.
    fn note(&mut self, signal: &str, error: &PostError, settings: &Settings) {
        self.0 = self.0.saturating_add(1);
        if self.0.is_power_of_two() {
            let endpoint = &settings.endpoint;
            tracing::warn!(signal, %endpoint, %error, times = self.0, "telemetry is not exported");
        }
    }

    fn end(&mut self, signal: &str) {
        if self.0 > 0 {
            tracing::info!(signal, "telemetry is exported again");
            self.0 = 0;
        }
    }
}

fn soon() -> Instant {
    Instant::now() + BATCH_DELAY
}

/// LIMIT: what waits for export, in calls and steps of messages; what comes then is dropped.
const QUEUE_MAX: usize = 2_048;
/// LIMIT: spans in one request, and a few more of one source.
const BATCH_SPANS: usize = 512;
/// How long a span waits for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// LIMIT: the time of one request; OTLP's default.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// LIMIT: attempts for one batch.
const ATTEMPTS_MAX: u32 = 3;
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// LIMIT: what a collector may ask to wait.
const RETRY_MAX: Duration = Duration::from_secs(30);
