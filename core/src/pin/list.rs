//! Pins and indirect pins, streamed.
//!
//! Owns the walk over the index page by page: between two pages nothing is held, no lock and no snapshot, so a
//! list that is read slowly costs nobody anything. What is pinned or unpinned meanwhile may or may not be in
//! it; what is pinned throughout is in it once. Must not know the wire.

use std::vec;

use super::why::BelowPins;
use super::{Pin, PinError, PinIndex, PinMode, shown};
use crate::block::Cid;
use crate::store::hot::{EdgeRow, Id, PinKey, Spelling};

/// Rows that are read at a time: some 100 KB.
const PAGE: usize = 1024;

impl PinIndex {
    /// All pins, or those of one mode, in the order in which their roots came into the store.
    pub fn list(&self, mode: Option<PinMode>) -> Pins {
        Pins { pins: self.clone(), mode, after: None, page: Vec::new().into_iter(), ended: false }
    }

    /// Blocks that hang below a recursive pin, as the links to them are spelled, each spelling once. CIDs that
    /// are pinned themselves are left out. While a pin is being made, blocks below it may be in it. Streams from the
    /// index; where a root has a name ([`PinIndex::set_root`]) each block costs a look at its way up besides, since what
    /// hangs below such roots alone is not pinned.
    pub fn indirect(&self) -> Indirect {
        Indirect {
            pins: self.clone(),
            at: (Id::ZERO, Id::ZERO),
            page: Vec::new().into_iter(),
            ended: false,
            child: None,
            told: Vec::new(),
            ready: Vec::new(),
            below: None,
        }
    }
}

/// The pins of an index; see [`PinIndex::list`].
#[derive(Debug)]
pub struct Pins {
    pins: PinIndex,
    mode: Option<PinMode>,
    after: Option<PinKey>,
    page: vec::IntoIter<(PinKey, Vec<u8>)>,
    ended: bool,
}

impl Pins {
    fn advance(&mut self) -> Result<Option<Pin>, PinError> {
        loop {
            let Some((key, record)) = self.page.next() else {
                let page = self.pins.hot().pins_after(self.after, PAGE)?;
                let Some((last, _)) = page.last() else { return Ok(None) };
                self.after = Some(*last);
                self.page = page.into_iter();
                continue;
            };
            if key.is_root {
                continue;
            }
            let record = self.pins.parse(key, &record)?;
            let cid = self.pins.cid_of(key, &record)?;
            let pin = shown(cid, record);
            if let Some(pin) = pin.filter(|pin| self.mode.is_none_or(|mode| pin.mode == mode)) {
                return Ok(Some(pin));
            }
        }
    }
}

impl Iterator for Pins {
    type Item = Result<Pin, PinError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        self.ended = matches!(next, Some(Err(_)));
        next
    }
}

/// Indirect pins; see [`PinIndex::indirect`].
#[derive(Debug)]
pub struct Indirect {
    pins: PinIndex,
    /// Where the next page begins: child, parent.
    at: (Id, Id),
    page: vec::IntoIter<EdgeRow>,
    ended: bool,
    child: Option<Id>,
    /// Spellings of the child that were told already: of its codecs and versions, so few.
    told: Vec<Spelling>,
    ready: Vec<Cid>,
    /// What is known of blocks on the ways up; `None` until it is known whether there are named roots.
    below: Option<BelowPins>,
}

impl Indirect {
    fn advance(&mut self) -> Result<Option<Cid>, PinError> {
        loop {
            if let Some(cid) = self.ready.pop() {
                return Ok(Some(cid));
            }
            let Some(edge) = self.page.next() else {
                let page = self.pins.hot().edges_from(self.at.0, self.at.1, PAGE)?;
                let Some(last) = page.last() else { return Ok(None) };
                self.at = (last.child, last.parent.next());
                self.page = page.into_iter();
                continue;
            };
            self.take(&edge)?;
        }
    }

    fn take(&mut self, edge: &EdgeRow) -> Result<(), PinError> {
        if self.child != Some(edge.child) {
            self.child = Some(edge.child);
            self.told.clear();
        }
        let below = match &mut self.below {
            Some(below) => below,
            none => none.insert(BelowPins::new(&self.pins)?),
        };
        if !below.holds(&self.pins, edge.parent)? {
            return Ok(());
        }
        for &spelling in &edge.spellings {
            if self.told.contains(&spelling) {
                continue;
            }
            self.told.push(spelling);
            let record = self.pins.record(PinKey::pin(edge.child, spelling))?;
            let is_root = record.is_some_and(|record| record.shown().is_some());
            if !is_root && let Some((_, cid)) = self.pins.hot().named(edge.child, spelling)? {
                self.ready.push(cid);
            }
        }
        Ok(())
    }
}

impl Iterator for Indirect {
    type Item = Result<Cid, PinError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        self.ended = matches!(next, Some(Err(_)));
        next
    }
}
