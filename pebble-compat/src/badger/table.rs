//! A table of Badger 1: blocks of about a hundred entries each, and where they end. Rules: Badger 1.6 `table/`.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::value::split_key;
use crate::block::MAX_BLOCK_LEN;
use crate::error::{Error, Fault};
use crate::parse::Parser;
use crate::source::SourceFile;

/// Most blocks of a table that are believed. Badger's tables of 16 MiB have some thousands.
const MAX_BLOCKS: u32 = 1 << 22;

/// Bytes hashed at a time.
const HASH_STEP: u64 = 256 << 10;

const WHAT: &str = "table block";

/// An open table, with the ends of its blocks in memory.
#[derive(Debug)]
pub(crate) struct Table {
    file: SourceFile,
    ends: Vec<u64>,
}

impl Table {
    /// Reads where the blocks are. Three reads.
    pub(super) fn open(file: SourceFile) -> Result<Self, Error> {
        const FOOTER: &str = "table footer";
        let before = |at: u64, len: u64| {
            at.checked_sub(len).ok_or_else(|| Fault::Cut(FOOTER).at(file.path(), 0))
        };
        let number = |at: u64| -> Result<u32, Error> {
            let bytes = file.read(at, 4, FOOTER)?;
            Parser::new(&bytes, FOOTER).u32_be().map_err(|fault| fault.at(file.path(), at))
        };
        // From the back: length of a filter, the filter, the number of blocks, the end of each.
        let filter_len_at = before(file.len(), 4)?;
        let filter_at = before(filter_len_at, u64::from(number(filter_len_at)?))?;
        let count_at = before(filter_at, 4)?;
        let count = number(count_at)?;
        if count == 0 || count > MAX_BLOCKS {
            return Err(Fault::Malformed(FOOTER).at(file.path(), count_at));
        }
        let ends_at = before(count_at, u64::from(count) * 4)?;
        let bytes = file.read(ends_at, count as usize * 4, FOOTER)?;
        let mut parser = Parser::new(&bytes, FOOTER);
        let mut ends = Vec::with_capacity(count as usize);
        while !parser.is_empty() {
            let end = parser.u32_be().map_err(|fault| fault.at(file.path(), ends_at))?;
            ends.push(u64::from(end));
        }
        if !ends.is_sorted() || ends.last().is_some_and(|&end| end > ends_at) {
            return Err(Fault::Malformed(FOOTER).at(file.path(), ends_at));
        }
        Ok(Table { file, ends })
    }

    pub(super) fn len(&self) -> u64 {
        self.file.len()
    }

    /// Reads the whole file and compares its checksum, if the manifest has one.
    pub(super) fn check(&self, checksum: &[u8]) -> Result<(), Error> {
        if checksum.is_empty() {
            return Ok(());
        }
        let mut hasher = Sha256::new();
        let mut at = 0;
        while at < self.file.len() {
            let len = (self.file.len() - at).min(HASH_STEP);
            hasher.update(self.file.read(at, len as usize, "table")?);
            at += len;
        }
        if hasher.finalize()[..] == *checksum {
            Ok(())
        } else {
            Err(Fault::Checksum("table").at(self.file.path(), 0))
        }
    }

    fn range_of(&self, index: usize) -> Option<Range<u64>> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        Some(start.unwrap_or(0)..end)
    }

    /// The first and last user key. Two reads.
    pub(super) fn bounds(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let smallest = self.first_key(0)?;
        let last = self.ends.len().saturating_sub(1);
        let mut block = self.block(last)?;
        let at = block.offset;
        let mut largest = smallest.clone();
        while block.advance().map_err(|fault| fault.at(self.file.path(), at))? {
            largest.clear();
            largest.extend_from_slice(block.user_key());
        }
        if smallest > largest {
            return Err(Fault::Order.at(self.file.path(), at));
        }
        Ok((smallest, largest))
    }

    /// The first user key of a block, without reading the block.
    fn first_key(&self, index: usize) -> Result<Vec<u8>, Error> {
        let range = self.range_of(index).unwrap_or(0..0);
        let at = |fault: Fault| fault.at(self.file.path(), range.start);
        let head = self.file.read(range.start, HEADER_LEN, WHAT)?;
        let header = Header::parse(&mut Parser::new(&head, WHAT)).map_err(at)?;
        let key = self.file.read(range.start + HEADER_LEN as u64, header.unshared, WHAT)?;
        split_key(&key).map(|(user, _)| user.to_vec()).map_err(at)
    }

    fn block(&self, index: usize) -> Result<Block, Error> {
        let range = self.range_of(index).unwrap_or(0..0);
        let len = range.end - range.start;
        if len > MAX_BLOCK_LEN as u64 {
            let fault = Fault::TooLong { what: WHAT, len, max: MAX_BLOCK_LEN as u64 };
            return Err(fault.at(self.file.path(), range.start));
        }
        let bytes = self.file.read(range.start, len as usize, WHAT)?;
        Ok(Block {
            bytes,
            offset: range.start,
            pos: 0,
            base: None,
            key: Vec::new(),
            version: 0,
            value: 0..0,
        })
    }

    /// The last block that begins with a key less than `key`, or the first.
    fn block_before(&self, key: &[u8]) -> Result<usize, Error> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_key(middle)?.as_slice() < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }
}

