//! One IPNS record: a protobuf around a signed dag-cbor map.
//!
//! Owns its bytes: what is signed, what older readers want beside it, what has to agree. Rules: the IPNS record
//! specification; boxo `ipns/record.go`, `validation.go`.
//!
//! ```text
//! protobuf  1 value  2 signature of old  3 validity type  4 validity  5 sequence  6 ttl  7 public key  8 signature  9 data
//! data      {"TTL": int, "Value": bytes, "Sequence": int, "Validity": bytes, "ValidityType": 0}, keys by length, then letters
//! signed    "ipns-signature:" and the data; of old: value, validity, "EOL"
//! ```

use std::time::{Duration, SystemTime};

use libp2p_identity::PublicKey;

use super::time;
use crate::block::{Cid, IDENTITY};
use crate::keys::{Key, KeyError, KeyId};
use crate::unixfs::wire::{self, Reader};

/// The longest record that is read, in bytes, as in the specification.
pub const MAX_RECORD_LEN: usize = 10 * 1024;

/// What stands in front of what is signed.
const SIGNED: &[u8] = b"ipns-signature:";

/// The kind of validity: a time at which it ends.
const UNTIL: &str = "EOL";

/// A record that cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Longer than any record.
    #[error("record exceeds allowed size limit")]
    TooLong,
    /// Bytes that are no record.
    #[error("record is malformed: {0}")]
    Malformed(String),
    /// Its old fields say something else than what is signed.
    #[error("record is malformed: field {0:?} did not match between protobuf and CBOR")]
    Differs(&'static str),
    /// The key in it is not that of the name.
    #[error("public key in record did not match expected pid")]
    WrongKey,
    /// The name does not hold its key, and neither does the record.
    #[error("public key not found in record")]
    NoKey,
    /// The signature is another's, or of something else.
    #[error("signature verification failed")]
    Signature,
    /// Its time is over.
    #[error("record has expired")]
    Expired,
    /// Its value is no path.
    #[error("value is not a valid content path")]
    Value,
}

/// A record that was read; only [`Record::check`] says that it may be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
    value: Vec<u8>,
    validity: Vec<u8>,
    end: SystemTime,
    sequence: u64,
    ttl: Duration,
}

/// The fields of the protobuf.
#[derive(Default)]
struct Fields<'a> {
    value: &'a [u8],
    old_signature: &'a [u8],
    validity_type: u64,
    validity: &'a [u8],
    sequence: u64,
    ttl: u64,
    public_key: &'a [u8],
    signature: &'a [u8],
    data: &'a [u8],
}

impl<'a> Fields<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Fields<'a>, RecordError> {
        let malformed = |error: wire::PbError| RecordError::Malformed(error.to_string());
        let (mut reader, mut fields) = (Reader::new(bytes), Fields::default());
        while !reader.is_empty() {
            let (field, kind) = reader.key().map_err(malformed)?;
            let text = match (field, kind) {
                (1, wire::LEN) => Some(&mut fields.value),
                (2, wire::LEN) => Some(&mut fields.old_signature),
                (4, wire::LEN) => Some(&mut fields.validity),
                (7, wire::LEN) => Some(&mut fields.public_key),
                (8, wire::LEN) => Some(&mut fields.signature),
                (9, wire::LEN) => Some(&mut fields.data),
                _ => None,
            };
            if let Some(text) = text {
                *text = reader.bytes().map_err(malformed)?.rest();
                continue;
            }
            let number = match (field, kind) {
                (3, wire::VARINT) => &mut fields.validity_type,
                (5, wire::VARINT) => &mut fields.sequence,
                (6, wire::VARINT) => &mut fields.ttl,
                _ => {
                    reader.skip(field, kind).map_err(malformed)?;
                    continue;
                }
            };
            *number = reader.varint().map_err(malformed)?;
        }
        Ok(fields)
    }
}

