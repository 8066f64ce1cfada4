//! Where finished blocks go: in batches to a store, on a thread of its own, or nowhere.
//!
//! Owns the size of batches and how many are under way. Must not know nodes. Blocks reach the store in
//! the order in which they are kept: leaves in the order of the content, children before parents.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Sender, bounded};

use super::encode::{Child, Made};
use super::error::ImportError;
use crate::block::{Block, IDENTITY};
use crate::error::StoreError;
use crate::store::BlockStore;

/// Bytes of blocks that are put in one batch, about: a batch is full when it has as many.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Blocks of a batch, at most: of small files a batch has many.
const BATCH_BLOCKS: usize = 4096;

/// Full batches that wait while another is put. With the one that is being filled and the one that is
/// being put, about 16 MiB are under way.
const BATCHES_WAITING: usize = 2;

/// What takes in the blocks of an import.
pub(super) struct Output {
    store: Option<Arc<dyn BlockStore>>,
    batch: Vec<Block>,
    batch_bytes: usize,
    writer: Option<Writer>,
    /// May use a thread of its own.
    aside: bool,
    failed: bool,
}

#[derive(Debug)]
struct Writer {
    batches: Sender<Vec<Block>>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl Output {
    /// Blocks go into `store`, or nowhere. `aside`: on another thread, as soon as there is more than a
    /// batch.
    pub(super) fn new(store: Option<Arc<dyn BlockStore>>, aside: bool) -> Self {
        Output { store, batch: Vec::new(), batch_bytes: 0, writer: None, aside, failed: false }
    }

    /// Takes in a block; says what its parent needs to know. Identity blocks are in their CIDs and in
    /// no store. Waits while too much is under way.
    pub(super) fn keep(&mut self, made: Made) -> Result<Child, ImportError> {
        let child = made.child();
        if self.failed {
            return Err(ImportError::Poisoned);
        }
        if self.store.is_some() && child.cid.hash().code() != IDENTITY {
            self.batch_bytes += made.block.len();
            self.batch.push(Block::trusted(child.cid, made.block));
            if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_BLOCKS {
                self.flush()?;
            }
        }
        Ok(child)
    }

    /// Returns when every block is in the store, and there to stay.
    pub(super) fn finish(mut self) -> Result<(), ImportError> {
        if self.failed {
            return Err(ImportError::Poisoned);
        }
        self.flush()?;
        if let Some(writer) = self.writer.take() {
            writer.join()?;
        }
        match &self.store {
            Some(store) => Ok(store.sync()?),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let Some(store) = self.store.as_ref().filter(|_| !batch.is_empty()) else { return Ok(()) };
        if self.aside && self.writer.is_none() {
            self.writer = Writer::start(store);
        }
        let put = match self.writer.take() {
            None => store.put(&batch),
            Some(writer) => match writer.batches.send(batch) {
                Ok(()) => {
                    self.writer = Some(writer);
                    Ok(())
                }
                // It takes no more: it has met an error, which it gives when it is joined.
                Err(_) => writer.join(),
            },
        };
        self.failed = put.is_err();
        Ok(put?)
    }
}

impl Writer {
    /// `None` when the system gives no thread: then the caller's does the work.
    fn start(store: &Arc<dyn BlockStore>) -> Option<Writer> {
        let (batches, waiting) = bounded::<Vec<Block>>(BATCHES_WAITING);
        let store = store.clone();
        let put_all = move || waiting.into_iter().try_for_each(|batch| store.put(&batch));
        let thread = Builder::new().name("import-writer".into()).spawn(put_all).ok()?;
        Some(Writer { batches, thread })
    }

    /// Waits for what is under way.
    fn join(self) -> Result<(), StoreError> {
        drop(self.batches);
        match self.thread.join() {
            Ok(put) => put,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("store", &self.store)
            .field("waiting", &self.batch.len())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// An import that is given up puts nothing more once it is gone.
impl Drop for Output {
    fn drop(&mut self) {
        if let Some(Writer { batches, thread }) = self.writer.take() {
            drop(batches);
            // Whatever it says: nobody waits for these blocks.
            let _ = thread.join();
        }
    }
}
