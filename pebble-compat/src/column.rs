//! Blocks of columns, as Pebble writes them from format major version 19 on: each column packed by its type, found by the
//! offsets in the block's head.
//!
//! Every offset is checked when it is used; memory is never taken for a number that a block claims. Rules: Pebble
//! `sstable/colblk`.

use std::ops::Range;

use crate::Pair;
use crate::error::{Fault, Feature, Trouble};
use crate::parse::Parser;

/// What a broken block is called.
const WHAT: &str = "columnar block";

/// The only version of the block format.
const VERSION: u8 = 1;

/// Types of columns.
const BOOLS: u8 = 1;
const NUMBERS: u8 = 2;
const STRINGS: u8 = 3;
const PREFIXED: u8 = 4;

fn malformed() -> Fault {
    Fault::Malformed(WHAT)
}

/// A block and where its columns are.
#[derive(Debug)]
struct Columns {
    bytes: Vec<u8>,
    rows: usize,
    /// Type and offset of each.
    columns: Vec<(u8, usize)>,
}

impl Columns {
    /// Reads the head of a block that begins with `custom` bytes of its user.
    fn parse(bytes: Vec<u8>, custom: usize) -> Result<Self, Fault> {
        let mut head = Parser::new(&bytes, WHAT);
        head.take(custom)?;
        if head.u8()? != VERSION {
            return Err(malformed());
        }
        let (count, rows) = (head.u16()?, head.u32()?);
        let mut columns = Vec::new();
        for _ in 0..count {
            columns.push((head.u8()?, usize::try_from(head.u32()?).map_err(|_| malformed())?));
        }
        // A row takes a byte at least, for its key or its trailer differs from those of all others.
        let rows = usize::try_from(rows).ok().filter(|&rows| rows <= bytes.len());
        let rows = rows.ok_or_else(malformed)?;
        Ok(Columns { bytes, rows, columns })
    }

    fn start(&self, column: usize, kind: u8) -> Result<usize, Fault> {
        match self.columns.get(column) {
            Some(&(found, start)) if found == kind => Ok(start),
            _ => Err(malformed()),
        }
    }

    fn numbers(&self, column: usize) -> Result<Numbers, Fault> {
        Numbers::parse(&self.bytes, self.start(column, NUMBERS)?, self.rows)
    }

    fn strings(&self, column: usize) -> Result<Strings, Fault> {
        Strings::parse(&self.bytes, self.start(column, STRINGS)?, self.rows)
    }

    /// Whether every row of a column of flags is false.
    fn is_all_false(&self, column: usize) -> Result<bool, Fault> {
        let start = self.start(column, BOOLS)?;
        if self.rows == 0 {
            return Ok(true);
        }
        match self.bytes.get(start) {
            Some(1) => Ok(true),
            Some(0) => {
                let from = align(start + 1, 8)?;
                let to =
                    self.rows.div_ceil(64).checked_mul(8).and_then(|len| from.checked_add(len));
                let words = to.and_then(|to| self.bytes.get(from..to)).ok_or_else(malformed)?;
                Ok(words.iter().all(|&byte| byte == 0))
            }
            _ => Err(malformed()),
        }
    }
}

/// The next multiple of `width`, a power of two.
fn align(at: usize, width: usize) -> Result<usize, Fault> {
    at.checked_next_multiple_of(width.max(1)).ok_or_else(malformed)
}

/// A column of numbers, each of the same width above a common base.
#[derive(Debug, Clone)]
struct Numbers {
    base: u64,
    width: usize,
    start: usize,
    count: usize,
    end: usize,
}

