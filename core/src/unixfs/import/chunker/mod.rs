//! Chunkers: where content is cut into leaves.
//!
//! Owns their names, bounds and defaults, and cutting a stream within bounded memory. Must not know
//! blocks. Rules: boxo `chunker/parse.go`, `splitting.go`; each of the three has its own beside it.

mod buzhash;
mod rabin;
mod size;

use std::io::{self, Read};
use std::str::FromStr;

use bytes::Bytes;

/// The longest chunk, in bytes: with its frame it makes a block of 2 MiB, the most that peers exchange.
pub const MAX_CHUNK: usize = 2 * 1024 * 1024 - 256;

/// The chunk length where none is given, in bytes.
const DEFAULT_CHUNK: usize = 256 * 1024;

/// Where content is cut. [`FromStr`] reads Kubo's notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunker {
    /// Every so many bytes: `size-N`.
    Size(usize),
    /// Where the content itself says so, by a Rabin fingerprint of the last 16 bytes: `rabin`,
    /// `rabin-AVG`, `rabin-MIN-AVG-MAX`.
    Rabin {
        /// The shortest chunk but the last, in bytes; 16 or more.
        min: usize,
        /// The average that is aimed at (the power of two below it decides).
        avg: usize,
        /// The longest chunk.
        max: usize,
    },
    /// Where the content itself says so, by a rolling hash of the last 32 bytes: `buzhash`, chunks of
    /// 128 to 512 KiB.
    Buzhash,
}

impl Default for Chunker {
    fn default() -> Self {
        Chunker::Size(DEFAULT_CHUNK)
    }
}

/// A chunker's text or bounds that Kubo refuses; the sentences are Kubo's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkerError {
    /// No chunker has this name.
    #[error("unrecognized chunker option: {0}")]
    Unrecognized(String),
    /// `size` with too few or too many parts.
    #[error("incorrect chunker string format (expected size-{{size}})")]
    SizeFormat,
    /// A part that should be a number.
    #[error("chunker parameter {0:?} is not a number")]
    NotANumber(String),
    /// Chunks without bytes.
    #[error("chunker size must be greater than 0")]
    SizeZero,
    /// Chunks that make blocks too long for other peers.
    #[error("chunker parameters may not exceed the maximum chunk size of {max}", max = MAX_CHUNK)]
    TooLarge,
    /// A shortest chunk that is shorter than the fingerprint's window. Of an average alone, a third is
    /// the shortest. (Kubo checks it only where three numbers are given; with a small average it
    /// makes one chunk of the whole file.)
    #[error("rabin min must be greater than 16")]
    RabinMin,
    /// The average is not above the shortest.
    #[error("incorrect format: rabin-min must be smaller than rabin-avg")]
    RabinMinAvg,
    /// The longest is not above the average.
    #[error("incorrect format: rabin-avg must be smaller than rabin-max")]
    RabinAvgMax,
    /// A number with another label than its place says.
    #[error("{0}")]
    RabinLabel(&'static str),
    /// `rabin` with two numbers, or more than three.
    #[error("incorrect format (expected 'rabin' 'rabin-[avg]' or 'rabin-[min]-[avg]-[max]'")]
    RabinFormat,
}

impl FromStr for Chunker {
    type Err = ChunkerError;

    fn from_str(text: &str) -> Result<Self, ChunkerError> {
        let mut parts = text.split('-');
        let name = parts.next().unwrap_or_default();
        let parts: Vec<&str> = parts.take(4).collect();
        let chunker = match (name, parts.as_slice()) {
            ("", []) | ("default", []) => Chunker::default(),
            ("size", [size]) => Chunker::Size(number(size)?),
            ("size", _) => return Err(ChunkerError::SizeFormat),
            ("rabin", []) => Chunker::rabin(DEFAULT_CHUNK),
            ("rabin", [avg]) => rabin_around(number(avg)?)?,
            ("rabin", [min, avg, max]) => Chunker::Rabin {
                min: labelled(min, "min", "first label must be min")?,
                avg: labelled(avg, "avg", "second label must be avg")?,
                max: labelled(max, "max", "final label must be max")?,
            },
            ("rabin", _) => return Err(ChunkerError::RabinFormat),
            // What follows the name is not looked at.
            ("buzhash", _) => Chunker::Buzhash,
            _ => return Err(ChunkerError::Unrecognized(text.to_owned())),
        };
        chunker.check()?;
        Ok(chunker)
    }
}

/// Numbers below zero count as zero, which every bound refuses.
fn number(text: &str) -> Result<usize, ChunkerError> {
    let value: i64 = text.parse().map_err(|_| ChunkerError::NotANumber(text.to_owned()))?;
    Ok(usize::try_from(value).unwrap_or(0))
}

