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

/// Blob files with at least this share of garbage are rewritten by a reclaim, unless told otherwise.
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
    };
    for family in Family::ALL {
        space.tables += database.number(family, "rocksdb.total-sst-files-size")?;
    }
    Ok(space)
}

/// Finds out what is garbage: writes out what is in memory, then compacts the keys of blocks. Rewrites no
/// payload, only tables of some 30 bytes a block.
pub(super) fn settle(database: &Database) -> Result<Space, HotError> {
    database.flush()?;
    for family in [Family::Index, Family::Ids, Family::Small, Family::Blocks] {
        database.compact(family, &compaction(BottommostLevelCompaction::ForceOptimized))?;
    }
    space(database)
}

/// Gives space back: rewrites the live blocks of those blob files whose garbage is at least `ratio`
/// (0 to 1) of them. Costs one read and one write of these live bytes, beside other work. To be called after
/// [`settle`], which says how much there is to gain.
pub(super) fn reclaim(database: &Database, ratio: f64) -> Result<Space, HotError> {
    let ratio = format!("{:.3}", ratio.clamp(0.0, 1.0));
    // Every file is old enough, and the share of garbage alone decides.
    let on = [
        ("blob_garbage_collection_age_cutoff", "1.0"),
        ("blob_garbage_collection_force_threshold", ratio.as_str()),
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
