//! Garbage collection: removes the blocks of a hot store that nothing keeps.
//!
//! Owns one pass: what it does first, how fast it goes, what it tells. It never stops the world: writers, readers
//! and pins go on beside it, and it holds the store's lock for some tenths of a millisecond at a time. It sees no
//! archive. It remembers nothing but where it is, so its memory does not grow with the store, and an
//! interrupted pass goes on there. Must not know rows.
//!
//! What it leaves alone: blocks with a pin or an edge from a parent; blocks that came after it began; blocks
//! that a [`crate::store::hot::Lease`] holds. Removed blocks free space on the disk when it is reclaimed
//! ([`crate::store::hot::HotStore::reclaim`]).

pub mod schedule;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::block::Cid;
use crate::pin::{PinError, PinIndex};
use crate::store::hot::{Held, Id};

/// Blocks that are looked at between two reports.
const BLOCKS_AT_A_TIME: u64 = 4096;

/// How a collection goes.
#[derive(Clone, Debug, Default)]
pub struct CollectOptions {
    /// Only find out what would go.
    pub dry_run: bool,
    /// Blocks to look at in a second, at most; `None` for as many as go.
    pub blocks_per_second: Option<u64>,
}

/// What a collection did, so far or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// Blocks looked at.
    pub looked_at: u64,
    /// Blocks removed; in a dry run, those that would be.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether all that unpins left loose could be released. `false`: a block with links cannot be read
    /// now, and what hangs below it stays.
    pub all_released: bool,
    /// Whether it came to the end. If not, the next goes on where it stopped.
    pub finished: bool,
}

/// A piece of a collection.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// What was done so far.
    pub so_far: Collected,
    /// What was removed in this piece. Codecs are not known any more: all are spelled as raw.
    pub removed: &'a [Cid],
}

/// Collects garbage once. `progress` is told after each piece, and may stop it there.
///
/// First gives up pins whose maker died, and releases what unpins left loose. Fails when another
/// collection of the store runs.
pub fn collect(
    pins: &PinIndex,
    options: &CollectOptions,
    progress: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Result<Collected, PinError> {
    let hot = pins.hot();
    let _alone = hot.collector()?;
    pins.drop_abandoned()?;
    let released = pins.release_all();
    let end = hot.end_of_pass();
    let resumed = if options.dry_run { None } else { hot.pass_goes_on_at()? };
    let mut at = Some(resumed.unwrap_or(Id::ZERO));
    let mut sum = Collected { all_released: released.is_ok(), ..Collected::default() };
    let pace = Pace::new(options.blocks_per_second);
    while let Some(from) = at {
        let swept = hot.sweep(from, end, BLOCKS_AT_A_TIME)?;
        at = swept.next;
        sum.looked_at += swept.looked_at;
        let gone = if options.dry_run { swept.loose } else { hot.remove(swept)? };
        let here = gone.iter().filter(|one| one.is_here());
        let removed: Vec<_> = here.clone().filter_map(|one| one.cid()).collect();
        sum.blocks += here.clone().count() as u64;
        sum.bytes += here.map(|one| one.bytes()).sum::<u64>();
        sum.finished = at.is_none();
        if !options.dry_run {
            hot.pass_is_at(at)?;
        }
        if progress(&Progress { so_far: sum, removed: &removed }).is_break() {
            break;
        }
        pace.wait(sum.looked_at);
    }
    hot.make_durable()?;
    Ok(sum)
}

/// What became of one block that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// A pin, a block above it, a named root or a writer at work keeps it.
    Kept,
    /// The hot store does not hold it.
    NotHeld,
}

/// Removes one block of the hot store, if nothing keeps it. Fails while a collection of the store runs.
pub fn remove(pins: &PinIndex, cid: &Cid) -> Result<Removal, PinError> {
    let hot = pins.hot();
    let _alone = hot.collector()?;
    // Twice where an unpin has left its edges in: the first time only finds out.
    for _ in 0..2 {
        let entry = hot.entry(cid)?.filter(|entry| entry.held != Held::Archive);
        let Some(entry) = entry else { return Ok(Removal::NotHeld) };
        let end = hot.end_of_pass().min(entry.id.next());
        let swept = hot.sweep(entry.id, end, 1)?;
        if !hot.remove(swept)?.is_empty() {
            return Ok(Removal::Removed);
        }
        pins.release_all()?;
    }
    Ok(Removal::Kept)
}

/// Keeps a pass from going faster than it may.
struct Pace {
    began: Instant,
    blocks_per_second: Option<u64>,
}

impl Pace {
    fn new(blocks_per_second: Option<u64>) -> Pace {
        Pace { began: Instant::now(), blocks_per_second }
    }

    fn wait(&self, blocks: u64) {
        let Some(rate) = self.blocks_per_second else { return };
        let due = Duration::from_secs_f64(blocks as f64 / rate.max(1) as f64);
        if let Some(early) = due.checked_sub(self.began.elapsed()) {
            std::thread::sleep(early);
        }
    }
}
