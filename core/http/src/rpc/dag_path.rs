//! The CID at the end of a path.
//!
//! Owns paths that go through nodes of any codec. Must not know what a command does with them.

use coldfront::{Cid, ContentPath, ReadError, Repo};

use super::error::Failed;

/// Where a path ends.
#[derive(Debug)]
pub(crate) struct DagEnd {
    pub(crate) cid: Cid,
    /// Names that are left: they lead into a node.
    pub(crate) rest: Vec<Box<[u8]>>,
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

/// Follows a path.
pub(crate) fn resolve(repo: &Repo, path: &ContentPath) -> Result<DagEnd, ReadError> {
    let resolved = repo.resolve_block(path)?;
    Ok(DagEnd { cid: *resolved.node.cid(), rest: Vec::new() })
}
