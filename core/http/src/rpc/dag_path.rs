//! The block at the end of a path, through nodes of any codec.
//!
//! Owns how names lead through dag-cbor and dag-json, and where a path ends inside of a node. Directories and files are walked by the
//! library. Must not know what a command does with the end.

use coldfront::block::{DAG_CBOR, DAG_JSON};
use coldfront::{Cid, ContentPath, ReadError, Repo};
use ipld_core::ipld::Ipld;

use super::error::Failed;
use super::ipld;

/// Where a path ends.
#[derive(Debug)]
pub(crate) struct DagEnd {
    pub(crate) cid: Cid,
    /// Names that are left: they lead into the node.
    pub(crate) rest: Vec<String>,
}

impl DagEnd {
    /// The CID, where the path ends at a block.
    pub(crate) fn into_cid(self, path: &ContentPath) -> Result<Cid, Failed> {
        match self.rest.is_empty() {
            true => Ok(self.cid),
            false => Err(Failed::new(format!("{path}: path does not end at a block"))),
        }
    }
}

/// Links that a path may follow inside of nodes.
const MAX_HOPS: usize = 1024;

/// Follows a path. A bare CID costs nothing.
pub(crate) fn resolve(repo: &Repo, path: &ContentPath) -> Result<DagEnd, Failed> {
    let mut cid = *path.root();
    let mut names: Vec<Vec<u8>> = path.segments().map(<[u8]>::to_vec).collect();
    for _ in 0..MAX_HOPS {
        if names.is_empty() {
            return Ok(DagEnd { cid, rest: Vec::new() });
        }
        if !matches!(cid.codec(), DAG_CBOR | DAG_JSON) {
            let Some((next, left)) = through_directories(repo, cid, &names)? else {
                let rest = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
                return Ok(DagEnd { cid, rest: rest.collect() });
            };
            (cid, names) = (next, left);
            continue;
        }
        let block = repo.block(&cid)?.ok_or_else(|| Failed::not_found(&cid))?;
        let node = ipld::decode(cid.codec(), block.data())?;
        match through(&node, &names, &cid)? {
            Some((next, left)) => (cid, names) = (next, left),
            None => {
                let rest = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
                return Ok(DagEnd { cid, rest: rest.collect() });
            }
        }
    }
    Err(Failed::new(format!("{path}: more than {MAX_HOPS} links on the way")))
}

/// A block on the way, and the names that are left.
type Onward = (Cid, Vec<Vec<u8>>);

/// Names through directories; `None` where there is nothing to follow, because the path goes into a dag-pb node itself.
fn through_directories(repo: &Repo, cid: Cid, names: &[Vec<u8>]) -> Result<Option<Onward>, Failed> {
    let mut path = ContentPath::new(cid);
    for (at, name) in names.iter().enumerate() {
        path = path.join(name);
        let end = match repo.resolve_block(&path) {
            Ok(found) => *found.node.cid(),
            Err(ReadError::NoLink { name, .. })
                if at == 0 && matches!(name.as_str(), "Data" | "Links") =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if matches!(end.codec(), DAG_CBOR | DAG_JSON) {
            let left = names.get(at + 1..).unwrap_or_default().to_vec();
            return Ok(Some((end, left)));
        }
        if at + 1 == names.len() {
            return Ok(Some((end, Vec::new())));
        }
    }
    Ok(None)
}

/// Names through a node to the first link; `None` where all of them lead to a value in it.
fn through(node: &Ipld, names: &[Vec<u8>], cid: &Cid) -> Result<Option<Onward>, Failed> {
    let mut at = node;
    for (place, name) in names.iter().enumerate() {
        let name = String::from_utf8_lossy(name);
        at = ipld::step(at, &name)
            .ok_or_else(|| Failed::new(format!("no link named {name:?} under {cid}")))?;
        if let Ipld::Link(link) = at {
            let next = ipld::cid_of(link).ok_or_else(|| Failed::new("a link holds no CID"))?;
            return Ok(Some((next, names.get(place + 1..).unwrap_or_default().to_vec())));
        }
    }
    Ok(None)
}
