//! What lies in the hot store, byte by byte: families, keys and values.
//!
//! Owns every encoding, and nothing that touches a disk: pure functions over bytes, so that a damaged value
//! is an error and never a panic. The same tables stand in `core/DESIGN.md`; whoever changes one changes
//! both, and [`FORMAT_VERSION`]. All integers are big-endian, so that keys sort as their numbers do.

use crate::block::{Cid, MultihashBytes};

/// The version of everything below. A store with a higher one is refused, not guessed at.
pub const FORMAT_VERSION: u32 = 1;

/// Blocks shorter than this lie in the family `small`, beside their key; longer ones in blob files. In bytes.
///
/// Below some 4 KiB the reference to a blob file and the second read cost more than what compaction of
/// the value costs.
pub(super) const SMALL_BLOCK_LEN: usize = 4096;

/// A column family of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Records about the store itself. RocksDB insists on a family of the name `default`; this is it.
    Meta,
    /// Multihash to [`Entry`].
    Index,
    /// Id to multihash, in order of insertion.
    Ids,
    /// Id to bytes, in blob files.
    Blocks,
    /// Id to bytes, for blocks below [`SMALL_BLOCK_LEN`].
    Small,
    /// Child id and parent id to how the parent spells the link.
    Refs,
    /// Id and codec to how far the links out of a block are in `refs`.
    Walked,
    /// Root id and spelling to what is known of the pin.
    Pins,
}

impl Family {
    pub(super) const ALL: [Family; 8] = [
        Family::Meta,
        Family::Index,
        Family::Ids,
        Family::Blocks,
        Family::Small,
        Family::Refs,
        Family::Walked,
        Family::Pins,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Family::Meta => "default",
            Family::Index => "index",
            Family::Ids => "ids",
            Family::Blocks => "blocks",
            Family::Small => "small",
            Family::Refs => "refs",
            Family::Walked => "walked",
            Family::Pins => "pins",
        }
    }
}

/// Keys of the family [`Family::Meta`].
pub(super) mod meta {
    /// The format version, 4 bytes.
    pub(in crate::store::hot) const FORMAT: &[u8] = b"format";
    /// Ids below this number may have been given out, 8 bytes.
    pub(in crate::store::hot) const NEXT_ID: &[u8] = b"next-id";
    /// Progress marks of bulk writers: this, then the writer's name.
    pub(in crate::store::hot) const PROGRESS: &[u8] = b"progress/";
    /// Records of jobs and of what is kept beside blocks: this, the name of their space, a zero byte, their name.
    pub(in crate::store::hot) const RECORDS: &[u8] = b"records/";
    /// Where an unfinished collection goes on, 8 bytes: ids below it are done.
    pub(in crate::store::hot) const COLLECTED: &[u8] = b"collected";
    /// Pins that need more work: this, then the key of the pin.
    pub(in crate::store::hot) const UNFINISHED: &[u8] = b"unfinished/";
    /// Roots that have a name: this, then the name. The value is the key of a record in `pins`.
    pub(in crate::store::hot) const ROOT: &[u8] = b"root/";
    /// Blocks that nothing keeps any more and whose links are still in `refs`: this, then the id.
    pub(in crate::store::hot) const LOOSE: &[u8] = b"loose/";
    /// Blocks whose damaged bytes were dropped: this, then the id. A blob file may still hold them under it, so a copy that is
    /// put again never goes into one.
    pub(in crate::store::hot) const LOST: &[u8] = b"lost/";
}

/// Names a block inside the store. Counts up from 1 in the order of insertion; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(super) u64);

impl Id {
    /// Before the first.
    pub(crate) const ZERO: Id = Id(0);

    pub(super) fn key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Id, Bad> {
        u64_at(bytes).map(Id)
    }

    pub(crate) fn next(self) -> Id {
        Id(self.0.saturating_add(1))
    }
}

/// A key or value that is not what the schema says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad;

/// Where a block's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// In the family `blocks`.
    Blob,
    /// In the family `small`.
    Small,
    /// In an archive below. Here it has an id only because a pin keeps it.
    Archive,
}

/// What the index knows of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name here.
    pub(crate) id: Id,
    /// Its length in bytes.
    pub(crate) size: u32,
    /// Where its bytes are.
    pub(crate) held: Held,
    /// It was parsed as dag-pb and links to nothing, so that a walk that comes by a dag-pb link need not
    /// read it. `false` says nothing.
    pub(crate) pb_leaf: bool,
}

const HELD_BLOB: u8 = 0;
const HELD_SMALL: u8 = 1;
const HELD_ARCHIVE: u8 = 2;
const PB_LEAF: u8 = 4;

impl Entry {
    /// A value of `index`: id, size, flags.
    pub(super) const LEN: usize = 13;

