//! How much is free on the disk, and who may use the last of it.
//!
//! Owns the reserve: new blocks and pins leave it alone, so that what frees space (unpins, collections, the flushes and
//! compactions below them) can always be written. Must not know RocksDB.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::HotError;

/// What may be written between two looks at the disk, in bytes, and for how long one look counts.
const LOOK_EVERY: u64 = 4 * 1024 * 1024;
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// The room for what a store takes in.
#[derive(Debug)]
pub(super) struct Room {
    path: PathBuf,
    /// Where the bytes of blocks lie, if on another disk.
    payload: Option<PathBuf>,
    reserve: u64,
    seen: Mutex<Option<Seen>>,
}

/// What the last look left to be written.
#[derive(Debug)]
struct Seen {
    at: Instant,
    left: u64,
}

impl Room {
    pub(super) fn new(path: &Path, payload: Option<&Path>, reserve: u64) -> Room {
        let payload = payload.map(Path::to_owned);
        Room { path: path.to_owned(), payload, reserve, seen: Mutex::new(None) }
    }

    /// Takes room for so many bytes, which must not come out of the reserve. One `statvfs` in a second, or for so many
    /// megabytes.
    pub(super) fn take(&self, bytes: u64) -> Result<(), HotError> {
        if self.reserve == 0 {
            return Ok(());
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.as_mut().filter(|seen| seen.at.elapsed() < LOOK_AFTER);
        if let Some(known) = known.filter(|known| known.left >= bytes) {
            known.left -= bytes;
            return Ok(());
        }
        let free = self.free()?;
        let room = free.saturating_sub(self.reserve);
        if room < bytes {
            *seen = None;
            return Err(HotError::Reserve { path: self.path.clone(), free, reserve: self.reserve });
        }
        *seen = Some(Seen { at: Instant::now(), left: room.min(LOOK_EVERY).saturating_sub(bytes) });
        Ok(())
    }

    /// Bytes that are free on the disk, the reserve included; of two disks, on the fuller one.
    pub(super) fn free(&self) -> Result<u64, HotError> {
        let index = free(&self.path)?;
        Ok(self.payload.as_deref().map_or(Ok(index), free)?.min(index))
    }
}

fn free(path: &Path) -> Result<u64, HotError> {
    let found = rustix::fs::statvfs(path)
        .map_err(|errno| HotError::io(path, "asking for free space")(errno.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_would_come_out_of_the_reserve_is_refused_with_both_figures() {
        let folder = tempfile::tempdir().unwrap();
        Room::new(folder.path(), None, 1).take(1).unwrap();
        let error = Room::new(folder.path(), None, u64::MAX / 2).take(1).unwrap_err();
        assert!(matches!(error, HotError::Reserve { reserve, .. } if reserve == u64::MAX / 2));
        Room::new(folder.path(), None, 0).take(u64::MAX).unwrap();
    }
}
