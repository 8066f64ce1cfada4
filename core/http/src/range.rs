//! Byte ranges of a request, and the pieces of a `multipart/byteranges` answer.
//!
//! Owns the `Range` field, `Content-Range` and the framing of several parts. Pure: no I/O, no
//! clock. Must not know what the bytes are or where they lie. Rules: RFC 9110 §14 and §15.3.7, RFC
//! 2046 §5.1.1.
//!
//! Several ranges are answered in the order asked. Ranges that overlap or touch are merged into the
//! first of them. A set is *silly* when more than [`MAX_RANGES`] separate ranges are left or the
//! field is longer than [`MAX_FIELD_LEN`]; then the field is ignored and the whole file is the
//! answer, as RFC 9110 §14.2 allows. Since merged ranges never overlap, an answer never carries
//! more of the file than there is, and a client cannot make it long by asking twice.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// The most separate parts of one answer. Each costs a seek and a part header; more than this is an
/// attack or a client that wants the whole file.
pub const MAX_RANGES: usize = 10;

/// The longest `Range` field that is read, in bytes: ten ranges of two 20-digit numbers take 425.
/// It bounds the work of [`parse`], whatever a client sends.
pub const MAX_FIELD_LEN: usize = 1024;

/// What a `Range` field asks of a file of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeAnswer {
    /// The whole file with 200: no field, or one that is to be ignored (malformed, another unit, a
    /// silly set).
    Whole,
    /// One range with 206. Not empty, and inside the file.
    Single(Range<u64>),
    /// Two to [`MAX_RANGES`] ranges with 206 and `multipart/byteranges`: not empty, inside the
    /// file, apart from each other, in the order asked.
    Multi(Vec<Range<u64>>),
    /// Nothing asked for lies in the file: 416 with [`Unsatisfied`].
    Unsatisfiable,
}

/// Reads the value of a `Range` field for a file of `size` bytes. At most [`MAX_FIELD_LEN`] bytes
/// are looked at and at most [`MAX_RANGES`] ranges are held.
///
/// Only for GET, and only when `If-Range` agrees: see `conditional::range_applies`. A number too
/// large to be a position is past the end of the file, not an error. A suffix longer than the file
/// means all of it.
pub fn parse(field: Option<&[u8]>, size: u64) -> RangeAnswer {
    match field.filter(|field| field.len() <= MAX_FIELD_LEN).and_then(range_set) {
        Some(set) => answer(set, size),
        None => RangeAnswer::Whole,
    }
}

/// `Content-Range: bytes a-b/size` of a part (RFC 9110 §14.4). The range must not be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The bytes of the part.
    pub range: Range<u64>,
    /// The size of the whole file.
    pub size: u64,
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/{}", self.range.start, self.range.end.saturating_sub(1), self.size)
    }
}

/// `Content-Range: bytes */size` of a 416 (RFC 9110 §15.5.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsatisfied {
    /// The size of the whole file.
    pub size: u64,
}

impl fmt::Display for Unsatisfied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes */{}", self.size)
    }
}

/// The framing of a `multipart/byteranges` body. The body is, for each range in order,
/// [`part_head`](Self::part_head) and the bytes of that range; then [`closing`](Self::closing).
/// Nothing else, and [`len`](Self::len) bytes in all.
#[derive(Clone, Debug)]
pub struct Multipart {
    boundary: String,
    media_type: String,
    ranges: Vec<Range<u64>>,
    size: u64,
}

impl Multipart {
    /// Frames `ranges` of a file of `size` bytes. `seed` is the ETag or anything else that names
    /// the content: the boundary is a hash of it and of the ranges, so that equal requests get
    /// equal bytes (which a cache in front may count on) and nothing random is needed. Content
    /// cannot hold its own boundary but by 2^-128 chance, as its CID is part of the seed.
    pub fn new(ranges: Vec<Range<u64>>, size: u64, media_type: &str, seed: &[u8]) -> Self {
        let boundary = boundary(seed, &ranges);
        Self { boundary, media_type: media_type.to_owned(), ranges, size }
    }

