//! What an unpin leaves loose: takes the edges out of blocks that nothing keeps any more.
//!
//! Owns the list of loose blocks, which is on the disk: a crash at any moment leaves it longer than need be, never
//! too short. A block is released in one batch: its edges go, and children that nothing else keeps come on the
//! list. So it stops at the first block that another parent holds. Must not know how garbage is removed.

use std::collections::{HashMap, HashSet};

use super::{PinError, PinIndex, PinMode};
use crate::block::{Cid, MultihashBytes, RAW};
use crate::error::{ReadError, StoreError};
use crate::links;
use crate::store::hot::{Id, Spelling};

/// Loose blocks that are kept in mind; the list on the disk holds all.
const MAX_IN_MIND: usize = 1 << 16;

impl PinIndex {
    /// Releases every loose block. Costs one read of each that has links, and a batch.
    ///
    /// One that cannot be read now stays on the list, and what hangs below it stays kept; the others are
    /// released all the same, and the first such error is returned.
    pub fn release_all(&self) -> Result<(), PinError> {
        let (mut failed, mut first) = (HashSet::new(), None);
        loop {
            let mut next = self.hot().loose(MAX_IN_MIND)?;
            next.retain(|id| !failed.contains(id));
            if next.is_empty() {
                return first.map_or(Ok(()), Err);
            }
            while let Some(id) = next.pop() {
                match self.release(id) {
                    Ok(loosened) => {
                        let room = MAX_IN_MIND.saturating_sub(next.len());
                        next.extend(loosened.into_iter().take(room));
                    }
                    Err(error) => {
                        failed.insert(id);
                        first = first.or(Some(error));
                    }
                }
            }
        }
    }

    /// Releases one block, and names the children that are loose now.
    fn release(&self, id: Id) -> Result<Vec<Id>, PinError> {
        let codecs = self.hot().codecs_walked(id)?;
        let children = match codecs.is_empty() {
            true => Vec::new(),
            false => self.children_of(id, &codecs)?,
        };
        let mut edit = self.hot().edit();
        edit.erase_loose(id)?;
        let mut loosened = Vec::new();
        if !self.keeps_below(id, None)? {
            for child in children {
                edit.erase_edge(child, id)?;
                let has_edges = !self.hot().codecs_walked(child)?.is_empty();
                if has_edges && !self.keeps_below(child, Some(id))? {
                    edit.loosen(child)?;
                    loosened.push(child);
                }
            }
            for codec in codecs {
                edit.erase_walked(id, codec)?;
            }
        }
        edit.commit()?;
        Ok(loosened)
    }

    /// Whether something keeps a block with everything below it; `without` is a parent that does not count.
    fn keeps_below(&self, id: Id, without: Option<Id>) -> Result<bool, PinError> {
        for edge in self.hot().parents(id, Id::ZERO, 2)? {
            if Some(edge.parent) != without {
                return Ok(true);
            }
        }
        for (key, record) in self.hot().pins_of(id)? {
            let record = self.parse(key, &record)?;
            if record.mode == PinMode::Recursive {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The ids of a block's children, as its edges were written: by each codec it was read with.
    fn children_of(&self, id: Id, codecs: &[u64]) -> Result<Vec<Id>, PinError> {
        let mut children = HashMap::new();
        for &codec in codecs {
            match self.links_of(id, codec, &mut children) {
                Ok(()) => {}
                // Its bytes are gone or bad: the index knows its children too, at the price of a look
                // at every edge.
                Err(PinError::Read(
                    ReadError::Missing(_)
                    | ReadError::Undecodable { .. }
                    | ReadError::Store(StoreError::Corrupt { .. }),
                )) => return Ok(self.hot().children_by_looking(id)?),
                Err(error) => return Err(error),
            }
        }
        Ok(children.into_values().collect())
    }

    fn links_of(
        &self,
        id: Id,
        codec: u64,
        children: &mut HashMap<Box<[u8]>, Id>,
    ) -> Result<(), PinError> {
        let Some((_, named)) = self.hot().named(id, Spelling::v1(RAW))? else { return Ok(()) };
        let cid = Cid::new_v1(codec, *named.hash());
        let block = self.read(&cid)?;
        let mut links = Vec::new();
        links::links(&cid, block.data(), &mut |link| links.push(link.cid))?;
        for link in links {
            if let Some(entry) = self.hot().entry(&link)? {
                children.insert(MultihashBytes::of(&link).as_slice().into(), entry.id);
            }
        }
        Ok(())
    }
}
