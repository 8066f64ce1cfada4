//! Small DAGs for tests: files, directories and HAMTs as Kubo lays them out, and as it never would.
//!
//! Owns building blocks from content that is in memory, the whole of it. Must not become an importer:
//! it streams nothing and asserts where a writer would return an error. Rules: boxo
//! `ipld/unixfs/importer/balanced/builder.go`, `trickle/trickledag.go` and `helpers/dagbuilder.go`.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use bytes::Bytes;

use super::dag_pb::{self, PbLink};
use super::data::{DataType, UnixFsData};
use super::hamt::MURMUR3;
use crate::block::{Block, Cid, DAG_PB, IDENTITY, RAW};
use crate::multihash;

const SHA2_256: u64 = 0x12;

/// Subtrees of each depth in a trickle layout.
const TRICKLE_REPEAT: usize = 4;

/// How leaves hang below the root of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All at the same depth, filled from the left.
    Balanced,
    /// Leaves first, then ever deeper subtrees.
    Trickle,
}

/// The form of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafForm {
    /// A raw block.
    Raw,
    /// A dag-pb node of UnixFS type Raw, as trickle layouts have without `--raw-leaves`.
    PbRaw,
    /// A dag-pb node of UnixFS type File, as balanced layouts have without `--raw-leaves`.
    PbFile,
}

/// How a file is made into blocks.
#[derive(Clone, Copy, Debug)]
pub struct FilePlan {
    /// Content bytes of a leaf; the last may have fewer.
    pub chunk: usize,
    /// How leaves hang below the root.
    pub layout: Layout,
    /// The form of the leaves.
    pub leaf: LeafForm,
    /// Links of an inner node, 2 or more.
    pub width: usize,
    /// Content bytes in each inner node, before those of its children. Kubo writes none, but reads them.
    pub inner_data: usize,
    /// Blocks of at most so many bytes become identity CIDs, as with `--inline`. At most 128.
    pub inline: usize,
    /// dag-pb nodes get CIDs of version 0.
    pub cid_v0: bool,
}

impl Default for FilePlan {
    /// What `ipfs add --cid-version 1` does.
    fn default() -> Self {
        FilePlan {
            chunk: 256 * 1024,
            layout: Layout::Balanced,
            leaf: LeafForm::Raw,
            width: 174,
            inner_data: 0,
            inline: 0,
            cid_v0: false,
        }
    }
}

/// A node that was made, and what its parents say of it.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Its CID.
    pub cid: Cid,
    /// Content bytes in and below it.
    pub size: u64,
    /// Bytes of all blocks in and below it.
    pub tsize: u64,
}

/// The CID, of version 1 and sha2-256, that names `data`.
pub fn cid_of(codec: u64, data: &[u8]) -> Cid {
    cid_with(codec, SHA2_256, 32, data)
}

/// An identity CID, whose digest is `data`: at most 128 bytes.
pub fn identity_cid(codec: u64, data: &[u8]) -> Cid {
    cid_with(codec, IDENTITY, data.len(), data)
}

fn cid_with(codec: u64, function: u64, len: usize, data: &[u8]) -> Cid {
    let digest = multihash::digest(function, len, data).unwrap();
    Cid::new_v1(codec, cid::multihash::Multihash::wrap(function, digest.as_bytes()).unwrap())
}

/// Makes a file; `put` is given every block but those of identity CIDs, children before their parents.
pub fn file(content: &[u8], plan: &FilePlan, put: &mut dyn FnMut(Block)) -> Made {
    assert!(plan.chunk > 0 && plan.width >= 2 && plan.inline <= multihash::MAX_DIGEST_LEN);
    let mut builder = Builder { rest: content, plan, put };
    match plan.layout {
        Layout::Balanced => builder.balanced(plan.depth_for(content.len())),
        Layout::Trickle => builder.trickle(None),
    }
}

impl FilePlan {
    /// Levels of inner nodes that a balanced file of `len` bytes needs.
    fn depth_for(&self, len: usize) -> u32 {
        let (mut depth, mut room) = (0, self.chunk);
        while room < len {
            depth += 1;
            room = self.inner_data.saturating_add(self.width.saturating_mul(room));
        }
        depth
    }
}

struct Builder<'a> {
    rest: &'a [u8],
    plan: &'a FilePlan,
    put: &'a mut dyn FnMut(Block),
}

