//! What one entry of a LevelDB or Pebble store says: a key's value, or that the key is gone, and when that was said.
//!
//! Rules: LevelDB `db/dbformat.h`, Pebble `internal/base/internal.go`.

use crate::error::{Fault, Feature, Trouble};

/// Which of the two related formats is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    LevelDb,
    Pebble,
}

/// What an entry does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Set,
    Delete,
}

/// Pebble's mark in a trailer for entries that a newer one in the same table hides.
const OBSOLETE: u8 = 0x40;

/// Length of the trailer behind a user key: 7 bytes of sequence, one of kind.
const TRAILER_LEN: usize = 8;

/// The kind byte of an entry in a table or batch.
pub(crate) fn op_of(kind: u8, dialect: Dialect) -> Result<Op, Feature> {
    match (kind, dialect) {
        (0, _) => Ok(Op::Delete),
        // 18: a set that is known to cover a delete.
        (1, _) | (18, Dialect::Pebble) => Ok(Op::Set),
        _ => Err(Feature::EntryKind(kind)),
    }
}

/// The sequence and kind in a trailer.
pub(crate) fn split_trailer(trailer: u64) -> (u64, u8) {
    (trailer >> 8, (trailer & 0xff) as u8 & !OBSOLETE)
}

/// An internal key's user key and trailer.
pub(crate) fn split_internal(key: &[u8]) -> Result<(&[u8], u64), Fault> {
    match key.split_last_chunk::<TRAILER_LEN>() {
        Some((user, trailer)) => Ok((user, u64::from_le_bytes(*trailer))),
        None => Err(Fault::Malformed("internal key")),
    }
}

/// A batch of writes, as journals hold it: calls `each` with sequence, operation, key and value (empty for a delete).
pub(crate) fn read_batch(
    record: &[u8],
    dialect: Dialect,
    mut each: impl FnMut(u64, Op, &[u8], &[u8]),
) -> Result<(), Trouble> {
    /// Data for the log alone: not counted, and without a sequence of its own.
    const LOG_DATA: u8 = 3;
    let mut parser = crate::parse::Parser::new(record, "batch");
    let (first, count) = (parser.u64()?, parser.u32()?);
    let mut found = 0u64;
    while !parser.is_empty() {
        let kind = parser.u8()?;
        if kind == LOG_DATA && dialect == Dialect::Pebble {
            parser.prefixed()?;
            continue;
        }
        let op = op_of(kind, dialect)?;
        let key = parser.prefixed()?;
        let value = if op == Op::Set { parser.prefixed()? } else { &[] };
        let sequence = first.checked_add(found).ok_or(Fault::Malformed("batch"))?;
        each(sequence, op, key, value);
        found += 1;
    }
    if found != u64::from(count) {
        return Err(Fault::Count { expected: u64::from(count), found }.into());
    }
    Ok(())
}
