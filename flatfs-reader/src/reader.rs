//! The tree: from a key to its file, and the word "not held" only when the tree was there to say so.
//!
//! Owns the look-up. Has no way to list and no way to write, on purpose. Must not know CIDs, tiers or async.
//! Rules: go-ds-flatfs `flatfs.go` (`encode`, `Get`, `GetSize`).

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, Stat, fstat, lstat};
use rustix::io::{Errno, retry_on_intr};

use crate::block_file::BlockFile;
use crate::error::{Error, Fault, FileKind, RootFault, is_out_of_files};
use crate::key::{EXTENSION, Key};
use crate::page_cache::Foresight;
use crate::shard::ShardFn;
use crate::watch::{Adopted, READ_FLAGS, Refusal, Verdict, Watch};

/// Look-ups of one key within one call: the first, and one more when another tree was adopted meanwhile.
const LOOK_UPS: usize = 2;

/// A shard directory may be a link to another disk; a block file may not be a link.
const BLOCK_FLAGS: OFlags = READ_FLAGS.union(OFlags::NOFOLLOW);

/// An open go-ds-flatfs tree. Cheap to share between threads by reference; holds no descriptor and no lock.
///
/// # What "not held" promises
/// A look-up that fails is believed only after one `stat` showed that `SHARDING` is still the file that was adopted.
/// So a tree that went away before the look-up, or during it, gives [`Error::Unavailable`], and a tree that was
/// swapped is adopted and asked once more. One gap remains: when the tree goes away and the very same one comes back
/// between the two system calls of one look-up, a block that it holds may be called not held, once.
/// A shard directory that is a link to another disk is not watched by itself: while that disk is away, its blocks
/// are not held. A block that is found needs no such check: whoever knows its hash can tell whether it is the right one.
#[derive(Debug)]
pub struct FlatFs {
    watch: Watch,
}

impl FlatFs {
    /// Opens the tree whose `SHARDING` lies in `root`, the `blocks` directory of a Kubo repository.
    ///
    /// Reads `SHARDING` and nothing else: the same few system calls for ten blocks and for ten billion. Writes nothing,
    /// takes no lock and works on a read-only mount. A relative `root` is made absolute here, links in it are not
    /// resolved, so that a link which is turned to another tree is noticed.
    ///
    /// # Errors
    /// [`Error::NotAnArchive`] when there is no `SHARDING` that can be read and understood; [`Error::OutOfFiles`].
    pub fn open(root: impl AsRef<Path>) -> Result<FlatFs, Error> {
        let root = root.as_ref();
        let absolute = std::path::absolute(root).map_err(|source| Error::NotAnArchive {
            path: root.to_path_buf(),
            reason: RootFault::Unreadable(source),
        })?;
        Ok(FlatFs { watch: Watch::new(absolute)? })
    }

    /// Opens a block. `None` when it is not held. A hit costs one `open` and one `fstat`; a miss one `open` and one
    /// `stat`. Does not read the block.
    ///
    /// # Errors
    /// [`Error::Block`] when this one file cannot be opened or is no regular file; [`Error::Unavailable`] when the tree
    /// is not there; [`Error::OutOfFiles`]. Never hangs on a pipe or a device.
    pub fn open_block(&self, key: Key<'_>) -> Result<Option<BlockFile>, Error> {
        self.look_up(key, open_at)
    }

    /// Opens a block if that needs no disk: its path is in the kernel's memory, as that of a block read lately is. One
    /// `openat2` and one `fstat`; never waits.
    ///
    /// `None` says nothing about the block: ask [`open_block`](Self::open_block) where waiting is allowed. So do all
    /// that is odd about a file or the tree.
    #[must_use]
    pub fn open_block_now(&self, key: Key<'_>) -> Option<BlockFile> {
        if key.is_empty() || !key.fits_a_file_name() {
            return None;
        }
        let adopted = self.watch.adopted();
        let path = block_path(self.root(), adopted.shard_fn, key);
        let file = adopted.open_file_now(&path, BLOCK_FLAGS).ok()?;
        as_block(file, &path).ok()
    }

    /// Whether the block is not held for all that the kernel has in memory: nothing lies under its name, as a look-up
    /// of it lately found. One `openat2`; never waits. `false` says nothing about the block.
    ///
    /// Does not look whether the tree is there, so it is no ground to call a block missing. It is one to ask another
    /// tree first, since something odd under the name, which [`open_block`](Self::open_block) would report, there is not.
    #[must_use]
    pub fn lacks_block_now(&self, key: Key<'_>) -> bool {
        if key.is_empty() || !key.fits_a_file_name() {
            return key.is_empty();
        }
        let adopted = self.watch.adopted();
        let path = block_path(self.root(), adopted.shard_fn, key);
        matches!(adopted.open_file_now(&path, BLOCK_FLAGS), Err(Errno::NOENT | Errno::NOTDIR))
    }

