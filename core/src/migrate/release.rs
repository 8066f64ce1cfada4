//! Which files of a source may go: for machines that cannot hold everything twice.
//!
//! Owns the proof, file by file: its block was read from the target and hashed, and no root that stays behind needs it. Says
//! so and removes nothing. Must not know flags. What the roots left behind need is written to a folder for temporary files,
//! apart by shard directory, so that memory stays bounded however much that is.

use std::collections::HashSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufReader, BufWriter, Read as _, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use coldfront_flatfs::{FlatFs, Key, ShardFn};

use super::carry::MFS_ROOT;
use super::run::Root;
use crate::block::{
    Block, Cid, DAG_CBOR, DAG_PB, IDENTITY, MAX_BLOCK_LEN, MultihashBytes, RAW, verify,
};
use crate::cid_stack::CidStack;
use crate::error::StoreError;
use crate::kubo::tree::{self, Files, Listed, Shard};
use crate::kubo::{BlockMount, Repository, RepositoryError};
use crate::links::{Link, has_no_links, links};
use crate::pin::{PinError, PinIndex, PinMode};
use crate::store::BlockSource as _;
use crate::walk::MAX_PENDING_BYTES;

/// Parts into which what is needed is cut by shard directory. One of them is in memory at a time: of 300 million
/// blocks a million, some 40 MB.
const BUCKETS: u64 = 256;

/// Files whose blocks are checked together.
const AT_A_TIME: usize = 256;

/// Nodes with links that the walk remembers, some 40 bytes each. With more, later ones may be walked again.
const MAX_SEEN: usize = 1 << 20;

/// Blocks that a report names.
const MAX_NAMED: usize = 1000;

/// Files could not be told to be of no more use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The source could not be read as a repository.
    #[error("the source cannot be read")]
    Repository(#[from] RepositoryError),
    /// Its blocks do not lie in files of their own.
    #[error(
        "the blocks of {path} lie in no flatfs tree, so there are no files that could go one by one"
    )]
    NoTree {
        /// The source.
        path: PathBuf,
    },
    /// The target could not be read.
    #[error("the target cannot be read")]
    Store(#[from] StoreError),
    /// Its pins could not be read.
    #[error("the pins of the target cannot be read")]
    Pins(#[from] PinError),
    /// What stays behind is too deep and wide at once.
    #[error("the DAG below {0} has too many links ahead to be walked")]
    TooWide(Cid),
    /// A file or folder could not be read or written.
    #[error("working with {path} failed")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> ReleaseError {
    let path = path.to_owned();
    move |source| ReleaseError::Io { path, source }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Released {
    /// Files that may go.
    pub files: u64,
    /// The bytes of their blocks.
    pub bytes: u64,
    /// Files that a root left behind needs.
    pub needed: u64,
    /// Files whose blocks are not in the target.
    pub not_there: u64,
    /// Files whose blocks are bad in the target, or cannot be read there.
    pub bad: u64,
    /// The first of these.
    pub bad_blocks: Vec<Cid>,
    /// Files that are no blocks.
    pub foreign: u64,
    /// Roots left behind.
    pub roots: u64,
    /// Blocks below them that neither side has: what lies below those cannot be known.
    pub missing_below: u64,
    /// Whether it was stopped before the end.
    pub stopped: bool,
}

/// How files are looked at.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseOptions<'a> {
    /// A folder for temporary files: 16 bytes for each block that a root left behind needs.
    pub scratch: &'a Path,
    /// Blocks may lie under whole CIDs, as before repository version 12: five times as much of that.
    pub older_names: bool,
}

/// The flatfs tree of a repository.
pub fn tree_of(repository: &Repository) -> Result<&FlatFs, ReleaseError> {
    let mut trees = repository.datastore().blocks();
    match (trees.next(), trees.next()) {
        (Some(BlockMount::Flatfs(tree)), None) => Ok(tree),
        _ => Err(ReleaseError::NoTree { path: repository.root().to_owned() }),
    }
}

/// The roots of a repository that the target does not keep: pins that are not pinned there as firmly, whole and indexed, and
/// the root of the MFS if it has another.
pub fn left_behind<'a>(
    repository: &'a Repository,
    target: &'a PinIndex,
) -> Result<impl Iterator<Item = Result<Root, ReleaseError>> + 'a, ReleaseError> {
    let root = match repository.mfs_root()? {
        Some(root) if target.root(MFS_ROOT)? != Some(root) => Some(root),
        _ => None,
    };
    let root = root.map(|cid| Ok(Root { cid, recursive: true, name: "MFS".into() }));
    let pins = repository.pins()?.filter_map(move |pin| {
        let pin = match pin {
            Ok(pin) => Root { cid: pin.cid, recursive: pin.recursive, name: pin.name },
            Err(error) => return Some(Err(error.into())),
        };
        match is_kept(target, &pin) {
            Ok(true) => None,
            Ok(false) => Some(Ok(pin)),
            Err(error) => Some(Err(error)),
        }
    });
    Ok(root.into_iter().chain(pins))
}

