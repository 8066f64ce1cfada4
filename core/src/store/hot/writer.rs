//! Every change of the store: read, decided and written under one lock, in one batch.
//!
//! Owns the counter of ids and the rule of what a write rests on. The lock is held for look-ups and one
//! write into memory, and for a flush only where a logged write rests on a bulk writer's blocks; so two writers of the same block agree on one id, and
//! whoever removes a block cannot miss an edge that arrives meanwhile. Must not know why blocks are kept.

use std::collections::{HashMap, HashSet};
use std::sync::MutexGuard;

use super::HotStore;
use super::counts::{self, Counts};
use super::database::{Batch, Database, Log};
use super::error::HotError;
use super::lease::Lease;
use super::payload;
use super::schema::{Entry, Family, Held, Id, index_key, meta, prefixed, u64_at};
use super::unflushed::Unflushed;
use crate::block::{Block, Cid, DAG_PB, IDENTITY, MAX_BLOCK_LEN};
use crate::error::StoreError;
use crate::unixfs::dag_pb::PbNode;

/// Ids are set aside by so many at a time, with one durable write. What a crash leaves unused of them is
/// skipped for ever: 2^64 last longer than any disk.
const IDS_AT_A_TIME: u64 = 1 << 20;

/// Bytes that a block takes in a batch beside its own: the rows that name it.
const ROWS_OF_A_BLOCK: usize = 192;

/// What is guarded by the lock.
#[derive(Debug)]
pub(super) struct Writer {
    /// The next id to be given.
    next: Id,
    /// Ids below this are set aside on the disk.
    set_aside: Id,
    /// Blocks that are in memory alone.
    unflushed: Unflushed,
    /// Those of them that were written since the flush began that is running.
    unflushed_since: Unflushed,
    /// Blocks and bytes held.
    pub(super) counts: Counts,
    /// What a collection at work must not miss.
    pub(super) watch: Watch,
}

/// Blocks that some change rests on, while a collection looks at a piece of the store: what it found loose
/// before it has the lock may be kept by now.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<HashSet<Id>>,
}

/// Blocks that are watched, 8 to 16 bytes each; with more, the collection takes the piece for kept.
const MAX_WATCHED: usize = 1 << 18;

impl Watch {
    /// From now on.
    pub(super) fn begin(&mut self) {
        self.seen = Some(HashSet::new());
    }

    pub(super) fn end(&mut self) {
        self.seen = None;
    }

    /// Whether nothing came to rest on a block since it began.
    pub(super) fn is_untouched(&self, id: Id) -> bool {
        let few = self.seen.as_ref().filter(|seen| seen.len() < MAX_WATCHED);
        few.is_some_and(|seen| !seen.contains(&id))
    }

    fn touch(&mut self, id: Id) {
        if let Some(seen) = self.seen.as_mut().filter(|seen| seen.len() < MAX_WATCHED) {
            seen.insert(id);
        }
    }
}

impl Writer {
    /// Goes on behind every id that may ever have been given.
    pub(super) fn load(database: &Database) -> Result<Writer, HotError> {
        let next = match database.get(Family::Meta, meta::NEXT_ID)? {
            None => 1,
            Some(bytes) => {
                u64_at(&bytes).map_err(|_| database.damaged(Family::Meta, meta::NEXT_ID))?
            }
        };
        Ok(Writer {
            next: Id(next),
            set_aside: Id(next),
            unflushed: Unflushed::default(),
            unflushed_since: Unflushed::default(),
            counts: Counts::read(database)?,
            watch: Watch::default(),
        })
    }

    pub(super) fn next_id(&self) -> Id {
        self.next
    }

    /// Gives an id that was never given before, in this run or any other.
    fn give(&mut self, database: &Database) -> Result<Id, HotError> {
        if self.next >= self.set_aside {
            let end = self.next.0.saturating_add(IDS_AT_A_TIME);
            let mut batch = Batch::default();
            database.put(&mut batch, Family::Meta, meta::NEXT_ID, &end.to_be_bytes())?;
            // ORDER: durable before the first of them is used.
            database.write_durably(batch)?;
            self.set_aside = Id(end);
        }
        let id = self.next;
        self.next = id.next();
        Ok(id)
    }

    /// Whether a block is in memory alone.
    pub(super) fn is_unflushed(&self, id: Id) -> bool {
        self.unflushed.contains(id)
    }

    /// A flush of everything begins.
    pub(super) fn flush_begins(&mut self) {
        self.unflushed_since = Unflushed::default();
    }

    /// It has ended well: only what was written since is in memory alone.
    pub(super) fn flush_ended(&mut self) {
        self.unflushed = std::mem::take(&mut self.unflushed_since);
    }
}

/// A change in the making. Reads see the store as it was before it, blocks that it adds excepted.
pub(crate) struct Edit<'a> {
    store: &'a HotStore,
    writer: MutexGuard<'a, Writer>,
    batch: Batch,
    log: Log,
    lease: Option<&'a Lease>,
    /// Blocks that this change adds or moves here.
    fresh: HashMap<Box<[u8]>, Entry>,
    counts: Counts,
    /// Blocks that this change writes.
    written: Vec<Id>,
    /// It is true only as long as some block is there that is in memory alone.
    rests_on_unflushed: bool,
    /// A block that it was to add is there already, in memory alone.
    met_unflushed: bool,
}

