//! Any bytes as the arguments and options of any command of the RPC API, over a node that holds nothing: it answers, or says why not.
#![no_main]

use coldfront_http::rpc::fuzzing::command;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| command(bytes));
