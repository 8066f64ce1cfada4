//! From a content path to a node, in one pass.
//!
//! Owns the walk down the names of a path, each block read once, and keeps the CID of every segment on
//! the way (the gateway's `X-Ipfs-Roots`). Must not know URLs or HTTP. Symbolic links on the way are
//! not followed. Rules: boxo `path/resolver`, the path gateway specification.

use std::cell::Cell;
use std::sync::Arc;

use crate::block::Cid;
use crate::error::ReadError;
use crate::nodes::NodeSource;
use crate::path::ContentPath;
use crate::unixfs::Node;
use crate::unixfs::directory::{Fetch, Found, find};

/// Where a content path led.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The node at its end; of a path that was followed to a block, the block as a file of its bytes.
    pub node: Arc<Node>,
    /// The CID of each segment, the root's first and the end's last. Shards of a directory do not count.
    pub cids: Vec<Cid>,
    /// The directory that holds the end, when the path has names.
    pub parent: Option<Arc<Node>>,
}

impl Resolved {
    /// The CID of the end of the path, as the link to it spells it.
    pub fn cid(&self) -> &Cid {
        // A path always has a root, so there is a last one; the node knows its CID too.
        self.cids.last().unwrap_or(self.node.cid())
    }
}

/// Resolves, fetching what is not cached: one block a segment, and one a level of a sharded directory.
pub(crate) fn resolve(nodes: &NodeSource, path: &ContentPath) -> Result<Resolved, ReadError> {
    walk_soundly(nodes, path, &|cid| nodes.get(cid))
}

/// Resolves to the block at the end of the path, of whatever codec: it is found and not decoded.
pub(crate) fn resolve_block(nodes: &NodeSource, path: &ContentPath) -> Result<Resolved, ReadError> {
    walk_soundly(nodes, path, &|cid| nodes.block(cid))
}

/// The same for its size alone.
pub(crate) fn stat_block(nodes: &NodeSource, path: &ContentPath) -> Result<Resolved, ReadError> {
    walk_soundly(nodes, path, &|cid| nodes.stat_block(cid))
}

/// Resolves from cached nodes alone; `None` when one is not cached. Never waits.
pub(crate) fn resolve_now(
    nodes: &NodeSource,
    path: &ContentPath,
) -> Result<Option<Resolved>, ReadError> {
    let get = |cid: &Cid| Ok(nodes.get_now(cid));
    walk(path, &get, &get)
}

/// [`resolve_block`] from cached nodes and a file that can be opened without waiting.
pub(crate) fn resolve_block_now(
    nodes: &NodeSource,
    path: &ContentPath,
) -> Result<Option<Resolved>, ReadError> {
    walk(path, &|cid| Ok(nodes.get_now(cid)), &|cid| Ok(nodes.block_now(cid)))
}

/// The end of a path by the CIDs of its segments, and the directory above it, from cached nodes alone.
pub(crate) fn revisit_now(
    nodes: &NodeSource,
    cids: &[Cid],
) -> Option<(Arc<Node>, Option<Arc<Node>>)> {
    let (end, above) = cids.split_last()?;
    let parent = match above.last() {
        Some(parent) => Some(nodes.get_now(parent)?),
        None => None,
    };
    Some((nodes.get_now(end)?, parent))
}

/// Walks where waiting is allowed. When a block is missing, the node that names it is checked before that
/// is believed, and the walk begins anew when the node may say something else. Each node is checked once,
/// so there are no more walks than nodes.
fn walk_soundly(
    nodes: &NodeSource,
    path: &ContentPath,
    end: &dyn Fn(&Cid) -> Result<Arc<Node>, ReadError>,
) -> Result<Resolved, ReadError> {
    let mut checked: Vec<Cid> = Vec::new();
    loop {
        // What is fetched was named by what was fetched before it.
        let last = Cell::new(None);
        let fetch = |cid: &Cid| nodes.get(cid).inspect(|_| last.set(Some(*cid))).map(Some);
        let found = walk(path, &fetch, &|cid| end(cid).map(Some));
        match (found, last.get()) {
            (Err(missing @ ReadError::Missing(_)), Some(parent)) => {
                if checked.contains(&parent) || nodes.reread(&parent)?.is_none() {
                    return Err(missing);
                }
                checked.push(parent);
            }
            // A walk only stops early when a node is refused, and no fetch refuses one here.
            (found, _) => return found?.ok_or(ReadError::Missing(*path.root())),
        }
    }
}

/// Walks down with `fetch`, and takes the last step, which is the first of a bare root, with `end`.
fn walk(
    path: &ContentPath,
    fetch: Fetch<'_>,
    end: Fetch<'_>,
) -> Result<Option<Resolved>, ReadError> {
    let mut names = path.segments();
    let step = |cid: &Cid, left: usize| if left == 0 { end(cid) } else { fetch(cid) };
    let Some(mut node) = step(path.root(), names.len())? else { return Ok(None) };
    let mut cids = Vec::with_capacity(names.len() + 1);
    cids.push(*path.root());
    let mut parent = None;
    while let Some(name) = names.next() {
        let cid = match find(&node, name, fetch)? {
            Found::Link(cid) => cid,
            Found::WouldWait => return Ok(None),
            Found::Nothing => {
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(ReadError::NoLink { name, dir: *node.cid() });
            }
        };
        let Some(next) = step(&cid, names.len())? else { return Ok(None) };
        parent = Some(std::mem::replace(&mut node, next));
        cids.push(cid);
    }
    Ok(Some(Resolved { node, cids, parent }))
}
