//! Nodes as bytes: leaves, inner nodes, symbolic links, directories and shards, and their CIDs.
//!
//! Owns the canonical form (links first, in the order of names; the fields of the UnixFS message in the
//! order of their numbers) and which CID names a block under given options. Must not know stores, nor
//! how nodes hang together. Rules: boxo `ipld/unixfs/importer/helpers/dagbuilder.go`, `unixfs.go`,
//! `ipld/merkledag/coding.go`; go-cidutil `inline.go`.

use bytes::Bytes;

use super::error::ImportError;
use super::options::{Layout, Metadata, Plan};
use crate::block::{Cid, DAG_PB, IDENTITY, MAX_BLOCK_LEN, RAW};
use crate::multihash;
use crate::unixfs::dag_pb;
use crate::unixfs::data::{DataType, UnixFsData};
use crate::unixfs::wire;

/// A node that was made: its block, and what its parents say of it.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) cid: Cid,
    pub(super) block: Bytes,
    /// Bytes of content in and below it.
    pub(super) size: u64,
    /// Bytes of all blocks in and below it.
    pub(super) tsize: u64,
}

/// What a parent says of a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    pub(super) cid: Cid,
    pub(super) size: u64,
    pub(super) tsize: u64,
}

impl Made {
    pub(super) fn child(&self) -> Child {
        Child { cid: self.cid, size: self.size, tsize: self.tsize }
    }
}

impl Plan {
    fn made(&self, codec: u64, block: Vec<u8>, size: u64, below: u64) -> Result<Made, ImportError> {
        check_len(block.len())?;
        let tsize = below.saturating_add(block.len() as u64);
        Ok(Made { cid: self.cid_of(codec, &block)?, block: Bytes::from(block), size, tsize })
    }

    /// The CID of a block. Costs one hash.
    fn cid_of(&self, codec: u64, block: &[u8]) -> Result<Cid, ImportError> {
        if self.inline_limit.is_some_and(|limit| block.len() <= limit) {
            return identity_cid(codec, block);
        }
        if self.hash.code() == IDENTITY {
            return identity_cid(codec, block);
        }
        let hash = multihash::digest(self.hash.code(), self.hash.len(), block).and_then(|digest| {
            cid::multihash::Multihash::wrap(self.hash.code(), digest.as_bytes()).ok()
        });
        // Every function that a `HashFunction` can hold has a digest, and it fits.
        let hash = hash.ok_or(ImportError::TooLongForIdentity(block.len()))?;
        let v0 = (self.cid_v0 && codec == DAG_PB).then(|| Cid::new_v0(hash).ok()).flatten();
        Ok(v0.unwrap_or_else(|| Cid::new_v1(codec, hash)))
    }

    /// The leaf of a chunk. Costs one hash, and one copy where leaves are not raw.
    pub(super) fn leaf(&self, chunk: Bytes) -> Result<Made, ImportError> {
        let size = chunk.len() as u64;
        if self.raw_leaves {
            return Ok(Made { cid: self.cid_of(RAW, &chunk)?, block: chunk, size, tsize: size });
        }
        let data_type = match self.layout {
            Layout::Balanced => DataType::File,
            Layout::Trickle => DataType::Raw,
        };
        self.content_node(data_type, &chunk, &Metadata::NONE)
    }

    /// A file of one leaf, or of none. Raw blocks have no place for metadata.
    pub(super) fn only_leaf(&self, chunk: Bytes, meta: &Metadata) -> Result<Made, ImportError> {
        if self.raw_leaves {
            self.leaf(chunk)
        } else {
            self.content_node(DataType::File, &chunk, meta)
        }
    }

    fn content_node(
        &self,
        data_type: DataType,
        chunk: &[u8],
        meta: &Metadata,
    ) -> Result<Made, ImportError> {
        let message = UnixFsData {
            data: (!chunk.is_empty()).then_some(chunk),
            filesize: Some(chunk.len() as u64),
            mode: meta.permissions(),
            mtime: meta.time(),
            ..UnixFsData::new(data_type)
        };
        self.made(DAG_PB, dag_pb::encode([], Some(&message.encode([]))), chunk.len() as u64, 0)
    }

    /// A symbolic link. It keeps a time, but no mode, as in Kubo.
    pub(super) fn symlink(&self, target: &[u8], meta: &Metadata) -> Result<Made, ImportError> {
        let message = UnixFsData {
            data: Some(target),
            mtime: meta.time(),
            ..UnixFsData::new(DataType::Symlink)
        };
        self.made(DAG_PB, dag_pb::encode([], Some(&message.encode([]))), 0, 0)
    }

    /// An inner node of a file.
    pub(super) fn inner(&self, inner: Inner, meta: &Metadata) -> Result<Made, ImportError> {
        let size = inner.sizes.iter().fold(0u64, |sum, size| sum.saturating_add(*size));
        let message = UnixFsData {
            filesize: Some(size),
            mode: meta.permissions(),
            mtime: meta.time(),
            ..UnixFsData::new(DataType::File)
        };
        let block = inner.links.with_data(&message.encode(inner.sizes));
        self.made(DAG_PB, block, size, inner.below)
    }

    /// A directory of one block.
    pub(super) fn directory(
        &self,
        links: Links,
        below: u64,
        meta: &Metadata,
    ) -> Result<Made, ImportError> {
        self.made(DAG_PB, links.with_data(&self.directory_data(meta)), 0, below)
    }

    /// The UnixFS message of a directory of one block.
    pub(super) fn directory_data(&self, meta: &Metadata) -> Vec<u8> {
        UnixFsData {
            mode: meta.permissions(),
            mtime: meta.time(),
            ..UnixFsData::new(DataType::Directory)
        }
        .encode([])
    }

