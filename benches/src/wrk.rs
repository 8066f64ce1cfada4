//! wrk as the client of the throughput runs: one thread, so that the server keeps the other of two cores.
//! Owns the Lua script that makes the requests and the line in which its counts come back.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Connections that wrk keeps open.
pub const CONNECTIONS: u32 = 16;

/// What wrk counted in one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// Answers that arrived in full.
    pub requests: u64,
    /// Bytes that arrived, heads and the begun answers at the end included.
    pub bytes: u64,
    /// How long it ran.
    pub seconds: f64,
}

/// The script for random whole files among `paths`, the same order in every run.
pub fn files_script(paths: &[String]) -> String {
    let list: String =
        paths.iter().map(|path| format!("  wrk.format(\"GET\", \"{path}\"),\n")).collect();
    format!(
        "local requests\n\
         init = function() math.randomseed(1); requests = {{\n{list}}} end\n\
         request = function() return requests[math.random(#requests)] end\n{DONE}"
    )
}

/// The script for random ranges of `width` bytes at any offset of `path`, which is `length` bytes long.
pub fn ranges_script(address: SocketAddr, path: &str, length: u64, width: u64) -> String {
    let last = length - width;
    let to_end = width - 1;
    format!(
        "init = function() math.randomseed(1) end\n\
         local form = \"GET {path} HTTP/1.1\\r\\nHost: {address}\\r\\nRange: bytes=%d-%d\\r\\n\\r\\n\"\n\
         request = function()\n  local first = math.random(0, {last})\n  return form:format(first, first + {to_end})\nend\n{DONE}"
    )
}

/// The script for calls without a body: random ones among `targets`, whole paths, the same order in every run.
pub fn calls_script(targets: &[String]) -> String {
    let list: String =
        targets.iter().map(|path| format!("  wrk.format(\"POST\", \"{path}\"),\n")).collect();
    format!(
        "local requests\n\
         init = function() math.randomseed(1); requests = {{\n{list}}} end\n\
         request = function() return requests[math.random(#requests)] end\n{DONE}"
    )
}

/// The script for calls of `path` with a body: `body` with a number in the place of `%d`, another for each call, from
/// `first` on.
pub fn bodies_script(path: &str, content_type: &str, body: &str, first: u64) -> String {
    let body = body.replace('\\', "\\\\").replace('"', "\\\"");
    let body = body.replace('\r', "\\r").replace('\n', "\\n");
    format!(
        "local number = {first}\n\
         local headers = {{ [\"Content-Type\"] = \"{content_type}\" }}\n\
         request = function()\n  number = number + 1\n  \
         return wrk.format(\"POST\", \"{path}\", headers, string.format(\"{body}\", number))\nend\n{DONE}"
    )
}

/// Every kind of failure on one line, so that none can be overlooked.
const DONE: &str = "done = function(summary)\n  local e = summary.errors\n  \
    print(string.format(\"counts %d %d %d %d\", summary.requests, summary.bytes, summary.duration,\n    \
    e.connect + e.read + e.write + e.status + e.timeout))\nend\n";

/// Runs `script` against `address` for `seconds`. `body` is what every answer's body holds.
///
/// Fails on any error that wrk saw, and when the bytes that arrived are not those of so many whole bodies: fewer means
/// short bodies, many more means whole files instead of ranges.
pub fn run(
    address: SocketAddr,
    script: &str,
    seconds: u64,
    body: u64,
    scratch: &Path,
) -> Result<Counts> {
    run_over(CONNECTIONS, address, script, seconds, body, scratch)
}

/// The same over so many connections.
pub fn run_over(
    connections: u32,
    address: SocketAddr,
    script: &str,
    seconds: u64,
    body: u64,
    scratch: &Path,
) -> Result<Counts> {
    let file = scratch.join("wrk.lua");
    fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "10s"])
        .arg("--connections")
        .arg(connections.to_string())
        .arg("--duration")
        .arg(format!("{seconds}s"))
        .arg("--script")
        .arg(&file)
        .arg(format!("http://{address}/"))
        .stdin(Stdio::null())
        .output()
        .context("wrk is not installed; apt-get install wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let counts = parse(&text).with_context(|| {
        format!("wrk printed no counts: {text}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    check(counts, body, connections)
}

fn check((counts, errors): (Counts, u64), body: u64, connections: u32) -> Result<Counts> {
    ensure!(errors == 0, "wrk saw {errors} failed requests beside {} good ones", counts.requests);
    ensure!(counts.requests > 0, "wrk got no answer at all");
    let bodies = counts.requests * body;
    ensure!(
        counts.bytes >= bodies,
        "{} answers brought {} bytes, expected {bodies}",
        counts.requests,
        counts.bytes
    );
    let most = (counts.requests + u64::from(connections)) * (body + HEAD_ALLOWANCE);
    ensure!(
        counts.bytes <= most,
        "{} answers brought {} bytes, expected {most} at most",
        counts.requests,
        counts.bytes
    );
    Ok(counts)
}

/// Longer heads than this would show as too many bytes.
const HEAD_ALLOWANCE: u64 = 2048;

fn parse(text: &str) -> Option<(Counts, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("counts "))?;
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let &[requests, bytes, micros, errors] = numbers.as_slice() else { return None };
    Some((Counts { requests, bytes, seconds: micros as f64 / 1e6 }, errors))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{CONNECTIONS, Counts, bodies_script, check, parse};

    const GOOD: Counts = Counts { requests: 100, bytes: 100_000 + 30_000, seconds: 2.0 };

    #[test]
    fn the_counts_are_found_among_what_wrk_prints() {
        let text = "Running 2s test\nRequests/sec: 50\ncounts 100 130000 2000000 3\n";
        assert_eq!(parse(text), Some((GOOD, 3)));
        assert_eq!(parse("Running 2s test\n"), None);
    }

    #[test]
    fn whole_bodies_without_errors_pass() {
        assert!(check((GOOD, 0), 1000, CONNECTIONS).is_ok());
    }

    #[test]
    fn one_failed_request_fails_the_run() {
        assert!(check((GOOD, 1), 1000, CONNECTIONS).is_err());
    }

    #[test]
    fn short_bodies_fail_the_run() {
        assert!(check((GOOD, 0), 1400, CONNECTIONS).is_err());
    }

    #[test]
    fn whole_files_instead_of_ranges_fail_the_run() {
        assert!(check((Counts { bytes: 100_000_000, ..GOOD }, 0), 1000, CONNECTIONS).is_err());
    }

    #[test]
    fn silence_fails_the_run() {
        assert!(
            check((Counts { requests: 0, bytes: 0, seconds: 2.0 }, 0), 1000, CONNECTIONS).is_err()
        );
    }

    #[test]
    fn a_body_is_written_so_that_lua_reads_it_back() {
        let script = bodies_script("/x", "text/plain", "a\r\n{\"n\":%d}", 7);
        assert!(script.contains(r#"string.format("a\r\n{\"n\":%d}", number)"#), "{script}");
    }
}