impl<'a> Edit<'a> {
    pub(super) fn new(store: &'a HotStore, log: Log, lease: Option<&'a Lease>) -> Edit<'a> {
        store.database().wait_for_buffers();
        Edit {
            store,
            writer: store.writer(),
            batch: Batch::default(),
            log,
            lease,
            fresh: HashMap::new(),
            counts: Counts::default(),
            written: Vec::new(),
            rests_on_unflushed: false,
            met_unflushed: false,
        }
    }

    fn database(&self) -> &'a Database {
        self.store.database()
    }

    /// Adds those blocks that are not held. To be called before any other change.
    pub(super) fn put_all(&mut self, blocks: &[Block]) -> Result<(), StoreError> {
        let bytes: usize = blocks.iter().map(|block| block.data().len() + ROWS_OF_A_BLOCK).sum();
        self.batch = Batch::with_room_for(bytes);
        blocks.iter().try_for_each(|block| self.put(block))
    }

    fn give(&mut self) -> Result<Id, HotError> {
        let database = self.database();
        self.writer.give(database)
    }

    /// What the store knows of a block, those of this change included.
    pub(crate) fn entry(&self, cid: &Cid) -> Result<Option<Entry>, HotError> {
        let key = index_key(cid);
        match self.fresh.get(key.as_slice()) {
            Some(entry) => Ok(Some(*entry)),
            None => self.store.entry_of(key.as_slice()),
        }
    }

    /// Adds a block, unless it is held.
    fn put(&mut self, block: &Block) -> Result<(), StoreError> {
        // Its CID says it all: in no store.
        if block.cid().hash().code() == IDENTITY {
            return Ok(());
        }
        let len = block.data().len() as u64;
        let size = u32::try_from(len).ok().filter(|_| len <= MAX_BLOCK_LEN).ok_or_else(|| {
            let place = self.store.name();
            StoreError::TooLarge { cid: *block.cid(), place, len }
        })?;
        let known = self.entry(block.cid())?;
        if known.is_none_or(|entry| entry.held == Held::Archive) {
            self.store.take_room(len)?;
        }
        let id = match known {
            Some(entry) if entry.held != Held::Archive => {
                self.meets(entry.id);
                return Ok(());
            }
            // Pinned out of an archive before; now it is here as well, under the name it has.
            Some(entry) => entry.id,
            None => self.give()?,
        };
        let held = match known.is_some() && self.was_lost(id)? {
            true => payload::put_again(self.database(), &mut self.batch, id, block.data())?,
            false => payload::put(self.database(), &mut self.batch, id, block.data())?,
        };
        self.counts.add(Counts::one(size));
        self.write_entry(block.cid(), Entry { id, size, held, pb_leaf: is_pb_leaf(block) })?;
        Ok(())
    }

    /// Whether bytes under this id were found damaged and dropped.
    fn was_lost(&self, id: Id) -> Result<bool, HotError> {
        Ok(self.database().get(Family::Meta, &prefixed(meta::LOST, &id.key()))?.is_some())
    }

    /// The id of a block that lies in an archive, given now if it has none.
    pub(crate) fn archived(
        &mut self,
        cid: &Cid,
        size: u32,
        pb_leaf: bool,
    ) -> Result<Entry, HotError> {
        if let Some(entry) = self.entry(cid)? {
            self.rests_on(entry.id);
            return Ok(entry);
        }
        let id = self.give()?;
        self.write_entry(cid, Entry { id, size, held: Held::Archive, pb_leaf })
    }

    pub(super) fn write_entry(&mut self, cid: &Cid, entry: Entry) -> Result<Entry, HotError> {
        let key = index_key(cid);
        let key = key.as_slice();
        let database = self.database();
        database.put(&mut self.batch, Family::Index, key, &entry.to_bytes())?;
        let row = entry.to_id_value(key);
        database.put(&mut self.batch, Family::Ids, &entry.id.key(), &row)?;
        self.fresh.insert(key.into(), entry);
        self.rests_on(entry.id);
        self.written.push(entry.id);
        Ok(entry)
    }

    /// Takes a block out: its bytes, its entry, its id.
    pub(super) fn remove(&mut self, entry: &Entry, multihash: &[u8]) -> Result<(), HotError> {
        // A log would keep that there is one block less, and lose that there was one more. (Without one, both are lost.)
        self.rests_on_unflushed |= self.writer.unflushed.contains(entry.id);
        let database = self.database();
        // A crash may have lost an unlogged removal and kept what was logged after it: the block came again under another id,
        // which the index names, and what is removed is the old row alone.
        if self.store.entry_of(multihash)?.is_none_or(|named| named.id == entry.id) {
            database.delete(&mut self.batch, Family::Index, multihash)?;
        }
        database.delete(&mut self.batch, Family::Ids, &entry.id.key())?;
        self.drop_bytes(entry)
    }

    /// Takes the bytes of a block out; what names it stays.
    pub(super) fn drop_bytes(&mut self, entry: &Entry) -> Result<(), HotError> {
        payload::delete(self.database(), &mut self.batch, entry)?;
        if entry.held != Held::Archive {
            self.counts.add(Counts::less_one(entry.size));
        }
        Ok(())
    }

    /// What this change says is true only as long as that block is there: it does not outlive the block in a
    /// crash, and the block is leased to whoever makes the change.
    pub(crate) fn rests_on(&mut self, id: Id) {
        self.rests_on_unflushed |= self.writer.unflushed.contains(id);
        self.holds(id);
    }

    /// A block that was to be added is here already. Whoever has a lease sees to it that it gets durable (see
    /// [`Edit::met_unflushed`]), for others the write does.
    fn meets(&mut self, id: Id) {
        let is_unflushed = self.writer.unflushed.contains(id);
        match self.lease {
            Some(_) => self.met_unflushed |= is_unflushed,
            None => self.rests_on_unflushed |= is_unflushed,
        }
        self.holds(id);
    }

    /// Nobody collects that block while whoever makes this change counts on it.
    fn holds(&mut self, id: Id) {
        self.writer.watch.touch(id);
        if let Some(lease) = self.lease {
            lease.hold(id);
        }
    }

    /// Whether some block that a leased writer was to add is here, and a flush is needed until it is durable.
    pub(super) fn met_unflushed(&self) -> bool {
        self.met_unflushed
    }

    /// Adds a record.
    pub(super) fn write(
        &mut self,
        family: Family,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), HotError> {
        self.database().put(&mut self.batch, family, key, value)
    }

    /// Removes a record.
    pub(super) fn erase(&mut self, family: Family, key: &[u8]) -> Result<(), HotError> {
        self.database().delete(&mut self.batch, family, key)
    }

    pub(super) fn store(&self) -> &'a HotStore {
        self.store
    }

    /// Whether nothing came to rest on a block since the collection at work began its piece.
    pub(super) fn is_untouched(&self, id: Id) -> bool {
        self.writer.watch.is_untouched(id)
    }

    /// A number that was never given before, as ids are.
    pub(crate) fn serial(&mut self) -> Result<u64, HotError> {
        Ok(self.give()?.0)
    }

    /// Writes all of it or none; visible on return. Durable after [`HotStore::make_durable`], and
    /// without a log after the next flush.
    pub(crate) fn commit(mut self) -> Result<(), HotError> {
        if !self.counts.is_zero() {
            let change = self.counts.to_bytes();
            self.database().merge(&mut self.batch, Family::Meta, counts::KEY, &change)?;
        }
        let database = self.database();
        match self.log {
            Log::Off => {
                // ORDER: said before it is written; a failed write leaves a flush too many, never one too few.
                for id in &self.written {
                    self.writer.unflushed.add(*id);
                    self.writer.unflushed_since.add(*id);
                }
            }
            Log::On if self.rests_on_unflushed => {
                // ORDER: before the write, and under the lock. The log would keep what this change says and
                // lose what it is about.
                database.flush()?;
                self.writer.flush_begins();
                self.writer.flush_ended();
            }
            Log::On => {}
        }
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            database.write(batch, self.log)?;
            self.writer.counts.add(self.counts);
        }
        self.store.wrote();
        Ok(())
    }
}

