//! Directories: names to CIDs.
//!
//! Owns finding one name and walking all of them, in directories of one block and in sharded ones.
//! Must not know content paths. A look-up in a sharded directory reads one block a level; a listing
//! streams and holds one shard a level. Sizes of entries come from the links (`Tsize`): no child is
//! opened. Rules: boxo `ipld/unixfs/io/directory.go`, `ipld/unixfs/hamt/hamt.go`.

use std::sync::Arc;

use bytes::Bytes;

use super::dag_pb::{PbLink, PbNode};
use super::data::UnixFsData;
use super::hamt::{NameHash, Shard, Slot, max_depth};
use super::node::{Attributes, Links, Node, named_cid, shard_cid};
use crate::block::Cid;
use crate::error::ReadError;
use crate::nodes::NodeSource;

/// Shards in a row that may hold no entry while a listing looks for the next one. Writers leave none that
/// is empty, so an honest directory has as many as levels, 21 at most; a small DAG of empty shards could
/// have 2^56 of them.
const MAX_BARREN_SHARDS: usize = 256;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as bytes: it may not be UTF-8.
    pub name: Bytes,
    /// What it leads to.
    pub cid: Cid,
    /// The size of everything below it in blocks, in bytes, as the directory's writer said.
    pub tsize: Option<u64>,
}

/// A directory of one block.
#[derive(Debug)]
pub struct DirectoryNode {
    cid: Cid,
    links: Links,
    attributes: Attributes,
    /// Names ascend, as dag-pb demands and older writers did not always do.
    sorted: bool,
}

impl DirectoryNode {
    pub(super) fn new(cid: &Cid, links: Links, attributes: Attributes) -> Self {
        let sorted = (1..links.len()).all(|i| links.name(i - 1) < links.name(i));
        DirectoryNode { cid: *cid, links, attributes, sorted }
    }

    pub(super) fn cid(&self) -> &Cid {
        &self.cid
    }

    pub(super) fn attributes(&self) -> Attributes {
        self.attributes
    }

    pub(super) fn weight(&self) -> u64 {
        self.links.weight()
    }

    /// The first link of this name. Costs a binary search, or a scan where names are out of order.
    fn find(&self, name: &[u8]) -> Result<Option<Cid>, ReadError> {
        let index = if self.sorted {
            let at = partition_point(self.links.len(), |i| self.links.name(i) < name);
            (at < self.links.len() && self.links.name(at) == name).then_some(at)
        } else {
            (0..self.links.len()).find(|i| self.links.name(*i) == name)
        };
        index.map(|i| self.links.named_cid(&self.cid, i)).transpose()
    }

    fn entry(&self, index: usize) -> Result<Entry, ReadError> {
        Ok(Entry {
            name: Bytes::copy_from_slice(self.links.name(index)),
            cid: self.links.named_cid(&self.cid, index)?,
            tsize: self.links.tsize(index),
        })
    }
}

/// The first index for which `before` is false.
fn partition_point(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// One shard of a directory that is spread over many blocks.
#[derive(Debug)]
pub struct ShardNode {
    cid: Cid,
    block: Bytes,
    attributes: Attributes,
}

impl ShardNode {
    /// Checks that the block is a sound shard, and keeps it.
    pub(super) fn decode(
        cid: &Cid,
        block: &Bytes,
        attributes: Attributes,
    ) -> Result<Self, ReadError> {
        let node = ShardNode { cid: *cid, block: block.clone(), attributes };
        node.shard()?;
        Ok(node)
    }

    pub(super) fn cid(&self) -> &Cid {
        &self.cid
    }

    pub(super) fn attributes(&self) -> Attributes {
        self.attributes
    }

    pub(super) fn weight(&self) -> u64 {
        self.block.len() as u64
    }

    /// The shard's view of its block. Costs one pass over the block's framing.
    fn shard(&self) -> Result<Shard<'_>, ReadError> {
        let failed = |e: &dyn std::fmt::Display| ReadError::undecodable(&self.cid, e);
        let pb = PbNode::parse(&self.block).map_err(|e| failed(&e))?;
        let data = UnixFsData::parse(pb.data().unwrap_or_default()).map_err(|e| failed(&e))?;
        Shard::parse(&pb, &data).map_err(|e| failed(&e))
    }
}

