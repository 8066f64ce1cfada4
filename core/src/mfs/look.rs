//! Looking at a tree: what is there, without changing it.
//!
//! Owns what is told of a node. Works on one root, which does not change under it. Rules: kubo
//! `core/commands/files.go`.

use bytes::Bytes;

use super::blocks::Blocks;
use super::directory::Directory;
use super::error::MfsError;
use super::node::{Draft, Pb, tsize};
use crate::block::{Cid, DAG_PB, RAW};
use crate::error::ReadError;
use crate::unixfs::data::{DataType, Mtime};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory of either form.
    Directory,
    /// A symbolic link, which Kubo calls a file.
    Symlink,
}

/// What is told of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// Its CID.
    pub cid: Cid,
    /// What it is.
    pub kind: Kind,
    /// Bytes of its content; 0 for a directory.
    pub size: u64,
    /// Bytes of its block and of all blocks below it, each counted as often as it is linked.
    pub cumulative_size: u64,
    /// Links in its block.
    pub blocks: usize,
    /// Unix permissions, 12 bits, if it has some.
    pub mode: Option<u32>,
    /// The time of its last change, if it is kept.
    pub mtime: Option<Mtime>,
}

/// How much of a DAG is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locality {
    /// All of it.
    pub complete: bool,
    /// Bytes of its blocks that are here, each counted as often as it is linked.
    pub bytes: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Bytes,
    /// What it leads to.
    pub cid: Cid,
}

/// Blocks of one DAG whose subtrees are counted once, while they are looked at for [`Locality`]; of more
/// the ones met first are remembered.
const MAX_COUNTED: usize = 64 * 1024;

/// Levels of a DAG that are walked.
const MAX_DEPTH: usize = 512;

/// Looks at one node. Reads its block.
pub(super) fn stat(blocks: &Blocks<'_>, cid: &Cid) -> Result<Stat, MfsError> {
    let told = |kind, size, cumulative_size, links| Stat {
        cid: *cid,
        kind,
        size,
        cumulative_size,
        blocks: links,
        mode: None,
        mtime: None,
    };
    match cid.codec() {
        RAW => {
            let size = blocks.size(cid)?.ok_or(ReadError::Missing(*cid))?;
            Ok(told(Kind::File, size, size, 0))
        }
        DAG_PB => {
            let block = blocks.get(cid)?;
            let pb = Pb::parse(cid, &block)?;
            let (mode, mtime) = (pb.message.permissions(), pb.message.mtime);
            let (links, all) = (pb.links.len(), tsize(&block, &pb.links));
            let kind = kind_of(pb.message.data_type);
            let stat = told(kind, Draft::Pb(pb).size(), all, links);
            Ok(Stat { mode, mtime, ..stat })
        }
        codec => Err(ReadError::UnsupportedCodec { cid: *cid, codec }.into()),
    }
}

fn kind_of(data_type: DataType) -> Kind {
    match data_type {
        DataType::Directory | DataType::HamtShard => Kind::Directory,
        DataType::Symlink => Kind::Symlink,
        DataType::File | DataType::Raw | DataType::Metadata => Kind::File,
    }
}

/// Shows the entries of a directory in its own order, as long as `each` says so. One shard a level is held.
pub(super) fn list(
    blocks: &Blocks<'_>,
    cid: &Cid,
    each: &mut dyn FnMut(Listed) -> bool,
) -> Result<(), MfsError> {
    let directory = Directory::load(blocks, cid)?;
    let directory = directory.ok_or_else(|| MfsError::NotADirectory(cid.to_string()))?;
    directory
        .each(blocks, &mut |link| each(Listed { name: link.name.clone(), cid: link.child.cid }))
}

/// Counts what is here of a DAG. Reads every block of it that may have links.
pub(super) fn locality(
    blocks: &Blocks<'_>,
    cid: &Cid,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Locality, MfsError> {
    Counting { blocks, go_on, counted: Default::default() }.count(cid, 0)
}

struct Counting<'b, 's> {
    blocks: &'b Blocks<'s>,
    go_on: &'b mut dyn FnMut() -> bool,
    counted: std::collections::HashMap<Cid, Locality>,
}

impl Counting<'_, '_> {
    fn count(&mut self, cid: &Cid, depth: usize) -> Result<Locality, MfsError> {
        if let Some(counted) = self.counted.get(cid) {
            return Ok(*counted);
        }
        if depth > MAX_DEPTH {
            return Err(MfsError::TooDeep(*cid));
        }
        if !(self.go_on)() {
            return Err(MfsError::Cancelled);
        }
        let counted = self.look(cid, depth)?;
        if self.counted.len() < MAX_COUNTED {
            self.counted.insert(*cid, counted);
        }
        Ok(counted)
    }

    fn look(&mut self, cid: &Cid, depth: usize) -> Result<Locality, MfsError> {
        let Some(size) = self.blocks.size(cid)? else {
            return Ok(Locality { complete: false, bytes: 0 });
        };
        let mut sum = Locality { complete: true, bytes: size };
        if cid.codec() != DAG_PB {
            return Ok(sum);
        }
        for link in Pb::parse(cid, &self.blocks.get(cid)?)?.links {
            let below = self.count(&link.child.cid, depth + 1)?;
            sum.complete &= below.complete;
            sum.bytes = sum.bytes.saturating_add(below.bytes);
        }
        Ok(sum)
    }
}
