//! A mutable file system over immutable DAGs: `ipfs files`, with the CIDs that Kubo gives for the same
//! commands.
//!
//! Owns the current root, who changes it and when it is durable. Must not know HTTP, pins or RocksDB: blocks
//! are read from a [`Repo`], and a [`RootStore`] keeps the root with what lies below it.
//!
//! - `path`: what a path says. `edit`: one change, from a root to the next. `look`: what is there.
//! - `directory`, `shard`: directories of one block and of many. `file`: writing into files.
//! - `node`: blocks taken apart and put together. `blocks`: those of one change. `root`: where roots live.
//!
//! Readers take the root of the moment and are never kept waiting: what they see does not change under
//! them. Writers change one tree, so they take turns, for as long as it takes to write the directories from the
//! change up to the root and to keep it; the bytes of a file are written before that, side by side.
//!
//! A call that fails changes nothing. (Kubo leaves what it had done before it failed: directories made by
//! `--parents`, parts of a file.)

mod blocks;
mod directory;
mod edit;
mod error;
mod file;
mod look;
mod node;
mod path;
mod root;
mod shard;

use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::block::{Cid, DAG_PB, RAW};
use crate::path::ContentPath;
use crate::repo::Repo;
use crate::store::BlockStore;
use crate::unixfs::FileReader;
use crate::unixfs::data::Mtime;
use crate::unixfs::import::{Chunker, DirectoryOptions};
use blocks::Blocks;
use edit::{Edit, Place};
use file::{Manner, Modifier};
use path::MfsPath;

pub use error::MfsError;
pub use look::{Kind, Listed, Locality, Stat};
pub use node::CidFormat;
pub use root::{HotRoot, MemoryRoot, ROOT_NAME, RootError, RootStore};

/// Changes that may wait for a flush. The next one flushes by itself, where Kubo refuses it: as many as its
/// `Internal.MFSNoFlushLimit`.
pub const MAX_UNFLUSHED: usize = 256;

/// What is the same for the whole file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MfsOptions {
    /// The form of the root's CID, and of what is made without a word of its form. Default: version 0.
    pub format: CidFormat,
    /// Where content is cut into leaves. Default: every 256 KiB.
    pub chunker: Chunker,
    /// Whether leaves are raw. Default: in files whose CID has version 1.
    pub raw_leaves: Option<bool>,
    /// When directories are sharded.
    pub directories: DirectoryOptions,
}

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Where the first byte goes; a gap to the end of the file is filled with zeros. Default: 0.
    pub offset: u64,
    /// Make the file if it is not there. Default: no.
    pub create: bool,
    /// Make directories above it as well. Default: no.
    pub parents: bool,
    /// Empty the file first. Default: no.
    pub truncate: bool,
    /// Bytes of the content that are taken, at most. Default: all.
    pub count: Option<u64>,
    /// Whether new leaves are raw. Default: see [`MfsOptions::raw_leaves`].
    pub raw_leaves: Option<bool>,
    /// The form of the CIDs of what is made new. Default: [`MfsOptions::format`].
    pub format: Option<CidFormat>,
    /// Return when the change is durable. Default: yes.
    pub flush: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions {
            offset: 0,
            create: false,
            parents: false,
            truncate: false,
            count: None,
            raw_leaves: None,
            format: None,
            flush: true,
        }
    }
}

/// How a directory is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MkdirOptions {
    /// Make directories above it, and do not mind if it is there. Default: no.
    pub parents: bool,
    /// The form of its CID. Default: [`MfsOptions::format`].
    pub format: Option<CidFormat>,
    /// Return when the change is durable. Default: yes.
    pub flush: bool,
}

impl Default for MkdirOptions {
    fn default() -> Self {
        MkdirOptions { parents: false, format: None, flush: true }
    }
}

/// How something is copied.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CpOptions {
    /// Make directories above the place. Default: no.
    pub parents: bool,
    /// Put it in the place of a file that is there. Default: no.
    pub force: bool,
    /// The form of the CIDs of directories that are made. Default: [`MfsOptions::format`].
    pub format: Option<CidFormat>,
}

