//! One sorted table of a LevelDB or Pebble store: its footer, properties and index, and a cursor over its entries.
//!
//! Knows all table formats that Kubo's stores hold and tells them apart by their footers, because one directory may hold
//! several. Rules: LevelDB `doc/table_format.md`, Pebble `sstable/table.go` and `sstable/layout.go`.

use std::sync::Arc;

use crate::Pair;
use crate::block::{self, Handle};
use crate::checksum::masked;
use crate::column::{self, DataColumns};
use crate::entry::{Dialect, Op, op_of, split_internal, split_trailer};
use crate::error::{Error, Fault, Feature, Trouble};
use crate::manifest::{COMPARER, TableInfo};
use crate::parse::Parser;
use crate::row::RowBlock;
use crate::source::SourceFile;

const MAGIC_LEVELDB: u64 = 0xdb47_7524_8b80_fb57;
const MAGIC_ROCKSDB: u64 = 0x88e2_41b7_85f4_cff7;
const MAGIC_PEBBLE: u64 = 0xb3aa_9ff0_b3aa_9ff0;

/// Length of the longest footer (Pebble's format 7).
const MAX_FOOTER_LEN: usize = 61;

/// Pebble's newest known table format.
const NEWEST_PEBBLE: u32 = 7;

/// The key schema of tables whose keys have no suffix.
const KEY_SCHEMA: &str = "DefaultKeySchema(leveldb.BytewiseComparator,16)";

/// How a table is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    LevelDb,
    RocksDbV2,
    Pebble(u32),
}

impl Format {
    fn pebble(self) -> u32 {
        match self {
            Format::Pebble(version) => version,
            Format::LevelDb | Format::RocksDbV2 => 0,
        }
    }

    fn footer_len(self) -> usize {
        match self {
            Format::LevelDb => 48,
            Format::Pebble(6) => 57,
            Format::Pebble(7) => 61,
            Format::RocksDbV2 | Format::Pebble(_) => 53,
        }
    }

    fn has_columns(self) -> bool {
        self.pebble() >= 5
    }

    fn has_column_metaindex(self) -> bool {
        self.pebble() >= 6
    }

    fn has_column_properties(self) -> bool {
        self.pebble() >= 7
    }

    /// Whether a byte before each value says where the value is.
    fn has_value_prefixes(self) -> bool {
        matches!(self.pebble(), 3 | 4)
    }
}

/// What a footer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Footer {
    format: Format,
    metaindex: Handle,
    index: Handle,
}

/// One entry of an index: no key of the block is greater than the separator.
type IndexEntry = (Vec<u8>, Handle);

/// An open table, with the top of its index in memory.
#[derive(Debug)]
pub(crate) struct Table {
    file: SourceFile,
    format: Format,
    dialect: Dialect,
    top: Vec<IndexEntry>,
    /// Whether `top` leads to more of the index instead of data.
    two_levels: bool,
    /// How many entries the table says it holds.
    entries: Option<u64>,
}

impl Table {
    /// Opens a table that the manifest describes as `info`. Three to five reads.
    pub(crate) fn open(
        file: SourceFile,
        info: &TableInfo,
        dialect: Dialect,
    ) -> Result<Self, Error> {
        if file.len() != info.size {
            let fault = Fault::Size { expected: info.size, found: file.len() };
            return Err(fault.at(file.path(), 0));
        }
        let footer_len = usize::try_from(file.len()).unwrap_or(usize::MAX).min(MAX_FOOTER_LEN);
        let footer_at = file.len() - footer_len as u64;
        let tail = file.read(footer_at, footer_len, "table footer")?;
        let footer =
            read_footer(&tail, dialect).map_err(|trouble| trouble.at(file.path(), footer_at))?;
        let mut table = Table {
            file,
            format: footer.format,
            dialect,
            top: Vec::new(),
            two_levels: false,
            entries: None,
        };
        if footer.format != Format::LevelDb {
            table.read_properties(footer.metaindex)?;
        }
        table.top = table.read_index(footer.index)?;
        Ok(table)
    }

