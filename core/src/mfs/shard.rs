//! A tree of HAMT shards that can be changed.
//!
//! Owns where an entry goes, when shards come and go, and the form of a shard. Shards are read as they are
//! needed and written when they changed. Must not know when a directory becomes one. Rules: boxo
//! `ipld/unixfs/hamt/hamt.go`.

use super::blocks::Blocks;
use super::error::MfsError;
use super::node::{Child, CidFormat, Link, encode, tsize};
use crate::block::{Cid, DAG_PB};
use crate::unixfs::dag_pb::PbNode;
use crate::unixfs::data::{DataType, Mtime, UnixFsData};
use crate::unixfs::hamt::{self, MURMUR3, NameHash, prefix_width};

/// One shard, and those below it that were opened.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) format: CidFormat,
    fanout: u32,
    /// Taken slots, ascending.
    slots: Vec<(u32, Slot)>,
    /// What it was when it was read, as long as it is that.
    unchanged: Option<Child>,
    /// The root alone has these.
    pub(super) mode: Option<u32>,
    pub(super) mtime: Option<Mtime>,
}

#[derive(Debug)]
enum Slot {
    Entry(Link),
    Closed(Child),
    Open(Box<Shard>),
}

/// The slot of a name at a depth.
fn slot_of(name: &[u8], fanout: u32, depth: u32) -> Result<u32, MfsError> {
    let same_hash = |_| MfsError::SameHash(String::from_utf8_lossy(name).into_owned());
    NameHash::new(name).index(fanout, depth).map_err(same_hash)
}

impl Shard {
    pub(super) fn new(format: CidFormat, fanout: u32) -> Shard {
        Shard { format, fanout, slots: Vec::new(), unchanged: None, mode: None, mtime: None }
    }

    /// Reads a shard from its block.
    pub(super) fn parse(cid: &Cid, block: &[u8]) -> Result<Shard, MfsError> {
        let failed = |e: &dyn std::fmt::Display| MfsError::undecodable(cid, e);
        let pb = PbNode::parse(block).map_err(|e| failed(&e))?;
        let data = UnixFsData::parse(pb.data().unwrap_or_default()).map_err(|e| failed(&e))?;
        let parsed = hamt::Shard::parse(&pb, &data).map_err(|e| failed(&e))?;
        let (mut slots, mut below) = (Vec::new(), block.len() as u64);
        for (number, slot) in parsed.slots().zip(parsed.entries()) {
            let (entry, link) = match slot.map_err(|e| failed(&e))? {
                hamt::Slot::Absent => continue,
                hamt::Slot::Entry(link) => (true, Link::of(cid, &link)?),
                hamt::Slot::Child(link) => (false, Link::of(cid, &link)?),
            };
            below = below.saturating_add(link.child.tsize);
            slots.push((number, if entry { Slot::Entry(link) } else { Slot::Closed(link.child) }));
        }
        Ok(Shard {
            format: CidFormat::of(cid),
            fanout: parsed.fanout(),
            slots,
            unchanged: Some(Child { cid: *cid, tsize: below }),
            mode: data.mode.map(|mode| mode & 0o7777).filter(|mode| *mode != 0),
            mtime: data.mtime,
        })
    }

    /// Something else than its slots changed.
    pub(super) fn touch(&mut self) {
        self.unchanged = None;
    }

    /// The entry of a name. Reads one block a level.
    pub(super) fn find(
        &mut self,
        blocks: &Blocks<'_>,
        name: &[u8],
        depth: u32,
    ) -> Result<Option<Link>, MfsError> {
        let number = slot_of(name, self.fanout, depth)?;
        match self.open_at(blocks, number)? {
            Some(Slot::Entry(link)) if link.name == name => Ok(Some(link.clone())),
            Some(Slot::Open(below)) => below.find(blocks, name, depth + 1),
            Some(Slot::Entry(_) | Slot::Closed(_)) | None => Ok(None),
        }
    }

    /// Puts an entry in the place of one of its name, or in a new one.
    pub(super) fn set(
        &mut self,
        blocks: &Blocks<'_>,
        link: Link,
        depth: u32,
    ) -> Result<(), MfsError> {
        let number = slot_of(&link.name, self.fanout, depth)?;
        let (format, fanout) = (self.format, self.fanout);
        self.unchanged = None;
        let Some(slot) = self.open_at(blocks, number)? else {
            let at = self.slots.partition_point(|(taken, _)| *taken < number);
            self.slots.insert(at, (number, Slot::Entry(link)));
            return Ok(());
        };
        match slot {
            Slot::Open(below) => below.set(blocks, link, depth + 1),
            Slot::Entry(there) if there.name == link.name => {
                *there = link;
                Ok(())
            }
            Slot::Entry(there) => {
                let mut fork = Shard::new(format, fanout);
                fork.set(blocks, link, depth + 1)?;
                fork.set(blocks, there.clone(), depth + 1)?;
                *slot = Slot::Open(Box::new(fork));
                Ok(())
            }
            // Opened above.
            Slot::Closed(_) => Ok(()),
        }
    }