/// How a node is fetched while a name is looked up: from the cache only, or wherever it is.
pub(crate) type Fetch<'a> = &'a dyn Fn(&Cid) -> Result<Option<Arc<Node>>, ReadError>;

/// What a look-up in a directory came to.
pub(crate) enum Found {
    Link(Cid),
    Nothing,
    /// A shard is needed that `fetch` did not give.
    WouldWait,
}

/// Looks a name up in a directory of either form.
pub(crate) fn find(directory: &Node, name: &[u8], fetch: Fetch<'_>) -> Result<Found, ReadError> {
    match directory {
        Node::Directory(plain) => Ok(plain.find(name)?.map_or(Found::Nothing, Found::Link)),
        Node::Shard(root) => find_in_shards(root, name, fetch),
        other => Err(ReadError::NotADirectory(*other.cid())),
    }
}

fn find_in_shards(root: &ShardNode, name: &[u8], fetch: Fetch<'_>) -> Result<Found, ReadError> {
    let hash = NameHash::new(name);
    let mut below: Option<Arc<Node>> = None;
    // The hash has no bits left below `max_depth`, where `lookup` fails: a cycle of shards ends there.
    for depth in 0.. {
        let node = match below.as_deref() {
            None => root,
            Some(Node::Shard(shard)) => shard,
            Some(other) => return Err(not_a_shard(other)),
        };
        let slot =
            node.shard()?.lookup(&hash, depth).map_err(|e| ReadError::undecodable(&node.cid, e))?;
        let child = match slot {
            Slot::Absent => return Ok(Found::Nothing),
            Slot::Entry(link) if link.name == Some(name) => {
                return Ok(Found::Link(named_cid(&node.cid, name, link.cid)?));
            }
            Slot::Entry(_) => return Ok(Found::Nothing),
            Slot::Child(link) => shard_cid(&node.cid, &link)?,
        };
        match fetch(&child)? {
            Some(node) => below = Some(node),
            None => return Ok(Found::WouldWait),
        }
    }
    Ok(Found::Nothing)
}

fn not_a_shard(node: &Node) -> ReadError {
    ReadError::undecodable(
        node.cid(),
        "its parent is a HAMT shard and links to it as to one, but it is not",
    )
}

/// What a slot of a shard leads to.
#[derive(Debug)]
enum Below {
    /// An entry, or the one name that leads nowhere.
    Entry(Result<Entry, ReadError>),
    Shard(Cid),
}

impl ShardNode {
    /// All that the shard links to, in the order of its slots. At most 1024.
    fn below(&self) -> Result<Vec<Below>, ReadError> {
        let shard = self.shard()?;
        let taken = shard.entries().filter_map(|slot| match slot {
            Ok(Slot::Absent) => None,
            Ok(Slot::Child(link)) => Some(shard_cid(&self.cid, &link).map(Below::Shard)),
            Ok(Slot::Entry(link)) => Some(Ok(Below::Entry(self.entry(&link)))),
            Err(e) => Some(Err(ReadError::undecodable(&self.cid, e))),
        });
        taken.collect()
    }

    fn entry(&self, link: &PbLink<'_>) -> Result<Entry, ReadError> {
        let name = link.name.unwrap_or_default();
        let cid = named_cid(&self.cid, name, link.cid)?;
        Ok(Entry { name: Bytes::copy_from_slice(name), cid, tsize: link.tsize })
    }

    fn max_depth(&self) -> Result<usize, ReadError> {
        Ok(max_depth(self.shard()?.fanout()) as usize)
    }
}

/// Walks the entries of a directory, one after the other. Blocks for shards that are not cached.
///
/// Directories of one block come in the order of their links, sharded ones in the order of their
/// slots. Memory: one shard a level, whatever the number of entries.
#[derive(Debug)]
pub struct Listing {
    nodes: Arc<NodeSource>,
    walk: Walk,
}

