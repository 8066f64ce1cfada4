//! Values of RocksDB as bytes that own what they borrow from.
//!
//! Owns the pair of a value and the database that must outlive it: a slice of a block in an answer keeps the
//! database open, and the folder locked, until it is dropped. Saves a copy and the memory for it: a warm read of
//! 256 KiB takes GAIN. No `unsafe` here: `self_cell` keeps that promise.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::DBPinnableSlice;

use super::database::Database;
use super::error::HotError;
use super::schema::Family;

type Slice<'a> = DBPinnableSlice<'a>;

self_cell::self_cell!(
    struct Pinned {
        owner: Arc<Database>,
        #[covariant]
        dependent: Slice,
    }
);

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        self.borrow_dependent()
    }
}

/// A value without a copy of it; `None` when there is none.
pub(super) fn get(
    database: &Arc<Database>,
    family: Family,
    key: &[u8],
) -> Result<Option<Bytes>, HotError> {
    /// There is no value, or no answer.
    type Not = Option<HotError>;
    let pinned = Pinned::try_new(database.clone(), |database| {
        database.get(family, key).map_err(Some)?.ok_or(Not::None)
    });
    match pinned {
        Ok(pinned) => Ok(Some(Bytes::from_owner(pinned))),
        Err(None) => Ok(None),
        Err(Some(error)) => Err(error),
    }
}
