//! Any bytes as a body of form data, whole and in pieces: the same parts, and no more content than came.
#![no_main]

use coldfront_http::rpc::fuzzing::multipart;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| multipart(bytes));