    /// A HAMT shard with the bitfield of its slots, lowest slot in the lowest bit of the last byte.
    pub(super) fn shard(
        &self,
        links: Links,
        bitfield: &[u8],
        below: u64,
        meta: &Metadata,
    ) -> Result<Made, ImportError> {
        let leading = bitfield.iter().take_while(|byte| **byte == 0).count();
        let message = UnixFsData {
            data: bitfield.get(leading..),
            hash_type: Some(crate::unixfs::hamt::MURMUR3),
            fanout: Some(u64::from(self.directories.max_fanout)),
            mode: meta.permissions(),
            mtime: meta.time(),
            ..UnixFsData::new(DataType::HamtShard)
        };
        self.made(DAG_PB, links.with_data(&message.encode([])), 0, below)
    }
}

/// Nobody would read a longer block, Kubo and this library included.
pub(super) fn check_len(len: usize) -> Result<(), ImportError> {
    if len as u64 > MAX_BLOCK_LEN { Err(ImportError::BlockTooLarge { len }) } else { Ok(()) }
}

fn identity_cid(codec: u64, block: &[u8]) -> Result<Cid, ImportError> {
    let hash = cid::multihash::Multihash::wrap(IDENTITY, block)
        .map_err(|_| ImportError::TooLongForIdentity(block.len()))?;
    Ok(Cid::new_v1(codec, hash))
}

/// The links of a node as they will stand in its block. They must come in the order of their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(Vec<u8>);

impl Links {
    pub(super) fn push(&mut self, cid: &[u8], name: &[&[u8]], tsize: u64) {
        let name_len = name.iter().map(|part| part.len()).sum();
        wire::put_key(&mut self.0, dag_pb::NODE_LINKS, wire::LEN);
        wire::put_varint(&mut self.0, body_len(cid.len(), name_len, tsize) as u64);
        wire::put_bytes(&mut self.0, dag_pb::LINK_HASH, cid);
        wire::put_key(&mut self.0, dag_pb::LINK_NAME, wire::LEN);
        wire::put_varint(&mut self.0, name_len as u64);
        name.iter().for_each(|part| self.0.extend_from_slice(part));
        wire::put_number(&mut self.0, dag_pb::LINK_TSIZE, tsize);
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn with_data(self, data: &[u8]) -> Vec<u8> {
        let mut block = self.0;
        block.reserve_exact(data.len() + 1 + wire::MAX_VARINT_LEN);
        wire::put_bytes(&mut block, dag_pb::NODE_DATA, data);
        block
    }
}

/// The length of a link without its own key and length.
fn body_len(cid_len: usize, name_len: usize, tsize: u64) -> usize {
    3 + wire::varint_len(cid_len as u64)
        + cid_len
        + wire::varint_len(name_len as u64)
        + name_len
        + wire::varint_len(tsize)
}

/// Bytes that a link adds to the block of a directory.
pub(crate) fn link_len(cid_len: usize, name_len: usize, tsize: u64) -> usize {
    let body = body_len(cid_len, name_len, tsize);
    1 + wire::varint_len(body as u64) + body
}

/// An inner node of a file that is being filled. About 55 bytes a child.
#[derive(Clone, Debug, Default)]
pub(super) struct Inner {
    links: Links,
    sizes: Vec<u64>,
    below: u64,
}

impl Inner {
    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    pub(super) fn push(&mut self, child: &Child) {
        self.links.push(&child.cid.to_bytes(), &[], child.tsize);
        self.sizes.push(child.size);
        self.below = self.below.saturating_add(child.tsize);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::unixfs::dag_pb::{PbLink, PbNode, encode};
    use crate::unixfs::import::ImportOptions;

    fn plan(options: ImportOptions) -> Plan {
        Plan::of(&options).unwrap()
    }

    #[test]
    fn links_are_written_as_the_codec_writes_them_and_their_length_is_foretold() {
        let cid =
            plan(ImportOptions::cid_v1()).leaf(Bytes::from_static(b"x")).unwrap().cid.to_bytes();
        for (name, tsize) in [(&b""[..], 0), (b"a", 127), (&[b'n'; 200], 1 << 40)] {
            let mut links = Links::default();
            links.push(&cid, &[name], tsize);
            assert_eq!(links.0.len(), link_len(cid.len(), name.len(), tsize));
            let link = PbLink { cid: &cid, name: Some(name), tsize: Some(tsize) };
            assert_eq!(links.with_data(b"data"), encode([link], Some(b"data")));
        }
    }

    #[test]
    fn a_block_at_the_inline_limit_is_its_own_cid_and_one_above_is_not() {
        let plan = plan(ImportOptions { inline_limit: Some(4), ..ImportOptions::cid_v1() });
        let four = plan.leaf(Bytes::from_static(b"four")).unwrap();
        assert_eq!((four.cid.hash().code(), four.cid.hash().digest()), (IDENTITY, &b"four"[..]));
        assert_eq!(plan.leaf(Bytes::from_static(b"five5")).unwrap().cid.hash().code(), 0x12);
    }

    #[test]
    fn a_dag_pb_leaf_is_a_node_of_its_layout() {
        for (layout, data_type) in
            [(Layout::Balanced, DataType::File), (Layout::Trickle, DataType::Raw)]
        {
            let plan = plan(ImportOptions { layout, ..ImportOptions::default() });
            let leaf = plan.leaf(Bytes::from_static(b"hi")).unwrap();
            let data = PbNode::parse(&leaf.block).unwrap().data().unwrap();
            assert_eq!(UnixFsData::parse(data).unwrap().data_type, data_type);
        }
    }
}
