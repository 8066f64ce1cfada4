//! The blocks of one change: read wherever they are, written in batches.
//!
//! Owns what is under way between a change and the store. Must not know what blocks mean. Memory: one
//! batch.

use std::collections::HashMap;

use bytes::Bytes;

use super::error::MfsError;
use super::node::CidFormat;
use crate::block::{Block, Cid, IDENTITY, MAX_BLOCK_LEN, MultihashBytes, identity_bytes};
use crate::error::ReadError;
use crate::repo::Repo;
use crate::store::BlockStore;

/// Bytes of blocks that wait to be stored together, about.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Blocks that wait to be stored together.
const BATCH_BLOCKS: usize = 1024;

/// The blocks of a change.
pub(super) struct Blocks<'s> {
    repo: &'s Repo,
    /// None for who only looks.
    writer: Option<&'s dyn BlockStore>,
    batch: Vec<Block>,
    bytes: usize,
    waiting: HashMap<Box<[u8]>, Bytes>,
}

impl<'s> Blocks<'s> {
    /// For looking.
    pub(super) fn read_only(repo: &'s Repo) -> Blocks<'s> {
        Blocks { repo, writer: None, batch: Vec::new(), bytes: 0, waiting: HashMap::new() }
    }

    /// For a change, whose blocks go to `writer`.
    pub(super) fn new(repo: &'s Repo, writer: &'s dyn BlockStore) -> Blocks<'s> {
        Blocks { writer: Some(writer), ..Blocks::read_only(repo) }
    }

    /// A whole block: one that waits, or from the repository.
    pub(super) fn get(&self, cid: &Cid) -> Result<Bytes, MfsError> {
        if let Some(data) = identity_bytes(cid) {
            return Ok(data);
        }
        if let Some(data) = self.waiting.get(MultihashBytes::of(cid).as_slice()) {
            return Ok(data.clone());
        }
        let block = self.repo.block(cid)?.ok_or(ReadError::Missing(*cid))?;
        Ok(block.into_data())
    }

    /// The length of a block; `None` when it is not here. Reads nothing of it.
    pub(super) fn size(&self, cid: &Cid) -> Result<Option<u64>, MfsError> {
        if let Some(data) = identity_bytes(cid) {
            return Ok(Some(data.len() as u64));
        }
        if let Some(data) = self.waiting.get(MultihashBytes::of(cid).as_slice()) {
            return Ok(Some(data.len() as u64));
        }
        Ok(self.repo.size(cid)?)
    }

    /// Takes in a block and names it. Identity blocks are in their CIDs and in no store.
    pub(super) fn put(
        &mut self,
        format: &CidFormat,
        codec: u64,
        data: Bytes,
    ) -> Result<Cid, MfsError> {
        if data.len() as u64 > MAX_BLOCK_LEN {
            return Err(MfsError::DirectoryTooLarge(data.len()));
        }
        let cid = format.cid(codec, &data)?;
        let key = MultihashBytes::of(&cid);
        if cid.hash().code() == IDENTITY || self.waiting.contains_key(key.as_slice()) {
            return Ok(cid);
        }
        self.bytes += data.len();
        self.waiting.insert(key.as_slice().into(), data.clone());
        self.batch.push(Block::trusted(cid, data));
        if self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_BLOCKS {
            self.flush()?;
        }
        Ok(cid)
    }

    /// Hands what waits to the store.
    pub(super) fn flush(&mut self) -> Result<(), MfsError> {
        if let Some(writer) = self.writer
            && !self.batch.is_empty()
        {
            writer.put(&self.batch)?;
        }
        self.batch.clear();
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }
}
