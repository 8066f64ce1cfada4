//! A decoded node: what a block means, in a form that can be cached and shared.
//!
//! Owns the step from the borrowed wire formats to a node that keeps its block alive, and the checks
//! that make a node trustworthy by itself: as many sizes as links, sizes that add up. Must not know
//! where blocks lie. Links stay in the block as offsets: a node costs its block plus 24 to 32 bytes a
//! link, and a CID is parsed when it is followed.

use bytes::Bytes;

use super::dag_pb::{LeafFrame, PbLink, PbNode, digest_len};
use super::data::{DataType, UnixFsData};
use super::directory::{DirectoryNode, ShardNode};
use crate::block::{Cid, DAG_PB, RAW};
use crate::error::ReadError;
use crate::multihash::MAX_DIGEST_LEN;

pub use super::data::Mtime;

/// What a block means.
#[derive(Debug)]
#[non_exhaustive]
pub enum Node {
    /// A file, or a raw block, which is a file of its bytes.
    File(FileNode),
    /// A directory that fits one block.
    Directory(DirectoryNode),
    /// A directory spread over many blocks, or a part of one (HAMT).
    Shard(ShardNode),
    /// A symbolic link. It is not followed; its target is its content.
    Symlink(Symlink),
}

impl Node {
    /// Decodes a whole dag-pb block. Costs one pass over it.
    ///
    /// A node without UnixFS data is read as a directory of its links, which is how Kubo walks paths
    /// through it (go-unixfsnode `reification.go`).
    pub fn decode(cid: &Cid, block: Bytes) -> Result<Node, ReadError> {
        if cid.codec() == RAW {
            return Ok(Node::File(FileNode::inline(cid, block)));
        }
        if cid.codec() != DAG_PB {
            return Err(ReadError::UnsupportedCodec { cid: *cid, codec: cid.codec() });
        }
        let pb = PbNode::parse(&block).map_err(|e| ReadError::undecodable(cid, e))?;
        let links = || Links::of(&block, &pb);
        let Some(message) = pb.data() else {
            return Ok(Node::Directory(DirectoryNode::new(cid, links(), Attributes::default())));
        };
        let data = UnixFsData::parse(message).map_err(|e| ReadError::undecodable(cid, e))?;
        let attributes = Attributes { mode: data.mode, mtime: data.mtime };
        match data.data_type {
            DataType::File | DataType::Raw => {
                FileNode::decode(cid, &block, &pb, &data).map(Node::File)
            }
            DataType::Directory => {
                Ok(Node::Directory(DirectoryNode::new(cid, links(), attributes)))
            }
            DataType::HamtShard => ShardNode::decode(cid, &block, attributes).map(Node::Shard),
            DataType::Symlink => {
                let target = Bytes::copy_from_slice(data.data.unwrap_or_default());
                Ok(Node::Symlink(Symlink { cid: *cid, target, attributes }))
            }
            DataType::Metadata => Err(ReadError::undecodable(
                cid,
                "it is a UnixFS metadata node, which wraps a file instead of being one",
            )),
        }
    }

    /// Memory that keeping the node costs, in bytes.
    pub(crate) fn weight(&self) -> u64 {
        const SELF: u64 = 256;
        SELF + match self {
            Node::File(file) => match &file.body {
                Body::Raw | Body::Leaf(_) => 0,
                Body::Inline(data) => data.len() as u64,
                Body::Tree { links, ends, .. } => links.weight() + 8 * ends.len() as u64,
            },
            Node::Directory(directory) => directory.weight(),
            Node::Shard(shard) => shard.weight(),
            Node::Symlink(symlink) => symlink.target.len() as u64,
        }
    }

    /// The CID of the node's block.
    pub fn cid(&self) -> &Cid {
        match self {
            Node::File(file) => &file.cid,
            Node::Directory(directory) => directory.cid(),
            Node::Shard(shard) => shard.cid(),
            Node::Symlink(symlink) => &symlink.cid,
        }
    }

    /// Permission bits, where the writer kept them (UnixFS 1.5): the low 12 bits as in Unix, the rest the
    /// writer's own. Of a directory that is spread over many blocks its root has them.
    pub fn mode(&self) -> Option<u32> {
        self.attributes().mode
    }

    /// The time of the last change, where the writer kept it (UnixFS 1.5).
    pub fn mtime(&self) -> Option<Mtime> {
        self.attributes().mtime
    }

    fn attributes(&self) -> Attributes {
        match self {
            Node::File(file) => file.attributes,
            Node::Directory(directory) => directory.attributes(),
            Node::Shard(shard) => shard.attributes(),
            Node::Symlink(symlink) => symlink.attributes,
        }
    }

