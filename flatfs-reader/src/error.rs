//! What can go wrong, sorted by who has to act: the operator of the archive, the one look-up, or nobody yet.
//!
//! `Display` prints one layer, `source()` leads to the next. Nobody needs to match on text.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::shard::ShardFnError;
use crate::watch::MAX_SHARDING_LEN;

/// Why the tree, or one block of it, could not be read. A block that is not held is no error but `None`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path given to `open` is no flatfs tree, or none that this process can read.
    #[error("archive {}: this is not a readable flatfs tree", path.display())]
    NotAnArchive {
        /// The path, made absolute.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        reason: RootFault,
    },
    /// The tree that was opened is not there now: unmounted, removed, or being swapped. Says nothing about any block.
    /// Every later call looks again, so it ends by itself when the tree is back.
    #[error("archive {}: not available now; it is looked for again on every request", root.display())]
    Unavailable {
        /// The root of the tree.
        root: PathBuf,
        /// What was found instead.
        #[source]
        reason: RootFault,
    },
    /// This one block cannot be read; the tree as a whole is there.
    #[error("block file {}: {fault}", path.display())]
    Block {
        /// The file that holds the block, or should.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
        /// What the system said, when it was asked.
        source: Option<io::Error>,
    },
    /// The process or the machine has no file descriptor left. Says nothing about any block.
    #[error(
        "no file descriptor left; raise the limit of open files (LimitNOFILE) or serve fewer requests at once"
    )]
    OutOfFiles {
        /// What the system said.
        source: io::Error,
    },
}

/// What is wrong with the root of a tree, that is with its `SHARDING` file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootFault {
    /// There is no `SHARDING`. An empty mount point looks like this.
    #[error(
        "there is no SHARDING file in it; expected the \"blocks\" directory of a Kubo repository, mounted"
    )]
    Missing,
    /// `SHARDING` cannot be read.
    #[error("SHARDING cannot be read")]
    Unreadable(#[source] io::Error),
    /// `SHARDING` is a directory, a pipe or the like.
    #[error("SHARDING is {found}, expected a regular file")]
    NotAFile {
        /// What it is.
        found: FileKind,
    },
    /// `SHARDING` is larger than any that go-ds-flatfs writes (37 bytes by default).
    #[error("SHARDING is longer than {MAX_SHARDING_LEN} bytes, expected one short line")]
    TooLong,
    /// `SHARDING` does not say how keys become directories.
    #[error("SHARDING cannot be understood")]
    Malformed(#[from] ShardFnError),
    /// `SHARDING` was another file at every look within one look-up.
    #[error("SHARDING was replaced again and again while one block was looked up")]
    Restless,
}

/// What is wrong with one block's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Something other than a regular file lies under the block's name.
    NotAFile {
        /// What lies there.
        found: FileKind,
    },
    /// The key is too long for a file name ([`MAX_KEY_LEN`](crate::MAX_KEY_LEN)), or the whole path for the system.
    NameTooLong,
    /// This process may not read the file.
    Denied,
    /// The system failed to open or to read the file; the error's source says how.
    Unreadable,
    /// The block is longer than the caller allowed.
    TooLong {
        /// The file's length in bytes.
        len: u64,
        /// The caller's bound in bytes.
        max: u64,
    },
    /// The file ended early: it was truncated while it was read.
    Truncated {
        /// Its length in bytes when it was opened.
        expected: u64,
        /// The bytes that were there.
        got: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotAFile { found } => write!(f, "is {found}, expected a regular file"),
            Fault::NameTooLong => write!(
                f,
                "is too long a name, expected a key of at most {} bytes",
                crate::MAX_KEY_LEN
            ),
            Fault::Denied => write!(
                f,
                "may not be read by this user; Kubo writes some block files with mode 0600, so run as their owner"
            ),
            Fault::Unreadable => write!(f, "cannot be read; check the disk under it"),
            Fault::TooLong { len, max } => {
                write!(f, "is {len} bytes long, expected at most {max}")
            }
            Fault::Truncated { expected, got } => write!(
                f,
                "ended after {got} bytes, expected {expected}; it was truncated while it was read"
            ),
        }
    }
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// Something this crate has no word for.
    Unknown,
}

impl FileKind {
    /// The kind in a `stat`'s mode.
    pub(crate) fn of(stat: &rustix::fs::Stat) -> FileKind {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Link,
            FileType::Fifo => FileKind::Pipe,
            FileType::Socket => FileKind::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => FileKind::Device,
            FileType::Unknown => FileKind::Unknown,
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Regular => "a regular file",
            FileKind::Directory => "a directory",
            FileKind::Link => "a symbolic link",
            FileKind::Pipe => "a named pipe",
            FileKind::Socket => "a socket",
            FileKind::Device => "a device",
            FileKind::Unknown => "of an unknown kind",
        })
    }
}

/// Too many open files, in the process or in the machine: says nothing about the file that was asked for.
pub(crate) fn is_out_of_files(errno: Errno) -> bool {
    errno == Errno::MFILE || errno == Errno::NFILE
}
