//! How many blocks are held and how many bytes they have, exact and known at once.
//!
//! Owns the record `counts` of the family meta: two sums that each batch changes by its own share, as
//! RocksDB merges, so that they are right after a crash whatever part of the batches survived it.

use super::error::HotError;

/// Blocks and bytes; as a difference, what a batch adds (or takes away).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) blocks: i64,
    pub(super) bytes: i64,
}

/// The key of the record.
pub(super) const KEY: &[u8] = b"counts";

/// The name of the merge, which RocksDB writes into the store: never to be changed.
pub(super) const MERGE: &str = "coldfront.counts";

impl Counts {
    pub(super) fn add(&mut self, other: Counts) {
        self.blocks = self.blocks.wrapping_add(other.blocks);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }

    pub(super) fn one(size: u32) -> Counts {
        Counts { blocks: 1, bytes: i64::from(size) }
    }

    pub(super) fn less_one(size: u32) -> Counts {
        Counts { blocks: -1, bytes: -i64::from(size) }
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Counts::default()
    }

    /// Two integers of 8 bytes, big-endian.
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (blocks, sum) = bytes.split_at_mut(8);
        blocks.copy_from_slice(&self.blocks.to_be_bytes());
        sum.copy_from_slice(&self.bytes.to_be_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Counts> {
        let (blocks, rest) = bytes.split_first_chunk::<8>()?;
        let bytes = rest.try_into().ok()?;
        Some(Counts { blocks: i64::from_be_bytes(*blocks), bytes: i64::from_be_bytes(bytes) })
    }

    /// The record as it stands; nothing yet is zero.
    pub(super) fn read(database: &super::database::Database) -> Result<Counts, HotError> {
        let family = super::schema::Family::Meta;
        match database.get(family, KEY)? {
            None => Ok(Counts::default()),
            Some(bytes) => Counts::parse(&bytes).ok_or_else(|| database.damaged(family, KEY)),
        }
    }
}

/// RocksDB's merge: the sum of what is there and all that was added since. `None`, which RocksDB takes
/// for corruption, when any of it is no record.
pub(super) fn merge(
    _key: &[u8],
    existing: Option<&[u8]>,
    operands: &rocksdb::MergeOperands,
) -> Option<Vec<u8>> {
    let mut sum = existing.map_or(Some(Counts::default()), Counts::parse)?;
    for operand in operands {
        sum.add(Counts::parse(operand)?);
    }
    Some(sum.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let counts = Counts { blocks: 3, bytes: -7 };
        assert_eq!(Counts::parse(&counts.to_bytes()).unwrap(), counts);
        assert_eq!(Counts::parse(&[0; 15]), None);
        assert_eq!(Counts::parse(&[0; 17]), None);
    }
}
