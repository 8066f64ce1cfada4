//! Any bytes as what stands behind the checksums of LevelDB and Pebble files. The first byte picks the parser.
#![no_main]

use coldfront_pebble::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&parser, bytes)) = input.split_first() else { return };
    match parser % 6 {
        0 => fuzzing::row_block(bytes),
        1 => fuzzing::column_block(bytes),
        2 => fuzzing::manifest_record(bytes),
        3 => fuzzing::batch(bytes),
        4 => fuzzing::footer(bytes),
        _ => fuzzing::packed(bytes),
    }
});
