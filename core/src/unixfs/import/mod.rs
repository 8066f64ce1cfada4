//! Import: files, symbolic links and directories made into blocks, with the CIDs that Kubo gives them.
//!
//! Owns the order of work of one import: read, cut, hash, lay out, store. Must not know HTTP, pins or
//! the file system: content is a reader, a place in a tree is a path of bytes. Memory is bounded by
//! constants for files of any length, and by about 100 bytes an entry for trees.
//!
//! - [`options`]: every option of `ipfs add` that changes a CID, and what goes together.
//! - [`chunker`]: where content is cut.
//! - `balanced`, `trickle`: how leaves hang below a root; `encode`: nodes as bytes.
//! - `directory`: a directory as one block or as shards; [`Tree`]: directories from paths.
//! - `leaves`, `blocks`: leaves hashed side by side, blocks stored in batches on a thread of their own.
//!
//! ```text
//! reader -> chunker -> | pool: leaf, hash | -> layout -> batch -> | thread: store |
//!           2 leaves a thread, 16 MiB                        4 batches of 4 MiB
//! ```

mod balanced;
mod blocks;
pub mod chunker;
mod directory;
mod encode;
mod error;
mod leaves;
pub mod options;
mod tree;
mod trickle;

use std::io::Read;
use std::sync::Arc;

use crate::block::Cid;
use crate::store::BlockStore;
use balanced::Balanced;
use blocks::Output;
use encode::{Child, Made};
use options::Plan;
use trickle::Trickle;

pub use super::data::Mtime;
pub use chunker::Chunker;
#[cfg(feature = "hot")]
pub(crate) use encode::link_len;
pub use error::ImportError;
pub use options::{
    DirectoryOptions, HashFunction, ImportOptions, Layout, Metadata, OptionsError, SizeEstimate,
};
pub use tree::{MAX_PATH_LEN, Tree};

/// Something that was imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its root.
    pub cid: Cid,
    /// Bytes of its content; 0 for directories and symbolic links.
    pub size: u64,
    /// Bytes of all its blocks, each counted as often as it is linked: `Size` in what `ipfs add` says.
    pub tsize: u64,
}

impl From<Child> for Imported {
    fn from(child: Child) -> Self {
        Imported { cid: child.cid, size: child.size, tsize: child.tsize }
    }
}

/// Makes content into blocks and stores them.
///
/// Blocks are in the store, and there to stay, when [`Importer::finish`] has returned; before that,
/// some are and some are not. An importer that is dropped leaves what was stored, with nothing above it.
#[derive(Debug)]
pub struct Importer {
    plan: Arc<Plan>,
    output: Output,
}

impl Importer {
    /// Begins an import into a store.
    pub fn new(options: &ImportOptions, store: Arc<dyn BlockStore>) -> Result<Self, ImportError> {
        Self::into(options, Some(store))
    }

    /// Begins an import that stores nothing: the CIDs alone. They are those that storing gives. (Kubo's
    /// `--only-hash` forgets `max-directory-links` and `max-hamt-fanout` for the topmost directory.)
    pub fn only_hash(options: &ImportOptions) -> Result<Self, ImportError> {
        Self::into(options, None)
    }

    fn into(
        options: &ImportOptions,
        store: Option<Arc<dyn BlockStore>>,
    ) -> Result<Self, ImportError> {
        let plan = Plan::of(options)?;
        let output = Output::new(store, plan.threads > 1);
        Ok(Importer { plan: Arc::new(plan), output })
    }

    /// Imports a file. Reads it once, to its end. Leaves are hashed side by side; blocks.
    pub fn file(&mut self, content: impl Read, meta: &Metadata) -> Result<Imported, ImportError> {
        let (plan, output) = (&self.plan, &mut self.output);
        let mut chunks = plan.chunker.split(content);
        let first = chunks.next().transpose().map_err(ImportError::Read)?;
        let second = chunks.next().transpose().map_err(ImportError::Read)?;
        if plan.layout == Layout::Balanced && second.is_none() {
            let leaf = plan.only_leaf(first.unwrap_or_default(), meta)?;
            return Ok(output.keep(leaf)?.into());
        }
        let mut builder = Builder::new(plan.layout);
        let chunks = first.into_iter().chain(second).map(Ok).chain(chunks);
        leaves::make_leaves(plan, chunks, |leaf| builder.push(leaf, plan, output))?;
        Ok(builder.finish(meta, plan, output)?.into())
    }

    /// Imports a symbolic link. One small block.
    pub fn symlink(&mut self, target: &[u8], meta: &Metadata) -> Result<Imported, ImportError> {
        let made = self.plan.symlink(target, meta)?;
        Ok(self.output.keep(made)?.into())
    }

    /// Returns when all blocks are in the store, and there to stay ([`BlockStore::sync`]).
    pub fn finish(self) -> Result<(), ImportError> {
        self.output.finish()
    }
}

/// A file under construction, in either layout.
enum Builder {
    Balanced(Balanced),
    Trickle(Trickle),
}

impl Builder {
    fn new(layout: Layout) -> Self {
        match layout {
            Layout::Balanced => Builder::Balanced(Balanced::new()),
            Layout::Trickle => Builder::Trickle(Trickle::new()),
        }
    }

    fn push(&mut self, leaf: Made, plan: &Plan, output: &mut Output) -> Result<(), ImportError> {
        let leaf = output.keep(leaf)?;
        match self {
            Builder::Balanced(file) => file.push(leaf, plan, output),
            Builder::Trickle(file) => file.push(leaf, plan, output),
        }
    }

    fn finish(
        self,
        meta: &Metadata,
        plan: &Plan,
        output: &mut Output,
    ) -> Result<Child, ImportError> {
        match self {
            Builder::Balanced(file) => file.finish(meta, plan, output),
            Builder::Trickle(file) => file.finish(meta, plan, output),
        }
    }
}
