//! Finding garbage and taking it out.
//!
//! Owns the pass over all blocks in the order in which they came, beside the rows of what keeps them, which lie in
//! the same order: it reads each row once and remembers nothing. Whatever comes to rest on a block meanwhile is
//! watched, so that under the lock one look into memory tells what is still garbage. Must not know pins or rates.

use std::sync::{MutexGuard, TryLockError};

use super::HotStore;
use super::database::{Log, Rows};
use super::error::HotError;
use super::schema::{Entry, Family, Id, meta, u64_at};
use super::writer::Edit;
use crate::block::{Cid, RAW};
use crate::store::hot::{Held, Spelling};

/// Blocks that are removed under one hold of the lock: some tenths of a millisecond.
const REMOVED_AT_A_TIME: usize = 64;

/// Rows of what keeps a block that are stepped over before the rest is jumped over.
const STEPS_BEFORE_A_JUMP: usize = 8;

/// A piece of a pass.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// Blocks that nothing kept when they were looked at.
    pub(crate) loose: Vec<Loose>,
    /// Blocks that nothing kept, and whose edges are still in.
    unreleased: Vec<Id>,
    /// Blocks looked at.
    pub(crate) looked_at: u64,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<Id>,
}

/// A block that nothing keeps.
#[derive(Clone, Debug)]
pub(crate) struct Loose {
    entry: Entry,
    multihash: Vec<u8>,
}

impl Loose {
    /// Its length in bytes, 0 when it only had a name here.
    pub(crate) fn bytes(&self) -> u64 {
        if self.is_here() { u64::from(self.entry.size) } else { 0 }
    }

    /// Whether its bytes are here.
    pub(crate) fn is_here(&self) -> bool {
        self.entry.held != Held::Archive
    }

    /// A CID that names it; which codec it was written under is not known any more.
    pub(crate) fn cid(&self) -> Option<Cid> {
        Spelling::v1(RAW).cid(&self.multihash).ok()
    }
}

impl HotStore {
    /// The id behind the last that a pass which begins now should look at: what is newer, and what is
    /// leased, is no garbage yet.
    pub(crate) fn end_of_pass(&self) -> Id {
        let writer = self.writer();
        self.inner.leases.oldest().map_or(writer.next_id(), |lease| lease.min(writer.next_id()))
    }

    /// Looks at `most` blocks from `from` on, and not at `end`. What changes from now on is watched.
    pub(crate) fn sweep(&self, from: Id, end: Id, most: u64) -> Result<Swept, HotError> {
        // ORDER: watched before the rows are read; a change that they do not show was seen.
        self.writer().watch.begin();
        let database = self.database();
        let mut ids = database.scan(Family::Ids, &from.key(), Some(end.key().to_vec()))?;
        let mut refs = Keys::new(database.scan(Family::Refs, &from.key(), None)?);
        let mut pins = Keys::new(database.scan(Family::Pins, &from.key(), None)?);
        let mut walked = Keys::new(database.scan(Family::Walked, &from.key(), None)?);
        let mut swept = Swept::default();
        while let Some((key, value)) = ids.next()? {
            let row = Entry::parse_id_row(key, value);
            let (entry, multihash) = row.map_err(|_| database.damaged(Family::Ids, key))?;
            if swept.looked_at == most {
                swept.next = Some(entry.id);
                break;
            }
            swept.looked_at += 1;
            if refs.has(entry.id)? || pins.has(entry.id)? {
                continue;
            }
            if walked.has(entry.id)? {
                // Its edges are still in, so it is on the list of loose blocks, or belongs there.
                swept.unreleased.push(entry.id);
            } else {
                swept.loose.push(Loose { entry, multihash: multihash.to_vec() });
            }
        }
        Ok(swept)
    }

    /// Removes those blocks of a piece that are still garbage, some at a time, and says which.
    pub(crate) fn remove(&self, swept: Swept) -> Result<Vec<Loose>, HotError> {
        if !swept.unreleased.is_empty() {
            let mut edit = self.edit();
            swept.unreleased.iter().try_for_each(|id| edit.loosen(*id))?;
            edit.commit()?;
        }
        let mut removed = Vec::with_capacity(swept.loose.len());
        // Blocks of an upload that was given up, in memory alone: their removal is not logged either, so that no flush has to
        // find room for them on a full disk. What a crash brings back of them is garbage again.
        let (unlogged, logged): (Vec<_>, Vec<_>) = {
            let writer = self.writer();
            swept.loose.into_iter().partition(|one| writer.is_unflushed(one.entry.id))
        };
        self.remove_some(&unlogged, Log::Off, &mut removed)?;
        self.remove_some(&logged, Log::On, &mut removed)?;
        Ok(removed)
    }

