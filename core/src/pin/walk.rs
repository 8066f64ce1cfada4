//! From a root to edges: brings everything below it into the index.
//!
//! Owns the order in which blocks are visited and the rule of which need not be read. A block's edges are
//! written before its children are visited, so that they are kept from then on; its mark *complete* comes
//! after all of them have theirs. So a walk passes by what an earlier one has done, resumes after a crash,
//! and costs the difference when a new version of a folder is pinned. Must not know modes or names.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::{PinError, PinIndex, Place};
use crate::block::{Cid, DAG_PB, MultihashBytes};
use crate::error::ReadError;
use crate::links::{self, Link};
use crate::store::hot::{Edit, Id, PinKey, Spelling, Walked};

/// How many blocks may lie below one another: some 20 MB of memory. Only chains are so deep.
pub(super) const MAX_DEPTH: usize = 1 << 18;

/// Children that a walk keeps in mind to visit, 24 bytes each. With more, those of the blocks nearest to the
/// root are forgotten, and found again by reading these blocks once more.
const MAX_IN_MIND: usize = 1 << 18;

/// A block on the way down.
struct Frame {
    id: Id,
    spelling: Spelling,
    /// Its children that are still to be visited; `None` when they are not in mind.
    to_visit: Option<Vec<(Id, Spelling)>>,
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
    path: Vec<Frame>,
    on_path: HashSet<(Id, Spelling)>,
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
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), PinError> {
        let mut walk = Walk {
            pins: self,
            root: *root,
            key,
            serial,
            path: Vec::new(),
            on_path: HashSet::new(),
            in_mind: 0,
            done: 0,
        };
        walk.visit(key)?;
        while walk.step()? {
            if progress(walk.done).is_break() {
                return Err(PinError::Cancelled(*root));
            }
        }
        Ok(())
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
                    let (id, codec) = (top.id, top.spelling.codec());
                    self.commit(|edit| Ok(edit.mark_walked(id, codec, Walked::Complete)?))?;
                    self.leave();
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
        if self.path.len() >= MAX_DEPTH {
            return Err(PinError::TooDeep(self.root));
        }
        if !self.on_path.insert(block) {
            // Hashes rule this out, unless somebody has found a collision or the bytes were not checked.
            let cid = self.cid_of(block)?;
            return Err(ReadError::undecodable(&cid, "it lies below itself").into());
        }
        self.path.push(Frame { id, spelling, to_visit: None });
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(frame) = self.path.pop() {
            self.on_path.remove(&(frame.id, frame.spelling));
            self.in_mind -= frame.to_visit.map_or(0, |children| children.len());
        }
        self.done += 1;
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
        let children = self.children(&cid, block.data())?;
        let mut to_visit = Vec::new();
        let pins = self.pins;
        self.commit(|edit| {
            for child in &children {
                let entry = pins.entry_for(edit, &child.cid, child.place)?;
                edit.add_edge(entry.id, id, &child.spellings)?;
                for &below in &child.to_visit {
                    // ORDER: asked under the lock, where the new edge already counts: what is complete
                    // now stays so while this pin is there.
                    if pins.hot().walked(entry.id, below.codec())? != Some(Walked::Complete) {
                        to_visit.push((entry.id, below));
                    }
                }
            }
            let walked = if to_visit.is_empty() { Walked::Complete } else { Walked::Expanded };
            Ok(edit.mark_walked(id, spelling.codec(), walked)?)
        })?;
        if to_visit.is_empty() {
            self.leave();
            return Ok(());
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
    fn children(&self, cid: &Cid, data: &[u8]) -> Result<Vec<Child>, PinError> {
        let mut by_multihash: HashMap<Box<[u8]>, Vec<Link>> = HashMap::new();
        links::links(cid, data, &mut |link| {
            let key = MultihashBytes::of(&link.cid).as_slice().into();
            by_multihash.entry(key).or_default().push(link);
        })?;
        by_multihash.into_values().map(|links| self.child(&links)).collect()
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