    /// A key that none of the table is greater than.
    pub(crate) fn largest(&self) -> &[u8] {
        self.top.last().map(|(separator, _)| separator.as_slice()).unwrap_or_default()
    }

    fn read_properties(&mut self, metaindex: Handle) -> Result<(), Error> {
        let at = |trouble: Trouble| trouble.at(self.file.path(), metaindex.offset);
        let blocks = self.read_pairs(metaindex, self.format.has_column_metaindex())?;
        let mut properties = None;
        for (name, value) in &blocks {
            match name.as_slice() {
                b"rocksdb.properties" => {
                    let handle = Handle::parse(&mut Parser::new(value, "metaindex"));
                    properties = Some(handle.map_err(|fault| at(fault.into()))?);
                }
                b"pebble.value_index" | b"pebble.blob_ref_index" => {
                    return Err(at(Feature::ExternalValues.into()));
                }
                _ => {}
            }
        }
        let Some(handle) = properties else {
            return Err(at(Fault::Malformed("metaindex: it names no properties").into()));
        };
        let found = self.read_pairs(handle, self.format.has_column_properties())?;
        let properties = Properties::read(&found)
            .map_err(|trouble| trouble.at(self.file.path(), handle.offset))?;
        self.two_levels = properties.two_levels;
        self.entries = Some(properties.entries);
        Ok(())
    }

    fn read_pairs(&self, handle: Handle, columns: bool) -> Result<Vec<Pair>, Error> {
        let bytes = block::read(&self.file, handle, "table properties")?;
        let pairs = if columns { column::read_pairs(bytes) } else { read_row_pairs(bytes) };
        pairs.map_err(|fault| fault.at(self.file.path(), handle.offset))
    }

    fn read_index(&self, handle: Handle) -> Result<Vec<IndexEntry>, Error> {
        let bytes = block::read(&self.file, handle, "table index")?;
        let entries =
            if self.format.has_columns() { column_index(bytes) } else { row_index(bytes) };
        entries.map_err(|fault| fault.at(self.file.path(), handle.offset))
    }

    fn read_data(&self, handle: Handle, spare: Vec<u8>) -> Result<Data, Error> {
        let bytes = block::read_into(spare, &self.file, handle, "table block")?;
        let data = if self.format.has_columns() {
            DataColumns::new(bytes).map(Data::Columns)
        } else {
            RowBlock::new(bytes).map(Data::Rows).map_err(Trouble::from)
        };
        data.map_err(|trouble| trouble.at(self.file.path(), handle.offset))
    }
}

/// What matters of a table's properties.
struct Properties {
    two_levels: bool,
    entries: u64,
}

impl Properties {
    fn read(pairs: &[Pair]) -> Result<Self, Trouble> {
        let mut found = Properties { two_levels: false, entries: 0 };
        let mut compared = false;
        for (name, value) in pairs {
            let mut parser = Parser::new(value, "table property");
            match name.as_slice() {
                b"rocksdb.comparator" if value == COMPARER.as_bytes() => compared = true,
                b"rocksdb.comparator" => return Err(Feature::Comparer(text(value)).into()),
                b"rocksdb.block.based.table.index.type" => {
                    found.two_levels = match parser.u32()? {
                        0 => false,
                        2 => true,
                        other => {
                            return Err(
                                Feature::TableFormat(format!("with index type {other}")).into()
                            );
                        }
                    }
                }
                b"rocksdb.num.entries" => found.entries = parser.varint()?,
                b"rocksdb.num.range-deletions"
                | b"pebble.num.range-key-dels"
                | b"pebble.num.range-key-sets"
                | b"pebble.num.range-key-unsets" => refuse_unless_zero(parser.varint()?)?,
                b"pebble.colblk.schema" if value != KEY_SCHEMA.as_bytes() => {
                    return Err(Feature::KeySchema(text(value)).into());
                }
                _ => {}
            }
        }
        if compared {
            Ok(found)
        } else {
            Err(Fault::Malformed("properties: they name no comparer").into())
        }
    }
}

