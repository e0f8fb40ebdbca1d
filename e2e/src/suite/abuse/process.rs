//! What a process uses, as proc(5) tells: memory and processor.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// Returns the bytes that a process has had in memory at most (`VmHWM`).
pub(super) fn memory_bytes_max(pid: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes = line.trim().strip_suffix("kB").context("no kB")?;
    Ok(kilobytes.trim().parse::<u64>()?.saturating_mul(1024))
}

/// Returns the milliseconds of processor time that a process has used, of user and system.
pub(super) fn processor_ms(pid: Pid) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The name in parentheses may hold anything; the fields behind it begin with the third.
    let (_, fields) = text.rsplit_once(')').context("no name")?;
    let ticks: Vec<u64> =
        fields.split_ascii_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    // A tick is 10 ms on every Linux that we meet (`getconf CLK_TCK`).
    Ok(ticks.iter().sum::<u64>().saturating_mul(10))
}