impl Record {
    /// Makes and signs a record. The public key goes along where the name does not hold it (RSA and ECDSA). `v1`: also
    /// with the fields that readers of before 2021 want.
    pub fn sign(
        key: &Key,
        value: &[u8],
        sequence: u64,
        end: SystemTime,
        ttl: Duration,
        v1: bool,
    ) -> Result<Record, KeyError> {
        let validity = time::format(end).into_bytes();
        let nanos = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs());
        let data = data(value, &validity, sequence, nanos);
        let signature = key.sign(&[SIGNED, &data].concat())?;
        let mut bytes = Vec::with_capacity(512);
        if v1 {
            let old = key.sign(&[value, &validity, UNTIL.as_bytes()].concat())?;
            wire::put_bytes(&mut bytes, 1, value);
            wire::put_bytes(&mut bytes, 2, &old);
            wire::put_number(&mut bytes, 3, 0);
            wire::put_bytes(&mut bytes, 4, &validity);
            wire::put_number(&mut bytes, 5, sequence);
            wire::put_number(&mut bytes, 6, nanos);
        }
        if key.id().public().is_none() {
            wire::put_bytes(&mut bytes, 7, &key.public());
        }
        wire::put_bytes(&mut bytes, 8, &signature);
        wire::put_bytes(&mut bytes, 9, &data);
        let end = time::parse(&String::from_utf8_lossy(&validity)).unwrap_or(end);
        let (value, ttl) = (value.to_vec(), Duration::from_nanos(nanos));
        Ok(Record { bytes, value, validity, end, sequence, ttl })
    }

    /// Reads a record. Checks its form, and nothing that is said in it.
    pub fn parse(bytes: &[u8]) -> Result<Record, RecordError> {
        if bytes.len() > MAX_RECORD_LEN {
            return Err(RecordError::TooLong);
        }
        let fields = Fields::parse(bytes)?;
        if fields.data.is_empty() {
            return Err(RecordError::Malformed("it has no data".into()));
        }
        let data = Data::parse(fields.data)?;
        let text = std::str::from_utf8(data.validity).ok();
        let end = text.and_then(time::parse);
        let end = end.ok_or_else(|| RecordError::Malformed("its validity is no time".into()))?;
        Ok(Record {
            bytes: bytes.to_vec(),
            value: data.value.to_vec(),
            validity: data.validity.to_vec(),
            end,
            sequence: data.sequence,
            ttl: Duration::from_nanos(data.ttl),
        })
    }

    /// Whether it may be believed now to be the record of a name. One check of a signature.
    pub fn check(&self, name: &KeyId, now: SystemTime) -> Result<(), RecordError> {
        let fields = Fields::parse(&self.bytes)?;
        let key = match (fields.public_key, name.public()) {
            (&[], Some(key)) => key,
            (&[], None) => return Err(RecordError::NoKey),
            (key, _) => {
                let key = PublicKey::try_decode_protobuf(key).map_err(|_| RecordError::WrongKey)?;
                let id = KeyId::from_bytes(&key.to_peer_id().to_bytes());
                if id != Some(*name) {
                    return Err(RecordError::WrongKey);
                }
                key
            }
        };
        let signed = [SIGNED, fields.data].concat();
        if fields.signature.is_empty() || !key.verify(&signed, fields.signature) {
            return Err(RecordError::Signature);
        }
        if !fields.old_signature.is_empty() || !fields.value.is_empty() {
            self.agrees(&fields)?;
        }
        if now > self.end { Err(RecordError::Expired) } else { Ok(()) }
    }

    fn agrees(&self, fields: &Fields<'_>) -> Result<(), RecordError> {
        let pairs = [
            ("Value", fields.value == self.value),
            ("Validity", fields.validity == self.validity),
            ("ValidityType", fields.validity_type == 0),
            ("Sequence", fields.sequence == self.sequence),
            ("TTL", u128::from(fields.ttl) == self.ttl.as_nanos()),
        ];
        match pairs.iter().find(|(_, same)| !same) {
            Some((name, _)) => Err(RecordError::Differs(name)),
            None => Ok(()),
        }
    }

    /// The record as it is sent and kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the name leads to, as it was written.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// What the name leads to, as a path. An empty value is the empty identity block, and a binary CID a path of it.
    pub fn path(&self) -> Result<String, RecordError> {
        match self.value.first() {
            None => Ok(format!("/ipfs/{}", empty_identity())),
            Some(b'/') => {
                let path = String::from_utf8(self.value.clone()).map_err(|_| RecordError::Value)?;
                let named = ["/ipfs/", "/ipns/"].iter().any(|space| path.starts_with(space));
                if named { Ok(path) } else { Err(RecordError::Value) }
            }
            Some(_) => {
                let cid = Cid::try_from(&self.value[..]).map_err(|_| RecordError::Value)?;
                Ok(format!("/ipfs/{cid}"))
            }
        }
    }

    /// Whether it has the fields of older readers.
    pub fn has_v1(&self) -> bool {
        Fields::parse(&self.bytes)
            .is_ok_and(|fields| !fields.old_signature.is_empty() || !fields.value.is_empty())
    }

    /// When it ends.
    pub fn end(&self) -> SystemTime {
        self.end
    }

    /// Which record of its name it is: the greatest counts.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How long it may be cached.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }
}

