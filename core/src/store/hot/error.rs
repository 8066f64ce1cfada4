//! What can go wrong with a hot store as a whole.

use std::path::{Path, PathBuf};

/// A hot store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HotError {
    /// Another process (or another part of this one) has it open.
    #[error(
        "hot store {path} is in use by another process; stop that one, or give this one a folder of its own"
    )]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// A newer coldfront wrote it.
    #[error(
        "hot store {path} has format {found}, this program knows formats up to {known}; use the newer program that wrote it"
    )]
    Newer {
        /// The store's folder.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest that this program reads.
        known: u32,
    },
    /// An older coldfront wrote it, in a format that is no longer read.
    #[error(
        "hot store {path} has format {found}, which this program no longer reads; export it with the program that wrote it"
    )]
    Older {
        /// The store's folder.
        path: PathBuf,
        /// Its format version.
        found: u32,
    },
    /// The folder holds something, and not a hot store.
    #[error("{path} holds {what}, not a hot store; {way_out}")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What it looks like.
        what: &'static str,
        /// What to do about it.
        way_out: &'static str,
    },
    /// Its payload lies where it was put when the store was made.
    #[error(
        "hot store {path} was made with its payload beside its index; name no other folder for it, or import into a new store"
    )]
    PayloadInside {
        /// The store's folder.
        path: PathBuf,
    },
    /// The folder of its payload is not there, or is another's.
    #[error(
        "hot store {path}: {payload} does not hold its payload; mount the disk that does, or name the folder that it has moved to"
    )]
    PayloadAway {
        /// The store's folder.
        path: PathBuf,
        /// Where it should be.
        payload: PathBuf,
    },
    /// There is no store, and none was to be made.
    #[error("there is no hot store at {path}; check the path, or let one be created")]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// Something in it contradicts itself.
    #[error(
        "hot store {path} is damaged: {what}; restore it from a copy, or move its folder away and import again"
    )]
    Damaged {
        /// The store's folder.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// No space is left on the disk. Reading goes on, and writing does so some five seconds after there is room again:
    /// RocksDB looks for it itself.
    #[error(
        "hot store {path}: the disk is full; reads go on, and writes will by themselves when there is room"
    )]
    Full {
        /// The store's folder.
        path: PathBuf,
        /// What RocksDB said.
        source: EngineError,
    },
    /// What is free on the disk is kept for what frees space. Reading, unpinning and collecting go on.
    #[error(
        "hot store {path}: {free} bytes are free on its disk, and the last {reserve} are kept for collecting garbage; unpin and collect, or make room"
    )]
    Reserve {
        /// The store's folder.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are kept ([`HotOptions::reserve`](super::HotOptions::reserve)).
        reserve: u64,
    },
    /// Giving space back takes more room first than there is.
    #[error(
        "hot store {path}: giving space back rewrites up to {needed} bytes first, and {free} are free on its disk; make room, or collect more garbage"
    )]
    NoRoomToReclaim {
        /// The store's folder.
        path: PathBuf,
        /// Bytes that may be written before any is freed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The disk takes no writes any more: it was mounted so, or the system made it so after an error. RocksDB does not go on
    /// by itself.
    #[error(
        "hot store {path}: its disk is read-only; reads go on; make the disk writable, and open the store again"
    )]
    ReadOnly {
        /// The store's folder.
        path: PathBuf,
        /// What RocksDB said.
        source: EngineError,
    },
    /// Something could not be written. RocksDB takes no more writes then, since it does not know what of it is there.
    #[error(
        "hot store {path}: {doing} failed; reads go on; check the disk below it, and open the store again"
    )]
    WriteFailed {
        /// The store's folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What RocksDB said.
        source: EngineError,
    },
    /// RocksDB failed.
    #[error("hot store {path}: {doing} failed; check the disk below it")]
    Engine {
        /// The store's folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What RocksDB said.
        source: EngineError,
    },
    /// A file of the store's own could not be read or written.
    #[error("hot store {path}: {doing} failed")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A collection is running already.
    #[error("hot store {path} is being collected already; wait for that collection to end")]
    Collecting {
        /// The store's folder.
        path: PathBuf,
    },
    /// The memory it was given does not suffice.
    #[error("a hot store needs at least {least} bytes of memory, not {given}")]
    TooLittleMemory {
        /// What was given, in bytes.
        given: u64,
        /// The least, in bytes.
        least: u64,
    },
}

/// What RocksDB said, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(pub(super) String);

impl HotError {
    /// Whether more room on the disk is what is missing.
    pub fn is_full(&self) -> bool {
        matches!(
            self,
            HotError::Full { .. } | HotError::Reserve { .. } | HotError::NoRoomToReclaim { .. }
        )
    }

    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> HotError {
        let path = path.to_owned();
        move |source| HotError::Io { path, doing, source }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> HotError {
        HotError::Damaged { path: path.to_owned(), what: what.into() }
    }

    /// RocksDB's error, sorted by what can be done about it.
    pub(super) fn engine(path: &Path, doing: &'static str, error: &rocksdb::Error) -> HotError {
        let (path, text) = (path.to_owned(), error.to_string());
        // RocksDB passes on what the system said as text and nothing else, so text is all there is to tell
        // a full disk or a read-only one by. The words are those of `strerror` and of its own sub-code.
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        let is_full = says(&["No space left on device", "NoSpace"]);
        let is_read_only = says(&["Read-only file system"]);
        let source = EngineError(text);
        match error.kind() {
            _ if is_full => HotError::Full { path, source },
            _ if is_read_only => HotError::ReadOnly { path, source },
            rocksdb::ErrorKind::Corruption => HotError::Damaged { path, what: source.0 },
            _ if WRITING.contains(&doing) => HotError::WriteFailed { path, doing, source },
            _ => HotError::Engine { path, doing, source },
        }
    }
}

/// What is being done when something is written.
const WRITING: [&str; 3] = ["writing", "flushing", "syncing the log"];
