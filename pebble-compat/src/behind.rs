//! Leaving the page cache as it was: what a walk over a large file brings into it is let go of behind the walk, and what
//! was there before, because somebody is served from it, stays.
//!
//! Owns which pieces were there. They are asked for ahead of the reading, since the kernel itself reads ahead; how is the
//! caller's to know, as no safe call tells.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Advice, fadvise};

/// Whether the page cache holds all of a range of a file: offset, length. Where that cannot be told, `false`.
pub type IsCached = fn(&File, u64, u64) -> bool;

/// Bytes that stay or go together.
const PIECE: u64 = 256 * 1024;

/// Pieces that are asked for at once, a bit each: 256 MiB.
const PIECES: u64 = 1024;

/// How far ahead of the reading is asked, more than a kernel reads ahead.
const AHEAD: u64 = 64 * 1024 * 1024;

/// Stretches of a file that are remembered, 128 bytes each; of more, the first are asked for again.
const MAX_STRETCHES: usize = 1024;

/// What of one file was in the page cache before it was read.
#[derive(Debug)]
pub struct Behind {
    is_cached: IsCached,
    len: u64,
    /// By number: which pieces were there.
    stretches: Mutex<BTreeMap<u64, Vec<bool>>>,
}

impl Behind {
    /// For a file of `len` bytes of which nothing was read yet.
    #[must_use]
    pub fn new(len: u64, is_cached: IsCached) -> Self {
        Behind { is_cached, len, stretches: Mutex::default() }
    }

    /// To be called before `len` bytes at `offset` are read. A look at 1,024 pieces, once for 256 MiB.
    pub fn before(&self, file: &File, offset: u64, len: u64) {
        let stretch = PIECE * PIECES;
        let last = offset.saturating_add(len).saturating_add(AHEAD).min(self.len) / stretch;
        let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        for number in offset / stretch..=last {
            if stretches.contains_key(&number) {
                continue;
            }
            if stretches.len() >= MAX_STRETCHES {
                stretches.pop_first();
            }
            stretches.insert(number, self.look_at(file, number));
        }
    }

    fn look_at(&self, file: &File, number: u64) -> Vec<bool> {
        let pieces = (0..PIECES).map(|piece| (number * PIECES + piece) * PIECE);
        let pieces = pieces.take_while(|at| *at < self.len);
        pieces.map(|at| (self.is_cached)(file, at, PIECE.min(self.len - at))).collect()
    }

    /// To be called when `len` bytes at `offset` were read. Lets go of whole pages: of one that the range shares with what
    /// follows, when that is read.
    pub fn after(&self, file: &File, offset: u64, len: u64) {
        let page = rustix::param::page_size() as u64;
        let end = offset.saturating_add(len);
        let end = if end >= self.len { self.len } else { end / page * page };
        let mut at = offset / page * page;
        let stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        while at < end {
            let piece = at / PIECE;
            let next = ((piece + 1) * PIECE).min(end);
            let stretch = stretches.get(&(piece / PIECES));
            let was_there = stretch
                .and_then(|pieces| pieces.get(usize::try_from(piece % PIECES).ok()?))
                .is_some_and(|was_there| *was_there);
            if !was_there && let Some(len) = NonZeroU64::new(next - at) {
                // Best effort: what stays is what an ordinary read leaves.
                let _ = fadvise(file, at, Some(len), Advice::DontNeed);
            }
            at = next;
        }
    }
}
