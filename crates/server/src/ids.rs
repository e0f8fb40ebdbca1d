//! Unguessable numbers: ids of messages, deliveries and sessions, and salts of commitments.
//!
//! They come from the cryptographic generator that TLS uses, a few hundred at a time for each
//! thread: one call for each would be a noticeable part of a message. A number is erased where it
//! was kept when it is handed out. The process never forks, so no two have the same ones.

use std::cell::RefCell;

use gate::ports::Ids;

/// Random numbers of cryptographic quality.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RandomIds;

impl Ids for RandomIds {
    fn random(&self) -> u128 {
        let drawn = POOL.try_with(|pool| pool.borrow_mut().draw()).ok().flatten();
        // A thread that ends has no pool any more; without random numbers this one ends the call.
        drawn.unwrap_or_else(|| uuid::Uuid::new_v4().as_u128())
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; BYTES], left: 0 }) };
}

/// Random bytes that were drawn ahead; the first `left` have not been handed out.
struct Pool {
    bytes: [u8; BYTES],
    left: usize,
}

impl Pool {
    fn draw(&mut self) -> Option<u128> {
        if self.left < NUMBER {
            identity::fill_random(&mut self.bytes).ok()?;
            self.left = BYTES;
        }
        let from = self.left.checked_sub(NUMBER)?;
        let number = self.bytes.get_mut(from..self.left)?.first_chunk_mut::<NUMBER>()?;
        self.left = from;
        Some(u128::from_ne_bytes(std::mem::take(number)))
    }
}

const NUMBER: usize = 16;
/// LIMIT: bytes that a thread has drawn ahead; 64 numbers.
const BYTES: usize = 64 * NUMBER;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_all_different_over_refills_and_threads() {
        let draw = || (0..10_000).map(|_| RandomIds.random()).collect::<Vec<_>>();
        let drawn: Vec<u128> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 40_000);
        // Each bit is set in about half of them: ten standard deviations to both sides.
        for bit in 0..128 {
            let set = drawn.iter().filter(|number| *number >> bit & 1 == 1).count();
            assert!((19_000..=21_000).contains(&set), "bit {bit} is set in {set}");
        }
    }

    #[test]
    fn a_number_that_was_handed_out_is_kept_nowhere() {
        let mut pool = Pool { bytes: [0; BYTES], left: 0 };
        for drawn in 1..=2 * BYTES / NUMBER {
            assert_ne!(pool.draw().unwrap(), 0);
            let kept = pool.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            assert!(kept <= pool.left, "after {drawn}");
        }
    }
}