impl<'a> Builder<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn balanced(&mut self, depth: u32) -> Made {
        if depth == 0 {
            return self.leaf();
        }
        let data = self.take(self.plan.inner_data);
        let mut children = Vec::new();
        while children.len() < self.plan.width && !self.rest.is_empty() {
            children.push(self.balanced(depth - 1));
        }
        self.inner(data, &children)
    }

    /// A node with subtrees of the depths below `depth`; the root's are as deep as it takes.
    fn trickle(&mut self, depth: Option<u32>) -> Made {
        let data = self.take(self.plan.inner_data);
        let mut children = Vec::new();
        while children.len() < self.plan.width && !self.rest.is_empty() {
            children.push(self.leaf());
        }
        for below in (1..).take_while(|below| depth.is_none_or(|depth| *below < depth)) {
            for _ in 0..TRICKLE_REPEAT {
                if !self.rest.is_empty() {
                    children.push(self.trickle(Some(below)));
                }
            }
            if self.rest.is_empty() {
                break;
            }
        }
        self.inner(data, &children)
    }

    fn leaf(&mut self) -> Made {
        let data = self.take(self.plan.chunk);
        let (codec, block) = match self.plan.leaf {
            LeafForm::Raw => (RAW, data.to_vec()),
            LeafForm::PbRaw => (DAG_PB, leaf_block(DataType::Raw, data)),
            LeafForm::PbFile => (DAG_PB, leaf_block(DataType::File, data)),
        };
        let tsize = block.len() as u64;
        Made { cid: self.keep(codec, block), size: data.len() as u64, tsize }
    }

    fn inner(&mut self, data: &[u8], children: &[Made]) -> Made {
        let (block, size) = inner_block(data, children);
        let tsize = block.len() as u64 + children.iter().map(|child| child.tsize).sum::<u64>();
        Made { cid: self.keep(DAG_PB, block), size, tsize }
    }

    fn keep(&mut self, codec: u64, block: Vec<u8>) -> Cid {
        if self.plan.inline > 0 && block.len() <= self.plan.inline {
            return identity_cid(codec, &block);
        }
        keep(codec, block, self.plan.cid_v0, self.put)
    }
}

/// Gives a block to `put`; its CID.
fn keep(codec: u64, block: Vec<u8>, cid_v0: bool, put: &mut dyn FnMut(Block)) -> Cid {
    let v1 = cid_of(codec, &block);
    let cid = if cid_v0 && codec == DAG_PB { Cid::new_v0(*v1.hash()).unwrap() } else { v1 };
    put(Block::verified(cid, Bytes::from(block)).unwrap());
    cid
}

/// The dag-pb block of a leaf.
fn leaf_block(data_type: DataType, data: &[u8]) -> Vec<u8> {
    let mut message = UnixFsData::new(data_type);
    message.data = (!data.is_empty()).then_some(data);
    message.filesize = Some(data.len() as u64);
    dag_pb::encode([], Some(&message.encode([])))
}

/// The dag-pb block of an inner node of a file that says of each child what `children` says, and its size.
fn inner_block(data: &[u8], children: &[Made]) -> (Vec<u8>, u64) {
    let size = children.iter().fold(data.len() as u64, |sum, child| sum.wrapping_add(child.size));
    let sizes: Vec<u64> = children.iter().map(|child| child.size).collect();
    (inner_block_saying(data, children, Some(size), &sizes), size)
}

/// The dag-pb block of an inner node of a file, with whatever sizes: to lie with.
pub fn inner_block_saying(
    data: &[u8],
    children: &[Made],
    filesize: Option<u64>,
    sizes: &[u64],
) -> Vec<u8> {
    let cids: Vec<Vec<u8>> = children.iter().map(|child| child.cid.to_bytes()).collect();
    let links = cids.iter().zip(children).map(|(cid, child)| PbLink {
        cid,
        name: Some(b""),
        tsize: Some(child.tsize),
    });
    let mut message = UnixFsData::new(DataType::File);
    message.data = (!data.is_empty()).then_some(data);
    message.filesize = filesize;
    dag_pb::encode(links, Some(&message.encode(sizes.iter().copied())))
}

