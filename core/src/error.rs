//! What can go wrong, by what the caller can do about it.
//!
//! A store answers `None` for what it does not hold; inside a DAG that is [`ReadError::Missing`].
//! Nothing here is ever matched by text: the edge turns the variants into its own protocol once.

use crate::block::Cid;

/// A store could not answer for one block, or not at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The bytes held under a CID do not hash to it (or are shorter or longer than its parent says).
    #[error(
        "block {cid} in {place} is corrupt: its bytes do not hash to its CID; restore the file or remove it"
    )]
    Corrupt {
        /// The block that was asked for.
        cid: Cid,
        /// The file or tier that holds the bad copy.
        place: String,
    },
    /// The hash function is not on Kubo's list, so nothing can be said about the bytes. No fault of the
    /// copy: it is what [`ReadError::UnsupportedCodec`] is for a codec.
    #[error(
        "block {cid} uses hash function 0x{code:x}, which cannot be verified; serve it with verification off, or not at all"
    )]
    UnknownHash {
        /// The block that was asked for.
        cid: Cid,
        /// The multihash code.
        code: u64,
    },
    /// A block that must be read as a whole is longer than any block may be.
    #[error("block {cid} in {place} has {len} bytes, more than the {max} a block may have to be read as a whole", max = crate::block::MAX_BLOCK_LEN)]
    TooLarge {
        /// The block that was asked for.
        cid: Cid,
        /// The file or tier that holds it.
        place: String,
        /// Its length in bytes.
        len: u64,
    },
    /// The archive, or the file of this block, failed.
    #[error(transparent)]
    Archive(#[from] coldfront_flatfs::Error),
    /// A CAR file cannot serve as a tier.
    #[error("the CAR file {path} cannot be used")]
    Car {
        /// The file.
        path: String,
        /// What is wrong with it or its index.
        source: Box<crate::car::CarError>,
    },
    /// A CAR file is not what it was when it was opened.
    #[error("the CAR file {path} was changed while it was open; open it again")]
    CarChanged {
        /// The file.
        path: String,
    },
    /// The index of a CAR file cannot be read or made.
    #[error(
        "the index {path} of a CAR file cannot be read or written; give it a place that can be written"
    )]
    CarIndex {
        /// The index.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The hot store failed.
    #[cfg(feature = "hot")]
    #[error(transparent)]
    Hot(#[from] crate::store::hot::HotError),
    /// A stopped repository cannot serve as a tier.
    #[cfg(feature = "kubo")]
    #[error("the repository {path} cannot be served")]
    Repository {
        /// The repository.
        path: String,
        /// What is in the way.
        source: Box<crate::kubo::RepositoryError>,
    },
    /// A store of a stopped repository failed to answer for one block.
    #[cfg(feature = "kubo")]
    #[error("a block in {place} cannot be read")]
    Pairs {
        /// The repository.
        place: String,
        /// What is wrong with its store.
        source: Box<coldfront_pebble::Error>,
    },
    /// Reading an open file failed.
    #[error("reading {path} failed; check the disk below it")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file ended before the length it had when it was opened.
    #[error("{path} was cut to {got} bytes while it was read, expected {expected}")]
    Truncated {
        /// The file.
        path: String,
        /// The length at open.
        expected: u64,
        /// Where it ended.
        got: u64,
    },
}

impl StoreError {
    /// The store as a whole does not answer (unmounted, swapped out, out of file handles): try again
    /// later. `false` means that this block alone is affected.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            StoreError::Archive(
                coldfront_flatfs::Error::Unavailable { .. }
                    | coldfront_flatfs::Error::OutOfFiles { .. }
            )
        )
    }

    /// Nothing can be written since the disk is full; reading goes on. In HTTP: 507.
    pub fn is_full(&self) -> bool {
        #[cfg(feature = "hot")]
        if let StoreError::Hot(error) = self {
            return error.is_full();
        }
        false
    }

    /// Whether it means that a copy of a block is bad. An archive that is away is no fault of a block, and
    /// of a hash function that nobody here computes nothing can be said.
    pub(crate) fn is_fault(&self) -> bool {
        !self.is_unavailable() && !matches!(self, StoreError::UnknownHash { .. })
    }

    /// The process has no file handle left.
    pub(crate) fn is_out_of_files(&self) -> bool {
        matches!(self, StoreError::Archive(coldfront_flatfs::Error::OutOfFiles { .. }))
    }
}

/// A path could not be resolved, or a file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No tier holds this block.
    #[error("block {0} is not held here")]
    Missing(Cid),
    /// A directory has no entry of this name.
    #[error("no link named \"{name}\" under {dir}")]
    NoLink {
        /// The name asked for, as text (bytes that are not UTF-8 are replaced).
        name: String,
        /// The directory that was searched.
        dir: Cid,
    },
    /// A name of a directory leads to nothing that has an address here: its link holds no CID, or one whose
    /// digest is longer than the 128 bytes that Kubo allows. Other names are not affected.
    #[error("the link named \"{}\" under {dir} cannot be followed: {reason}", String::from_utf8_lossy(.name))]
    BadLink {
        /// The name, as bytes: it may not be UTF-8.
        name: Box<[u8]>,
        /// The directory, or the shard of one, that holds the link.
        dir: Cid,
        /// What is wrong with the link.
        reason: Box<str>,
    },
    /// A path goes on below something that is not a directory.
    #[error("{0} is not a directory, so nothing lies below it")]
    NotADirectory(Cid),
    /// A file was expected.
    #[error("{0} is not a file")]
    NotAFile(Cid),
    /// A node contradicts itself or its parent.
    #[error("block {cid} cannot be decoded: {reason}")]
    Undecodable {
        /// The node.
        cid: Cid,
        /// What is wrong with it.
        reason: String,
    },
    /// The block is held and sound, but nothing here reads its codec as a file or directory.
    #[error("block {cid} has codec 0x{codec:x}, which is not read as files and directories")]
    UnsupportedCodec {
        /// The block.
        cid: Cid,
        /// Its multicodec.
        codec: u64,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReadError {
    pub(crate) fn undecodable(cid: &Cid, reason: impl std::fmt::Display) -> Self {
        ReadError::Undecodable { cid: *cid, reason: reason.to_string() }
    }
}
