//! Blocks in a map: for tests, examples and small embedded sets.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::block::{Block, Cid, MultihashBytes};
use crate::error::StoreError;
use crate::store::{BlockSource, BlockStore, Located};

/// A block source that lives in memory. Grows with what is put into it; it has no bound of its own.
#[derive(Debug, Default)]
pub struct Memory {
    blocks: RwLock<HashMap<Box<[u8]>, bytes::Bytes>>,
}

impl Memory {
    /// An empty one.
    pub fn new() -> Self {
        Memory::default()
    }

    /// Holds a block from now on.
    pub fn put(&self, block: Block) {
        let key = MultihashBytes::of(block.cid()).as_slice().into();
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        blocks.insert(key, block.into_data());
    }

    /// Holds bytes under a CID that they need not hash to: a lying store, to test readers against.
    #[cfg(any(test, feature = "testing"))]
    pub fn put_unchecked(&self, cid: &Cid, data: impl Into<bytes::Bytes>) {
        self.put(Block::trusted(*cid, data.into()));
    }

    /// Forgets a block; says whether it was held.
    pub fn remove(&self, cid: &Cid) -> bool {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        blocks.remove(MultihashBytes::of(cid).as_slice()).is_some()
    }

    fn data(&self, cid: &Cid) -> Option<bytes::Bytes> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        blocks.get(MultihashBytes::of(cid).as_slice()).cloned()
    }
}

impl BlockSource for Memory {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        Ok(self.data(cid).map(|data| Block::trusted(*cid, data)))
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        Ok(self.data(cid).map(Located::Bytes))
    }

    fn lacks_now(&self, cid: &Cid) -> bool {
        self.data(cid).is_none()
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        Ok(self.data(cid).map(|data| data.len() as u64))
    }
}

impl BlockStore for Memory {
    fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
        blocks.iter().for_each(|block| Memory::put(self, block.clone()));
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract;

    #[test]
    fn a_map_keeps_the_contract_of_a_store() {
        contract::check_writes(&Memory::new());
    }
}
