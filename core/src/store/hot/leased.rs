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

/// From so many bytes between two syncs on, blocks are written without a log. As many as an import hands over at a time, so
/// that of a longer one nothing is logged. Measured (`benches/README.md`): a flush costs what logging some megabytes does.
pub const BULK_FROM: u64 = 4 * 1024 * 1024;

/// A writer whose blocks, new ones and those that were here already, are not collected while it lives.
///
/// They are durable after [`BlockStore::sync`], which syncs the log, or flushes what is in memory when
/// [`BULK_FROM`] bytes or more were put since the last one.
#[derive(Debug)]
pub struct Leased {
    lease: Lease,
    store: HotStore,
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
        Leased { lease: store.lease(), store: store.clone(), owed: Mutex::default() }
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next `bytes` are logged.
    fn log(&self, bytes: u64) -> Log {
        let mut owed = self.owed();
        owed.bytes = owed.bytes.saturating_add(bytes);
        if owed.bytes < BULK_FROM { Log::On } else { Log::Off }
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
