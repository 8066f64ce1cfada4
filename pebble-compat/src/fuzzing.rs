//! The parsers behind the checksums, one door each, for fuzz targets: bytes in, nothing out, no panic.

use crate::column::{self, DataColumns};
use crate::entry::{Dialect, read_batch};
use crate::manifest::Version;
use crate::row::RowBlock;
use crate::snappy;
use crate::table::check_any_footer;

/// Longest block that the snappy decoder is asked for.
const MAX_UNPACKED: usize = 1 << 20;

/// A block of rows, walked to its end.
pub fn row_block(bytes: &[u8]) {
    let Ok(mut rows) = RowBlock::new(bytes.to_vec()) else { return };
    while rows.advance() == Ok(true) {
        assert!(rows.key().len() + rows.value().len() <= 2 * bytes.len());
    }
}

/// A block of columns, as data, as index and as properties.
pub fn column_block(bytes: &[u8]) {
    if let Ok(index) = column::read_index(bytes.to_vec()) {
        assert!(index.len() <= bytes.len());
    }
    if let Ok(pairs) = column::read_pairs(bytes.to_vec()) {
        assert!(pairs.len() <= bytes.len());
    }
    let Ok(mut data) = DataColumns::new(bytes.to_vec()) else { return };
    while data.advance() == Ok(true) {
        assert!(data.value().len() <= bytes.len());
    }
}

/// A record of a manifest.
pub fn manifest_record(bytes: &[u8]) {
    for dialect in [Dialect::LevelDb, Dialect::Pebble] {
        let _ = Version::default().apply(bytes, dialect);
    }
}

/// A batch of writes.
pub fn batch(bytes: &[u8]) {
    for dialect in [Dialect::LevelDb, Dialect::Pebble] {
        let mut held = 0;
        let _ = read_batch(bytes, dialect, |_, _, key, value| held += key.len() + value.len());
        assert!(held <= bytes.len());
    }
}

/// The end of a table.
pub fn footer(bytes: &[u8]) {
    check_any_footer(bytes);
}

/// A packed block.
pub fn packed(bytes: &[u8]) {
    if let Ok(unpacked) = snappy::unpack(bytes, MAX_UNPACKED, "block") {
        assert!(unpacked.len() <= MAX_UNPACKED);
    }
}
