//! The root of a tree: what its `SHARDING` file said when it was adopted, and whether it is still that file.
//!
//! Owns the identity of the tree and its re-adoption. Must not know keys or blocks. One `stat` of `SHARDING` stands for
//! the whole tree: an unmounted, removed or swapped tree shows there, and nothing has to be listed.
//! Rules: go-ds-flatfs `shard.go` (`ReadShardFunc`).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, open, openat2, stat};
use rustix::io::{Errno, pread, retry_on_intr};

use crate::block_file::Stamp;
use crate::error::{Error, FileKind, RootFault, is_out_of_files};
use crate::page_cache::{self, Foresight};
use crate::shard::ShardFn;

/// Largest `SHARDING` in bytes that is read. go-ds-flatfs writes 37 by default and at most some 50.
pub const MAX_SHARDING_LEN: usize = 1024;

/// The file that makes a directory a flatfs tree.
const SHARDING: &str = "SHARDING";

/// `O_NONBLOCK`: a pipe under the name must not hang the process before `fstat` tells what it is.
pub(crate) const READ_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// One tree as it was when its `SHARDING` was read.
#[derive(Debug)]
pub(crate) struct Adopted {
    pub(crate) shard_fn: ShardFn,
    pub(crate) foresight: Foresight,
    stamp: Stamp,
    /// Cleared for good at the first file that may not be opened with `O_NOATIME`: only its owner may do that, and
    /// a tree mostly has one owner. It saves the second open.
    noatime: AtomicBool,
}

/// Whether a look-up's failure may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The tree is the one that was asked.
    Same,
    /// Another tree has been adopted: ask again.
    Changed,
}

/// Watches the root of one tree. Bounded: it holds one adopted tree.
#[derive(Debug)]
pub(crate) struct Watch {
    root: PathBuf,
    sharding: PathBuf,
    adopted: RwLock<Arc<Adopted>>,
    adoptions: AtomicU64,
}

