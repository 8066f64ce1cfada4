//! Decoded nodes by CID, above the tiers.
//!
//! Owns the cache of decoded inner nodes, bounded in bytes: viewers of one film ask for the same
//! directory and file nodes with every segment. Leaves are never cached here; the page cache and the
//! open files of the tiers hold those. Must not know paths, ranges or HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::block::{Cid, DAG_PB, MultihashBytes, RAW};
use crate::error::ReadError;
use crate::store::tiers::Tiers;
use crate::store::{Extent, Located};
use crate::unixfs::dag_pb::{Head, LEAF_HEAD_LEN, leaf_frame};
use crate::unixfs::{FileNode, Node};

/// The mean size of a cached node that the cache is laid out for, in bytes: a file of some tens of
/// leaves, a directory of some tens of entries.
const TYPICAL_NODE: u64 = 2048;

/// Parts of the cache, each with its lock and its share of the bytes. A node heavier than a share is not
/// kept, so there are few: at the default of 8 MiB a node of 2 MiB, the largest that Kubo makes, has room.
const CACHE_PARTS: usize = 4;

/// A file of one block whose bytes came with it (verified, or from a store without files) is cached up
/// to this size, in bytes.
const MAX_CACHED_LEAF: u64 = 16 * 1024;

/// A dag-pb block of at most so many bytes is read whole, in one read; of a longer one the head tells first
/// whether it is a leaf, whose bytes nobody may want. Inner nodes of Kubo's 174 links have some 9,000 bytes.
const WHOLE_AT_ONCE: u64 = 16 * 1024;

/// Loads nodes and keeps the decoded ones.
#[derive(Debug)]
pub(crate) struct NodeSource {
    tiers: Tiers,
    cache: Cache<Box<[u8]>, Arc<Node>, Weight>,
    decoded: AtomicU64,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<[u8]>, Arc<Node>> for Weight {
    fn weight(&self, key: &Box<[u8]>, node: &Arc<Node>) -> u64 {
        key.len() as u64 + node.weight()
    }
}

impl NodeSource {
    /// Keeps decoded nodes of at most `cache_bytes` bytes together.
    pub(crate) fn new(tiers: Tiers, cache_bytes: u64) -> Self {
        let items = usize::try_from(cache_bytes / TYPICAL_NODE).unwrap_or(usize::MAX).max(16);
        let mut options = OptionsBuilder::new();
        options
            .shards(CACHE_PARTS)
            .estimated_items_capacity(items)
            .weight_capacity(cache_bytes.max(1));
        let options = options.build();
        #[expect(
            clippy::unwrap_used,
            reason = "both capacities, all that the builder asks for, are set"
        )]
        let options = options.unwrap();
        let cache = Cache::with_options(
            options,
            Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        NodeSource { tiers, cache, decoded: AtomicU64::new(0) }
    }

