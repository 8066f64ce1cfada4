//! The protobuf wire format: varints, keys, lengths.
//!
//! Owns how a number and the frame of a field are read and written. Must not know any message. Pure:
//! works on bytes in memory, allocates only when it writes. Rules: the protobuf encoding guide, and
//! Go's `protowire` (`google.golang.org/protobuf/encoding/protowire`), which is what Kubo reads with:
//! varints of at most ten bytes, overlong ones allowed, field numbers from 1 to 2^29 - 1.

/// Wire type of a varint.
pub(crate) const VARINT: u8 = 0;
/// Wire type of eight fixed bytes.
pub(crate) const FIXED64: u8 = 1;
/// Wire type of bytes with their length in front: strings, bytes, messages, packed numbers.
pub(crate) const LEN: u8 = 2;
/// Wire type of four fixed bytes.
pub(crate) const FIXED32: u8 = 5;

/// The longest varint, in bytes: ten times seven bits hold 64.
pub(crate) const MAX_VARINT_LEN: usize = 10;

const MAX_FIELD: u64 = (1 << 29) - 1;

/// A protobuf message that does not parse: what is wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {fault}")]
pub struct PbError {
    /// Offset of the offending field or number, in bytes from the start of what was parsed.
    pub at: usize,
    /// What is wrong there.
    pub fault: PbFault,
}

/// What can be wrong with a dag-pb node or a UnixFS message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PbFault {
    /// The bytes end inside a number, a key or a fixed field.
    #[error("the bytes end inside a field; was the block cut short?")]
    Cut,
    /// A length that reaches past the end.
    #[error("a field of {len} bytes where {left} are left; was the block cut short?")]
    TooLong {
        /// The length that the field claims.
        len: u64,
        /// The bytes there are.
        left: usize,
    },
    /// A varint of more than 64 bits.
    #[error("a varint of more than 64 bits")]
    VarintOverflow,
    /// A field number of 0 or above 2^29 - 1.
    #[error("field number {0}, expected 1 to 536870911")]
    FieldNumber(u64),
    /// A wire type that this field cannot have, or that is not in use (groups among them).
    #[error("field {field} has wire type {wire}, which it cannot have")]
    WireType {
        /// The field's number.
        field: u32,
        /// The wire type found.
        wire: u8,
    },
    /// dag-pb has no such field; it does not allow unknown ones.
    #[error("dag-pb knows no field {0}; is this block of another codec?")]
    UnknownField(u32),
    /// A field that may stand once stands twice.
    #[error("{0} stands twice")]
    Duplicate(&'static str),
    /// A link's fields are not in the order Hash, Name, Tsize.
    #[error("{0} comes too late: a link's fields stand in the order Hash, Name, Tsize")]
    OutOfOrder(&'static str),
    /// Links on both sides of Data.
    #[error("links stand on both sides of Data, expected them together")]
    SplitLinks,
    /// A link whose Hash is no binary CID.
    #[error("a link's Hash is no binary CID")]
    NotACid,
    /// A required field is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A UnixFS type beyond those that exist.
    #[error("UnixFS type {0}, expected 0 to 5")]
    UnknownType(u64),
}

/// Bytes being read from the front. A failed read leaves it anywhere: give up the message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` and counts offsets from their start.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, at: 0 }
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Offset of the next byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The part of `self` that `later`, a copy that has read on, no longer has before it.
    pub(crate) fn up_to(&self, later: &Reader<'a>) -> Reader<'a> {
        let len = later.at.saturating_sub(self.at);
        Reader { rest: self.rest.get(..len).unwrap_or(self.rest), at: self.at }
    }

    /// A varint of at most ten bytes and 64 bits.
    pub(crate) fn varint(&mut self) -> Result<u64, PbError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(fault(start, PbFault::VarintOverflow));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(fault(start, PbFault::VarintOverflow))
    }

    /// The key of a field: its number and its wire type.
    pub(crate) fn key(&mut self) -> Result<(u32, u8), PbError> {
        let start = self.at;
        let key = self.varint()?;
        let field = key >> 3;
        match u32::try_from(field) {
            Ok(number) if number > 0 && field <= MAX_FIELD => Ok((number, (key & 7) as u8)),
            _ => Err(fault(start, PbFault::FieldNumber(field))),
        }
    }

    /// A field's bytes, with their length in front. Their offsets go on counting from the same start.
    pub(crate) fn bytes(&mut self) -> Result<Reader<'a>, PbError> {
        let start = self.at;
        let len = self.varint()?;
        self.take(len).ok_or(fault(start, PbFault::TooLong { len, left: self.rest.len() }))
    }

    /// Four fixed bytes, little-endian.
    pub(crate) fn fixed32(&mut self) -> Result<u32, PbError> {
        let start = self.at;
        let four = self.take(4).and_then(|four| four.rest.first_chunk().copied());
        four.map(u32::from_le_bytes).ok_or(fault(start, PbFault::Cut))
    }

    /// Steps over the value of a field nobody asked for. Groups are refused: nothing writes them.
    pub(crate) fn skip(&mut self, field: u32, wire: u8) -> Result<(), PbError> {
        let start = self.at;
        match wire {
            VARINT => self.varint().map(drop),
            LEN => self.bytes().map(drop),
            FIXED32 => self.fixed32().map(drop),
            FIXED64 => self.take(8).map(drop).ok_or(fault(start, PbFault::Cut)),
            _ => Err(fault(start, PbFault::WireType { field, wire })),
        }
    }

    fn byte(&mut self) -> Result<u8, PbError> {
        let (&byte, rest) = self.rest.split_first().ok_or(fault(self.at, PbFault::Cut))?;
        self.rest = rest;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, len: u64) -> Option<Reader<'a>> {
        let len = usize::try_from(len).ok()?;
        let (taken, rest) = self.rest.split_at_checked(len)?;
        let taken = Reader { rest: taken, at: self.at };
        self.rest = rest;
        self.at += len;
        Some(taken)
    }
}

