//! Where the root of a file system is kept.
//!
//! Owns the promise between the file system and a store: a root that was set is there after a crash, with
//! everything below it that is here, and what a writer puts stays until the writer is gone.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::block::Cid;
use crate::pin::PinIndex;
use crate::repo::Repo;
use crate::store::BlockStore;
use crate::store::hot::HotStore;
use crate::store::memory::Memory;

/// The name under which a hot store keeps the root of its file system.
pub const ROOT_NAME: &str = "mfs";

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

/// Keeps the root in a hot store, as one of its named roots ([`PinIndex::set_root`]): what hangs below it is kept as
/// what is pinned is, and what a change has put is held by a lease until the change is kept.
#[derive(Clone, Debug)]
pub struct HotRoot {
    store: HotStore,
    pins: PinIndex,
}

impl HotRoot {
    /// The root that the hot store of a repository keeps; `None` where there are archives alone.
    pub fn of(repo: &Repo) -> Option<HotRoot> {
        Some(HotRoot { store: repo.hot()?.clone(), pins: repo.pins()?.clone() })
    }
}

impl RootStore for HotRoot {
    fn root(&self) -> Result<Option<Cid>, RootError> {
        Ok(self.pins.root(ROOT_NAME)?)
    }

    fn set_root(&self, root: &Cid) -> Result<(), RootError> {
        Ok(self.pins.set_root(ROOT_NAME, Some(root))?)
    }

    fn writer(&self) -> Arc<dyn BlockStore> {
        Arc::new(self.store.leased())
    }
}