/// Whether a block came as dag-pb and links to nothing.
fn is_pb_leaf(block: &Block) -> bool {
    block.cid().codec() == DAG_PB
        && PbNode::parse(block.data()).is_ok_and(|node| node.links().len() == 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::block::RAW;
    use crate::store::hot::HotOptions;
    use crate::store::{BlockSource as _, BlockStore as _};
    use crate::unixfs::testing::cid_of;

    #[test]
    fn a_row_that_a_crash_brought_back_goes_and_the_block_stays_under_its_new_id() {
        let folder = tempfile::tempdir().unwrap();
        let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
        let block = Block::verified(cid_of(RAW, b"twice"), b"twice"[..].into()).unwrap();
        let key = index_key(block.cid());
        hot.put(std::slice::from_ref(&block)).unwrap();
        let old = hot.entry(block.cid()).unwrap().unwrap();
        // As after a crash: the row of `ids` is there, and the index knows the block by what was logged later.
        let mut edit = hot.edit();
        edit.erase(Family::Index, key.as_slice()).unwrap();
        edit.commit().unwrap();
        hot.put(std::slice::from_ref(&block)).unwrap();
        let new = hot.entry(block.cid()).unwrap().unwrap();
        assert_ne!(old.id, new.id);

        let mut edit = hot.edit();
        edit.remove(&old, key.as_slice()).unwrap();
        edit.commit().unwrap();
        assert_eq!(hot.entry(block.cid()).unwrap(), Some(new));
        assert_eq!(hot.get(block.cid()).unwrap().unwrap().data(), block.data());
    }
}
