//! Writing a CAR of version 1 as a stream.

use std::io::Write;

use super::error::CarError;
use super::header;
use crate::block::{Block, Cid};
use crate::unixfs::wire::put_varint;

/// Writes blocks in the order in which they are put. What comes twice is the choice of whoever puts:
/// [`crate::walk::walk`] gives the blocks below a root in the order of `ipfs dag export`.
#[derive(Debug)]
pub struct CarWriter<W> {
    out: W,
}

impl<W: Write> CarWriter<W> {
    /// Writes the header. There should be a root: some readers refuse a CAR without one.
    pub fn new(mut out: W, roots: &[Cid]) -> Result<Self, CarError> {
        out.write_all(&header::encode(roots)).map_err(CarError::Write)?;
        Ok(CarWriter { out })
    }

    /// Writes a block. Two writes: its frame, its bytes.
    pub fn put(&mut self, block: &Block) -> Result<(), CarError> {
        let cid = block.cid().to_bytes();
        let mut frame = Vec::with_capacity(cid.len() + 10);
        put_varint(&mut frame, (cid.len() + block.data().len()) as u64);
        frame.extend(cid);
        self.out.write_all(&frame).map_err(CarError::Write)?;
        self.out.write_all(block.data()).map_err(CarError::Write)
    }

    /// Bytes that a block takes in a CAR.
    pub fn section_len(block: &Block) -> u64 {
        let len = (block.cid().encoded_len() + block.data().len()) as u64;
        let mut frame = Vec::with_capacity(10);
        put_varint(&mut frame, len);
        frame.len() as u64 + len
    }

    /// Hands back the writer, flushed.
    pub fn finish(mut self) -> Result<W, CarError> {
        self.out.flush().map_err(CarError::Write)?;
        Ok(self.out)
    }
}
