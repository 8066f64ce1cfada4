//! In which order blocks are asked for.
//!
//! Owns the three orders of the disk (a flatfs tree shard by shard and by inode, a store by key, a CAR by offset) and the
//! order of roots, in which a file's blocks stay side by side; and the marks that each leaves. Must not know hashing or
//! the target's blocks.
//!
//! By default everything is copied in the order of the disk, and what is asked for by root in the order of its roots.

mod car;
mod pairs;
mod roots;
mod tree;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub(super) use car::CarOrder;
pub(super) use pairs::PairsOrder;
pub(super) use roots::RootOrder;
pub(super) use tree::TreeOrder;

use super::error::MigrateError;
use super::mark;
use super::report::{Fault, FaultKind};
use super::run::Root;
use crate::block::{Cid, DAG_PB};
use crate::kubo::BlockName;
use crate::links::has_no_links;
use crate::store::hot::Change;

/// Bytes of a store between two marks.
const MARK_EVERY: usize = 4 * 1024 * 1024;

/// A block to be copied.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) cid: Cid,
    pub(super) at: At,
    /// What it links to is to be copied too.
    pub(super) links: bool,
    /// It lies where Kubo does not look for it.
    pub(super) misplaced: bool,
    /// It was bad before: the place under which that stands in the records.
    pub(super) retry: Option<Box<str>>,
    /// The disk of the source on which it lies, by number: each has readers of its own.
    pub(super) disk: usize,
}

/// Where a block is to be read.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// Wherever the source finds it by its name.
    Anywhere,
    /// In a file that was seen.
    File { folder: Arc<Path>, text: Box<[u8]> },
    /// At a place that says where it came from; its bytes come with it.
    Given(Box<str>),
}

impl Wanted {
    pub(super) fn new(cid: Cid, at: At) -> Wanted {
        Wanted { cid, at, links: false, misplaced: false, retry: None, disk: 0 }
    }

    /// A block by its name, with what it links to if `links`.
    pub(super) fn named(cid: Cid, links: bool) -> Wanted {
        Wanted { links: links && !has_no_links(cid.codec()), ..Wanted::new(cid, At::Anywhere) }
    }
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// A block to be read.
    Read(Box<Wanted>),
    /// A link that a walk came by: a binary CID. The same as `Read`, in less memory.
    Link(Box<[u8]>),
    /// A block that is read already.
    Have(Box<Wanted>, Bytes),
    /// Everything before this is copied: these records say so.
    Mark(Vec<Change>),
    /// A folder is copied: files in it that are no blocks, and its mark.
    Listed(u64, Option<Change>),
    /// Everything below a root came, unless there was a fault since the last such step.
    RootDone(Box<Root>),
    /// Something is wrong with the source.
    Bad(Box<Fault>),
    /// Something to be counted.
    Count(Counted, u64),
}

/// What an order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    ShardsSkipped,
    TablesSkipped,
    Identity,
}

/// An order of blocks.
pub(super) trait Order {
    /// The next step; `None` at the end.
    fn next(&mut self) -> Result<Option<Step>, MigrateError>;

    /// What is to come before everything else because of this block, which was copied.
    fn below(&mut self, _block: &Cid, _data: &[u8]) -> Result<Vec<Step>, String> {
        Ok(Vec::new())
    }

    /// Disks that it asks for blocks, at least 1.
    fn disks(&self) -> usize {
        1
    }

    /// How much of it is done, 0 to 1.
    fn done(&self) -> Option<f64>;
}

/// The CID under which a block is copied whose name is a key. Nobody knows its codec: dag-pb makes the target look
/// whether it is a leaf, so that walks need not.
fn labelled(name: BlockName) -> Cid {
    if name.whole_cid { name.cid } else { Cid::new_v1(DAG_PB, *name.cid.hash()) }
}

/// Blocks that were bad in an earlier run.
pub(super) struct RetryOrder(pub(super) std::vec::IntoIter<Fault>);

impl Order for RetryOrder {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        let Some(fault) = self.0.next() else { return Ok(None) };
        let gone = || Step::Mark(vec![(mark::fault(&fault.place), None)]);
        let step = match (fault.kind, fault.cid) {
            (FaultKind::Pin | FaultKind::Record | FaultKind::Undecodable, _) => gone(),
            (_, Some(cid)) => {
                let wanted =
                    Wanted { retry: Some(fault.place.into()), ..Wanted::named(cid, false) };
                Step::Read(Box::new(wanted))
            }
            // What cannot be listed or is misnamed is met again, where it still is: its shard directory was not marked,
            // or has a name more or less.
            (FaultKind::Misnamed, None) if Path::new(&fault.place).exists() => {
                Step::Mark(Vec::new())
            }
            (_, None) => gone(),
        };
        Ok(Some(step))
    }

    fn done(&self) -> Option<f64> {
        None
    }
}
