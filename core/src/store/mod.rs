//! Where blocks come from.
//!
//! Owns the trait that every tier implements and the notion of an extent. Must not know UnixFS, paths,
//! pins or HTTP. A source answers `None` for what it does not hold; it is the reader of a DAG who
//! calls that missing.
//!
//! - [`archive`]: a Kubo flatfs tree, read-only.
//! - [`car`]: a CAR file, read-only.
//! - [`memory`]: a map, for tests and small embedded sets.
//! - `hot`: what is written here, in a RocksDB (feature `hot`).
//! - [`tiers`]: several sources in order, verified by policy; what the rest of the library reads from.

pub mod archive;
pub mod car;
#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod extent;
mod faults;
#[cfg(feature = "hot")]
pub mod hot;
pub mod memory;
pub(crate) mod open_files;
mod suspects;
pub mod tiers;
mod verified;

use std::fmt;

use bytes::Bytes;

use crate::block::{Block, Cid};
use crate::error::StoreError;

pub use extent::{Extent, SendError};
pub use faults::Fault;

/// Something that holds blocks and can be asked for one at a time.
///
/// There is no iterator and no writer here, on purpose: what serves must not be able to scan. (What is
/// written to is a [`BlockStore`].) All
/// calls block and may be made from many threads at once. Blocks are found by multihash: CID version
/// and codec make no difference.
pub trait BlockSource: fmt::Debug + Send + Sync + 'static {
    /// The whole block, or `None` when it is not held. Reads all of it; not verified.
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError>;

    /// Where the block's bytes lie, or `None` when it is not held. One open for a file; reads none of it.
    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError>;

    /// The same if it needs no disk. `None` says nothing about the block: ask [`BlockSource::locate`]
    /// where waiting is allowed. For an archive: one open of a path that the kernel has in memory.
    fn locate_now(&self, _cid: &Cid) -> Option<Located> {
        None
    }

    /// Whether the block is surely not held here, known without a disk. `false` says nothing. A source that
    /// stands before others has to be able to tell: where it cannot, no block of those behind it is found
    /// without waiting.
    fn lacks_now(&self, _cid: &Cid) -> bool {
        false
    }

    /// Whether blocks may be removed while this is served. Then the source is asked each time, and files that were
    /// found are not held open for the next who asks.
    fn may_remove(&self) -> bool {
        false
    }

    /// Whether [`BlockSource::locate`] always answers with extents, never with bytes in memory.
    fn gives_extents(&self) -> bool {
        false
    }

    /// The block's length in bytes, or `None` when it is not held. One stat for a file; reads none of it.
    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError>;

    /// Whether the source as a whole answers at all. One stat for an archive, which also notices when
    /// it has come back; must be cheap enough to be called every second.
    fn available(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A source that takes blocks as well.
///
/// Removal is no part of it: what is no longer kept is collected, by the store that knows what keeps.
pub trait BlockStore: BlockSource {
    /// Holds these blocks from now on, all or none of them. Visible on return, durable after
    /// [`BlockStore::sync`]. One that is held already is left as it is.
    fn put(&self, blocks: &[Block]) -> Result<(), StoreError>;

    /// Returns when everything that was put before is durable: it survives a crash of the machine. At
    /// once for a store that lives in memory.
    fn sync(&self) -> Result<(), StoreError>;
}

/// A block that was found.
#[derive(Clone, Debug)]
pub enum Located {
    /// In a file: to be read piece by piece, without taking memory for the whole.
    Extent(Extent),
    /// In memory already.
    Bytes(Bytes),
}

impl Located {
    /// The block's length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Located::Extent(extent) => extent.len(),
            Located::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Whether the block has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