    /// The value of the answer's own `Content-Type`.
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The ranges, in the order of the parts.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// What stands before the bytes of part `index`. `None` past the last part.
    pub fn part_head(&self, index: usize) -> Option<String> {
        let range = self.ranges.get(index)?.clone();
        let content_range = ContentRange { range, size: self.size };
        let line = if index == 0 { "" } else { "\r\n" };
        let (boundary, media_type) = (&self.boundary, &self.media_type);
        Some(format!(
            "{line}--{boundary}\r\nContent-Range: {content_range}\r\nContent-Type: {media_type}\r\n\r\n"
        ))
    }

    /// What stands after the bytes of the last part.
    pub fn closing(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// The exact length of the body in bytes: the `Content-Length`. Formats each head once, at most
    /// [`MAX_RANGES`].
    #[expect(clippy::len_without_is_empty, reason = "a framed body is never empty")]
    pub fn len(&self) -> u64 {
        let heads = (0..self.ranges.len())
            .filter_map(|index| self.part_head(index))
            .map(|head| head.len() as u64);
        let parts = self.ranges.iter().map(|range| range.end.saturating_sub(range.start));
        let closing = self.closing().len() as u64;
        heads.chain(parts).fold(closing, u64::saturating_add)
    }
}

/// One member of a set, as written.
#[derive(Clone, Copy)]
enum Spec {
    /// `first-last` or `first-`; `last` is included.
    From { first: u64, last: Option<u64> },
    /// `-length`.
    Suffix { length: u64 },
}

/// The part after `bytes=`. `None` for any other unit.
fn range_set(field: &[u8]) -> Option<&[u8]> {
    let (unit, set) = field.trim_ascii().split_at_checked(b"bytes=".len())?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

fn answer(set: &[u8], size: u64) -> RangeAnswer {
    let mut kept: Vec<Range<u64>> = Vec::new();
    let mut members = 0_usize;
    let mut silly = false;
    for member in
        set.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
    {
        let Some(spec) = spec(member) else {
            return RangeAnswer::Whole;
        };
        members += 1;
        if let Some(range) = within(spec, size).filter(|_| !silly) {
            merge(&mut kept, range);
            silly = kept.len() > MAX_RANGES;
        }
    }
    match <[_; 1]>::try_from(kept) {
        _ if members == 0 || silly => RangeAnswer::Whole,
        Ok([range]) => RangeAnswer::Single(range),
        Err(none) if none.is_empty() => RangeAnswer::Unsatisfiable,
        Err(several) => RangeAnswer::Multi(several),
    }
}

/// One member of the set. `None` makes the whole field invalid (RFC 9110 §14.1.1).
fn spec(member: &[u8]) -> Option<Spec> {
    let dash = member.iter().position(|b| *b == b'-')?;
    let (first, dash_and_last) = member.split_at_checked(dash)?;
    let last = dash_and_last.strip_prefix(b"-")?;
    match (first.is_empty(), last.is_empty()) {
        (true, _) => Some(Spec::Suffix { length: number(last)? }),
        (false, true) => Some(Spec::From { first: number(first)?, last: None }),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From { first, last: Some(last) })
        }
    }
}

/// Digits, one at least. What does not fit is the largest number: past the end of any file.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

/// The bytes of the file that a member means; `None` when there are none.
fn within(spec: Spec, size: u64) -> Option<Range<u64>> {
    let range = match spec {
        Spec::From { first, last } => {
            first..last.map_or(size, |last| last.saturating_add(1).min(size))
        }
        Spec::Suffix { length } => size.saturating_sub(length)..size,
    };
    (range.start < range.end).then_some(range)
}

/// Adds a range to ranges that lie apart, so that they still do. It joins the place of the first
/// that it meets.
fn merge(kept: &mut Vec<Range<u64>>, mut range: Range<u64>) {
    let mut place = None;
    while let Some(at) =
        kept.iter().position(|other| range.start <= other.end && other.start <= range.end)
    {
        let other = kept.remove(at);
        range = range.start.min(other.start)..range.end.max(other.end);
        place = Some(place.map_or(at, |place: usize| place.min(at)));
    }
    kept.insert(place.unwrap_or(kept.len()).min(kept.len()), range);
}

