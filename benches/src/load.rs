//! The loads of the throughput runs and what one round of one load on one server costs.
//! Rates depend on the client and its share of the machine; CPU time for a request depends on the server alone.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::fixtures::video::{self, BIG, BIG_BYTES, SEGMENT_BYTES, SEGMENTS};
use crate::process::Memory;
use crate::server::Server;
use crate::wrk::{self, Counts};

/// Bytes of a ranged request.
pub const RANGE_BYTES: u64 = 64 << 10;

/// What the clients of a round ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Random whole segments, 16 connections.
    Segments,
    /// Random 64 KiB ranges of the large file, aligned to nothing, 16 connections.
    Ranges,
    /// The large file as a whole, again and again, one connection.
    Whole,
}

/// How long a round of each load is.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// Seconds of segments and of ranges.
    pub seconds: u64,
    /// Downloads of the large file.
    pub downloads: u64,
}

/// What one server did in one round.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Answers that arrived in full.
    pub requests: u64,
    /// Answers a second.
    pub rate: f64,
    /// CPU time of the server for one answer.
    pub cpu: Duration,
    /// Bytes that the server read from files for each byte of a body; also what it read from pipes.
    pub read_ratio: f64,
    /// Calls of `read` and its kin for one answer.
    pub read_calls: f64,
    /// The server's memory at the end.
    pub memory: Memory,
}

impl Load {
    /// All loads, in the order of the tables.
    pub const ALL: [Self; 3] = [Self::Segments, Self::Ranges, Self::Whole];

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Ranges => "ranges",
            Self::Whole => "whole",
        }
    }

    /// Bytes of one answer's body.
    pub fn body_bytes(self) -> u64 {
        match self {
            Self::Segments => SEGMENT_BYTES,
            Self::Ranges => RANGE_BYTES,
            Self::Whole => BIG_BYTES,
        }
    }

    /// One round on `server`. Fails on any answer that is not a 2xx with the whole body.
    pub fn run(self, server: &Server, length: Length, scratch: &Path) -> Result<Sample> {
        let before = server.usage()?;
        let counts = self
            .ask(server, length, scratch)
            .with_context(|| format!("{} on {}", self.name(), server.name))?;
        let after = server.usage()?;
        let requests = counts.requests as f64;
        let read = after.read_bytes.saturating_sub(before.read_bytes) as f64;
        let calls = after.read_calls.saturating_sub(before.read_calls) as f64;
        Ok(Sample {
            requests: counts.requests,
            rate: requests / counts.seconds,
            cpu: after.cpu_since(&before).div_f64(requests),
            read_ratio: read / (requests * self.body_bytes() as f64),
            read_calls: calls / requests,
            memory: server.memory()?,
        })
    }

    fn ask(self, server: &Server, length: Length, scratch: &Path) -> Result<Counts> {
        let script = match self {
            Self::Segments => {
                let paths: Vec<String> =
                    (0..SEGMENTS).map(|number| server.path(&video::segment(number))).collect();
                wrk::files_script(&paths)
            }
            Self::Ranges => {
                wrk::ranges_script(server.address, &server.path(BIG), BIG_BYTES, RANGE_BYTES)
            }
            Self::Whole => return download(server, length.downloads),
        };
        wrk::run(server.address, &script, length.seconds, self.body_bytes(), scratch)
    }
}

/// The large file `times` times over one connection. wrk reads 8 KiB at once, which would measure wrk.
fn download(server: &Server, times: u64) -> Result<Counts> {
    let path = server.path(BIG);
    let begin = Instant::now();
    let mut connection = server.connect()?;
    for _ in 0..times {
        connection.drain(&path, BIG_BYTES)?;
    }
    Ok(Counts { requests: times, bytes: times * BIG_BYTES, seconds: begin.elapsed().as_secs_f64() })
}
