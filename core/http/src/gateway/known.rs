//! Paths that were asked for before.
//!
//! Owns the memory of where a path led and what every answer says of it: its CIDs, its tag, its roots. None of that can
//! ever change, since a path begins with a CID; whether the content is still at hand is asked each time. Players ask for
//! one path again and again, a range at a time, and a CID is long to parse and to print. Must not know what is sent.

use std::fmt::Write as _;
use std::sync::Arc;

use coldfront::{Cid, ContentPath, Node, Resolved};
use http::HeaderValue;
use quick_cache::sync::Cache;

use super::target::Target;
use crate::conditional::ETag;

/// Paths that are remembered, about 1 KiB each.
const MAX_KNOWN: usize = 1024;

/// The longest path that is remembered, in bytes.
const MAX_PATH_LEN: usize = 512;

/// Where a path leads, and what is said of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) path: Arc<ContentPath>,
    /// One for each segment, as [`Resolved::cids`].
    pub(super) cids: Vec<Cid>,
    /// The tag of a file that is sent as it is.
    pub(super) etag: ETag,
    pub(super) x_ipfs_path: Option<HeaderValue>,
    pub(super) x_ipfs_roots: Option<HeaderValue>,
}

impl Known {
    pub(super) fn new(target: &Target<'_>, path: &Arc<ContentPath>, cids: Vec<Cid>) -> Arc<Self> {
        let end = cids.last().unwrap_or(path.root());
        Arc::new(Known {
            etag: ETag::of_cid(end),
            x_ipfs_path: target.x_ipfs_path(),
            x_ipfs_roots: HeaderValue::try_from(roots(path.root(), &cids)).ok(),
            path: path.clone(),
            cids,
        })
    }
}

/// One CID for each segment, without spaces. The root is the one that was asked for.
fn roots(root: &Cid, cids: &[Cid]) -> String {
    const TYPICAL_CID: usize = 60;
    let mut text = String::with_capacity(cids.len() * TYPICAL_CID);
    for (i, cid) in std::iter::once(root).chain(cids.iter().skip(1)).enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{cid}", if i == 0 { "" } else { "," });
    }
    text
}

/// The end of a path, found for one request.
#[derive(Debug)]
pub(super) struct Found {
    /// The node at the end.
    pub(super) node: Arc<Node>,
    /// The directory that holds it, when the path has names.
    pub(super) parent: Option<Arc<Node>>,
    pub(super) known: Arc<Known>,
}

impl Found {
    /// What a walk down a path has found.
    pub(super) fn new(target: &Target<'_>, path: &Arc<ContentPath>, resolved: Resolved) -> Self {
        let Resolved { node, cids, parent } = resolved;
        Found { node, parent, known: Known::new(target, path, cids) }
    }

    /// The CID of the end of the path, as the link to it spells it.
    pub(super) fn cid(&self) -> &Cid {
        self.known.cids.last().unwrap_or(self.node.cid())
    }
}

/// The memory: by decoded path, slash at the end included.
#[derive(Debug)]
pub(super) struct KnownPaths(Cache<Box<[u8]>, Arc<Known>>);

impl KnownPaths {
    pub(super) fn new() -> Self {
        KnownPaths(Cache::new(MAX_KNOWN))
    }

    pub(super) fn get(&self, target: &Target<'_>) -> Option<Arc<Known>> {
        self.0.get(target.path())
    }

    pub(super) fn remember(&self, target: &Target<'_>, found: &Found) {
        if target.path().len() <= MAX_PATH_LEN {
            self.0.insert(target.path().into(), found.known.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CID: &str = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy";

    fn remember(known: &KnownPaths, text: &str) {
        let path = Arc::new(ContentPath::new(CID.parse().unwrap()));
        let target = Target::parse(text.as_bytes()).unwrap();
        let node = Arc::new(Node::decode(path.root(), bytes::Bytes::from_static(b"x")).unwrap());
        let cids = vec![*path.root()];
        let resolved = Resolved { node, cids, parent: None };
        known.remember(&target, &Found::new(&target, &path, resolved));
    }

    fn knows(known: &KnownPaths, text: &str) -> bool {
        known.get(&Target::parse(text.as_bytes()).unwrap()).is_some()
    }

    #[test]
    fn a_path_is_known_however_it_is_spelled_and_its_slash_counts() {
        let known = KnownPaths::new();
        remember(&known, &format!("/ipfs/{CID}/a%62c?download=1"));
        assert!(knows(&known, &format!("/ipfs/./{CID}//abc")));
        assert!(!knows(&known, &format!("/ipfs/{CID}/abc/")));
        assert!(!knows(&known, &format!("/ipfs/{CID}/ab")));
    }

    #[test]
    fn no_more_paths_are_kept_than_the_bound_and_none_that_is_long() {
        let known = KnownPaths::new();
        (0..3 * MAX_KNOWN).for_each(|n| remember(&known, &format!("/ipfs/{CID}/{n}")));
        assert!(known.0.len() <= MAX_KNOWN, "{}", known.0.len());
        let long = format!("/ipfs/{CID}/{}", "a".repeat(MAX_PATH_LEN));
        remember(&known, &long);
        assert!(!knows(&known, &long));
    }
}
