//! What a client may send, against a stream that stands for the connection.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::super::frames::GOAWAY;
use super::super::share::Shares;
use super::*;
use crate::config::ServerLimits;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct World {
    client: DuplexStream,
    server: Metered<DuplexStream>,
    cut: Arc<Cut>,
}

fn world(limits: ServerLimits) -> World {
    let (client, server) = duplex(1 << 20);
    let cut = Arc::new(Cut::default());
    let share = Shares::new(limits).of("a");
    let patience = limits.first_settings_timeout;
    let server = Metered::new(server, share, Arc::clone(&cut), patience);
    World { client, server, cut }
}

fn frame(kind: u8, flags: u8, len: u8) -> Vec<u8> {
    let head = [0, 0, len, kind, flags, 0, 0, 0, 1];
    head.into_iter().chain(std::iter::repeat_n(0, usize::from(len))).collect()
}

impl World {
    /// Sends bytes in pieces and reads them on the other side, until all is read or it ends.
    async fn send(&mut self, bytes: &[u8], piece: usize) -> io::Result<()> {
        for piece in bytes.chunks(piece) {
            self.client.write_all(piece).await.unwrap();
            let mut read = vec![0; piece.len()];
            self.server.read_exact(&mut read).await?;
            assert_eq!(read, piece);
        }
        Ok(())
    }

    async fn greet(&mut self) {
        self.send(&[PREFACE, &frame(SETTINGS, 0, 0)].concat(), 1_000).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_settings_is_ended_in_time() {
    for said in [&b""[..], &PREFACE[..10], PREFACE, &frame(SETTINGS, 0, 0)[..8]] {
        let mut world = world(ServerLimits::default());
        world.send(said, 100).await.unwrap();
        let begun = tokio::time::Instant::now();
        world.server.read_u8().await.unwrap_err();
        assert_eq!(world.cut.why(), Some(Why::Silent));
        assert_eq!(begun.elapsed().as_secs(), 2);
    }
    let mut world = world(ServerLimits::default());
    world.greet().await;
    tokio::time::advance(Duration::from_secs(60)).await;
    world.send(&frame(PING, 0, 8), 100).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_to_pings_and_settings_pay_for_no_more_of_them() {
    for (kind, len) in [(PING, 8), (SETTINGS, 0)] {
        let limits = ServerLimits { idle_frames_per_second: 100, ..ServerLimits::default() };
        let mut world = world(limits);
        world.greet().await;
        let (asked, answered) = (frame(kind, 0, len).repeat(10), frame(kind, ACK, len).repeat(10));
        let mut rounds = 0;
        while world.send(&asked, 777).await.is_ok() {
            world.server.write_all(&answered).await.unwrap();
            let mut read = vec![0; answered.len()];
            world.client.read_exact(&mut read).await.unwrap();
            rounds += 1;
            assert!(rounds < 100, "{kind}: never cut");
        }
        assert_eq!(world.cut.why(), Some(Why::IdleFrames));
    }
}

#[tokio::test(start_paused = true)]
async fn frames_without_work_end_the_connection_whatever_their_kind() {
    // PRIORITY, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, an unknown type, tiny DATA.
    for (kind, len) in [(2, 5), (4, 0), (6, 8), (8, 4), (9, 1), (0xbe, 0), (DATA, 0), (DATA, 1)] {
        let limits = ServerLimits { idle_frames_per_second: 100, ..ServerLimits::default() };
        let mut world = world(limits);
        world.greet().await;
        // The reserve is that of five seconds.
        world.send(&frame(kind, 0, len).repeat(400), 777).await.unwrap();
        world.send(&frame(kind, 0, len).repeat(200), 777).await.unwrap_err();
        assert_eq!(world.cut.why(), Some(Why::IdleFrames), "{kind}");
        let mut said = [0; 17];
        world.client.read_exact(&mut said).await.unwrap();
        assert_eq!((said[3], said[16]), (GOAWAY, 11));
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_answer_ours_or_belong_to_calls_are_no_idle_frames() {
    let limits = ServerLimits { idle_frames_per_second: 1, ..ServerLimits::default() };
    let mut world = world(limits);
    world.greet().await;
    for _ in 0..2_000 {
        world.server.write_all(&frame(DATA, 0, 200)).await.unwrap();
        let mut delivered = [0; 209];
        world.client.read_exact(&mut delivered).await.unwrap();
        // Two window updates, a ping, and an acknowledgement.
        let answer = [frame(8, 0, 4), frame(8, 0, 4), frame(PING, 0, 8), frame(DATA, 0, 50)];
        world.send(&answer.concat(), 33).await.unwrap();
    }
    for _ in 0..2_000 {
        let call = [frame(HEADERS, 4, 40), frame(DATA, 0, 90), frame(DATA, END_STREAM, 0)];
        world.send(&call.concat(), 1_000).await.unwrap();
    }
    assert_eq!(world.cut.why(), None);
}

#[tokio::test(start_paused = true)]
async fn slow_cancels_end_the_connection_and_a_few_do_not() {
    let limits = ServerLimits { cancels_per_second: 10, ..ServerLimits::default() };
    let mut world = world(limits);
    world.greet().await;
    let cancelled = [frame(HEADERS, 4, 40), frame(RST_STREAM, 0, 4)].concat();
    for _ in 0..600 {
        world.send(&cancelled, 1_000).await.unwrap();
        tokio::time::advance(Duration::from_millis(101)).await;
    }
    let mut sent = 0;
    while world.send(&cancelled, 1_000).await.is_ok() {
        tokio::time::advance(Duration::from_millis(3)).await;
        sent += 1;
    }
    assert!((50..60).contains(&sent), "{sent}");
    assert_eq!(world.cut.why(), Some(Why::Cancels));
}

#[tokio::test(start_paused = true)]
async fn bytes_over_the_rate_are_read_later_and_not_lost() {
    let limits =
        ServerLimits { bytes_per_second_per_identity: 1_000_000, ..ServerLimits::default() };
    let mut world = world(limits);
    world.greet().await;
    let begun = tokio::time::Instant::now();
    let piece = frame(DATA, END_STREAM, 255).repeat(1_000);
    for _ in 0..20 {
        world.send(&piece, 1 << 19).await.unwrap();
    }
    // The first second's bytes are there at once.
    let seconds = begun.elapsed().as_secs_f64();
    assert!((4.0..5.0).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn an_end_from_elsewhere_is_said_between_frames_only() {
    let mut world = world(ServerLimits::default());
    world.greet().await;
    // The client sees the first half of a frame.
    world.server.write_all(&frame(DATA, 0, 100)[..50]).await.unwrap();
    let reading = world.server.read_u8();
    let ending = async {
        tokio::task::yield_now().await;
        world.cut.off(Why::Refusals);
    };
    let (read, ()) = tokio::join!(reading, ending);
    read.unwrap_err();
    drop(world.server);
    let mut seen = Vec::new();
    world.client.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen.len(), 50);
}
