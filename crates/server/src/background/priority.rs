//! The lowest priority for the calling thread.
//!
//! Nice 19 and not `SCHED_IDLE`: a thread with a lock that others wait for still gets its
//! seventieth of a core, so that it lets go; an idle one would get nothing on a machine that is
//! busy. Also, no call that sets a scheduling class comes without unsafe code.

/// Lowers the priority; where that cannot be done, it stays and the log says so once.
#[cfg(target_os = "linux")]
pub(super) fn lower() {
    use std::sync::Once;

    static SAID: Once = Once::new();
    // Of the thread, although its name speaks of the process (setpriority(2), notes).
    if let Err(cause) = rustix::process::setpriority_process(None, LOWEST) {
        SAID.call_once(|| tracing::warn!(%cause, "the slow lane has the usual priority"));
    }
}

#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;

/// Does nothing: here priorities are those of whole processes.
#[cfg(not(target_os = "linux"))]
pub(super) const fn lower() {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn own() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn one_thread_is_lowered_and_no_other() {
        let before = own();
        let lowered = std::thread::spawn(|| {
            lower();
            own()
        });
        assert_eq!((lowered.join().unwrap(), own()), (LOWEST, before));
    }
}
