//! A connection's bytes on their way to HTTP/2: what is too much is slowed down or ends it.
//!
//! Frames that carry no work cost their sender almost nothing. Each client may send some of them:
//! in proportion to what it is sent and asks for, and a number a second. Nothing is changed or
//! copied on the way; HTTP/2 itself is checked by its codec.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::cut::{Cut, Why};
use super::frames::{
    DATA, END_STREAM, HEADERS, Head, PING, RST_STREAM, SETTINGS, Scanner, calm_down,
};
use super::share::Share;

/// A stream of HTTP/2 bytes that is followed in both directions.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    share: Arc<Share>,
    cut: Arc<Cut>,
    inbound: Scanner,
    outbound: Scanner,
    /// Frames without work that may come without asking the share.
    credit: u32,
    /// Bytes that may come without asking the share.
    bytes: u32,
    last_stream: u32,
    /// Until the first SETTINGS have come.
    silence: Option<Pin<Box<Sleep>>>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether others go first before more is read.
    rests: bool,
}

// LIMIT: what is earned by a frame of the one kind, and saved up at most. Clients answer what
// they get with window updates, and with pings that measure the way; an acknowledgement of a
// delivery is a small piece of data.
const CREDIT_FOR_SENT: u32 = 4;
const CREDIT_FOR_CALL: u32 = 8;
const CREDIT_MAX: u32 = 4_096;

// How much is taken from the share at once, so that its lock is rarely asked for.
const FRAMES_GRANT: u32 = 64;
const BYTES_GRANT: u32 = 65_536;

// LIMIT: the time for which a connection is not read because its principal sends too much.
const PAUSE_MAX: Duration = Duration::from_secs(10);

// LIMIT: frames that are worked on at once; then others go first. What comes in one read is not
// split, so that it may be as many more as fit into that.
const FRAMES_AT_ONCE: u32 = 32;

// Pieces of data below this size count as frames without work.
const TINY: u32 = 256;

impl<S> Metered<S> {
    pub(super) fn new(stream: S, share: Arc<Share>, cut: Arc<Cut>, patience: Duration) -> Self {
        Self {
            stream,
            share,
            cut,
            inbound: Scanner::of_client(),
            outbound: Scanner::default(),
            credit: 0,
            bytes: 0,
            last_stream: 0,
            silence: Some(Box::pin(tokio::time::sleep(patience))),
            pause: None,
            rests: false,
        }
    }

