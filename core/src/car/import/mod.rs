//! The blocks of a CAR into a store.
//!
//! Owns batches and what is counted. With the feature `import` blocks are hashed side by side, while those
//! before them are stored; the order stays that of the CAR.

#[cfg_attr(feature = "import", path = "side_by_side.rs")]
#[cfg_attr(not(feature = "import"), path = "in_line.rs")]
mod blocks;

use std::io::{BufReader, Read};

use super::error::CarError;
use super::reader::CarReader;
use crate::block::{Block, Cid, IDENTITY};
use crate::store::BlockStore;

/// Bytes of blocks that are stored at once, about.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Bytes asked of the stream at a time.
const READ: usize = 64 * 1024;

/// What came out of a CAR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// The roots that the header names.
    pub roots: Vec<Cid>,
    /// Blocks that came, repeats included.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Stores all blocks of a CAR. When it returns they are there to stay; when it fails, those before the
/// place of the error may be. Holds about 20 MiB. Blocks.
pub fn import(reader: impl Read, store: &dyn BlockStore) -> Result<Imported, CarError> {
    // Heads of sections are read byte by byte.
    let mut reader = CarReader::new(BufReader::with_capacity(READ, reader))?;
    let mut imported = Imported { roots: reader.roots().to_vec(), ..Imported::default() };
    let (mut batch, mut batch_bytes) = (Vec::new(), 0);
    blocks::for_each(&mut reader, &mut |block| {
        imported.blocks += 1;
        imported.bytes += block.data().len() as u64;
        // Identity blocks are in their CIDs and in no store.
        if block.cid().hash().code() == IDENTITY {
            return Ok(());
        }
        batch_bytes += block.data().len() + size_of::<Block>();
        batch.push(block);
        if batch_bytes >= BATCH_BYTES {
            store.put(&batch)?;
            batch.clear();
            batch_bytes = 0;
        }
        Ok(())
    })?;
    store.put(&batch)?;
    store.sync()?;
    Ok(imported)
}
