//! Blocks of entries one after the other, each key given as what differs from the one before: LevelDB's blocks, and
//! Pebble's before its columns.
//!
//! Read from the front only, so the restart points at the end are passed over. Rules: LevelDB `table/block_builder.cc`.

use std::ops::Range;

use crate::error::Fault;
use crate::parse::Parser;

/// Walks the entries of one block.
#[derive(Debug)]
pub(crate) struct RowBlock {
    bytes: Vec<u8>,
    pos: usize,
    end: usize,
    key: Vec<u8>,
    value: Range<usize>,
}

impl RowBlock {
    /// Takes an unpacked block.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, Fault> {
        /// Pebble uses the top bit of restart numbers for a mark.
        const COUNT: u32 = 0x7fff_ffff;
        let fault = Fault::Malformed("block");
        let Some((rest, count)) = bytes.split_last_chunk::<4>() else { return Err(fault) };
        let count = u32::from_le_bytes(*count) & COUNT;
        let restarts = usize::try_from(count).ok().and_then(|count| count.checked_mul(4));
        let end = restarts.and_then(|len| rest.len().checked_sub(len)).ok_or(fault)?;
        Ok(RowBlock { bytes, pos: 0, end, key: Vec::new(), value: 0..0 })
    }

    /// Goes to the next entry; `false` after the last.
    pub(crate) fn advance(&mut self) -> Result<bool, Fault> {
        let left = self.bytes.get(self.pos..self.end).unwrap_or_default();
        if left.is_empty() {
            return Ok(false);
        }
        let mut parser = Parser::new(left, "block entry");
        let (shared, unshared, len) = (parser.len()?, parser.len()?, parser.len()?);
        let suffix = parser.take(unshared)?;
        parser.take(len)?;
        if shared > self.key.len() {
            return Err(parser.fault());
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        self.pos = self.end - parser.rest().len();
        self.value = self.pos - len..self.pos;
        Ok(true)
    }

    /// Its memory, for another block.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The key of the entry gone to.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its value.
    pub(crate) fn value(&self) -> &[u8] {
        self.bytes.get(self.value.clone()).unwrap_or_default()
    }
}
