//! What can be wrong with a CAR, and where.

use std::io;

use crate::block::MAX_BLOCK_LEN;
use crate::error::StoreError;

/// A CAR could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// Reading failed.
    #[error("reading the CAR failed at byte {at}")]
    Read {
        /// Bytes read before.
        at: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed.
    #[error("writing the CAR failed")]
    Write(#[source] io::Error),
    /// The bytes are not what a CAR has in this place.
    #[error("at byte {at} of the CAR: {fault}")]
    Format {
        /// Offset from the start of the stream, in bytes.
        at: u64,
        /// What is wrong there.
        fault: CarFault,
    },
    /// A block does not hash to its CID, or nobody can tell.
    #[error("the block at byte {at} of the CAR is not what its CID says")]
    Block {
        /// Offset of its section.
        at: u64,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The blocks could not be stored.
    #[error("storing the blocks of the CAR failed")]
    Store(#[from] StoreError),
}

/// What can be wrong with the bytes of a CAR.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CarFault {
    /// It begins with something else.
    #[error("no CAR header; is this a CAR file?")]
    NotACar,
    /// A version that is not known.
    #[error("CAR version {0}, expected 1 or 2")]
    Version(u64),
    /// A header that is too long to be believed.
    #[error("a header of {0} bytes, expected {max} at most", max = super::MAX_HEADER_LEN)]
    HeaderTooLong(u64),
    /// The offsets of a version 2 that point to nowhere.
    #[error(
        "the CARv2 header says that the data lie at {offset} with {len} bytes, which cannot be"
    )]
    Payload {
        /// Where the data are said to begin.
        offset: u64,
        /// Their length.
        len: u64,
    },
    /// The stream ends inside a section.
    #[error("the CAR ends inside a section of {0} bytes; was it cut short?")]
    Cut(u64),
    /// A length that is no number, or no sensible one.
    #[error("the length of a section is no varint")]
    Length,
    /// A section without bytes. (Some writers fill up with zeros; the specification has no such thing.)
    #[error("an empty section; is the file filled up with zeros?")]
    Empty,
    /// A section longer than any block may be.
    #[error("a section of {0} bytes, more than a block of {MAX_BLOCK_LEN} and its CID")]
    TooLong(u64),
    /// A section that begins with no CID.
    #[error("a section without a CID in front")]
    NoCid,
}
