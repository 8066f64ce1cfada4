//! Pins before repository version 11: a small DAG of sets of CIDs.
//!
//! Owns the form of a set. The root is a dag-pb node with the links `recursive` and `direct`. A set is a node whose data
//! begin with the length of a header (version, fanout) and that header; its first `fanout` links lead to sets of the same
//! form, the rest are members. Rules: go-ipfs-pinner `ipldpinner/set.go`.

use super::datastore::{BlockMount, Datastore};
use super::error::RepositoryError;
use super::pins::KuboPin;
use crate::block::{Cid, verify};
use crate::unixfs::dag_pb::PbNode;
use crate::unixfs::wire::Reader;

/// Sets in one another; Kubo's have three levels at a hundred million pins.
const MAX_DEPTH: usize = 16;

/// Pins that are read from sets, some 100 bytes each.
const MAX_PINS: usize = 20_000_000;

type Found = Vec<Result<KuboPin, RepositoryError>>;

/// Reads the pins below the node whose binary CID is `root`.
pub(super) fn read(datastore: &Datastore, root: &[u8]) -> Result<Found, RepositoryError> {
    let root = Cid::try_from(root).map_err(|error| bad("/local/pins", error))?;
    let data = block(datastore, &root)?;
    let node = PbNode::parse(&data).map_err(|error| bad(root, error))?;
    let mut found = Vec::new();
    for link in node.links() {
        let recursive = match link.name {
            Some(b"recursive") => true,
            Some(b"direct") => false,
            _ => continue,
        };
        let set = Cid::try_from(link.cid).map_err(|error| bad(root, error))?;
        let mut reader = Sets { datastore, recursive, found: &mut found };
        reader.read(&set, 0);
    }
    Ok(found)
}

struct Sets<'a> {
    datastore: &'a Datastore,
    recursive: bool,
    found: &'a mut Found,
}

impl Sets<'_> {
    /// Adds the members of a set and of those below it; what cannot be read becomes an error among them.
    fn read(&mut self, set: &Cid, depth: usize) {
        if let Err(error) = self.try_read(set, depth) {
            self.found.push(Err(error));
        }
    }

    fn try_read(&mut self, set: &Cid, depth: usize) -> Result<(), RepositoryError> {
        if depth >= MAX_DEPTH || self.found.len() >= MAX_PINS {
            return Err(bad(
                set,
                format!("more than {MAX_PINS} pins, or {MAX_DEPTH} levels of sets"),
            ));
        }
        let data = block(self.datastore, set)?;
        let node = PbNode::parse(&data).map_err(|error| bad(set, error))?;
        let Some(header) = node.data() else {
            // The empty node stands for an empty set.
            return if node.links().len() == 0 {
                Ok(())
            } else {
                Err(bad(set, "a set without a header"))
            };
        };
        let fanout = fanout(header).ok_or_else(|| bad(set, "the header of a set is malformed"))?;
        for (at, link) in node.links().enumerate() {
            let cid = Cid::try_from(link.cid).map_err(|error| bad(set, error))?;
            if (at as u64) < fanout {
                self.read(&cid, depth + 1);
            } else {
                self.found.push(Ok(KuboPin {
                    cid,
                    recursive: self.recursive,
                    name: String::new(),
                }));
            }
        }
        Ok(())
    }
}

/// The number of sets below, from a header of the one version there is.
fn fanout(data: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(data);
    let len = usize::try_from(reader.varint().ok()?).ok()?;
    let mut header = Reader::new(reader.rest().get(..len)?);
    let (mut version, mut fanout) = (0, 0);
    while !header.is_empty() {
        match header.key().ok()? {
            (1, 0) => version = header.varint().ok()?,
            (2, 0) => fanout = header.varint().ok()?,
            // The seed, four bytes.
            (3, 5) => header = Reader::new(header.rest().get(4..)?),
            _ => return None,
        }
    }
    (version == 1).then_some(fanout)
}

/// A block, checked: a set that is damaged would pin something else.
fn block(datastore: &Datastore, cid: &Cid) -> Result<Vec<u8>, RepositoryError> {
    for mount in datastore.blocks() {
        let mut names = vec![cid.hash().to_bytes()];
        names.push(Cid::new_v1(cid.codec(), *cid.hash()).to_bytes());
        for name in names {
            let found = match mount {
                BlockMount::Flatfs(tree) => {
                    tree.get(coldfront_flatfs::Key::new(&name), crate::block::MAX_BLOCK_LEN)?
                }
                BlockMount::Pairs(store, prefix) => {
                    let key = format!("{prefix}{}", data_encoding::BASE32_NOPAD.encode(&name));
                    store.get(key.as_bytes())?
                }
            };
            if let Some(data) = found {
                verify(cid, &data, "the repository").map_err(|error| bad(cid, error))?;
                return Ok(data);
            }
        }
    }
    Err(bad(cid, "a set of pins is not held"))
}

fn bad(cid: impl ToString, what: impl ToString) -> RepositoryError {
    RepositoryError::Record { key: cid.to_string(), what: what.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_set_says_how_many_sets_are_below() {
        let header = [&[10, 0x08, 1, 0x10, 0x80, 2, 0x1d][..], &[1, 2, 3, 4], b"and more"].concat();
        assert_eq!(fanout(&header), Some(256));
        for len in 0..=10 {
            assert_eq!(fanout(header.get(..len).unwrap_or(&[])), None, "{len} bytes");
        }
        assert_eq!(fanout(&[2, 0x08, 2]), None, "another version");
    }
}
