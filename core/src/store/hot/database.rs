//! The open RocksDB: the only file that calls it to read, write and flush.
//!
//! Owns the handle, the translation of its errors, and which writes are logged. Must not know what the
//! bytes mean. Two functions of RocksDB are never called: `repair` deletes healthy blob files, and a
//! secondary instance cannot read them.

use std::path::{Path, PathBuf};

use rocksdb::{
    ColumnFamily, DB, DBPinnableSlice, DBRawIterator, FlushOptions, Options, ReadOptions, ReadTier,
    WriteBatch, WriteOptions,
};
use rustix::fs::{Mode, OFlags};

use super::buffers::Buffers;
use super::error::HotError;
use super::folder::Folder;
use super::options::Settings;
use super::schema::{Family, Id, after_prefix};
use crate::fail;

pub(super) struct Database {
    // ORDER: fields drop in this order; the lock on the folder goes when RocksDB is closed.
    db: DB,
    buffers: Buffers,
    /// The store's folder, for sentences.
    path: PathBuf,
    _folder: Option<Folder>,
}

/// Whether a write is in the log, and so survives a crash without a flush once the log is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    On,
    Off,
}

/// Whether files of this folder, or of that which it will be made in, can be written past the page cache. Opens one without
/// a name.
fn takes_direct_io(folder: &Path) -> bool {
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    rustix::fs::open(there, flags, Mode::RUSR | Mode::WUSR).is_ok()
}

impl Database {
    /// Opens the database of a folder, which stays locked until it is closed.
    pub(super) fn open(settings: &Settings, folder: Folder) -> Result<Database, HotError> {
        let mut database = Database::open_at(settings, &folder.database(), folder.path(), false)?;
        database._folder = Some(folder);
        Ok(database)
    }

    /// Makes a database in `at`; `store` is the folder that errors name.
    pub(super) fn make(settings: &Settings, at: &Path, store: &Path) -> Result<Database, HotError> {
        Database::open_at(settings, at, store, true)
    }

    fn open_at(
        settings: &Settings,
        at: &Path,
        store: &Path,
        create: bool,
    ) -> Result<Database, HotError> {
        let mut options: Options = settings.options.clone();
        options.create_if_missing(create);
        options.create_missing_column_families(create);
        // What is flushed or compacted was in memory or is moved for its own sake: it passes by the page cache, which is
        // the viewers', and saves a copy, half of what an import costs.
        let folders = settings.payload.iter().map(PathBuf::as_path).chain([at]);
        options
            .set_use_direct_io_for_flush_and_compaction(folders.into_iter().all(takes_direct_io));
        let db = settings
            .families()
            .and_then(|families| DB::open_cf_descriptors(&options, at, families))
            .map_err(|error| HotError::engine(store, "opening it", &error))?;
        Ok(Database { db, buffers: settings.buffers(), path: store.to_owned(), _folder: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of its files.
    pub(super) fn files(&self) -> PathBuf {
        self.db.path().to_owned()
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily, HotError> {
        self.db.cf_handle(family.name()).ok_or_else(|| {
            HotError::damaged(&self.path, format!("there is no family \"{}\"", family.name()))
        })
    }

    fn failed(&self, doing: &'static str) -> impl Fn(rocksdb::Error) -> HotError {
        move |error| HotError::engine(&self.path, doing, &error)
    }

    /// A value that is not what the schema says.
    pub(super) fn damaged(&self, family: Family, key: &[u8]) -> HotError {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        HotError::damaged(
            &self.path,
            format!("a record of \"{}\" under {key} cannot be read", family.name()),
        )
    }

    /// A value, held in memory as long as the slice lives.
    pub(super) fn get(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<DBPinnableSlice<'_>>, HotError> {
        self.db.get_pinned_cf(self.family(family)?, key).map_err(self.failed("reading"))
    }

    /// The same from memory alone; `None` when that does not suffice. Never waits for a disk.
    pub(super) fn get_now(
        &self,
        family: Family,
        key: &[u8],
    ) -> Option<Option<DBPinnableSlice<'_>>> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::BlockCache);
        // Where the cache does not hold what would tell, RocksDB's answer is an error ("incomplete").
        self.db.get_pinned_cf_opt(self.family(family).ok()?, key, &options).ok()
    }

    /// The rows from `from` on, up to but without `end`, as they were when this was called.
    pub(super) fn scan(
        &self,
        family: Family,
        from: &[u8],
        end: Option<Vec<u8>>,
    ) -> Result<Rows<'_>, HotError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        // One pass over many rows must not push out what look-ups need.
        options.fill_cache(false);
        self.rows(family, from, end, options)
    }

    /// The same for rows that will be asked for one by one: they stay in the cache.
    pub(super) fn scan_to_keep(&self, family: Family, from: &[u8]) -> Result<Rows<'_>, HotError> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        self.rows(family, from, None, options)
    }

    /// The rows whose keys begin with `prefix`, of which there are few.
    pub(super) fn scan_prefix(&self, family: Family, prefix: &[u8]) -> Result<Rows<'_>, HotError> {
        self.scan(family, prefix, after_prefix(prefix))
    }

