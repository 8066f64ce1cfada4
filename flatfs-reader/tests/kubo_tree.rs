//! Trees that Kubo wrote: every block that `ipfs refs local` names is found under its name, with the bytes of its file.
//!
//! They lie in a folder beside the checkout; where it is missing, this says so and the synthetic trees of the other
//! tests have to do.
#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coldfront_flatfs::{FlatFs, Key, ShardFn};
use data_encoding::BASE32_NOPAD;

fn golden() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no trees made by Kubo at {}", folder.display());
    None
}

/// Unpacks the repository `name` and returns its `blocks` directory.
fn unpack(golden: &Path, name: &str, into: &Path) -> PathBuf {
    let archive = golden.join(format!("{name}.tar.gz"));
    let status = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(into).status();
    assert!(status.unwrap().success(), "tar failed on {}", archive.display());
    into.join(name).join("blocks")
}

/// The keys of every block that Kubo reports, from the raw CIDs (`b`, version 1, codec 0x55, multihash) of `refs_local`.
fn keys_that_kubo_reports(golden: &Path, name: &str) -> BTreeSet<Vec<u8>> {
    let text = fs::read_to_string(golden.join(format!("{name}.expected.json"))).unwrap();
    let (_, list) = text.split_once("\"refs_local\"").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split('"')
        .filter_map(|word| word.strip_prefix('b'))
        .map(|cid| BASE32_NOPAD.decode(cid.to_uppercase().as_bytes()).unwrap()[2..].to_vec())
        .collect()
}

/// Every block file in the tree, by key, found by listing.
fn keys_by_listing(blocks: &Path) -> BTreeSet<Vec<u8>> {
    tree::every_path(blocks)
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".data"))
        .map(|text| BASE32_NOPAD.decode(text.as_bytes()).unwrap())
        .collect()
}

fn every_block_is_found(name: &str, shard_fn: ShardFn) {
    let Some(golden) = golden() else { return };
    let dir = tree::temp_dir();
    let blocks = unpack(&golden, name, dir.path());
    let flatfs = FlatFs::open(&blocks).unwrap();
    assert_eq!(flatfs.shard_fn(), shard_fn);

    let keys = keys_that_kubo_reports(&golden, name);
    assert!(keys.len() > 100, "{name}: only {} keys", keys.len());
    assert_eq!(
        keys,
        keys_by_listing(&blocks),
        "{name}: the listing differs from what Kubo reports"
    );
    for bytes in &keys {
        let key = Key::new(bytes);
        let expected = fs::read(flatfs.path_of(key)).unwrap();
        assert_eq!(flatfs.len_of(key).unwrap(), Some(expected.len() as u64), "{key:?}");
        assert_eq!(flatfs.get(key, tree::MAX_LEN).unwrap(), Some(expected), "{key:?}");
    }
    assert_eq!(flatfs.get(Key::new(&tree::key(1)), tree::MAX_LEN).unwrap(), None);
}

#[test]
fn a_prefix_2_tree_gives_every_block_that_kubo_reports() {
    every_block_is_found("flatfs-prefix-2", ShardFn::Prefix(2));
}

#[test]
fn a_suffix_3_tree_gives_every_block_that_kubo_reports() {
    every_block_is_found("flatfs-suffix-3", ShardFn::Suffix(3));
}

#[test]
fn a_default_tree_of_a_killed_daemon_gives_every_block_that_kubo_reports() {
    every_block_is_found("flatfs-0.42-crashed", ShardFn::NextToLast(2));
}

#[test]
fn a_synthetic_tree_of_any_shard_function_gives_every_block() {
    for shard_fn in [
        ShardFn::NextToLast(2),
        ShardFn::Prefix(5),
        ShardFn::Suffix(1),
        ShardFn::Prefix(0),
        ShardFn::Suffix(255),
    ] {
        let dir = tree::temp_dir();
        tree::make_with_blocks(dir.path(), shard_fn, 30);
        let flatfs = FlatFs::open(dir.path()).unwrap();
        for i in 0..30 {
            let key = tree::key(i);
            let expected = tree::bytes(i);
            let expected_path = tree::path(dir.path(), shard_fn, &key);
            assert_eq!(flatfs.path_of(Key::new(&key)).as_os_str(), expected_path.as_os_str());
            assert_eq!(flatfs.len_of(Key::new(&key)).unwrap(), Some(expected.len() as u64));
            assert_eq!(flatfs.get(Key::new(&key), tree::MAX_LEN).unwrap(), Some(expected));
        }
        assert_eq!(flatfs.len_of(Key::new(&tree::key(30))).unwrap(), None);
        assert_eq!(flatfs.adoptions(), 0);
    }
}

#[test]
fn keys_of_old_repositories_are_whole_cids_and_any_other_bytes() {
    let dir = tree::temp_dir();
    tree::make(dir.path(), ShardFn::default());
    let cid = [&[0x01, 0x70][..], &tree::key(1)].concat();
    tree::put(dir.path(), ShardFn::default(), &cid, b"old");
    tree::put(dir.path(), ShardFn::default(), &[0], b"short");
    let flatfs = FlatFs::open(dir.path()).unwrap();
    assert_eq!(flatfs.get(Key::new(&cid), 9).unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(flatfs.get(Key::new(&[0]), 9).unwrap().as_deref(), Some(&b"short"[..]));
}

#[test]
fn a_relative_root_stays_the_same_tree() {
    let dir = tree::temp_dir();
    tree::make_with_blocks(&dir.path().join("blocks"), ShardFn::default(), 1);
    std::env::set_current_dir(dir.path()).unwrap();
    let flatfs = FlatFs::open("blocks").unwrap();
    std::env::set_current_dir("/").unwrap();
    assert!(flatfs.root().is_absolute());
    assert_eq!(flatfs.get(Key::new(&tree::key(0)), tree::MAX_LEN).unwrap(), Some(tree::bytes(0)));
}
