//! Blocks whose files are open.
//!
//! Owns the bound on open files and what is learned about a block while its file is open: where a
//! leaf's bytes lie in it, and whether it was verified. A viewer who reads a leaf in several pieces,
//! or many viewers of one segment, pay for one open. Must not know tiers or policies.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use coldfront_flatfs::{BlockFile, Foresight};
use quick_cache::sync::Cache;

use crate::block::Cid;
use crate::unixfs::dag_pb::Head;

/// A block in an open file: the whole of it, or a part of a file that holds many.
pub(crate) struct OpenBlock {
    cid: Cid,
    file: Arc<BlockFile>,
    /// Where the block begins in the file.
    start: u64,
    len: u64,
    foresight: Foresight,
    /// What the first bytes of a dag-pb block say about it; decided once.
    head: OnceLock<Head>,
    /// The state of the file when its bytes were found to hash to the CID; 0 when they never were.
    verified: AtomicU64,
    /// Seconds on the clock of [`OpenFiles`] when it was last asked for.
    used: AtomicU32,
    /// A read of it failed: whoever asks next opens the file anew.
    spoiled: AtomicBool,
}

impl OpenBlock {
    /// A block that is a file of its own.
    pub(crate) fn new(cid: &Cid, file: BlockFile, foresight: Foresight) -> Self {
        let len = file.len();
        Self::within(cid, Arc::new(file), 0..len, foresight)
    }

    /// A block that is a part of a file.
    pub(crate) fn within(
        cid: &Cid,
        file: Arc<BlockFile>,
        range: std::ops::Range<u64>,
        foresight: Foresight,
    ) -> Self {
        OpenBlock {
            cid: *cid,
            file,
            start: range.start,
            len: range.end.saturating_sub(range.start),
            foresight,
            head: OnceLock::new(),
            verified: AtomicU64::new(0),
            used: AtomicU32::new(0),
            spoiled: AtomicBool::new(false),
        }
    }

    /// The CID it was first asked for by.
    pub(crate) fn cid(&self) -> &Cid {
        &self.cid
    }

    pub(crate) fn file(&self) -> &BlockFile {
        &self.file
    }

    /// Offset of its first byte in the file.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn foresight(&self) -> Foresight {
        self.foresight
    }

    pub(crate) fn path(&self) -> String {
        self.file.path().display().to_string()
    }

    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.get()
    }

    pub(crate) fn set_head(&self, head: Head) -> &Head {
        self.head.get_or_init(|| head)
    }

    pub(crate) fn verified_as(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    pub(crate) fn set_verified(&self, stamp: u64) {
        self.verified.store(stamp, Ordering::Relaxed);
    }
}

impl OpenBlock {
    /// Remembers that a read of the file failed. It may have been replaced by a good one since it was
    /// opened, and while it is held open nobody would notice.
    pub(crate) fn spoil(&self) {
        self.spoiled.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for OpenBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBlock")
            .field("path", &self.file.path())
            .field("start", &self.start)
            .field("len", &self.len)
            .finish()
    }
}

/// A bounded cache of open files, by multihash.
pub(crate) struct OpenFiles {
    files: Cache<Box<[u8]>, Arc<OpenBlock>>,
    start: Instant,
}

impl OpenFiles {
    /// At most `capacity` files are held open here; those in use elsewhere stay open until they are
    /// dropped there.
    pub(crate) fn new(capacity: usize) -> Self {
        OpenFiles { files: Cache::new(capacity), start: Instant::now() }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<OpenBlock>> {
        let block = self.files.get(key)?;
        if block.spoiled.load(Ordering::Relaxed) {
            self.files.remove(key);
            return None;
        }
        block.used.store(self.now(), Ordering::Relaxed);
        Some(block)
    }

    pub(crate) fn insert(&self, key: &[u8], block: Arc<OpenBlock>) {
        block.used.store(self.now(), Ordering::Relaxed);
        self.files.insert(key.into(), block);
    }

    pub(crate) fn remove(&self, key: &[u8]) {
        self.files.remove(key);
    }

    /// Closes what nobody asked for in the last `seconds`, so that deleted blocks free their space
    /// and an archive can be unmounted. Walks the cache once; no system call but `close`.
    pub(crate) fn close_idle(&self, seconds: u32) {
        let now = self.now();
        self.files
            .retain(|_, block| now.saturating_sub(block.used.load(Ordering::Relaxed)) < seconds);
    }

    /// Closes everything: the disk below went away, or may be another one now.
    pub(crate) fn clear(&self) {
        self.files.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    fn now(&self) -> u32 {
        u32::try_from(self.start.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}

impl std::fmt::Debug for OpenFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFiles").field("open", &self.len()).finish()
    }
}
