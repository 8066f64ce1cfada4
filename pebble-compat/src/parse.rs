//! Numbers and strings out of bytes, each step checked. Knows no format: the caller names what it takes apart.

use crate::error::Fault;

/// The bytes that are left of a structure. Every method takes from the front or fails, naming the structure.
#[derive(Debug, Clone)]
pub(crate) struct Parser<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Parser<'a> {
    /// Takes `bytes` apart, which are a `what`.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Parser { rest: bytes, what }
    }

    pub(crate) fn fault(&self) -> Fault {
        Fault::Malformed(self.what)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.fault())?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.fault())?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned LEB128 number of at most 64 bits.
    pub(crate) fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return Err(self.fault());
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.fault())
    }

    /// A varint that counts bytes or entries in memory.
    pub(crate) fn len(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.varint()?).map_err(|_| self.fault())
    }

    /// Bytes after a varint that says how many.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.len()?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Parser::new(&longest, "x").varint(), Ok(u64::MAX));
        let wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(Parser::new(&wide, "x").varint(), Err(Fault::Malformed("x")));
        assert_eq!(Parser::new(&[0x80; 11], "x").varint(), Err(Fault::Malformed("x")));
    }

    #[test]
    fn a_string_longer_than_its_structure_is_refused() {
        assert_eq!(Parser::new(b"\x03abc", "x").prefixed(), Ok(&b"abc"[..]));
        assert_eq!(Parser::new(b"\x04abc", "x").prefixed(), Err(Fault::Malformed("x")));
    }
}
