//! A calling thread that computes only while no other has anything to do.
//!
//! `SCHED_IDLE` and not merely a low priority: the scheduler lets even a thread of the lowest one
//! run for milliseconds before another that wakes up takes over, and those are milliseconds of
//! somebody's message (the slices of EEVDF, Linux since 6.6). Such a thread still gets a small
//! share of a machine that is busy (sched(7)), so what it does comes to an end.

/// Gives way to every other thread; where that cannot be done, nothing changes and the log says so
/// once.
#[cfg(target_os = "linux")]
pub(super) fn lower() {
    use std::sync::Once;

    use thread_priority::unix::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };

    static SAID: Once = Once::new();
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let lowest = thread_priority::ThreadPriority::Min;
    if let Err(cause) = set_thread_priority_and_policy(thread_native_id(), lowest, idle) {
        SAID.call_once(|| tracing::warn!(?cause, "the slow lane has the usual priority"));
    }
}

/// Does nothing: here priorities are those of whole processes.
#[cfg(not(target_os = "linux"))]
pub(super) const fn lower() {}

/// Tells whether the calling thread gives way.
#[cfg(test)]
#[cfg(target_os = "linux")]
pub(super) fn is_lowered() -> bool {
    use thread_priority::unix::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy,
    };

    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    thread_schedule_policy().unwrap() == idle
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn one_thread_is_lowered_and_no_other() {
        let lowered = std::thread::spawn(|| {
            lower();
            is_lowered()
        });
        assert!(lowered.join().unwrap());
        assert!(!is_lowered());
    }
}
