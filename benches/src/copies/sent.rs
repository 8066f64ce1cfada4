//! How many bytes a server sends from the page cache without copying them, by `sendfile`.
//!
//! The kernel counts these as read and as written, like bytes that were copied twice; a tracer tells them apart. The
//! traced server is slower, which does not matter where only bytes are counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Longest wait for the tracer to be there.
const ATTACH_TIME: Duration = Duration::from_secs(10);

/// A tracer of one server.
#[derive(Debug)]
pub struct SendfileCount {
    tracer: Child,
    calls: PathBuf,
}

impl SendfileCount {
    /// Begins to count what all threads of the process `pid` send. Returns when none can be missed.
    pub fn begin(pid: u32, scratch: &Path) -> Result<Self> {
        let calls = scratch.join("sendfile.calls");
        let tracer = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=sendfile", "-e", "signal=none", "-o"])
            .arg(&calls)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("there is no strace; apt-get install strace")?;
        let mut count = Self { tracer, calls };
        let begin = Instant::now();
        while !is_traced(pid) {
            if begin.elapsed() > ATTACH_TIME || count.tracer.try_wait()?.is_some() {
                bail!("strace cannot trace process {pid}; tracing needs root or the same user");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(count)
    }

    /// Ends counting; the bytes sent since it began.
    pub fn end(mut self) -> Result<u64> {
        // Asked to end, strace lets the server go on and writes what it still holds.
        let pid = self.tracer.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status().context("cannot end strace")?;
        self.tracer.wait()?;
        let calls = fs::read_to_string(&self.calls)
            .with_context(|| format!("cannot read {}", self.calls.display()))?;
        Ok(calls.lines().filter_map(sent).sum())
    }
}

/// What one line of a trace says was sent; `None` for a call that failed or has not ended on that line.
fn sent(line: &str) -> Option<u64> {
    let (_, result) = line.rsplit_once(" = ")?;
    result.split_whitespace().next()?.parse().ok()
}

/// Whether every thread of a process has a tracer.
fn is_traced(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| {
        fs::read_to_string(thread.path().join("status"))
            .is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::sent;

    #[test]
    fn a_call_counts_what_it_returned_and_a_failed_or_unfinished_one_nothing() {
        assert_eq!(sent("12 sendfile(9, 14, [0] => [65536], 262144) = 65536"), Some(65_536));
        assert_eq!(sent("12 <... sendfile resumed>[65536] => [70000], 9) = 4464"), Some(4464));
        assert_eq!(
            sent("12 sendfile(9, 14, [0], 4096) = -1 EAGAIN (Resource temporarily …)"),
            None
        );
        assert_eq!(sent("12 sendfile(9, 14, [0],  <unfinished ...>"), None);
    }
}