fn refuse_unless_zero(range_entries: u64) -> Result<(), Feature> {
    if range_entries == 0 { Ok(()) } else { Err(Feature::RangeEntries) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read_row_pairs(bytes: Vec<u8>) -> Result<Vec<Pair>, Fault> {
    let mut rows = RowBlock::new(bytes)?;
    let mut pairs = Vec::new();
    while rows.advance()? {
        pairs.push((rows.key().to_vec(), rows.value().to_vec()));
    }
    Ok(pairs)
}

fn row_index(bytes: Vec<u8>) -> Result<Vec<IndexEntry>, Fault> {
    let mut rows = RowBlock::new(bytes)?;
    let mut entries = Vec::new();
    while rows.advance()? {
        let (separator, _) = split_internal(rows.key())?;
        // Behind the handle may stand properties of the block.
        let handle = Handle::parse(&mut Parser::new(rows.value(), "table index"))?;
        entries.push((separator.to_vec(), handle));
    }
    in_order(entries)
}

fn column_index(bytes: Vec<u8>) -> Result<Vec<IndexEntry>, Fault> {
    let rows = column::read_index(bytes)?;
    in_order(rows.into_iter().map(|(key, offset, len)| (key, Handle { offset, len })).collect())
}

fn in_order(entries: Vec<IndexEntry>) -> Result<Vec<IndexEntry>, Fault> {
    if entries.is_sorted_by(|(a, _), (b, _)| a <= b) { Ok(entries) } else { Err(Fault::Order) }
}

/// Reads the footer at the end of `tail`.
fn read_footer(tail: &[u8], dialect: Dialect) -> Result<Footer, Trouble> {
    let cut = Fault::Cut("table footer");
    let (rest, magic) = tail.split_last_chunk::<8>().ok_or_else(|| cut.clone())?;
    let format = format_of(u64::from_le_bytes(*magic), rest, dialect)?;
    let start = tail.len().checked_sub(format.footer_len()).ok_or(cut)?;
    let footer = tail.get(start..).unwrap_or_default();
    let mut parser = Parser::new(footer, "table footer");
    if format != Format::LevelDb {
        match parser.u8()? {
            1 => {}
            other => return Err(Feature::ChecksumType(other).into()),
        }
    }
    if format.pebble() >= 6 {
        check_footer(footer, format)?;
    }
    Ok(Footer {
        format,
        metaindex: Handle::parse(&mut parser)?,
        index: Handle::parse(&mut parser)?,
    })
}

/// Reads any bytes as the end of a table of either dialect.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_any_footer(tail: &[u8]) {
    for dialect in [Dialect::LevelDb, Dialect::Pebble] {
        let _ = read_footer(tail, dialect);
    }
}

/// The format by its magic number and, before that, its version.
fn format_of(magic: u64, before: &[u8], dialect: Dialect) -> Result<Format, Trouble> {
    if dialect == Dialect::LevelDb {
        return match magic {
            MAGIC_LEVELDB => Ok(Format::LevelDb),
            MAGIC_ROCKSDB | MAGIC_PEBBLE => {
                Err(Feature::TableFormat("of Pebble or RocksDB in a LevelDB store".to_owned())
                    .into())
            }
            _ => Err(Fault::Malformed("table footer: its magic number is unknown").into()),
        };
    }
    let version =
        before.last_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)).unwrap_or_default();
    match (magic, version) {
        (MAGIC_ROCKSDB, 2) => Ok(Format::RocksDbV2),
        (MAGIC_PEBBLE, 1..=NEWEST_PEBBLE) => Ok(Format::Pebble(version)),
        (MAGIC_ROCKSDB, other) => Err(Feature::TableFormat(format!("RocksDB {other}")).into()),
        (MAGIC_PEBBLE, other) => Err(Feature::TableFormat(format!("Pebble {other}")).into()),
        (MAGIC_LEVELDB, _) => {
            Err(Feature::TableFormat("LevelDB in a Pebble store".to_owned()).into())
        }
        _ => Err(Fault::Malformed("table footer: its magic number is unknown").into()),
    }
}