/// A mutable file system. Cloning shares it; all calls may come from many threads, and block.
///
/// ```
/// use std::sync::Arc;
/// use coldfront::mfs::{MemoryRoot, Mfs, MfsOptions, WriteOptions};
/// use coldfront::{Repo, RepoOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let roots = MemoryRoot::new();
/// let repo = Repo::from_sources([("memory".into(), roots.blocks() as _)], &RepoOptions::default());
/// let files = Mfs::open(repo, Arc::new(roots), MfsOptions::default())?;
/// let options = WriteOptions { create: true, parents: true, ..WriteOptions::default() };
/// files.write("/x/f", &mut &b"hello\n"[..], &options)?;
/// let stat = files.stat("/x/f")?;
/// assert_eq!(stat.cid.to_string(), "QmcFUHo1DBpydnTSeuXszKgQqnXQCJq6Wu1BUdzEfuRahM");
/// assert_eq!((stat.size, stat.blocks), (6, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Mfs {
    inner: Arc<Inner>,
}

struct Inner {
    repo: Repo,
    roots: Arc<dyn RootStore>,
    options: MfsOptions,
    /// What readers see. Held for a copy, never while a disk is waited for.
    current: Mutex<Cid>,
    /// Who changes the tree holds it: each root is made from the one before.
    tree: Mutex<Tree>,
    /// Files that are being written, by path; a second writer of one waits.
    writing: Mutex<HashSet<String>>,
    written: Condvar,
}

/// What a writer needs to know beside the root.
#[derive(Default)]
struct Tree {
    /// Writers of changes that are not durable yet: their blocks must stay.
    unflushed: Vec<Arc<dyn BlockStore>>,
}

impl Mfs {
    /// Opens the file system whose root `roots` keeps, or begins an empty one. `repo` must hold what the
    /// writers of `roots` put. Reads one block.
    pub fn open(
        repo: Repo,
        roots: Arc<dyn RootStore>,
        options: MfsOptions,
    ) -> Result<Mfs, MfsError> {
        let root = match roots.root().map_err(MfsError::Root)? {
            Some(root) => {
                let is_directory =
                    directory::Directory::load(&Blocks::read_only(&repo), &root)?.is_some();
                if !is_directory {
                    return Err(MfsError::RootIsNoDirectory(root));
                }
                root
            }
            None => {
                let writer = roots.writer();
                let mut blocks = Blocks::new(&repo, &*writer);
                let empty = directory::Directory::new(options.format).store(&mut blocks)?;
                blocks.flush()?;
                roots.set_root(&empty.cid).map_err(MfsError::Root)?;
                empty.cid
            }
        };
        let inner = Inner {
            repo,
            roots,
            options,
            current: Mutex::new(root),
            tree: Mutex::new(Tree::default()),
            writing: Mutex::new(HashSet::new()),
            written: Condvar::new(),
        };
        Ok(Mfs { inner: Arc::new(inner) })
    }

    /// The root of the moment.
    pub fn root(&self) -> Cid {
        *lock(&self.inner.current)
    }

    /// What is at a path, which may be one of content (`/ipfs/…`). Reads one block a name.
    pub fn stat(&self, path: &str) -> Result<Stat, MfsError> {
        let (view, cid) = self.look(path)?;
        look::stat(&view.blocks, &cid)
    }

    /// What is at a path in here, whatever its first name is. Reads one block a name.
    pub fn stat_here(&self, path: &str) -> Result<Stat, MfsError> {
        let (path, view) = (MfsPath::parse(path)?, self.view());
        let place = view.find(path.names())?;
        look::stat(&view.blocks, place.cid())
    }

