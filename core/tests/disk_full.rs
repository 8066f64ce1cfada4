//! A full disk: writes fail with a sentence that says so, reads go on, and what was acknowledged stays.
//!
//! On a small file system of its own, which needs the right to mount one: elsewhere the test says that it did not
//! run. Asked for by `--ignored`.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use coldfront::block::RAW;
use coldfront::store::hot::{HotError, HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, BlockStore, StoreError};

const MIB: usize = 1024 * 1024;

struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn new(at: &Path) -> Option<Mounted<'_>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(at);
        mount.status().is_ok_and(|status| status.success()).then_some(Mounted(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn block(n: usize) -> Block {
    let mut data = vec![0; MIB / 4];
    data[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Block::verified(cid_of(RAW, &data), data.into()).unwrap()
}

fn fill(hot: &HotStore, good: &mut Vec<Block>) -> StoreError {
    for n in good.len()..10_000 {
        let one = block(n);
        match hot.put(std::slice::from_ref(&one)).and_then(|()| hot.sync()) {
            Ok(()) => good.push(one),
            Err(error) => return error,
        }
    }
    panic!("the disk does not fill up");
}

fn all_read(hot: &HotStore, good: &[Block]) {
    for one in good {
        assert_eq!(hot.get(one.cid()).unwrap().unwrap().data(), one.data());
    }
}

#[test]
#[ignore = "mounts a file system"]
fn a_full_disk_is_told_and_what_was_acknowledged_stays() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::new(folder.path()) else {
        return eprintln!("not run: nothing can be mounted here");
    };
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1; 8 * MIB]).unwrap();
    let path = folder.path().join("hot");
    let options = HotOptions { memory: 16 * MIB as u64, ..HotOptions::new(path) };
    let mut good = Vec::new();
    {
        let hot = HotStore::open(&options).unwrap();
        let error = fill(&hot, &mut good);
        eprintln!("{} blocks, then: {error}", good.len());
        assert!(matches!(error, StoreError::Hot(HotError::Full { .. })), "{error:?}");
        all_read(&hot, &good);
        let again = hot.put(&[block(99_999)]).and_then(|()| hot.sync());
        eprintln!("again: {again:?}");
        assert!(matches!(again, Err(StoreError::Hot(HotError::Full { .. }))), "{again:?}");
        all_read(&hot, &good);

        // RocksDB does not go on by itself, so the sentence says what does.
        std::fs::remove_file(&ballast).unwrap();
        let later = hot.put(&[block(88_888)]).and_then(|()| hot.sync()).unwrap_err();
        assert!(later.to_string().contains("the store is opened again"), "{later}");
        all_read(&hot, &good);
    }
    let hot = HotStore::open(&options).unwrap();
    all_read(&hot, &good);
    hot.put(&[block(99_999)]).unwrap();
    hot.sync().unwrap();
}