/// The checksum and attributes that footers have from Pebble's format 6 on.
fn check_footer(footer: &[u8], format: Format) -> Result<(), Trouble> {
    /// What follows the checksum: version and magic number.
    const BEHIND: usize = 12;
    /// Point keys; two-level index.
    const KNOWN: u32 = 1 << 7 | 1 << 5;
    const VALUE_BLOCKS: u32 = 1;
    let behind = footer.len().saturating_sub(BEHIND);
    let (front, tail) = footer.split_at_checked(behind).unwrap_or_default();
    let (covered, checksum) = front.split_last_chunk::<4>().ok_or(Fault::Cut("table footer"))?;
    if masked(&[covered, tail]) != u32::from_le_bytes(*checksum) {
        return Err(Fault::Checksum("table footer").into());
    }
    if format.pebble() < 7 {
        return Ok(());
    }
    let (_, attributes) = covered.split_last_chunk::<4>().ok_or(Fault::Cut("table footer"))?;
    match u32::from_le_bytes(*attributes) {
        known if known & !KNOWN == 0 => Ok(()),
        values if values & !(KNOWN | VALUE_BLOCKS) == 0 => Err(Feature::ExternalValues.into()),
        other => Err(Feature::Attributes(other).into()),
    }
}

/// A data block of either form.
#[derive(Debug)]
enum Data {
    Rows(RowBlock),
    Columns(DataColumns),
}

impl Data {
    /// Its memory, for another block.
    fn into_bytes(self) -> Vec<u8> {
        match self {
            Data::Rows(rows) => rows.into_bytes(),
            Data::Columns(columns) => columns.into_bytes(),
        }
    }

    fn advance(&mut self) -> Result<bool, Fault> {
        match self {
            Data::Rows(rows) => rows.advance(),
            Data::Columns(columns) => columns.advance(),
        }
    }

    /// The user key and trailer of the entry gone to.
    fn key(&self) -> Result<(&[u8], u64), Fault> {
        match self {
            Data::Rows(rows) => split_internal(rows.key()),
            Data::Columns(columns) => Ok((columns.key(), columns.trailer())),
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Data::Rows(rows) => rows.value(),
            Data::Columns(columns) => columns.value(),
        }
    }
}

/// Walks the entries of one table in order: keys ascending, sequences descending. Holds one block and one part of the
/// index. After an error it goes on behind the part that cannot be read.
#[derive(Debug)]
pub(crate) struct TableCursor {
    table: Arc<Table>,
    /// Where the walk begins.
    from: Vec<u8>,
    /// The next entry of the top index.
    top: usize,
    /// The part of the index in use, and its next entry.
    part: Vec<IndexEntry>,
    next: usize,
    data: Option<(Data, u64)>,
    /// Memory of the block before.
    spare: Vec<u8>,
    entry: Entry,
    /// Entries met, while the walk began at the first and missed none.
    counted: Option<u64>,
    started: bool,
}

/// The entry that a cursor stands on.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) sequence: u64,
    pub(crate) op: Op,
}