    /// How much of a DAG is here. Reads every block of it that may have links, as long as `go_on` says so.
    pub fn locality_cid(
        &self,
        cid: &Cid,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Locality, MfsError> {
        look::locality(&Blocks::read_only(&self.inner.repo), cid, go_on)
    }

    /// The same of what is at a path.
    pub fn locality(&self, path: &str) -> Result<Locality, MfsError> {
        let (_, cid) = self.look(path)?;
        self.locality_cid(&cid, &mut || true)
    }

    /// What a node is of which the CID is known, such as one of [`Mfs::list`]. Reads its block.
    pub fn stat_cid(&self, cid: &Cid) -> Result<Stat, MfsError> {
        look::stat(&Blocks::read_only(&self.inner.repo), cid)
    }

    /// Shows the entries of a directory, in its own order, as long as `each` says so; of a file itself.
    /// Memory: one shard a level, whatever the number of entries.
    pub fn list(&self, path: &str, each: &mut dyn FnMut(Listed) -> bool) -> Result<(), MfsError> {
        let path = MfsPath::parse(path)?;
        let view = self.view();
        match (view.find(path.names())?, path.split()) {
            (Place::File(cid), Some((_, name))) => {
                // A path with a slash at its end has no last name, in Go's eyes.
                let name = if path.has_slash() { "" } else { name };
                each(Listed { name: name.to_owned().into(), cid });
                Ok(())
            }
            (place, _) => look::list(&view.blocks, place.cid(), each),
        }
    }

    /// A reader of a file from `offset` on, of `count` bytes at most. Reads the way to it.
    pub fn read(
        &self,
        path: &str,
        offset: u64,
        count: Option<u64>,
    ) -> Result<FileReader, MfsError> {
        let path = MfsPath::parse(path)?;
        let place = self.view().find(path.names()).map_err(|e| e.at(path.to_string()))?;
        let Place::File(cid) = place else { return Err(MfsError::NotAFile(path.to_string())) };
        let stat = self.stat_cid(&cid)?;
        if stat.kind == Kind::Symlink {
            return Err(MfsError::Symlink);
        }
        if offset > stat.size {
            return Err(MfsError::PastTheEnd { offset, size: stat.size });
        }
        let end = count.map_or(u64::MAX, |count| offset.saturating_add(count));
        let resolved = self.inner.repo.resolve(&ContentPath::new(cid))?;
        Ok(self.inner.repo.read(&resolved.node, offset..end))
    }

    /// Writes all of `content` into a file. Two writers of one file take turns; of several files they
    /// write side by side, and only the change of the directories takes turns.
    ///
    /// Memory: 2 MiB of content and one batch of blocks.
    pub fn write(
        &self,
        path: &str,
        content: &mut dyn Read,
        options: &WriteOptions,
    ) -> Result<(), MfsError> {
        let path = MfsPath::parse(path)?;
        let _alone = Writing::begin(&self.inner, &path);
        let writer = self.inner.roots.writer();
        let mut edit = self.edit(&*writer, self.root());
        let cid = edit.file_to_write(&path, options)?;
        let manner = Manner {
            raw_leaves: options.raw_leaves.or(self.inner.options.raw_leaves),
            chunker: self.inner.options.chunker,
            now: now(),
        };
        let mut file = Modifier::open(&mut edit.blocks, &cid, &manner)?;
        if options.truncate {
            file.truncate(0)?;
        }
        match options.count {
            Some(count) => file.write(&mut content.take(count), options.offset)?,
            None => file.write(content, options.offset)?,
        }
        let child = file.finish()?;
        edit.blocks.flush()?;
        self.change(writer.clone(), options.flush, |edit| edit.put_written(&path, child, options))
    }

    /// Makes a directory.
    pub fn mkdir(&self, path: &str, options: &MkdirOptions) -> Result<(), MfsError> {
        let path = MfsPath::parse(path)?;
        let act = |edit: &mut Edit<'_>| edit.mkdir(&path, options.parents, options.format);
        self.change(self.inner.roots.writer(), options.flush, act)
    }

    /// Copies a path, of content (`/ipfs/…`) or in here, by linking to it: the cost does not depend on its
    /// size, and blocks below it need not be here. A place that ends in a slash gets the last name of `from`.
    /// Always flushed, since nothing else might keep what is copied.
    pub fn cp(&self, from: &str, to: &str, options: &CpOptions) -> Result<(), MfsError> {
        let from_path = MfsPath::parse(from)?;
        let from = from_path.to_string();
        let from = from.trim_end_matches('/');
        let mut to = MfsPath::parse(to)?;
        if to.has_slash() || to.is_root() {
            let name = from_path.split().map(|(_, name)| name).ok_or(MfsError::NoName)?;
            to = to.join(name);
        }
        let step = || format!("cp: cannot get node from path {from}");
        self.change(self.inner.roots.writer(), true, |edit| {
            let cid = match self.content(&from_path).map_err(|e| e.at(step()))? {
                Some(cid) => cid,
                None => *edit.find(from_path.names()).map_err(|e| e.at(step()))?.cid(),
            };
            if !matches!(cid.codec(), RAW | DAG_PB) {
                return Err(MfsError::NotUnixFs(None));
            }
            let source = match edit.child_of(&cid) {
                Err(MfsError::Read(why @ crate::ReadError::Undecodable { .. })) => {
                    return Err(MfsError::NotUnixFs(Some(Box::new(why))));
                }
                source => source.map_err(|e| e.at(step()))?,
            };
            if options.parents {
                edit.parents_of(&to, options.format)?;
            }
            edit.put(&to, source, options.force)
        })
    }

    /// Moves an entry: into a directory that is there, over a file that is there, or to a new place.
    pub fn mv(&self, from: &str, to: &str, flush: bool) -> Result<(), MfsError> {
        let (from, to) = (MfsPath::parse(from)?, MfsPath::parse(to)?);
        self.change(self.inner.roots.writer(), flush, |edit| edit.mv(&from, &to))
    }

    /// Removes a file, or with `recursive` a directory. With `force` whatever is there, readable or not, and
    /// nothing is no error.
    pub fn rm(&self, path: &str, recursive: bool, force: bool) -> Result<(), MfsError> {
        let path = MfsPath::parse(path)?;
        self.change(self.inner.roots.writer(), true, |edit| edit.rm(&path, recursive, force))
    }

    /// Changes the form of a directory's CID; without a form, nothing.
    pub fn chcid(
        &self,
        path: &str,
        format: Option<CidFormat>,
        flush: bool,
    ) -> Result<(), MfsError> {
        let path = MfsPath::parse(&format!("/{}", path.trim_matches('/')))?;
        self.change(self.inner.roots.writer(), flush, |edit| edit.chcid(&path, format))
    }

    /// Sets Unix permissions, of which nine bits are kept, as Kubo keeps them; 0 removes them.
    pub fn chmod(&self, path: &str, mode: u32) -> Result<(), MfsError> {
        let path = MfsPath::parse(path)?;
        self.change(self.inner.roots.writer(), true, |edit| {
            edit.set_attributes(&path, |message| message.set_permissions(mode & 0o777))
        })
    }

    /// Sets the time of the last change; without one, to now.
    pub fn touch(&self, path: &str, time: Option<Mtime>) -> Result<(), MfsError> {
        let path = MfsPath::parse(path)?;
        let time = time.unwrap_or_else(now);
        self.change(self.inner.roots.writer(), true, |edit| {
            edit.set_attributes(&path, |message| message.mtime = Some(time))
        })
    }

    /// Makes every change durable, and says what is at a path then.
    pub fn flush(&self, path: &str) -> Result<Cid, MfsError> {
        let path = MfsPath::parse(&format!("/{}", path.trim_matches('/')))?;
        let mut tree = lock(&self.inner.tree);
        if !tree.unflushed.is_empty() {
            self.keep(&mut tree, &self.root())?;
        }
        let view = self.view();
        Ok(*view.find(path.names())?.cid())
    }

    /// Makes `root`, which must be a directory that is here, the root: a way back from damage.
    pub fn replace_root(&self, root: &Cid) -> Result<(), MfsError> {
        let mut tree = lock(&self.inner.tree);
        if directory::Directory::load(&Blocks::read_only(&self.inner.repo), root)?.is_none() {
            return Err(MfsError::RootIsNoDirectory(*root));
        }
        self.keep(&mut tree, root)
    }

    /// Runs one change from the root of the moment to the next. Nothing is changed when it fails.
    fn change<T>(
        &self,
        writer: Arc<dyn BlockStore>,
        flush: bool,
        act: impl FnOnce(&mut Edit<'_>) -> Result<T, MfsError>,
    ) -> Result<T, MfsError> {
        let mut tree = lock(&self.inner.tree);
        let before = self.root();
        let mut edit = self.edit(&*writer, before);
        let made = act(&mut edit)?;
        edit.blocks.flush()?;
        let root = edit.root;
        let due = flush || tree.unflushed.len() >= MAX_UNFLUSHED;
        if due && (root != before || !tree.unflushed.is_empty()) {
            self.keep(&mut tree, &root)?;
        } else if root != before {
            tree.unflushed.push(writer);
            *lock(&self.inner.current) = root;
        }
        Ok(made)
    }

    /// Keeps a root durably, then shows it.
    fn keep(&self, tree: &mut Tree, root: &Cid) -> Result<(), MfsError> {
        self.inner.roots.set_root(root).map_err(MfsError::Root)?;
        tree.unflushed.clear();
        *lock(&self.inner.current) = *root;
        Ok(())
    }

    fn edit<'s>(&'s self, writer: &'s dyn BlockStore, root: Cid) -> Edit<'s> {
        Edit::new(Blocks::new(&self.inner.repo, writer), root, &self.inner.options)
    }

    fn view(&self) -> Edit<'_> {
        Edit::new(Blocks::read_only(&self.inner.repo), self.root(), &self.inner.options)
    }

    fn look(&self, path: &str) -> Result<(Edit<'_>, Cid), MfsError> {
        let path = MfsPath::parse(path)?;
        let view = self.view();
        let cid = match self.content(&path)? {
            Some(cid) => cid,
            None => *view.find(path.names())?.cid(),
        };
        Ok((view, cid))
    }

    /// The CID at the end of a path of content; `None` for a path in here.
    fn content(&self, path: &MfsPath) -> Result<Option<Cid>, MfsError> {
        match path.names().split_first() {
            Some((first, below)) if first == "ipfs" && !below.is_empty() => {
                let path: ContentPath = path.to_string().parse()?;
                Ok(Some(*self.inner.repo.resolve_block(&path)?.cid()))
            }
            _ => Ok(None),
        }
    }
}

/// A path as it is understood: absolute, without `.` and `..`; a slash at its end stays.
pub fn cleaned(path: &str) -> Result<String, MfsError> {
    Ok(MfsPath::parse(path)?.to_string())
}

impl Drop for Inner {
    /// Changes that nobody flushed are kept after all.
    fn drop(&mut self) {
        if !lock(&self.tree).unflushed.is_empty() {
            let root = *lock(&self.current);
            // Nobody is there to be told: what was not flushed was not promised.
            let _ = self.roots.set_root(&root);
        }
    }
}

impl fmt::Debug for Mfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mfs").field("root", &self.root()).finish_non_exhaustive()
    }
}

/// A path that somebody writes to, until it is dropped.
struct Writing<'i> {
    inner: &'i Inner,
    path: String,
}

impl<'i> Writing<'i> {
    /// Waits while somebody else writes to the path.
    fn begin(inner: &'i Inner, path: &MfsPath) -> Writing<'i> {
        let path = path.to_string();
        let mut writing = lock(&inner.writing);
        while !writing.insert(path.clone()) {
            writing = inner.written.wait(writing).unwrap_or_else(PoisonError::into_inner);
        }
        Writing { inner, path }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        lock(&self.inner.writing).remove(&self.path);
        self.inner.written.notify_all();
    }
}

/// A thread that panicked with the lock left it in one of the states between calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Mtime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Mtime { seconds: since.as_secs().cast_signed(), nanos: since.subsec_nanos() }
}