    fn remove_some(
        &self,
        loose: &[Loose],
        log: Log,
        removed: &mut Vec<Loose>,
    ) -> Result<(), HotError> {
        for some in loose.chunks(REMOVED_AT_A_TIME) {
            let mut edit = Edit::new(self, log, None);
            let is_garbage = |id: Id| edit.is_untouched(id) && !self.inner.leases.hold(id);
            let gone: Vec<_> = some.iter().filter(|one| is_garbage(one.entry.id)).collect();
            for one in &gone {
                edit.remove(&one.entry, &one.multihash)?;
            }
            edit.commit()?;
            removed.extend(gone.into_iter().cloned());
            self.give_way();
        }
        Ok(())
    }

    /// Where an unfinished pass goes on.
    pub(crate) fn pass_goes_on_at(&self) -> Result<Option<Id>, HotError> {
        let Some(bytes) = self.database().get(Family::Meta, meta::COLLECTED)? else {
            return Ok(None);
        };
        let id = u64_at(&bytes).map_err(|_| self.database().damaged(Family::Meta, meta::COLLECTED));
        Ok(Some(Id(id?)))
    }

    /// Remembers where the pass goes on, or that it has ended.
    pub(crate) fn pass_is_at(&self, id: Option<Id>) -> Result<(), HotError> {
        let mut edit = self.edit();
        match id {
            Some(id) => edit.write(Family::Meta, meta::COLLECTED, &id.key())?,
            None => edit.erase(Family::Meta, meta::COLLECTED)?,
        }
        edit.commit()
    }

    /// Leave to collect, which one caller has at a time.
    pub(crate) fn collector(&self) -> Result<Collector<'_>, HotError> {
        let alone = match self.inner.collecting.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let path = self.database().path().to_owned();
                return Err(HotError::Collecting { path });
            }
        };
        Ok(Collector { hot: self, _alone: alone })
    }
}

/// Leave to collect; its end ends the watch.
pub(crate) struct Collector<'a> {
    hot: &'a HotStore,
    _alone: MutexGuard<'a, ()>,
}

impl Drop for Collector<'_> {
    fn drop(&mut self) {
        self.hot.writer().watch.end();
    }
}

/// Rows whose keys begin with an id, asked for rising ids.
struct Keys<'a> {
    rows: Rows<'a>,
    /// The first 8 bytes of the row it stands on.
    at: Option<Id>,
    started: bool,
}

impl<'a> Keys<'a> {
    fn new(rows: Rows<'a>) -> Keys<'a> {
        Keys { rows, at: None, started: false }
    }

    fn has(&mut self, id: Id) -> Result<bool, HotError> {
        if !self.started {
            self.started = true;
            self.step()?;
        }
        for _ in 0..STEPS_BEFORE_A_JUMP {
            match self.at {
                Some(at) if at < id => self.step()?,
                at => return Ok(at == Some(id)),
            }
        }
        self.rows.jump(&id.key());
        self.step()?;
        Ok(self.at == Some(id))
    }

    fn step(&mut self) -> Result<(), HotError> {
        let row = self.rows.next()?;
        self.at = row.and_then(|(key, _)| Id::parse(key.get(..8)?).ok());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pin::{NewPin, PinIndex};
    use crate::store::hot::HotOptions;
    use crate::store::{BlockSource as _, BlockStore as _};
    use crate::unixfs::testing::cid_of;
    use crate::{Block, block};

    #[test]
    fn what_was_pinned_or_leased_since_it_was_found_loose_stays() {
        let folder = tempfile::tempdir().unwrap();
        let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
        let blocks: Vec<_> = ["pinned", "leased", "gone"]
            .map(|text| Block::verified(cid_of(block::RAW, text.as_bytes()), text.into()).unwrap())
            .into();
        hot.put(&blocks).unwrap();
        let swept = hot.sweep(Id::ZERO, hot.end_of_pass(), 100).unwrap();
        assert_eq!(swept.loose.len(), 3);

        PinIndex::new(&hot, Vec::new()).add(&NewPin::new(*blocks[0].cid())).unwrap();
        let lease = hot.leased();
        lease.put(&blocks[1..2]).unwrap();
        assert_eq!(hot.remove(swept).unwrap().len(), 1);
        let held = |block: &Block| hot.size(block.cid()).unwrap().is_some();
        assert_eq!([held(&blocks[0]), held(&blocks[1]), held(&blocks[2])], [true, true, false]);
    }

    #[test]
    fn a_pass_in_pieces_sees_each_block_once() {
        let folder = tempfile::tempdir().unwrap();
        let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
        let blocks: Vec<_> = (0..25u8)
            .map(|n| Block::verified(cid_of(block::RAW, &[n]), vec![n].into()).unwrap())
            .collect();
        hot.put(&blocks).unwrap();
        let (mut at, mut seen) = (Some(Id::ZERO), Vec::new());
        while let Some(from) = at {
            let swept = hot.sweep(from, hot.end_of_pass(), 7).unwrap();
            assert!(swept.looked_at <= 7);
            seen.extend(swept.loose.iter().map(|one| one.cid().unwrap()));
            at = swept.next;
        }
        assert_eq!(seen, blocks.iter().map(|block| *block.cid()).collect::<Vec<_>>());
    }
}
