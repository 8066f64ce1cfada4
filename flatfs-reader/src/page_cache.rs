//! How much of an open file the page cache holds.
//!
//! Owns what a file system can tell about that, and one system call that no safe library offers: `cachestat(2)` (Linux 6.5). The only file of this crate with
//! `unsafe`. Must not know blocks or paths.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd as _;

use rustix::io::Errno;

use crate::block_file::read_nowait;

/// The call's number, the same on every architecture that Rust's standard library supports on Linux
/// (`include/uapi/asm-generic/unistd.h`).
const CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range` of `linux/mman.h`.
#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

/// `struct cachestat` of `linux/mman.h`: numbers of pages.
#[repr(C)]
#[derive(Default)]
struct Pages {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// What a file system can tell before a read: whether it would have to wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Foresight {
    /// It answers reads that must not wait (`preadv2` with `RWF_NOWAIT`): ext4, XFS, Btrfs and their like.
    Reads,
    /// It refuses those, but its files lie in the kernel's page cache, and the kernel tells which pages are there
    /// (`cachestat`, Linux 6.5): tmpfs, overlays, most of FUSE.
    Pages,
    /// Nothing: it caches by itself (ZFS), or the kernel is older. Every read may wait.
    Nothing,
}

/// What the file system of a file can tell. Tried on its first byte, which must have been read just before, so that its
/// page is cached where there is any.
pub(crate) fn foresight(file: &File) -> Foresight {
    // "Not in memory" is an answer too.
    if matches!(read_nowait(file, &mut [0; 1], 0), Ok(_) | Err(Errno::AGAIN)) {
        return Foresight::Reads;
    }
    match holds(file, 0, 1) {
        Some(true) => Foresight::Pages,
        Some(false) | None => Foresight::Nothing,
    }
}

/// Whether the page cache holds all of a range of any file; see [`BlockFile::is_cached`](crate::BlockFile::is_cached).
#[must_use]
pub fn holds(file: &File, offset: u64, len: u64) -> Option<bool> {
    let pages = pages_of(offset, len)?;
    cached_pages(file, offset, len).map(|cached| cached == pages)
}

/// The number of pages of `len` bytes from `offset` on that the page cache holds, those included that are being read just
/// now. One `cachestat`, no I/O. `None` when the kernel does not say: it is older, or a sandbox forbids the call.
fn cached_pages(file: &File, offset: u64, len: u64) -> Option<u64> {
    let range = Range { offset, len };
    let mut pages = Pages::default();
    // SAFETY: the kernel reads one `struct cachestat_range` and writes one `struct cachestat`; both have the layout of
    // its header (`repr(C)`, 64-bit fields only), are owned by this frame and outlive the call. The descriptor is open as
    // long as `file` is borrowed. A kernel without the call touches nothing and answers ENOSYS.
    let answer = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            &raw const range,
            &raw mut pages,
            0 as libc::c_uint,
        )
    };
    (answer == 0).then_some(pages.cached)
}

/// Pages that a range touches; `None` for one that no file can have.
fn pages_of(offset: u64, len: u64) -> Option<u64> {
    let page = rustix::param::page_size() as u64;
    Some(offset.checked_add(len)?.div_ceil(page) - offset / page)
}
