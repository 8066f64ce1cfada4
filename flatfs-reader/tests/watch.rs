//! The tree as a whole comes and goes: while it is away nothing is called "not held", and when it is back, or another
//! one in its place, it is served without being opened again.
#![allow(clippy::unwrap_used)]

mod tree;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coldfront_flatfs::{Error, FlatFs, Key, RootFault, ShardFn};
use rustix::fs::{CWD, RenameFlags, renameat_with};

const BLOCKS: u32 = 5;

struct Place {
    _dir: tempfile::TempDir,
    root: PathBuf,
    aside: PathBuf,
}

/// A place where a tree lies, and one where it can be put aside.
fn place() -> Place {
    let dir = tree::temp_dir();
    let root = dir.path().join("blocks");
    let aside = dir.path().join("aside");
    Place { _dir: dir, root, aside }
}

fn reads(flatfs: &FlatFs) {
    for i in 0..BLOCKS {
        let key = tree::key(i);
        assert_eq!(flatfs.get(Key::new(&key), tree::MAX_LEN).unwrap(), Some(tree::bytes(i)));
        assert!(flatfs.len_of(Key::new(&key)).unwrap().is_some());
        assert!(flatfs.open_block(Key::new(&key)).unwrap().is_some());
    }
    assert_eq!(flatfs.get(Key::new(&tree::key(99)), tree::MAX_LEN).unwrap(), None);
    flatfs.available().unwrap();
}

