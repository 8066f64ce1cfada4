//! The hot store: blocks that are written here, in one RocksDB.
//!
//! Owns the folder, the schema, what is durable when, and the leases of writers at work. All use of
//! RocksDB in the project stands in this folder. Must not know UnixFS, HTTP, or why a block is kept, which is
//! `pin`'s matter.
//!
//! - `folder`, `payload_folder`: whose folder it is, its format, its lock. `schema`: every byte. `options`: every setting.
//! - `database`: RocksDB, called here alone. `payload`: where the bytes of blocks lie.
//! - `ahead`: which block will be asked for next. `places`: in which blob file, so that they are sent from there. `blob_file`: the form of these files.
//! - `room`: free space on the disk. `writer`: changes under one lock. `commits`: group commit. [`BulkWriter`]: without a log.
//! - `lease`: what a writer at work counts on. [`Leased`]: uploads, with a log while they are short.

mod ahead;
mod blob_file;
mod buffers;
mod bulk;
mod claims;
mod commits;
mod counts;
mod damaged;
mod database;
mod edges;
mod error;
mod folder;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod lease;
mod leased;
mod list;
mod options;
mod payload;
mod payload_folder;
mod places;
mod records;
mod room;
mod scan;
mod schema;
mod sweep;
mod unflushed;
mod writer;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use bulk::BulkWriter;
pub use error::{EngineError, HotError};
pub use lease::Lease;
pub use leased::{BULK_FROM, Leased};
pub use list::{Blocks, HeldBlock};
pub use options::HotOptions;
pub use payload::{DEFAULT_GARBAGE_RATIO, Price, Space};
pub use records::{Change, Record, Records};
pub use scan::{Scan, Scanned};
pub use schema::FORMAT_VERSION;

#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::row as fuzz_row;

use ahead::{Ahead, ROWS_AHEAD};
use claims::Claims;
use commits::Commits;
use database::{Batch, Database, Log};
pub(crate) use edges::{EdgeRow, PinKey, Walked};
use folder::Folder;
use lease::Leases;
use options::Settings;
use places::Places;
use room::Room;
pub(crate) use schema::{Entry, Held, Id, Spelling};
use schema::{Family, index_key, meta};
pub(crate) use writer::Edit;
use writer::Writer;

use crate::block::{Block, Cid};
use crate::error::StoreError;
use crate::store::{BlockSource, BlockStore, Located};

/// How long background work sleeps at a time while somebody waits for the writer's lock, and how long it lets others go
/// first before it goes on itself.
const STEP_ASIDE: Duration = Duration::from_micros(100);
const LONGEST_WAY: Duration = Duration::from_millis(20);

/// A store of blocks on a disk of its own. Cloning shares it; all calls may come from many threads.
///
/// It is closed when the last clone is dropped.
///
/// ```
/// use coldfront::store::hot::{HotOptions, HotStore};
/// use coldfront::{Block, BlockSource, BlockStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("hot");
/// let store = HotStore::open(&HotOptions::new(&path))?;
/// let cid = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy".parse()?;
/// store.put(&[Block::verified(cid, "foo".into())?])?;
/// store.sync()?; // From here on it survives a crash.
/// assert_eq!(store.size(&cid)?, Some(3));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HotStore {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    writer: Mutex<Writer>,
    /// Callers that wait for the writer's lock.
    waiting: AtomicUsize,
    commits: Commits,
    leases: Leases,
    room: Room,
    /// One flush of everything at a time, shared by all who wait for one.
    flushes: Commits,
    /// One collection at a time.
    collecting: Mutex<()>,
    claims: Claims,
    places: Places,
    ahead: Ahead,
    /// One caller at a time gives a name another root.
    naming: Mutex<()>,
}

impl HotStore {
    /// Opens a store, or makes one where the folder is absent or empty. Replays the log, which is no longer than
    /// its write buffers; else costs a few files, however much the store holds.
    ///
    /// Fails with a sentence when the folder is in use, holds something else, or has a format that this
    /// program does not read ([`HotError`]).
    pub fn open(options: &HotOptions) -> Result<HotStore, StoreError> {
        let mut settings = Settings::new(options)?;
        let folder = Folder::open(&options.path, options.create)?;
        settings.payload = folder.payload(options.payload.as_deref())?;
        folder.ensure_database(|at| create(&settings, at, folder.path()))?;
        let database = Database::open(&settings, folder)?;
        check_format(&database)?;
        let writer = Mutex::new(Writer::load(&database)?);
        let reserve = options.reserve.unwrap_or(options.memory);
        let room = Room::new(database.path(), settings.payload.as_deref(), reserve);
        let places = Places::new(settings.payload.unwrap_or_else(|| database.files()));
        let inner = Inner {
            database,
            writer,
            waiting: AtomicUsize::new(0),
            commits: Commits::default(),
            leases: Leases::default(),
            room,
            flushes: Commits::default(),
            collecting: Mutex::new(()),
            claims: Claims::default(),
            places,
            ahead: Ahead::new(),
            naming: Mutex::new(()),
        };
        Ok(HotStore { inner: Arc::new(inner) })
    }

