//! A LevelDB or Pebble store as one ordered set of pairs: its tables and journals merged, the newest entry of each key
//! deciding.
//!
//! Where the two differ (which manifest is in force, what is refused) is `leveldb.rs` and `pebble.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::behind::IsCached;
use crate::entry::{Dialect, Op};
use crate::error::{Error, Fault, Notes};
use crate::journal::{Journal, Latest, Replay, read_manifest};
use crate::manifest::{TableInfo, Version, runs};
use crate::merge::{Merge, RunCursor, Source};
use crate::source::{SourceFile, list, number_before};
use crate::table::{Table, TableCursor};

/// Tables that point look-ups keep open, each with the top of its index. A scan opens its own, one for each level and
/// each overlapping table of level 0.
const MAX_OPEN_TABLES: usize = 64;

/// Tables by level; in a level, runs that ascend and share no key.
type Levels = BTreeMap<u64, Vec<Arc<Vec<TableInfo>>>>;

/// A stopped store.
#[derive(Debug)]
pub(crate) struct Lsm {
    tables: TableFiles,
    levels: Levels,
    journal: Journal,
}

/// Where a store's tables are, and how they are opened.
#[derive(Debug)]
pub(crate) struct TableFiles {
    dir: PathBuf,
    dialect: Dialect,
    is_cached: Option<IsCached>,
    /// Most recently used last.
    open: Mutex<Vec<(u64, Arc<Table>)>>,
}

impl Lsm {
    /// Reads the manifest and the journals of the store in `dir`. Opens no table, unless the manifest cannot be read and
    /// is done without.
    pub(crate) fn open(
        dir: &Path,
        manifest: Result<PathBuf, Error>,
        how: Replay,
        notes: &mut Notes,
    ) -> Result<Self, Error> {
        let files = TableFiles {
            dir: dir.to_owned(),
            dialect: how.dialect,
            is_cached: how.is_cached,
            open: Mutex::new(Vec::new()),
        };
        let version = match manifest.and_then(|path| read_version(&path, how.dialect, notes)) {
            Err(error @ Error::Damaged { .. }) if how.salvage => {
                notes.push(error);
                files.version_without_manifest(notes)?
            }
            other => other?,
        };
        let journal = read_journals(dir, &version, how, notes)?;
        let mut levels: BTreeMap<u64, Vec<TableInfo>> = BTreeMap::new();
        for ((level, _), table) in version.tables {
            levels.entry(level).or_default().push(table);
        }
        let in_runs = |tables| runs(tables).into_iter().map(Arc::new).collect();
        Ok(Lsm {
            tables: files,
            levels: levels.into_iter().map(|(level, tables)| (level, in_runs(tables))).collect(),
            journal,
        })
    }

    /// The pairs from `from` on that are not in the tables `seen`.
    pub(crate) fn scan(&self, from: &[u8], seen: &BTreeSet<u64>) -> Merge<'_> {
        let mut sources = vec![Source::journal(&self.journal, from)];
        for run in self.levels.values().flatten() {
            let run = without(run, seen);
            sources.push(Source::run(RunCursor::new(&self.tables, run, from)));
        }
        Merge::new(sources)
    }

    /// Its tables, with their files.
    pub(crate) fn tables(&self) -> Vec<(u64, PathBuf)> {
        let numbers = self.levels.values().flatten().flat_map(|run| run.iter());
        numbers.map(|table| (table.number, self.tables.path_of(table.number))).collect()
    }

    /// The value of `key`: journals first, then level by level, newest first.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if let Some(latest) = self.journal.entries.get(key) {
            return Ok(latest.value.clone());
        }
        for runs in self.levels.values() {
            let mut newest: Option<Latest> = None;
            for run in runs {
                let found = self.look_in(run, key)?;
                newest = newest.into_iter().chain(found).max_by_key(|latest| latest.sequence);
            }
            if let Some(latest) = newest {
                return Ok(latest.value);
            }
        }
        Ok(None)
    }

    fn look_in(&self, run: &[TableInfo], key: &[u8]) -> Result<Option<Latest>, Error> {
        let at = run.partition_point(|table| table.largest.as_slice() < key);
        let Some(info) = run.get(at).filter(|table| table.smallest.as_slice() <= key) else {
            return Ok(None);
        };
        let mut cursor = TableCursor::new(self.tables.cached(info)?, key);
        while cursor.advance()? {
            let entry = cursor.entry();
            if entry.key.as_slice() >= key {
                let value = (entry.op == Op::Set).then(|| cursor.value().to_vec());
                return Ok((entry.key == key).then_some(Latest { sequence: entry.sequence, value }));
            }
        }
        Ok(None)
    }
}