fn is_kept(target: &PinIndex, root: &Root) -> Result<bool, ReleaseError> {
    let Some(pin) = target.get(&root.cid)? else { return Ok(false) };
    Ok(pin.indexed && (!root.recursive || pin.mode == PinMode::Recursive))
}

/// Writes the path of every file of a flatfs tree that may go, each with a zero byte behind it, shard directory by shard
/// directory. `left` are the roots that stay behind. Everything in the target is durable before the first path is written.
///
/// Reads and hashes the target's copy of each block that may go, and of what stays behind every block that may have links.
pub fn release(
    tree: &FlatFs,
    target: &PinIndex,
    left: &mut dyn Iterator<Item = Result<Root, ReleaseError>>,
    options: &ReleaseOptions<'_>,
    out: &mut dyn Write,
    watch: &mut dyn FnMut(&Released) -> ControlFlow<()>,
) -> Result<Released, ReleaseError> {
    target.hot().flush().map_err(StoreError::from)?;
    let shard_fn = shard_fn_of(tree.root())?;
    let mut done = Released::default();
    let mut needed = Needed::create(options.scratch, shard_fn, options.older_names)?;
    for root in left {
        done.roots += 1;
        LeftWalk::new(tree, target, &mut needed).walk(&root?, &mut done)?;
        if watch(&done).is_break() {
            done.stopped = true;
            return Ok(done);
        }
    }
    let needed = needed.finish()?;
    let mut shards = tree::shards(tree.root(), shard_fn).map_err(io_at(tree.root()))?;
    shards.sort_by_cached_key(|shard| (bucket_of(shard.name.as_bytes()), shard.clone()));
    let mut loaded = None;
    for shard in shards {
        let bucket = bucket_of(shard.name.as_bytes());
        if loaded.as_ref().is_none_or(|(number, _)| *number != bucket) {
            loaded = Some((bucket, needed.load(bucket)?));
        }
        let Some((_, keep)) = &loaded else { continue };
        let mut pass = Pass { tree, shard_fn, target, keep, out: &mut *out, done: &mut done };
        if pass.shard(&shard, watch)?.is_break() {
            done.stopped = true;
            break;
        }
    }
    out.flush().map_err(io_at(Path::new("the list")))?;
    Ok(done)
}

fn shard_fn_of(root: &Path) -> Result<ShardFn, ReleaseError> {
    let path = root.join("SHARDING");
    let text = fs::read(&path).map_err(io_at(&path))?;
    let bad = |error| io_at(&path)(io::Error::new(io::ErrorKind::InvalidData, error));
    ShardFn::parse(&text).map_err(bad)
}

fn bucket_of(shard: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    shard.hash(&mut hasher);
    hasher.finish() % BUCKETS
}

/// Sixteen bytes that stand for a block: the end of its multihash. Two blocks that shared them would both stay.
fn short(cid: &Cid) -> [u8; 16] {
    let multihash = MultihashBytes::of(cid);
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().rev().zip(multihash.as_slice().iter().rev()) {
        *to = *from;
    }
    short
}

/// What roots left behind need, being written.
struct Needed {
    folder: PathBuf,
    shard_fn: ShardFn,
    buckets: Vec<BufWriter<File>>,
    /// Whether blocks may lie under whole CIDs.
    older_names: bool,
    any: bool,
}

impl Needed {
    fn create(
        scratch: &Path,
        shard_fn: ShardFn,
        older_names: bool,
    ) -> Result<Needed, ReleaseError> {
        let folder = scratch.join(format!("coldfront-release-{}", std::process::id()));
        fs::create_dir(&folder).map_err(io_at(&folder))?;
        let bucket = |number: u64| {
            let path = folder.join(number.to_string());
            let file = File::create_new(&path).map_err(io_at(&path))?;
            Ok::<_, ReleaseError>(BufWriter::new(file))
        };
        let buckets = (0..BUCKETS).map(bucket).collect::<Result<_, _>>();
        match buckets {
            Ok(buckets) => Ok(Needed { folder, shard_fn, buckets, older_names, any: false }),
            Err(error) => {
                fs::remove_dir_all(&folder).ok();
                Err(error)
            }
        }
    }

