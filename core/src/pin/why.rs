//! The way up: whether a CID is pinned, and why a block is kept.
//!
//! Owns the search from a block to a root through its parents. Costs as many look-ups as there are blocks on
//! the ways up that it tries, whatever the number of pins. Must not know the wire.

use std::collections::HashMap;

use super::{PinError, PinIndex, PinMode};
use crate::block::Cid;
use crate::store::hot::{Id, Spelling};

/// Blocks that a search looks at before it says that it cannot tell: 32 bytes each.
const MAX_SEEN: usize = 1 << 20;

/// Parents of one block that are looked at in one go.
const PARENTS_AT_A_TIME: usize = 256;

/// Whether a CID is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinStatus {
    /// With everything below it.
    Recursive,
    /// Alone.
    Direct,
    /// It hangs below a recursive pin.
    Indirect {
        /// The root of one that it hangs below.
        through: Cid,
    },
    /// Not at all.
    NotPinned,
}

impl PinIndex {
    /// Whether a CID is pinned, as it is spelled. A few look-ups where it is a root or nothing links to it.
    pub fn status(&self, cid: &Cid) -> Result<PinStatus, PinError> {
        if let Some(pin) = self.get(cid)? {
            return Ok(match pin.mode {
                PinMode::Recursive => PinStatus::Recursive,
                PinMode::Direct => PinStatus::Direct,
            });
        }
        let through = self.through(cid)?;
        Ok(through.map_or(PinStatus::NotPinned, |through| PinStatus::Indirect { through }))
    }

    /// A root that is pinned recursively and has a CID below it, as it is spelled, whether that is pinned itself or not. A few
    /// look-ups where nothing links to it.
    pub fn through(&self, cid: &Cid) -> Result<Option<Cid>, PinError> {
        let Some(entry) = self.hot().entry(cid)? else { return Ok(None) };
        let spelling = Spelling::of(cid);
        let mut search = Search::default();
        let mut after = Id::ZERO;
        loop {
            let edges = self.hot().parents(entry.id, after, PARENTS_AT_A_TIME)?;
            let Some(last) = edges.last() else { return Ok(None) };
            after = last.parent;
            for edge in edges.iter().filter(|edge| edge.spellings.contains(&spelling)) {
                search.add(edge.parent, entry.id);
            }
            if let Some((root, _)) = self.root_above(&mut search, Wanted::RecursivePin)? {
                return Ok(Some(root));
            }
        }
    }

    /// Why a block is kept: the way down from a root that is pinned, or that has a name, to it, both included. `None`:
    /// nothing keeps it. Blocks between are spelled as a link spells them.
    pub fn why(&self, cid: &Cid) -> Result<Option<Vec<Cid>>, PinError> {
        let Some(entry) = self.hot().entry(cid)? else { return Ok(None) };
        if let Some(pin) = self.pin_of(entry.id, Wanted::AnyRoot)? {
            return Ok(Some(vec![pin]));
        }
        let mut search = Search::default();
        search.add(entry.id, entry.id);
        let Some((root, mut id)) = self.root_above(&mut search, Wanted::WhatKeepsBelow)? else {
            return Ok(None);
        };
        let mut way = vec![root];
        while id != entry.id {
            let Some(&child) = search.seen.get(&id) else { break };
            let edge = self.hot().edges_from(child, id, 1)?.pop();
            let spelling = edge.and_then(|edge| edge.spellings.first().copied());
            let Some(spelling) = spelling else { break };
            if let Some((_, cid)) = self.hot().named(child, spelling)? {
                way.push(cid);
            }
            id = child;
        }
        Ok(Some(way))
    }

    /// The first such root on the ways up from what `search` is to look at.
    fn root_above(
        &self,
        search: &mut Search,
        wanted: Wanted,
    ) -> Result<Option<(Cid, Id)>, PinError> {
        while let Some(id) = search.next.pop() {
            if let Some(root) = self.pin_of(id, wanted)? {
                return Ok(Some((root, id)));
            }
            self.add_parents(search, id)?;
        }
        Ok(None)
    }

