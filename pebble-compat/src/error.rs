//! What can go wrong, sorted by what an operator does about it: nothing to read here, a format that is refused by name,
//! a file that is damaged at a place, a system that does not read.
//!
//! `Display` prints one layer, `source()` leads to the next. Nobody needs to match on text.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store, or one part of it, could not be read. A key that is not held is no error but `None`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory holds none of the stores that this crate reads.
    #[error(
        "{}: holds no Pebble, LevelDB or Badger store; expected a directory such as \"datastore\", \"pebbleds\" or \
         \"badgerds\" of a Kubo repository", path.display()
    )]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The store uses something that this crate does not read. Nothing was guessed.
    #[error("{}: {feature}, which is not supported", path.display())]
    Unsupported {
        /// The file or directory that says so.
        path: PathBuf,
        /// What it is.
        feature: Feature,
    },
    /// The bytes are not what the format asks for.
    #[error("{}: damaged at byte {offset}: {fault}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file the damaged part begins.
        offset: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The newest journal was not closed, as after a crash: it ends, or goes on with zeros or with what its file held before,
    /// in the middle of a write or behind one. What stands before that place is read, what was being written is lost. Only
    /// ever found in [`Store::notes`](crate::Store::notes).
    #[error("{}: was not closed; it is read up to byte {offset}, where a crash ended it", path.display())]
    TornTail {
        /// The journal, or the manifest.
        path: PathBuf,
        /// Where what was written ends.
        offset: u64,
    },
    /// What the journals hold does not fit into the memory set aside for it.
    #[error(
        "{}: the journals hold more than {max} bytes; start and stop the program that wrote the store once, so that it \
         moves them into tables", path.display()
    )]
    JournalTooLarge {
        /// The journal with which it became too much.
        path: PathBuf,
        /// The bound in bytes.
        max: usize,
    },
    /// The system failed to open, read or list something.
    #[error("{}: cannot be read", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What is wrong with a part of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The checksum is another one than that of the bytes.
    #[error("the checksum of the {0} does not match")]
    Checksum(&'static str),
    /// A structure does not follow its format.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// The file ends before something that it should hold.
    #[error("the file ends inside the {0}")]
    Cut(&'static str),
    /// The file has another length than the store's manifest says.
    #[error("the file is {found} bytes long, the manifest says {expected}")]
    Size {
        /// The length in the manifest.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// Keys do not ascend.
    #[error("a key is not greater than the one before it")]
    Order,
    /// The file holds another number of entries than it says.
    #[error("{found} entries were found, the file says {expected}")]
    Count {
        /// The number that the file gives.
        expected: u64,
        /// The number that was read.
        found: u64,
    },
    /// Something is larger than this crate will hold in memory.
    #[error("the {what} is {len} bytes long, expected at most {max}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
        /// The bound in bytes.
        max: u64,
    },
    /// A file that the store needs is not there.
    #[error("the file is missing")]
    Missing,
    /// Something other than a regular file lies under the name.
    #[error("this is not a regular file")]
    NotAFile,
}

/// Something a store may use that this crate refuses to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Feature {
    /// A format major version of Pebble above the newest known one.
    #[error("Pebble format major version {found} (known up to {max})")]
    FormatVersion {
        /// The version found.
        found: u64,
        /// The newest known one.
        max: u64,
    },
    /// Keys are in an order other than that of their bytes.
    #[error("the comparer {0:?}")]
    Comparer(String),
    /// A RocksDB database, whose files have the same names.
    #[error("a RocksDB database")]
    RocksDb,
    /// A manifest of another version of Badger than 1.
    #[error("a Badger manifest of version {0} (known: 4, of Badger 1)")]
    BadgerVersion(u32),
    /// A record of the manifest that has no known meaning here (blob files, virtual and remote tables, range keys).
    #[error("manifest record {0} (blob files, virtual or remote tables, range keys)")]
    ManifestTag(u64),
    /// A property of a table in the manifest that must not be ignored.
    #[error("table property {0} in the manifest (virtual or remote tables, blob references)")]
    TableTag(u64),
    /// A table format that is not known, or not in this kind of store.
    #[error("table format {0}")]
    TableFormat(String),
    /// A kind of entry other than set and delete (merge, single delete, range deletion, range keys).
    #[error("an entry of kind {0} (merge, single delete, range deletion or range key)")]
    EntryKind(u8),
    /// A compression other than none and snappy.
    #[error("compression {0} (known: 0 none, 1 snappy)")]
    Compression(u8),
    /// A checksum other than CRC-32C.
    #[error("checksum type {0} (known: 1, CRC-32C)")]
    ChecksumType(u8),
    /// Range deletions or range keys in a table.
    #[error("range deletions or range keys")]
    RangeEntries,
    /// Values that lie apart from their keys, in value blocks or blob files.
    #[error("values in value blocks or blob files")]
    ExternalValues,
    /// A key schema other than the default one.
    #[error("the key schema {0:?}")]
    KeySchema(String),
    /// Journals in another directory.
    #[error("journals in another directory ({0:?})")]
    WalElsewhere(String),
    /// Journals that fail over between two directories.
    #[error("journals with failover")]
    WalFailover,
    /// Attributes of a table footer that are not known.
    #[error("table attributes {0:#x}")]
    Attributes(u32),
    /// Two stores in one directory: Pebble of Kubo 0.35 to 0.41 could lay a new one over one of Kubo 0.31 to 0.33.
    #[error(
        "two stores in one directory, one named by CURRENT and one by markers (Kubo 0.35 to 0.41 over a store of 0.31 to 0.33)"
    )]
    TwoStores,
    /// Badger entries that are to be merged.
    #[error("entries to be merged")]
    MergeEntries,
}

/// Most notes that a store keeps of what was passed over at open. Behind so many places more say nothing new.
pub const MAX_NOTES: usize = 1000;

/// What was met at open and passed over, in the order it was met.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<Error>);

impl Notes {
    /// Adds a note, while there is room.
    pub(crate) fn push(&mut self, note: Error) {
        if self.0.len() < MAX_NOTES {
            self.0.push(note);
        }
    }

    pub(crate) fn as_slice(&self) -> &[Error] {
        &self.0
    }
}

/// Why bytes cannot be taken apart: broken, or of a kind that is refused. Says nothing of the file they are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    Fault(Fault),
    Feature(Feature),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::Fault(fault)
    }
}

impl From<Feature> for Trouble {
    fn from(feature: Feature) -> Self {
        Trouble::Feature(feature)
    }
}

impl Trouble {
    /// The error for bytes from `path` that begin at `offset`.
    pub(crate) fn at(self, path: &Path, offset: u64) -> Error {
        let path = path.to_owned();
        match self {
            Trouble::Fault(fault) => Error::Damaged { path, offset, fault },
            Trouble::Feature(feature) => Error::Unsupported { path, feature },
        }
    }
}

impl Fault {
    /// The error for this fault at `offset` of `path`.
    pub(crate) fn at(self, path: &Path, offset: u64) -> Error {
        Trouble::Fault(self).at(path, offset)
    }
}

impl Feature {
    /// The error for this feature in `path`.
    pub(crate) fn of(self, path: &Path) -> Error {
        Trouble::Feature(self).at(path, 0)
    }
}