    /// Writes many blocks without a log, each byte once. `name` is that of the work, under which its mark of
    /// progress is found again.
    pub fn bulk(&self, name: &str) -> BulkWriter {
        BulkWriter::new(self, name)
    }

    /// From now until the lease is dropped, no block is collected that was put since, or that a
    /// [`Leased`] writer came by. Take it before the first block, drop it after the pin.
    pub fn lease(&self) -> Lease {
        let writer = self.writer();
        // ORDER: under the lock, so that no block gets an id between.
        self.inner.leases.begin(writer.next_id())
    }

    /// Writes blocks that stay until they are pinned, or the writer is dropped.
    pub fn leased(&self) -> Leased {
        Leased::new(self)
    }

    /// Its folder, absolute.
    pub fn path(&self) -> &std::path::Path {
        self.database().path()
    }

    /// Blocks held and their bytes: exact, and known without looking.
    pub fn held(&self) -> (u64, u64) {
        let counts = self.writer().counts;
        let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
        (unsigned(counts.blocks), unsigned(counts.bytes))
    }

    /// The id that the next new block gets, for tests of what a crash may not do.
    #[cfg(any(test, feature = "testing"))]
    pub fn next_id(&self) -> u64 {
        self.writer().next_id().0
    }

    /// The newest log of this process of which something was synced, and how many bytes of it, for tests that
    /// take the rest away.
    #[cfg(feature = "testing")]
    pub fn durable_log() -> (u64, u64) {
        crate::fail::durable_log()
    }

    /// Whether a collection was interrupted, so that the next goes on behind what that one has seen.
    pub fn is_collecting(&self) -> Result<bool, StoreError> {
        Ok(self.pass_goes_on_at()?.is_some())
    }

    /// What lies on the disk, and how much of it is garbage as far as is known. Reads nothing.
    pub fn space(&self) -> Result<Space, StoreError> {
        Ok(payload::space(self.database())?)
    }

    /// Bytes that are free on its disk. One system call.
    pub fn free(&self) -> Result<u64, StoreError> {
        Ok(self.inner.room.free()?)
    }

    /// Finds out how much garbage there is: compacts the keys of blocks, some 30 bytes each. What it returns tells the
    /// price of a [`HotStore::reclaim`] ([`Space::price`]). Files of which nothing is needed go at once.
    pub fn settle(&self) -> Result<Space, StoreError> {
        let space = payload::settle(self.database(), self.inner.room.free()?)?;
        self.inner.places.close_removed();
        Ok(space)
    }

    /// Gives space of removed blocks back to the disk: rewrites the blocks that live in blob files of which
    /// at least `garbage_ratio` (0 to 1, [`DEFAULT_GARBAGE_RATIO`]) is garbage. Runs beside reads and
    /// writes. Costs [`Space::price`] at most, and needs room for what it writes, since files go only when all of it is
    /// written: where there is too little, it begins with the files that have most garbage, and what these give makes
    /// room for the next.
    pub fn reclaim(&self, garbage_ratio: f64) -> Result<Space, StoreError> {
        let mut space = self.settle()?;
        loop {
            let free = self.inner.room.free()?;
            let needed = space.price(garbage_ratio).writes;
            let Some(ratio) = payload::affordable(&space, garbage_ratio, free) else {
                let path = self.database().path().to_owned();
                return Err(HotError::NoRoomToReclaim { path, needed, free }.into());
            };
            let after = payload::reclaim(self.database(), ratio)?;
            self.inner.places.close_removed();
            if ratio <= garbage_ratio || after.blobs >= space.blobs {
                return Ok(after);
            }
            space = after;
        }
    }

    /// Takes room on the disk for so many bytes; an error when only the reserve is left.
    pub(crate) fn take_room(&self, bytes: u64) -> Result<(), HotError> {
        self.inner.room.take(bytes)
    }

