//! A Badger 1 store as one ordered set of pairs: tables and value logs merged, values fetched from where they lie.
//!
//! `manifest.rs` says which tables are alive, `table.rs` reads them, `vlog.rs` the value logs. Rules: Badger 1.6 `db.go`,
//! `value.go`, `iterator.go`, `levels.go`.

mod manifest;
mod table;
mod value;
mod vlog;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use manifest::is_manifest;
pub(crate) use table::{Cursor, Table};

use crate::behind::IsCached;
use crate::error::{Error, Notes};
use crate::journal::Journal;
use crate::lsm::without;
use crate::manifest::{TableInfo, runs};
use crate::merge::{Merge, Source};
use crate::source::{SourceFile, list, number_before};
use crate::store::Options;
use value::{Pointer, Stored};
use vlog::VLog;

/// Keys of Badger's own begin so; they are not shown.
const INTERNAL: &[u8] = b"!badger!";

/// Where the value logs are that no table holds yet.
const HEAD: &[u8] = b"!badger!head";

/// Before keys whose values garbage collection moved to another value log.
const MOVED: &[u8] = b"!badger!move";

/// Value logs that are kept open.
const MAX_OPEN_VLOGS: usize = 32;

/// Tables that look-ups keep open.
const MAX_OPEN_TABLES: usize = 32;

/// A stopped store.
#[derive(Debug)]
pub(crate) struct Badger {
    tables: Tables,
    /// By level; in a level, runs that ascend and share no key.
    levels: BTreeMap<u64, Vec<Arc<Vec<TableInfo>>>>,
    journal: Journal,
    /// Moved values that the value logs name and no table does: by key, with the version.
    moved: BTreeMap<(Vec<u8>, u64), Vec<u8>>,
    vlogs: VLogs,
}

/// Where a store's tables are, which are open, and which were found whole.
#[derive(Debug)]
pub(crate) struct Tables {
    dir: PathBuf,
    checksums: BTreeMap<u64, Vec<u8>>,
    is_cached: Option<IsCached>,
    whole: Mutex<BTreeSet<u64>>,
    /// Most recently used last.
    open: Mutex<Vec<(u64, Arc<Table>)>>,
}

/// The value logs of a store.
#[derive(Debug)]
struct VLogs {
    dir: PathBuf,
    is_cached: Option<IsCached>,
    present: BTreeSet<u64>,
    /// Most recently used last.
    open: Mutex<Vec<(u64, Arc<VLog>)>>,
}

impl Badger {
    /// Reads the manifest, every table for its checksum, and the value logs from where the tables end.
    pub(crate) fn open(dir: &Path, options: Options, notes: &mut Notes) -> Result<Self, Error> {
        let Options { salvage, is_cached } = options;
        let live = manifest::read(&dir.join(manifest::NAME), notes)?;
        let checksums = live.iter().map(|(id, table)| (*id, table.checksum.clone())).collect();
        let tables = Tables {
            dir: dir.to_owned(),
            checksums,
            is_cached,
            whole: Mutex::new(BTreeSet::new()),
            open: Mutex::new(Vec::new()),
        };
        let mut levels: BTreeMap<u64, Vec<TableInfo>> = BTreeMap::new();
        for (id, table) in live {
            match tables.describe(id) {
                Ok(info) => levels.entry(table.level).or_default().push(info),
                Err(error @ Error::Damaged { .. }) if salvage => notes.push(error),
                Err(error) => return Err(error),
            }
        }
        let in_runs = |tables| runs(tables).into_iter().map(Arc::new).collect();
        let mut store = Badger {
            tables,
            levels: levels.into_iter().map(|(level, tables)| (level, in_runs(tables))).collect(),
            journal: Journal::default(),
            moved: BTreeMap::new(),
            vlogs: VLogs::list(dir, is_cached)?,
        };
        store.replay(salvage, notes)?;
        Ok(store)
    }

    /// Reads what the value logs hold behind the place that the tables know.
    fn replay(&mut self, salvage: bool, notes: &mut Notes) -> Result<(), Error> {
        let head = match self.newest(HEAD) {
            Err(error @ Error::Damaged { .. }) if salvage => {
                notes.push(error);
                None
            }
            other => other?,
        };
        let head = head.map(|(_, value)| self.parse(&value)).transpose()?;
        let head = head.and_then(|stored| Pointer::parse(&stored.payload).ok()).unwrap_or_default();
        let last = self.vlogs.present.last().copied();
        for id in self.vlogs.present.clone().range(u64::from(head.file)..) {
            let from = if *id == u64::from(head.file) { head.end() } else { 0 };
            let log = self.vlogs.get(*id)?;
            let journal = (&mut self.journal, &mut self.moved);
            vlog::replay(&log, from, Some(*id) == last, salvage, journal, notes)?;
        }
        Ok(())
    }