/// Every call says that the tree is away, whether the block was held or not; returns the reason.
fn is_away(flatfs: &FlatFs) -> RootFault {
    for i in [0, 99] {
        let key = tree::key(i);
        let key = Key::new(&key);
        for answer in [
            flatfs.get(key, tree::MAX_LEN).map(drop),
            flatfs.len_of(key).map(drop),
            flatfs.open_block(key).map(drop),
        ] {
            assert!(matches!(answer, Err(Error::Unavailable { .. })), "{answer:?}");
        }
    }
    match flatfs.available().unwrap_err() {
        Error::Unavailable { root, reason } => {
            assert_eq!(root, flatfs.root());
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tree_that_is_moved_away_is_unavailable_and_served_again_when_it_is_back() {
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    reads(&flatfs);
    fs::rename(&place.root, &place.aside).unwrap();
    assert!(matches!(is_away(&flatfs), RootFault::Missing));
    fs::rename(&place.aside, &place.root).unwrap();
    reads(&flatfs);
    assert_eq!(flatfs.adoptions(), 0, "it is the same tree");
}

#[test]
fn an_empty_mount_point_is_unavailable_and_not_an_empty_tree() {
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    fs::rename(&place.root, &place.aside).unwrap();
    fs::create_dir(&place.root).unwrap();
    assert!(matches!(is_away(&flatfs), RootFault::Missing));
    fs::remove_dir(&place.root).unwrap();
    fs::rename(&place.aside, &place.root).unwrap();
    reads(&flatfs);
}

#[test]
fn a_removed_tree_is_unavailable_and_one_made_anew_is_adopted() {
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    fs::remove_dir_all(&place.root).unwrap();
    assert!(matches!(is_away(&flatfs), RootFault::Missing));
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    reads(&flatfs);
    assert_eq!(flatfs.adoptions(), 1);
}

#[test]
fn a_file_in_the_place_of_the_tree_is_unavailable() {
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    fs::rename(&place.root, &place.aside).unwrap();
    fs::write(&place.root, "").unwrap();
    assert!(matches!(is_away(&flatfs), RootFault::Missing));
}

#[test]
fn another_tree_with_another_shard_function_is_adopted_by_the_first_look_up_that_misses() {
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    fs::rename(&place.root, &place.aside).unwrap();
    tree::make_with_blocks(&place.root, ShardFn::Prefix(4), BLOCKS);
    let key = tree::key(0);
    assert_eq!(flatfs.get(Key::new(&key), tree::MAX_LEN).unwrap(), Some(tree::bytes(0)));
    assert_eq!((flatfs.shard_fn(), flatfs.adoptions()), (ShardFn::Prefix(4), 1));
    reads(&flatfs);
    assert_eq!(flatfs.adoptions(), 1);
}

#[test]
fn another_tree_is_adopted_by_the_periodic_check_too() {
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    fs::rename(&place.root, &place.aside).unwrap();
    tree::make_with_blocks(&place.root, ShardFn::Suffix(1), BLOCKS);
    flatfs.available().unwrap();
    assert_eq!((flatfs.shard_fn(), flatfs.adoptions()), (ShardFn::Suffix(1), 1));
}

#[test]
fn a_tree_whose_sharding_is_rewritten_in_place_is_read_anew() {
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::Prefix(2), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    // Same directory, same file, same length; the clock of the file system must have moved on.
    std::thread::sleep(Duration::from_millis(20));
    tree::make_with_blocks(&place.root, ShardFn::Prefix(3), BLOCKS);
    flatfs.available().unwrap();
    assert_eq!(flatfs.shard_fn(), ShardFn::Prefix(3));
}

#[test]
fn a_tree_with_a_broken_sharding_in_its_place_is_unavailable_until_it_is_repaired() {
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    fs::rename(&place.root, &place.aside).unwrap();
    fs::create_dir(&place.root).unwrap();
    let sharding = place.root.join("SHARDING");
    fs::write(&sharding, "rubbish").unwrap();
    assert!(matches!(is_away(&flatfs), RootFault::Malformed(_)));
    fs::remove_file(&sharding).unwrap();
    fs::create_dir(&sharding).unwrap();
    assert!(matches!(is_away(&flatfs), RootFault::NotAFile { .. }));
    fs::remove_dir(&sharding).unwrap();
    tree::make_with_blocks(&place.root, ShardFn::Suffix(2), BLOCKS);
    reads(&flatfs);
    assert_eq!(flatfs.shard_fn(), ShardFn::Suffix(2));
}

#[test]
fn a_root_that_is_a_link_follows_when_the_link_is_turned() {
    let place = place();
    let other = place.aside.with_file_name("other");
    tree::make_with_blocks(&place.aside, ShardFn::default(), BLOCKS);
    tree::make_with_blocks(&other, ShardFn::Prefix(1), BLOCKS);
    symlink(&place.aside, &place.root).unwrap();
    let flatfs = FlatFs::open(&place.root).unwrap();
    reads(&flatfs);
    fs::remove_file(&place.root).unwrap();
    assert!(matches!(is_away(&flatfs), RootFault::Missing));
    symlink(&other, &place.root).unwrap();
    reads(&flatfs);
    assert_eq!(flatfs.shard_fn(), ShardFn::Prefix(1));
}

/// Two trees hold the same blocks under different shard functions and change places again and again, each time after
/// every reader has finished a look-up that it began since the last change. So no look-up sees more than one change,
/// and none may say "not held".
#[test]
fn while_trees_change_places_no_block_that_both_hold_is_called_absent() {
    const READERS: usize = 2;
    let place = place();
    tree::make_with_blocks(&place.root, ShardFn::default(), BLOCKS);
    tree::make_with_blocks(&place.aside, ShardFn::Prefix(3), BLOCKS);
    let flatfs = FlatFs::open(&place.root).unwrap();
    let stop = AtomicBool::new(false);
    let begun_and_done = [const { AtomicU64::new(0) }; READERS];
    std::thread::scope(|scope| {
        for done in &begun_and_done {
            scope.spawn(|| read_until(&flatfs, &stop, done));
        }
        let end = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < end {
            exchange(&place.root, &place.aside);
            for done in &begun_and_done {
                // Two more: the first of them may have begun before the change.
                let until = done.load(Ordering::SeqCst) + 2;
                while done.load(Ordering::SeqCst) < until && Instant::now() < end {
                    std::thread::yield_now();
                }
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(flatfs.adoptions() > 10, "only {} changes were noticed", flatfs.adoptions());
    reads(&flatfs);
}

fn read_until(flatfs: &FlatFs, stop: &AtomicBool, done: &AtomicU64) {
    let mut i = 0;
    while !stop.load(Ordering::SeqCst) {
        i = (i + 1) % BLOCKS;
        let key = tree::key(i);
        match flatfs.get(Key::new(&key), tree::MAX_LEN) {
            Ok(Some(bytes)) => assert_eq!(bytes, tree::bytes(i)),
            Err(Error::Unavailable { reason: RootFault::Restless, .. }) => {}
            other => {
                stop.store(true, Ordering::SeqCst);
                panic!("{other:?}");
            }
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}