    /// The rows of one block from `from` on, in a family whose keys begin with an id and whose filters know
    /// such beginnings: mostly they say at once that there is none.
    pub(super) fn scan_block(
        &self,
        family: Family,
        id: Id,
        from: &[u8],
    ) -> Result<Rows<'_>, HotError> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        self.rows(family, from, after_prefix(&id.key()), options)
    }

    fn rows(
        &self,
        family: Family,
        from: &[u8],
        end: Option<Vec<u8>>,
        mut options: ReadOptions,
    ) -> Result<Rows<'_>, HotError> {
        if let Some(end) = end {
            options.set_iterate_upper_bound(end);
        }
        let mut rows = self.db.raw_iterator_cf_opt(self.family(family)?, options);
        rows.seek(from);
        Ok(Rows { rows, started: false, path: &self.path })
    }

    /// Returns when there is room for a write. To be called before anything is held that others wait for.
    pub(super) fn wait_for_buffers(&self) {
        self.buffers.wait(&self.db);
    }

    /// Writes all of it or none. Visible on return.
    pub(super) fn write(&self, batch: Batch, log: Log) -> Result<(), HotError> {
        let mut options = WriteOptions::default();
        options.disable_wal(log == Log::Off);
        fail::point("before a write");
        self.db.write_opt(batch.0, &options).map_err(self.failed("writing"))?;
        fail::point("after a write");
        Ok(())
    }

    /// Writes all of it or none; durable on return. To be called where nobody else writes.
    pub(super) fn write_durably(&self, batch: Batch) -> Result<(), HotError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        fail::point("before a durable write");
        fail::writing_durably(&self.path.join("db"), || self.db.write_opt(batch.0, &options))
            .map_err(self.failed("writing"))?;
        fail::point("after a durable write");
        Ok(())
    }

    /// Makes durable what was written with the log on.
    pub(super) fn sync_log(&self) -> Result<(), HotError> {
        fail::point("before a sync");
        fail::syncing(&self.path.join("db"), || self.db.flush_wal(true))
            .map_err(self.failed("syncing the log"))?;
        fail::point("after a sync");
        Ok(())
    }

    /// Makes durable everything that was written, with the log off as well. Writes out all families.
    pub(super) fn flush(&self) -> Result<(), HotError> {
        let families =
            Family::ALL.into_iter().map(|one| self.family(one)).collect::<Result<Vec<_>, _>>()?;
        let mut options = FlushOptions::default();
        options.set_wait(true);
        fail::point("before a flush");
        self.db.flush_cfs_opt(&families, &options).map_err(self.failed("flushing"))?;
        fail::point("after a flush");
        Ok(())
    }

    /// A number that RocksDB keeps about a family, or 0 where it does not know it.
    pub(super) fn number(&self, family: Family, name: &str) -> Result<u64, HotError> {
        let found = self.db.property_int_value_cf(self.family(family)?, name);
        Ok(found.map_err(self.failed("asking for figures"))?.unwrap_or(0))
    }

    /// Changes settings of a family that may be changed while it is open.
    pub(super) fn set(&self, family: Family, settings: &[(&str, &str)]) -> Result<(), HotError> {
        self.db
            .set_options_cf(self.family(family)?, settings)
            .map_err(self.failed("changing settings"))
    }

    /// Compacts a family, by steps that RocksDB may run beside writes.
    pub(super) fn compact(
        &self,
        family: Family,
        how: &rocksdb::CompactOptions,
    ) -> Result<(), HotError> {
        self.db.compact_range_cf_opt(self.family(family)?, None::<&[u8]>, None::<&[u8]>, how);
        Ok(())
    }

    /// Adds to a batch.
    pub(super) fn put(
        &self,
        batch: &mut Batch,
        family: Family,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), HotError> {
        batch.0.put_cf(self.family(family)?, key, value);
        Ok(())
    }

    /// Adds a removal to a batch.
    pub(super) fn delete(
        &self,
        batch: &mut Batch,
        family: Family,
        key: &[u8],
    ) -> Result<(), HotError> {
        batch.0.delete_cf(self.family(family)?, key);
        Ok(())
    }

    /// Adds to a batch that a number grows or shrinks (see [`super::counts`]).
    pub(super) fn merge(
        &self,
        batch: &mut Batch,
        family: Family,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), HotError> {
        batch.0.merge_cf(self.family(family)?, key, value);
        Ok(())
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Writes that will happen together.
#[derive(Default)]
pub(super) struct Batch(WriteBatch);

impl Batch {
    /// With room for about `bytes`, so that it does not grow, and copy itself, while it is filled.
    pub(super) fn with_room_for(bytes: usize) -> Batch {
        Batch(WriteBatch::with_capacity_bytes(bytes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key and its value.
pub(super) type Row<'a> = (&'a [u8], &'a [u8]);

/// Rows in the order of their keys.
pub(super) struct Rows<'a> {
    rows: DBRawIterator<'a>,
    started: bool,
    path: &'a Path,
}

impl Rows<'_> {
    /// Goes to the first row from `key` on, which the next call of `next` gives.
    pub(super) fn jump(&mut self, key: &[u8]) {
        self.rows.seek(key);
        self.started = false;
    }

    /// The next row, `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, HotError> {
        if self.started && self.rows.valid() {
            self.rows.next();
        }
        self.started = true;
        if !self.rows.valid() {
            let ended = self.rows.status();
            return ended
                .map(|()| None)
                .map_err(|error| HotError::engine(self.path, "reading", &error));
        }
        Ok(self.rows.item())
    }
}