    /// The pairs from `from` on that are not in the tables `seen`, as they are stored.
    pub(crate) fn scan(&self, from: &[u8], seen: &BTreeSet<u64>) -> Merge<'_> {
        let mut sources = vec![Source::journal(&self.journal, from)];
        for run in self.levels.values().flatten() {
            let run = without(run, seen);
            sources.push(Source::badger(RunCursor::new(&self.tables, run, from)));
        }
        Merge::new(sources)
    }

    /// Its tables, with their files.
    pub(crate) fn tables(&self) -> Vec<(u64, PathBuf)> {
        let numbers = self.levels.values().flatten().flat_map(|run| run.iter());
        numbers.map(|table| (table.number, self.tables.path_of(table.number))).collect()
    }

    /// The value that a stored pair stands for: `None` when it is deleted, expired, or Badger's own.
    pub(crate) fn resolve(
        &self,
        key: &[u8],
        version: u64,
        stored: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        if key.starts_with(INTERNAL) {
            return Ok(None);
        }
        let stored = self.parse(stored)?;
        if stored.is_gone() {
            return Ok(None);
        }
        if !stored.is_pointer() {
            return Ok(Some(stored.payload));
        }
        let pointer = self.pointer(&stored)?;
        if self.vlogs.present.contains(&u64::from(pointer.file)) {
            return self.vlogs.fetch(pointer, key, version).map(Some);
        }
        self.fetch_moved(key, version, pointer).map(Some)
    }

    /// The value of a key whose value log is gone: garbage collection wrote it again under a key of its own.
    fn fetch_moved(&self, key: &[u8], version: u64, lost: Pointer) -> Result<Vec<u8>, Error> {
        let key = [MOVED, key].concat();
        for stored in self.moves_of(&key, version)? {
            let stored = self.parse(&stored)?;
            if !stored.is_pointer() {
                return Ok(stored.payload);
            }
            let pointer = self.pointer(&stored)?;
            if self.vlogs.present.contains(&u64::from(pointer.file)) {
                return self.vlogs.fetch(pointer, &key, version);
            }
        }
        Err(crate::error::Fault::Missing.at(&self.vlogs.path_of(u64::from(lost.file)), 0))
    }

    /// Where a moved value was written, newest first. Any level may hold it.
    fn moves_of(&self, key: &[u8], version: u64) -> Result<Vec<Vec<u8>>, Error> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        found.extend(self.moved.get(&(key.to_vec(), version)).cloned());
        for runs in self.levels.values() {
            let mut tables: Vec<&TableInfo> =
                runs.iter().filter_map(|run| covering(run, key)).collect();
            tables.sort_by_key(|table| std::cmp::Reverse(table.number));
            for table in tables {
                let mut cursor = Cursor::new(self.tables.cached(table)?, key);
                while cursor.advance()? && cursor.key() <= key {
                    if cursor.key() == key && cursor.version() == version {
                        found.push(cursor.value().to_vec());
                    }
                }
            }
        }
        Ok(found)
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.newest(key)? {
            Some((version, stored)) => self.resolve(key, version, &stored),
            None => Ok(None),
        }
    }

    /// The newest version of a key and how it is stored. Every table that may hold the key is asked.
    fn newest(&self, key: &[u8]) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let latest = self.journal.entries.get(key);
        let mut newest = latest.and_then(|latest| Some((latest.sequence, latest.value.clone()?)));
        for table in self.levels.values().flatten().filter_map(|run| covering(run, key)) {
            let mut cursor = Cursor::new(self.tables.cached(table)?, key);
            while cursor.advance()? {
                if cursor.key() < key {
                    continue;
                }
                let newer = newest.as_ref().is_none_or(|(version, _)| *version < cursor.version());
                if cursor.key() == key && newer {
                    newest = Some((cursor.version(), cursor.value().to_vec()));
                }
                break;
            }
        }
        Ok(newest)
    }

    fn parse(&self, stored: &[u8]) -> Result<Stored, Error> {
        Stored::parse(stored).map_err(|trouble| trouble.at(&self.tables.dir, 0))
    }

    fn pointer(&self, stored: &Stored) -> Result<Pointer, Error> {
        Pointer::parse(&stored.payload).map_err(|fault| fault.at(&self.tables.dir, 0))
    }
}

