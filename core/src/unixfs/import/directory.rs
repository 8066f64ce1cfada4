//! A directory made into blocks: one of them, or a tree of shards.
//!
//! Owns when a directory is sharded and the form of its shards. Must not know paths, nor where entries
//! come from. Rules: boxo `ipld/unixfs/io/directory.go` and `ipld/unixfs/hamt/hamt.go`. boxo decides at
//! every entry that is added; as entries are only added here, and sizes only grow by it, the last
//! decision is the only one that counts, and the form depends on the entries alone.

use super::blocks::Output;
use super::encode::{Child, Links, check_len, link_len};
use super::error::ImportError;
use super::options::{DirectoryOptions, Metadata, Plan, SizeEstimate};
use crate::unixfs::hamt::{NameHash, max_depth, prefix_width};

/// An entry of a directory that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    /// The binary CID.
    pub(super) cid: &'a [u8],
    pub(super) tsize: u64,
}

/// Makes a directory of entries, in any order, that all have names of their own.
///
/// `at` gives the entry of a handle. Costs a sort by name, or by the hash of the name where the
/// directory is sharded; then 24 bytes an entry beside the handles.
pub(super) fn make<'a, H: Copy>(
    handles: &mut [H],
    at: &dyn Fn(H) -> Entry<'a>,
    meta: &Metadata,
    plan: &Plan,
    output: &mut Output,
) -> Result<Child, ImportError> {
    if is_sharded(&plan.directories, handles.iter().map(|handle| at(*handle)), || {
        plan.directory_data(meta).len()
    }) {
        return sharded(handles, at, meta, plan, output);
    }
    handles.sort_unstable_by(|a, b| at(*a).name.cmp(at(*b).name));
    let (mut links, mut below) = (Links::default(), 0u64);
    let mut last = None;
    for entry in handles.iter().map(|handle| at(*handle)) {
        no_second(last.replace(entry.name), entry.name)?;
        links.push(entry.cid, &[entry.name], entry.tsize);
        check_len(links.len())?;
        below = below.saturating_add(entry.tsize);
    }
    output.keep(plan.directory(links, below, meta)?)
}

fn no_second(last: Option<&[u8]>, name: &[u8]) -> Result<(), ImportError> {
    if last == Some(name) { Err(ImportError::AlreadyThere(text(name))) } else { Ok(()) }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn is_sharded<'a>(
    options: &DirectoryOptions,
    entries: impl ExactSizeIterator<Item = Entry<'a>>,
    data_len: impl FnOnce() -> usize,
) -> bool {
    if options.threshold == 0 {
        return false;
    }
    if options.max_links > 0 && entries.len() > options.max_links {
        return true;
    }
    let size: u64 = match options.estimate {
        SizeEstimate::Disabled => return false,
        SizeEstimate::Links => entries.map(|e| (e.name.len() + e.cid.len()) as u64).sum(),
        SizeEstimate::Block => {
            let links: u64 =
                entries.map(|e| link_len(e.cid.len(), e.name.len(), e.tsize) as u64).sum();
            let data_len = data_len();
            links + 1 + crate::unixfs::wire::varint_len(data_len as u64) as u64 + data_len as u64
        }
    };
    size > options.threshold
}

/// An entry by the hash of its name.
type Hashed<H> = (u64, H);

fn sharded<'a, H: Copy>(
    handles: &[H],
    at: &dyn Fn(H) -> Entry<'a>,
    meta: &Metadata,
    plan: &Plan,
    output: &mut Output,
) -> Result<Child, ImportError> {
    let hash = |handle: &H| (NameHash::new(at(*handle).name).bits(), *handle);
    let mut hashed: Vec<Hashed<H>> = handles.iter().map(hash).collect();
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    no_hash_twice(&hashed, at)?;
    Sharding { at, plan, output }.shard(&hashed, 0, meta)
}

/// Entries of one hash have no place in a tree of shards.
fn no_hash_twice<'a, H: Copy>(
    hashed: &[Hashed<H>],
    at: &dyn Fn(H) -> Entry<'a>,
) -> Result<(), ImportError> {
    for ((hash, handle), (next_hash, next)) in hashed.iter().zip(hashed.iter().skip(1)) {
        if hash == next_hash {
            let (name, next) = (at(*handle).name, at(*next).name);
            no_second(Some(name), next)?;
            return Err(ImportError::SameHash { first: text(name), second: text(next) });
        }
    }
    Ok(())
}

struct Sharding<'s, 'a, H> {
    at: &'s dyn Fn(H) -> Entry<'a>,
    plan: &'s Plan,
    output: &'s mut Output,
}

impl<H: Copy> Sharding<'_, '_, H> {
    /// Makes the shard of entries, in the order of their hashes, that agree in the bits of the levels
    /// above. Calls itself for each slot with several: as deep as the hash has bits for, 21 at most.
    fn shard(
        &mut self,
        mut entries: &[Hashed<H>],
        depth: u32,
        meta: &Metadata,
    ) -> Result<Child, ImportError> {
        let fanout = self.plan.directories.max_fanout;
        let width = prefix_width(fanout);
        let mut bitfield = vec![0u8; fanout as usize / 8];
        let (mut links, mut below) = (Links::default(), 0u64);
        while let Some(((hash, handle), _)) = entries.split_first() {
            let slot = slot_of(*hash, fanout, depth);
            let same = entries.partition_point(|(hash, _)| slot_of(*hash, fanout, depth) <= slot);
            let (here, rest) = entries.split_at(same.max(1));
            entries = rest;
            set_bit(&mut bitfield, slot);
            let prefix = format!("{slot:0width$X}");
            let tsize = if here.len() == 1 {
                let entry = (self.at)(*handle);
                links.push(entry.cid, &[prefix.as_bytes(), entry.name], entry.tsize);
                entry.tsize
            } else {
                let child = self.below(here, depth + 1)?;
                links.push(&child.cid.to_bytes(), &[prefix.as_bytes()], child.tsize);
                child.tsize
            };
            check_len(links.len())?;
            below = below.saturating_add(tsize);
        }
        let made = self.plan.shard(links, &bitfield, below, meta)?;
        self.output.keep(made)
    }

    fn below(&mut self, entries: &[Hashed<H>], depth: u32) -> Result<Child, ImportError> {
        if depth >= max_depth(self.plan.directories.max_fanout) {
            // All bits that the levels use are the same in two of them; the last ones need not be.
            let mut names = entries.iter().map(|(_, handle)| text((self.at)(*handle).name));
            let (first, second) =
                (names.next().unwrap_or_default(), names.next().unwrap_or_default());
            return Err(ImportError::SameHash { first, second });
        }
        self.shard(entries, depth, &Metadata::NONE)
    }
}

/// The slot of a hash at a depth, which must be one that shards can have.
fn slot_of(hash: u64, fanout: u32, depth: u32) -> u32 {
    let bits = fanout.trailing_zeros();
    let shift = u64::BITS.saturating_sub(bits * (depth + 1));
    (hash >> shift) as u32 & (fanout - 1)
}

/// The last byte holds the lowest bits.
fn set_bit(bitfield: &mut [u8], slot: u32) {
    if let Some(byte) = bitfield.iter_mut().rev().nth(slot as usize / 8) {
        *byte |= 1 << (slot % 8);
    }
}
