//! What a process has used, from `/proc`: CPU time and memory.
//!
//! Linux only, like the rest of the program's measuring.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// Returns the CPU time that a process has used, its own and the system's for it.
///
/// # Errors
/// Returns an error if there is no such process.
pub(super) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = read(pid, "stat")?;
    let ticks = ticks(&stat).with_context(|| format!("/proc/{pid}/stat cannot be understood"))?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let nanos = ticks.saturating_mul(1_000_000_000) / per_second;
    Ok(Duration::from_nanos(nanos))
}

/// Returns the most memory that a process has had resident, in bytes.
///
/// # Errors
/// Returns an error if there is no such process.
pub(super) fn peak_rss_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = read(pid, "status")?;
    memory(&status, "VmHWM:").with_context(|| format!("/proc/{pid}/status cannot be understood"))
}

/// Returns the memory that a process has resident now, in bytes.
///
/// # Errors
/// Returns an error if there is no such process.
pub(super) fn rss_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = read(pid, "status")?;
    memory(&status, "VmRSS:").with_context(|| format!("/proc/{pid}/status cannot be understood"))
}

/// Tells whether there is such a process.
pub(super) fn exists(pid: u32) -> bool {
    read(pid, "stat").is_ok()
}

fn read(pid: u32, name: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

/// Adds user and system time; the process's name, which may hold anything, ends at the last `)`.
fn ticks(stat: &str) -> Option<u64> {
    let (_name, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(FIELDS_BEFORE_UTIME);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn memory(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

/// State to cmajflt, see proc(5).
const FIELDS_BEFORE_UTIME: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_strange_name() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 1 0 0 0 700 300 0 0 20 0 3 0 99";
        assert_eq!(ticks(stat), Some(1_000));
        assert_eq!(ticks("42 (a"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(memory(status, "VmHWM:"), Some(2_097_152));
        assert_eq!(memory(status, "VmRSS:"), Some(1_024));
        assert_eq!(memory("Name:\tx\n", "VmHWM:"), None);
    }

    #[test]
    fn this_process_can_be_measured() {
        let pid = std::process::id();
        assert!(exists(pid));
        assert!(cpu_time(pid).is_ok());
        assert!(peak_rss_bytes(pid).unwrap() > 100_000);
        assert!(rss_bytes(pid).unwrap() > 100_000);
    }
}
