//! What can go wrong in the mutable file system, in Kubo's words where Kubo has some.

use std::io;

use crate::block::Cid;
use crate::error::{ReadError, StoreError};
use crate::unixfs::import::OptionsError;

/// A change or a look was refused, or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MfsError {
    /// No entry of this name.
    #[error("file does not exist")]
    NotFound,
    /// A directory was to be made where something is.
    #[error("file already exists")]
    Exists,
    /// An entry was to be put where one is.
    #[error("directory already has entry by that name")]
    EntryExists,
    /// A path goes on below a file.
    #[error("cannot access {0}: Not a directory")]
    BelowAFile(String),
    /// A directory was expected.
    #[error("{0} is not a directory")]
    NotADirectory(String),
    /// A directory was expected on the way to one that was to be made.
    #[error("{0} was not a directory")]
    ParentIsAFile(String),
    /// A file was expected.
    #[error("{0} was not a file")]
    NotAFile(String),
    /// Only a file can be replaced by force.
    #[error("not a file: {0}")]
    ForcedOverADirectory(String),
    /// A directory was expected above a file that was to be replaced by force.
    #[error("not a directory: {0}")]
    ForcedBelowAFile(String),
    /// A directory was to be removed without saying so.
    #[error("path is a directory, use -r to remove directories")]
    IsADirectory,
    /// The root was to be removed.
    #[error("cannot delete root")]
    RemovesRoot,
    /// The root was to be made.
    #[error("cannot create directory '/': Already exists")]
    RootExists,
    /// The form of the root's CID is an option of the file system, not of a call.
    #[error(
        "cannot change CID format of the MFS root; use 'ipfs config Import.CidVersion' and 'ipfs config Import.HashFunction' instead"
    )]
    RootFormat,
    /// Only directories have a CID form to be changed.
    #[error("can only update directories")]
    OnlyDirectories,
    /// A name was expected at the end of the path.
    #[error("cannot create file with empty name")]
    NoName,
    /// A path without a letter.
    #[error("paths must not be empty")]
    EmptyPath,
    /// A path that does not begin at the root.
    #[error("paths must start with a leading slash")]
    RelativePath,
    /// A path that no tree has.
    #[error("a path of {0} bytes is longer than any that is looked up; shorten its names")]
    PathTooLong(usize),
    /// Kubo loses a directory that is moved below itself.
    #[error("cannot move {from} to {to}, which lies in it; choose another place")]
    IntoItself {
        /// What was to be moved.
        from: String,
        /// Where to.
        to: String,
    },
    /// Reading begins behind the end.
    #[error("offset was past end of file ({offset} > {size})")]
    PastTheEnd {
        /// Where reading was to begin.
        offset: u64,
        /// The size of the file in bytes.
        size: u64,
    },
    /// A hole that would cost more blocks than anybody means.
    #[error("a write at {offset} leaves a hole of {hole} bytes, more than the {max} that are filled with zeros at once; write what comes before it first", max = super::file::MAX_HOLE)]
    Hole {
        /// Where the write was to begin.
        offset: u64,
        /// The bytes between the file's end and there.
        hole: u64,
    },
    /// A symbolic link was to be read or written as a file.
    #[error("symlinks not yet supported")]
    Symlink,
    /// A node that is no UnixFS was to be hung into the tree.
    #[error("cp: source must be a valid UnixFS (dag-pb or raw codec)")]
    NotUnixFs(#[source] Option<Box<ReadError>>),
    /// A path of content was expected.
    #[error(transparent)]
    Path(#[from] crate::path::PathError),
    /// Another step of the same call failed; the text says which.
    #[error("{step}")]
    Step {
        /// The step, in Kubo's words.
        step: String,
        /// Why it failed.
        source: Box<MfsError>,
    },
    /// The form of CIDs that was asked for.
    #[error(transparent)]
    Format(#[from] OptionsError),
    /// The node that is kept as the root is no directory.
    #[error("the root {0} of the file system is no directory; choose another root")]
    RootIsNoDirectory(Cid),
    /// A directory's names leave no room for one more.
    #[error("the directory has no room for {0:?}: its hash is that of another name")]
    SameHash(String),
    /// A directory that would be longer than any block may be.
    #[error(
        "the directory would make a block of {0} bytes, more than a block may have; let directories be sharded"
    )]
    DirectoryTooLarge(usize),
    /// Nodes hang deeper than any writer makes them.
    #[error("block {0} hangs more than {max} levels deep in its file", max = super::file::MAX_DEPTH)]
    TooDeep(Cid),
    /// The caller does not want to know any more.
    #[error("context canceled")]
    Cancelled,
    /// A node could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Blocks could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content could not be read.
    #[error("reading the content failed")]
    Content(#[source] io::Error),
    /// The root could not be kept.
    #[error("keeping the root of the file system failed")]
    Root(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl MfsError {
    /// The sentence of this error and of those below it, joined as Kubo joins them.
    pub fn sentence(&self) -> String {
        match self {
            MfsError::Step { step, source } => format!("{step}: {}", source.sentence()),
            MfsError::NotUnixFs(Some(why)) => format!("{self}: {why}"),
            other => other.to_string(),
        }
    }

    pub(super) fn at(self, step: impl Into<String>) -> MfsError {
        MfsError::Step { step: step.into(), source: Box::new(self) }
    }

    pub(super) fn undecodable(cid: &Cid, reason: impl std::fmt::Display) -> MfsError {
        MfsError::Read(ReadError::undecodable(cid, reason))
    }
}