/// An error at a byte offset.
pub(crate) const fn fault(at: usize, fault: PbFault) -> PbError {
    PbError { at, fault }
}

/// Appends a varint in its shortest form.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The length of a varint in its shortest form.
#[cfg(feature = "import")]
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends the key of a field.
pub(crate) fn put_key(out: &mut Vec<u8>, field: u32, wire: u8) {
    put_varint(out, u64::from(field) << 3 | u64::from(wire));
}

/// Appends a varint field.
pub(crate) fn put_number(out: &mut Vec<u8>, field: u32, value: u64) {
    put_key(out, field, VARINT);
    put_varint(out, value);
}

/// Appends a field of bytes with their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(out, field, LEN);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn varint(bytes: &[u8]) -> Result<u64, PbFault> {
        Reader::new(bytes).varint().map_err(|error| error.fault)
    }

    #[test]
    fn varints_come_back_as_they_were_written() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(varint(&out), Ok(value));
            assert!(out.len() <= MAX_VARINT_LEN);
        }
    }

    #[test]
    fn an_overlong_varint_is_read() {
        assert_eq!(varint(&[0x85, 0x80, 0x00]), Ok(5));
    }

    #[test]
    fn a_varint_of_65_bits_or_of_eleven_bytes_is_an_error() {
        let mut ten = [0xff; 10];
        ten[9] = 0x01;
        assert_eq!(varint(&ten), Ok(u64::MAX));
        ten[9] = 0x02;
        assert_eq!(varint(&ten), Err(PbFault::VarintOverflow));
        assert_eq!(varint(&[0x80; 11]), Err(PbFault::VarintOverflow));
    }

    #[test]
    fn a_varint_that_ends_early_is_cut() {
        assert_eq!(varint(&[]), Err(PbFault::Cut));
        assert_eq!(varint(&[0x80; 9]), Err(PbFault::Cut));
    }

    #[test]
    fn a_length_past_the_end_says_how_far() {
        let error = Reader::new(&[5, 1, 2]).bytes().unwrap_err();
        assert_eq!(error, fault(0, PbFault::TooLong { len: 5, left: 2 }));
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(Reader::new(&huge).bytes().is_err());
    }

    #[test]
    fn field_numbers_run_from_1_to_2_to_the_29() {
        let key = |field: u64| {
            let mut out = Vec::new();
            put_varint(&mut out, field << 3);
            Reader::new(&out).key().map_err(|error| error.fault)
        };
        assert_eq!(key(0), Err(PbFault::FieldNumber(0)));
        assert_eq!(key(1), Ok((1, VARINT)));
        assert_eq!(key(MAX_FIELD), Ok((MAX_FIELD as u32, VARINT)));
        assert_eq!(key(MAX_FIELD + 1), Err(PbFault::FieldNumber(MAX_FIELD + 1)));
    }
}