    /// Takes the entry of a name out, if there is one. A shard that is left with one entry gives it to
    /// its parent.
    pub(super) fn remove(
        &mut self,
        blocks: &Blocks<'_>,
        name: &[u8],
        depth: u32,
    ) -> Result<bool, MfsError> {
        let number = slot_of(name, self.fanout, depth)?;
        let (removed, left) = match self.open_at(blocks, number)? {
            Some(Slot::Entry(link)) if link.name == name => (true, Left::Nothing),
            Some(Slot::Open(below)) => {
                (below.remove(blocks, name, depth + 1)?, below.what_is_left())
            }
            _ => (false, Left::Shard),
        };
        if removed {
            self.unchanged = None;
            let at = self.slots.partition_point(|(taken, _)| *taken < number);
            match left {
                Left::Nothing => drop(self.slots.remove(at)),
                Left::Entry(link) => {
                    if let Some((_, slot)) = self.slots.get_mut(at) {
                        *slot = Slot::Entry(link);
                    }
                }
                Left::Shard => {}
            }
        }
        Ok(removed)
    }

    fn what_is_left(&self) -> Left {
        match self.slots.as_slice() {
            [] => Left::Nothing,
            [(_, Slot::Entry(link))] => Left::Entry(link.clone()),
            _ => Left::Shard,
        }
    }

    /// Shows every entry, in the order of slots, as long as `each` says so. Shards are read and not kept.
    pub(super) fn each(
        &self,
        blocks: &Blocks<'_>,
        depth: u32,
        each: &mut dyn FnMut(&Link) -> bool,
    ) -> Result<bool, MfsError> {
        for (_, slot) in &self.slots {
            let goes_on = match slot {
                Slot::Entry(link) => each(link),
                Slot::Open(below) => below.each(blocks, depth + 1, each)?,
                Slot::Closed(child) => {
                    self.read_below(blocks, child, depth)?.each(blocks, depth + 1, each)?
                }
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes what changed, and names the shard.
    pub(super) fn store(&self, blocks: &mut Blocks<'_>) -> Result<Child, MfsError> {
        if let Some(unchanged) = self.unchanged {
            return Ok(unchanged);
        }
        let width = prefix_width(self.fanout);
        let mut bitfield = vec![0u8; self.fanout as usize / 8];
        let mut links = Vec::with_capacity(self.slots.len());
        for (number, slot) in &self.slots {
            if let Some(byte) = bitfield.iter_mut().rev().nth(*number as usize / 8) {
                *byte |= 1 << (number % 8);
            }
            let prefix = format!("{number:0width$X}").into_bytes();
            links.push(match slot {
                Slot::Entry(link) => Link::new(&[&prefix, &link.name[..]].concat(), link.child),
                Slot::Closed(child) => Link::new(&prefix, *child),
                Slot::Open(below) => Link::new(&prefix, below.store(blocks)?),
            });
        }
        let leading = bitfield.iter().take_while(|byte| **byte == 0).count();
        let message = UnixFsData {
            data: bitfield.get(leading..),
            hash_type: Some(MURMUR3),
            fanout: Some(u64::from(self.fanout)),
            mode: self.mode,
            mtime: self.mtime,
            ..UnixFsData::new(DataType::HamtShard)
        };
        let block = encode(&links, Some(&message.encode([])));
        let tsize = tsize(&block, &links);
        Ok(Child { cid: blocks.put(&self.format, DAG_PB, block.into())?, tsize })
    }

    /// The slot of a number, with the shard below it opened.
    fn open_at(&mut self, blocks: &Blocks<'_>, number: u32) -> Result<Option<&mut Slot>, MfsError> {
        let at = self.slots.binary_search_by_key(&number, |(taken, _)| *taken);
        let Some((_, slot)) = at.ok().and_then(|at| self.slots.get_mut(at)) else {
            return Ok(None);
        };
        if let Slot::Closed(child) = slot {
            let below = Shard::parse(&child.cid, &blocks.get(&child.cid)?)?;
            *slot = Slot::Open(Box::new(same_fanout(below, self.fanout, &child.cid)?));
        }
        Ok(Some(slot))
    }

    fn read_below(
        &self,
        blocks: &Blocks<'_>,
        child: &Child,
        depth: u32,
    ) -> Result<Shard, MfsError> {
        if depth + 1 >= hamt::max_depth(self.fanout) {
            return Err(MfsError::TooDeep(child.cid));
        }
        let below = Shard::parse(&child.cid, &blocks.get(&child.cid)?)?;
        same_fanout(below, self.fanout, &child.cid)
    }
}

/// Shards of several widths in one tree would cut the hash at other places than readers do.
fn same_fanout(shard: Shard, fanout: u32, cid: &Cid) -> Result<Shard, MfsError> {
    if shard.fanout == fanout {
        return Ok(shard);
    }
    let reason = format!("a shard of {} slots below one of {fanout}", shard.fanout);
    Err(MfsError::undecodable(cid, reason))
}

/// What a shard has become by a removal.
enum Left {
    Nothing,
    Entry(Link),
    Shard,
}
