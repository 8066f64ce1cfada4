//! Any bytes as a Range field for a file of any size: every range answered lies in the file, is not
//! empty and touches no other, and there are never more than allowed.
#![no_main]

use coldfront_http::range::{MAX_RANGES, RangeAnswer, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((size, field)) = input.split_first_chunk() else { return };
    let size = u64::from_le_bytes(*size);
    match parse(Some(field), size) {
        RangeAnswer::Whole | RangeAnswer::Unsatisfiable => {}
        RangeAnswer::Single(range) => assert!(range.start < range.end && range.end <= size),
        RangeAnswer::Multi(mut ranges) => {
            assert!((2..=MAX_RANGES).contains(&ranges.len()));
            assert!(ranges.iter().all(|range| range.start < range.end && range.end <= size));
            ranges.sort_by_key(|range| range.start);
            assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
});
