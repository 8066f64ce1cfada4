//! From a root to edges: brings everything below it into the index.
//!
//! Owns the order in which blocks are visited and the rule of which need not be read. A block's edges are
//! written before its children are visited, so that they are kept from then on; its mark *complete* comes
//! after all of them have theirs. So a walk passes by what an earlier one has done, resumes after a crash,
//! and costs the difference when a new version of a folder is pinned. Must not know modes or names.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::{PinError, PinIndex, Place, ROW_LEN};
use crate::block::{Cid, DAG_PB, MultihashBytes};
use crate::error::ReadError;
use crate::links::{self, Link};
use crate::store::hot::{Edit, Id, PinKey, Spelling, Walked};

/// How many blocks may lie below one another: some 20 MB of memory. Only chains are so deep.
pub(super) const MAX_DEPTH: usize = 1 << 18;

/// Children that a walk keeps in mind to visit, 24 bytes each. With more, those of the blocks nearest to the
/// root are forgotten, and found again by reading these blocks once more.
const MAX_IN_MIND: usize = 1 << 18;

/// Blocks that lack something below them and that a walk remembers, 24 bytes each, so as not to walk them once for
/// each parent. With more, what is missing fails the walk after all.
const MAX_INCOMPLETE: usize = 1 << 18;

/// What a walk does about a block that is nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It fails: whoever pins is promised everything.
    Fails,
    /// It leaves the block out, and whatever hangs below it. What is above is not complete, so that the next walk looks
    /// again.
    IsLeftOut,
}

/// A block on the way down.
struct Frame {
    id: Id,
    spelling: Spelling,
    /// Its children that are still to be visited; `None` when they are not in mind.
    to_visit: Option<Vec<(Id, Spelling)>>,
    /// Nothing was left out below it so far.
    is_whole: bool,
}

/// The links out of a block.
struct Children {
    held: Vec<Child>,
    /// None was left out.
    is_whole: bool,
}

/// A child of a block, with all its links to it.
struct Child {
    cid: Cid,
    place: Place,
    spellings: Vec<Spelling>,
    /// Spellings under which it may link on.
    to_visit: Vec<Spelling>,
}

/// One walk.
struct Walk<'a> {
    pins: &'a PinIndex,
    root: Cid,
    key: PinKey,
    serial: u64,
    absent: Absent,
    path: Vec<Frame>,
    on_path: HashSet<(Id, Spelling)>,
    /// Walked in this walk, and something is missing below.
    incomplete: HashSet<(Id, Spelling)>,
    in_mind: usize,
    done: u64,
}

impl PinIndex {
    /// Walks everything below a root whose record is written. Ends with [`PinError::Removed`] when the record
    /// is gone.
    pub(super) fn walk(
        &self,
        root: &Cid,
        key: PinKey,
        serial: u64,
        absent: Absent,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), PinError> {
        let mut walk = Walk {
            pins: self,
            root: *root,
            key,
            serial,
            absent,
            path: Vec::new(),
            on_path: HashSet::new(),
            incomplete: HashSet::new(),
            in_mind: 0,
            done: 0,
        };
        walk.visit((key.id, key.spelling))?;
        while walk.step()? {
            if progress(walk.done).is_break() {
                return Err(PinError::Cancelled(*root));
            }
        }
        Ok(())
    }
}

impl Absent {
    /// `None` for what is nowhere and may be.
    fn may_be<T>(self, found: Result<T, PinError>) -> Result<Option<T>, PinError> {
        match found {
            Err(PinError::Read(ReadError::Missing(_))) if self == Absent::IsLeftOut => Ok(None),
            found => found.map(Some),
        }
    }
}

