//! Any bytes as the query of any command of the RPC API: parsed or refused, and no argument grows.
#![no_main]

use coldfront_http::rpc::fuzzing::query;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| query(bytes));
