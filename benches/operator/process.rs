//! What Linux says of a process.

use std::{fs, time::Duration};

use crate::Failure;

/// Length of one tick in /proc/PID/stat: 1/100 s on every architecture of Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// The most memory it ever had at once (`VmHWM`), in KiB.
    pub peak_kib: u64,
    /// CPU time, in user and kernel mode.
    pub cpu: Duration,
}

/// Returns what a process has used until now.
pub fn usage(pid: u32) -> Result<Usage, Failure> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).map_err(|error| format!("{path} can't be read: {error}"))
    };
    let status = read("status")?;
    let peak_kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| format!("/proc/{pid}/status has no VmHWM"))?;
    let stat = read("stat")?;
    // utime and stime are the fields 14 and 15.
    let cpu =
        ticks_at(&stat, 11).ok_or_else(|| format!("/proc/{pid}/stat is not as proc(5) says"))?;
    Ok(Usage { peak_kib, cpu })
}

/// Returns the CPU time of the processes that this one has waited for.
pub fn cpu_of_children() -> Result<Duration, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // cutime and cstime are the fields 16 and 17.
    ticks_at(&stat, 13).ok_or_else(|| "/proc/self/stat is not as proc(5) says".into())
}

/// Returns the sum of two fields of /proc/PID/stat that count ticks. Fields are counted from the one after the name in
/// parentheses, which may hold anything.
fn ticks_at(stat: &str, first: usize) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields = rest.split_whitespace().skip(first).take(2);
    let ticks: Option<u32> = fields.map(|field| field.parse::<u32>().ok()).sum();
    ticks.map(|ticks| TICK * ticks)
}