impl TableCursor {
    /// A cursor before the block in which the first entry may be whose key is not less than `from`. Reads nothing yet.
    pub(crate) fn new(table: Arc<Table>, from: &[u8]) -> Self {
        let top = table.top.partition_point(|(separator, _)| separator.as_slice() < from);
        TableCursor {
            table,
            from: from.to_vec(),
            top,
            part: Vec::new(),
            next: 0,
            data: None,
            spare: Vec::new(),
            entry: Entry { key: Vec::new(), sequence: 0, op: Op::Delete },
            counted: from.is_empty().then_some(0),
            started: false,
        }
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The value of the entry, if it is a set.
    pub(crate) fn value(&self) -> &[u8] {
        let value = self.data.as_ref().map(|(data, _)| data.value()).unwrap_or_default();
        let prefixed = self.entry.op == Op::Set && self.value_has_prefix();
        if prefixed { value.get(1..).unwrap_or_default() } else { value }
    }

    fn value_has_prefix(&self) -> bool {
        /// The kind of a plain set; the other kind of set has no prefix.
        const SET: u8 = 1;
        self.table.format.has_value_prefixes() && self.raw_kind() == Some(SET)
    }

    fn raw_kind(&self) -> Option<u8> {
        let (data, _) = self.data.as_ref()?;
        data.key().ok().map(|(_, trailer)| split_trailer(trailer).1)
    }

    /// Goes to the next entry; `false` after the last.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if let Some((data, offset)) = &mut self.data {
                let offset = *offset;
                match data.advance() {
                    Ok(true) => {
                        if let Err(trouble) = self.take_entry() {
                            return Err(self.lose(trouble, offset));
                        }
                        return Ok(true);
                    }
                    Ok(false) => {
                        let over = self.data.take();
                        self.spare = over.map(|(data, _)| data.into_bytes()).unwrap_or_default();
                    }
                    Err(fault) => return Err(self.lose(fault.into(), offset)),
                }
            }
            if !self.load_data()? {
                return self.check_count().map(|()| false);
            }
        }
    }

    /// Drops the block that cannot be read on, and says why.
    fn lose(&mut self, trouble: Trouble, offset: u64) -> Error {
        self.data = None;
        self.counted = None;
        trouble.at(self.table.file.path(), offset)
    }

    fn take_entry(&mut self) -> Result<(), Trouble> {
        let Some((data, _)) = &self.data else { return Ok(()) };
        let (key, trailer) = data.key()?;
        let (sequence, kind) = split_trailer(trailer);
        let op = op_of(kind, self.table.dialect)?;
        let ascends = match key.cmp(&self.entry.key) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => sequence < self.entry.sequence,
            std::cmp::Ordering::Greater => true,
        };
        if self.started && !ascends {
            return Err(Fault::Order.into());
        }
        self.started = true;
        self.entry.key.clear();
        self.entry.key.extend_from_slice(key);
        self.entry.sequence = sequence;
        self.entry.op = op;
        self.counted = self.counted.map(|counted| counted + 1);
        self.check_value_place()
    }

    fn check_value_place(&self) -> Result<(), Trouble> {
        /// The bits of the prefix that say where the value is; zero is in place.
        const PLACE: u8 = 0xc0;
        if !self.value_has_prefix() {
            return Ok(());
        }
        let value = self.data.as_ref().map(|(data, _)| data.value()).unwrap_or_default();
        match value.first() {
            None => Err(Fault::Malformed("value").into()),
            Some(prefix) if prefix & PLACE != 0 => Err(Feature::ExternalValues.into()),
            Some(_) => Ok(()),
        }
    }

    /// Reads the next data block; `false` when there is none.
    fn load_data(&mut self) -> Result<bool, Error> {
        loop {
            if let Some(&(_, handle)) = self.part.get(self.next) {
                self.next += 1;
                return match self.table.read_data(handle, std::mem::take(&mut self.spare)) {
                    Ok(data) => {
                        self.data = Some((data, handle.offset));
                        Ok(true)
                    }
                    Err(error) => {
                        self.counted = None;
                        Err(error)
                    }
                };
            }
            if !self.load_part()? {
                return Ok(false);
            }
        }
    }

    /// Reads the next part of the index; `false` when there is none.
    fn load_part(&mut self) -> Result<bool, Error> {
        self.part.clear();
        self.next = 0;
        if !self.table.two_levels {
            // The top is the only part, and all of it.
            if self.top == usize::MAX {
                return Ok(false);
            }
            self.part = self.table.top.get(self.top..).unwrap_or_default().to_vec();
            self.top = usize::MAX;
            self.skip_before_start();
            return Ok(true);
        }
        let Some(&(_, handle)) = self.table.top.get(self.top) else { return Ok(false) };
        self.top += 1;
        match self.table.read_index(handle) {
            Ok(part) => {
                self.part = part;
                self.skip_before_start();
                Ok(true)
            }
            Err(error) => {
                self.counted = None;
                Err(error)
            }
        }
    }

    fn skip_before_start(&mut self) {
        let from = self.from.as_slice();
        self.next = self.part.partition_point(|(separator, _)| separator.as_slice() < from);
    }

    /// After the last entry of a walk over all: as many as the table says.
    fn check_count(&mut self) -> Result<(), Error> {
        match (self.counted.take(), self.table.entries) {
            (Some(found), Some(expected)) if found != expected => {
                Err(Fault::Count { expected, found }.at(self.table.file.path(), 0))
            }
            _ => Ok(()),
        }
    }
}
