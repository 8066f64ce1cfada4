//! The repository: the tiers put together, and the few verbs an embedder needs.
//!
//! Owns how the parts are wired and the bounds of what they keep. Must not know HTTP, flags or files
//! of configuration.

#[cfg(feature = "migrate")]
mod archives;
#[cfg(feature = "hot")]
mod hot;

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::block::{Block, Cid};
use crate::error::{ReadError, StoreError};
use crate::nodes::NodeSource;
use crate::path::ContentPath;
use crate::resolve::{self, Resolved};
use crate::store::archive::{Archive, ArchiveOptions};
#[cfg(feature = "hot")]
use crate::store::cache::{Cache, CacheOptions};
use crate::store::car::{Car, CarOptions};
#[cfg(feature = "hot")]
use crate::store::hot::{HotOptions, HotStore};
use crate::store::tiers::{Holder, TierLimits, TierStats, Tiers, Verify};
use crate::store::{BlockSource, Extent, Fault, Located};
use crate::unixfs::directory::{Found, find};
use crate::unixfs::{FileReader, Listing, Node};

/// What a repository is made of, and the bounds of what it keeps in memory.
#[derive(Clone, Debug)]
pub struct RepoOptions {
    /// The hot store, which is asked before the archives and takes what is written. `None`: what lies in the archives
    /// is read, and nothing is written; nothing is cached, either.
    #[cfg(feature = "hot")]
    pub hot: Option<HotOptions>,
    /// Where content that is fetched from elsewhere may be kept for a while; asked behind the hot store. `None`: nowhere.
    #[cfg(feature = "hot")]
    pub cache: Option<CacheOptions>,
    /// Archives, the first to be asked first.
    pub archives: Vec<ArchiveOptions>,
    /// When blocks are hashed before their bytes are used.
    pub verify: Verify,
    /// Memory for decoded directory and file nodes, in bytes. Default 8 MiB: the nodes of some
    /// thousands of films.
    pub node_cache_bytes: u64,
    /// Bounds of open files and of the memory of what was verified.
    pub tiers: TierLimits,
}

impl Default for RepoOptions {
    fn default() -> Self {
        RepoOptions {
            #[cfg(feature = "hot")]
            hot: None,
            #[cfg(feature = "hot")]
            cache: None,
            archives: Vec::new(),
            verify: Verify::default(),
            node_cache_bytes: 8 * 1024 * 1024,
            tiers: TierLimits::default(),
        }
    }
}

/// Content by CID and path, over all tiers. Cloning shares it; all calls may come from many threads.
#[derive(Clone, Debug)]
pub struct Repo {
    nodes: Arc<NodeSource>,
    #[cfg(feature = "hot")]
    hot: Option<hot::Hot>,
    /// Where its archives lie.
    #[cfg(feature = "migrate")]
    archives: Arc<[std::path::PathBuf]>,
}

/// Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepoStats {
    /// What the tiers did.
    pub tiers: TierStats,
    /// Blocks read whole and decoded.
    pub decoded: u64,
}

impl Repo {
    /// Opens the hot store, if one is named, and the archives: one small read each, however large they are. (A CAR
    /// file without an index is read once, to make one: see [`Car::open`].)
    ///
    /// A hot store is closed, and its folder free for others, when the last clone of this is dropped, with every
    /// reader and pin index that came from it.
    pub fn open(options: &RepoOptions) -> Result<Repo, StoreError> {
        let sources =
            options.archives.iter().map(open_archive).collect::<Result<Vec<_>, StoreError>>()?;
        let repo = Repo::over(sources, options)?;
        #[cfg(feature = "migrate")]
        let repo = Repo {
            archives: options.archives.iter().map(|archive| archive.path.clone()).collect(),
            ..repo
        };
        Ok(repo)
    }

