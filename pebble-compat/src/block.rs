//! One block of a table: its bytes checked against their checksum and unpacked. Knows nothing of what a block holds.
//!
//! Rules: LevelDB `doc/table_format.md`, Pebble `sstable/block`.

use crate::checksum::masked;
use crate::error::{Error, Fault, Feature};
use crate::parse::Parser;
use crate::snappy;
use crate::source::SourceFile;

/// Longest block that is read, packed or unpacked. Blocks end after the entry that fills them, so the longest value of
/// the store decides; Kubo's own blocks end at 2 MiB.
pub(crate) const MAX_BLOCK_LEN: usize = 64 << 20;

/// What stands behind a block: compression and checksum.
const TRAILER_LEN: usize = 5;

/// Where a block lies in its file. The length is without the trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Handle {
    /// Two varints.
    pub(crate) fn parse(parser: &mut Parser<'_>) -> Result<Handle, Fault> {
        Ok(Handle { offset: parser.varint()?, len: parser.varint()? })
    }
}

/// Reads, checks and unpacks a block, a `what`. One read.
pub(crate) fn read(
    file: &SourceFile,
    handle: Handle,
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    read_into(Vec::new(), file, handle, what)
}

/// As [`read`], into the memory of `spare`, whose bytes are lost.
pub(crate) fn read_into(
    spare: Vec<u8>,
    file: &SourceFile,
    handle: Handle,
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    let too_long = |len| Fault::TooLong { what, len, max: MAX_BLOCK_LEN as u64 };
    let len = usize::try_from(handle.len).ok().filter(|&len| len <= MAX_BLOCK_LEN);
    let len = len.ok_or_else(|| too_long(handle.len).at(file.path(), handle.offset))?;
    let mut bytes = file.read_into(spare, handle.offset, len + TRAILER_LEN, what)?;
    unpack(&mut bytes, what).map_err(|trouble| trouble.at(file.path(), handle.offset))?;
    Ok(bytes)
}

/// A block with its trailer becomes the block's contents.
fn unpack(bytes: &mut Vec<u8>, what: &'static str) -> Result<(), crate::error::Trouble> {
    let (contents, trailer) =
        bytes.split_last_chunk::<TRAILER_LEN>().ok_or(Fault::Malformed(what))?;
    let [compression, checksum @ ..] = *trailer;
    if masked(&[contents, &[compression]]) != u32::from_le_bytes(checksum) {
        return Err(Fault::Checksum(what).into());
    }
    match compression {
        0 => bytes.truncate(bytes.len() - TRAILER_LEN),
        1 => *bytes = snappy::unpack(contents, MAX_BLOCK_LEN, what)?,
        other => return Err(Feature::Compression(other).into()),
    }
    Ok(())
}
