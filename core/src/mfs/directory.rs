//! A directory that can be changed: one block, or a tree of shards, whichever its size asks for.
//!
//! Owns when the one becomes the other. Must not know paths. Rules: boxo `ipld/unixfs/io/directory.go`.
//! boxo compares sizes with what it remembers of earlier changes in the same process; here each change is
//! judged by itself, as it is by `ipfs files` without a daemon.

use super::blocks::Blocks;
use super::error::MfsError;
use super::node::{Child, CidFormat, Link, Message, encode, tsize};
use super::shard::Shard;
use crate::block::{Cid, DAG_PB};
use crate::error::ReadError;
use crate::unixfs::dag_pb::PbNode;
use crate::unixfs::data::{DataType, UnixFsData};
use crate::unixfs::import::{DirectoryOptions, SizeEstimate, link_len};

/// A directory that is being changed.
#[derive(Debug)]
pub(super) enum Directory {
    Basic(Basic),
    Sharded(Shard),
}

/// A directory of one block.
#[derive(Debug)]
pub(super) struct Basic {
    format: CidFormat,
    links: Vec<Link>,
    /// The UnixFS message, as it was read.
    message: Vec<u8>,
}

impl Directory {
    /// An empty one.
    pub(super) fn new(format: CidFormat) -> Directory {
        let message = UnixFsData::new(DataType::Directory).encode([]);
        Directory::Basic(Basic { format, links: Vec::new(), message })
    }

    /// The directory under a CID; `None` when something else is there. Reads one block.
    pub(super) fn load(blocks: &Blocks<'_>, cid: &Cid) -> Result<Option<Directory>, MfsError> {
        if cid.codec() != DAG_PB {
            return Ok(None);
        }
        let block = blocks.get(cid)?;
        let pb = PbNode::parse(&block).map_err(|e| MfsError::undecodable(cid, e))?;
        let message = pb.data().unwrap_or_default();
        let data = UnixFsData::parse(message).map_err(|e| MfsError::undecodable(cid, e))?;
        Ok(match data.data_type {
            DataType::HamtShard => Some(Directory::Sharded(Shard::parse(cid, &block)?)),
            DataType::Directory => {
                let links =
                    pb.links().map(|link| Link::of(cid, &link)).collect::<Result<_, _>>()?;
                let (format, message) = (CidFormat::of(cid), message.to_vec());
                Some(Directory::Basic(Basic { format, links, message }))
            }
            DataType::Metadata => {
                return Err(ReadError::undecodable(cid, "not yet implemented").into());
            }
            DataType::Raw | DataType::File | DataType::Symlink => None,
        })
    }

    /// From now on its CID has this form. Shards below a root keep theirs.
    pub(super) fn set_format(&mut self, format: CidFormat) {
        match self {
            Directory::Basic(basic) => basic.format = format,
            Directory::Sharded(root) if root.format != format => {
                root.format = format;
                root.touch();
            }
            Directory::Sharded(_) => {}
        }
    }

    /// Changes what its message says beside the entries.
    pub(super) fn set_attributes(
        &mut self,
        cid: &Cid,
        change: impl FnOnce(&mut Message),
    ) -> Result<(), MfsError> {
        match self {
            Directory::Basic(basic) => {
                let mut message = Message::parse(cid, &basic.message)?;
                change(&mut message);
                basic.message = message.encode();
            }
            Directory::Sharded(root) => {
                let mut message = Message::new(DataType::Directory);
                (message.mode, message.mtime) = (root.mode, root.mtime);
                change(&mut message);
                (root.mode, root.mtime) = (message.mode, message.mtime);
                root.touch();
            }
        }
        Ok(())
    }

    /// The entry of a name. Reads one block a level of shards.
    pub(super) fn find(
        &mut self,
        blocks: &Blocks<'_>,
        name: &[u8],
    ) -> Result<Option<Link>, MfsError> {
        match self {
            Directory::Basic(basic) => Ok(basic.find(name).cloned()),
            Directory::Sharded(root) => root.find(blocks, name, 0),
        }
    }

    /// Shows every entry in the directory's own order, as long as `each` says so.
    pub(super) fn each(
        &self,
        blocks: &Blocks<'_>,
        each: &mut dyn FnMut(&Link) -> bool,
    ) -> Result<(), MfsError> {
        match self {
            Directory::Basic(basic) => drop(basic.links.iter().all(each)),
            Directory::Sharded(root) => drop(root.each(blocks, 0, each)?),
        }
        Ok(())
    }

    /// Puts an entry in the place of one of its name, or beside the others.
    pub(super) fn set(
        &mut self,
        blocks: &Blocks<'_>,
        options: &DirectoryOptions,
        name: &[u8],
        child: Child,
    ) -> Result<(), MfsError> {
        let link = Link::new(name, child);
        match self {
            Directory::Basic(basic) if basic.outgrows(options, &link)? => {
                let mut root = basic.shards(blocks, options)?;
                root.set(blocks, link, 0)?;
                *self = Directory::Sharded(root);
            }
            Directory::Basic(basic) => basic.set(link),
            Directory::Sharded(root) => match root.find(blocks, name, 0)? {
                Some(old) if shrinks(root, blocks, options, &old, Some(&link))? => {
                    let mut basic = Basic::of(root, blocks)?;
                    basic.set(link);
                    *self = Directory::Basic(basic);
                }
                _ => root.set(blocks, link, 0)?,
            },
        }
        Ok(())
    }