    /// Makes everything durable, what was written without a log included. Those who wait at the same time share one flush.
    pub(crate) fn flush(&self) -> Result<(), HotError> {
        self.inner.flushes.wait(&mut || {
            self.writer().flush_begins();
            self.database().flush()?;
            self.writer().flush_ended();
            Ok(())
        })
    }

    /// To be called before something is written that will rest on this block: what is in memory alone is flushed
    /// here, where nobody waits for the lock, and not with the write. One look-up where there is nothing to do.
    pub(crate) fn flush_below(&self, cid: &Cid) -> Result<(), HotError> {
        match self.entry(cid)? {
            Some(entry) if self.writer().is_unflushed(entry.id) => self.flush(),
            _ => Ok(()),
        }
    }

    /// A change of the store.
    pub(crate) fn edit(&self) -> Edit<'_> {
        Edit::new(self, Log::On, None)
    }

    /// Returns when everything that was written with a log is durable.
    pub(crate) fn make_durable(&self) -> Result<(), HotError> {
        self.inner.commits.wait(&mut || self.database().sync_log())
    }

    /// CIDs that somebody works on.
    pub(crate) fn claims(&self) -> &Claims {
        &self.inner.claims
    }

    /// Leave to give names other roots, which one caller has at a time.
    pub(crate) fn naming(&self) -> MutexGuard<'_, ()> {
        self.inner.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the index knows of a block. Where that is not in memory, and blocks are asked for in their order, it is
    /// learned from rows that lie in that order.
    pub(crate) fn entry(&self, cid: &Cid) -> Result<Option<Entry>, HotError> {
        let key = index_key(cid);
        let key = key.as_slice();
        if let Some(row) = self.database().get_now(Family::Index, key) {
            return row.map(|bytes| self.parse_entry(key, &bytes)).transpose();
        }
        if let Some(entry) = self.expected(key)? {
            self.inner.ahead.found(entry.id);
            return Ok(Some(entry));
        }
        let found = self.entry_of(key)?;
        if let Some(entry) = found.filter(|entry| self.inner.ahead.found(entry.id)) {
            self.look_ahead(entry.id)?;
        }
        Ok(found)
    }

    /// A block that is expected, if its row in `ids` still says so.
    fn expected(&self, multihash: &[u8]) -> Result<Option<Entry>, HotError> {
        let Some(id) = self.inner.ahead.id_of(multihash) else { return Ok(None) };
        let row = self.database().get(Family::Ids, &id.key())?;
        Ok(row.and_then(|row| entry_if_of(id, &row, multihash)))
    }

    /// Reads the rows behind that of a block: the next of its file, most likely.
    fn look_ahead(&self, id: Id) -> Result<(), HotError> {
        let mut rows = self.database().scan_to_keep(Family::Ids, &id.next().key())?;
        for _ in 0..ROWS_AHEAD {
            let Some((key, value)) = rows.next()? else { break };
            if let Ok((entry, multihash)) = Entry::parse_id_row(key, value) {
                self.inner.ahead.expect(multihash, entry.id);
            }
        }
        Ok(())
    }

    /// The same from memory alone.
    fn entry_now(&self, cid: &Cid) -> Option<Entry> {
        let key = index_key(cid);
        let key = key.as_slice();
        if let Some(row) = self.database().get_now(Family::Index, key) {
            return Entry::parse(&row?).ok();
        }
        let id = self.inner.ahead.id_of(key)?;
        let row = self.database().get_now(Family::Ids, &id.key())??;
        let entry = entry_if_of(id, &row, key)?;
        self.inner.ahead.found(id);
        Some(entry)
    }

    fn entry_of(&self, multihash: &[u8]) -> Result<Option<Entry>, HotError> {
        let row = self.database().get(Family::Index, multihash)?;
        row.map(|bytes| self.parse_entry(multihash, &bytes)).transpose()
    }

    fn parse_entry(&self, multihash: &[u8], row: &[u8]) -> Result<Entry, HotError> {
        Entry::parse(row).map_err(|_| self.database().damaged(Family::Index, multihash))
    }

    /// The same of a block whose bytes are here.
    fn entry_here(&self, cid: &Cid) -> Result<Option<Entry>, HotError> {
        Ok(self.entry(cid)?.filter(|entry| entry.held != Held::Archive))
    }

    fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Counts a write that has happened.
    fn wrote(&self) {
        self.inner.commits.wrote();
        self.inner.flushes.wrote();
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.inner.waiting.fetch_add(1, Ordering::Relaxed);
        let writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.waiting.fetch_sub(1, Ordering::Relaxed);
        writer
    }

    /// For work in the background that takes the writer's lock again and again: returns when nobody waits for it, or
    /// after [`LONGEST_WAY`]. A lock that is let go and taken at once would be had by the one who is running.
    fn give_way(&self) {
        let began = Instant::now();
        while self.inner.waiting.load(Ordering::Relaxed) > 0 && began.elapsed() < LONGEST_WAY {
            std::thread::sleep(STEP_ASIDE);
        }
    }

    /// The name it has in sentences.
    pub(crate) fn name(&self) -> String {
        format!("hot store {}", self.database().path().display())
    }
}

