//! Finding garbage and taking it out.
//!
//! Owns the pass over all blocks in the order in which they came, beside the rows of what keeps them, which lie in
//! the same order: it reads each row once and remembers nothing. What looks like garbage is asked again under
//! the lock before it goes. Must not know pins or rates.

use super::HotStore;
use super::database::Rows;
use super::error::HotError;
use super::schema::{Entry, Family, Id, meta, u64_at};
use crate::block::{Cid, RAW};
use crate::store::hot::{Held, Spelling};

/// Blocks that are asked about and removed under one hold of the lock: some tenths of a millisecond.
const REMOVED_AT_A_TIME: usize = 64;

/// Rows of what keeps a block that are stepped over before the rest is jumped over.
const STEPS_BEFORE_A_JUMP: usize = 8;

/// A piece of a pass.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// Blocks that nothing kept when they were looked at.
    pub(crate) loose: Vec<Loose>,
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

    /// Looks at `most` blocks from `from` on, and not at `end`.
    pub(crate) fn sweep(&self, from: Id, end: Id, most: u64) -> Result<Swept, HotError> {
        let database = self.database();
        let mut ids = database.scan(Family::Ids, &from.key(), Some(end.key().to_vec()))?;
        let mut refs = Keys::new(database.scan(Family::Refs, &from.key(), None)?);
        let mut pins = Keys::new(database.scan(Family::Pins, &from.key(), None)?);
        let mut swept = Swept::default();
        while let Some((key, value)) = ids.next()? {
            let row = Entry::parse_id_row(key, value);
            let (entry, multihash) = row.map_err(|_| database.damaged(Family::Ids, key))?;
            if swept.looked_at == most {
                swept.next = Some(entry.id);
                break;
            }
            swept.looked_at += 1;
            if !refs.has(entry.id)? && !pins.has(entry.id)? {
                swept.loose.push(Loose { entry, multihash: multihash.to_vec() });
            }
        }
        Ok(swept)
    }

    /// Removes those of the blocks that are still garbage, some at a time, and says which.
    pub(crate) fn remove_loose(&self, loose: Vec<Loose>) -> Result<Vec<Loose>, HotError> {
        let mut removed = Vec::with_capacity(loose.len());
        for some in loose.chunks(REMOVED_AT_A_TIME) {
            let mut edit = self.edit();
            let kept_before = removed.len();
            for one in some {
                if self.is_garbage(one)? {
                    edit.remove(&one.entry, &one.multihash)?;
                    removed.push(one.clone());
                } else if !self.is_kept(one.entry.id)?
                    && !self.codecs_walked(one.entry.id)?.is_empty()
                {
                    // Its edges are still in: to be released first.
                    edit.loosen(one.entry.id)?;
                }
            }
            match edit.commit() {
                Ok(()) => {}
                Err(error) => {
                    removed.truncate(kept_before);
                    return Err(error);
                }
            }
        }
        Ok(removed)
    }

    /// Asked under the lock.
    fn is_garbage(&self, loose: &Loose) -> Result<bool, HotError> {
        let id = loose.entry.id;
        let is_there = self.entry_of(&loose.multihash)? == Some(loose.entry);
        Ok(is_there
            && !self.inner.leases.hold(id)
            && !self.is_kept(id)?
            && self.codecs_walked(id)?.is_empty())
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
    pub(crate) fn collector(&self) -> Result<std::sync::MutexGuard<'_, ()>, HotError> {
        match self.inner.collecting.try_lock() {
            Ok(guard) => Ok(guard),
            Err(std::sync::TryLockError::Poisoned(guard)) => Ok(guard.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => {
                Err(HotError::Collecting { path: self.database().path().to_owned() })
            }
        }
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
        assert_eq!(hot.remove_loose(swept.loose).unwrap().len(), 1);
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
