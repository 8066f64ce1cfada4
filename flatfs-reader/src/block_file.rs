//! One open block: its descriptor, its length, and the few ways to read it.
//!
//! Owns the system calls on an open file, and the path it was opened at, for reports. Must not know keys, shard
//! directories or the tree it came from.
//! Rules: `preadv2(2)`, `posix_fadvise(2)`.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FileType, Mode, OFlags, Stat, fadvise, fstat, open, sendfile};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv, preadv2, retry_on_intr};

use crate::page_cache::{self, Foresight};

/// Largest offset that the kernel takes. Beyond it `preadv2` would read -1 as "the current position".
const MAX_OFFSET: u64 = i64::MAX as u64;

/// An open block file. Holds one descriptor, so it stays readable when the file is unlinked or its tree is swapped,
/// and it keeps a file system from being unmounted until it is dropped.
#[derive(Debug)]
pub struct BlockFile {
    file: File,
    path: Box<Path>,
    opened: Stamp,
}

impl BlockFile {
    /// `stat` must be that of `file`, taken after it was opened.
    pub(crate) fn new(file: File, stat: &Stat, path: &Path) -> Self {
        BlockFile { file, path: path.into(), opened: Stamp::of(stat) }
    }

    /// Opens a file that lies in no tree: one that holds many blocks. One open, one `fstat`.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for what is no regular file.
    pub fn open(path: &Path) -> io::Result<BlockFile> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(open(path, flags, Mode::empty())?);
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(BlockFile::new(file, &stat, path))
    }

    /// What its file system can tell before a read. To be asked when the file's first byte has been read. One or two
    /// system calls.
    #[must_use]
    pub fn foresight(&self) -> Foresight {
        page_cache::foresight(&self.file)
    }

    /// Where it was opened. Free; another file may lie there by now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes when the file was opened. Free.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.opened.len
    }

    /// Whether it was empty when it was opened. Free. Legal here; whether an empty block is a whole one, its hash says.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads up to `buf.len()` bytes at `offset`, from the disk where it must: one `pread`, repeated only when a signal
    /// interrupts it. Fewer bytes than asked for mean the end of the file; 0 is at or past the end.
    ///
    /// # Errors
    /// What the system says (`EIO` for a bad sector), and `InvalidInput` for an offset beyond 2^63 - 1.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        check_offset(offset)?;
        Ok(retry_on_intr(|| pread(&self.file, &mut *buf, offset))?)
    }

    /// [`read_at`](Self::read_at) into several buffers, in their order, with one `preadv`. Buffers beyond the system's
    /// bound (1024 on Linux) are left alone.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn read_vectored_at(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        check_offset(offset)?;
        Ok(retry_on_intr(|| preadv(&self.file, bufs, offset))?)
    }

    /// Reads what lies in the page cache, without waiting for a disk: one `preadv2(RWF_NOWAIT)`.
    ///
    /// `Some(n)` may be short of both the buffer and the file: then the next byte has to be waited for, or the file ends.
    /// `None` when nothing could be read without waiting, and where the file system refuses to say
    /// ([`FlatFs::foresight`](crate::FlatFs::foresight)): use [`read_at`](Self::read_at) where waiting is allowed.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn read_now(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        check_offset(offset)?;
        match read_nowait(&self.file, buf, offset) {
            Ok(n) => Ok(Some(n)),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether the page cache holds all of a range: then reading it waits for no disk, unless parts of it are being read
    /// just now. One `cachestat`, no I/O. The kernel may drop pages the moment after.
    ///
    /// `None` when it cannot be told: kernels before 6.5, and sandboxes that forbid the call. File systems that cache by
    /// themselves (ZFS) answer `false`.
    #[must_use]
    pub fn is_cached(&self, offset: u64, len: u64) -> Option<bool> {
        page_cache::holds(&self.file, offset, len)
    }

    /// Sends up to `len` bytes at `offset` to a socket without taking them into the process: one `sendfile`, which waits
    /// for the disk where the page cache does not hold them ([`is_cached`](Self::is_cached)). 0 at the end of the file.
    ///
    /// # Errors
    /// What the system says: `WouldBlock` from a socket that takes no more; `InvalidInput` where the file system cannot
    /// do it; errors of the file and of the socket are not told apart but by their kind.
    pub fn send_to(&self, socket: impl AsFd, offset: u64, len: usize) -> io::Result<usize> {
        check_offset(offset)?;
        let mut offset = offset;
        Ok(retry_on_intr(|| sendfile(&socket, &self.file, Some(&mut offset), len))?)
    }

    /// Asks the kernel to fetch a range into the page cache in the background. Best effort: one `posix_fadvise` that may
    /// do nothing, and may wait shortly when the disk's queue is full. No bytes, no call.
    pub fn will_need(&self, offset: u64, len: u64) {
        self.advise(offset, len, Advice::WillNeed);
    }

    /// Tells the kernel that nobody will read a range again, so that it may drop it from the page cache.
    /// Best effort: one `posix_fadvise`. Pages only partly inside the range stay. No bytes, no call.
    pub fn dont_need(&self, offset: u64, len: u64) {
        self.advise(offset, len, Advice::DontNeed);
    }

    /// What the file is now. One `fstat`. Differs from [`opened`](Self::opened) once it was written, truncated, replaced
    /// under its name, unlinked or given another mode.
    ///
    /// # Errors
    /// What the system says; `ESTALE` or `EIO` when the file system is gone.
    pub fn stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp::of(&fstat(&self.file)?))
    }

    /// What the file was when it was opened. Free.
    #[must_use]
    pub fn opened(&self) -> Stamp {
        self.opened
    }

    /// The open file, for calls this type does not offer. Opened for reading only.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// `len` bytes at `offset`, or those up to the end of the file: one `pread` into memory that is not cleared before.
    /// The caller has bounded `len`.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at), and `OutOfMemory`.
    pub fn read_part(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        check_offset(offset)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            let read = retry_on_intr(|| pread(&self.file, spare_capacity(&mut bytes), at))?;
            if read == 0 {
                break;
            }
        }
        // The allocator may have given more room than asked for.
        bytes.truncate(len);
        Ok(bytes)
    }

    /// The first [`len`](Self::len) bytes, or fewer when the file was truncated since. One `pread` for a whole file.
    /// Allocates `len` bytes: the caller has bounded it.
    pub(crate) fn read_whole(&self) -> Result<Vec<u8>, Errno> {
        // A length that does not fit memory cannot be allocated either, and says so.
        let len = usize::try_from(self.len()).map_err(|_| Errno::FBIG)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::NOMEM)?;
        while bytes.len() < len {
            let offset = bytes.len() as u64;
            let read = retry_on_intr(|| pread(&self.file, spare_capacity(&mut bytes), offset))?;
            if read == 0 {
                break;
            }
        }
        // The allocator may have given more room than asked for, and a file that grew filled it.
        bytes.truncate(len);
        Ok(bytes)
    }

    fn advise(&self, offset: u64, len: u64, advice: Advice) {
        if let Some(len) = NonZeroU64::new(len) {
            // Advice is a hint: a file system that refuses it serves as well without.
            let _ = fadvise(&self.file, offset, Some(len), advice);
        }
    }
}