    fn add(&mut self, cid: &Cid) -> Result<(), ReleaseError> {
        self.any = true;
        let text = Key::new(MultihashBytes::of(cid).as_slice()).text();
        let mut put = |text: &str| {
            let bucket = bucket_of(&self.shard_fn.shard_of(text));
            let bucket = usize::try_from(bucket).ok().and_then(|at| self.buckets.get_mut(at));
            bucket.map_or(Ok(()), |bucket| bucket.write_all(&short(cid)))
        };
        let written = put(&text).and_then(|()| {
            if !self.older_names {
                return Ok(());
            }
            // Under a name of those times it may lie elsewhere.
            let codecs = [cid.codec(), RAW, DAG_PB, DAG_CBOR];
            codecs.iter().try_for_each(|codec| {
                put(&Key::new(&Cid::new_v1(*codec, *cid.hash()).to_bytes()).text())
            })
        });
        written.map_err(io_at(&self.folder))
    }

    fn finish(mut self) -> Result<Kept, ReleaseError> {
        let flushed = self.buckets.iter_mut().try_for_each(Write::flush);
        flushed.map_err(io_at(&self.folder))?;
        Ok(Kept { needed: self })
    }
}

impl Drop for Needed {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The same, to be read.
struct Kept {
    needed: Needed,
}

impl Kept {
    fn load(&self, bucket: u64) -> Result<HashSet<[u8; 16]>, ReleaseError> {
        let mut keep = HashSet::new();
        if !self.needed.any {
            return Ok(keep);
        }
        let path = self.needed.folder.join(bucket.to_string());
        let file = File::open(&path).map_err(io_at(&path))?;
        let (mut file, mut entry) = (BufReader::new(file), [0; 16]);
        loop {
            match file.read_exact(&mut entry) {
                Ok(()) => keep.insert(entry),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(keep),
                Err(error) => return Err(io_at(&path)(error)),
            };
        }
    }
}

/// A walk over what a root left behind needs.
struct LeftWalk<'a> {
    tree: &'a FlatFs,
    target: &'a PinIndex,
    needed: &'a mut Needed,
    /// Binary CIDs that are still to come, each with its length behind it.
    ahead: CidStack,
    seen: HashSet<[u8; 16]>,
}

impl<'a> LeftWalk<'a> {
    fn new(tree: &'a FlatFs, target: &'a PinIndex, needed: &'a mut Needed) -> LeftWalk<'a> {
        LeftWalk { tree, target, needed, ahead: CidStack::default(), seen: HashSet::new() }
    }

    fn walk(mut self, root: &Root, done: &mut Released) -> Result<(), ReleaseError> {
        if !root.recursive {
            return self.needed.add(&root.cid);
        }
        self.ahead.push(&root.cid);
        while let Some(cid) = self.ahead.pop() {
            let key = short(&cid);
            let is_new = match self.seen.len() >= MAX_SEEN {
                true => !self.seen.contains(&key),
                false => self.seen.insert(key),
            };
            if !is_new {
                continue;
            }
            self.needed.add(&cid)?;
            if has_no_links(cid.codec()) {
                continue;
            }
            match self.read(&cid)? {
                Some(data) => self.links_of(&cid, &data, done)?,
                None => done.missing_below += 1,
            }
            if self.ahead.bytes() > MAX_PENDING_BYTES {
                return Err(ReleaseError::TooWide(root.cid));
            }
        }
        Ok(())
    }

    fn links_of(
        &mut self,
        cid: &Cid,
        data: &[u8],
        done: &mut Released,
    ) -> Result<(), ReleaseError> {
        let mut found: Vec<Link> = Vec::new();
        if links(cid, data, &mut |link| found.push(link)).is_err() {
            // Of a codec that is not known, or no block of its codec: nobody finds anything below it.
            done.missing_below += 1;
        }
        for link in found {
            if has_no_links(link.cid.codec()) || self.is_leaf(&link)? {
                self.needed.add(&link.cid)?;
            } else {
                self.ahead.push(&link.cid);
            }
        }
        Ok(())
    }

    fn is_leaf(&self, link: &Link) -> Result<bool, ReleaseError> {
        let key = MultihashBytes::of(&link.cid);
        let len = self.tree.len_of(Key::new(key.as_slice())).unwrap_or(None);
        Ok(len.is_some_and(|len| link.says_leaf(len)))
    }

    /// A good copy of a block, of the source or of the target.
    fn read(&self, cid: &Cid) -> Result<Option<Vec<u8>>, ReleaseError> {
        if cid.hash().code() == IDENTITY {
            return Ok(Some(cid.hash().digest().to_vec()));
        }
        let good = |data: &[u8]| {
            let verdict = verify(cid, data, "a copy");
            matches!(verdict, Ok(()) | Err(StoreError::UnknownHash { .. }))
        };
        let names = std::iter::once(MultihashBytes::of(cid).as_slice().to_vec()).chain(
            [cid.codec(), DAG_PB, DAG_CBOR].map(|codec| Cid::new_v1(codec, *cid.hash()).to_bytes()),
        );
        for name in names {
            if let Ok(Some(data)) = self.tree.get(Key::new(&name), MAX_BLOCK_LEN)
                && good(&data)
            {
                return Ok(Some(data));
            }
        }
        let there = self.target.hot().get(cid)?;
        Ok(there.filter(|block| good(block.data())).map(|block| block.data().to_vec()))
    }
}

/// The pass over the files.
struct Pass<'a> {
    tree: &'a FlatFs,
    shard_fn: ShardFn,
    target: &'a PinIndex,
    keep: &'a HashSet<[u8; 16]>,
    out: &'a mut dyn Write,
    done: &'a mut Released,
}