#[derive(Debug)]
enum Walk {
    /// A directory of one block, and the link that is next.
    Plain(Arc<Node>, usize),
    /// The shards from the root down, and how many levels there may be.
    Shards(Vec<Level>, usize),
}

/// A shard that is being walked.
#[derive(Debug)]
struct Level {
    cid: Cid,
    /// What is left of it.
    below: std::vec::IntoIter<Below>,
    /// Slots that were taken from it.
    taken: usize,
    /// It was read once more because a shard that it names is missing.
    reread: bool,
}

impl Level {
    fn new(shard: &ShardNode) -> Result<Self, ReadError> {
        let below = shard.below()?.into_iter();
        Ok(Level { cid: shard.cid, below, taken: 0, reread: false })
    }

    fn next(&mut self) -> Option<Below> {
        self.taken += 1;
        self.below.next()
    }

    /// After the shard below the slot taken last was missing: checks this one, and goes back by one slot
    /// when it may say something else. `false`: it is missing.
    fn step_back(&mut self, nodes: &NodeSource) -> Result<bool, ReadError> {
        if std::mem::replace(&mut self.reread, true) {
            return Ok(false);
        }
        let again = nodes.reread(&self.cid)?;
        let Some(Node::Shard(shard)) = again.as_deref() else { return Ok(false) };
        self.taken -= 1;
        self.below = shard.below()?.into_iter();
        self.below.by_ref().take(self.taken).for_each(drop);
        Ok(true)
    }
}

impl Listing {
    pub(crate) fn new(nodes: Arc<NodeSource>, directory: Arc<Node>) -> Result<Self, ReadError> {
        let walk = match &*directory {
            Node::Directory(_) => Walk::Plain(directory, 0),
            Node::Shard(root) => Walk::Shards(vec![Level::new(root)?], root.max_depth()?),
            other => return Err(ReadError::NotADirectory(*other.cid())),
        };
        Ok(Listing { nodes, walk })
    }

    fn advance(&mut self) -> Result<Option<Entry>, ReadError> {
        match &mut self.walk {
            Walk::Plain(node, next) => {
                let Node::Directory(directory) = &**node else { return Ok(None) };
                let index = *next;
                *next += 1;
                (index < directory.links.len()).then(|| directory.entry(index)).transpose()
            }
            Walk::Shards(levels, max_depth) => next_in_shards(&self.nodes, levels, *max_depth),
        }
    }
}

fn next_in_shards(
    nodes: &NodeSource,
    levels: &mut Vec<Level>,
    max_depth: usize,
) -> Result<Option<Entry>, ReadError> {
    let mut barren = 0;
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Ok(None) };
        match level.next() {
            None => {
                levels.pop();
            }
            Some(Below::Entry(entry)) => return entry.map(Some),
            Some(Below::Shard(cid)) if depth >= max_depth => {
                let reason = "its shards go deeper than the hash of a name has bits";
                return Err(ReadError::undecodable(&cid, reason));
            }
            Some(Below::Shard(cid)) if barren >= MAX_BARREN_SHARDS => {
                let reason = format!("{MAX_BARREN_SHARDS} shards before it hold no entry");
                return Err(ReadError::undecodable(&cid, reason));
            }
            Some(Below::Shard(cid)) => match nodes.get(&cid) {
                Ok(node) => {
                    let Node::Shard(shard) = &*node else { return Err(not_a_shard(&node)) };
                    barren += 1;
                    levels.push(Level::new(shard)?);
                }
                Err(ReadError::Missing(_)) if level.step_back(nodes)? => {}
                Err(error) => return Err(error),
            },
        }
    }
}

impl Iterator for Listing {
    type Item = Result<Entry, ReadError>;

    /// The next entry. An error ends the walk, except for [`ReadError::BadLink`]: that one name leads
    /// nowhere, and those after it follow.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if !matches!(next, Ok(_) | Err(ReadError::BadLink { .. })) {
            self.walk = Walk::Shards(Vec::new(), 0);
        }
        next.transpose()
    }
}
