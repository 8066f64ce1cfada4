//! Trees for the tests, and a way to run a test once more as another process.
//!
//! Writes what go-ds-flatfs would have written; the crate under test cannot write.

#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use coldfront_flatfs::{Key, ShardFn};
use tempfile::TempDir;

/// Tells a child process which tree to read.
pub(crate) const TREE: &str = "COLDFRONT_TEST_TREE";

/// An unprivileged user: `nobody` on Debian.
pub(crate) const NOBODY: u32 = 65534;

/// Largest block that the tests read.
pub(crate) const MAX_LEN: u64 = 1 << 21;

/// A temporary directory that other users may enter.
pub(crate) fn temp_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Key of the synthetic block `i`: shaped like a sha2-256 multihash.
pub(crate) fn key(i: u32) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x20];
    let mut state = u64::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D;
    while bytes.len() < 34 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.push((state >> 56) as u8);
    }
    bytes
}

/// Bytes of the synthetic block `i`; every tenth is empty.
pub(crate) fn bytes(i: u32) -> Vec<u8> {
    if i % 10 == 9 {
        return Vec::new();
    }
    (0..100 + i * 37).map(|n| (n ^ i) as u8).collect()
}

/// Where go-ds-flatfs puts a key, written out once more in plain words.
pub(crate) fn path(root: &Path, shard_fn: ShardFn, key: &[u8]) -> PathBuf {
    let text = Key::new(key).text();
    let shard = String::from_utf8(shard_fn.shard_of(&text)).unwrap();
    root.join(shard).join(format!("{text}.data"))
}

/// Makes `root` a tree with its `SHARDING`.
pub(crate) fn make(root: &Path, shard_fn: ShardFn) {
    fs::create_dir_all(root).unwrap();
    fs::write(root.join("SHARDING"), format!("{shard_fn}\n")).unwrap();
}

/// Puts a block into a tree.
pub(crate) fn put(root: &Path, shard_fn: ShardFn, key: &[u8], bytes: &[u8]) -> PathBuf {
    let path = path(root, shard_fn, key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// A tree with the synthetic blocks `0..count`.
pub(crate) fn make_with_blocks(root: &Path, shard_fn: ShardFn, count: u32) {
    make(root, shard_fn);
    for i in 0..count {
        put(root, shard_fn, &key(i), &bytes(i));
    }
}

/// Every path below `root` and `root` itself, directories before what is in them.
pub(crate) fn every_path(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        if path.symlink_metadata().unwrap().is_dir() {
            let mut inside: Vec<_> =
                fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()).collect();
            inside.sort();
            found.extend(inside);
        }
        next += 1;
    }
    found
}

/// Whether this process is above permissions.
pub(crate) fn is_root() -> bool {
    let dir = tempfile::tempdir().unwrap();
    dir.path().metadata().unwrap().uid() == 0
}

/// Whether a program can be started at all.
pub(crate) fn has_program(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success())
}

/// This test binary where any user can start it, asked to run just the ignored test `name` on `tree`.
pub(crate) fn child(dir: &Path, wrapper: &[&str], name: &str, tree: &Path) -> Command {
    let binary = dir.join("test-binary");
    if !binary.exists() {
        // Another process copies: a descriptor of our own, open for writing, could be inherited by a child that another
        // test starts at this moment, and a file that is open for writing cannot be executed.
        let from = std::env::current_exe().unwrap();
        let copied = Command::new("install").args(["-m", "755"]).arg(from).arg(&binary).status();
        assert!(copied.unwrap().success());
    }
    let mut words: Vec<&str> = wrapper.to_vec();
    words.push(binary.to_str().unwrap());
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .args(["--exact", name, "--ignored", "--test-threads=1", "--nocapture"])
        .env(TREE, tree)
        .current_dir("/");
    command
}

/// Runs a child and insists that its one test ran and passed.
pub(crate) fn must_pass(mut command: Command) {
    let output = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("1 passed"), "{command:?}\n{text}");
}

/// The wrapper that makes a child a plain user.
pub(crate) const AS_NOBODY: [&str; 4] =
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Gives a whole tree to a user; only root can.
pub(crate) fn give_to(root: &Path, uid: u32) {
    for path in every_path(root) {
        std::os::unix::fs::lchown(&path, Some(uid), Some(uid)).unwrap();
    }
}

/// The tree that a child was told to read.
pub(crate) fn told_tree() -> PathBuf {
    PathBuf::from(std::env::var_os(TREE).unwrap())
}