    /// A root at a block that is one to whoever asks.
    fn pin_of(&self, id: Id, wanted: Wanted) -> Result<Option<Cid>, PinError> {
        for (key, record) in self.hot().pins_of(id)? {
            let record = self.parse(key, &record)?;
            if record.shown().is_some_and(|shown| wanted.takes(shown, key.is_root)) {
                return Ok(Some(self.cid_of(key, &record)?));
            }
        }
        Ok(None)
    }
}

/// Which roots a search is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    RecursivePin,
    /// Recursive pins, and roots with a name.
    WhatKeepsBelow,
    /// Direct pins as well.
    AnyRoot,
}

impl Wanted {
    fn takes(self, mode: PinMode, is_root: bool) -> bool {
        match self {
            Wanted::RecursivePin => mode == PinMode::Recursive && !is_root,
            Wanted::WhatKeepsBelow => mode == PinMode::Recursive,
            Wanted::AnyRoot => true,
        }
    }
}

/// Blocks of which it is remembered whether they hang below a pin, 24 bytes each. With more, all is forgotten.
const MAX_KNOWN: usize = 1 << 16;

/// Which blocks hang below a recursive pin, or are one: for who asks about many that lie near one another.
#[derive(Debug)]
pub(super) struct BelowPins {
    /// `None`: no root has a name, so whatever has a parent hangs below a pin.
    known: Option<HashMap<Id, bool>>,
}

impl BelowPins {
    pub(super) fn new(pins: &PinIndex) -> Result<BelowPins, PinError> {
        let any = !pins.hot().named_roots()?.is_empty();
        Ok(BelowPins { known: any.then(HashMap::new) })
    }

    /// Whether a block is a recursive pin, or hangs below one.
    pub(super) fn holds(&mut self, pins: &PinIndex, id: Id) -> Result<bool, PinError> {
        let Some(known) = &mut self.known else { return Ok(true) };
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        if let Some(answer) = known.get(&id) {
            return Ok(*answer);
        }
        let mut search = Search::default();
        search.add(id, id);
        let found = pins.climb(&mut search, known)?;
        match found {
            // All the way from here to there.
            Some(mut at) => {
                while at != id {
                    known.insert(at, true);
                    let Some(&below) = search.seen.get(&at) else { break };
                    at = below;
                }
                known.insert(id, true);
            }
            None => known.extend(search.seen.keys().map(|id| (*id, false))),
        }
        Ok(found.is_some())
    }
}

impl PinIndex {
    /// The first block on the ways up that is a recursive pin or known to hang below one. What is known not to is not
    /// climbed.
    fn climb(
        &self,
        search: &mut Search,
        known: &HashMap<Id, bool>,
    ) -> Result<Option<Id>, PinError> {
        while let Some(id) = search.next.pop() {
            match known.get(&id) {
                Some(true) => return Ok(Some(id)),
                Some(false) => continue,
                None => {}
            }
            if self.pin_of(id, Wanted::RecursivePin)?.is_some() {
                return Ok(Some(id));
            }
            self.add_parents(search, id)?;
        }
        Ok(None)
    }

    /// Puts the parents of a block among those to look at.
    fn add_parents(&self, search: &mut Search, id: Id) -> Result<(), PinError> {
        let mut after = Id::ZERO;
        while search.seen.len() < MAX_SEEN {
            let edges = self.hot().parents(id, after, PARENTS_AT_A_TIME)?;
            let Some(last) = edges.last() else { break };
            after = last.parent;
            edges.iter().for_each(|edge| search.add(edge.parent, id));
        }
        Ok(())
    }
}

/// Blocks seen on the way up, each with the child it was reached from.
#[derive(Default)]
struct Search {
    seen: HashMap<Id, Id>,
    next: Vec<Id>,
}

impl Search {
    fn add(&mut self, id: Id, from: Id) {
        if self.seen.len() < MAX_SEEN && !self.seen.contains_key(&id) {
            self.seen.insert(id, from);
            self.next.push(id);
        }
    }
}