    /// Whether it is a file of a single block.
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self, Node::File(file) if !matches!(file.body, Body::Tree { .. }))
    }

    /// Whether it is a directory of either form.
    pub fn is_directory(&self) -> bool {
        matches!(self, Node::Directory(_) | Node::Shard(_))
    }
}

/// What UnixFS 1.5 keeps beside the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    mode: Option<u32>,
    mtime: Option<Mtime>,
}

/// A symbolic link.
#[derive(Debug)]
pub struct Symlink {
    cid: Cid,
    target: Bytes,
    attributes: Attributes,
}

impl Symlink {
    /// What the link points to, as its writer spelled it. Not to be trusted: it may lead anywhere.
    pub fn target(&self) -> &Bytes {
        &self.target
    }
}

/// A file: its size, and where its bytes are.
#[derive(Debug)]
pub struct FileNode {
    pub(super) cid: Cid,
    size: u64,
    attributes: Attributes,
    pub(super) body: Body,
}

/// Where the bytes of a file are.
#[derive(Debug)]
pub(super) enum Body {
    /// They are the block.
    Raw,
    /// In one piece of the block, which need not be in memory.
    Leaf(LeafFrame),
    /// In the node.
    Inline(Bytes),
    /// `data` first, then the children. `ends[i]` is where child `i` ends in the file.
    Tree { data: Bytes, links: Links, ends: Box<[u64]> },
}

impl FileNode {
    /// A raw block as a file.
    pub(crate) fn raw(cid: &Cid, size: u64) -> Self {
        FileNode { cid: *cid, size, attributes: Attributes::default(), body: Body::Raw }
    }

    /// A raw block that is in memory, as a file.
    pub(crate) fn inline(cid: &Cid, data: Bytes) -> Self {
        let size = data.len() as u64;
        FileNode { cid: *cid, size, attributes: Attributes::default(), body: Body::Inline(data) }
    }

    /// A dag-pb leaf whose block has not been read beyond its head.
    pub(crate) fn leaf(cid: &Cid, frame: LeafFrame) -> Self {
        FileNode {
            cid: *cid,
            size: frame.data_len,
            attributes: Attributes::default(),
            body: Body::Leaf(frame),
        }
    }

    fn decode(
        cid: &Cid,
        block: &Bytes,
        pb: &PbNode<'_>,
        data: &UnixFsData<'_>,
    ) -> Result<Self, ReadError> {
        let inline = within(block, data.data.unwrap_or_default());
        let links = pb.links().len();
        let sizes = data.blocksizes().count();
        if links != sizes {
            let reason = format!("it has {links} links but {sizes} block sizes");
            return Err(ReadError::undecodable(cid, reason));
        }
        let ends = ends(inline.len() as u64, data.blocksizes()).ok_or_else(|| {
            ReadError::undecodable(cid, "its sizes add up to more than 2^64 bytes")
        })?;
        let size = ends.last().copied().unwrap_or(inline.len() as u64);
        if let Some(claimed) = data.filesize.filter(|claimed| *claimed != size) {
            let reason = format!("it claims {claimed} bytes but its parts have {size}");
            return Err(ReadError::undecodable(cid, reason));
        }
        let body = if ends.is_empty() {
            Body::Inline(inline)
        } else {
            Body::Tree { data: inline, links: Links::of(block, pb), ends }
        };
        let attributes = Attributes { mode: data.mode, mtime: data.mtime };
        Ok(FileNode { cid: *cid, size, attributes, body })
    }

    /// The file's size in bytes, as its root says; leaves that differ fail when they are read.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The CID of the file's root.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Permission bits, where the writer kept them (UnixFS 1.5).
    pub fn mode(&self) -> Option<u32> {
        self.attributes.mode
    }

    /// Modification time, where the writer kept it (UnixFS 1.5).
    pub fn mtime(&self) -> Option<Mtime> {
        self.attributes.mtime
    }
}

/// Running sums of the sizes after `start`; `None` on overflow.
fn ends(start: u64, sizes: impl Iterator<Item = u64>) -> Option<Box<[u64]>> {
    let mut end = start;
    sizes
        .map(|size| {
            end = end.checked_add(size)?;
            Some(end)
        })
        .collect()
}

/// The links of a block that is kept alive beside them.
#[derive(Debug)]
pub(super) struct Links {
    block: Bytes,
    at: Box<[LinkAt]>,
}