    pub(crate) fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Blocks read and decoded since start.
    pub(crate) fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }

    /// Forgets every node.
    pub(crate) fn forget_all(&self) {
        self.cache.clear();
    }

    /// A node that is cached.
    pub(crate) fn get_now(&self, cid: &Cid) -> Option<Arc<Node>> {
        is_read_here(cid).then(|| self.cache.get(cache_key(cid).with_tag())).flatten()
    }

    /// A node: from the cache, or read, checked by policy and decoded.
    ///
    /// A leaf (a raw block, or a dag-pb block in the form that Kubo writes) is opened and, at most, its
    /// head is read. A dag-pb block of up to 16 KiB is read whole, in one read, whatever it is; a longer one
    /// that is no leaf in two, its head and the whole.
    pub(crate) fn get(&self, cid: &Cid) -> Result<Arc<Node>, ReadError> {
        if let Some(node) = self.get_now(cid) {
            return Ok(node);
        }
        let node = Arc::new(self.load(cid)?);
        if node.weight() <= MAX_CACHED_LEAF || !node.is_leaf() {
            self.cache.insert(cache_key(cid).with_tag().into(), node.clone());
        }
        Ok(node)
    }

    /// The child of a file without waiting: a cached node, or a block whose file is open and in the page
    /// cache, as far as it is needed: the head of a leaf, or a small block whole.
    pub(crate) fn child_now(&self, cid: &Cid) -> Result<Option<Arc<Node>>, ReadError> {
        if let Some(node) = self.get_now(cid) {
            return Ok(Some(node));
        }
        if !is_read_here(cid) {
            return Ok(None);
        }
        match self.tiers.locate_now(cid) {
            Some(Located::Extent(extent)) if is_read_at_once(&extent) => {
                Ok(whole_now(&extent).and_then(|bytes| self.small_child(cid, &extent, bytes)))
            }
            Some(Located::Extent(extent)) => Ok(match head_now(&extent) {
                Some(Head::Leaf(frame)) => Some(Arc::new(Node::File(FileNode::leaf(cid, frame)))),
                Some(Head::Inner | Head::NeedMore) | None => None,
            }),
            Some(Located::Bytes(bytes)) => {
                // One that cannot be decoded is met again by whoever may wait, and turn to another tier.
                let Ok(node) = Node::decode(cid, bytes).map(Arc::new) else { return Ok(None) };
                if !node.is_leaf() {
                    self.cache.insert(cache_key(cid).with_tag().into(), node.clone());
                }
                Ok(Some(node))
            }
            None => Ok(None),
        }
    }

    /// A small child that was read without waiting. `None` for one that cannot be decoded: whoever may wait
    /// meets it again, and may turn to another tier.
    fn small_child(&self, cid: &Cid, extent: &Extent, bytes: Bytes) -> Option<Arc<Node>> {
        let head = bytes.get(..LEAF_HEAD_LEN.min(bytes.len())).unwrap_or_default();
        extent.block().set_head(leaf_frame(head, bytes.len() as u64));
        let node = Arc::new(Node::decode(cid, bytes).ok()?);
        self.decoded.fetch_add(1, Ordering::Relaxed);
        if !node.is_leaf() {
            self.cache.insert(cache_key(cid).with_tag().into(), node.clone());
            self.tiers.close(cid);
        }
        Some(node)
    }

    /// The child of a file. Inner nodes are cached; leaves are not, so that a long film does not push
    /// out the nodes that lead to others.
    pub(crate) fn child(&self, cid: &Cid) -> Result<Arc<Node>, ReadError> {
        if let Some(node) = self.get_now(cid) {
            return Ok(node);
        }
        let node = Arc::new(self.load(cid)?);
        if !node.is_leaf() {
            self.cache.insert(cache_key(cid).with_tag().into(), node.clone());
        }
        Ok(node)
    }

    /// A block of any codec as a file of its bytes. Located, and by policy read and hashed; not cached,
    /// since its file is held open.
    pub(crate) fn block(&self, cid: &Cid) -> Result<Arc<Node>, ReadError> {
        let found = self.tiers.locate(cid)?.ok_or(ReadError::Missing(*cid))?;
        Ok(as_raw(cid, found))
    }

    /// The same if it needs no disk.
    pub(crate) fn block_now(&self, cid: &Cid) -> Option<Arc<Node>> {
        self.tiers.locate_now(cid).map(|found| as_raw(cid, found))
    }

    /// The same for whoever wants its size and none of its bytes: one stat where nothing is verified. Where
    /// blocks are, it is read and hashed like any other, so that no size is told of bytes that are refused.
    pub(crate) fn stat_block(&self, cid: &Cid) -> Result<Arc<Node>, ReadError> {
        if self.tiers.verifies() {
            return self.block(cid);
        }
        let size = self.tiers.size(cid)?.ok_or(ReadError::Missing(*cid))?;
        Ok(Arc::new(Node::File(FileNode::raw(cid, size))))
    }

    /// Drops a decoded node.
    pub(crate) fn forget(&self, cid: &Cid) {
        self.cache.remove(cache_key(cid).with_tag());
    }

    /// To be called when a block that the node `parent` names is in no tier: a bit of the link may have
    /// flipped. The node once more, if it may say something else now; `None` when it says what it said and
    /// the block is truly missing. Fails when every copy of the node is bad. Cost: see [`Tiers::audit`].
    pub(crate) fn reread(&self, parent: &Cid) -> Result<Option<Arc<Node>>, ReadError> {
        let sound = self.tiers.audit(parent).inspect_err(|_| self.forget(parent))?;
        let Some(sound) = sound else { return Ok(None) };
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let node = Arc::new(Node::decode(parent, self.tiers.read_whole(parent, sound)?)?);
        self.tiers.close(parent);
        self.cache.insert(cache_key(parent).with_tag().into(), node.clone());
        Ok(Some(node))
    }

    /// A node that is not what its parent says, once more: from a copy that hashes to its CID.
    pub(crate) fn sound_child(&self, cid: &Cid) -> Result<Arc<Node>, ReadError> {
        self.forget(cid);
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let found = self.tiers.locate_sound(cid)?.ok_or(ReadError::Missing(*cid))?;
        Ok(Arc::new(Node::decode(cid, self.tiers.read_whole(cid, found)?)?))
    }

    fn load(&self, cid: &Cid) -> Result<Node, ReadError> {
        if !is_read_here(cid) {
            return Err(ReadError::UnsupportedCodec { cid: *cid, codec: cid.codec() });
        }
        let found = self.tiers.locate(cid)?.ok_or(ReadError::Missing(*cid))?;
        if let Located::Extent(extent) = &found {
            if cid.codec() == RAW {
                return Ok(Node::File(FileNode::raw(cid, extent.len())));
            }
            // A head that cannot be read is met again when the block is read whole.
            if !is_read_at_once(extent)
                && let Ok(Head::Leaf(frame)) = head_of(extent)
            {
                return Ok(Node::File(FileNode::leaf(cid, frame)));
            }
        }
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let node = Node::decode(cid, self.tiers.read_whole(cid, found)?);
        let node = match node {
            // A file that was cut short or overwritten looks like this; another tier may hold a good one.
            Err(ReadError::Undecodable { .. }) => {
                let sound = self.tiers.locate_sound(cid)?.ok_or(ReadError::Missing(*cid))?;
                Node::decode(cid, self.tiers.read_whole(cid, sound)?)?
            }
            node => node?,
        };
        if !node.is_leaf() {
            self.tiers.close(cid);
        }
        Ok(node)
    }
}

