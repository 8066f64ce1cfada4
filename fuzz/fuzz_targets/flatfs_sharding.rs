//! Any bytes as the SHARDING file: nothing panics, and what is accepted is written as it can be read again.
#![no_main]

use coldfront_flatfs::ShardFn;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match ShardFn::parse(bytes) {
        Ok(shard_fn) => assert_eq!(ShardFn::parse(shard_fn.to_string().as_bytes()), Ok(shard_fn)),
        // An error repeats at most an excerpt of what was found.
        Err(error) => assert!(error.to_string().len() < 1000),
    }
});
