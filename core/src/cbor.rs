//! The little of CBOR that CAR headers and links need: heads of items, one behind the other.
//!
//! Owns heads and their bounds, as dag-cbor allows them. Must not know messages. Rules: RFC 8949 §3 and
//! the dag-cbor specification: no indefinite lengths, one tag, 42, which is a CID.

use crate::block::Cid;

/// Tag of a CID, in bytes behind a zero byte.
pub(crate) const TAG_CID: u64 = 42;

/// What an item begins with. Lengths of strings are already found to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Unsigned(u64),
    Negative,
    Bytes(&'a [u8]),
    Text(&'a [u8]),
    /// So many items follow.
    Array(u64),
    /// So many pairs of items follow.
    Map(u64),
    /// One item follows.
    Tag(u64),
    /// A number with a fraction, a truth value or null.
    Simple,
}

/// Items being read from the front.
#[derive(Debug, Clone)]
pub(crate) struct Items<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Items<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Items { rest: bytes, len: bytes.len() }
    }

    /// Offset of the next item.
    pub(crate) fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next item; what it holds comes as items of its own. `None`: cut short, or not dag-cbor.
    pub(crate) fn next(&mut self) -> Option<Item<'a>> {
        let (&head, rest) = self.rest.split_first()?;
        self.rest = rest;
        let value = match head & 0x1f {
            short @ 0..=23 => u64::from(short),
            24 => u64::from(u8::from_be_bytes(self.array()?)),
            25 => u64::from(u16::from_be_bytes(self.array()?)),
            26 => u64::from(u32::from_be_bytes(self.array()?)),
            27 => u64::from_be_bytes(self.array()?),
            _ => return None,
        };
        Some(match head >> 5 {
            0 => Item::Unsigned(value),
            1 => Item::Negative,
            2 => Item::Bytes(self.take(value)?),
            3 => Item::Text(self.take(value)?),
            // Each item has a byte or more: what claims more than is there is cut short.
            4 => Item::Array(self.fits(value)?),
            5 => Item::Map(self.fits(value.checked_mul(2)?)? / 2),
            6 => Item::Tag(value),
            _ => Item::Simple,
        })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn fits(&self, items: u64) -> Option<u64> {
        (items <= self.rest.len() as u64).then_some(items)
    }

    /// The CID that follows a [`TAG_CID`].
    pub(crate) fn cid(&mut self) -> Option<Cid> {
        match self.next()? {
            Item::Bytes([0, cid @ ..]) => Cid::try_from(cid).ok(),
            _ => None,
        }
    }
}

/// Appends a head: `major` type and value, in its shortest form.
pub(crate) fn put_head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend([major | 24, value as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(value.to_be_bytes());
        }
    }
}

/// Appends a CID.
pub(crate) fn put_cid(out: &mut Vec<u8>, cid: &Cid) {
    let cid = cid.to_bytes();
    put_head(out, 6, TAG_CID);
    put_head(out, 2, cid.len() as u64 + 1);
    out.push(0);
    out.extend(cid);
}
