//! One run of the load: sessions that send, sessions that receive, and a window that is measured.
//!
//! The time of a send is kept here by the number that the payload carries, so that a delivery can
//! be timed without trusting any clock but this process's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use palisade_client::Client;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::latency::{Quantiles, Times};
use super::process;
use crate::clock;

/// The sessions of a run.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Who sends, and to whom.
    pub(super) senders: Vec<(Client, String)>,
    /// Who receives.
    pub(super) receivers: Vec<Client>,
}

/// What a run gave.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) window: Duration,
    /// Messages taken in the window.
    pub(super) taken: u64,
    /// Messages accepted in the whole run.
    pub(super) accepted: u64,
    /// Messages that were accepted and have not arrived.
    pub(super) undelivered: u64,
    pub(super) send: Quantiles,
    pub(super) delivery: Quantiles,
    pub(super) cpu: Option<Duration>,
    pub(super) peak_rss_bytes: Option<u64>,
}

/// Sends and receives, first to warm up, then measured.
pub(super) async fn run(
    load: Load,
    window: Duration,
    pid: Option<u32>,
) -> anyhow::Result<Measured> {
    let board = Arc::new(Board::new()?);
    let mut receiving = JoinSet::new();
    for client in load.receivers {
        receiving.spawn(receive(client, Arc::clone(&board)));
    }
    let mut sending = JoinSet::new();
    for (client, target) in load.senders {
        sending.spawn(send(client, target, Arc::clone(&board)));
    }
    let early = watch(&mut sending, WARM_UP).await;
    let cpu_before = pid.map(process::cpu_time).transpose()?;
    let start = board.open_window();
    let taken_before = board.taken.load(Ordering::Relaxed);
    let late = watch(&mut sending, window).await;
    let taken = board.taken.load(Ordering::Relaxed) - taken_before;
    let window = start.elapsed();
    let cpu_after = pid.map(process::cpu_time).transpose()?;
    board.stop();
    early.and(late)?;
    while let Some(ended) = sending.join_next().await {
        ended??;
    }
    let undelivered = board.settle().await;
    let peak_rss_bytes = pid.map(process::peak_rss_bytes).transpose()?;
    receiving.shutdown().await;
    Ok(Measured {
        window,
        taken,
        accepted: board.accepted.load(Ordering::Relaxed),
        undelivered,
        send: quantiles(&board.send),
        delivery: quantiles(&board.delivery),
        cpu: cpu_after.zip(cpu_before).map(|(after, before)| after.saturating_sub(before)),
        peak_rss_bytes,
    })
}

/// Waits for a time, or for the first sender that fails.
async fn watch(sending: &mut JoinSet<anyhow::Result<()>>, time: Duration) -> anyhow::Result<()> {
    tokio::select! {
        () = sleep(time) => Ok(()),
        Some(ended) = sending.join_next() => ended?,
    }
}

async fn send(client: Client, target: String, board: Arc<Board>) -> anyhow::Result<()> {
    let mut times = Times::new()?;
    while !board.is_over() {
        let number = board.next.fetch_add(1, Ordering::Relaxed);
        let start = clock::instant();
        board.note_sent(number, start);
        let sent = client.send_json(&target, MESSAGE_TYPE, payload(number)).await;
        sent.context("a message of the load was not accepted")?;
        board.accepted.fetch_add(1, Ordering::Relaxed);
        if board.is_open() {
            times.add(start.elapsed());
        }
    }
    lock(&board.send).merge(&times)
}

