//! A section: a block with its CID and their length in front.

use super::error::CarFault;
use crate::block::{Cid, MAX_BLOCK_LEN};
use crate::unixfs::dag_pb::leading_cid;

/// The longest binary CID, in bytes: four varints of at most nine, and 128 of digest.
pub(super) const MAX_CID_LEN: u64 = 4 * 9 + 128;

/// Bytes from the start of a section that always hold its length and its CID.
pub(crate) const SECTION_HEAD_LEN: usize = 9 + MAX_CID_LEN as usize;

/// Checks the length of a section.
pub(super) fn check_len(len: u64) -> Result<u64, CarFault> {
    match len {
        0 => Err(CarFault::Empty),
        len if len > MAX_BLOCK_LEN + MAX_CID_LEN => Err(CarFault::TooLong(len)),
        len => Ok(len),
    }
}

/// The CID that a section's bytes begin with, and its length.
pub(super) fn cid_of(section: &[u8]) -> Result<(Cid, usize), CarFault> {
    let bytes = leading_cid(section).ok_or(CarFault::NoCid)?;
    let cid = Cid::try_from(bytes).map_err(|_| CarFault::NoCid)?;
    Ok((cid, bytes.len()))
}

/// Where a section's parts lie, from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SectionHead {
    pub(crate) cid: Cid,
    /// Bytes before the block.
    pub(crate) head_len: u64,
    /// Bytes of the block.
    pub(crate) block_len: u64,
}

/// Reads the head of a section from its first bytes, of which [`SECTION_HEAD_LEN`] or all there are must
/// be given.
pub(crate) fn section_head(bytes: &[u8]) -> Result<SectionHead, CarFault> {
    let mut reader = crate::unixfs::wire::Reader::new(bytes);
    let len = reader.varint().map_err(|_| CarFault::Length)?;
    let len = check_len(len)?;
    let prefix = reader.at() as u64;
    let within = reader.rest();
    let within = within.get(..within.len().min(len as usize)).unwrap_or(within);
    let (cid, cid_len) = cid_of(within)?;
    Ok(SectionHead { cid, head_len: prefix + cid_len as u64, block_len: len - cid_len as u64 })
}