impl Numbers {
    fn parse(bytes: &[u8], start: usize, count: usize) -> Result<Self, Fault> {
        if count == 0 {
            return Ok(Numbers { base: 0, width: 0, start, count, end: start });
        }
        let mut head = Parser::new(bytes.get(start..).unwrap_or_default(), WHAT);
        let encoding = head.u8()?;
        let width = usize::from(encoding & 0x7f);
        if !matches!(width, 0 | 1 | 2 | 4 | 8) {
            return Err(malformed());
        }
        let (base, head_len) = if encoding & 0x80 == 0 { (0, 1) } else { (head.u64()?, 9) };
        let start = align(start + head_len, width)?;
        let end = count.checked_mul(width).and_then(|len| start.checked_add(len));
        let end = end.filter(|&end| end <= bytes.len()).ok_or_else(malformed)?;
        Ok(Numbers { base, width, start, count, end })
    }

    fn get(&self, bytes: &[u8], row: usize) -> Result<u64, Fault> {
        if row >= self.count {
            return Err(malformed());
        }
        let at = self.start + row * self.width;
        let digits = bytes.get(at..at + self.width).ok_or_else(malformed)?;
        let delta = digits.iter().rev().fold(0, |value: u64, &digit| value << 8 | u64::from(digit));
        Ok(self.base.wrapping_add(delta))
    }
}

/// A column of strings: offsets, then bytes.
#[derive(Debug, Clone)]
struct Strings {
    offsets: Numbers,
}

impl Strings {
    fn parse(bytes: &[u8], start: usize, count: usize) -> Result<Self, Fault> {
        let offsets = if count == 0 { 0 } else { count.checked_add(1).ok_or_else(malformed)? };
        Ok(Strings { offsets: Numbers::parse(bytes, start, offsets)? })
    }

    /// Where the bytes from one offset to another lie in the block.
    fn between(&self, bytes: &[u8], from: Option<usize>, to: usize) -> Result<Range<usize>, Fault> {
        let place = |index| -> Result<usize, Fault> {
            let offset =
                usize::try_from(self.offsets.get(bytes, index)?).map_err(|_| malformed())?;
            self.offsets.end.checked_add(offset).ok_or_else(malformed)
        };
        let from = from.map_or(Ok(self.offsets.end), place)?;
        let to = place(to)?;
        if from > to || to > bytes.len() { Err(malformed()) } else { Ok(from..to) }
    }

    fn get(&self, bytes: &[u8], row: usize) -> Result<Range<usize>, Fault> {
        self.between(bytes, Some(row), row + 1)
    }
}

/// A column of ascending keys: what all share, what each bundle of rows shares, and the rest of each row.
#[derive(Debug, Clone)]
struct PrefixedKeys {
    /// The slices, with one more for the bundles and the block.
    slices: Strings,
    /// Rows of a bundle as a power of two.
    shift: u32,
}

impl PrefixedKeys {
    fn parse(bytes: &[u8], start: usize, rows: usize) -> Result<Self, Fault> {
        let shift = u32::from(*bytes.get(start).ok_or_else(malformed)?);
        if shift >= usize::BITS {
            return Err(malformed());
        }
        let bundles = rows.checked_sub(1).map_or(0, |last| 1 + (last >> shift));
        // One offset for each slice: they end there, and the first begins where the offsets end.
        let offsets = rows.checked_add(bundles).and_then(|sum| sum.checked_add(1));
        let offsets = Numbers::parse(bytes, start + 1, offsets.ok_or_else(malformed)?)?;
        Ok(PrefixedKeys { slices: Strings { offsets }, shift })
    }

    /// The slice that ends with offset `index`; the first is what all keys share.
    fn slice<'a>(&self, bytes: &'a [u8], index: usize) -> Result<&'a [u8], Fault> {
        let range = self.slices.between(bytes, index.checked_sub(1), index)?;
        bytes.get(range).ok_or_else(malformed)
    }

    /// Makes `key`, that of the row before, into that of `row`.
    fn read(&self, bytes: &[u8], row: usize, key: &mut Vec<u8>) -> Result<(), Fault> {
        let bundle = row >> self.shift;
        let first = bundle << self.shift == row;
        let suffix = self.slice(bytes, 2 + bundle + row)?;
        if suffix.is_empty() && !first {
            // The same key once more, with an older sequence.
            return Ok(());
        }
        key.clear();
        key.extend_from_slice(self.slice(bytes, 0)?);
        key.extend_from_slice(self.slice(bytes, 1 + bundle + (bundle << self.shift))?);
        key.extend_from_slice(suffix);
        Ok(())
    }
}

