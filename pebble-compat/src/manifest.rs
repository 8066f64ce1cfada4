//! The manifest of a LevelDB or Pebble store: which tables are alive at which level, and from which number on journals
//! count. Pure: records in, a picture of the store out.
//!
//! Rules: goleveldb `session_record.go`, Pebble `internal/manifest/version_edit.go`.

use std::collections::BTreeMap;

use crate::entry::{Dialect, split_internal};
use crate::error::{Fault, Feature, Trouble};
use crate::parse::Parser;

/// The order of keys that Kubo's stores use: that of their bytes.
pub(crate) const COMPARER: &str = "leveldb.BytewiseComparator";

/// A live table, as the manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableInfo {
    pub(crate) number: u64,
    pub(crate) size: u64,
    /// Smallest and largest user key.
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
}

/// What the records of a manifest add up to.
#[derive(Debug, Default)]
pub(crate) struct Version {
    /// By level and file number.
    pub(crate) tables: BTreeMap<(u64, u64), TableInfo>,
    comparer: bool,
    /// Journals with a lower number are in tables already.
    pub(crate) first_journal: u64,
    /// One older journal that counts as well (LevelDB).
    pub(crate) previous_journal: Option<u64>,
}

impl Version {
    /// Applies one record. Nothing is changed when it fails.
    pub(crate) fn apply(&mut self, record: &[u8], dialect: Dialect) -> Result<(), Trouble> {
        let edit = Edit::parse(record, dialect)?;
        self.comparer |= edit.comparer;
        if let Some(number) = edit.first_journal {
            self.first_journal = number;
        }
        if edit.previous_journal.is_some() {
            self.previous_journal = edit.previous_journal.filter(|&number| number != 0);
        }
        // ORDER: a table that moves to another level is deleted and added in one record.
        for place in edit.deleted {
            self.tables.remove(&place);
        }
        self.tables.extend(edit.added);
        Ok(())
    }

    /// Fails unless the records named the comparer, as the first one of every manifest does.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.comparer { Ok(()) } else { Err(Fault::Malformed("manifest: it names no comparer")) }
    }
}

/// One record of a manifest.
#[derive(Debug, Default)]
struct Edit {
    comparer: bool,
    first_journal: Option<u64>,
    previous_journal: Option<u64>,
    deleted: Vec<(u64, u64)>,
    added: Vec<((u64, u64), TableInfo)>,
}

impl Edit {
    fn parse(record: &[u8], dialect: Dialect) -> Result<Edit, Trouble> {
        let mut edit = Edit::default();
        let mut parser = Parser::new(record, "manifest record");
        while !parser.is_empty() {
            let tag = parser.varint()?;
            match tag {
                1 => edit.read_comparer(parser.prefixed()?)?,
                2 => edit.first_journal = Some(parser.varint()?),
                // Next file number, last sequence: of use to writers.
                3 | 4 => drop(parser.varint()?),
                // Where the next compaction begins.
                5 => {
                    parser.varint()?;
                    parser.prefixed()?;
                }
                6 => edit.deleted.push((parser.varint()?, parser.varint()?)),
                7 => edit.read_table(&mut parser, tag)?,
                9 => edit.previous_journal = Some(parser.varint()?),
                100 | 102 | 103 if dialect == Dialect::Pebble => {
                    edit.read_table(&mut parser, tag)?
                }
                _ => return Err(Feature::ManifestTag(tag).into()),
            }
        }
        Ok(edit)
    }

    fn read_comparer(&mut self, name: &[u8]) -> Result<(), Feature> {
        if name != COMPARER.as_bytes() {
            return Err(Feature::Comparer(String::from_utf8_lossy(name).into_owned()));
        }
        self.comparer = true;
        Ok(())
    }

    fn read_table(&mut self, parser: &mut Parser<'_>, tag: u64) -> Result<(), Trouble> {
        let (level, number) = (parser.varint()?, parser.varint()?);
        if tag == 102 {
            // The path among several; Pebble writes none but the first.
            parser.varint()?;
        }
        let size = parser.varint()?;
        let smallest = split_internal(parser.prefixed()?)?.0.to_vec();
        let largest = split_internal(parser.prefixed()?)?.0.to_vec();
        if tag != 7 {
            // Smallest and largest sequence.
            parser.varint()?;
            parser.varint()?;
        }
        if tag == 103 {
            skip_properties(parser)?;
        }
        if smallest > largest {
            return Err(Fault::Order.into());
        }
        self.added.push(((level, number), TableInfo { number, size, smallest, largest }));
        Ok(())
    }
}

/// Passes over what a reader may ignore of a table's properties, and refuses what it may not.
fn skip_properties(parser: &mut Parser<'_>) -> Result<(), Trouble> {
    /// From this tag on, properties change what a table means.
    const FIRST_UNSAFE: u64 = 64;
    loop {
        let tag = parser.varint()?;
        if tag == 1 {
            return Ok(());
        }
        if tag >= FIRST_UNSAFE {
            return Err(Feature::TableTag(tag).into());
        }
        parser.prefixed()?;
    }
}

/// Tables in as few runs as their order allows: within a run they ascend and share no user key, so that one cursor walks
/// it with one table open.
pub(crate) fn runs(mut tables: Vec<TableInfo>) -> Vec<Vec<TableInfo>> {
    tables.sort_by(|a, b| a.smallest.cmp(&b.smallest));
    let mut runs: Vec<Vec<TableInfo>> = Vec::new();
    for table in tables {
        let fits = |run: &&mut Vec<TableInfo>| {
            run.last().is_some_and(|last| last.largest < table.smallest)
        };
        match runs.iter_mut().find(fits) {
            Some(run) => run.push(table),
            None => runs.push(vec![table]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(number: u64, smallest: &str, largest: &str) -> TableInfo {
        TableInfo { number, size: 0, smallest: smallest.into(), largest: largest.into() }
    }

    #[test]
    fn tables_that_overlap_are_in_different_runs() {
        let runs = runs(vec![
            table(1, "a", "c"),
            table(2, "c", "d"),
            table(3, "d", "e"),
            table(4, "f", "g"),
        ]);
        let numbers: Vec<Vec<u64>> =
            runs.iter().map(|run| run.iter().map(|table| table.number).collect()).collect();
        assert_eq!(numbers, [vec![1, 3, 4], vec![2]]);
    }

    #[test]
    fn records_that_name_blob_files_or_virtual_tables_are_refused() {
        for tag in [8u64, 104, 105, 106, 107, 108] {
            let mut record = vec![tag as u8];
            record.extend([0; 8]);
            let refused = Version::default().apply(&record, Dialect::Pebble);
            assert_eq!(refused, Err(Feature::ManifestTag(tag).into()));
        }
    }

    #[test]
    fn a_table_that_moves_to_another_level_stays_alive() {
        let mut version = Version::default();
        let key = b"\x09a\x01\0\0\0\0\0\0\0";
        let add = |level: u8| [&[7, level, 5, 99][..], key, key].concat();
        version.apply(&add(0), Dialect::LevelDb).expect("a record");
        version.apply(&[add(1), vec![6, 0, 5]].concat(), Dialect::LevelDb).expect("a record");
        assert_eq!(version.tables.keys().collect::<Vec<_>>(), [&(1, 5)]);
    }
}