    fn flags(&self) -> u8 {
        let held = match self.held {
            Held::Blob => HELD_BLOB,
            Held::Small => HELD_SMALL,
            Held::Archive => HELD_ARCHIVE,
        };
        held | if self.pb_leaf { PB_LEAF } else { 0 }
    }

    fn of(id: Id, size: u32, flags: u8) -> Result<Entry, Bad> {
        let held = match flags & !PB_LEAF {
            HELD_BLOB => Held::Blob,
            HELD_SMALL => Held::Small,
            HELD_ARCHIVE => Held::Archive,
            _ => return Err(Bad),
        };
        Ok(Entry { id, size, held, pb_leaf: flags & PB_LEAF != 0 })
    }

    /// The value of `index`.
    pub(super) fn to_bytes(self) -> [u8; Entry::LEN] {
        let [a, b, c, d, e, f, g, h] = self.id.key();
        let [i, j, k, l] = self.size.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, self.flags()]
    }

    /// Reads a value of `index`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Entry, Bad> {
        let (id, rest) = bytes.split_first_chunk::<8>().ok_or(Bad)?;
        let (size, rest) = rest.split_first_chunk::<4>().ok_or(Bad)?;
        let [flags] = rest else { return Err(Bad) };
        Entry::of(Id(u64::from_be_bytes(*id)), u32::from_be_bytes(*size), *flags)
    }

    /// The value of `ids`: size, flags, multihash. The same facts as in `index`, so that a walk over all
    /// blocks in order of insertion asks nothing else.
    pub(super) fn to_id_value(self, multihash: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(5 + multihash.len());
        value.extend_from_slice(&self.size.to_be_bytes());
        value.push(self.flags());
        value.extend_from_slice(multihash);
        value
    }

    /// Reads a row of `ids`: the entry, and the multihash.
    pub(super) fn parse_id_row<'a>(key: &[u8], value: &'a [u8]) -> Result<(Entry, &'a [u8]), Bad> {
        let id = Id::parse(key)?;
        let (size, rest) = value.split_first_chunk::<4>().ok_or(Bad)?;
        let (flags, multihash) = rest.split_first().ok_or(Bad)?;
        Ok((Entry::of(id, u32::from_be_bytes(*size), *flags)?, multihash))
    }
}

/// A number of 8 bytes and nothing else.
pub(super) fn u64_at(bytes: &[u8]) -> Result<u64, Bad> {
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| Bad)?))
}

/// A number of 4 bytes and nothing else.
pub(super) fn u32_at(bytes: &[u8]) -> Result<u32, Bad> {
    Ok(u32::from_be_bytes(bytes.try_into().map_err(|_| Bad)?))
}

/// A key of `meta` made of a prefix and what follows it.
pub(super) fn prefixed(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    [prefix, rest].concat()
}

/// The first key that does not begin with `prefix`; `None` when there is none (all bytes 0xff).
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// How a link or a pin spells the CID of a block beyond its multihash: version and codec. A byte for
/// the version, then the codec as an unsigned varint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Spelling {
    version: u8,
    codec: u64,
}

impl Spelling {
    pub(crate) fn of(cid: &Cid) -> Spelling {
        Spelling { version: u64::from(cid.version()) as u8, codec: cid.codec() }
    }

    /// That of a CID of version 1.
    pub(crate) fn v1(codec: u64) -> Spelling {
        Spelling { version: 1, codec }
    }

    pub(crate) fn codec(self) -> u64 {
        self.codec
    }

    /// The CID of the block whose multihash this is.
    pub(crate) fn cid(self, multihash: &[u8]) -> Result<Cid, Bad> {
        let hash = cid::multihash::Multihash::from_bytes(multihash).map_err(|_| Bad)?;
        match self.version {
            0 => Cid::new_v0(hash).map_err(|_| Bad),
            1 => Ok(Cid::new_v1(self.codec, hash)),
            _ => Err(Bad),
        }
    }

    /// Appends it.
    pub(super) fn write(self, to: &mut Vec<u8>) {
        to.push(self.version);
        let mut left = self.codec;
        while left >= 0x80 {
            to.push((left as u8 & 0x7f) | 0x80);
            left >>= 7;
        }
        to.push(left as u8);
    }

    /// Takes one from the front.
    pub(super) fn take(bytes: &[u8]) -> Result<(Spelling, &[u8]), Bad> {
        let (version, mut rest) = bytes.split_first().ok_or(Bad)?;
        let mut codec = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, after) = rest.split_first().ok_or(Bad)?;
            rest = after;
            codec |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if *version > 1 {
                    return Err(Bad);
                }
                return Ok((Spelling { version: *version, codec }, rest));
            }
        }
        Err(Bad)
    }

    /// All that a value holds, one after another.
    pub(super) fn parse_all(mut bytes: &[u8]) -> Result<Vec<Spelling>, Bad> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (one, rest) = Spelling::take(bytes)?;
            all.push(one);
            bytes = rest;
        }
        Ok(all)
    }
}