    /// The archives, below the hot store if one is named.
    fn over(
        sources: Vec<(String, Arc<dyn BlockSource>)>,
        options: &RepoOptions,
    ) -> Result<Repo, StoreError> {
        #[cfg(feature = "hot")]
        if let Some(hot) = &options.hot {
            let cache = options.cache.as_ref().map(Cache::open).transpose()?;
            return Ok(Repo::with_tiers(
                &HotStore::open(hot)?,
                cache.map(Arc::new),
                sources,
                options,
            ));
        }
        Ok(Repo::from_sources(sources, options))
    }

    /// A repository over sources of any kind, each with the name it has in reports. `hot` and `archives` of the
    /// options are not looked at.
    pub fn from_sources(
        sources: impl IntoIterator<Item = (String, Arc<dyn BlockSource>)>,
        options: &RepoOptions,
    ) -> Repo {
        let tiers = Tiers::new(sources, options.verify, &options.tiers);
        Repo {
            nodes: Arc::new(NodeSource::new(tiers, options.node_cache_bytes)),
            #[cfg(feature = "hot")]
            hot: None,
            #[cfg(feature = "migrate")]
            archives: Arc::default(),
        }
    }

    /// The node under a CID that a path led to before ([`Resolved::cids`]), if it is still cached: one look-up in place
    /// of a walk. Never waits.
    pub fn node_now(&self, cid: &Cid) -> Option<Arc<Node>> {
        self.nodes.get_now(cid)
    }

    /// To be called when blocks were removed: decoded nodes, small files among them, are found in memory otherwise, as if they
    /// were still held. They are read anew when somebody asks.
    pub fn forget_nodes(&self) {
        self.nodes.forget_all();
    }

    /// Follows a path to its end. Reads one block a segment (and one a level of a sharded directory),
    /// none of them twice, and none that is cached; of a file with one block that is longer than 16 KiB only
    /// its head. Blocks.
    pub fn resolve(&self, path: &ContentPath) -> Result<Resolved, ReadError> {
        resolve::resolve(&self.nodes, path)
    }

    /// Follows a path through cached nodes alone; `None` when that does not suffice. Never waits.
    pub fn resolve_now(&self, path: &ContentPath) -> Result<Option<Resolved>, ReadError> {
        resolve::resolve_now(&self.nodes, path)
    }

    /// Follows a path to the block at its end, of whatever codec, as a file of its bytes: that block is
    /// found and not decoded, and with verification on it is read and hashed. The nodes before it are read
    /// as by [`Repo::resolve`]. Blocks.
    pub fn resolve_block(&self, path: &ContentPath) -> Result<Resolved, ReadError> {
        resolve::resolve_block(&self.nodes, path)
    }

    /// The same from cached nodes and a block whose file is open or can be opened without a disk; `None`
    /// when that does not suffice. Never waits.
    pub fn resolve_block_now(&self, path: &ContentPath) -> Result<Option<Resolved>, ReadError> {
        resolve::resolve_block_now(&self.nodes, path)
    }

    /// The same for the size of the block alone: one stat of it with verification off, and nothing of it
    /// is read. With verification on it is read and hashed, so that the size of a damaged block is the same
    /// error as its bytes are. Blocks.
    pub fn stat_block(&self, path: &ContentPath) -> Result<Resolved, ReadError> {
        resolve::stat_block(&self.nodes, path)
    }