/// Takes messages until it is stopped from outside; so every time goes to the board at once.
async fn receive(client: Client, board: Arc<Board>) {
    let mut messages = client.messages();
    while let Some(incoming) = messages.next().await {
        let start = number(&incoming.message.data).and_then(|number| board.sent_at(number));
        if let Some(start) = start.filter(|_| board.is_open()) {
            lock(&board.delivery).add(start.elapsed());
        }
        // An acknowledgement that is lost shows as a message too many.
        if incoming.ack().await.is_ok() {
            board.taken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What all sessions of a run share.
#[derive(Debug)]
struct Board {
    origin: Instant,
    /// The number of the next message.
    next: AtomicU64,
    accepted: AtomicU64,
    taken: AtomicU64,
    open: AtomicBool,
    over: AtomicBool,
    /// Nanoseconds from the origin to the send, by message number.
    sent: Box<[AtomicU64]>,
    send: Mutex<Times>,
    delivery: Mutex<Times>,
}

impl Board {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            origin: clock::instant(),
            next: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            open: AtomicBool::new(false),
            over: AtomicBool::new(false),
            sent: (0..UNDER_WAY_MAX).map(|_| AtomicU64::new(0)).collect(),
            send: Mutex::new(Times::new()?),
            delivery: Mutex::new(Times::new()?),
        })
    }

    fn open_window(&self) -> Instant {
        self.open.store(true, Ordering::Relaxed);
        clock::instant()
    }

    fn stop(&self) {
        self.open.store(false, Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn note_sent(&self, number: u64, at: Instant) {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        if let Some(slot) = self.slot(number) {
            slot.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    fn sent_at(&self, number: u64) -> Option<Instant> {
        let nanos = self.slot(number)?.load(Ordering::Relaxed);
        self.origin.checked_add(Duration::from_nanos(nanos))
    }

    fn slot(&self, number: u64) -> Option<&AtomicU64> {
        self.sent.get(usize::try_from(number).ok()? % UNDER_WAY_MAX)
    }

    /// Waits until all that was accepted has arrived and returns how many have not.
    async fn settle(&self) -> u64 {
        let accepted = self.accepted.load(Ordering::Relaxed);
        for _ in 0..SETTLE_ROUNDS {
            if self.taken.load(Ordering::Relaxed) >= accepted {
                break;
            }
            sleep(SETTLE_INTERVAL).await;
        }
        accepted.saturating_sub(self.taken.load(Ordering::Relaxed))
    }
}

fn quantiles(times: &Mutex<Times>) -> Quantiles {
    lock(times).quantiles()
}

fn lock(times: &Mutex<Times>) -> std::sync::MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a payload of a fixed length with the message's number in it.
///
/// The number is written with letters: a run of digits could look like something to inspection.
pub(super) fn payload(number: u64) -> String {
    let letters: String = (0..NUMBER_LETTERS)
        .rev()
        .map(|place| char::from(b'a' + u8::try_from((number >> (4 * place)) & 15).unwrap_or(0)))
        .collect();
    format!("{{\"n\":\"{letters}\"{PAYLOAD_REST}")
}

fn number(data: &Value) -> Option<u64> {
    let letters = data.get("n")?.as_str()?;
    letters.bytes().try_fold(0_u64, |number, letter| {
        let digit = letter.checked_sub(b'a').filter(|digit| *digit < 16)?;
        Some((number << 4) | u64::from(digit))
    })
}

/// The size of workload W's payload.
pub(super) const PAYLOAD_BYTES: usize = 256;
const NUMBER_LETTERS: u32 = 12;
const PAYLOAD_REST: &str = concat!(
    r#","task":"summarise","title":"weekly reports of the harbour office","pages":128,"#,
    r#""ready":true,"tags":["draft","internal"],"note":"tides, berths and the queue at the "#,
    r#"northern gate; compare with last week, list what changed, shortest first"}"#,
);
pub(super) const MESSAGE_TYPE: &str = "bench.message";
/// The first second connects code paths, fills caches and lets the store make its first files.
const WARM_UP: Duration = Duration::from_secs(1);
/// LIMIT: messages between send and delivery that can be timed, ten times what a queue holds.
const UNDER_WAY_MAX: usize = 1 << 20;
/// LIMIT: how long the last deliveries may take, together with the interval.
const SETTLE_ROUNDS: u32 = 500;
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_has_the_same_size_and_carries_its_number() {
        for expected in [0, 1, 0xdead_beef, (1 << 48) - 1] {
            let text = payload(expected);
            assert_eq!(text.len(), PAYLOAD_BYTES, "{text}");
            let data: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(number(&data), Some(expected));
        }
    }

    #[test]
    fn the_payload_is_clean() {
        let dlp = inspect::Dlp::compile(&inspect::DlpSpec::default()).unwrap();
        let document =
            inspect::Document::parse(&payload(0x1234_5678), &inspect::Limits::default()).unwrap();
        let inspection = dlp.inspect(&document, None);
        assert_eq!(inspection.findings, []);
    }
}
