//! All blocks of the store, in the order in which they came.
//!
//! Owns the walk page by page: between two pages nothing is held, so a slow reader costs nobody anything. Must not
//! know what the walk is for.

use std::vec;

use super::HotStore;
use super::error::HotError;
use super::schema::{Entry, Family, Held, Id};
use crate::block::{Cid, RAW};
use crate::error::StoreError;
use crate::store::hot::Spelling;

/// Rows that are read at a time: some 100 KB.
const PAGE: usize = 1024;

/// A block that a walk came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scanned {
    /// Its number: blocks that come into the store later have higher ones.
    pub number: u64,
    /// Its CID, as one of raw bytes: which codec it was written under is not known any more.
    pub cid: Cid,
    /// Its length in bytes.
    pub len: u64,
    /// Whether its bytes are here; else it lies in an archive below and is known here because a pin keeps it.
    pub held: bool,
}

impl HotStore {
    /// All blocks whose numbers are `from` or higher, ascending; 0 gives all. Reads rows of some 50 bytes, no block. What
    /// comes into the store meanwhile is met as well.
    pub fn scan(&self, from: u64) -> Scan {
        Scan { hot: self.clone(), next: Some(Id(from)), page: Vec::new().into_iter() }
    }

    /// The number of a block, wherever its bytes are; `None` where it is not known here. One look-up.
    pub fn number(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        Ok(self.entry(cid)?.map(|entry| entry.id.0))
    }

    /// A number that every block has or exceeds which comes into the store from now on.
    pub fn next_number(&self) -> u64 {
        self.writer().next_id().0
    }

    fn page_from(&self, from: Id) -> Result<Vec<Scanned>, HotError> {
        let database = self.database();
        let mut rows = database.scan(Family::Ids, &from.key(), None)?;
        let mut page = Vec::with_capacity(PAGE);
        while page.len() < PAGE {
            let Some((key, value)) = rows.next()? else { break };
            let row = Entry::parse_id_row(key, value).and_then(|(entry, multihash)| {
                let cid = Spelling::v1(RAW).cid(multihash)?;
                let (number, len) = (entry.id.0, u64::from(entry.size));
                Ok(Scanned { number, cid, len, held: entry.held != Held::Archive })
            });
            page.push(row.map_err(|_| database.damaged(Family::Ids, key))?);
        }
        Ok(page)
    }
}

/// A walk over all blocks; see [`HotStore::scan`]. After an error there are no more.
#[derive(Debug)]
pub struct Scan {
    hot: HotStore,
    /// Where the next page begins; `None` at the end.
    next: Option<Id>,
    page: vec::IntoIter<Scanned>,
}

impl Iterator for Scan {
    type Item = Result<Scanned, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.page.next() {
            return Some(Ok(row));
        }
        let page = match self.hot.page_from(self.next.take()?) {
            Ok(page) => page,
            Err(error) => return Some(Err(error.into())),
        };
        self.next = page.last().map(|last| Id(last.number).next());
        self.page = page.into_iter();
        self.page.next().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pin::{NewPin, PinIndex};
    use crate::store::BlockStore as _;
    use crate::store::hot::HotOptions;
    use crate::unixfs::testing::cid_of;
    use crate::{Block, block};

    #[test]
    fn a_scan_meets_every_block_once_in_the_order_in_which_they_came() {
        let folder = tempfile::tempdir().unwrap();
        let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
        let blocks: Vec<_> = (0..2 * PAGE as u32 + 7)
            .map(|n| n.to_be_bytes())
            .map(|data| Block::verified(cid_of(block::RAW, &data), data.to_vec().into()).unwrap())
            .collect();
        hot.put(&blocks).unwrap();
        let cids: Vec<_> = blocks.iter().map(|block| *block.cid()).collect();
        let all: Vec<_> = hot.scan(0).map(Result::unwrap).collect();
        assert!(all.iter().map(|row| row.cid).eq(cids.iter().copied()));
        assert!(all.iter().all(|row| row.len == 4 && row.held));
        let middle = all[PAGE + 1].number;
        assert_eq!(hot.number(&cids[PAGE + 1]).unwrap(), Some(middle));
        let rest: Vec<_> = hot.scan(middle).map(Result::unwrap).collect();
        assert_eq!(rest, all[PAGE + 1..]);
        assert_eq!(hot.scan(all.last().unwrap().number + 1).count(), 0);
        assert_eq!(hot.scan(hot.next_number()).count(), 0);
        drop(hot);
        let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
        assert_eq!(hot.scan(0).count(), all.len());
        let since = hot.next_number();
        let newer = Block::verified(cid_of(block::RAW, b"newer"), "newer".into()).unwrap();
        hot.put(&[newer]).unwrap();
        assert_eq!(hot.scan(since).count(), 1);
    }

    #[test]
    fn a_block_of_an_archive_is_met_as_one_that_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
        let cid = cid_of(block::RAW, b"elsewhere");
        PinIndex::new(&hot, Vec::new()).adopt(&[(NewPin::new(cid), 1)]).unwrap();
        let rows: Vec<_> = hot.scan(0).map(Result::unwrap).collect();
        assert_eq!((rows.len(), rows[0].cid, rows[0].held), (1, cid, false));
    }
}
