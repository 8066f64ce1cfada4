//! Chunks that end where a Rabin fingerprint of the last 16 bytes has zeros in its low bits.
//!
//! Rules: boxo `chunker/rabin.go` and the package whyrusleeping/chunker that it calls: a polynomial of
//! degree 53; the first `min - 16` bytes of a chunk do not count; every chunk begins anew. (That package
//! begins each window with a byte of 1, which has left it again before the first place for a cut.)

use std::io::{self, Read};

use bytes::Bytes;

/// Bytes that the fingerprint is taken of.
pub(super) const WINDOW: usize = 16;

/// The irreducible polynomial over GF(2), one bit a coefficient.
const POLYNOMIAL: u64 = 17_437_180_132_763_653;
const DEGREE: u32 = 63 - POLYNOMIAL.leading_zeros();

/// Bytes asked of the reader at a time.
const READ: usize = 64 * 1024;

/// What a byte contributes to the fingerprint when it has become the oldest of the window.
static OLDEST: [u64; 256] = oldest();
/// By the eight bits that overflow: what takes them away again, modulo the polynomial.
static OVERFLOW: [u64; 256] = overflow();

const fn modulo(mut value: u64) -> u64 {
    while value.leading_zeros() <= POLYNOMIAL.leading_zeros() {
        value ^= POLYNOMIAL << (POLYNOMIAL.leading_zeros() - value.leading_zeros());
    }
    value
}

const fn oldest() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut print = modulo(byte as u64);
        let mut moved = 1;
        while moved < WINDOW {
            print = modulo(print << 8);
            moved += 1;
        }
        table[byte] = print;
        byte += 1;
    }
    table
}

const fn overflow() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let bits = (byte as u64) << DEGREE;
        table[byte] = modulo(bits) | bits;
        byte += 1;
    }
    table
}

#[derive(Debug)]
pub(super) struct Rabin<R> {
    reader: R,
    min: usize,
    max: usize,
    mask: u64,
    /// Bytes that are in no chunk yet: at most `max` and what one read gives.
    buf: Vec<u8>,
    ended: bool,
}

impl<R: Read> Rabin<R> {
    pub(super) fn new(reader: R, min: usize, avg: usize, max: usize) -> Self {
        let mask = (1u64 << avg.max(1).ilog2()) - 1;
        Rabin { reader, min: min.max(WINDOW), max, mask, buf: Vec::new(), ended: false }
    }

    pub(super) fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut print = Fingerprint::new();
        // How far the chunk has been looked at; its first bytes do not count.
        let mut at = self.min - WINDOW;
        loop {
            let fresh = self.buf.get(at..).unwrap_or_default();
            if let Some(more) = print.find(
                fresh,
                self.min.saturating_sub(at),
                self.max.saturating_sub(at),
                self.mask,
            ) {
                return Ok(Some(self.take(at + more)));
            }
            at = at.max(self.buf.len());
            if self.ended {
                let rest = self.buf.len();
                return Ok((rest > 0).then(|| self.take(rest)));
            }
            let wanted = self.buf.len() + READ;
            self.ended = !super::fill(&mut self.reader, &mut self.buf, wanted)?;
        }
    }

    fn take(&mut self, len: usize) -> Bytes {
        let chunk = Bytes::copy_from_slice(self.buf.get(..len).unwrap_or(&self.buf));
        self.buf.drain(..chunk.len());
        chunk
    }
}

/// The fingerprint of the last bytes, under way.
struct Fingerprint {
    print: u64,
    window: [u8; WINDOW],
    oldest: usize,
}

impl Fingerprint {
    fn new() -> Self {
        Fingerprint { print: 0, window: [0; WINDOW], oldest: 0 }
    }

    fn slide(&mut self, byte: u8) {
        // The remainder is within the window, and eight bits are within the tables.
        let place = &mut self.window[self.oldest % WINDOW];
        let out = std::mem::replace(place, byte);
        self.oldest += 1;
        let print = self.print ^ OLDEST[usize::from(out)];
        let above = (print >> (DEGREE - 8)) as u8;
        self.print = (print << 8 | u64::from(byte)) ^ OVERFLOW[usize::from(above)];
    }

    /// Takes in bytes up to the first of which a chunk may be cut, and says how many that were. No
    /// cut is sooner than after `min` bytes, and none later than after `max`.
    fn find(&mut self, bytes: &[u8], min: usize, max: usize, mask: u64) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            self.slide(*byte);
            let seen = at + 1;
            if seen >= min && (self.print & mask == 0 || seen >= max) {
                return Some(seen);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_of_the_polynomial() {
        assert_eq!(DEGREE, 53);
        assert_eq!(modulo(POLYNOMIAL), 0);
        assert_eq!(modulo(1 << 53), POLYNOMIAL ^ (1 << 53));
        for byte in 0..=255u8 {
            // What overflows is taken away whole.
            assert_eq!(OVERFLOW[usize::from(byte)] >> 53, u64::from(byte));
        }
    }

    #[test]
    fn a_fingerprint_depends_on_the_last_16_bytes_alone() {
        let mut first = Fingerprint::new();
        let mut second = Fingerprint::new();
        for byte in b"some other bytes that came before" {
            second.slide(*byte);
        }
        for byte in b"the last 16 byte" {
            first.slide(*byte);
            second.slide(*byte);
        }
        assert_eq!(first.print, second.print);
    }
}
