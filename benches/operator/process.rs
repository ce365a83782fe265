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
    // The second field, the name in parentheses, may hold anything; utime and stime are the fields 14 and 15.
    let ticks = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(11).take(2))
        .and_then(|fields| {
            fields
                .map(|field| field.parse::<u32>().ok())
                .sum::<Option<u32>>()
        })
        .ok_or_else(|| format!("/proc/{pid}/stat is not as proc(5) says"))?;
    Ok(Usage {
        peak_kib,
        cpu: TICK * ticks,
    })
}
