//! The bytes of blocks: where they lie, and nothing else of the store knows it.
//!
//! Owns the families `blocks` and `small`; `places` knows where in which blob file. Everything above speaks of ids, so that another layout (pack
//! files of our own, which reclaim space by punching holes and can be sent by the kernel) changes this
//! file alone. Measured among four layouts; what the others cost stands in `core/DESIGN.md`.

use bytes::Bytes;
use rocksdb::{BottommostLevelCompaction, CompactOptions};

use super::database::{Batch, Database};
use super::error::HotError;
use super::places::{Place, Places};
use super::schema::{Entry, Family, Held, Id, SMALL_BLOCK_LEN};
use crate::block::Cid;
use crate::store::Located;

/// With at least this share of garbage in blob files they are rewritten by a reclaim, unless told otherwise.
pub const DEFAULT_GARBAGE_RATIO: f64 = 0.3;

/// Space that deleted blocks still take, and what giving it back would cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// Bytes of blob files on the disk.
    pub blobs: u64,
    /// Bytes among them that no block needs, as far as compaction has found out.
    pub garbage: u64,
    /// Bytes of all other tables.
    pub tables: u64,
    /// Bytes among them of the keys of blocks in blob files, which a reclaim rewrites.
    pub keys: u64,
}

/// What giving space back costs and brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Price {
    /// Bytes that are written, and as many read: blocks that live in files with garbage, and keys.
    pub writes: u64,
    /// Bytes that the disk gets back, over and above what is written.
    pub frees: u64,
}

impl Space {
    /// All bytes that the store takes on the disk, its log left out.
    pub fn total(&self) -> u64 {
        self.blobs.saturating_add(self.tables)
    }

    /// Whether at least `ratio` of what blob files hold is garbage, and any of it.
    pub(super) fn is_worth(&self, ratio: f64) -> bool {
        self.garbage > 0 && self.garbage as f64 >= self.blobs as f64 * ratio
    }

    /// The price of a reclaim that is to happen when at least `ratio` of all is garbage: everything that lives is
    /// rewritten, since RocksDB tells no figures of single files and cannot be told which to take. Nothing when there is less
    /// garbage.
    pub fn price(&self, ratio: f64) -> Price {
        if !self.is_worth(ratio) {
            return Price::default();
        }
        let live = self.blobs.saturating_sub(self.garbage);
        Price { writes: live.saturating_add(self.keys), frees: self.garbage }
    }
}

/// Shares of all blob files, the oldest of them, that are rewritten at a time: less where room is short.
const SHARES: [f64; 5] = [1.0, 0.5, 0.25, 0.1, 0.05];

/// The oldest files may hold more that lives than others do: so much room is asked for where not all are rewritten.
const MARGIN: f64 = 1.5;

/// The largest share for which there is room; `None` when there is none for any.
pub(super) fn affordable(space: &Space, free: u64) -> Option<f64> {
    let live = space.blobs.saturating_sub(space.garbage) as f64;
    let needs = |share: f64| {
        let margin = if share < 1.0 { MARGIN } else { 1.0 };
        live * share * margin + space.keys as f64
    };
    SHARES.into_iter().find(|share| needs(*share) <= free as f64)
}

/// Puts bytes where none that were under the id before are looked for: beside the small ones, however many they are.
pub(super) fn put_again(
    database: &Database,
    batch: &mut Batch,
    id: Id,
    bytes: &[u8],
) -> Result<Held, HotError> {
    database.put(batch, Family::Small, &id.key(), bytes)?;
    Ok(Held::Small)
}

/// Puts bytes under an id; says where they will lie.
pub(super) fn put(
    database: &Database,
    batch: &mut Batch,
    id: Id,
    bytes: &[u8],
) -> Result<Held, HotError> {
    let held = if bytes.len() < SMALL_BLOCK_LEN { Held::Small } else { Held::Blob };
    if let Some(family) = family_of(held) {
        database.put(batch, family, &id.key(), bytes)?;
    }
    Ok(held)
}

/// The bytes of a block, or `None` when they are not here. One read of a table, one of a blob file.
///
/// What lies in a blob file is read from there, checked as RocksDB would, and copied once where RocksDB copies three
/// times. Else a copy of what RocksDB holds: without it, bytes on their way to a slow client would keep the store from
/// being closed.
pub(super) fn get(
    database: &Database,
    places: &Places,
    entry: &Entry,
) -> Result<Option<Bytes>, HotError> {
    let Some(family) = family_of(entry.held) else { return Ok(None) };
    if let Some(value) = place(places, entry).and_then(|place| place.read()) {
        return Ok(Some(Bytes::from(value)));
    }
    let found = database.get(family, &entry.id.key())?;
    Ok(found.map(|bytes| Bytes::copy_from_slice(&bytes)))
}