/// A run without the tables `seen`.
pub(crate) fn without(run: &Arc<Vec<TableInfo>>, seen: &BTreeSet<u64>) -> Arc<Vec<TableInfo>> {
    if seen.is_empty() {
        return Arc::clone(run);
    }
    let others = run.iter().filter(|table| !seen.contains(&table.number));
    Arc::new(others.cloned().collect())
}

impl TableFiles {
    /// Where a table lies, by the first of its names that is there.
    fn path_of(&self, number: u64) -> PathBuf {
        let paths = self.extensions().iter().map(|it| self.dir.join(format!("{number:06}.{it}")));
        let there = paths.clone().find(|path| path.exists());
        there.or_else(|| paths.into_iter().next()).unwrap_or_default()
    }

    /// Every table in the folder as one of level 0, and every journal. Opens each table once.
    ///
    /// Tables that nothing needs any more may be among them, so deleted keys may show.
    fn version_without_manifest(&self, notes: &mut Notes) -> Result<Version, Error> {
        let mut version = Version::default();
        for name in list(&self.dir)? {
            let numbers = self.extensions().iter().find_map(|it| number_before(&name, it));
            let Some(number) = numbers else { continue };
            match self.describe(number) {
                Ok(info) => drop(version.tables.insert((0, number), info)),
                Err(error @ Error::Damaged { .. }) => notes.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(version)
    }

    /// What a manifest would say of a table.
    fn describe(&self, number: u64) -> Result<TableInfo, Error> {
        let size = self.file_of(number)?.len();
        let mut info = TableInfo { number, size, smallest: Vec::new(), largest: Vec::new() };
        let table = Arc::new(self.open(&info)?);
        info.largest = table.largest().to_vec();
        let mut cursor = TableCursor::new(table, &[]);
        // A first block that cannot be read says nothing about where the table begins.
        if let Ok(true) = cursor.advance() {
            info.smallest = cursor.entry().key.clone();
        }
        Ok(info)
    }

    /// Old LevelDB stores call their tables as Pebble does.
    fn extensions(&self) -> &'static [&'static str] {
        match self.dialect {
            Dialect::LevelDb => &["ldb", "sst"],
            Dialect::Pebble => &["sst"],
        }
    }

    /// Opens a table anew.
    pub(crate) fn open(&self, info: &TableInfo) -> Result<Table, Error> {
        Table::open(self.file_of(info.number)?, info, self.dialect)
    }

    fn file_of(&self, number: u64) -> Result<SourceFile, Error> {
        let mut missing = Err(Fault::Missing.at(&self.dir, 0));
        for extension in self.extensions() {
            let path = self.dir.join(format!("{number:06}.{extension}"));
            match SourceFile::open_as(path, self.is_cached) {
                Err(error @ Error::Damaged { fault: Fault::Missing, .. }) if missing.is_err() => {
                    missing = Err(error);
                }
                other => return other,
            }
        }
        missing
    }

    /// Opens a table, or takes one that is open.
    fn cached(&self, info: &TableInfo) -> Result<Arc<Table>, Error> {
        if let Some(table) = self.take_cached(info.number) {
            return Ok(table);
        }
        let table = Arc::new(self.open(info)?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN_TABLES {
            open.remove(0);
        }
        open.push((info.number, Arc::clone(&table)));
        Ok(table)
    }

    fn take_cached(&self, number: u64) -> Option<Arc<Table>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = open.iter().position(|(held, _)| *held == number)?;
        let held = open.remove(at);
        let table = Arc::clone(&held.1);
        open.push(held);
        Some(table)
    }
}

/// Adds up the records of a manifest.
fn read_version(path: &Path, dialect: Dialect, notes: &mut Notes) -> Result<Version, Error> {
    let mut version = Version::default();
    read_manifest(path, notes, |record| version.apply(record, dialect))?;
    version.check().map_err(|fault| fault.at(path, 0))?;
    Ok(version)
}

/// Replays the journals that count, oldest first.
fn read_journals(
    dir: &Path,
    version: &Version,
    how: Replay,
    notes: &mut Notes,
) -> Result<Journal, Error> {
    let mut found: Vec<(u64, String)> = list(dir)?
        .into_iter()
        .filter_map(|name| Some((number_before(&name, "log")?, name)))
        .filter(|&(number, _)| {
            number >= version.first_journal || version.previous_journal == Some(number)
        })
        .collect();
    found.sort_unstable();
    let mut journal = Journal::default();
    let count = found.len();
    for (index, (number, name)) in found.into_iter().enumerate() {
        journal.replay(&dir.join(name), number, index + 1 == count, how, notes)?;
    }
    Ok(journal)
}
