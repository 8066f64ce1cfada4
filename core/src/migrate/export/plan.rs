//! What an export would take, said before it begins.
//!
//! Owns the estimate: counts are exact, the time is that of a sample. Writes nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use super::error::ExportError;
use crate::block::verify;
use crate::pin::PinIndex;
use crate::store::BlockSource as _;

/// Places of the store from which a sample is taken.
const PLACES: u64 = 32;

/// Blocks that are read at each.
const AT_EACH: usize = 16;

/// A sample ends after so long.
const LONGEST: Duration = Duration::from_secs(10);

/// Bytes that a file takes on a disk beside its own, on average: half a page.
const BESIDE_A_FILE: u64 = 2048;

/// What an export would take.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExportPlan {
    /// Blocks that would be written.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that they would take on a disk, about.
    pub room_needed: u64,
    /// Bytes that are free where the repository would lie; `None` where nobody can tell.
    pub room: Option<u64>,
    /// Bytes a second at which a sample of the blocks was read and hashed by one thread; `None` when there is none.
    pub sampled_rate: Option<f64>,
    /// The time at that rate, if the disk that is written to keeps up.
    pub time: Option<Duration>,
}

/// Finds out what an export of the blocks since a number would take. Exact in its counts: at once for all blocks, by reading
/// their rows (some 50 bytes each) for those since a number. The time is that of a sample.
pub fn plan(pins: &PinIndex, since: u64, to: &Path) -> Result<ExportPlan, ExportError> {
    let hot = pins.hot();
    let (blocks, bytes) = match since {
        0 => hot.held(),
        _ => {
            let (mut blocks, mut bytes) = (0, 0);
            for row in hot.scan(since) {
                let row = row?;
                if row.held {
                    (blocks, bytes) = (blocks + 1, bytes + row.len);
                }
            }
            (blocks, bytes)
        }
    };
    let sampled_rate = sample(pins, since)?;
    let seconds = sampled_rate.map(|rate| bytes as f64 / rate);
    Ok(ExportPlan {
        blocks,
        bytes,
        room_needed: bytes + blocks * BESIDE_A_FILE,
        room: room(to),
        sampled_rate,
        time: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    })
}

/// Bytes a second at which blocks from all over the store are read and hashed.
fn sample(pins: &PinIndex, since: u64) -> Result<Option<f64>, ExportError> {
    let hot = pins.hot();
    let first = hot.scan(since).next().transpose()?.map_or(since, |row| row.number);
    let span = hot.next_number().saturating_sub(first);
    let (began, mut bytes) = (Instant::now(), 0);
    for place in 0..PLACES {
        for row in hot.scan(first + span / PLACES * place).take(AT_EACH) {
            let row = row?;
            if let Some(block) = hot.get(&row.cid)? {
                // What it says is told by the export itself.
                verify(&row.cid, block.data(), "the hot store").ok();
                bytes += block.data().len() as u64;
            }
        }
        if began.elapsed() > LONGEST {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok((bytes > 0 && seconds > 0.0).then(|| bytes as f64 / seconds))
}

/// Free bytes of the file system on which a path lies, or will lie.
fn room(to: &Path) -> Option<u64> {
    let path = std::path::absolute(to).ok()?;
    let there = path.ancestors().find(|path| path.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
