//! Ids of blocks that will be asked for next: a file is read leaf by leaf, and its leaves have ids in that order.
//!
//! Owns what was found lately and what is expected. Where the index is larger than its cache, the row of each leaf
//! costs reads of its own there, since it lies by its hash; in `ids` the rows of a file lie side by side, some hundred to
//! a block of a table. So when blocks are found in their order, rows that follow are read from there, and their multihashes
//! remembered. What is remembered is a hint: the row of `ids` is asked again, which holds the multihash, and comes and
//! goes with that of `index`. Must not know files.

use std::sync::{Mutex, PoisonError};

use quick_cache::sync::Cache;

use super::schema::Id;

/// Blocks that are expected at a time, of all files that are being read, some 50 bytes each.
const EXPECTED: usize = 1 << 14;

/// Rows that are read at a time: of leaves of 256 KiB, 64 MiB of a file.
pub(super) const ROWS_AHEAD: usize = 256;

/// Blocks found lately that are remembered, 8 bytes each: about the number of files that are read at a time.
const LATELY: usize = 64;

/// A block lies behind another when its id is at most so much higher: inner nodes stand between leaves.
const BEHIND: u64 = 4;

/// Nothing lies behind it.
const NONE: Id = Id(u64::MAX);

/// What will be asked for.
#[derive(Debug)]
pub(super) struct Ahead {
    expected: Cache<u64, Id>,
    lately: Mutex<Lately>,
}

#[derive(Debug)]
struct Lately {
    ids: [Id; LATELY],
    next: usize,
}

impl Ahead {
    pub(super) fn new() -> Ahead {
        Ahead {
            expected: Cache::new(EXPECTED),
            lately: Mutex::new(Lately { ids: [NONE; LATELY], next: 0 }),
        }
    }

    /// The id that a block has, if it is one that is expected.
    pub(super) fn id_of(&self, multihash: &[u8]) -> Option<Id> {
        self.expected.get(&short(multihash))
    }

    pub(super) fn expect(&self, multihash: &[u8], id: Id) {
        self.expected.insert(short(multihash), id);
    }

    /// A block was found; says whether it lies behind one that was found lately.
    pub(super) fn found(&self, id: Id) -> bool {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lately.ids.iter_mut().find(|one| one.0 < id.0 && id.0 - one.0 <= BEHIND);
        let follows = before.is_some();
        match before {
            Some(before) => *before = id,
            None => {
                let next = lately.next;
                lately.next = (next + 1) % LATELY;
                if let Some(slot) = lately.ids.get_mut(next) {
                    *slot = id;
                }
            }
        }
        follows
    }
}

/// The last bytes of a multihash: of its digest.
fn short(multihash: &[u8]) -> u64 {
    let tail = multihash.last_chunk::<8>().copied().unwrap_or_default();
    u64::from_le_bytes(tail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Block;
    use crate::block::RAW;
    use crate::store::BlockStore as _;
    use crate::store::hot::{HotOptions, HotStore, index_key};
    use crate::unixfs::testing::cid_of;

    #[test]
    fn what_follows_is_found_by_its_row_and_never_once_it_was_removed() {
        let folder = tempfile::tempdir().unwrap();
        let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
        let blocks: Vec<_> = (0..20u8)
            .map(|n| Block::verified(cid_of(RAW, &[n]), vec![n].into()).unwrap())
            .collect();
        hot.put(&blocks).unwrap();
        let entry = |n: usize| hot.entry_of(index_key(blocks[n].cid()).as_slice()).unwrap();
        let expected = |n: usize| hot.expected(index_key(blocks[n].cid()).as_slice()).unwrap();
        assert_eq!(expected(5), None);
        hot.look_ahead(entry(4).unwrap().id).unwrap();
        assert_eq!(expected(4), None, "it lies before");
        assert!((5..20).all(|n| expected(n) == entry(n) && entry(n).is_some()));

        let gone = entry(7).unwrap();
        let mut edit = hot.edit();
        edit.remove(&gone, index_key(blocks[7].cid()).as_slice()).unwrap();
        edit.commit().unwrap();
        assert_eq!(expected(7), None);
        // Under another id now: the old one says nothing about it.
        hot.put(&blocks[7..8]).unwrap();
        assert_eq!(expected(7), None);
        assert_eq!(hot.entry(blocks[7].cid()).unwrap(), entry(7));
    }

    #[test]
    fn files_that_are_read_side_by_side_are_told_apart_and_random_reads_follow_nothing() {
        let ahead = Ahead::new();
        let first = [10, 1000, 500].map(|id| ahead.found(Id(id)));
        let second = [11, 1001, 504].map(|id| ahead.found(Id(id)));
        let third = [12, 1001, 509].map(|id| ahead.found(Id(id)));
        assert_eq!((first, second, third), ([false; 3], [true; 3], [true, false, false]));
    }

    #[test]
    fn a_file_that_goes_on_takes_one_place_of_those_remembered() {
        let ahead = Ahead::new();
        assert!(!ahead.found(Id(7_000_000)));
        for id in 1..10_000 {
            assert_eq!(ahead.found(Id(id)), id > 1);
        }
        assert!(ahead.found(Id(7_000_001)));
    }
}
