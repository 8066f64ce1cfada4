//! Any bytes as the requests of a connection, whole and in pieces: the same ends of first lines.
#![no_main]

use coldfront_http::rpc::fuzzing::framing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| framing(bytes));