/// Makes a directory of one block.
pub fn directory<'a>(
    entries: impl IntoIterator<Item = (&'a str, Made)>,
    put: &mut dyn FnMut(Block),
) -> Made {
    let links: Vec<(Vec<u8>, &str, Made)> =
        entries.into_iter().map(|(name, made)| (made.cid.to_bytes(), name, made)).collect();
    let below: u64 = links.iter().map(|(_, _, made)| made.tsize).sum();
    let links = links.iter().map(|(cid, name, made)| PbLink {
        cid,
        name: Some(name.as_bytes()),
        tsize: Some(made.tsize),
    });
    let block = dag_pb::encode(links, Some(&UnixFsData::new(DataType::Directory).encode([])));
    let tsize = below + block.len() as u64;
    Made { cid: keep(DAG_PB, block, false, put), size: 0, tsize }
}

/// Makes a symbolic link.
pub fn symlink(target: &str, put: &mut dyn FnMut(Block)) -> Made {
    let mut message = UnixFsData::new(DataType::Symlink);
    message.data = Some(target.as_bytes());
    let block = dag_pb::encode([], Some(&message.encode([])));
    let tsize = block.len() as u64;
    Made { cid: keep(DAG_PB, block, false, put), size: 0, tsize }
}

/// The dag-pb block of a HAMT shard of these slots, in ascending order: number, name of the entry (empty
/// for a shard below), child. Nothing is checked: to lie with.
pub fn shard_block(fanout: u64, slots: &[(u32, &str, Made)]) -> Vec<u8> {
    let mut bitfield = vec![0u8; usize::try_from(fanout.div_ceil(8).min(128)).unwrap()];
    for (slot, _, _) in slots {
        let from_end = (*slot / 8) as usize;
        let at = bitfield.len() - 1 - from_end;
        bitfield[at] |= 1 << (slot % 8);
    }
    shard_block_saying(fanout, &bitfield, slots)
}

/// [`shard_block`] with a bitfield of its own.
pub fn shard_block_saying(fanout: u64, bitfield: &[u8], slots: &[(u32, &str, Made)]) -> Vec<u8> {
    let width = format!("{:X}", fanout.saturating_sub(1)).len();
    let parts: Vec<(Vec<u8>, String, u64)> = slots
        .iter()
        .map(|(slot, name, made)| {
            (made.cid.to_bytes(), format!("{slot:0width$X}{name}"), made.tsize)
        })
        .collect();
    let links = parts.iter().map(|(cid, name, tsize)| PbLink {
        cid,
        name: Some(name.as_bytes()),
        tsize: Some(*tsize),
    });
    let mut message = UnixFsData::new(DataType::HamtShard);
    message.data = Some(bitfield);
    message.hash_type = Some(MURMUR3);
    message.fanout = Some(fanout);
    dag_pb::encode(links, Some(&message.encode([])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(content: &[u8], plan: &FilePlan) -> (Made, usize) {
        let mut blocks = 0;
        let made = file(content, plan, &mut |_| blocks += 1);
        (made, blocks)
    }

    // The roots that Kubo 0.42 gives for the same bytes and options are in `tests/golden`: the content
    // of `deep-64`, `trickle-narrow` and their kin; `tests/golden.rs` builds them again.

    #[test]
    fn a_file_of_one_chunk_is_its_leaf_and_in_a_trickle_layout_a_root_above_it() {
        let plan = FilePlan::default();
        assert_eq!(made(b"tiny\n", &plan).0.cid, cid_of(RAW, b"tiny\n"));
        let trickle = FilePlan { layout: Layout::Trickle, ..plan };
        assert_eq!(made(b"tiny\n", &trickle).0.cid.codec(), DAG_PB);
    }

    #[test]
    fn a_balanced_file_is_as_deep_as_its_leaves_need() {
        let plan = FilePlan { chunk: 10, width: 2, ..FilePlan::default() };
        // Leaves that repeat are counted as often as they are made.
        for (len, blocks) in [(10, 1), (20, 3), (30, 6), (40, 7), (50, 11)] {
            assert_eq!(made(&vec![7; len], &plan).1, blocks, "{len} bytes");
        }
    }

    #[test]
    fn small_blocks_become_identity_cids() {
        let plan = FilePlan { chunk: 16, inline: 32, ..FilePlan::default() };
        let (root, blocks) = made(&[1; 100], &plan);
        assert_eq!((root.size, blocks), (100, 1));
        assert_ne!(
            made(b"", &FilePlan::default()).0.cid,
            identity_cid(RAW, b""),
            "without `inline` none do"
        );
    }
}
