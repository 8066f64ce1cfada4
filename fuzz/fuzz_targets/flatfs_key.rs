//! Any bytes as a flatfs key under any shard function: the text is upper-case base32, and the shard
//! directory is as wide as its function says and made of that text.
#![no_main]

use coldfront_flatfs::{Key, ShardFn};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&width, key)) = input.split_first() else { return };
    let text = Key::new(key).text();
    assert!(text.bytes().all(|digit| matches!(digit, b'A'..=b'Z' | b'2'..=b'7')));
    assert_eq!(text.len(), (key.len() * 8).div_ceil(5));
    for shard_fn in [ShardFn::Prefix(width), ShardFn::Suffix(width), ShardFn::NextToLast(width)] {
        let shard = shard_fn.shard_of(&text);
        assert_eq!(shard.len(), usize::from(width));
        let digits: Vec<u8> = shard.into_iter().filter(|&byte| byte != b'_').collect();
        let digits = String::from_utf8(digits).expect("digits and padding only");
        assert!(text.contains(&digits));
    }
});