/// A row of `ids`, if it is that of this block.
fn entry_if_of(id: Id, row: &[u8], multihash: &[u8]) -> Option<Entry> {
    let (entry, found) = Entry::parse_id_row(&id.key(), row).ok()?;
    (found == multihash).then_some(entry)
}

/// Makes the database of a new store in a folder of its own, closed again.
fn create(
    settings: &Settings,
    at: &std::path::Path,
    store: &std::path::Path,
) -> Result<(), HotError> {
    let database = Database::make(settings, at, store)?;
    let mut batch = Batch::default();
    database.put(&mut batch, Family::Meta, meta::FORMAT, &FORMAT_VERSION.to_be_bytes())?;
    database.write_durably(batch)?;
    database.flush()
}

/// The version inside the database: another one than the folder's means that files were mixed.
fn check_format(database: &Database) -> Result<(), HotError> {
    let Some(found) = database.get(Family::Meta, meta::FORMAT)? else {
        return Err(HotError::damaged(database.path(), "its database holds no format version"));
    };
    let found = schema::u32_at(&found).map_err(|_| database.damaged(Family::Meta, meta::FORMAT))?;
    folder::check_version(database.path(), found)
}

impl BlockSource for HotStore {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let Some(entry) = self.entry_here(cid)? else { return Ok(None) };
        let Some(data) = payload::get(self.database(), &self.inner.places, &entry)? else {
            // Removed since the index was asked, or lost.
            return match self.entry_here(cid)? {
                Some(again) if again.id == entry.id => Err(self.corrupt(cid)),
                Some(_) => self.get(cid),
                None => Ok(None),
            };
        };
        if data.len() as u64 != u64::from(entry.size) {
            return Err(self.corrupt(cid));
        }
        Ok(Some(Block::trusted(*cid, data)))
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        let Some(entry) = self.entry_here(cid)? else { return Ok(None) };
        if let Some(place) = payload::place(&self.inner.places, &entry) {
            return Ok(Some(Located::Extent(place.extent(cid))));
        }
        Ok(self.get(cid)?.map(|block| Located::Bytes(block.into_data())))
    }

    /// Known of a block in a blob file that was asked for before, and of small ones in RocksDB's cache.
    fn locate_now(&self, cid: &Cid) -> Option<Located> {
        let entry = self.entry_now(cid)?;
        payload::locate_now(self.database(), &self.inner.places, cid, &entry)
    }

    /// What was removed is not found any more, however lately it was read.
    fn may_remove(&self) -> bool {
        true
    }

    /// Always. Closes files that RocksDB has removed.
    fn available(&self) -> Result<(), StoreError> {
        self.inner.places.close_removed();
        Ok(())
    }

    /// Known when the filter of the index, or the row itself, is in memory: in RocksDB's block cache or its write
    /// buffers. One look-up there, some microseconds.
    fn lacks_now(&self, cid: &Cid) -> bool {
        match self.database().get_now(Family::Index, index_key(cid).as_slice()) {
            Some(None) => true,
            Some(Some(row)) => Entry::parse(&row).is_ok_and(|entry| entry.held == Held::Archive),
            None => false,
        }
    }

    /// One look-up in the index; reads nothing of the block.
    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        Ok(self.entry_here(cid)?.map(|entry| u64::from(entry.size)))
    }
}

impl HotStore {
    fn corrupt(&self, cid: &Cid) -> StoreError {
        StoreError::Corrupt { cid: *cid, place: self.name() }
    }
}

impl BlockStore for HotStore {
    fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
        let mut edit = self.edit();
        edit.put_all(blocks)?;
        edit.commit()?;
        Ok(())
    }

    /// Everything that was put with a log; what a [`BulkWriter`] wrote is its own to flush. Those who wait at the same time share one sync.
    fn sync(&self) -> Result<(), StoreError> {
        Ok(self.make_durable()?)
    }
}

impl fmt::Debug for HotStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotStore").field("path", &self.database().path()).finish_non_exhaustive()
    }
}
