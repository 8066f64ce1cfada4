//! Bulk writing: each byte is written once, and a crash leaves a true prefix.
//!
//! Owns the mode without a log: blocks go to memory and from there to their files, with a mark of the
//! writer's progress in the same batch. All families are flushed together, so that the mark that is found
//! after a crash speaks for blocks that are there. Must not know what a mark means.

use super::HotStore;
use super::database::Log;
use super::lease::Lease;
use super::records::{Change, Records};
use super::schema::{Family, meta, prefixed};
use super::writer::Edit;
use crate::block::Block;
use crate::error::StoreError;
use crate::store::BlockStore;

/// Writes many blocks. Nothing of it is durable before [`BulkWriter::flush`] returns; what is found after a
/// crash is everything up to some batch, and the mark of that batch.
#[derive(Debug)]
pub struct BulkWriter {
    store: HotStore,
    key: Vec<u8>,
    lease: Lease,
}

impl BulkWriter {
    pub(super) fn new(store: &HotStore, name: &str) -> BulkWriter {
        BulkWriter {
            store: store.clone(),
            key: prefixed(meta::PROGRESS, name.as_bytes()),
            lease: store.lease(),
        }
    }

    /// The mark that was last written under this writer's name, in this run or an earlier one.
    pub fn mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.store.database().get(Family::Meta, &self.key)?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    /// Adds blocks, all or none; visible on return, not durable.
    pub fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
        self.write(blocks, None)
    }

    /// Adds blocks and replaces the mark, all or nothing: the mark never speaks for blocks that are not there.
    pub fn put_with_mark(&self, blocks: &[Block], mark: &[u8]) -> Result<(), StoreError> {
        self.write(blocks, Some(mark))
    }

    /// Adds blocks and changes records, all or nothing: a record never speaks for blocks that are not there.
    pub fn put_with_records(
        &self,
        blocks: &[Block],
        records: &Records,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let mut edit = Edit::new(&self.store, Log::Off, Some(&self.lease));
        edit.put_all(blocks)?;
        records.change(&mut edit, changes)?;
        edit.commit()?;
        Ok(())
    }

    /// Makes everything durable that was written so far, by all writers. One pass over what is in memory.
    pub fn flush(&self) -> Result<(), StoreError> {
        Ok(self.store.flush()?)
    }

    /// Forgets the mark; to be called when the work is done.
    pub fn finish(self) -> Result<(), StoreError> {
        let mut edit = Edit::new(&self.store, Log::Off, None);
        edit.erase(Family::Meta, &self.key)?;
        edit.commit()?;
        Ok(self.store.flush()?)
    }

    fn write(&self, blocks: &[Block], mark: Option<&[u8]>) -> Result<(), StoreError> {
        let mut edit = Edit::new(&self.store, Log::Off, Some(&self.lease));
        edit.put_all(blocks)?;
        if let Some(mark) = mark {
            edit.write(Family::Meta, &self.key, mark)?;
        }
        edit.commit()?;
        Ok(())
    }
}

impl BlockStore for BulkWriter {
    fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
        self.write(blocks, None)
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(self.store.flush()?)
    }
}

impl crate::store::BlockSource for BulkWriter {
    fn get(&self, cid: &crate::Cid) -> Result<Option<Block>, StoreError> {
        self.store.get(cid)
    }

    fn locate(&self, cid: &crate::Cid) -> Result<Option<crate::Located>, StoreError> {
        self.store.locate(cid)
    }

    fn size(&self, cid: &crate::Cid) -> Result<Option<u64>, StoreError> {
        self.store.size(cid)
    }
}