/// What a file was at one moment, by its `stat`: two equal stamps mean that nobody touched it between them
/// (within the file system's clock, usually some milliseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Device of the file system.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Length in bytes.
    pub len: u64,
    /// Time of the last change of the bytes, in nanoseconds since 1970.
    pub mtime: i128,
    /// Time of the last change of bytes, mode, owner or links, in nanoseconds since 1970.
    pub ctime: i128,
}

impl Stamp {
    #[allow(clippy::useless_conversion, reason = "the types of `Stat` differ by architecture")]
    pub(crate) fn of(stat: &Stat) -> Stamp {
        Stamp {
            dev: u64::from(stat.st_dev),
            ino: u64::from(stat.st_ino),
            len: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: nanoseconds(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
            ctime: nanoseconds(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        }
    }
}

fn nanoseconds(seconds: i128, rest: i128) -> i128 {
    seconds * 1_000_000_000 + rest
}

/// One `preadv2(RWF_NOWAIT)`, with the system's bare answer.
pub(crate) fn read_nowait(file: &File, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    retry_on_intr(|| {
        let mut bufs = [IoSliceMut::new(buf)];
        preadv2(file, &mut bufs, offset, ReadWriteFlags::NOWAIT)
    })
}

fn check_offset(offset: u64) -> io::Result<()> {
    if offset > MAX_OFFSET {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok(())
}
