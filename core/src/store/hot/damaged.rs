//! Letting go of a block whose bytes are not what its name says.
//!
//! Owns that nothing else goes with it: what keeps the block stays, so that a good copy that is put later is kept as before.
//! Must not know who found the damage.

use super::HotStore;
use super::schema::{Entry, Family, Held, meta, prefixed};
use super::writer::Edit;
use crate::block::{Block, Cid};
use crate::error::StoreError;
use crate::store::{BlockSource as _, BlockStore as _};

impl HotStore {
    /// Removes the bytes of a block that cannot be read or do not hash to its name; durable on return. `false`: it reads
    /// well, or is not held, and nothing was done.
    ///
    /// Pins and edges stay: a tier below answers for the block if it holds one, and a put brings it back under the number
    /// that it has. Reads the block twice.
    pub fn drop_damaged(&self, cid: &Cid) -> Result<bool, StoreError> {
        if !self.is_damaged(cid) {
            return Ok(false);
        }
        let mut edit = self.edit();
        // ORDER: looked at again under the lock: it may have been removed, and put anew.
        let entry = edit.entry(cid)?.filter(|entry| entry.held != Held::Archive);
        let Some(entry) = entry.filter(|_| self.is_damaged(cid)) else { return Ok(false) };
        edit.lose(cid, &entry)?;
        edit.commit()?;
        self.sync()?;
        Ok(true)
    }

    fn is_damaged(&self, cid: &Cid) -> bool {
        match self.get(cid) {
            Ok(None) => false,
            Ok(Some(block)) => {
                matches!(Block::verified(*cid, block.into_data()), Err(StoreError::Corrupt { .. }))
            }
            Err(_) => true,
        }
    }
}

impl Edit<'_> {
    /// From now on a block is known by its name alone, as one of an archive is.
    fn lose(&mut self, cid: &Cid, entry: &Entry) -> Result<(), StoreError> {
        self.drop_bytes(entry)?;
        self.write(Family::Meta, &prefixed(meta::LOST, &entry.id.key()), &[])?;
        self.write_entry(cid, Entry { held: Held::Archive, ..*entry })?;
        Ok(())
    }
}