    /// The block's length in bytes. `None` when it is not held. One `stat`, two for a miss. Opens nothing.
    ///
    /// # Errors
    /// As [`open_block`](Self::open_block), except that permission to read the file is not needed.
    pub fn len_of(&self, key: Key<'_>) -> Result<Option<u64>, Error> {
        self.look_up(key, |_, path| {
            let stat = retry_on_intr(|| lstat(path))?;
            regular(&stat)?;
            Ok(u64::try_from(stat.st_size).unwrap_or(0))
        })
    }

    /// The whole block. `None` when it is not held. One `open`, one `fstat`, one read and an allocation of the block's
    /// length, which is compared with `max_len` (in bytes) before. The bytes are not checked against any hash.
    ///
    /// # Errors
    /// As [`open_block`](Self::open_block); besides, [`Fault::TooLong`] above `max_len` and [`Fault::Truncated`] when
    /// the file is cut while it is read. Of a file that grows, the length at the open is read.
    pub fn get(&self, key: Key<'_>, max_len: u64) -> Result<Option<Vec<u8>>, Error> {
        self.look_up(key, |adopted, path| read_whole(&open_at(adopted, path)?, max_len))
    }

    /// Where the block's file is, if it is held. No I/O. A key that no tree can hold (empty, or too long) has a path too.
    #[must_use]
    pub fn path_of(&self, key: Key<'_>) -> PathBuf {
        block_path(self.root(), self.shard_fn(), key)
    }

    /// The root of the tree, absolute. Free.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.watch.root()
    }

    /// How the adopted tree spreads keys over its directories. No I/O.
    #[must_use]
    pub fn shard_fn(&self) -> ShardFn {
        self.watch.adopted().shard_fn
    }

    /// Whether the tree is there. One `stat` of `SHARDING`; when that is another file than before, it is read and the
    /// tree adopted, as after any miss. Looks at no block. For a periodic check, or before a tree is called healthy.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it is not; [`Error::OutOfFiles`].
    pub fn available(&self) -> Result<(), Error> {
        self.watch.check(&self.watch.adopted()).map(|_| ())
    }

    /// What the file system of `SHARDING` can tell before a read: whether [`BlockFile::read_now`] can ever say `Some`,
    /// and whether [`BlockFile::is_cached`] means anything. Found out when the tree was adopted; no I/O here.
    #[must_use]
    pub fn foresight(&self) -> Foresight {
        self.watch.adopted().foresight
    }

    /// How often another `SHARDING` was adopted since the tree was opened: swapped, remounted as another device,
    /// or merely touched. Free.
    #[must_use]
    pub fn adoptions(&self) -> u64 {
        self.watch.adoptions()
    }

    /// Tries `step` on the key's path, and believes a failure only of a tree that is there.
    fn look_up<T>(
        &self,
        key: Key<'_>,
        step: impl Fn(&Adopted, &Path) -> Result<T, Failure>,
    ) -> Result<Option<T>, Error> {
        if key.is_empty() {
            return Ok(None);
        }
        if !key.fits_a_file_name() {
            return Err(block_error(self.path_of(key), Fault::NameTooLong, None));
        }
        for _ in 0..LOOK_UPS {
            let adopted = self.watch.adopted();
            let path = block_path(self.root(), adopted.shard_fn, key);
            let errno = match step(&adopted, &path) {
                Ok(found) => return Ok(Some(found)),
                Err(Failure::Fault(fault)) => return Err(block_error(path, fault, None)),
                Err(Failure::Errno(errno)) if is_out_of_files(errno) => {
                    return Err(self.watch.unavailable(errno.into()));
                }
                Err(Failure::Errno(errno)) => errno,
            };
            // ORDER: the failure first, then the root. The other way round, a tree that goes away in between would
            // turn into blocks that do not exist.
            match self.watch.check(&adopted)? {
                Verdict::Same => return believed(path, errno),
                Verdict::Changed => {}
            }
        }
        Err(self.watch.unavailable(Refusal::Root(RootFault::Restless)))
    }
}

/// Why a step of a look-up failed.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    /// The system said so; the tree may be the reason.
    Errno(Errno),
    /// Seen on the file itself; the tree is not the reason.
    Fault(Fault),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Failure::Errno(errno)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

fn open_at(adopted: &Adopted, path: &Path) -> Result<BlockFile, Failure> {
    as_block(adopted.open_file(path, BLOCK_FLAGS)?, path)
}

fn as_block(file: File, path: &Path) -> Result<BlockFile, Failure> {
    let stat = fstat(&file)?;
    regular(&stat)?;
    Ok(BlockFile::new(file, &stat, path))
}

