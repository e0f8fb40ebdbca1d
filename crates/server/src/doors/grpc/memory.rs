//! Watches the memory of the process and says when new work must be refused.
//!
//! A last resort: the other bounds keep what they count small, and this one what nobody counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// How much of the memory is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// There is room.
    Calm,
    /// No calls that bring a message. Who connects may still fetch what waits, which makes room.
    Tight,
    /// And no new connections.
    Full,
}

/// The level that was seen last.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<AtomicU8>);

// How often it is looked at: a fast attacker brings some 100 MB in this time.
const EVERY: Duration = Duration::from_millis(100);

impl Memory {
    pub(super) fn level(&self) -> Level {
        match self.0.load(Ordering::Relaxed) {
            0 => Level::Calm,
            1 => Level::Tight,
            _ => Level::Full,
        }
    }

    /// Looks again and again until `closing` becomes true; calls for each change.
    pub(super) async fn watch(
        self,
        bytes_max: u64,
        mut closing: watch::Receiver<bool>,
        mut changed: impl FnMut(Level, u64) + Send,
    ) {
        // LIMIT: server.limits.memory_bytes_max.
        while bytes_max > 0 && !*closing.borrow() {
            if let Some(used) = resident_bytes() {
                let (before, level) = (self.level(), level(used, bytes_max));
                self.0.store(level as u8, Ordering::Relaxed);
                if level != before {
                    changed(level, used);
                }
            }
            let ended = closing.wait_for(|closing| *closing);
            drop(tokio::time::timeout(EVERY, ended).await);
        }
    }
}

fn level(used: u64, bytes_max: u64) -> Level {
    if used >= bytes_max / 10 * 9 {
        Level::Full
    } else if used >= bytes_max / 10 * 8 {
        Level::Tight
    } else {
        Level::Calm
    }
}

/// Returns the bytes of the process that are in memory (`VmRSS` of proc(5)).
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_at_their_borders() {
        assert_eq!(level(799, 1_000), Level::Calm);
        assert_eq!(level(800, 1_000), Level::Tight);
        assert_eq!(level(899, 1_000), Level::Tight);
        assert_eq!(level(900, 1_000), Level::Full);
        assert_eq!(level(u64::MAX, 1_000), Level::Full);
    }

    #[test]
    fn the_memory_of_this_process_grows_with_what_it_holds() {
        let before = resident_bytes().unwrap();
        let held = vec![1_u8; 64 << 20];
        let after = resident_bytes().unwrap();
        assert!(after - before >= 60 << 20, "{before} {after}");
        drop(held);
    }

    #[tokio::test]
    async fn a_change_is_told_once_and_taken_back() {
        let memory = Memory::default();
        let closing = watch::Sender::new(false);
        let mut told = Vec::new();
        let watching = memory.clone().watch(1, closing.subscribe(), |level, _| told.push(level));
        let ends = async {
            while memory.level() == Level::Calm {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(3 * EVERY).await;
            closing.send_replace(true);
        };
        tokio::join!(watching, ends);
        assert_eq!(told, [Level::Full]);
    }
}
