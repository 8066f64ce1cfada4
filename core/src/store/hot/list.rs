//! The blocks of a hot store, one after another.
//!
//! Owns the walk page by page: between two pages nothing is held. What is put or removed meanwhile may or may not be in it.
//! Must not know what blocks mean.

use std::vec;

use super::HotStore;
use super::error::HotError;
use super::schema::{Entry, Family, Held, Id, Spelling};
use crate::block::{Cid, RAW};
use crate::error::StoreError;

/// Rows that are read at a time: some 50 KB.
const PAGE: usize = 1024;

/// A block that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBlock {
    /// A CID that names it. Which codec it was written under is not known: all are spelled as raw.
    pub cid: Cid,
    /// Its length in bytes.
    pub size: u32,
}

/// The blocks of a store; see [`HotStore::blocks`].
#[derive(Debug)]
pub struct Blocks {
    store: HotStore,
    next: Option<Id>,
    page: vec::IntoIter<HeldBlock>,
}

impl HotStore {
    /// All blocks whose bytes are here, in the order in which they came. Reads none of their bytes.
    pub fn blocks(&self) -> Blocks {
        Blocks { store: self.clone(), next: Some(Id::ZERO), page: Vec::new().into_iter() }
    }

    /// Rows from an id on, and where the next page begins.
    fn page(&self, from: Id) -> Result<(Vec<HeldBlock>, Option<Id>), HotError> {
        let database = self.database();
        let mut rows = database.scan(Family::Ids, &from.key(), None)?;
        let mut page = Vec::new();
        for _ in 0..PAGE {
            let Some((key, value)) = rows.next()? else { return Ok((page, None)) };
            let damaged = |_| database.damaged(Family::Ids, key);
            let (entry, multihash) = Entry::parse_id_row(key, value).map_err(damaged)?;
            if entry.held != Held::Archive {
                let cid = Spelling::v1(RAW).cid(multihash).map_err(damaged)?;
                page.push(HeldBlock { cid, size: entry.size });
            }
            if page.len() == PAGE {
                return Ok((page, Some(entry.id.next())));
            }
        }
        // Rows of blocks that lie in archives took the places.
        let next = rows.next()?.map(|(key, _)| Id::parse(key));
        let next = next.transpose().map_err(|_| database.damaged(Family::Ids, &from.key()))?;
        Ok((page, next))
    }
}

impl Iterator for Blocks {
    type Item = Result<HeldBlock, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(block) = self.page.next() {
                return Some(Ok(block));
            }
            match self.store.page(self.next.take()?) {
                Ok((page, next)) => (self.page, self.next) = (page.into_iter(), next),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}