impl Walk<'_> {
    /// One block further; `false` at the end.
    fn step(&mut self) -> Result<bool, PinError> {
        let Some(top) = self.path.last_mut() else { return Ok(false) };
        match &mut top.to_visit {
            None => self.expand()?,
            Some(children) => match children.pop() {
                Some(child) => {
                    self.in_mind -= 1;
                    self.visit(child)?;
                }
                None => {
                    let (id, codec, is_whole) = (top.id, top.spelling.codec(), top.is_whole);
                    if is_whole {
                        self.commit(|edit| Ok(edit.mark_walked(id, codec, Walked::Complete)?))?;
                    }
                    self.leave()?;
                }
            },
        }
        Ok(true)
    }

    /// Steps down to a block, unless all below it is in the index.
    fn visit(&mut self, block: (Id, Spelling)) -> Result<(), PinError> {
        let (id, spelling) = block;
        let hot = self.pins.hot();
        if links::has_no_links(spelling.codec())
            || hot.walked(id, spelling.codec())? == Some(Walked::Complete)
        {
            return Ok(());
        }
        if self.incomplete.contains(&block) {
            self.lacks_some();
            return Ok(());
        }
        if self.path.len() >= MAX_DEPTH {
            return Err(PinError::TooDeep(self.root));
        }
        if !self.on_path.insert(block) {
            // Hashes rule this out, unless somebody has found a collision or the bytes were not checked.
            let cid = self.cid_of(block)?;
            return Err(ReadError::undecodable(&cid, "it lies below itself").into());
        }
        self.path.push(Frame { id, spelling, to_visit: None, is_whole: true });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), PinError> {
        if let Some(frame) = self.path.pop() {
            let block = (frame.id, frame.spelling);
            self.on_path.remove(&block);
            self.in_mind -= frame.to_visit.map_or(0, |children| children.len());
            if !frame.is_whole {
                if self.incomplete.len() >= MAX_INCOMPLETE {
                    return Err(ReadError::Missing(self.cid_of(block)?).into());
                }
                self.incomplete.insert(block);
                self.lacks_some();
            }
        }
        self.done += 1;
        Ok(())
    }

    /// Something was left out below the block on top.
    fn lacks_some(&mut self) {
        if let Some(top) = self.path.last_mut() {
            top.is_whole = false;
        }
    }

    fn cid_of(&self, (id, spelling): (Id, Spelling)) -> Result<Cid, PinError> {
        let named = self.pins.hot().named(id, spelling)?;
        // It is kept by an edge of this walk, as long as the pin is there.
        named.map(|(_, cid)| cid).ok_or(PinError::Removed(self.root))
    }

    /// Reads the block on top and writes its edges.
    fn expand(&mut self) -> Result<(), PinError> {
        let Some(top) = self.path.last() else { return Ok(()) };
        let (id, spelling) = (top.id, top.spelling);
        let cid = self.cid_of((id, spelling))?;
        let block = self.pins.read(&cid)?;
        let Children { held, mut is_whole } = self.children(&cid, block.data())?;
        let mut to_visit = Vec::new();
        let (pins, absent) = (self.pins, self.absent);
        pins.hot().take_room(ROW_LEN * held.len() as u64)?;
        self.commit(|edit| {
            for child in &held {
                let Some(entry) = absent.may_be(pins.entry_for(edit, &child.cid, child.place))?
                else {
                    is_whole = false;
                    continue;
                };
                edit.add_edge(entry.id, id, &child.spellings)?;
                for &below in &child.to_visit {
                    // ORDER: asked under the lock, where the new edge already counts: what is complete
                    // now stays so while this pin is there.
                    if pins.hot().walked(entry.id, below.codec())? != Some(Walked::Complete) {
                        to_visit.push((entry.id, below));
                    }
                }
            }
            let is_complete = is_whole && to_visit.is_empty();
            let walked = if is_complete { Walked::Complete } else { Walked::Expanded };
            Ok(edit.mark_walked(id, spelling.codec(), walked)?)
        })?;
        if !is_whole {
            self.lacks_some();
        }
        if to_visit.is_empty() {
            return self.leave();
        }
        self.in_mind += to_visit.len();
        if let Some(top) = self.path.last_mut() {
            top.to_visit = Some(to_visit);
        }
        self.forget_some();
        Ok(())
    }

    /// Forgets children from the root downwards until few enough are in mind; those of the top stay.
    fn forget_some(&mut self) {
        let Some((_, above)) = self.path.split_last_mut() else { return };
        for frame in above {
            if self.in_mind <= MAX_IN_MIND {
                return;
            }
            self.in_mind -= frame.to_visit.take().map_or(0, |children| children.len());
        }
    }

    /// The children of a block, each once, and where they lie. Looks each up; reads none.
    fn children(&self, cid: &Cid, data: &[u8]) -> Result<Children, PinError> {
        let mut by_multihash: HashMap<Box<[u8]>, Vec<Link>> = HashMap::new();
        links::links(cid, data, &mut |link| {
            let key = MultihashBytes::of(&link.cid).as_slice().into();
            by_multihash.entry(key).or_default().push(link);
        })?;
        let mut children = Children { held: Vec::new(), is_whole: true };
        for links in by_multihash.into_values() {
            match self.absent.may_be(self.child(&links))? {
                Some(child) => children.held.push(child),
                None => children.is_whole = false,
            }
        }
        Ok(children)
    }

    fn child(&self, links: &[Link]) -> Result<Child, PinError> {
        let cid = links.first().map_or(self.root, |link| link.cid);
        let place = self.pins.look(&cid)?;
        let pb_leaf = match place {
            Place::Here => self.pins.hot().entry(&cid)?.is_some_and(|entry| entry.pb_leaf),
            // Every link must say so.
            Place::Below(len) => links.iter().all(|link| link.says_leaf(u64::from(len))),
        };
        let mut spellings: Vec<_> = links.iter().map(|link| Spelling::of(&link.cid)).collect();
        spellings.sort_unstable();
        spellings.dedup();
        let is_leaf = |codec| links::has_no_links(codec) || (codec == DAG_PB && pb_leaf);
        let to_visit = spellings.iter().copied().filter(|one| !is_leaf(one.codec())).collect();
        Ok(Child { cid, place, spellings, to_visit })
    }

    /// Changes the index if the pin is still there.
    fn commit(
        &self,
        change: impl FnOnce(&mut Edit<'_>) -> Result<(), PinError>,
    ) -> Result<(), PinError> {
        let mut edit = self.pins.hot().edit();
        let record = self.pins.record(self.key)?;
        if record.is_none_or(|record| record.serial != self.serial) {
            return Err(PinError::Removed(self.root));
        }
        change(&mut edit)?;
        edit.commit()?;
        Ok(())
    }
}