    /// Takes the entry of a name out; says whether there was one.
    pub(super) fn remove(
        &mut self,
        blocks: &Blocks<'_>,
        options: &DirectoryOptions,
        name: &[u8],
    ) -> Result<bool, MfsError> {
        let root = match self {
            Directory::Basic(basic) => return Ok(basic.remove(name)),
            Directory::Sharded(root) => root,
        };
        let Some(old) = root.find(blocks, name, 0)? else { return Ok(false) };
        if !shrinks(root, blocks, options, &old, None)? {
            return root.remove(blocks, name, 0);
        }
        let mut basic = Basic::of(root, blocks)?;
        basic.remove(name);
        *self = Directory::Basic(basic);
        Ok(true)
    }

    /// Writes it, and names it.
    pub(super) fn store(&self, blocks: &mut Blocks<'_>) -> Result<Child, MfsError> {
        match self {
            Directory::Basic(basic) => basic.store(blocks),
            Directory::Sharded(root) => root.store(blocks),
        }
    }
}

impl Basic {
    fn find(&self, name: &[u8]) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    fn set(&mut self, link: Link) {
        self.remove(&link.name);
        self.links.push(link);
    }

    fn remove(&mut self, name: &[u8]) -> bool {
        let before = self.links.len();
        self.links.retain(|link| link.name != name);
        self.links.len() < before
    }

    fn store(&self, blocks: &mut Blocks<'_>) -> Result<Child, MfsError> {
        let block = encode(&self.links, Some(&self.message));
        let tsize = tsize(&block, &self.links);
        Ok(Child { cid: blocks.put(&self.format, DAG_PB, block.into())?, tsize })
    }

    /// Whether it has to be sharded before it takes in an entry.
    fn outgrows(&self, options: &DirectoryOptions, link: &Link) -> Result<bool, MfsError> {
        if options.threshold == 0 {
            return Ok(false);
        }
        let old = self.find(&link.name);
        let too_many =
            old.is_none() && options.max_links > 0 && self.links.len() >= options.max_links;
        let frame = message_len(options, self.message.len());
        let sum = |links: u64, link: &Link| links.saturating_add(estimate(options, link));
        let size = self.links.iter().fold(frame, sum);
        let size = sum(size - old.map_or(0, |old| estimate(options, old)), link);
        let too_large = options.estimate != SizeEstimate::Disabled && size > options.threshold;
        Ok(too_many || too_large)
    }

    fn shards(&self, blocks: &Blocks<'_>, options: &DirectoryOptions) -> Result<Shard, MfsError> {
        let mut root = Shard::new(self.format, options.max_fanout);
        let message = Message::parse(&Cid::default(), &self.message)?;
        (root.mode, root.mtime) = (message.permissions(), message.mtime);
        for link in &self.links {
            root.set(blocks, link.clone(), 0)?;
        }
        Ok(root)
    }

    /// All entries of a tree of shards in one block.
    fn of(root: &Shard, blocks: &Blocks<'_>) -> Result<Basic, MfsError> {
        let message = UnixFsData {
            mode: root.mode,
            mtime: root.mtime,
            ..UnixFsData::new(DataType::Directory)
        };
        let mut links = Vec::new();
        root.each(blocks, 0, &mut |link| {
            links.push(link.clone());
            true
        })?;
        Ok(Basic { format: root.format, links, message: message.encode([]) })
    }
}

/// What an entry counts for in the size of a directory.
fn estimate(options: &DirectoryOptions, link: &Link) -> u64 {
    let (cid, name) = (link.child.cid.encoded_len(), link.name.len());
    match options.estimate {
        SizeEstimate::Links => (cid + name) as u64,
        SizeEstimate::Block => link_len(cid, name, link.child.tsize) as u64,
        SizeEstimate::Disabled => 0,
    }
}

/// What a message counts for.
fn message_len(options: &DirectoryOptions, len: usize) -> u64 {
    match options.estimate {
        SizeEstimate::Block => (1 + crate::unixfs::wire::varint_len(len as u64) + len) as u64,
        SizeEstimate::Links | SizeEstimate::Disabled => 0,
    }
}

/// Digits of a slot's number in front of a name, which boxo counts for an entry that goes, and not for
/// others.
const COUNTED_PREFIX: usize = 2;

/// Whether a tree of shards becomes one block when `old` is replaced or goes. Looks at entries until they
/// are more than a block may have.
fn shrinks(
    root: &Shard,
    blocks: &Blocks<'_>,
    options: &DirectoryOptions,
    old: &Link,
    new: Option<&Link>,
) -> Result<bool, MfsError> {
    if options.threshold == 0 {
        return Ok(false);
    }
    if options.max_links > 0 {
        let room = options.max_links + usize::from(new.is_none());
        let mut count = 0;
        root.each(blocks, 0, &mut |_| {
            count += 1;
            count <= room
        })?;
        if count > room {
            return Ok(false);
        }
    }
    if options.estimate == SizeEstimate::Disabled {
        return Ok(options.max_links > 0);
    }
    let gone = estimate(options, old);
    let coming = new.map_or(0, |new| estimate(options, new));
    if new.is_some() && coming >= gone {
        return Ok(false);
    }
    let slack = if new.is_none() { COUNTED_PREFIX as u64 } else { 0 };
    let bound = options.threshold.saturating_add(gone + slack).saturating_sub(coming);
    let message =
        UnixFsData { mode: root.mode, mtime: root.mtime, ..UnixFsData::new(DataType::Directory) };
    let mut size = message_len(options, message.encode([]).len());
    root.each(blocks, 0, &mut |link| {
        size = size.saturating_add(estimate(options, link));
        size <= bound
    })?;
    Ok(size <= bound)
}
