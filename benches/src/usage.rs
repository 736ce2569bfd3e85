//! What processes have used: processor time and memory, as the kernel counts them.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Clock ticks a second in `/proc`; the same on every Linux that we run on.
const TICKS: u64 = 100;

/// Processor time of this process so far, user and system, all threads.
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Processor time of another process and of the children it has waited for, to 10 ms.
///
/// # Errors
/// There is no such process (any more).
pub fn cpu_of(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in parentheses and may hold anything; the time fields are 14 to 17.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// The most memory another process has had resident since it started, in bytes.
///
/// # Errors
/// There is no such process (any more), or the kernel does not say.
pub fn peak_memory_of(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("the kernel does not say the peak memory"))
}

/// Threads of a process that no signal reaches (state D).
///
/// # Errors
/// There is no such process (any more).
pub fn uninterruptible_threads(pid: u32) -> io::Result<usize> {
    let mut count = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that has ended meanwhile waits for nothing.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        count += usize::from(stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('D')));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        assert!(own_cpu() > Duration::ZERO);
        let pid = std::process::id();
        assert!(peak_memory_of(pid).unwrap() > 100_000);
        assert!(cpu_of(pid).is_ok());
        assert!(uninterruptible_threads(pid).is_ok());
        assert!(cpu_of(u32::MAX).is_err());
    }
}
