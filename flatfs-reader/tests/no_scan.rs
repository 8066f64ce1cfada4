//! Nothing is listed and nothing is touched: a tree whose directories nobody may read serves every block, and afterwards
//! names, sizes, modes, times and bytes are what they were.
//!
//! Permission does not bind root, so under root the reading is done by a child process that is a plain user.
#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use coldfront_flatfs::{FlatFs, Key, ShardFn};

const BLOCKS: u32 = 40;

/// Reads every block of a synthetic tree in every way, and one that is not there.
fn read_everything(root: &Path) {
    let flatfs = FlatFs::open(root).unwrap();
    for i in 0..BLOCKS {
        let key = tree::key(i);
        let expected = tree::bytes(i);
        assert_eq!(flatfs.len_of(Key::new(&key)).unwrap(), Some(expected.len() as u64));
        assert_eq!(flatfs.get(Key::new(&key), tree::MAX_LEN).unwrap().as_ref(), Some(&expected));
        let block = flatfs.open_block(Key::new(&key)).unwrap().unwrap();
        block.will_need(0, block.len());
        let mut buf = vec![0; expected.len()];
        assert_eq!(block.read_at(&mut buf, 0).unwrap(), expected.len());
        block.dont_need(0, block.len());
        assert_eq!(buf, expected);
    }
    assert!(flatfs.open_block(Key::new(&tree::key(BLOCKS))).unwrap().is_none());
    flatfs.available().unwrap();
}

#[test]
#[ignore = "the other tests of this file run it as another user"]
fn child_reads_everything() {
    let root = tree::told_tree();
    assert!(
        fs::read_dir(&root).is_err(),
        "this user may list the tree, so nothing would be proved"
    );
    read_everything(&root);
}

#[test]
#[ignore = "the other tests of this file run it on a read-only mount"]
fn child_reads_everything_where_nothing_can_be_written() {
    let root = tree::told_tree();
    assert!(
        fs::write(root.join("x"), "").is_err(),
        "this mount can be written, so nothing would be proved"
    );
    read_everything(&root);
}

/// What a `stat` tells, without the device and block counts.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    ino: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    accessed: Option<(i64, i64)>,
}

fn traces(paths: &[PathBuf], with_access_times: bool) -> BTreeMap<PathBuf, Trace> {
    let trace = |path: &PathBuf| {
        let meta = path.symlink_metadata().unwrap();
        Trace {
            ino: meta.ino(),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            links: meta.nlink(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            accessed: with_access_times.then(|| (meta.atime(), meta.atime_nsec())),
        }
    };
    paths.iter().map(|path| (path.clone(), trace(path))).collect()
}

fn set_dir_modes(paths: &[PathBuf], mode: u32) {
    for path in paths.iter().filter(|path| path.symlink_metadata().unwrap().is_dir()) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Access times that even `relatime` moves at the next read.
fn age(path: &Path) {
    let at = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86400);
    let times = FileTimes::new().set_accessed(at(9000)).set_modified(at(9001));
    File::open(path).unwrap().set_times(times).unwrap();
}

/// A tree that nobody may list, and every path in it.
fn unlistable_tree(root: &Path, owner: Option<u32>) -> Vec<PathBuf> {
    tree::make_with_blocks(root, ShardFn::default(), BLOCKS);
    let paths = tree::every_path(root);
    paths.iter().filter(|path| path.is_file()).for_each(|path| age(path));
    if let Some(uid) = owner {
        tree::give_to(root, uid);
    }
    set_dir_modes(&paths, 0o311);
    paths
}

fn serves_and_stays_the_same(owner: Option<u32>, with_access_times: bool) {
    let dir = tree::temp_dir();
    let root = dir.path().join("blocks");
    let paths = unlistable_tree(&root, owner);
    let before = traces(&paths, with_access_times);
    if tree::is_root() {
        if !tree::has_program("setpriv") {
            eprintln!("SKIPPED: root needs setpriv (util-linux) to become a plain user");
            return;
        }
        tree::must_pass(tree::child(dir.path(), &tree::AS_NOBODY, "child_reads_everything", &root));
    } else {
        assert!(fs::read_dir(&root).is_err());
        read_everything(&root);
    }
    assert_eq!(traces(&paths, with_access_times), before);
    set_dir_modes(&paths, 0o755);
    assert_eq!(tree::every_path(&root), paths);
    for i in 0..BLOCKS {
        let path = tree::path(&root, ShardFn::default(), &tree::key(i));
        assert_eq!(fs::read(path).unwrap(), tree::bytes(i));
    }
}

/// Whether a plain read moves the access time here; mounts with `noatime` prove nothing.
fn access_times_move() -> bool {
    let dir = tree::temp_dir();
    let path = dir.path().join("file");
    fs::write(&path, "x").unwrap();
    age(&path);
    let before = path.metadata().unwrap().atime();
    fs::read(&path).unwrap();
    path.metadata().unwrap().atime() != before
}

#[test]
fn the_owner_of_a_tree_that_nobody_may_list_reads_it_without_moving_a_single_time() {
    if !access_times_move() {
        eprintln!("SKIPPED in part: access times do not move on this mount anyway");
    }
    let owner = tree::is_root().then_some(tree::NOBODY);
    serves_and_stays_the_same(owner, true);
}

#[test]
fn another_user_reads_a_tree_that_nobody_may_list_and_moves_at_most_access_times() {
    if !tree::is_root() {
        eprintln!("SKIPPED: only root can make a tree of another user");
        return;
    }
    serves_and_stays_the_same(None, false);
}

#[test]
fn a_tree_on_a_read_only_mount_is_served() {
    let dir = tree::temp_dir();
    let root = dir.path().join("blocks");
    tree::make_with_blocks(&root, ShardFn::default(), BLOCKS);
    let mount =
        "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 99; exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", mount, root.to_str().unwrap()];
    let mut probe = std::process::Command::new(wrapper[0]);
    if !probe.args(&wrapper[1..]).arg("true").output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: this user may not mount anything");
        return;
    }
    let name = "child_reads_everything_where_nothing_can_be_written";
    tree::must_pass(tree::child(dir.path(), &wrapper, name, &root));
}