/// A key of `refs`: the child's id, then the parent's.
pub(super) fn ref_key(child: Id, parent: Id) -> [u8; 16] {
    let mut key = [0; 16];
    let (first, second) = key.split_at_mut(8);
    first.copy_from_slice(&child.key());
    second.copy_from_slice(&parent.key());
    key
}

/// Reads a key of `refs`: child, parent.
pub(super) fn parse_ref_key(key: &[u8]) -> Result<(Id, Id), Bad> {
    let (child, parent) = key.split_at_checked(8).ok_or(Bad)?;
    Ok((Id::parse(child)?, Id::parse(parent)?))
}

/// The key of a block in `index`.
pub(super) fn index_key(cid: &Cid) -> MultihashBytes {
    MultihashBytes::of(cid)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(held: Held, pb_leaf: bool) -> Entry {
        Entry { id: Id(0x0102_0304_0506_0708), size: 262_144, held, pb_leaf }
    }

    #[test]
    fn an_entry_has_the_bytes_that_the_design_shows() {
        let bytes = entry(Held::Small, true).to_bytes();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 0, 4, 0, 0, 5]);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for held in [Held::Blob, Held::Small, Held::Archive] {
            for leaf in [false, true] {
                let entry = entry(held, leaf);
                assert_eq!(Entry::parse(&entry.to_bytes()).unwrap(), entry);
                let value = entry.to_id_value(b"multihash");
                let row = Entry::parse_id_row(&entry.id.key(), &value).unwrap();
                assert_eq!(row, (entry, &b"multihash"[..]));
            }
        }
    }

    #[test]
    fn a_value_of_another_length_or_with_unknown_flags_is_refused() {
        let bytes = entry(Held::Blob, false).to_bytes();
        assert_eq!(Entry::parse(&bytes[..12]), Err(Bad));
        assert_eq!(Entry::parse(&[&bytes[..], &[0]].concat()), Err(Bad));
        for flags in [3, 7, 8, 0x80] {
            let mut other = bytes;
            other[12] = flags;
            assert_eq!(Entry::parse(&other), Err(Bad), "flags {flags}");
        }
    }

    #[test]
    fn spellings_of_every_codec_come_back() {
        let v0 = Spelling { version: 0, codec: 0x70 };
        let mut bytes = Vec::new();
        let all: Vec<_> = [0, 0x55, 0x7f, 0x80, 0x0129, u64::MAX]
            .into_iter()
            .map(|codec| Spelling { version: 1, codec })
            .chain([v0])
            .collect();
        all.iter().for_each(|one| one.write(&mut bytes));
        assert_eq!(Spelling::parse_all(&bytes).unwrap(), all);
        assert_eq!(Spelling::parse_all(&[2, 0x55]), Err(Bad));
        assert_eq!(Spelling::parse_all(&[1, 0x80]), Err(Bad));
        assert_eq!(Spelling::parse_all(&[1]), Err(Bad));
    }

    #[test]
    fn edges_sort_by_child_then_parent() {
        let mut keys = [ref_key(Id(2), Id(1)), ref_key(Id(1), Id(300)), ref_key(Id(1), Id(2))];
        keys.sort();
        let ids: Vec<_> = keys.iter().map(|key| parse_ref_key(key).unwrap()).collect();
        assert_eq!(ids, [(Id(1), Id(2)), (Id(1), Id(300)), (Id(2), Id(1))]);
    }

    #[test]
    fn the_end_of_a_prefix_is_the_next_of_its_length() {
        assert_eq!(after_prefix(b"ab").unwrap(), b"ac");
        assert_eq!(after_prefix(&[1, 0xff, 0xff]).unwrap(), [2]);
        assert_eq!(after_prefix(&[0xff]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(0u8.., 0..40)) {
            if let Ok(entry) = Entry::parse(&bytes) {
                assert_eq!(entry.to_bytes()[..], bytes[..]);
            }
            let (key, value) = bytes.split_at(bytes.len().min(8));
            if let Ok((entry, multihash)) = Entry::parse_id_row(key, value) {
                assert_eq!(entry.to_id_value(multihash), value);
            }
            if let Ok((child, parent)) = parse_ref_key(&bytes) {
                assert_eq!(ref_key(child, parent)[..], bytes[..]);
            }
            if let Ok(all) = Spelling::parse_all(&bytes) {
                for one in all {
                    let _ = one.cid(&bytes);
                }
            }
        }
    }
}
