//! The index of a CARv2, read where it lies.
//!
//! Rules: the CARv2 specification, formats 0x0400 (IndexSorted) and 0x0401 (MultihashIndexSorted): tables
//! of one width each, whose rows are a digest and an offset from the start of the payload, in order.

use super::{MAX_STRANGERS, Payload, Section, WouldWait, read_at, read_now};
use crate::block::Cid;
use crate::error::StoreError;

const INDEX_SORTED: u64 = 0x0400;
const MULTIHASH_INDEX_SORTED: u64 = 0x0401;

/// The most tables of an index: hash functions times lengths of digests. An index with more is not used.
const MAX_TABLES: usize = 256;

/// Bytes of an offset in a row.
const OFFSET_LEN: usize = 8;

#[derive(Debug)]
pub(super) struct V2Index {
    tables: Vec<Table>,
}

#[derive(Debug)]
struct Table {
    /// The hash function of all its rows; `None` where the format does not say.
    code: Option<u64>,
    /// Bytes of a row.
    width: usize,
    /// Where its first row lies in the file.
    start: u64,
    rows: u64,
}

/// Numbers of an index, read one after another.
struct Cursor<'p> {
    payload: &'p Payload,
    at: u64,
}

impl Cursor<'_> {
    /// `None` at the end of the file.
    fn take<const N: usize>(&mut self) -> std::io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        let read = read_at(&self.payload.file, &mut bytes, self.at)?;
        self.at += N as u64;
        Ok((read == N).then_some(bytes))
    }

    fn u32(&mut self) -> std::io::Result<Option<u32>> {
        Ok(self.take()?.map(u32::from_le_bytes))
    }

    fn u64(&mut self) -> std::io::Result<Option<u64>> {
        Ok(self.take()?.map(u64::from_le_bytes))
    }

    fn varint(&mut self) -> std::io::Result<Option<u64>> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let Some([byte]) = self.take()? else { return Ok(None) };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl V2Index {
    /// Reads what tables there are. `None` when the index is of another format or does not hold together:
    /// then one of our own is made.
    pub(super) fn open(payload: &Payload, at: u64) -> std::io::Result<Option<V2Index>> {
        let mut cursor = Cursor { payload, at };
        let mut tables = Vec::new();
        let whole = match cursor.varint()? {
            Some(INDEX_SORTED) => read_tables(&mut cursor, None, &mut tables)?,
            Some(MULTIHASH_INDEX_SORTED) => read_codes(&mut cursor, &mut tables)?,
            _ => None,
        };
        Ok(whole.map(|()| V2Index { tables }))
    }

    pub(super) fn find(&self, cid: &Cid, payload: &Payload) -> Result<Option<Section>, StoreError> {
        let digest = cid.hash().digest();
        for table in self.tables_of(cid) {
            if let Some(section) = table.find(cid, digest, payload)? {
                return Ok(Some(section));
            }
        }
        Ok(None)
    }

    /// Whether no row is of this CID, as far as the page cache tells; `None` when it does not suffice.
    pub(super) fn lacks_now(&self, cid: &Cid, payload: &Payload) -> Option<bool> {
        let digest = cid.hash().digest();
        let read = |buf: &mut [u8], at| read_now(&payload.file, buf, at).ok_or(WouldWait);
        for table in self.tables_of(cid) {
            let first = table.first(digest, &read).ok()?;
            if first < table.rows && table.row(first, &read).ok()?.digest() == digest {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The tables that a block may be in.
    fn tables_of(&self, cid: &Cid) -> impl Iterator<Item = &Table> {
        let (code, width) = (cid.hash().code(), cid.hash().digest().len() + OFFSET_LEN);
        self.tables
            .iter()
            .filter(move |table| table.width == width && table.code.is_none_or(|of| of == code))
    }
}

fn read_codes(cursor: &mut Cursor<'_>, tables: &mut Vec<Table>) -> std::io::Result<Option<()>> {
    let Some(codes) = cursor.u32()? else { return Ok(None) };
    for _ in 0..codes {
        let Some(code) = cursor.u64()? else { return Ok(None) };
        if read_tables(cursor, Some(code), tables)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

fn read_tables(
    cursor: &mut Cursor<'_>,
    code: Option<u64>,
    tables: &mut Vec<Table>,
) -> std::io::Result<Option<()>> {
    let Some(widths) = cursor.u32()? else { return Ok(None) };
    for _ in 0..widths {
        let (Some(width), Some(len)) = (cursor.u32()?, cursor.u64()?) else { return Ok(None) };
        let (width, start) = (width as usize, cursor.at);
        let end = start.checked_add(len).filter(|end| *end <= cursor.payload.file.len());
        let (true, Some(end)) = (width > OFFSET_LEN && tables.len() < MAX_TABLES, end) else {
            return Ok(None);
        };
        if width > 128 + OFFSET_LEN || len % width as u64 != 0 {
            return Ok(None);
        }
        tables.push(Table { code, width, start, rows: len / width as u64 });
        cursor.at = end;
    }
    Ok(Some(()))
}

/// Fills a buffer from an offset of the file.
type Read<'a, E> = dyn Fn(&mut [u8], u64) -> Result<(), E> + 'a;

impl Table {
    /// Finds the first row of a digest, then looks at it and those like it.
    fn find(
        &self,
        cid: &Cid,
        digest: &[u8],
        payload: &Payload,
    ) -> Result<Option<Section>, StoreError> {
        let read = |buf: &mut [u8], at| {
            let read = read_at(&payload.file, buf, at);
            read.map(drop).map_err(|source| super::io_error(payload.file.path(), source))
        };
        for at in (self.first(digest, &read)?..self.rows).take(MAX_STRANGERS) {
            let row = self.row(at, &read)?;
            if row.digest() != digest {
                break;
            }
            let offset = payload.start.saturating_add(row.offset());
            if let Some(section) = payload.holds(cid, offset)? {
                return Ok(Some(section));
            }
        }
        Ok(None)
    }

    /// The first row that is not before a digest, by halving.
    fn first<E>(&self, digest: &[u8], read: &Read<'_, E>) -> Result<u64, E> {
        let (mut low, mut high) = (0, self.rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(middle, read)?.digest() < digest {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn row<E>(&self, number: u64, read: &Read<'_, E>) -> Result<Row, E> {
        let mut row = Row { bytes: [0; 128 + OFFSET_LEN], len: self.width };
        let at = self.start + number * self.width as u64;
        if let Some(bytes) = row.bytes.get_mut(..self.width) {
            read(bytes, at)?;
        }
        Ok(row)
    }
}

/// A digest and an offset.
struct Row {
    bytes: [u8; 128 + OFFSET_LEN],
    len: usize,
}

impl Row {
    fn digest(&self) -> &[u8] {
        self.bytes.get(..self.len - OFFSET_LEN).unwrap_or_default()
    }

    fn offset(&self) -> u64 {
        let offset = self.bytes.get(self.len - OFFSET_LEN..self.len).unwrap_or_default();
        offset.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
    }
}
