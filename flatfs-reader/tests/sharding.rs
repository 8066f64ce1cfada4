//! The `SHARDING` line and the directory it leads to. Expected values from go-ds-flatfs `shard.go`.
#![allow(clippy::unwrap_used)]

use coldfront_flatfs::{MAX_SHARD_LEN, ShardFn, ShardFnError};
use proptest::prelude::*;

fn dir(shard_fn: ShardFn, text: &str) -> String {
    String::from_utf8(shard_fn.shard_of(text)).unwrap()
}

#[test]
fn keys_lead_to_the_directories_that_go_ds_flatfs_computes() {
    let sha256 = "CIQA22RABR3JBGL2S3RV3PFGRNHYF7K53B6GHTIEVZY3JCK3Q7LKBXA";
    for (shard_fn, text, expected) in [
        (ShardFn::Prefix(2), sha256, "CI"),
        (ShardFn::Prefix(5), "AB", "AB___"),
        (ShardFn::Prefix(5), "ABCDE", "ABCDE"),
        (ShardFn::Prefix(0), "AB", ""),
        (ShardFn::Prefix(3), "", "___"),
        (ShardFn::Suffix(3), sha256, "BXA"),
        (ShardFn::Suffix(5), "AB", "___AB"),
        (ShardFn::Suffix(0), "AB", ""),
        (ShardFn::Suffix(2), "", "__"),
        (ShardFn::NextToLast(2), sha256, "BX"),
        (ShardFn::NextToLast(2), "WXYZ", "XY"),
        (ShardFn::NextToLast(2), "ABC", "AB"),
        (ShardFn::NextToLast(2), "AB", "_A"),
        (ShardFn::NextToLast(2), "A", "__"),
        (ShardFn::NextToLast(2), "", "__"),
        (ShardFn::NextToLast(0), "AB", ""),
    ] {
        assert_eq!(dir(shard_fn, text), expected, "{shard_fn} of {text:?}");
    }
}

#[test]
fn the_three_functions_are_read_with_white_space_around_and_numbers_as_go_writes_them() {
    for (line, expected) in [
        ("/repo/flatfs/shard/v1/next-to-last/2\n", ShardFn::NextToLast(2)),
        ("/repo/flatfs/shard/v1/next-to-last/2", ShardFn::default()),
        (" \t\r\n/repo/flatfs/shard/v1/prefix/5 \n\n", ShardFn::Prefix(5)),
        ("/repo/flatfs/shard/v1/suffix/3\n", ShardFn::Suffix(3)),
        ("/repo/flatfs/shard/v1/suffix/0\n", ShardFn::Suffix(0)),
        ("/repo/flatfs/shard/v1/prefix/+007", ShardFn::Prefix(7)),
        ("/repo/flatfs/shard/v1/prefix/255", ShardFn::Prefix(MAX_SHARD_LEN)),
    ] {
        assert_eq!(line.parse(), Ok(expected), "{line:?}");
    }
}

#[test]
fn anything_else_is_refused_with_what_was_found_and_what_was_expected() {
    for (line, part) in [
        ("", "it says \"\""),
        ("/repo/flatfs/shard/", "expected a line like"),
        ("v1/next-to-last/2", "it says \"v1/next-to-last/2\""),
        ("/repo/flatfs/shard/v1/next-to-last", "expected a line like"),
        ("/repo/flatfs/shard/v1/next-to-last/2/", "expected a line like"),
        ("/repo/flatfs/shard/v1/next-to-last/2/x", "expected a line like"),
        ("/repo/flatfs/shard/v2/next-to-last/2", "version is \"v2\""),
        ("/repo/flatfs/shard/v1/Prefix/2", "function is \"Prefix\""),
        ("/repo/flatfs/shard/v1/last/2", "function is \"last\""),
        ("/repo/flatfs/shard/v1/prefix/", "parameter is \"\""),
        ("/repo/flatfs/shard/v1/prefix/two", "parameter is \"two\""),
        ("/repo/flatfs/shard/v1/prefix/2 /x", "expected a line like"),
        ("/repo/flatfs/shard/v1/prefix/0x2", "parameter is \"0x2\""),
        ("/repo/flatfs/shard/v1/prefix/1_0", "parameter is \"1_0\""),
        ("/repo/flatfs/shard/v1/prefix/-1", "parameter is -1, expected 0 to 255"),
        ("/repo/flatfs/shard/v1/prefix/256", "parameter is 256, expected 0 to 255"),
        ("/repo/flatfs/shard/v1/suffix/4294967295", "parameter is 4294967295"),
        ("/repo/flatfs/shard/v1/suffix/99999999999999999999", "expected a decimal number"),
        ("/repo/flatfs/shard/v1/\u{1b}[31m/2", "function is \"\\u{1b}[31m\""),
    ] {
        let error = line.parse::<ShardFn>().unwrap_err();
        assert!(error.to_string().contains(part), "{line:?}: {error}");
    }
    assert_eq!(ShardFn::parse(b"/repo/\xff"), Err(ShardFnError::NotText));
}

#[test]
fn a_foreign_text_makes_a_short_error() {
    let error = ShardFn::parse("\u{0}".repeat(1 << 20).as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 300, "{}", error.to_string().len());
}

fn any_shard_fn() -> impl Strategy<Value = ShardFn> {
    prop_oneof![
        any::<u8>().prop_map(ShardFn::Prefix),
        any::<u8>().prop_map(ShardFn::Suffix),
        any::<u8>().prop_map(ShardFn::NextToLast),
    ]
}

/// `shard.go` in its own words: padded strings, cut by position.
fn as_go_does(shard_fn: ShardFn, key: &[u8]) -> Vec<u8> {
    let pad = |n: usize| vec![b'_'; n];
    match shard_fn {
        ShardFn::Prefix(n) => [key.to_vec(), pad(n.into())].concat()[..n.into()].to_vec(),
        ShardFn::Suffix(n) => {
            let s = [pad(n.into()), key.to_vec()].concat();
            s[s.len() - usize::from(n)..].to_vec()
        }
        ShardFn::NextToLast(n) => {
            let s = [pad(usize::from(n) + 1), key.to_vec()].concat();
            let offset = s.len() - usize::from(n) - 1;
            s[offset..offset + usize::from(n)].to_vec()
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_shard_function_or_an_error(bytes: Vec<u8>, tail: Vec<u8>) {
        let _ = ShardFn::parse(&bytes);
        let _ = ShardFn::parse(&[b"/repo/flatfs/shard/", &tail[..]].concat());
        let _ = ShardFn::parse(&[b"/repo/flatfs/shard/v1/prefix/", &tail[..]].concat());
    }

    #[test]
    fn what_is_printed_is_read_back(shard_fn in any_shard_fn()) {
        prop_assert_eq!(shard_fn.to_string().parse(), Ok(shard_fn));
        let line = format!("{shard_fn}\n");
        prop_assert_eq!(ShardFn::parse(line.as_bytes()), Ok(shard_fn));
    }

    #[test]
    fn the_directory_of_any_bytes_is_the_one_that_go_computes(shard_fn in any_shard_fn(), key: Vec<u8>) {
        prop_assert_eq!(shard_fn.shard_of(&key), as_go_does(shard_fn, &key));
    }
}