/// Walks the entries of a data block.
#[derive(Debug)]
pub(crate) struct DataColumns {
    columns: Columns,
    keys: PrefixedKeys,
    trailers: Numbers,
    values: Strings,
    next: usize,
    key: Vec<u8>,
    trailer: u64,
    value: Range<usize>,
}

impl DataColumns {
    /// Its memory, for another block.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.columns.bytes
    }

    /// Takes an unpacked data block of the default key schema.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, Trouble> {
        /// Length of the longest key, which comes before the columns.
        const CUSTOM: usize = 4;
        const KEY_SUFFIX: usize = 1;
        const EXTERNAL: usize = 5;
        let columns = Columns::parse(bytes, CUSTOM)?;
        if columns.rows == 0 {
            return Err(malformed().into());
        }
        if !columns.is_all_false(EXTERNAL)? {
            return Err(Feature::ExternalValues.into());
        }
        let bytes = &columns.bytes;
        let suffixes = columns.strings(KEY_SUFFIX)?;
        let used = suffixes.between(bytes, Some(0), columns.rows)?;
        if !used.is_empty() {
            return Err(Feature::KeySchema("with key suffixes".to_owned()).into());
        }
        Ok(DataColumns {
            keys: PrefixedKeys::parse(bytes, columns.start(0, PREFIXED)?, columns.rows)?,
            trailers: columns.numbers(2)?,
            values: columns.strings(4)?,
            columns,
            next: 0,
            key: Vec::new(),
            trailer: 0,
            value: 0..0,
        })
    }

    /// Goes to the next entry; `false` after the last.
    pub(crate) fn advance(&mut self) -> Result<bool, Fault> {
        if self.next >= self.columns.rows {
            return Ok(false);
        }
        let bytes = &self.columns.bytes;
        self.keys.read(bytes, self.next, &mut self.key)?;
        self.trailer = self.trailers.get(bytes, self.next)?;
        self.value = self.values.get(bytes, self.next)?;
        self.next += 1;
        Ok(true)
    }

    /// The user key of the entry gone to.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its sequence and kind.
    pub(crate) fn trailer(&self) -> u64 {
        self.trailer
    }

    /// Its value.
    pub(crate) fn value(&self) -> &[u8] {
        self.columns.bytes.get(self.value.clone()).unwrap_or_default()
    }
}

/// The entries of an index block: separator, offset and length each.
pub(crate) fn read_index(bytes: Vec<u8>) -> Result<Vec<(Vec<u8>, u64, u64)>, Fault> {
    let columns = Columns::parse(bytes, 0)?;
    let (separators, offsets, lens) =
        (columns.strings(0)?, columns.numbers(1)?, columns.numbers(2)?);
    let bytes = &columns.bytes;
    (0..columns.rows)
        .map(|row| {
            let separator = bytes.get(separators.get(bytes, row)?).unwrap_or_default();
            Ok((separator.to_vec(), offsets.get(bytes, row)?, lens.get(bytes, row)?))
        })
        .collect()
}

/// The pairs of a block that holds keys and values, such as the properties.
pub(crate) fn read_pairs(bytes: Vec<u8>) -> Result<Vec<Pair>, Fault> {
    let columns = Columns::parse(bytes, 0)?;
    let (keys, values) = (columns.strings(0)?, columns.strings(1)?);
    let bytes = &columns.bytes;
    (0..columns.rows)
        .map(|row| {
            let key = bytes.get(keys.get(bytes, row)?).unwrap_or_default();
            let value = bytes.get(values.get(bytes, row)?).unwrap_or_default();
            Ok((key.to_vec(), value.to_vec()))
        })
        .collect()
}
