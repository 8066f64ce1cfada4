//! HAMT shards: directories spread over a tree of blocks by the hash of the entry's name.
//!
//! Owns which link of a shard a name belongs to, and what a link's name says. Must not know where
//! blocks come from: the walk from shard to shard is the caller's. Rules: the UnixFS specification
//! and boxo `ipld/unixfs/hamt` (`hamt.go`, `util.go`) with go-bitfield.
//!
//! A shard has `fanout` slots. Bit `i` of the bitfield says that slot `i` is taken, and its link is
//! the one with as many links before it as lower bits are set. A link's name is the slot's number in
//! upper-case hex, as wide as `fanout - 1` needs, then the entry's name; without the latter it leads
//! to a shard one level down. The number itself is not compared with the slot: boxo does not either.

use super::dag_pb::{Links, PbLink, PbNode};
use super::data::{DataType, UnixFsData};

/// Multicodec of the hash function: the first 64 bits of murmur3-x64-128, big-endian.
pub const MURMUR3: u64 = 0x22;

/// The least and the greatest number of slots; boxo refuses more.
const FANOUTS: std::ops::RangeInclusive<u64> = 8..=1024;

/// Why a node is no HAMT shard, or one of its slots cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HamtError {
    /// The node is something else.
    #[error("a node of type {0:?}, expected a HAMT shard")]
    NotAShard(DataType),
    /// The names are hashed with another function.
    #[error("HAMT hash function {0:?}, expected 0x22 (murmur3)")]
    HashFunction(Option<u64>),
    /// A number of slots that no shard has.
    #[error("HAMT fanout {0:?}, expected a power of two from 8 to 1024")]
    Fanout(Option<u64>),
    /// More bits than slots.
    #[error("a HAMT bitfield of {len} bytes for a fanout of {fanout}")]
    Bitfield {
        /// Length of the bitfield, in bytes.
        len: usize,
        /// The number of slots.
        fanout: u32,
    },
    /// The bitfield and the links do not agree.
    #[error("a HAMT shard of {links} links whose bitfield has {bits} bits set, expected as many")]
    LinkCount {
        /// Links in the node.
        links: usize,
        /// Bits set in the bitfield.
        bits: usize,
    },
    /// A link's name is shorter than the slot's number.
    #[error("a HAMT link with a name of {len} bytes, expected {width} of slot number or more")]
    ShortName {
        /// Length of the name, in bytes.
        len: usize,
        /// Width of the slot number.
        width: usize,
    },
    /// A shard deeper than the hash has bits for.
    #[error("a HAMT shard at depth {depth}, expected at most {max} levels")]
    TooDeep {
        /// The depth asked for; the root has 0.
        depth: u32,
        /// The number of levels that the hash has bits for.
        max: u32,
    },
}

/// A HAMT shard whose bitfield and links agree.
#[derive(Debug, Clone, Copy)]
pub struct Shard<'a> {
    bitfield: &'a [u8],
    fanout: u32,
    links: Links<'a>,
}

