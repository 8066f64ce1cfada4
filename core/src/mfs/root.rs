//! Where the root of a file system is kept.
//!
//! Owns the promise between the file system and a store: a root that was set is there after a crash, with
//! everything below it that is here, and what a writer puts stays until the writer is gone.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::block::Cid;
use crate::store::BlockStore;
use crate::store::memory::Memory;

/// Why a root could not be kept or read.
pub type RootError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps one root, and the blocks below it.
pub trait RootStore: fmt::Debug + Send + Sync + 'static {
    /// The root that was set last; `None` before the first.
    fn root(&self) -> Result<Option<Cid>, RootError>;

    /// Keeps `root` from now on and lets the last one go, at once or not at all. Durable on return, with
    /// the blocks that were put before. Blocks below it that are not here are not asked for.
    fn set_root(&self, root: &Cid) -> Result<(), RootError>;

    /// Where blocks of a change go. They stay at least until it is dropped.
    fn writer(&self) -> Arc<dyn BlockStore>;
}

/// Keeps a root and its blocks in memory, for tests and examples.
#[derive(Clone, Debug, Default)]
pub struct MemoryRoot {
    root: Arc<Mutex<Option<Cid>>>,
    blocks: Arc<Memory>,
}

impl MemoryRoot {
    /// One without a root.
    pub fn new() -> MemoryRoot {
        MemoryRoot::default()
    }

    /// Its blocks, to make a repository of them.
    pub fn blocks(&self) -> Arc<Memory> {
        self.blocks.clone()
    }
}

impl RootStore for MemoryRoot {
    fn root(&self) -> Result<Option<Cid>, RootError> {
        Ok(*self.root.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_root(&self, root: &Cid) -> Result<(), RootError> {
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(*root);
        Ok(())
    }

    fn writer(&self) -> Arc<dyn BlockStore> {
        self.blocks.clone()
    }
}
