//! Long computations on threads that give way to all others, one at a time for each agent.
//!
//! Agents take turns, so that who brings much waits behind its own and not others behind it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gate::ports::{Aside, NoRoom, Work};
use parking_lot::{Condvar, Mutex};

use super::priority;

/// The threads and what waits for them; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Computations(Arc<Shared>);

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// In all.
    pub(crate) all_max: usize,
    /// Of one agent.
    pub(crate) each_max: usize,
}

// LIMIT: threads: two agents' computations go on at once, and no more cores are busy with them.
const THREADS: usize = 2;

#[derive(Debug)]
struct Shared {
    room: Room,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    of: HashMap<String, Owned>,
    /// Agents whose work waits and of whom none goes on, in the order of their turns.
    turns: VecDeque<String>,
    count: usize,
    is_over: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("count", &self.count).finish_non_exhaustive()
    }
}

/// What one agent has here; it is forgotten with the last of it.
#[derive(Default)]
struct Owned {
    waiting: VecDeque<Work>,
    is_running: bool,
}

impl Computations {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// Returns what the system says against another thread.
    pub(crate) fn start(room: Room) -> io::Result<Self> {
        let shared = Arc::new(Shared { room, state: Mutex::default(), news: Condvar::new() });
        let computations = Self(shared);
        for _ in 0..THREADS {
            let shared = Arc::clone(&computations.0);
            let thread = std::thread::Builder::new().name("palisade-aside".to_owned());
            drop(thread.spawn(move || {
                priority::lower();
                shared.work();
            })?);
        }
        Ok(computations)
    }
}

impl Drop for Computations {
    fn drop(&mut self) {
        self.0.state.lock().is_over = true;
        self.0.news.notify_all();
    }
}

impl Aside for Computations {
    fn run(&self, owner: &str, work: Work) -> Result<(), NoRoom> {
        let Shared { room, state, news } = self.0.as_ref();
        let mut guard = state.lock();
        let State { of, turns, count, .. } = &mut *guard;
        // LIMIT: server.limits.large_payloads_max.
        if *count >= room.all_max {
            return Err(NoRoom { what: "the room for large payloads (large_payloads_max)" });
        }
        // LIMIT: server.limits.large_payloads_per_identity_max.
        let waiting = of.get(owner).map_or(0, |owned| owned.waiting.len());
        if waiting >= room.each_max {
            let what = "the room for this identity's large payloads \
                        (large_payloads_per_identity_max)";
            return Err(NoRoom { what });
        }
        let owned = of.entry(owner.to_owned()).or_default();
        if owned.waiting.is_empty() && !owned.is_running {
            turns.push_back(owner.to_owned());
        }
        owned.waiting.push_back(work);
        *count += 1;
        drop(guard);
        news.notify_one();
        Ok(())
    }
}

impl Shared {
    /// Does one piece of work after the other until all is over.
    fn work(&self) {
        while let Some((owner, work)) = self.next() {
            // A panic is its caller's failure, who waits for an answer, and not this thread's.
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("a computation failed");
            }
            self.done(owner);
        }
    }

    /// Waits for work.
    fn next(&self) -> Option<(String, Work)> {
        let mut state = self.state.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(next) = state.take() {
                return Some(next);
            }
            self.news.wait(&mut state);
        }
    }

    fn done(&self, owner: String) {
        let mut state = self.state.lock();
        let Some(owned) = state.of.get_mut(&owner) else { return };
        owned.is_running = false;
        if owned.waiting.is_empty() {
            state.of.remove(&owner);
        } else {
            // Behind all who wait; this thread looks next, so nobody need be told.
            state.turns.push_back(owner);
        }
    }
}

impl State {
    fn take(&mut self) -> Option<(String, Work)> {
        let owner = self.turns.pop_front()?;
        let owned = self.of.get_mut(&owner)?;
        let work = owned.waiting.pop_front()?;
        owned.is_running = true;
        self.count -= 1;
        Some((owner, work))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Starts work that goes on until something is sent.
    fn blocked(computations: &Computations, owner: &str) -> Sender<()> {
        let (go, gone) = mpsc::channel();
        let (begun, begins) = mpsc::channel();
        let work = move || {
            begun.send(()).unwrap();
            // It goes on when the other end is dropped.
            assert!(gone.recv().is_err());
        };
        computations.run(owner, Box::new(work)).unwrap();
        begins.recv_timeout(SOON).unwrap();
        go
    }

    fn noting(
        computations: &Computations,
        notes: &Sender<String>,
        (owner, note): (&str, &str),
    ) -> Result<(), NoRoom> {
        let (notes, note) = (notes.clone(), note.to_owned());
        computations.run(owner, Box::new(move || drop(notes.send(note))))
    }

    fn read(notes: &Receiver<String>, count: usize) -> Vec<String> {
        (0..count).map(|_| notes.recv_timeout(SOON).unwrap()).collect()
    }

    #[test]
    fn one_agent_has_one_thread_and_agents_take_turns() {
        let computations = Computations::start(Room { all_max: 20, each_max: 10 }).unwrap();
        let (notes, noted) = mpsc::channel();
        let first = blocked(&computations, "greedy");
        for note in ["g1", "g2", "g3"] {
            noting(&computations, &notes, ("greedy", note)).unwrap();
        }
        // The other thread is free, and not for the same agent.
        noting(&computations, &notes, ("modest", "m1")).unwrap();
        assert_eq!(read(&noted, 1), ["m1"]);
        let second = blocked(&computations, "other");
        noting(&computations, &notes, ("modest", "m2")).unwrap();
        drop(first);
        assert_eq!(read(&noted, 4), ["m2", "g1", "g2", "g3"]);
        drop(second);
    }

    #[test]
    fn what_waits_is_bounded_for_each_agent_and_for_all() {
        let computations = Computations::start(Room { all_max: 3, each_max: 2 }).unwrap();
        let (notes, noted) = mpsc::channel();
        let held = ["a", "b"].map(|owner| blocked(&computations, owner));
        let note = |owner, text| noting(&computations, &notes, (owner, text));
        note("a", "1").unwrap();
        note("a", "2").unwrap();
        assert!(note("a", "3").unwrap_err().what.contains("large_payloads_per_identity_max"));
        note("b", "4").unwrap();
        assert!(note("c", "5").unwrap_err().what.contains("(large_payloads_max)"));
        drop(held);
        assert_eq!(read(&noted, 3).len(), 3);
        note("c", "6").unwrap();
        assert_eq!(read(&noted, 1), ["6"]);
    }

    #[test]
    fn work_that_panics_takes_no_thread_with_it() {
        let computations = Computations::start(Room { all_max: 9, each_max: 9 }).unwrap();
        for _ in 0..2 * THREADS {
            computations.run("a", Box::new(|| panic!("as a test"))).unwrap();
        }
        let (notes, noted) = mpsc::channel();
        noting(&computations, &notes, ("a", "on")).unwrap();
        assert_eq!(read(&noted, 1), ["on"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn threads_end_with_it_and_give_way_to_all_others() {
        let computations = Computations::start(Room { all_max: 1, each_max: 1 }).unwrap();
        let (notes, noted) = mpsc::channel();
        let work = move || notes.send(priority::is_lowered()).unwrap();
        computations.run("a", Box::new(work)).unwrap();
        assert!(noted.recv_timeout(SOON).unwrap());
        let shared = Arc::downgrade(&computations.0);
        drop(computations);
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
