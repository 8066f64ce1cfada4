//! What a repository has pinned.
//!
//! Owns both forms: records of the datastore since repository version 11, and a DAG of sets before. The indexes beside
//! the records are derived and not read. Rules: boxo `pinning/pinner/dspinner/pin.go` (record), [`super::pinset`].

use super::datastore::Entries;
use super::error::RepositoryError;
use super::pinset;
use super::repository::Repository;
use crate::block::Cid;
use crate::cbor::{Item, Items};

/// Where the records lie.
const RECORDS: &str = "/pins/pin";

/// Where the root of the sets lies, before version 11.
const SETS: &str = "/local/pins";

/// Items of one record's metadata that are passed over; Kubo writes none.
const MAX_METADATA: u64 = 10_000;

/// A pin, as Kubo recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KuboPin {
    /// Its root, as it was spelled.
    pub cid: Cid,
    /// Whether it keeps everything below its root too; else the block alone (`direct`).
    pub recursive: bool,
    /// Its name; empty for none.
    pub name: String,
}

/// The pins of a repository. An error is about one pin, and the next may follow.
#[derive(Debug)]
pub enum Pins<'a> {
    /// Records.
    Records(Entries<'a>),
    /// Sets, read whole.
    Sets(std::vec::IntoIter<Result<KuboPin, RepositoryError>>),
}

impl Repository {
    /// Its pins, in no order. Records are streamed; the sets of a repository before version 11 are read first.
    ///
    /// # Errors
    /// [`RepositoryError`] when the root of the sets cannot be read.
    pub fn pins(&self) -> Result<Pins<'_>, RepositoryError> {
        match self.datastore().get(SETS)? {
            Some(root) if self.version() < 11 => {
                Ok(Pins::Sets(pinset::read(self.datastore(), &root)?.into_iter()))
            }
            _ => Ok(Pins::Records(self.datastore().scan(RECORDS))),
        }
    }
}

impl Iterator for Pins<'_> {
    type Item = Result<KuboPin, RepositoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Pins::Sets(all) => all.next(),
            Pins::Records(entries) => Some(entries.next()?.and_then(|(key, value)| {
                parse(&value).ok_or_else(|| {
                    RepositoryError::record(key.as_bytes(), "expected a pin of Kubo's in CBOR")
                })
            })),
        }
    }
}

/// Reads a record: a map of `cid`, perhaps `metadata`, `mode`, perhaps `name`.
pub(super) fn parse(bytes: &[u8]) -> Option<KuboPin> {
    let mut items = Items::new(bytes);
    let Item::Map(fields) = items.next()? else { return None };
    let (mut cid, mut recursive, mut name) = (None, None, String::new());
    for _ in 0..fields {
        let Item::Text(field) = items.next()? else { return None };
        match (field, items.next()?) {
            (b"cid", Item::Bytes(bytes)) => cid = Some(Cid::try_from(bytes).ok()?),
            (b"mode", Item::Unsigned(0)) => recursive = Some(true),
            (b"mode", Item::Unsigned(1)) => recursive = Some(false),
            (b"name", Item::Text(text)) => name = String::from_utf8(text.to_vec()).ok()?,
            (b"metadata", item) => skip(&mut items, item)?,
            _ => return None,
        }
    }
    items.is_empty().then_some(KuboPin { cid: cid?, recursive: recursive?, name })
}

/// Passes over what an item holds.
fn skip(items: &mut Items<'_>, item: Item<'_>) -> Option<()> {
    let held = |item: &Item<'_>| match item {
        Item::Array(len) => *len,
        Item::Map(len) => len * 2,
        Item::Tag(_) => 1,
        _ => 0,
    };
    let mut ahead = held(&item);
    while ahead > 0 {
        ahead = ahead - 1 + held(&items.next()?);
        if ahead > MAX_METADATA {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const DIGEST: [u8; 32] = [7; 32];

    fn v0() -> Vec<u8> {
        [&[0x12, 0x20][..], &DIGEST].concat()
    }

    #[test]
    fn the_two_records_that_kubo_writes_are_read() {
        let recursive = [&b"\xa2\x63cid\x58\x22"[..], &v0(), b"\x64mode\x00"].concat();
        let pin = parse(&recursive).unwrap();
        assert_eq!(pin.cid.to_bytes(), v0());
        assert_eq!((pin.recursive, pin.name.as_str()), (true, ""));
        let v1 = [&[1, 0x55][..], &v0()].concat();
        let direct =
            [&b"\xa3\x63cid\x58\x24"[..], &v1, b"\x64mode\x01\x64name\x67direct1"].concat();
        let pin = parse(&direct).unwrap();
        assert_eq!(pin.cid.to_bytes(), v1);
        assert_eq!((pin.recursive, pin.name.as_str()), (false, "direct1"));
    }

    #[test]
    fn metadata_is_passed_over() {
        let record =
            [&b"\xa3\x63cid\x58\x22"[..], &v0(), b"\x68metadata\xa1\x61a\x82\x01\xa0\x64mode\x00"]
                .concat();
        assert!(parse(&record).unwrap().recursive);
    }

    #[test]
    fn what_is_no_record_is_none() {
        let good = [&b"\xa2\x63cid\x58\x22"[..], &v0(), b"\x64mode\x00"].concat();
        for len in 0..good.len() {
            assert_eq!(parse(&good[..len]), None, "{len} bytes");
        }
        assert_eq!(parse(&[&good[..], &[0]].concat()), None);
        let unknown = [&b"\xa2\x63cid\x58\x22"[..], &v0(), b"\x64mode\x02"].concat();
        assert_eq!(parse(&unknown), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_pin_or_none(bytes in proptest::collection::vec(0u8.., 0..60)) {
            let _ = parse(&bytes);
        }
    }
}