/// All the bytes the block had when it was opened, or the reason why not.
fn read_whole(block: &BlockFile, max_len: u64) -> Result<Vec<u8>, Failure> {
    let len = block.len();
    if len > max_len {
        return Err(Fault::TooLong { len, max: max_len }.into());
    }
    let bytes = block.read_whole()?;
    let got = bytes.len() as u64;
    if got < len {
        return Err(Fault::Truncated { expected: len, got }.into());
    }
    Ok(bytes)
}

fn regular(stat: &Stat) -> Result<(), Fault> {
    match FileKind::of(stat) {
        FileKind::Regular => Ok(()),
        found => Err(Fault::NotAFile { found }),
    }
}

/// What an `errno` means once the tree is known to be there.
fn believed<T>(path: PathBuf, errno: Errno) -> Result<Option<T>, Error> {
    let fault = match errno {
        Errno::NOENT | Errno::NOTDIR => return Ok(None),
        Errno::ACCESS | Errno::PERM => Fault::Denied,
        Errno::NAMETOOLONG => Fault::NameTooLong,
        Errno::LOOP | Errno::NXIO | Errno::NODEV => what_lies_at(&path),
        _ => Fault::Unreadable,
    };
    Err(block_error(path, fault, Some(errno)))
}

/// Links, sockets and driverless devices cannot be opened, and the system's words for it do not tell them apart.
/// One more `lstat`, only here.
fn what_lies_at(path: &Path) -> Fault {
    match lstat(path).as_ref().map(FileKind::of) {
        Ok(FileKind::Regular) | Err(_) => Fault::Unreadable,
        Ok(found) => Fault::NotAFile { found },
    }
}

fn block_error(path: PathBuf, fault: Fault, errno: Option<Errno>) -> Error {
    Error::Block { path, fault, source: errno.map(Into::into) }
}

/// `<root>/<shard directory>/<key text>.data`, in one allocation beside the key's text.
fn block_path(root: &Path, shard_fn: ShardFn, key: Key<'_>) -> PathBuf {
    let root = root.as_os_str().as_bytes();
    let text = key.text();
    let shard = shard_fn.shard_of(&text);
    let mut path = Vec::with_capacity(root.len() + shard.len() + text.len() + EXTENSION.len() + 2);
    path.extend_from_slice(root);
    path.push(b'/');
    if !shard.is_empty() {
        path.extend_from_slice(&shard);
        path.push(b'/');
    }
    path.extend_from_slice(text.as_bytes());
    path.extend_from_slice(EXTENSION.as_bytes());
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write;

    /// A file of `len` bytes, opened as a block, and a handle that may change it afterwards.
    fn opened(len: usize) -> (BlockFile, File, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("block");
        std::fs::write(&path, vec![b'x'; len]).unwrap();
        let file = File::open(&path).unwrap();
        let block = BlockFile::new(file.try_clone().unwrap(), &fstat(&file).unwrap(), &path);
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        (block, writer, dir)
    }

    #[test]
    fn a_block_truncated_after_it_was_opened_is_a_fault_that_counts_its_bytes() {
        let (block, writer, _dir) = opened(1000);
        writer.set_len(600).unwrap();
        let fault = Fault::Truncated { expected: 1000, got: 600 };
        assert_eq!(read_whole(&block, 1000), Err(Failure::Fault(fault)));
    }

    #[test]
    fn of_a_block_that_grows_after_it_was_opened_the_first_bytes_are_read() {
        let (block, mut writer, _dir) = opened(1000);
        writer.write_all(&[b'y'; 5000]).unwrap();
        assert_eq!(read_whole(&block, 1000), Ok(vec![b'x'; 1000]));
    }

    #[test]
    fn a_block_above_the_bound_is_refused_and_one_at_the_bound_is_read() {
        let (block, _writer, _dir) = opened(1000);
        let fault = Fault::TooLong { len: 1000, max: 999 };
        assert_eq!(read_whole(&block, 999), Err(Failure::Fault(fault)));
        assert_eq!(read_whole(&block, 1000).unwrap().len(), 1000);
    }

    #[test]
    fn a_file_of_terabytes_is_refused_before_memory_is_asked_for() {
        let (block, writer, _dir) = opened(0);
        let len = 1 << 43;
        if writer.set_len(len).is_err() {
            eprintln!("SKIPPED: this file system holds no file of 8 TiB");
            return;
        }
        let block = BlockFile::new(
            block.file().try_clone().unwrap(),
            &fstat(block.file()).unwrap(),
            block.path(),
        );
        let fault = Fault::TooLong { len, max: 1 << 20 };
        assert_eq!(read_whole(&block, 1 << 20), Err(Failure::Fault(fault)));
    }
}
