//! The end of a connection whose client does too much, and why.
//!
//! Who finds it says so here; the stream that is followed says it to the client.

use std::sync::OnceLock;
use std::task::Waker;

use futures::task::AtomicWaker;

/// Why a connection is ended for what its client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// No SETTINGS in time.
    Silent,
    /// Too many frames without work.
    IdleFrames,
    /// Too many cancelled calls.
    Cancels,
    /// Too many refused calls.
    Refusals,
    /// Deliveries that are not read.
    Stalled,
}

impl Why {
    /// Every reason there is.
    pub(super) const ALL: [Self; 5] =
        [Self::Silent, Self::IdleFrames, Self::Cancels, Self::Refusals, Self::Stalled];

    /// Returns the stable code that stands in the record, and in the metrics.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Silent => "no_settings",
            Self::IdleFrames => "too_many_idle_frames",
            Self::Cancels => "too_many_cancels",
            Self::Refusals => "too_many_refusals",
            Self::Stalled => "deliveries_unread",
        }
    }

    /// Returns the sentence for a person, with the key that decided.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Silent => {
                "the client sent no HTTP/2 SETTINGS in time \
                 (server.limits.first_settings_timeout_ms)"
            }
            Self::IdleFrames => {
                "the client sent too many HTTP/2 frames that ask for nothing \
                 (server.limits.idle_frames_per_second)"
            }
            Self::Cancels => {
                "the client cancelled too many calls (server.limits.cancels_per_second)"
            }
            Self::Refusals => {
                "the client went on with calls that are refused \
                 (server.limits.refusals_per_second)"
            }
            Self::Stalled => {
                "the client left deliveries unread for too long (server.limits.stall_timeout_ms)"
            }
        }
    }

    /// Tells whether its principal has to stay away for a while.
    pub(super) const fn is_abuse(self) -> bool {
        match self {
            Self::IdleFrames | Self::Cancels | Self::Refusals => true,
            Self::Silent | Self::Stalled => false,
        }
    }
}

/// Ends one connection from wherever its client is found to do too much.
#[derive(Debug, Default)]
pub(super) struct Cut {
    why: OnceLock<Why>,
    reader: AtomicWaker,
}

impl Cut {
    /// Ends the connection; the first reason stands.
    pub(super) fn off(&self, why: Why) {
        if self.why.set(why).is_ok() {
            self.reader.wake();
        }
    }

    /// Has the connection's reader woken when it ends.
    pub(super) fn register(&self, reader: &Waker) {
        self.reader.register(reader);
    }

    pub(super) fn why(&self) -> Option<Why> {
        self.why.get().copied()
    }
}