/// A number that may have its label in front, as in `min:16`.
fn labelled(text: &str, label: &str, wrong: &'static str) -> Result<usize, ChunkerError> {
    match text.split_once(':') {
        Some((found, _)) if found != label => Err(ChunkerError::RabinLabel(wrong)),
        Some((_, value)) => number(value.rsplit(':').next().unwrap_or(value)),
        None => number(text),
    }
}

fn rabin_around(avg: usize) -> Result<Chunker, ChunkerError> {
    // In floating point, as boxo does it.
    if avg as f32 * 1.5 >= (MAX_CHUNK + 1) as f32 {
        return Err(ChunkerError::TooLarge);
    }
    Ok(Chunker::rabin(avg))
}

impl Chunker {
    /// Rabin with the bounds that belong to an average: a third of it, and one and a half.
    const fn rabin(avg: usize) -> Chunker {
        Chunker::Rabin { min: avg / 3, avg, max: avg + avg / 2 }
    }

    /// Whether content can be cut so.
    pub(super) fn check(&self) -> Result<(), ChunkerError> {
        match *self {
            Chunker::Size(0) => Err(ChunkerError::SizeZero),
            Chunker::Size(size) if size > MAX_CHUNK => Err(ChunkerError::TooLarge),
            Chunker::Rabin { min, .. } if min < rabin::WINDOW => Err(ChunkerError::RabinMin),
            Chunker::Rabin { min, avg, .. } if min >= avg => Err(ChunkerError::RabinMinAvg),
            Chunker::Rabin { avg, max, .. } if avg >= max => Err(ChunkerError::RabinAvgMax),
            Chunker::Rabin { max, .. } if max > MAX_CHUNK => Err(ChunkerError::TooLarge),
            _ => Ok(()),
        }
    }

    /// Cuts a stream. Holds the chunk at hand and at most 512 KiB beside it; nothing is read yet.
    pub fn split<R: Read>(&self, reader: R) -> Chunks<R> {
        Chunks(match *self {
            Chunker::Size(size) => Kind::Size(size::Size::new(reader, size.max(1))),
            Chunker::Rabin { min, avg, max } => {
                Kind::Rabin(rabin::Rabin::new(reader, min, avg, max))
            }
            Chunker::Buzhash => Kind::Buzhash(buzhash::Buzhash::new(reader)),
        })
    }
}

/// The chunks of a stream, in order; none is empty. After an error there are no more.
#[derive(Debug)]
pub struct Chunks<R>(Kind<R>);

#[derive(Debug)]
enum Kind<R> {
    Size(size::Size<R>),
    Rabin(rabin::Rabin<R>),
    Buzhash(buzhash::Buzhash<R>),
    Ended,
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let chunk = match &mut self.0 {
            Kind::Size(chunks) => chunks.next_chunk(),
            Kind::Rabin(chunks) => chunks.next_chunk(),
            Kind::Buzhash(chunks) => chunks.next_chunk(),
            Kind::Ended => Ok(None),
        };
        if !matches!(chunk, Ok(Some(_))) {
            self.0 = Kind::Ended;
        }
        chunk.transpose()
    }
}

/// Room made for the first bytes of a stream: many files are small, and room for a whole chunk costs the
/// system a mapping each time.
const FIRST_READ: usize = 16 * 1024;

