//! Uploads: blocks that nobody pins yet, and that are durable when whoever sent them is told so.
//!
//! Owns the choice of how they become durable. The log writes each byte twice, and is synced in one go; without it each
//! byte is written once, by a flush that makes a file or two in every family. So short uploads are logged, and long ones
//! are not. Must not know what is uploaded.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::HotStore;
use super::database::Log;
use super::lease::Lease;
use super::writer::Edit;
use crate::block::{Block, Cid};
use crate::error::StoreError;
use crate::store::{BlockSource, BlockStore, Located};

/// From so many bytes between two syncs on, blocks are written without a log, unless the writer is told otherwise. Measured
/// (`benches/README.md`): shorter uploads are acknowledged sooner with a log, by some 30 ms where a sync costs nothing; of
/// longer ones the bytes that are written count. And each flush leaves a blob file, of which there should not be too many:
/// those of an import are as long.
pub const BULK_FROM: u64 = 16 * 1024 * 1024;

/// A writer whose blocks, new ones and those that were here already, are not collected while it lives.
///
/// They are durable after [`BlockStore::sync`], which syncs the log, or flushes what is in memory when
/// [`BULK_FROM`] bytes or more were put since the last one.
#[derive(Debug)]
pub struct Leased {
    lease: Lease,
    store: HotStore,
    bulk_from: u64,
    owed: Mutex<Owed>,
}

/// What a sync has to make durable.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    /// Bytes that were put since the last one.
    bytes: u64,
    /// Some of it is in memory alone, written by this writer or by another whose block it met.
    flush: bool,
}

impl Leased {
    pub(super) fn new(store: &HotStore) -> Leased {
        let (lease, store) = (store.lease(), store.clone());
        Leased { lease, store, bulk_from: BULK_FROM, owed: Mutex::default() }
    }

    /// From how many bytes on it writes without a log: 0 where it is known that much will come.
    pub fn bulk_from(self, bytes: u64) -> Leased {
        Leased { bulk_from: bytes, ..self }
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next `bytes` are logged.
    fn log(&self, bytes: u64) -> Log {
        let mut owed = self.owed();
        owed.bytes = owed.bytes.saturating_add(bytes);
        if owed.bytes < self.bulk_from { Log::On } else { Log::Off }
    }
}

impl BlockSource for Leased {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        self.store.get(cid)
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        self.store.locate(cid)
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        self.store.size(cid)
    }
}

impl BlockStore for Leased {
    fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
        let log = self.log(blocks.iter().map(|block| block.data().len() as u64).sum());
        let mut edit = Edit::new(&self.store, log, Some(&self.lease));
        edit.put_all(blocks)?;
        let flush = log == Log::Off || edit.met_unflushed();
        edit.commit()?;
        // ORDER: after the write; a sync that runs beside it makes a flush too many, never one too few.
        self.owed().flush |= flush;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let owed = std::mem::take(&mut *self.owed());
        if !owed.flush {
            return self.store.sync();
        }
        let flushed = self.store.flush();
        // Still owed when it failed.
        self.owed().flush |= flushed.is_err();
        Ok(flushed?)
    }
}
