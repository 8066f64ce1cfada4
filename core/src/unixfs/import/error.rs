//! What can go wrong when content is made into blocks.

use std::io;

use super::options::OptionsError;
use crate::error::StoreError;

/// Content could not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The options do not go together.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The content could not be read.
    #[error("reading the content failed")]
    Read(#[source] io::Error),
    /// The blocks could not be stored. Nothing more is taken in: what was stored before is in the
    /// store without anything above it.
    #[error("storing the blocks failed")]
    Store(#[from] StoreError),
    /// An earlier call failed in storing blocks, so that some are missing.
    #[error("an earlier block could not be stored; begin the import again")]
    Poisoned,
    /// The identity function was asked for, and a block is too long for it.
    #[error("a block of {0} bytes does not fit an identity CID, which holds {max}; use another hash function", max = super::options::MAX_INLINE)]
    TooLongForIdentity(usize),
    /// A node makes a block that nobody reads: a directory that was not to be sharded, names or a link's
    /// target of unheard-of length.
    #[error("a node makes a block of {len} bytes or more, and a block may have {max}; let directories be sharded, and shorten names", max = crate::block::MAX_BLOCK_LEN)]
    BlockTooLarge {
        /// The length that it has, or had when it was given up, in bytes.
        len: usize,
    },
    /// Names whose hashes are the same in every bit.
    #[error(
        "the names {first:?} and {second:?} have the same hash, so a sharded directory has no room for both; rename one"
    )]
    SameHash {
        /// One name, as text (bytes that are not UTF-8 are replaced).
        first: String,
        /// The other one.
        second: String,
    },
    /// Two entries want the same place.
    #[error("directory already has entry by that name: {0:?}")]
    AlreadyThere(String),
    /// A path that names no place in a tree.
    #[error("path {path:?} {reason}")]
    Path {
        /// The path, as text.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}
