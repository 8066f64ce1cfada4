//! Keys and values of the hot store, and records of pins: what is read is what was written, or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    coldfront::fuzzing::hot_row(input);
    coldfront::fuzzing::pin_record(input);
});