/// What the target says of a block.
#[derive(Clone, Copy)]
enum There {
    No,
    Bad,
    Good(u64),
}

impl Pass<'_> {
    fn shard(
        &mut self,
        shard: &Shard,
        watch: &mut dyn FnMut(&Released) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReleaseError> {
        let root = self.tree.root().to_owned();
        let at = root.join(&shard.name);
        let mut files = match Files::open(&root, shard, self.shard_fn) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ControlFlow::Continue(()));
            }
            opened => opened.map_err(io_at(&at))?,
        };
        loop {
            let some = files.next_sorted().map_err(io_at(&at))?;
            if some.is_empty() {
                self.done.foreign += files.foreign();
                return Ok(ControlFlow::Continue(()));
            }
            for some in some.chunks(AT_A_TIME) {
                self.files(&files, some)?;
                if watch(self.done).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }

    fn files(&mut self, folder: &Files, some: &[tree::File]) -> Result<(), ReleaseError> {
        let mut asked = Vec::with_capacity(some.len());
        for file in some {
            match &file.listed {
                Listed::Block(name) | Listed::Misplaced(name) => {
                    if self.keep.contains(&short(&name.cid)) {
                        self.done.needed += 1;
                    } else {
                        asked.push((file, name.cid));
                    }
                }
                _ => self.done.foreign += 1,
            }
        }
        let cids: Vec<_> = asked.iter().map(|(_, cid)| *cid).collect();
        for ((file, cid), there) in asked.into_iter().zip(self.look(&cids)?) {
            match there {
                There::No => self.done.not_there += 1,
                There::Bad => {
                    self.done.bad += 1;
                    if self.done.bad_blocks.len() < MAX_NAMED {
                        self.done.bad_blocks.push(cid);
                    }
                }
                There::Good(len) => {
                    self.done.files += 1;
                    self.done.bytes += len;
                    let path = folder.path_of(&file.text);
                    let mut line = path.as_os_str().as_bytes().to_vec();
                    line.push(0);
                    self.out.write_all(&line).map_err(io_at(Path::new("the list")))?;
                }
            }
        }
        Ok(())
    }

    /// Reads and hashes the target's copies, by all processors.
    fn look(&self, cids: &[Cid]) -> Result<Vec<There>, ReleaseError> {
        let (next, target) = (AtomicUsize::new(0), self.target);
        let work = || -> Result<Vec<(usize, There)>, StoreError> {
            let mut found = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(cid) = cids.get(at) else { return Ok(found) };
                found.push((at, there(target, cid)?));
            }
        };
        let workers = thread::available_parallelism().map_or(2, usize::from).min(cids.len().max(1));
        let mut all = vec![There::No; cids.len()];
        thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| {
                let found = match thread.join() {
                    Ok(found) => found?,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                for (at, there) in found {
                    if let Some(place) = all.get_mut(at) {
                        *place = there;
                    }
                }
                Ok::<(), StoreError>(())
            })
        })?;
        Ok(all)
    }
}

fn there(target: &PinIndex, cid: &Cid) -> Result<There, StoreError> {
    let copy: Result<Option<Block>, StoreError> = target.hot().get(cid);
    match copy {
        Ok(None) => Ok(There::No),
        Ok(Some(block)) => Ok(match verify(cid, block.data(), "the target") {
            Ok(()) => There::Good(block.data().len() as u64),
            // Whoever cannot tell must not say that a file may go.
            Err(_) => There::Bad,
        }),
        Err(StoreError::Corrupt { .. }) => Ok(There::Bad),
        Err(error) => Err(error),
    }
}
