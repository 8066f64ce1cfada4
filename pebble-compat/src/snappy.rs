//! Snappy's raw blocks, unpacked. Knows nothing of what they hold. Rules: Snappy `format_description.txt`.

use crate::error::Fault;
use crate::parse::Parser;

/// More bytes than one packed byte can stand for: a copy of 64 bytes takes three.
const MAX_RATIO: usize = 32;

/// Unpacks a block, a `what`, of at most `max` bytes. Memory is taken for what the packed bytes can stand for, not for
/// what they claim.
pub(crate) fn unpack(packed: &[u8], max: usize, what: &'static str) -> Result<Vec<u8>, Fault> {
    let mut parser = Parser::new(packed, what);
    let len = parser.len()?;
    if len > max {
        return Err(Fault::TooLong { what, len: len as u64, max: max as u64 });
    }
    if len > packed.len().saturating_mul(MAX_RATIO) {
        return Err(parser.fault());
    }
    let mut out = Vec::with_capacity(len);
    while !parser.is_empty() {
        let tag = parser.u8()?;
        if tag & 3 == 0 {
            let count = literal_len(&mut parser, tag)?;
            let bytes = parser.take(count)?;
            if count > len - out.len() {
                return Err(parser.fault());
            }
            out.extend_from_slice(bytes);
        } else {
            let (offset, count) = copy_of(&mut parser, tag)?;
            if count > len - out.len() {
                return Err(parser.fault());
            }
            copy_back(&mut out, offset, count).ok_or_else(|| parser.fault())?;
        }
    }
    if out.len() == len { Ok(out) } else { Err(parser.fault()) }
}

/// The length of a literal: in the tag, or in up to four bytes behind it.
fn literal_len(parser: &mut Parser<'_>, tag: u8) -> Result<usize, Fault> {
    /// From this number on, the tag says how many bytes hold the length.
    const FIRST_LONG: u8 = 60;
    let short = tag >> 2;
    if short < FIRST_LONG {
        return Ok(usize::from(short) + 1);
    }
    let bytes = parser.take(usize::from(short - FIRST_LONG) + 1)?;
    let len = bytes.iter().rev().fold(0usize, |len, &byte| len << 8 | usize::from(byte));
    len.checked_add(1).ok_or_else(|| parser.fault())
}

/// How far back a copy begins, and how long it is.
fn copy_of(parser: &mut Parser<'_>, tag: u8) -> Result<(usize, usize), Fault> {
    let long = usize::from(tag >> 2) + 1;
    match tag & 3 {
        1 => {
            let offset = usize::from(tag >> 5) << 8 | usize::from(parser.u8()?);
            Ok((offset, usize::from(tag >> 2 & 7) + 4))
        }
        2 => Ok((usize::from(parser.u16()?), long)),
        _ => Ok((usize::try_from(parser.u32()?).map_err(|_| parser.fault())?, long)),
    }
}

/// Repeats `count` bytes from `offset` before the end, which may reach into what is being written. `None` when nothing is
/// there.
fn copy_back(out: &mut Vec<u8>, offset: usize, count: usize) -> Option<()> {
    let start = out.len().checked_sub(offset).filter(|_| offset > 0)?;
    let mut left = count;
    while left > 0 {
        // What was just written counts: the source grows with each round.
        let step = left.min(out.len() - start);
        out.extend_from_within(start..start + step);
        left -= step;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8]) -> Result<Vec<u8>, Fault> {
        unpack(packed, 1 << 20, "x")
    }

    #[test]
    fn literals_and_copies_of_every_form_are_unpacked() {
        // Two letters; 4 more bytes from 2 back; then the same with wider offsets.
        assert_eq!(unpacked(b"\x06\x04ab\x01\x02").as_deref(), Ok(&b"ababab"[..]));
        assert_eq!(unpacked(b"\x06\x04ab\x0e\x02\x00").as_deref(), Ok(&b"ababab"[..]));
        assert_eq!(unpacked(b"\x06\x04ab\x0f\x02\x00\x00\x00").as_deref(), Ok(&b"ababab"[..]));
        let long = [&b"\x64\xf0\x63"[..], &[7; 100]].concat();
        assert_eq!(unpacked(&long).as_deref(), Ok(&[7; 100][..]));
    }

    #[test]
    fn a_copy_of_what_is_not_there_is_refused() {
        for packed in [&b"\x06\x04ab\x01\x03"[..], b"\x06\x04ab\x01\x00", b"\x04\x01\x01"] {
            assert_eq!(unpacked(packed), Err(Fault::Malformed("x")));
        }
    }

    #[test]
    fn another_length_than_the_one_claimed_is_refused() {
        for packed in [&b"\x05\x04ab\x01\x02"[..], b"\x07\x04ab\x01\x02", b"\x01\x04ab"] {
            assert_eq!(unpacked(packed), Err(Fault::Malformed("x")));
        }
    }

    #[test]
    fn a_claim_beyond_what_the_bytes_can_hold_takes_no_memory() {
        assert_eq!(unpacked(b"\xff\xff\x3f\x00a"), Err(Fault::Malformed("x")));
        let max = 1 << 20;
        let refused = Err(Fault::TooLong { what: "x", len: u64::from(u32::MAX), max });
        assert_eq!(unpacked(b"\xff\xff\xff\xff\x0f\x00a"), refused);
    }
}