/// The table of a run that may hold `key`.
fn covering<'a>(run: &'a [TableInfo], key: &[u8]) -> Option<&'a TableInfo> {
    let at = run.partition_point(|table| table.largest.as_slice() < key);
    run.get(at).filter(|table| table.smallest.as_slice() <= key)
}

impl Tables {
    /// The keys between which a table's entries are. Reads all of it once, for nothing less shows that they are right.
    fn describe(&self, id: u64) -> Result<TableInfo, Error> {
        let table = self.open(id)?;
        let (smallest, largest) = table.bounds()?;
        Ok(TableInfo { number: id, size: table.len(), smallest, largest })
    }

    fn open_file(&self, id: u64) -> Result<SourceFile, Error> {
        SourceFile::open_as(self.path_of(id), self.is_cached)
    }

    fn path_of(&self, id: u64) -> PathBuf {
        self.dir.join(format!("{id:06}.sst"))
    }

    /// Opens a table, and checks all of it against its checksum unless that was done before: its blocks have none.
    fn open(&self, id: u64) -> Result<Table, Error> {
        let table = Table::open(self.open_file(id)?)?;
        let lock = || self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if !lock().contains(&id) {
            table.check(self.checksums.get(&id).map(Vec::as_slice).unwrap_or_default())?;
            lock().insert(id);
        }
        Ok(table)
    }

    fn cached(&self, info: &TableInfo) -> Result<Arc<Table>, Error> {
        cached(&self.open, MAX_OPEN_TABLES, info.number, || self.open(info.number))
    }
}

impl VLogs {
    fn list(dir: &Path, is_cached: Option<IsCached>) -> Result<Self, Error> {
        let names = list(dir)?;
        let present = names.iter().filter_map(|name| number_before(name, "vlog")).collect();
        Ok(VLogs { dir: dir.to_owned(), is_cached, present, open: Mutex::new(Vec::new()) })
    }

    fn path_of(&self, id: u64) -> PathBuf {
        self.dir.join(format!("{id:06}.vlog"))
    }

    fn get(&self, id: u64) -> Result<Arc<VLog>, Error> {
        cached(&self.open, MAX_OPEN_VLOGS, id, || {
            Ok(VLog::new(SourceFile::open_as(self.path_of(id), self.is_cached)?, id))
        })
    }

    /// The value that a pointer leads to; fails unless the entry there is that of `key` at `version`, and whole.
    fn fetch(&self, pointer: Pointer, key: &[u8], version: u64) -> Result<Vec<u8>, Error> {
        self.get(u64::from(pointer.file))?.fetch(pointer, key, version)
    }
}

/// Takes what is open under `id`, or opens it, forgetting what was not used for longest.
fn cached<T>(
    open: &Mutex<Vec<(u64, Arc<T>)>>,
    max: usize,
    id: u64,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<Arc<T>, Error> {
    let lock = || open.lock().unwrap_or_else(PoisonError::into_inner);
    let mut held = lock();
    if let Some(at) = held.iter().position(|(held, _)| *held == id) {
        let found = held.remove(at);
        let value = Arc::clone(&found.1);
        held.push(found);
        return Ok(value);
    }
    drop(held);
    let value = Arc::new(make()?);
    let mut held = lock();
    if held.len() >= max {
        held.remove(0);
    }
    held.push((id, Arc::clone(&value)));
    Ok(value)
}

/// Walks the tables of one run, one open at a time. After an error it goes on behind what cannot be read.
#[derive(Debug)]
pub(crate) struct RunCursor<'a> {
    tables: &'a Tables,
    run: Arc<Vec<TableInfo>>,
    from: Vec<u8>,
    next: usize,
    table: Option<Cursor>,
}

impl<'a> RunCursor<'a> {
    fn new(tables: &'a Tables, run: Arc<Vec<TableInfo>>, from: &[u8]) -> Self {
        let next = run.partition_point(|table| table.largest.as_slice() < from);
        RunCursor { tables, run, from: from.to_vec(), next, table: None }
    }

    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if let Some(cursor) = &mut self.table {
                while cursor.advance()? {
                    if cursor.key() >= self.from.as_slice() {
                        return Ok(true);
                    }
                }
                self.table = None;
            }
            let Some(info) = self.run.get(self.next) else { return Ok(false) };
            self.next += 1;
            let table = Arc::new(self.tables.open(info.number)?);
            self.table = Some(Cursor::new(table, &self.from));
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.table.as_ref().map(Cursor::key).unwrap_or_default()
    }

    pub(crate) fn version(&self) -> u64 {
        self.table.as_ref().map_or(0, Cursor::version)
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.table.as_ref().map(Cursor::value).unwrap_or_default()
    }
}