/// Where the bytes lie in a file, if they lie in a blob file that is known.
pub(super) fn place(places: &Places, entry: &Entry) -> Option<Place> {
    if entry.held == Held::Blob { places.find(entry) } else { None }
}

/// What can be said of the bytes without a disk: where they lie, or the bytes themselves of a small block in the cache.
pub(super) fn locate_now(
    database: &Database,
    places: &Places,
    cid: &Cid,
    entry: &Entry,
) -> Option<Located> {
    match entry.held {
        Held::Blob => Some(Located::Extent(places.find_now(entry)?.extent(cid))),
        Held::Small => {
            let bytes = database.get_now(Family::Small, &entry.id.key())??;
            Some(Located::Bytes(Bytes::copy_from_slice(&bytes)))
        }
        Held::Archive => None,
    }
}

/// Removes the bytes of a block. Frees no space by itself: see [`reclaim`].
pub(super) fn delete(
    database: &Database,
    batch: &mut Batch,
    entry: &Entry,
) -> Result<(), HotError> {
    match family_of(entry.held) {
        Some(family) => database.delete(batch, family, &entry.id.key()),
        None => Ok(()),
    }
}

fn family_of(held: Held) -> Option<Family> {
    match held {
        Held::Blob => Some(Family::Blocks),
        Held::Small => Some(Family::Small),
        Held::Archive => None,
    }
}

/// What is on the disk. Asks RocksDB for figures it has; reads nothing.
pub(super) fn space(database: &Database) -> Result<Space, HotError> {
    let mut space = Space {
        blobs: database.number(Family::Blocks, "rocksdb.total-blob-file-size")?,
        garbage: database.number(Family::Blocks, "rocksdb.live-blob-file-garbage-size")?,
        tables: 0,
        keys: database.number(Family::Blocks, "rocksdb.total-sst-files-size")?,
    };
    for family in Family::ALL {
        space.tables += database.number(family, "rocksdb.total-sst-files-size")?;
    }
    Ok(space)
}

/// Finds out what is garbage: writes out what is in memory, then compacts the keys of blocks. Rewrites no
/// payload, only tables of some 30 bytes a block.
pub(super) fn settle(database: &Database, free: u64) -> Result<Space, HotError> {
    database.flush()?;
    // Those that say what is garbage first; of the others, those for which there is room.
    for family in [Family::Blocks, Family::Small, Family::Ids, Family::Index] {
        let size = database.number(family, "rocksdb.total-sst-files-size")?;
        if family == Family::Blocks || size < free / 2 {
            database.compact(family, &compaction(BottommostLevelCompaction::ForceOptimized))?;
        }
    }
    space(database)
}

/// Gives space back: rewrites what lives in the oldest blob files, a `share` of all (0 to 1), and removes these. Costs one
/// read and one write of these live bytes, beside other work. To be called after [`settle`], which says how much there is
/// to gain.
pub(super) fn reclaim(database: &Database, share: f64) -> Result<Space, HotError> {
    let share = format!("{:.3}", share.clamp(0.0, 1.0));
    let on = [
        ("blob_garbage_collection_age_cutoff", share.as_str()),
        // By this compaction alone: RocksDB's own, begun because there is garbage, would rewrite the same blocks beside it
        // (seen: each twice).
        ("blob_garbage_collection_force_threshold", "1.0"),
        ("enable_blob_garbage_collection", "true"),
    ];
    database.set(Family::Blocks, &on)?;
    let done =
        database.compact(Family::Blocks, &compaction(BottommostLevelCompaction::ForceOptimized));
    // Off again whatever happened: left on, compaction rewrites sound data.
    let off = database.set(Family::Blocks, &[("enable_blob_garbage_collection", "false")]);
    done.and(off)?;
    space(database)
}

fn compaction(bottom: BottommostLevelCompaction) -> CompactOptions {
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    options.set_bottommost_level_compaction(bottom);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_price_is_what_lives_and_nothing_where_there_is_little_garbage() {
        let space = Space { blobs: 100 * GIB, garbage: 30 * GIB, tables: 0, keys: 1 };
        assert_eq!(space.price(0.3), Price { writes: 70 * GIB + 1, frees: 30 * GIB });
        assert_eq!(space.price(0.5), Price::default());
        assert_eq!(Space::default().price(0.0), Price::default());
    }

    #[test]
    fn with_little_room_the_oldest_files_go_first() {
        let space = Space { blobs: 100 * GIB, garbage: 30 * GIB, tables: 0, keys: 0 };
        assert_eq!(affordable(&space, 70 * GIB), Some(1.0));
        assert_eq!(affordable(&space, 60 * GIB), Some(0.5));
        assert_eq!(affordable(&space, 20 * GIB), Some(0.1));
        assert_eq!(affordable(&space, GIB), None);
    }
}