/// 32 hexadecimal digits: two FNV-1a hashes that start apart.
fn boundary(seed: &[u8], ranges: &[Range<u64>]) -> String {
    const STARTS: [u64; 2] = [0xcbf2_9ce4_8422_2325, 0x9ae1_6a3b_2f90_404f];
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let positions = ranges.iter().flat_map(|range| [range.start, range.end]);
    let bytes: Vec<u8> = seed.iter().copied().chain(positions.flat_map(u64::to_be_bytes)).collect();
    STARTS.iter().fold(String::with_capacity(32), |mut text, start| {
        let hash =
            bytes.iter().fold(*start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
        // A String takes any text.
        let _ = write!(text, "{hash:016x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(field: &str, size: u64) -> RangeAnswer {
        parse(Some(field.as_bytes()), size)
    }

    fn single(range: Range<u64>) -> RangeAnswer {
        RangeAnswer::Single(range)
    }

    #[test]
    fn no_field_means_the_whole_file() {
        assert_eq!(parse(None, 10), RangeAnswer::Whole);
        assert_eq!(parse(None, 0), RangeAnswer::Whole);
    }

    #[test]
    fn a_range_is_inclusive_and_clipped_to_the_file_rfc9110_14_1_2() {
        assert_eq!(ask("bytes=0-0", 10), single(0..1));
        assert_eq!(ask("bytes=2-5", 10), single(2..6));
        assert_eq!(ask("bytes=9-9", 10), single(9..10));
        assert_eq!(ask("bytes=2-99", 10), single(2..10));
        assert_eq!(ask("bytes=0-9", 10), single(0..10));
        assert_eq!(ask("bytes=007-08", 10), single(7..9));
    }

    #[test]
    fn an_open_range_goes_to_the_end() {
        assert_eq!(ask("bytes=3-", 10), single(3..10));
        assert_eq!(ask("bytes=0-", 10), single(0..10));
    }

    #[test]
    fn a_suffix_counts_from_the_end_and_one_longer_than_the_file_is_all_of_it() {
        assert_eq!(ask("bytes=-3", 10), single(7..10));
        assert_eq!(ask("bytes=-10", 10), single(0..10));
        assert_eq!(ask("bytes=-11", 10), single(0..10));
        assert_eq!(ask("bytes=-99999999999999999999999", 10), single(0..10));
    }

    #[test]
    fn what_lies_past_the_end_is_unsatisfiable_rfc9110_15_5_17() {
        for field in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=-000", "bytes=11-,-0"] {
            assert_eq!(ask(field, 10), RangeAnswer::Unsatisfiable, "{field}");
        }
    }

    #[test]
    fn an_empty_file_has_no_satisfiable_range() {
        for field in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=0-,5-6"] {
            assert_eq!(ask(field, 0), RangeAnswer::Unsatisfiable, "{field}");
        }
    }

    #[test]
    fn a_number_too_large_to_hold_is_past_the_end_and_not_malformed() {
        let huge = "99999999999999999999999999";
        assert_eq!(ask(&format!("bytes={huge}-"), 10), RangeAnswer::Unsatisfiable);
        assert_eq!(ask(&format!("bytes=2-{huge}"), 10), single(2..10));
        assert_eq!(
            ask(&format!("bytes=18446744073709551615-{huge}"), u64::MAX),
            RangeAnswer::Unsatisfiable
        );
        assert_eq!(ask("bytes=0-18446744073709551615", u64::MAX), single(0..u64::MAX));
    }

    #[test]
    fn the_unit_is_case_insensitive_and_another_unit_is_ignored_rfc9110_14_1() {
        assert_eq!(ask("BYTES=0-1", 10), single(0..2));
        assert_eq!(ask(" Bytes=0-1 ", 10), single(0..2));
        for field in ["items=0-1", "byte=0-1", "bytes", "", "bytes 0-1", "bytes =0-1", "xbytes=0-1"]
        {
            assert_eq!(ask(field, 10), RangeAnswer::Whole, "{field}");
        }
    }

    #[test]
    fn one_malformed_member_makes_the_field_ignored_rfc9110_14_2() {
        for set in [
            "", ",", "-", "a-b", "1", "5-2", "1-2-3", "1 - 2", "+1-2", "0x1-2", "--1", "0-1,x",
            "0-1,9-8", "1-2;3-4", "20-,x",
        ] {
            assert_eq!(ask(&format!("bytes={set}"), 10), RangeAnswer::Whole, "{set}");
        }
    }

    #[test]
    fn empty_members_and_white_space_of_a_list_are_passed_over_rfc9110_5_6_1() {
        assert_eq!(ask("bytes=, 0-1 ,\t,4-5,", 10), RangeAnswer::Multi(vec![0..2, 4..6]));
    }

    #[test]
    fn several_ranges_come_in_the_order_asked_and_only_those_that_exist() {
        assert_eq!(ask("bytes=7-9,1-3", 20), RangeAnswer::Multi(vec![7..10, 1..4]));
        assert_eq!(ask("bytes=50-60,1-3,-2", 20), RangeAnswer::Multi(vec![1..4, 18..20]));
        assert_eq!(ask("bytes=50-60,1-3", 20), single(1..4));
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one_in_the_first_ones_place() {
        assert_eq!(ask("bytes=0-4,5-9", 20), single(0..10));
        assert_eq!(ask("bytes=5-9,0-4", 20), single(0..10));
        assert_eq!(ask("bytes=0-4,10-14,4-10", 20), single(0..15));
        assert_eq!(
            ask("bytes=15-16,0-4,8-9,3-5", 20),
            RangeAnswer::Multi(vec![15..17, 0..6, 8..10])
        );
        assert_eq!(ask("bytes=8-9,0-4,15-16,4-8", 20), RangeAnswer::Multi(vec![0..10, 15..17]));
        assert_eq!(ask("bytes=0-,0-,0-", 20), single(0..20));
    }

    #[test]
    fn more_separate_ranges_than_are_answered_mean_the_whole_file() {
        let set = |count: usize| {
            (0..count).map(|at| format!("{}-{}", at * 3, at * 3)).collect::<Vec<_>>().join(",")
        };
        let most = ask(&format!("bytes={}", set(MAX_RANGES)), 1000);
        assert!(matches!(most, RangeAnswer::Multi(ranges) if ranges.len() == MAX_RANGES));
        assert_eq!(ask(&format!("bytes={}", set(MAX_RANGES + 1)), 1000), RangeAnswer::Whole);
        // Many that are one in the end are not many.
        let touching: Vec<_> = (0..100).map(|at| format!("{at}-{at}")).collect();
        assert_eq!(ask(&format!("bytes={}", touching.join(",")), 1000), single(0..100));
    }

    #[test]
    fn a_field_longer_than_is_read_means_the_whole_file() {
        let padded = |len: usize| format!("bytes=0-1{}", ",".repeat(len - 9));
        assert_eq!(ask(&padded(MAX_FIELD_LEN), 10), single(0..2));
        assert_eq!(ask(&padded(MAX_FIELD_LEN + 1), 10), RangeAnswer::Whole);
    }

    #[test]
    fn content_range_is_written_as_rfc9110_14_4() {
        assert_eq!(ContentRange { range: 42..1234, size: 1234 }.to_string(), "bytes 42-1233/1234");
        assert_eq!(Unsatisfied { size: 47022 }.to_string(), "bytes */47022");
    }

    fn body(multipart: &Multipart, file: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for (index, range) in multipart.ranges().iter().enumerate() {
            body.extend(multipart.part_head(index).unwrap().into_bytes());
            body.extend(&file[range.start as usize..range.end as usize]);
        }
        body.extend(multipart.closing().into_bytes());
        body
    }

    #[test]
    fn a_multipart_body_reads_as_rfc9110_14_6_shows_it() {
        let multipart = Multipart::new(vec![7..10, 1..4], 12, "text/plain", b"\"bafy\"");
        let boundary = multipart
            .content_type()
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap()
            .to_owned();
        let expected = format!(
            "--{boundary}\r\nContent-Range: bytes 7-9/12\r\nContent-Type: text/plain\r\n\r\nhij\r\n\
             --{boundary}\r\nContent-Range: bytes 1-3/12\r\nContent-Type: text/plain\r\n\r\nbcd\r\n--{boundary}--\r\n"
        );
        let body = body(&multipart, b"abcdefghijkl");
        assert_eq!(String::from_utf8(body.clone()).unwrap(), expected);
        assert_eq!(multipart.len(), body.len() as u64);
        assert_eq!(multipart.part_head(2), None);
    }

    #[test]
    fn the_boundary_is_the_same_for_the_same_request_and_fits_rfc2046_5_1_1() {
        let boundary = |seed: &[u8], ranges: Vec<Range<u64>>| {
            Multipart::new(ranges, 99, "a/b", seed).content_type()
        };
        let one = boundary(b"bafyone", vec![0..1, 5..6]);
        assert_eq!(one, boundary(b"bafyone", vec![0..1, 5..6]));
        assert_ne!(one, boundary(b"bafytwo", vec![0..1, 5..6]));
        assert_ne!(one, boundary(b"bafyone", vec![0..1, 5..7]));
        let text = one.strip_prefix("multipart/byteranges; boundary=").unwrap();
        assert!(text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(&text[..16], &text[16..]);
    }

    /// The bytes an answer carries, by index.
    fn covered(ranges: &[Range<u64>]) -> std::collections::BTreeSet<u64> {
        ranges.iter().cloned().flatten().collect()
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_inside_the_file(field in proptest::collection::vec(any::<u8>(), 0..64), size: u64) {
            let answer = parse(Some(&field), size);
            let ranges = match &answer {
                RangeAnswer::Single(range) => std::slice::from_ref(range),
                RangeAnswer::Multi(ranges) => &ranges[..],
                RangeAnswer::Whole | RangeAnswer::Unsatisfiable => &[],
            };
            prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size));
        }

        #[test]
        fn a_set_answers_exactly_the_bytes_it_names(
            asked in proptest::collection::vec((0_u64..120, proptest::option::of(0_u64..40), any::<bool>()), 1..14),
            size in 0_u64..100,
        ) {
            let mut wanted = std::collections::BTreeSet::new();
            let mut members = Vec::new();
            for (first, more, suffix) in &asked {
                match (suffix, more) {
                    (true, _) => { members.push(format!("-{first}")); wanted.extend(size.saturating_sub(*first)..size) }
                    (false, None) => { members.push(format!("{first}-")); wanted.extend(*first..size) }
                    (false, Some(more)) => {
                        members.push(format!("{first}-{}", first + more));
                        wanted.extend((*first..first + more + 1).filter(|at| *at < size));
                    }
                }
            }
            match ask(&format!("bytes={}", members.join(",")), size) {
                RangeAnswer::Single(range) => prop_assert_eq!(covered(&[range]), wanted),
                RangeAnswer::Multi(ranges) => {
                    prop_assert!(ranges.len() > 1 && ranges.len() <= MAX_RANGES);
                    prop_assert_eq!(covered(&ranges), wanted);
                    let apart = |a: &Range<u64>, b: &Range<u64>| a.end < b.start || b.end < a.start;
                    for (at, one) in ranges.iter().enumerate() {
                        prop_assert!(ranges[at + 1..].iter().all(|other| apart(one, other)));
                    }
                }
                RangeAnswer::Unsatisfiable => prop_assert!(wanted.is_empty()),
                RangeAnswer::Whole => prop_assert!(asked.len() > MAX_RANGES),
            }
        }

        #[test]
        fn a_written_range_is_read_back(start in 0_u64..1 << 60, len in 1_u64..1 << 60, extra in 0_u64..1 << 60) {
            let size = start + len + extra;
            let shown = ContentRange { range: start..start + len, size }.to_string();
            let field = shown.replace("bytes ", "bytes=").replace(&format!("/{size}"), "");
            prop_assert_eq!(ask(&field, size), single(start..start + len));
        }

        #[test]
        fn a_multipart_body_is_as_long_as_was_said(ends in proptest::collection::btree_set(0_u64..500, 4..12)) {
            let ends: Vec<u64> = ends.into_iter().collect();
            let ranges: Vec<_> = ends.chunks_exact(2).map(|two| two[0]..two[1]).collect();
            let multipart = Multipart::new(ranges, 500, "video/mp4", b"seed");
            prop_assert_eq!(multipart.len(), body(&multipart, &[b'x'; 500]).len() as u64);
        }
    }
}
