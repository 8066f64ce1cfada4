//! The form of RocksDB's blob files: a head, records one behind the other, a foot.
//!
//! Owns what of it is read here: which record begins at an offset, and whether a file is one of these at all. Pure
//! functions over bytes; a file of another form is none, and RocksDB reads it alone. All integers in it are
//! little-endian. Rules: RocksDB `db/blob/blob_log_format.h`, version 1.

use super::schema::{Family, Id};

/// Bytes in front of the first record: magic number, version, family, flags, compression, two times.
pub(super) const HEAD_LEN: usize = 30;

/// Bytes of a record in front of its value: lengths of key and value, a time, two checksums, and the key, an id.
pub(super) const RECORD_HEAD_LEN: usize = 40;

/// Bytes behind the last record: magic number, count, two times, checksum.
pub(super) const FOOT_LEN: usize = 32;

const MAGIC: u32 = 0x0024_8f37;
const VERSION: u32 = 1;

/// RocksDB numbers families in the order in which a store made them, which is that of [`Family::ALL`].
const FAMILY: u32 = {
    let mut at = 0;
    while !matches!(Family::ALL[at], Family::Blocks) {
        at += 1;
    }
    at as u32
};

/// What stands in front of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) id: Id,
    /// Length of the value in bytes.
    pub(super) len: u64,
    /// Checksum of key and value.
    checksum: u32,
}

/// Whether a file begins as one of the family `blocks`, its values as they are: not compressed, without times.
pub(super) fn is_head(bytes: &[u8]) -> bool {
    let (magic, version, family) = (u32_at(bytes, 0), u32_at(bytes, 4), u32_at(bytes, 8));
    (magic, version, family) == (Some(MAGIC), Some(VERSION), Some(FAMILY))
        && bytes.get(12..14) == Some(&[0, 0])
}

/// Whether a file ends as one that was written to its end.
pub(super) fn is_foot(bytes: &[u8]) -> bool {
    let sum = bytes.get(..FOOT_LEN - 4).map(|start| masked(crc32c::crc32c(start)));
    u32_at(bytes, 0) == Some(MAGIC) && sum.is_some() && u32_at(bytes, FOOT_LEN - 4) == sum
}

/// The head of a record. `None` for bytes that are no such head.
pub(super) fn record(bytes: &[u8]) -> Option<Record> {
    let lengths = bytes.get(..24)?;
    let is_sound = u32_at(bytes, 24)? == masked(crc32c::crc32c(lengths));
    let id = Id::parse(bytes.get(32..RECORD_HEAD_LEN)?).ok()?;
    let record = Record { id, len: u64_at(bytes, 8)?, checksum: u32_at(bytes, 28)? };
    (is_sound && u64_at(bytes, 0)? == id.key().len() as u64).then_some(record)
}

impl Record {
    /// Whether a value is the one that was written. Reads all of it: some 15 us for 256 KiB.
    pub(super) fn is_of(&self, value: &[u8]) -> bool {
        let sum = crc32c::crc32c_append(crc32c::crc32c(&self.id.key()), value);
        value.len() as u64 == self.len && masked(sum) == self.checksum
    }
}

/// As RocksDB stores checksums, so that those of bytes that hold checksums stay good ones.
fn masked(sum: u32) -> u32 {
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