/// Reads until `buf` holds `len` bytes; `false` when the stream ends before.
fn fill(reader: &mut impl Read, buf: &mut Vec<u8>, len: usize) -> io::Result<bool> {
    for len in [len.min(FIRST_READ), len] {
        let missing = len.saturating_sub(buf.len());
        buf.reserve_exact(missing);
        reader.take(missing as u64).read_to_end(buf)?;
        if buf.len() < len {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<Chunker, String> {
        text.parse().map_err(|error: ChunkerError| error.to_string())
    }

    #[test]
    fn kubos_notation_is_read() {
        assert_eq!(parse(""), Ok(Chunker::Size(262_144)));
        assert_eq!(parse("default"), Ok(Chunker::Size(262_144)));
        assert_eq!(parse("size-1"), Ok(Chunker::Size(1)));
        assert_eq!(parse("size-+7"), Ok(Chunker::Size(7)));
        assert_eq!(parse("size-2096896"), Ok(Chunker::Size(MAX_CHUNK)));
        let rabin = |min, avg, max| Ok(Chunker::Rabin { min, avg, max });
        assert_eq!(parse("rabin"), rabin(87_381, 262_144, 393_216));
        assert_eq!(parse("rabin-1000"), rabin(333, 1000, 1500));
        assert_eq!(parse("rabin-1397930"), rabin(465_976, 1_397_930, 2_096_895));
        assert_eq!(parse("rabin-16-17-18"), rabin(16, 17, 18));
        assert_eq!(parse("rabin-min:16-avg:64-max:128"), rabin(16, 64, 128));
        assert_eq!(parse("buzhash"), Ok(Chunker::Buzhash));
        assert_eq!(parse("buzhash-of-any-kind"), Ok(Chunker::Buzhash));
    }

    #[test]
    fn what_kubo_refuses_is_refused_in_its_words() {
        for (text, sentence) in [
            ("foo-1", "unrecognized chunker option: foo-1"),
            ("-", "unrecognized chunker option: -"),
            ("size", "incorrect chunker string format (expected size-{size})"),
            ("size-1-2", "incorrect chunker string format (expected size-{size})"),
            ("size--1", "incorrect chunker string format (expected size-{size})"),
            ("size-0", "chunker size must be greater than 0"),
            ("size-2096897", "chunker parameters may not exceed the maximum chunk size of 2096896"),
            ("size-many", "chunker parameter \"many\" is not a number"),
            (
                "size-99999999999999999999",
                "chunker parameter \"99999999999999999999\" is not a number",
            ),
            ("rabin-15-32-64", "rabin min must be greater than 16"),
            ("rabin-32-32-64", "incorrect format: rabin-min must be smaller than rabin-avg"),
            ("rabin-16-64-64", "incorrect format: rabin-avg must be smaller than rabin-max"),
            (
                "rabin-16-64-9999999",
                "chunker parameters may not exceed the maximum chunk size of 2096896",
            ),
            (
                "rabin-1397932",
                "chunker parameters may not exceed the maximum chunk size of 2096896",
            ),
            ("rabin-max:16-32-64", "first label must be min"),
            ("rabin-16-min:32-64", "second label must be avg"),
            ("rabin-16-32-avg:64", "final label must be max"),
            (
                "rabin-1-2",
                "incorrect format (expected 'rabin' 'rabin-[avg]' or 'rabin-[min]-[avg]-[max]'",
            ),
            (
                "rabin-1-2-3-4-5-6",
                "incorrect format (expected 'rabin' 'rabin-[avg]' or 'rabin-[min]-[avg]-[max]'",
            ),
        ] {
            assert_eq!(parse(text), Err(sentence.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_average_too_small_for_rabins_window_is_refused() {
        assert_eq!(parse("rabin-47"), Err(ChunkerError::RabinMin.to_string()));
        assert_eq!(parse("rabin-48"), Ok(Chunker::Rabin { min: 16, avg: 48, max: 72 }));
        assert_eq!(parse("rabin-0"), Err(ChunkerError::RabinMin.to_string()));
    }

    /// A reader that gives a few bytes at a time, and is interrupted in between.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = buf.len().min(self.0.len()).min(1 + self.1 * 977 % 5000);
            buf[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..len).map(|_| next()).collect()
    }

    const ALL: [&str; 6] =
        ["size-1000", "size-262144", "rabin", "rabin-4096", "rabin-16-17-99", "buzhash"];

    #[test]
    fn chunks_are_the_content_whatever_a_read_gives() {
        for text in ALL {
            let chunker: Chunker = text.parse().unwrap();
            for len in [0, 1, 999, 1000, 1001, 131_071, 131_072, 700_000] {
                let content = noise(len);
                let whole: Vec<Bytes> = chunker.split(&content[..]).map(Result::unwrap).collect();
                assert_eq!(whole.concat(), content, "{text} {len}");
                assert!(whole.iter().all(|chunk| !chunk.is_empty()), "{text} {len}");
                let dripped: Vec<Bytes> =
                    chunker.split(Drip(&content, 0)).map(Result::unwrap).collect();
                assert_eq!(whole, dripped, "{text} {len}");
            }
        }
    }

    #[test]
    fn chunks_stay_within_their_bounds() {
        let content = noise(1_500_000);
        let zeros = vec![0; 1_500_000];
        for (text, min, max) in [
            ("rabin-4096", 1365, 6144),
            ("rabin-16-17-99", 16, 99),
            ("buzhash", 128 << 10, 512 << 10),
            ("size-77777", 77_777, 77_777),
        ] {
            let chunker: Chunker = text.parse().unwrap();
            for content in [&content, &zeros] {
                let chunks: Vec<Bytes> = chunker.split(&content[..]).map(Result::unwrap).collect();
                let (last, others) = chunks.split_last().unwrap();
                assert!(others.iter().all(|chunk| (min..=max).contains(&chunk.len())), "{text}");
                assert!(last.len() <= max, "{text}");
            }
        }
    }

    /// Gives some bytes, then fails for ever.
    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.0.min(buf.len());
            self.0 -= len;
            if len == 0 { Err(io::Error::other("unplugged")) } else { Ok(len) }
        }
    }

    #[test]
    fn after_a_failed_read_there_are_no_more_chunks() {
        for text in ALL {
            let mut chunks = text.parse::<Chunker>().unwrap().split(Failing(300_000));
            let failed = chunks.by_ref().find_map(Result::err);
            assert_eq!(failed.unwrap().to_string(), "unplugged", "{text}");
            assert!(chunks.next().is_none(), "{text}");
        }
    }
}