#[derive(Debug, Clone, Copy)]
struct LinkAt {
    cid: Span,
    name: Span,
    /// `u64::MAX` for none.
    tsize: u64,
}

/// A part of a block of less than 4 GiB.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part`, which is borrowed from `whole`, lies in it; empty for anything else.
    fn of(whole: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        let end = start.wrapping_add(part.len());
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) if (end as usize) <= whole.len() => Span { start, end },
            _ => Span { start: 0, end: 0 },
        }
    }

    fn get(self, whole: &[u8]) -> &[u8] {
        whole.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl Links {
    pub(super) fn of(block: &Bytes, pb: &PbNode<'_>) -> Links {
        let at = pb
            .links()
            .map(|link| LinkAt {
                cid: Span::of(block, link.cid),
                name: Span::of(block, link.name.unwrap_or_default()),
                tsize: link.tsize.unwrap_or(u64::MAX),
            })
            .collect();
        Links { block: block.clone(), at }
    }

    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// The name of a link; empty when it has none or there is no such link.
    pub(super) fn name(&self, index: usize) -> &[u8] {
        self.at.get(index).map_or(&[], |link| link.name.get(&self.block))
    }

    pub(super) fn tsize(&self, index: usize) -> Option<u64> {
        self.at.get(index).map(|link| link.tsize).filter(|tsize| *tsize != u64::MAX)
    }

    /// The CID of a link of node `parent`.
    pub(super) fn cid(&self, parent: &Cid, index: usize) -> Result<Cid, ReadError> {
        link_cid(self.cid_bytes(index))
            .map_err(|why| ReadError::undecodable(parent, format!("a link: {why}")))
    }

    /// The CID of a link that has a name, of directory `dir`.
    pub(super) fn named_cid(&self, dir: &Cid, index: usize) -> Result<Cid, ReadError> {
        named_cid(dir, self.name(index), self.cid_bytes(index))
    }

    fn cid_bytes(&self, index: usize) -> &[u8] {
        self.at.get(index).map(|link| link.cid.get(&self.block)).unwrap_or_default()
    }

    pub(super) fn weight(&self) -> u64 {
        (self.block.len() + self.at.len() * size_of::<LinkAt>()) as u64
    }
}

/// The CID that a link holds; else why it holds none, as a phrase.
fn link_cid(bytes: &[u8]) -> Result<Cid, String> {
    Cid::try_from(bytes).map_err(|e| match digest_len(bytes) {
        len if len > MAX_DIGEST_LEN as u64 => {
            format!(
                "its CID has a digest of {len} bytes, more than the {MAX_DIGEST_LEN} it may have"
            )
        }
        _ => format!("it holds no CID: {e}"),
    })
}

/// The CID of a link from one shard of a directory to another.
pub(super) fn shard_cid(parent: &Cid, link: &PbLink<'_>) -> Result<Cid, ReadError> {
    link_cid(link.cid).map_err(|why| ReadError::undecodable(parent, format!("a link: {why}")))
}

/// The CID that a directory has under a name.
pub(super) fn named_cid(dir: &Cid, name: &[u8], cid: &[u8]) -> Result<Cid, ReadError> {
    link_cid(cid).map_err(|reason| ReadError::BadLink {
        name: name.into(),
        dir: *dir,
        reason: reason.into(),
    })
}

/// A part of a block that shares its memory, unless it is so small that a copy is the cheaper owner.
fn within(block: &Bytes, part: &[u8]) -> Bytes {
    const WORTH_SHARING: usize = 4096;
    if part.len() < WORTH_SHARING { Bytes::copy_from_slice(part) } else { block.slice_ref(part) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::unixfs::dag_pb;
    use crate::unixfs::hamt::MURMUR3;
    use crate::unixfs::testing::cid_of;

    #[test]
    fn every_kind_of_node_keeps_its_mode_and_its_time() {
        let mtime = Mtime { seconds: -7, nanos: 12 };
        let kinds = [DataType::File, DataType::Directory, DataType::HamtShard, DataType::Symlink];
        for data_type in kinds {
            let mut message = UnixFsData::new(data_type);
            (message.hash_type, message.fanout) = (Some(MURMUR3), Some(256));
            for kept in [None, Some((0o2750, mtime))] {
                (message.mode, message.mtime) = (kept.map(|k| k.0), kept.map(|k| k.1));
                let block = dag_pb::encode([], Some(&message.encode([])));
                let cid = cid_of(DAG_PB, &block);
                let node = Node::decode(&cid, block.into()).unwrap();
                assert_eq!((node.mode(), node.mtime()), (message.mode, message.mtime));
            }
        }
    }
}