/// Length of an entry's header.
const HEADER_LEN: usize = 10;

/// What stands before an entry.
struct Header {
    shared: usize,
    unshared: usize,
    value: usize,
}

impl Header {
    fn parse(parser: &mut Parser<'_>) -> Result<Header, Fault> {
        let header = Header {
            shared: usize::from(parser.u16_be()?),
            unshared: usize::from(parser.u16_be()?),
            value: usize::from(parser.u16_be()?),
        };
        // Where the entry before it begins: for walking backwards.
        parser.u32_be()?;
        Ok(header)
    }
}

/// Walks the entries of one block.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    offset: u64,
    pos: usize,
    /// The first stored key, from which others take their beginning.
    base: Option<Vec<u8>>,
    /// The user key of the entry gone to.
    key: Vec<u8>,
    version: u64,
    value: Range<usize>,
}

impl Block {
    /// Goes to the next entry; `false` after the last.
    fn advance(&mut self) -> Result<bool, Fault> {
        let left = self.bytes.get(self.pos..).unwrap_or_default();
        if left.is_empty() {
            return Ok(false);
        }
        let mut parser = Parser::new(left, "table entry");
        let header = Header::parse(&mut parser)?;
        if header.shared == 0 && header.unshared == 0 {
            self.pos = self.bytes.len();
            return Ok(false);
        }
        let base = self.base.as_deref().unwrap_or_default();
        let shared = base.get(..header.shared).ok_or_else(|| parser.fault())?;
        let stored = [shared, parser.take(header.unshared)?].concat();
        parser.take(header.value)?;
        let (key, version) = split_key(&stored)?;
        self.key.clear();
        self.key.extend_from_slice(key);
        self.version = version;
        self.pos = self.bytes.len() - parser.rest().len();
        self.value = self.pos - header.value..self.pos;
        self.base.get_or_insert(stored);
        Ok(true)
    }

    fn user_key(&self) -> &[u8] {
        &self.key
    }
}

/// Walks the entries of one table: keys ascending, versions descending. After an error it goes on with the next block.
#[derive(Debug)]
pub(crate) struct Cursor {
    table: Arc<Table>,
    from: Vec<u8>,
    /// The next block; `None` before the first is sought.
    next: Option<usize>,
    block: Option<Block>,
    last: Option<(Vec<u8>, u64)>,
}

impl Cursor {
    /// A cursor before the block in which the first entry may be whose key is not less than `from`. Reads nothing yet.
    pub(super) fn new(table: Arc<Table>, from: &[u8]) -> Self {
        Cursor { table, from: from.to_vec(), next: None, block: None, last: None }
    }

    pub(super) fn key(&self) -> &[u8] {
        self.block.as_ref().map(Block::user_key).unwrap_or_default()
    }

    pub(super) fn version(&self) -> u64 {
        self.block.as_ref().map_or(0, |block| block.version)
    }

    pub(super) fn value(&self) -> &[u8] {
        let value = self.block.as_ref().and_then(|block| block.bytes.get(block.value.clone()));
        value.unwrap_or_default()
    }

    /// Goes to the next entry; `false` after the last.
    pub(super) fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if let Some(block) = &mut self.block {
                let at = block.offset;
                match block.advance().and_then(|more| Ok(more && self.ascend()?)) {
                    Ok(true) => return Ok(true),
                    Ok(false) => self.block = None,
                    Err(fault) => {
                        self.block = None;
                        return Err(fault.at(self.table.file.path(), at));
                    }
                }
            }
            if !self.load()? {
                return Ok(false);
            }
        }
    }

    /// Fails unless the entry gone to follows the one before it.
    fn ascend(&mut self) -> Result<bool, Fault> {
        let Some(block) = &self.block else { return Ok(false) };
        let order = |(key, version): &(Vec<u8>, u64)| {
            (key.as_slice(), u64::MAX - version) < (block.user_key(), u64::MAX - block.version)
        };
        if !self.last.as_ref().is_none_or(order) {
            return Err(Fault::Order);
        }
        let (key, version) = self.last.get_or_insert_default();
        key.clear();
        key.extend_from_slice(block.user_key());
        *version = block.version;
        Ok(true)
    }

    /// Reads the next block; `false` when there is none.
    fn load(&mut self) -> Result<bool, Error> {
        let index = match self.next {
            Some(index) => index,
            None => {
                // A table whose beginning cannot be sought is walked from its first block.
                self.next = Some(0);
                self.table.block_before(&self.from)?
            }
        };
        if index >= self.table.ends.len() {
            return Ok(false);
        }
        self.next = Some(index + 1);
        self.block = Some(self.table.block(index)?);
        Ok(true)
    }
}
