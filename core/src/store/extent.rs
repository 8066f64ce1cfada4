//! An extent: which bytes of which open file.
//!
//! Owns reading them, either only from the page cache (for a caller that must not wait) or from the
//! disk. Must not know what the bytes mean. The kernel side is `BlockFile` of `coldfront-flatfs`.

use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::Arc;

use coldfront_flatfs::Foresight;

use crate::error::StoreError;
use crate::store::open_files::OpenBlock;

/// A run of bytes in an open file. Cloning shares the file handle; nothing is read until asked.
///
/// Reading consumes from the front, so an extent always says what is still to come.
#[derive(Clone, Debug)]
pub struct Extent {
    block: Arc<OpenBlock>,
    offset: u64,
    len: u64,
    /// The page cache held all of it when it was last asked.
    cached: bool,
}

/// Why bytes of a file did not reach a socket.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The socket: it takes no more now, or its peer is gone.
    #[error("the socket takes no bytes")]
    Socket(#[source] io::Error),
    /// The file system has no pages that could be sent.
    #[error("the file system cannot send files; read them instead")]
    Refused,
    /// The file could not be read.
    #[error("the file could not be read")]
    File(#[source] StoreError),
}

/// Bytes between two extents that are fetched along with them: heads of records, and what is left of a page.
const GAP: u64 = 4096;

impl Extent {
    pub(crate) fn whole(block: Arc<OpenBlock>) -> Self {
        let (offset, len) = (block.start(), block.len());
        Extent { block, offset, len, cached: false }
    }

    pub(crate) fn block(&self) -> &Arc<OpenBlock> {
        &self.block
    }

    /// The part of it that starts `skip` bytes in and has `len` bytes; both are cut to what is there.
    pub(crate) fn part(&self, skip: u64, len: u64) -> Self {
        let skip = skip.min(self.len);
        let len = len.min(self.len - skip);
        Extent { offset: self.offset + skip, len, ..self.clone() }
    }

    /// Bytes still to be read.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The path of the file, for reports.
    pub fn path(&self) -> String {
        self.block.path()
    }

    /// Whether [`Extent::read_now`] can ever succeed on the file's file system.
    pub fn reads_without_waiting(&self) -> bool {
        self.block.foresight() != Foresight::Nothing
    }

    /// The inode of the file: on most file systems its order is the order on disk. No system call.
    pub(crate) fn inode(&self) -> u64 {
        self.block.file().opened().ino
    }

    /// Reads the next bytes if the page cache holds them; never waits for a disk.
    ///
    /// `None` means that it would have waited, or that nobody can tell: call [`Extent::read`] where waiting is
    /// allowed. May read less than `buf` holds. One system call, and one for the extent as a whole
    /// (`cachestat`): what is known not to be cached is not asked for, as even a read that must not wait
    /// would start the disk on it, and hold this thread while the disk's queue is full. On file systems that refuse
    /// `preadv2(RWF_NOWAIT)` a bare read of what is cached takes its place.
    pub fn read_now(&mut self, buf: &mut [u8]) -> Result<Option<usize>, StoreError> {
        let buf = clip(buf, self.len);
        let foresight = self.block.foresight();
        let cached = match foresight {
            Foresight::Nothing => Some(false),
            Foresight::Reads if self.cached => Some(true),
            // Where the read itself cannot tell, each piece is asked for: pages may go while a client takes its time.
            Foresight::Reads | Foresight::Pages => self.find_cached(buf.len() as u64),
        };
        let file = self.block.file();
        let read = match (cached, foresight) {
            (Some(true) | None, Foresight::Reads) => file.read_now(buf, self.offset),
            (Some(true), _) => file.read_at(buf, self.offset).map(Some),
            (Some(false) | None, _) => Ok(None),
        };
        match read {
            Ok(Some(n)) => self.consume(n, buf.len()).map(Some),
            Ok(None) => {
                self.cached = false;
                Ok(None)
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Asks whether the page cache holds all of the extent, or else its first `len` bytes.
    fn find_cached(&mut self, len: u64) -> Option<bool> {
        self.cached = self.block.file().is_cached(self.offset, self.len)?;
        if self.cached || len >= self.len {
            return Some(self.cached);
        }
        self.block.file().is_cached(self.offset, len)
    }

    /// Reads the next bytes, waiting for the disk. May read less than `buf` holds. One system call.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, StoreError> {
        let buf = clip(buf, self.len);
        let n = self.block.file().read_at(buf, self.offset).map_err(|e| self.failed(e))?;
        self.consume(n, buf.len())
    }

    /// Fills several buffers with the next bytes in one system call, waiting for the disk: one
    /// request to the device where one buffer after the other would make several.
    ///
    /// Buffers that hold more than [`Extent::len`] bytes together may be written to beyond them; the
    /// number returned never counts such bytes.
    pub fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, StoreError> {
        let left = usize::try_from(self.len).unwrap_or(usize::MAX);
        let wanted = bufs.iter().map(|b| b.len()).fold(0, usize::saturating_add).min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let n =
            self.block.file().read_vectored_at(bufs, self.offset).map_err(|e| self.failed(e))?;
        self.consume(n.min(left), wanted)
    }

    /// Reads all that is left into `out`, waiting for the disk.
    pub(crate) fn read_to_end(&mut self, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let start = out.len();
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        out.resize(start.saturating_add(len), 0);
        let mut at = start;
        while !self.is_empty() {
            let Some(rest) = out.get_mut(at..) else { break };
            at += self.read(rest)?;
        }
        Ok(())
    }

    /// Whether the next `len` bytes can be had without waiting for a disk, as far as the system can tell: one look at
    /// the page cache, and one read of the last byte, which may still be on its way from the disk. No I/O.
    pub fn is_cached(&self, len: u64) -> bool {
        let len = len.min(self.len);
        let (Some(last), file) = (len.checked_sub(1), self.block.file()) else { return true };
        match self.block.foresight() {
            Foresight::Nothing => false,
            _ if file.is_cached(self.offset, len) != Some(true) => false,
            Foresight::Pages => true,
            Foresight::Reads => matches!(file.read_now(&mut [0], self.offset + last), Ok(Some(1))),
        }
    }

    /// Cuts the first `len` bytes off, as an extent of their own.
    pub fn split_front(&mut self, len: u64) -> Extent {
        let front = self.part(0, len);
        *self = self.part(front.len, self.len);
        front
    }

    /// Sends the next bytes to a socket without taking them into the process: one `sendfile`. May send less. Waits for
    /// the disk if the page cache does not hold them: ask [`Extent::is_cached`] before.
    ///
    /// # Errors
    /// [`SendError::Socket`] when it takes no more (`WouldBlock`) or its peer is gone; [`SendError::Refused`] where the
    /// file system cannot do it: read and write instead; [`SendError::File`] when the bytes cannot be read.
    pub fn send_to(&mut self, socket: impl AsFd) -> Result<usize, SendError> {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        match self.block.file().send_to(socket, self.offset, len) {
            Ok(n) => self.consume(n, len).map_err(SendError::File),
            Err(error) => Err(match error.raw_os_error() {
                // EINVAL and ENOSYS: the file has no pages to send.
                Some(22 | 38) => SendError::Refused,
                // EIO and ESTALE: the disk or the server of the files.
                Some(5 | 116) => SendError::File(self.failed(error)),
                _ => SendError::Socket(error),
            }),
        }
    }

    /// Asks the kernel to bring the bytes into the page cache; does not wait. Best effort.
    pub fn will_need(&self) {
        self.block.file().will_need(self.offset, self.len);
    }

    /// The same for many, in the order of the disk as far as it is known: those that lie behind one another in a file are
    /// asked for together, since the disk would else do an operation for each.
    pub(crate) fn will_need_all(extents: &mut [Extent]) {
        extents.sort_by_key(|extent| (extent.inode(), extent.offset));
        let mut runs = extents.iter();
        let Some(mut first) = runs.next() else { return };
        let mut end = first.offset + first.len;
        for next in runs {
            let is_behind = next.inode() == first.inode()
                && next.offset >= end
                && next.offset - end <= GAP
                && next.block.file().opened() == first.block.file().opened();
            if !is_behind {
                first.block.file().will_need(first.offset, end - first.offset);
                first = next;
            }
            end = next.offset + next.len;
        }
        first.block.file().will_need(first.offset, end - first.offset);
    }

    /// Lets the kernel drop the bytes from the page cache. Best effort.
    pub fn dont_need(&self) {
        self.block.file().dont_need(self.offset, self.len);
    }

    fn consume(&mut self, n: usize, wanted: usize) -> Result<usize, StoreError> {
        if n == 0 && wanted > 0 {
            self.block.spoil();
            return Err(StoreError::Truncated {
                path: self.path(),
                expected: self.block.start() + self.block.len(),
                got: self.offset,
            });
        }
        self.offset += n as u64;
        self.len = self.len.saturating_sub(n as u64);
        Ok(n)
    }

    fn failed(&self, source: io::Error) -> StoreError {
        self.block.spoil();
        StoreError::Io { path: self.path(), source }
    }
}

fn clip(buf: &mut [u8], len: u64) -> &mut [u8] {
    let n = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
    // `n` is at most the length, so the split cannot fail.
    buf.split_at_mut(n).0
}
