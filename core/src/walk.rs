//! All blocks below a root, depth first: a block, then what is below its first link, and so on.
//!
//! Owns the order, what is remembered of blocks that came before, and the bound on what is still ahead.
//! Must not know where blocks lie. Nothing recurses: depth costs memory, which is bounded, and no stack.
//! Rules: the order of `ipfs dag export`, kubo `core/commands/dag/export.go`.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::block::{Block, Cid, identity_bytes};
use crate::cid_stack::CidStack;
use crate::error::{ReadError, StoreError};
use crate::links::for_each_link;

/// The most bytes of CIDs that a walk may have ahead of it: some millions of links. An honest DAG is far
/// below; one that is made to be deep and wide at once ends here with an error.
pub const MAX_PENDING_BYTES: usize = 256 * 1024 * 1024;

/// What becomes of a block that is linked more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// It comes once, the first time, and nothing below it comes again. At most so many blocks are
    /// remembered, about 40 bytes each; when there are more, those that come later may come again.
    Once {
        /// Blocks that are remembered.
        remembered: usize,
    },
    /// It comes as often as it is linked, with everything below it. Needs no memory; a small DAG can
    /// be made that has no end in any lifetime, so whoever asks for this must be ready to stop.
    EachTime,
}

impl Default for Repeats {
    /// Once; 4,194,304 blocks are remembered, a terabyte of files.
    fn default() -> Self {
        Repeats::Once { remembered: 4 * 1024 * 1024 }
    }
}

/// Walks everything below `roots`, the roots included, in the order in which `ipfs dag export` writes it.
/// `fetch` gives a block; a block that it does not give is [`ReadError::Missing`].
///
/// Blocks of identity CIDs come too, as in `ipfs dag export`, without being fetched. A trustless gateway
/// must leave them out: by [`IDENTITY`](crate::block::IDENTITY), the code of their hash.
pub fn walk<F>(roots: &[Cid], repeats: Repeats, fetch: F) -> Walk<F>
where
    F: FnMut(&Cid) -> Result<Option<Block>, StoreError>,
{
    let mut walk = Walk {
        ahead: CidStack::default(),
        found: Vec::new(),
        seen: HashSet::new(),
        keys: [RandomState::new(), RandomState::new()],
        repeats,
        fetch,
    };
    roots.iter().rev().for_each(|root| walk.ahead.push(root));
    walk
}

/// The blocks of a walk. After an error there are no more.
pub struct Walk<F> {
    /// Binary CIDs that are still to come, the next one last, each with its length behind it.
    ahead: CidStack,
    /// The links of the block at hand.
    found: Vec<Cid>,
    seen: HashSet<u128>,
    keys: [RandomState; 2],
    repeats: Repeats,
    fetch: F,
}

impl<F> std::fmt::Debug for Walk<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("ahead", &self.ahead.bytes()).finish_non_exhaustive()
    }
}

impl<F: FnMut(&Cid) -> Result<Option<Block>, StoreError>> Iterator for Walk<F> {
    type Item = Result<Block, ReadError>;

    fn next(&mut self) -> Option<Result<Block, ReadError>> {
        loop {
            let cid = self.ahead.pop()?;
            if self.is_repeat(&cid) {
                continue;
            }
            match self.enter(&cid) {
                Ok(block) => return Some(Ok(block)),
                Err(error) => {
                    self.ahead.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<F: FnMut(&Cid) -> Result<Option<Block>, StoreError>> Walk<F> {
    /// Fetches a block and puts its links ahead.
    fn enter(&mut self, cid: &Cid) -> Result<Block, ReadError> {
        let block = match identity_bytes(cid) {
            Some(bytes) => Block::trusted(*cid, bytes),
            None => (self.fetch)(cid)?.ok_or(ReadError::Missing(*cid))?,
        };
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        // The codec is that of the link: the block may have been stored under another.
        let linked = Block::trusted(*cid, block.data().clone());
        for_each_link(&linked, &mut |link| found.push(link))?;
        found.iter().rev().for_each(|link| self.ahead.push(link));
        self.found = found;
        if self.ahead.bytes() > MAX_PENDING_BYTES {
            let reason =
                format!("a walk has more than {MAX_PENDING_BYTES} bytes of links ahead here");
            return Err(ReadError::undecodable(cid, reason));
        }
        Ok(linked)
    }

    /// Whether the block has come before; remembers it.
    fn is_repeat(&mut self, cid: &Cid) -> bool {
        let Repeats::Once { remembered } = self.repeats else { return false };
        let bytes = cid.to_bytes();
        // Two keyed hashes of 64 bits: nobody can make two CIDs that are taken for one.
        let [high, low] = &self.keys;
        let key = u128::from(high.hash_one(&bytes)) << 64 | u128::from(low.hash_one(&bytes));
        if self.seen.len() >= remembered {
            return self.seen.contains(&key);
        }
        !self.seen.insert(key)
    }
}