impl<'a> Shard<'a> {
    /// Takes a node and its data for a shard. Counts bits; does not look at the links' names.
    pub fn parse(node: &PbNode<'a>, data: &UnixFsData<'a>) -> Result<Shard<'a>, HamtError> {
        if data.data_type != DataType::HamtShard {
            return Err(HamtError::NotAShard(data.data_type));
        }
        if data.hash_type != Some(MURMUR3) {
            return Err(HamtError::HashFunction(data.hash_type));
        }
        let fanout = data
            .fanout
            .filter(|fanout| fanout.is_power_of_two() && FANOUTS.contains(fanout));
        let fanout = fanout.and_then(|fanout| u32::try_from(fanout).ok());
        let fanout = fanout.ok_or(HamtError::Fanout(data.fanout))?;
        let bitfield = data.data.unwrap_or_default();
        if bitfield.len() * 8 > fanout as usize {
            return Err(HamtError::Bitfield {
                len: bitfield.len(),
                fanout,
            });
        }
        let links = node.links();
        let bits = ones(bitfield);
        if links.len() != bits {
            return Err(HamtError::LinkCount {
                links: links.len(),
                bits,
            });
        }
        Ok(Shard {
            bitfield,
            fanout,
            links,
        })
    }

    /// What this shard, `depth` levels below the root (which has 0), holds for a name.
    ///
    /// An entry is given only if the name is the one that was hashed. Steps over the links before it.
    pub fn lookup(&self, name: &NameHash<'_>, depth: u32) -> Result<Slot<'a>, HamtError> {
        let index = name.index(self.fanout, depth)?;
        let Some(position) = self.position(index) else {
            return Ok(Slot::Absent);
        };
        // There is such a link: as many as bits, checked by `parse`.
        let Some(link) = self.links.clone().nth(position) else {
            return Ok(Slot::Absent);
        };
        match self.slot(link)? {
            Slot::Entry(link) if link.name != Some(name.name) => Ok(Slot::Absent),
            slot => Ok(slot),
        }
    }

    /// All taken slots in order: entries and shards below, never [`Slot::Absent`].
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Result<Slot<'a>, HamtError>> + use<'a> {
        let shard = *self;
        self.links.map(move |link| shard.slot(link))
    }

    /// The number of slots.
    pub fn fanout(&self) -> u32 {
        self.fanout
    }

    /// How many links stand before that of a slot; `None` for a free slot.
    fn position(&self, index: u32) -> Option<usize> {
        // The last byte holds the lowest bits; leading zero bytes are not stored.
        let from_end = (index / 8) as usize;
        let byte_at = self.bitfield.len().checked_sub(from_end + 1)?;
        let (&byte, lower) = self.bitfield.get(byte_at..)?.split_first()?;
        let bit = 1u8 << (index % 8);
        let before = (byte & (bit - 1)).count_ones() as usize;
        (byte & bit != 0).then(|| before + ones(lower))
    }

    fn slot(&self, link: PbLink<'a>) -> Result<Slot<'a>, HamtError> {
        let width = prefix_width(self.fanout);
        let name = link.name.unwrap_or_default();
        let short = HamtError::ShortName {
            len: name.len(),
            width,
        };
        match name.get(width..).ok_or(short)? {
            [] => Ok(Slot::Child(link)),
            bare => Ok(Slot::Entry(PbLink {
                name: Some(bare),
                ..link
            })),
        }
    }
}

/// What a slot of a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot<'a> {
    /// Nothing, or an entry of another name.
    Absent,
    /// An entry of the directory; the link has the entry's own name.
    Entry(PbLink<'a>),
    /// A shard one level down.
    Child(PbLink<'a>),
}

/// An entry's name with its hash, made once for all levels.
#[derive(Debug, Clone, Copy)]
pub struct NameHash<'n> {
    name: &'n [u8],
    hash: u64,
}

impl<'n> NameHash<'n> {
    /// Hashes a name, in time linear in its length.
    pub fn new(name: &'n [u8]) -> NameHash<'n> {
        NameHash {
            name,
            hash: murmur3_x64_64(name),
        }
    }

    /// The slot at a depth: the hash gives its highest bits to the root, the next ones to the level below.
    fn index(&self, fanout: u32, depth: u32) -> Result<u32, HamtError> {
        let max = max_depth(fanout);
        if depth >= max {
            return Err(HamtError::TooDeep { depth, max });
        }
        let bits = fanout.trailing_zeros();
        let shifted = self.hash >> (u64::BITS - bits * (depth + 1));
        Ok(shifted as u32 & (fanout - 1))
    }
}

/// The number of levels that a tree of shards can have: as often as the 64 bits of a hash can be
/// cut. 8 for the usual fanout of 256.
pub fn max_depth(fanout: u32) -> u32 {
    u64::BITS / fanout.trailing_zeros().max(1)
}

/// Digits of `fanout - 1` in hex.
fn prefix_width(fanout: u32) -> usize {
    fanout.trailing_zeros().div_ceil(4) as usize
}

fn ones(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| byte.count_ones() as usize).sum()
}

/// The first half of MurmurHash3 x64 128 with seed 0 (Austin Appleby's MurmurHash3.cpp).
fn murmur3_x64_64(bytes: &[u8]) -> u64 {
    let (mut h1, mut h2) = (0u64, 0u64);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let (k1, k2) = halves(block);
        h1 = (h1 ^ mix1(k1)).rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix2(k2)).rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    // Zeros in place of missing bytes mix to zero and change nothing.
    let mut last = [0; 16];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    let (k1, k2) = halves(&last);
    h1 ^= mix1(k1) ^ bytes.len() as u64;
    h2 ^= mix2(k2) ^ bytes.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    avalanche(h1).wrapping_add(avalanche(h2))
}

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

fn mix1(k1: u64) -> u64 {
    k1.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix2(k2: u64) -> u64 {
    k2.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn avalanche(mut k: u64) -> u64 {
    k = (k ^ (k >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    k = (k ^ (k >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

fn halves(block: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*block);
    (both as u64, (both >> 64) as u64)
}
