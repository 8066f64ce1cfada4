//! What a server process has used, read from `/proc`: CPU time, reads, memory.
//! Figures cover the process and its children (nginx works in a child). Rules: proc(5); sched-stats of the kernel's docs.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The kernel's `USER_HZ`: `/proc/PID/stat` counts in steps of a hundredth of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Counters that only grow. The difference of two tells what happened between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time of the threads that live, to the nanosecond.
    threads: Duration,
    /// CPU time of all threads that ever lived, to [`TICK`].
    process: Duration,
    /// Bytes that `read` and its kin returned, from files, pipes and some sockets.
    pub read_bytes: u64,
    /// Calls of `read` and its kin.
    pub read_calls: u64,
}

impl Usage {
    /// The counters of `pid` and its children now. A few small files of `/proc` for each thread.
    pub fn of(pid: u32) -> Result<Self> {
        let mut sum = Self::default();
        for pid in family(pid) {
            sum.threads += threads_cpu(pid)?;
            sum.process += process_cpu(pid)?;
            let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            sum.read_bytes += field(&io, "rchar:").unwrap_or(0);
            sum.read_calls += field(&io, "syscr:").unwrap_or(0);
        }
        Ok(sum)
    }

    /// CPU time since `before`.
    ///
    /// A thread that ends takes its exact counter with it. The coarse counter of the process keeps it, so it stands in
    /// when it is ahead by more than its own rounding.
    pub fn cpu_since(&self, before: &Self) -> Duration {
        let exact = self.threads.saturating_sub(before.threads);
        let coarse = self.process.saturating_sub(before.process);
        if coarse > exact + 2 * TICK { coarse } else { exact }
    }
}

/// Resident memory of a process and its children, in bytes. Pages shared among them count once for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The largest it has been since the start.
    pub peak: u64,
    /// The part of `resident` that is heap and stacks.
    pub anonymous: u64,
    /// The part of `resident` that is mapped files: the program's text and whatever it maps.
    pub file: u64,
}

impl Memory {
    /// The memory of `pid` and its children now. Walks the page tables: up to milliseconds for a large process.
    pub fn of(pid: u32) -> Result<Self> {
        let mut sum = Self::default();
        for pid in family(pid) {
            let rollup = read(pid, "smaps_rollup")?;
            let status = read(pid, "status")?;
            let resident = kilobytes(&rollup, "Rss:");
            let anonymous = kilobytes(&rollup, "Anonymous:");
            sum.resident += resident;
            sum.anonymous += anonymous;
            sum.file += resident.saturating_sub(anonymous);
            sum.peak += kilobytes(&status, "VmHWM:");
        }
        Ok(sum)
    }
}

/// `pid` and its direct children.
fn family(pid: u32) -> Vec<u32> {
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

fn threads_cpu(pid: u32) -> Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} is gone"))?;
    let nanos = tasks.filter_map(|task| {
        // A thread may end between the listing and this read; `cpu_since` makes up for it.
        let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split_ascii_whitespace().next()?.parse::<u64>().ok()
    });
    Ok(Duration::from_nanos(nanos.sum()))
}

fn process_cpu(pid: u32) -> Result<Duration> {
    let ticks = ticks_of_stat(&read(pid, "stat")?)
        .with_context(|| format!("/proc/{pid}/stat has another form"))?;
    Ok(TICK * u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// `utime` + `stime`: the 14th and 15th field, of which the second, the name, may hold spaces and brackets.
fn ticks_of_stat(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn read(pid: u32, name: &str) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{name}"))
        .with_context(|| format!("cannot read /proc/{pid}/{name}"))
}

/// The number behind `name` at the start of a line, as `/proc` writes it.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn kilobytes(text: &str, name: &str) -> u64 {
    field(text, name).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Memory, Usage, ticks_of_stat};
    use std::time::{Duration, Instant};

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 1 0 100 1000 10";
        assert_eq!(ticks_of_stat(stat), Some(42));
    }

    #[test]
    fn time_burnt_by_a_living_thread_is_seen_to_the_millisecond() {
        let before = Usage::of(std::process::id()).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let used = Usage::of(std::process::id()).unwrap().cpu_since(&before);
        assert!(used > Duration::from_millis(5), "{used:?} of 50 ms of spinning");
    }

    #[test]
    fn time_burnt_by_a_thread_that_ended_is_seen() {
        let before = Usage {
            threads: Duration::from_millis(500),
            process: Duration::from_millis(500),
            ..Usage::default()
        };
        let after = Usage {
            threads: Duration::from_millis(510),
            process: Duration::from_millis(900),
            ..Usage::default()
        };
        assert_eq!(after.cpu_since(&before), Duration::from_millis(400));
    }

    #[test]
    fn own_memory_has_both_kinds_and_a_peak() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.anonymous > 0 && memory.file > 0, "{memory:?}");
        assert!(memory.peak >= memory.resident / 2, "{memory:?}");
    }
}
