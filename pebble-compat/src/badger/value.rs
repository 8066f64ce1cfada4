//! How Badger stores a value beside its key: flags, an expiry, and the value or a pointer to it.
//!
//! Rules: Badger 1.6 `y/iterator.go`, `structs.go`, `value.go`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Fault, Feature, Trouble};
use crate::parse::Parser;

const DELETE: u8 = 0x01;
const POINTER: u8 = 0x02;
const MERGE: u8 = 0x08;

/// A stored value.
#[derive(Debug)]
pub(super) struct Stored {
    flags: u8,
    expires: u64,
    pub(super) payload: Vec<u8>,
}

impl Stored {
    pub(super) fn parse(bytes: &[u8]) -> Result<Stored, Trouble> {
        let mut parser = Parser::new(bytes, "stored value");
        let (flags, _user_flags, expires) = (parser.u8()?, parser.u8()?, parser.varint()?);
        if flags & MERGE != 0 {
            return Err(Feature::MergeEntries.into());
        }
        Ok(Stored { flags, expires, payload: parser.rest().to_vec() })
    }

    /// The same form for what a value log says: `payload` is a pointer if `points`.
    pub(super) fn encode(flags: u8, expires: u64, payload: &[u8], points: bool) -> Vec<u8> {
        let flags = if points { flags | POINTER } else { flags & !POINTER };
        let mut bytes = vec![flags, 0];
        let mut left = expires;
        while left >= 0x80 {
            bytes.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes.extend_from_slice(payload);
        bytes
    }

    pub(super) fn is_pointer(&self) -> bool {
        self.flags & POINTER != 0
    }

    /// Whether it says that the key is deleted, or its time has passed.
    pub(super) fn is_gone(&self) -> bool {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        self.flags & DELETE != 0 || (self.expires != 0 && self.expires <= now())
    }
}

/// Where an entry lies in a value log. As a mark of how far tables reach, the default is the beginning of the first log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) file: u32,
    pub(super) len: u32,
    pub(super) offset: u32,
}

impl Pointer {
    pub(super) fn parse(bytes: &[u8]) -> Result<Pointer, Fault> {
        let mut parser = Parser::new(bytes, "value pointer");
        Ok(Pointer { file: parser.u32_be()?, len: parser.u32_be()?, offset: parser.u32_be()? })
    }

    pub(super) fn encode(self) -> Vec<u8> {
        [self.file.to_be_bytes(), self.len.to_be_bytes(), self.offset.to_be_bytes()].concat()
    }

    /// Where the next entry begins.
    pub(super) fn end(self) -> u64 {
        u64::from(self.offset) + u64::from(self.len)
    }
}

/// The user key and version of a stored key.
pub(super) fn split_key(stored: &[u8]) -> Result<(&[u8], u64), Fault> {
    let split = stored.split_last_chunk::<8>();
    let (key, inverted) = split.ok_or(Fault::Malformed("stored key"))?;
    Ok((key, u64::MAX - u64::from_be_bytes(*inverted)))
}