    /// A reader of a range of a file, in bytes; what reaches beyond its end is cut. Reads nothing yet.
    ///
    /// A node that is not a file makes a reader whose first answer is [`ReadError::NotAFile`].
    pub fn read(&self, file: &Arc<Node>, range: impl RangeBounds<u64>) -> FileReader {
        let start = match range.start_bound() {
            Bound::Included(at) => *at,
            Bound::Excluded(at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(at) => at.saturating_add(1),
            Bound::Excluded(at) => *at,
            Bound::Unbounded => u64::MAX,
        };
        FileReader::new(self.nodes.clone(), file.clone(), start..end)
    }

    /// The CID of a name in a directory, from cached nodes alone; `None` when there is no such name or
    /// a shard is not cached. Never waits.
    pub fn lookup_now(&self, directory: &Node, name: &[u8]) -> Option<Cid> {
        match find(directory, name, &|cid| Ok(self.nodes.get_now(cid))) {
            Ok(Found::Link(cid)) => Some(cid),
            Ok(Found::Nothing | Found::WouldWait) | Err(_) => None,
        }
    }

    /// Walks the entries of a directory. Reads nothing yet.
    pub fn list(&self, directory: &Arc<Node>) -> Result<Listing, ReadError> {
        Listing::new(self.nodes.clone(), directory.clone())
    }

    /// A whole block, from the first tier that holds a good copy; `None` when none does. Blocks.
    pub fn block(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let tiers = self.nodes.tiers();
        let Some(found) = tiers.locate(cid)? else { return Ok(None) };
        Ok(Some(Block::trusted(*cid, tiers.read_whole(cid, found)?)))
    }

    /// Where a block lies, without reading it; `None` when no tier holds it. One open. Blocks.
    pub fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        self.nodes.tiers().locate(cid)
    }

    /// Every tier that holds a block, in the order in which they are asked, whether its copy is good or not. One open a
    /// tier. Blocks.
    pub fn holders(&self, cid: &Cid) -> Vec<Holder> {
        self.nodes.tiers().holders(cid)
    }

    /// The length of a block in bytes; `None` when no tier holds it. One stat. Blocks.
    pub fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        self.nodes.tiers().size(cid)
    }

    /// Whether pieces of files may come as bytes in memory, a whole leaf each ([`FileReader::next_block_len`]): because
    /// blocks are verified, or a source has no files to read from.
    pub fn may_hold_blocks_in_memory(&self) -> bool {
        self.nodes.tiers().may_hold_blocks_in_memory()
    }

    /// To be called about every second: asks each tier whether it answers at all (one stat for an
    /// archive), closes files that nobody read in the last `idle_seconds`, and names the tiers that
    /// are away. Blocks.
    pub fn watch(&self, idle_seconds: u32) -> Vec<(String, StoreError)> {
        self.nodes.tiers().close_idle(idle_seconds);
        self.nodes.tiers().unavailable()
    }

    /// To be called when reading an [`Extent`] of this repository failed: the fault is counted and
    /// queued like those that the library meets itself, and the file is closed.
    pub fn failed(&self, extent: &Extent, error: &StoreError) {
        self.nodes.tiers().failed(extent, error);
    }

    /// Bad copies that were met since the last call, each once, with the file's path.
    pub fn take_faults(&self) -> Vec<Fault> {
        self.nodes.tiers().take_faults()
    }

    /// Counters since start.
    pub fn stats(&self) -> RepoStats {
        RepoStats { tiers: self.nodes.tiers().stats(), decoded: self.nodes.decoded() }
    }
}

/// A tier and its name: a CAR where the path is a file, a stopped repository whose blocks lie in another store than
/// flatfs, else a flatfs tree.
fn open_archive(options: &ArchiveOptions) -> Result<(String, Arc<dyn BlockSource>), StoreError> {
    if options.path.is_file() {
        let car = Car::open(&CarOptions::new(&options.path))?;
        return Ok((car.path().display().to_string(), Arc::new(car)));
    }
    #[cfg(feature = "kubo")]
    if let Some(tier) = open_repository(&options.path)? {
        return Ok((tier.name().to_owned(), Arc::new(tier)));
    }
    let archive = Archive::open(options)?;
    Ok((archive.root().display().to_string(), Arc::new(archive)))
}

#[cfg(feature = "kubo")]
fn open_repository(
    path: &std::path::Path,
) -> Result<Option<crate::kubo::RepositoryTier>, StoreError> {
    crate::kubo::RepositoryTier::open(path).map_err(|source| {
        let path = path.display().to_string();
        StoreError::Repository { path, source: Box::new(source) }
    })
}