/// A block that was found, as a file of its bytes, whatever they mean.
fn as_raw(cid: &Cid, found: Located) -> Arc<Node> {
    Arc::new(Node::File(match found {
        Located::Extent(extent) => FileNode::raw(cid, extent.len()),
        Located::Bytes(bytes) => FileNode::inline(cid, bytes),
    }))
}

/// Whether blocks of this codec are read as nodes.
fn is_read_here(cid: &Cid) -> bool {
    matches!(cid.codec(), RAW | DAG_PB)
}

/// Whether a dag-pb block is read whole without a look at its head. One that is known as a leaf is not: its
/// bytes are read where they are wanted.
fn is_read_at_once(extent: &Extent) -> bool {
    let is_leaf = matches!(extent.block().head(), Some(Head::Leaf(_)));
    extent.len() <= WHOLE_AT_ONCE && !is_leaf
}

/// A small block, if all of it lies in the page cache. One read. `None` also where reading fails.
fn whole_now(extent: &Extent) -> Option<Bytes> {
    let mut bytes = vec![0; usize::try_from(extent.len()).ok()?];
    let mut whole = extent.clone();
    whole.read_now(&mut bytes).ok()??;
    whole.is_empty().then(|| Bytes::from(bytes))
}

/// The head of an open dag-pb block if it was read before, or lies in the page cache. `None` also where
/// reading fails: whoever may wait meets the failure again, and may turn to another tier.
fn head_now(extent: &Extent) -> Option<Head> {
    let open = extent.block();
    if let Some(head) = open.head() {
        return Some(*head);
    }
    let mut head = [0; LEAF_HEAD_LEN];
    let mut start = extent.part(0, LEAF_HEAD_LEN as u64);
    let n = start.read_now(&mut head).ok()??;
    if !start.is_empty() {
        return None;
    }
    let head = leaf_frame(head.get(..n).unwrap_or_default(), open.len());
    Some(*open.set_head(head))
}

/// What the head of an open dag-pb block says; read once while it is open.
fn head_of(extent: &Extent) -> Result<Head, ReadError> {
    let open = extent.block();
    if let Some(head) = open.head() {
        return Ok(*head);
    }
    let mut head = [0; LEAF_HEAD_LEN];
    let mut start = extent.part(0, LEAF_HEAD_LEN as u64);
    let mut filled = 0;
    while !start.is_empty() {
        filled += start.read(head.get_mut(filled..).unwrap_or_default())?;
    }
    let head = leaf_frame(head.get(..filled).unwrap_or_default(), open.len());
    Ok(*open.set_head(head))
}

/// Nodes are cached by what they decode to, so the codec is part of the key.
fn cache_key(cid: &Cid) -> MultihashBytes {
    MultihashBytes::tagged(u8::from(cid.codec() == RAW), cid)
}