    /// Judges what has come.
    fn received(&mut self, bytes: &[u8]) {
        let (mut frames, mut idle, mut earned, mut resets) = (0_u32, 0_u32, 0_u32, 0_u32);
        let (mut has_settings, mut last_stream) = (false, self.last_stream);
        self.inbound.follow(bytes, |head| {
            frames += 1;
            match cost(head) {
                Cost::Work(credit) => earned = earned.saturating_add(credit),
                Cost::Idle => idle += 1,
            }
            match head.kind {
                RST_STREAM => resets += 1,
                SETTINGS => has_settings = true,
                HEADERS => last_stream = last_stream.max(head.stream),
                _ => {}
            }
        });
        self.last_stream = last_stream;
        self.rests = frames > FRAMES_AT_ONCE;
        if has_settings {
            self.silence = None;
        }
        self.earn(earned);
        if resets > 0 {
            if !self.share.cancels.take(resets) {
                self.cut.off(Why::Cancels);
            }
            self.share.judge();
        }
        if !self.spend(idle) {
            self.cut.off(Why::IdleFrames);
        }
        self.slow_down(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }

    fn earn(&mut self, credit: u32) {
        self.credit = self.credit.saturating_add(credit).min(CREDIT_MAX);
    }

    fn spend(&mut self, idle: u32) -> bool {
        let missing = idle.saturating_sub(self.credit);
        if missing > 0 {
            // LIMIT: server.limits.idle_frames_per_second.
            let grants = [missing.max(FRAMES_GRANT), missing];
            let Some(grant) = grants.into_iter().find(|grant| self.share.idle_frames.take(*grant))
            else {
                return false;
            };
            self.credit += grant;
            self.share.judge();
        }
        self.credit -= idle;
        true
    }

    fn slow_down(&mut self, bytes: u32) {
        let Some(missing) = bytes.checked_sub(self.bytes).filter(|missing| *missing > 0) else {
            self.bytes -= bytes;
            return;
        };
        let grant = missing.max(BYTES_GRANT);
        self.bytes = grant - missing;
        // LIMIT: server.limits.bytes_per_second_per_identity.
        let wait = self.share.received.reserve_within(grant, PAUSE_MAX).unwrap_or(PAUSE_MAX);
        self.share.judge();
        if !wait.is_zero() {
            self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }

    /// Counts what is sent: answers to it are no idle frames.
    fn sent(&mut self, bytes: &[u8]) {
        let mut earned = 0_u32;
        self.outbound.follow(bytes, |head| {
            // What only answers a frame asks for no answer: a flood of pings must not pay for
            // itself.
            let is_answer = matches!(head.kind, PING | SETTINGS) && head.flags & ACK > 0;
            if !is_answer && matches!(head.kind, DATA | HEADERS | PING | SETTINGS) {
                earned = earned.saturating_add(CREDIT_FOR_SENT);
            }
        });
        self.earn(earned);
    }
}

// The flag of a PING or SETTINGS that answers one (RFC 9113, sections 6.5 and 6.7).
const ACK: u8 = 1;

/// What a frame of a client is for.
enum Cost {
    /// It asks for something or brings something; frames around it are part of that.
    Work(u32),
    /// It asks for nothing.
    Idle,
}

const fn cost(head: Head) -> Cost {
    match head.kind {
        HEADERS => Cost::Work(CREDIT_FOR_CALL),
        DATA if head.len >= TINY || head.flags & END_STREAM != 0 => Cost::Work(0),
        _ => Cost::Idle,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Metered<S> {
    /// Says why in HTTP/2, if it can be said at once, and ends the stream.
    fn end<T>(&mut self, context: &mut Context<'_>, why: Why) -> Poll<io::Result<T>> {
        if self.outbound.is_between_frames() {
            let frame = calm_down(self.last_stream);
            let stream = &mut self.stream;
            let saying = std::future::poll_fn(|context| {
                if Pin::new(&mut *stream).poll_write(context, &frame).is_ready() {
                    drop(Pin::new(&mut *stream).poll_flush(context));
                }
                Poll::Ready(())
            });
            // There is no second try, so it must not wait for its turn either. The client may
            // have gone or not read any more: the connection ends anyway.
            let said = std::pin::pin!(tokio::task::coop::unconstrained(saying)).poll(context);
            debug_assert!(said.is_ready(), "it waits for nothing");
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.reason())))
    }

    fn as_stream(&mut self) -> Pin<&mut S> {
        Pin::new(&mut self.stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.cut.register(context.waker());
        if let Some(why) = this.cut.why() {
            return this.end(context, why);
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        if std::mem::take(&mut this.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = this.as_stream().poll_read(context, buffer) else {
            // LIMIT: server.limits.first_settings_timeout_ms.
            if let Some(silence) = &mut this.silence {
                ready!(silence.as_mut().poll(context));
                this.cut.off(Why::Silent);
                return this.end(context, Why::Silent);
            }
            return Poll::Pending;
        };
        read?;
        this.received(buffer.filled().get(before..).unwrap_or_default());
        match this.cut.why() {
            Some(why) => this.end(context, why),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(why) = this.cut.why() {
            return this.end(context, why);
        }
        let written = ready!(this.as_stream().poll_write(context, bytes))?;
        this.sent(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().as_stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().as_stream().poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(why) = this.cut.why() {
            return this.end(context, why);
        }
        let written = ready!(this.as_stream().poll_write_vectored(context, slices))?;
        let mut left = written;
        for slice in slices {
            let taken = left.min(slice.len());
            this.sent(slice.get(..taken).unwrap_or_default());
            left -= taken;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
