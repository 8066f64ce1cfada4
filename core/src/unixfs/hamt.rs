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
        let fanout =
            data.fanout.filter(|fanout| fanout.is_power_of_two() && FANOUTS.contains(fanout));
        let fanout = fanout.and_then(|fanout| u32::try_from(fanout).ok());
        let fanout = fanout.ok_or(HamtError::Fanout(data.fanout))?;
        let bitfield = data.data.unwrap_or_default();
        if bitfield.len() * 8 > fanout as usize {
            return Err(HamtError::Bitfield { len: bitfield.len(), fanout });
        }
        let links = node.links();
        let bits = ones(bitfield);
        if links.len() != bits {
            return Err(HamtError::LinkCount { links: links.len(), bits });
        }
        Ok(Shard { bitfield, fanout, links })
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

    /// The numbers of the taken slots, in the order of [`Shard::entries`].
    #[cfg(all(feature = "hot", feature = "import"))]
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + use<'a> {
        let bytes = self.bitfield.iter().rev().enumerate();
        let bits = bytes
            .flat_map(|(at, byte)| (0..8).map(move |bit| (at as u32 * 8 + bit, byte >> bit & 1)));
        bits.filter(|(_, taken)| *taken == 1).map(|(number, _)| number)
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
        let short = HamtError::ShortName { len: name.len(), width };
        match name.get(width..).ok_or(short)? {
            [] => Ok(Slot::Child(link)),
            bare => Ok(Slot::Entry(PbLink { name: Some(bare), ..link })),
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
        NameHash { name, hash: murmur3_x64_64(name) }
    }

    /// The hash itself.
    pub(crate) fn bits(&self) -> u64 {
        self.hash
    }

    /// The slot at a depth: the hash gives its highest bits to the root, the next ones to the level below.
    pub(crate) fn index(&self, fanout: u32, depth: u32) -> Result<u32, HamtError> {
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
pub(crate) fn prefix_width(fanout: u32) -> usize {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::unixfs::dag_pb;

    // Shards made by boxo 0.43 of the raw blocks "a", "b", … under these names.
    const ABC_256: &str = "122d0a24015512203e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d\
         12033741621801122d0a2401551220ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9\
         807785afee48bb12033835611801122d0a24015512202e7d2c03a9507ae265ecf5b5356885a53393\
         a2029d241394997265a1a25aefc6120338456318010a1b0805121240200400000000000000000000\
         00000000002822308002";
    // Five names in eight slots: "b" in the root, "a" and "c" below slot 4, "e" and "d" below slot 6.
    const A_TO_E_8: &str = "122c0a24015512203e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d\
         12023362180112290a22122007663314bc03bc31f240de857157ddbaa6525a9da20b3d7604131491\
         ffab35a7120134186912290a221220c3c2f38a96ae0781409ce3ecc00690223448a24c9273be0fd8\
         134685c24d8c8412013618690a09080512015828223008";
    const A_TO_E_8_SLOT_4: &str = "122c0a2401551220ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\
         120231611801122c0a24015512202e7d2c03a9507ae265ecf5b5356885a53393a2029d2413949972\
         65a1a25aefc61202336318010a09080512010a28223008";
    const A_TO_E_8_SLOT_6: &str = "122c0a24015512203f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea\
         120231651801122c0a240155122018ac3e7343f016890c510e93f935261169d9e3f565436429830f\
         af0934f4f8e41202326418010a09080512010628223008";
    const AB_1024: &str = "122e0a24015512203e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d\
         1204314541621801122e0a2401551220ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72\
         b9807785afee48bb12043231356118010a4c08051243200000000004000000000000000000000000\
         00000000000000000000000000000000000000000000000000000000000000000000000000000000\
         0000000000000000002822308008";

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    fn parse(block: &[u8]) -> Result<Shard<'_>, HamtError> {
        let node = PbNode::parse(block).unwrap();
        let data = UnixFsData::parse(node.data().unwrap()).unwrap();
        Shard::parse(&node, &data)
    }

    fn lookup<'a>(shard: &Shard<'a>, name: &str, depth: u32) -> Slot<'a> {
        shard.lookup(&NameHash::new(name.as_bytes()), depth).unwrap()
    }

    fn entry_names(shard: &Shard<'_>) -> Vec<String> {
        let name = |slot: Result<Slot<'_>, HamtError>| match slot.unwrap() {
            Slot::Entry(link) => String::from_utf8(link.name.unwrap().to_vec()).unwrap(),
            Slot::Child(link) => format!("({})", String::from_utf8_lossy(link.name.unwrap())),
            Slot::Absent => "absent".to_owned(),
        };
        shard.entries().map(name).collect()
    }

    /// A shard of the given parts, with links named as given.
    fn build(fanout: u64, bitfield: &[u8], names: &[&str]) -> Vec<u8> {
        let cid = [&[0x01, 0x55, 0x12, 0x20][..], &[7; 32]].concat();
        let links = names.iter().map(|name| PbLink {
            cid: &cid,
            name: Some(name.as_bytes()),
            tsize: Some(1),
        });
        let mut data = UnixFsData::new(DataType::HamtShard);
        data.data = Some(bitfield);
        data.hash_type = Some(MURMUR3);
        data.fanout = Some(fanout);
        dag_pb::encode(links, Some(&data.encode([])))
    }

    #[test]
    fn murmur3_gives_its_published_hashes() {
        // From the test vectors of spaolacci/murmur3, the implementation that boxo uses.
        assert_eq!(murmur3_x64_64(b""), 0);
        assert_eq!(murmur3_x64_64(b"hello"), 0xcbd8_a7b3_41bd_9b02);
        assert_eq!(murmur3_x64_64(b"hello, world"), 0x342f_ac62_3a5e_bc8e);
        assert_eq!(murmur3_x64_64(b"19 Jan 2038 at 3:14:07 AM"), 0xb89e_5988_b737_affc);
        let fox = b"The quick brown fox jumps over the lazy dog.";
        assert_eq!(murmur3_x64_64(fox), 0xcd99_481f_9ee9_02c9);
    }

    #[test]
    fn an_entry_is_found_by_its_name() {
        let block = unhex(ABC_256);
        let shard = parse(&block).unwrap();
        assert_eq!(entry_names(&shard), ["b", "a", "c"]);
        let links: Vec<PbLink<'_>> = PbNode::parse(&block).unwrap().links().collect();
        for (name, stored) in [("b", links[0]), ("a", links[1]), ("c", links[2])] {
            let bare = PbLink { name: Some(name.as_bytes()), ..stored };
            assert_eq!(lookup(&shard, name, 0), Slot::Entry(bare));
        }
        assert_eq!(lookup(&shard, "d", 0), Slot::Absent);
    }

    #[test]
    fn a_shared_slot_leads_to_a_shard_below() {
        let (root, slot_4, slot_6) =
            (unhex(A_TO_E_8), unhex(A_TO_E_8_SLOT_4), unhex(A_TO_E_8_SLOT_6));
        let root = parse(&root).unwrap();
        assert_eq!(entry_names(&root), ["b", "(4)", "(6)"]);
        for (name, child) in [("a", &slot_4), ("c", &slot_4), ("d", &slot_6), ("e", &slot_6)] {
            let Slot::Child(link) = lookup(&root, name, 0) else {
                panic!("{name} has no shard below")
            };
            let digest = crate::multihash::digest(0x12, 32, child).unwrap();
            assert_eq!(link.cid.split_at(2).1, digest.as_bytes());
            let Slot::Entry(link) = lookup(&parse(child).unwrap(), name, 1) else {
                panic!("{name} is not in the shard below")
            };
            assert_eq!(link.name, Some(name.as_bytes()));
        }
    }

    #[test]
    fn slot_numbers_are_as_wide_as_the_fanout_needs() {
        let block = unhex(AB_1024);
        let shard = parse(&block).unwrap();
        assert_eq!(entry_names(&shard), ["b", "a"]);
        assert!(matches!(lookup(&shard, "a", 0), Slot::Entry(_)));
        let widths = [8, 16, 32, 256, 512, 1024].map(prefix_width);
        assert_eq!(widths, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn another_name_in_the_same_slot_is_absent() {
        // Slot 0x85 is that of "a".
        let mut bitfield = [0; 17];
        bitfield[0] = 1 << 5;
        let block = build(256, &bitfield, &["85b"]);
        assert_eq!(lookup(&parse(&block).unwrap(), "a", 0), Slot::Absent);
        let block = build(256, &bitfield, &["85a"]);
        assert!(matches!(lookup(&parse(&block).unwrap(), "a", 0), Slot::Entry(_)));
    }

    #[test]
    fn every_set_bit_has_the_link_with_as_many_before_it() {
        let bitfield = [0b1010_0001, 0b0000_0110];
        let block = build(16, &bitfield, &["1", "2", "8", "D", "F"]);
        let shard = parse(&block).unwrap();
        let taken: Vec<Option<usize>> = (0..16).map(|index| shard.position(index)).collect();
        let mut expected = [None; 16];
        (expected[1], expected[2], expected[8]) = (Some(0), Some(1), Some(2));
        (expected[13], expected[15]) = (Some(3), Some(4));
        assert_eq!(taken, expected);
    }

    #[test]
    fn leading_zero_bytes_of_a_bitfield_may_be_left_out_or_written() {
        for bitfield in [&[0b10][..], &[0, 0b10], &[0; 0]] {
            let names: &[&str] = if bitfield.is_empty() { &[] } else { &["1x"] };
            let block = build(16, bitfield, names);
            let shard = parse(&block).unwrap();
            assert_eq!(shard.position(1), (!bitfield.is_empty()).then_some(0));
            assert_eq!(shard.position(15), None);
        }
    }

    #[test]
    fn a_bitfield_wider_than_the_fanout_is_refused() {
        let block = build(8, &[0, 1], &["0"]);
        assert_eq!(parse(&block).unwrap_err(), HamtError::Bitfield { len: 2, fanout: 8 });
    }

    #[test]
    fn links_and_bits_must_be_as_many() {
        let fewer = build(8, &[0b11], &["0"]);
        assert_eq!(parse(&fewer).unwrap_err(), HamtError::LinkCount { links: 1, bits: 2 });
        let more = build(8, &[0b1], &["0", "1"]);
        assert_eq!(parse(&more).unwrap_err(), HamtError::LinkCount { links: 2, bits: 1 });
    }

    #[test]
    fn the_fanout_is_a_power_of_two_from_8_to_1024() {
        for fanout in [8, 16, 256, 1024] {
            assert_eq!(parse(&build(fanout, &[], &[])).unwrap().fanout(), fanout as u32);
        }
        for fanout in [0, 1, 4, 24, 255, 2048, 1 << 32, (1 << 32) + 256] {
            let error = parse(&build(fanout, &[], &[])).unwrap_err();
            assert_eq!(error, HamtError::Fanout(Some(fanout)));
        }
    }

    #[test]
    fn only_murmur3_shards_are_read() {
        let node = PbNode::parse(&[]).unwrap();
        let mut data = UnixFsData::new(DataType::HamtShard);
        data.fanout = Some(256);
        assert_eq!(Shard::parse(&node, &data).unwrap_err(), HamtError::HashFunction(None));
        data.hash_type = Some(0x12);
        assert_eq!(Shard::parse(&node, &data).unwrap_err(), HamtError::HashFunction(Some(0x12)));
        data.hash_type = Some(MURMUR3);
        assert!(Shard::parse(&node, &data).is_ok());
        data.data_type = DataType::Directory;
        let error = Shard::parse(&node, &data).unwrap_err();
        assert_eq!(error, HamtError::NotAShard(DataType::Directory));
    }

    #[test]
    fn a_link_without_a_slot_number_is_an_error_where_it_is_met() {
        let block = build(256, &[0b11], &["", "1"]);
        let shard = parse(&block).unwrap();
        let short = |len| Err(HamtError::ShortName { len, width: 2 });
        let met: Vec<_> = shard.entries().collect();
        assert_eq!(met, [short(0), short(1)]);
    }

    #[test]
    fn a_hash_has_bits_for_so_many_levels_and_no_more() {
        assert_eq!([8, 16, 256, 1024].map(max_depth), [21, 16, 8, 6]);
        let shard_of = |fanout| build(fanout, &[], &[]);
        for fanout in [8, 16, 256, 1024] {
            let block = shard_of(fanout);
            let shard = parse(&block).unwrap();
            let (name, max) = (NameHash::new(b"a"), max_depth(fanout as u32));
            assert_eq!(shard.lookup(&name, max - 1), Ok(Slot::Absent));
            let error = shard.lookup(&name, max).unwrap_err();
            assert_eq!(error, HamtError::TooDeep { depth: max, max });
        }
    }

    #[test]
    fn each_level_takes_the_next_bits_of_the_hash() {
        let name = NameHash { name: b"", hash: 0x0123_4567_89ab_cdef };
        let at_256: Vec<u32> = (0..8).map(|depth| name.index(256, depth).unwrap()).collect();
        assert_eq!(at_256, [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert_eq!(name.index(1024, 1), Ok(0x234));
    }
}