impl Watch {
    /// Adopts the tree at an absolute path. Opens, stats and reads `SHARDING`.
    pub(crate) fn new(root: PathBuf) -> Result<Watch, Error> {
        let sharding = root.join(SHARDING);
        match adopt(&sharding) {
            Ok(adopted) => Ok(Watch {
                root,
                sharding,
                adopted: RwLock::new(Arc::new(adopted)),
                adoptions: AtomicU64::new(0),
            }),
            Err(Refusal::OutOfFiles(source)) => Err(Error::OutOfFiles { source }),
            Err(Refusal::Root(reason)) => Err(Error::NotAnArchive { path: root, reason }),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The tree in force. A read lock and a reference count.
    pub(crate) fn adopted(&self) -> Arc<Adopted> {
        Arc::clone(&self.adopted.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often `SHARDING` was found changed and adopted anew.
    pub(crate) fn adoptions(&self) -> u64 {
        self.adoptions.load(Ordering::Relaxed)
    }

    /// Looks whether `seen` is still the tree at the root; adopts the one that is there now when it is not.
    /// One `stat` when nothing changed; otherwise `SHARDING` is read.
    pub(crate) fn check(&self, seen: &Adopted) -> Result<Verdict, Error> {
        let now = match stat(&self.sharding) {
            Ok(stat) => Stamp::of(&stat),
            Err(errno) => return Err(self.unavailable(errno.into())),
        };
        if now == seen.stamp {
            return Ok(Verdict::Same);
        }
        // Somebody else may have adopted it since `seen` was taken.
        if now != self.adopted().stamp {
            let adopted = adopt(&self.sharding).map_err(|refusal| self.unavailable(refusal))?;
            self.replace(adopted);
        }
        Ok(Verdict::Changed)
    }

    /// The error for a root that could not be checked.
    pub(crate) fn unavailable(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::OutOfFiles(source) => Error::OutOfFiles { source },
            Refusal::Root(reason) => Error::Unavailable { root: self.root.clone(), reason },
        }
    }

    fn replace(&self, adopted: Adopted) {
        let mut current = self.adopted.write().unwrap_or_else(PoisonError::into_inner);
        if current.stamp != adopted.stamp {
            *current = Arc::new(adopted);
            self.adoptions.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Adopted {
    /// Opens a file of this tree for reading, without a trace in its access time where the system permits that:
    /// one `open`, and a second one once in a tree whose files belong to somebody else.
    pub(crate) fn open_file(&self, path: &Path, flags: OFlags) -> Result<File, Errno> {
        open_quietly(path, flags, &self.noatime)
    }

    /// Opens a file whose whole path the kernel has in memory: one `openat2(RESOLVE_CACHED)`, which never waits for a
    /// disk. `ENOENT` and `ENOTDIR` mean that the kernel knows that it is not there; any other error says nothing
    /// about the file: `EAGAIN` where it is not in memory, `ENOSYS` from kernels older than 5.12.
    pub(crate) fn open_file_now(&self, path: &Path, flags: OFlags) -> Result<File, Errno> {
        let quiet =
            if self.noatime.load(Ordering::Relaxed) { OFlags::NOATIME } else { OFlags::empty() };
        let open = || openat2(CWD, path, flags | quiet, Mode::empty(), ResolveFlags::CACHED);
        retry_on_intr(open).map(File::from)
    }
}

/// Why a root was not adopted.
#[derive(Debug)]
pub(crate) enum Refusal {
    OutOfFiles(io::Error),
    Root(RootFault),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            errno if is_out_of_files(errno) => Refusal::OutOfFiles(errno.into()),
            Errno::NOENT | Errno::NOTDIR => Refusal::Root(RootFault::Missing),
            errno => Refusal::Root(RootFault::Unreadable(errno.into())),
        }
    }
}

impl From<RootFault> for Refusal {
    fn from(reason: RootFault) -> Self {
        Refusal::Root(reason)
    }
}

/// Reads `SHARDING`, one small file, and nothing else.
fn adopt(sharding: &Path) -> Result<Adopted, Refusal> {
    let noatime = AtomicBool::new(true);
    let file = open_quietly(sharding, READ_FLAGS, &noatime)?;
    // ORDER: the stamp before the bytes. A `SHARDING` that is rewritten in between then fails the next check and is
    // read again; the other way round, old bytes would pass under the new stamp for good.
    let stat = fstat(&file)?;
    match FileKind::of(&stat) {
        FileKind::Regular => {}
        found => return Err(RootFault::NotAFile { found }.into()),
    }
    let bytes = read_bounded(&file)?;
    let shard_fn = ShardFn::parse(&bytes).map_err(RootFault::from)?;
    let stamp = Stamp::of(&stat);
    Ok(Adopted { shard_fn, foresight: page_cache::foresight(&file), stamp, noatime })
}

/// At most one byte more than the bound is ever read.
fn read_bounded(file: &File) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::with_capacity(MAX_SHARDING_LEN + 1);
    while bytes.len() <= MAX_SHARDING_LEN {
        let offset = bytes.len() as u64;
        let read = retry_on_intr(|| pread(file, spare_capacity(&mut bytes), offset))?;
        if read == 0 {
            return Ok(bytes);
        }
    }
    Err(RootFault::TooLong.into())
}

/// Opens with `O_NOATIME` while that is permitted, and remembers when it is not.
fn open_quietly(path: &Path, flags: OFlags, noatime: &AtomicBool) -> Result<File, Errno> {
    let open = |flags| retry_on_intr(|| open(path, flags, Mode::empty())).map(File::from);
    if !noatime.load(Ordering::Relaxed) {
        return open(flags);
    }
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => {
            let file = open(flags)?;
            noatime.store(false, Ordering::Relaxed);
            Ok(file)
        }
        answer => answer,
    }
}