fn empty_identity() -> Cid {
    let nothing = cid::multihash::Multihash::wrap(IDENTITY, &[]).unwrap_or_default();
    Cid::new_v1(crate::block::RAW, nothing)
}

/// The signed map.
fn data(value: &[u8], validity: &[u8], sequence: u64, ttl: u64) -> Vec<u8> {
    let mut out = vec![0xa5];
    let text = |out: &mut Vec<u8>, text: &str| {
        head(out, 3, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    };
    let bytes = |out: &mut Vec<u8>, bytes: &[u8]| {
        head(out, 2, bytes.len() as u64);
        out.extend_from_slice(bytes);
    };
    text(&mut out, "TTL");
    head(&mut out, 0, ttl);
    text(&mut out, "Value");
    bytes(&mut out, value);
    text(&mut out, "Sequence");
    head(&mut out, 0, sequence);
    text(&mut out, "Validity");
    bytes(&mut out, validity);
    text(&mut out, "ValidityType");
    head(&mut out, 0, 0);
    out
}

/// The head of a CBOR item: its major type and its number, as short as it goes.
fn head(out: &mut Vec<u8>, major: u8, number: u64) {
    let major = major << 5;
    match number {
        0..24 => out.push(major | number as u8),
        24..0x100 => out.extend_from_slice(&[major | 24, number as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// What the signed map says.
struct Data<'a> {
    value: &'a [u8],
    validity: &'a [u8],
    sequence: u64,
    ttl: u64,
}

/// An item of CBOR.
enum Item<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Text(&'a [u8]),
    Other,
}

impl<'a> Data<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Data<'a>, RecordError> {
        let malformed = |why: &str| RecordError::Malformed(format!("its data {why}"));
        let mut cbor = Cbor(bytes);
        let (major, count) = cbor.head().ok_or_else(|| malformed("is no CBOR"))?;
        if major != 5 {
            return Err(malformed("is no map"));
        }
        let (mut value, mut validity, mut kind, mut sequence, mut ttl) =
            (None, None, None, None, None);
        for _ in 0..count {
            let (Some(Item::Text(name)), Some(item)) = (cbor.item(0), cbor.item(0)) else {
                return Err(malformed("is cut short"));
            };
            match (name, item) {
                (b"Value", Item::Bytes(bytes)) => value = Some(bytes),
                (b"Validity", Item::Bytes(bytes)) => validity = Some(bytes),
                (b"ValidityType", Item::Number(number)) => kind = Some(number),
                (b"Sequence", Item::Number(number)) => sequence = Some(number),
                (b"TTL", Item::Number(number)) => ttl = Some(number),
                // Fields of other programs.
                _ => {}
            }
        }
        if kind != Some(0) {
            return Err(malformed("has a validity of an unknown type"));
        }
        let found =
            (|| Some(Data { value: value?, validity: validity?, sequence: sequence?, ttl: ttl? }))(
            );
        found.filter(|_| cbor.0.is_empty()).ok_or_else(|| malformed("lacks a field"))
    }
}

/// What is left of some CBOR.
struct Cbor<'a>(&'a [u8]);

/// Levels of a field of another program.
const MAX_DEPTH: usize = 16;

impl<'a> Cbor<'a> {
    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let len = usize::try_from(len).ok()?;
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn head(&mut self) -> Option<(u8, u64)> {
        let first = *self.take(1)?.first()?;
        let width = match first & 31 {
            small @ 0..24 => return Some((first >> 5, u64::from(small))),
            width @ 24..28 => 1u64 << (width - 24),
            _ => return None,
        };
        let number = self.take(width)?.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        Some((first >> 5, number))
    }

    fn item(&mut self, depth: usize) -> Option<Item<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (major, number) = self.head()?;
        match major {
            0 => Some(Item::Number(number)),
            2 => Some(Item::Bytes(self.take(number)?)),
            3 => Some(Item::Text(self.take(number)?)),
            4 | 5 => {
                let items = if major == 4 { number } else { number.checked_mul(2)? };
                for _ in 0..items {
                    self.item(depth + 1)?;
                }
                Some(Item::Other)
            }
            6 => self.item(depth + 1).map(|_| Item::Other),
            _ => Some(Item::Other),
        }
    }
}
