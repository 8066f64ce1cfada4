//! Pins, the root of the mutable file system and own names, as the pairs of Kubo's datastore.
//!
//! Pure. Owns keys and values. Rules: boxo `pinning/pinner/dspinner/pin.go` and `dsindex/indexer.go`, kubo
//! `core/node/core.go`, boxo `namesys/ipns_publisher.go` and `routing/offline/offline.go`. A field too many is an error to Kubo, so nothing is added.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::block::Cid;
use crate::pin::{Pin, PinMode};
use crate::unixfs::wire::put_bytes;

/// A key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// The indexes of pins are in step with them: written behind all pins.
pub(super) fn pins_are_clean() -> Pair {
    (b"/pins/state/dirty".to_vec(), vec![0])
}

/// Where the root of the mutable file system stands.
pub(super) const FILES_ROOT_KEY: &[u8] = b"/local/filesroot";

/// The root of the mutable file system.
pub(super) fn files_root(root: &Cid) -> Pair {
    (FILES_ROOT_KEY.to_vec(), root.to_bytes())
}

/// A record that this node published under the name of a key; `peer` is the binary peer ID of that. It stands there twice:
/// for who publishes it again and for who resolves it, the second time as libp2p keeps records.
pub(super) fn own_name(peer: &[u8], record: &[u8]) -> [Pair; 2] {
    let name = [b"/ipns/", peer].concat();
    let mut wrapped = Vec::with_capacity(name.len() + record.len() + 12);
    put_bytes(&mut wrapped, 1, &name);
    put_bytes(&mut wrapped, 2, record);
    [
        (format!("/ipns/{}", BASE32_NOPAD.encode(peer)).into_bytes(), record.to_vec()),
        (format!("/{}", BASE32_NOPAD.encode(&name)).into_bytes(), wrapped),
    ]
}

/// A pin's record, its entry in the index of CIDs, and in that of names.
pub(super) fn pin(pin: &Pin) -> Vec<Pair> {
    let cid = pin.cid.to_bytes();
    let id = pin_id(&cid, pin.mode);
    let by_cid = match pin.mode {
        PinMode::Recursive => "cidRindex",
        PinMode::Direct => "cidDindex",
    };
    let entry = |index: &str, of: &[u8]| {
        let (of, id) = (BASE64URL_NOPAD.encode(of), BASE64URL_NOPAD.encode(id.as_bytes()));
        (format!("/pins/index/{index}/u{of}/u{id}").into_bytes(), Vec::new())
    };
    let mut pairs =
        vec![(format!("/pins/pin/{id}").into_bytes(), pin_value(&cid, pin)), entry(by_cid, &cid)];
    if !pin.name.is_empty() {
        pairs.push(entry("nameIndex", pin.name.as_bytes()));
    }
    pairs
}

/// A UUID of version 4, as Kubo names pins; made of what is pinned, so that the same store makes the same records.
fn pin_id(cid: &[u8], mode: PinMode) -> String {
    let kind: &[u8] = match mode {
        PinMode::Recursive => b"recursive",
        PinMode::Direct => b"direct",
    };
    let digest = Sha256::new().chain_update(kind).chain_update(cid).finalize();
    let mut id: [u8; 16] = digest.first_chunk().copied().unwrap_or_default();
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut id;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    HEXLOWER.encode(&id)
}

/// The map of a pin in CBOR, its keys in Kubo's order: `cid`, `mode`, `name` if there is one.
fn pin_value(cid: &[u8], pin: &Pin) -> Vec<u8> {
    const MAP: u8 = 5 << 5;
    const TEXT: u8 = 3 << 5;
    const BYTES: u8 = 2 << 5;
    let mut value = Vec::with_capacity(32 + cid.len() + pin.name.len());
    value.push(MAP | if pin.name.is_empty() { 2 } else { 3 });
    put(&mut value, TEXT, b"cid");
    put(&mut value, BYTES, cid);
    put(&mut value, TEXT, b"mode");
    value.push(match pin.mode {
        PinMode::Recursive => 0,
        PinMode::Direct => 1,
    });
    if !pin.name.is_empty() {
        put(&mut value, TEXT, b"name");
        put(&mut value, TEXT, pin.name.as_bytes());
    }
    value
}

/// A string of CBOR. A CID has at most 158 bytes and a name 255, so its length takes one byte at most.
fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()).unwrap_or(u8::MAX) {
        short @ 0..24 => out.push(kind | short),
        long => out.extend_from_slice(&[kind | 24, long]),
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn a_pin(cid: &str, mode: PinMode, name: &str) -> Pin {
        let cid = cid.parse().unwrap();
        Pin { cid, mode, name: name.into(), since: 7, indexed: true }
    }

    #[test]
    fn a_pin_is_written_as_kubo_writes_it() {
        let recursive =
            a_pin("QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR", PinMode::Recursive, "");
        let value = HEXLOWER.encode(&pin(&recursive)[0].1);
        assert!(value.starts_with("a26363696458221220"), "{value}");
        assert!(value.ends_with("646d6f646500"), "{value}");
        let direct = a_pin(
            "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy",
            PinMode::Direct,
            "direct1",
        );
        let pairs = pin(&direct);
        let value = HEXLOWER.encode(&pairs[0].1);
        assert!(value.starts_with("a363636964582401551220"), "{value}");
        assert!(value.ends_with("646d6f646501646e616d656764697265637431"), "{value}");
        let name = String::from_utf8(pairs[2].0.clone()).unwrap();
        assert!(name.starts_with("/pins/index/nameIndex/uZGlyZWN0MQ/u"), "{name}");
    }

    #[test]
    fn a_pins_id_is_a_uuid_of_its_own() {
        let id = pin_id(b"one", PinMode::Direct);
        assert_eq!((id.len(), id.as_bytes()[12]), (32, b'4'));
        assert!(b"89ab".contains(&id.as_bytes()[16]), "{id}");
        assert_ne!(id, pin_id(b"one", PinMode::Recursive));
        assert_ne!(id, pin_id(b"two", PinMode::Direct));
    }
}
