//! A Kubo that writes beside us: files appear by rename and vanish by unlink. A block is there whole or not at all.
#![allow(clippy::unwrap_used)]

mod tree;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coldfront_flatfs::{FlatFs, Key, ShardFn};

const SHARD_FN: ShardFn = ShardFn::NextToLast(2);
const BLOCKS: u32 = 8;

/// Puts and deletes every block in turn, as go-ds-flatfs does: a temporary file, a rename, later an unlink.
fn write_until(root: &Path, stop: &AtomicBool) {
    let temp = root.join(".temp");
    fs::create_dir_all(&temp).unwrap();
    while !stop.load(Ordering::Relaxed) {
        for i in 0..BLOCKS {
            let path = tree::path(root, SHARD_FN, &tree::key(i));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(temp.join("temp-1"), tree::bytes(i)).unwrap();
            fs::rename(temp.join("temp-1"), &path).unwrap();
        }
        for i in 0..BLOCKS {
            fs::remove_file(tree::path(root, SHARD_FN, &tree::key(i))).unwrap();
        }
    }
}

#[test]
fn beside_a_writer_every_answer_is_the_whole_block_or_none() {
    let dir = tree::temp_dir();
    tree::make(dir.path(), SHARD_FN);
    let flatfs = FlatFs::open(dir.path()).unwrap();
    let stop = AtomicBool::new(false);
    let (mut whole, mut none) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| write_until(dir.path(), &stop));
        // Failed assertions must not leave the writer running.
        let _stop = StopOnDrop(&stop);
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && (whole < 2000 || none < 2000) {
            for i in 0..BLOCKS {
                let key = tree::key(i);
                match flatfs.get(Key::new(&key), tree::MAX_LEN).unwrap() {
                    Some(bytes) => {
                        assert_eq!(bytes, tree::bytes(i));
                        whole += 1;
                    }
                    None => none += 1,
                }
                if let Some(len) = flatfs.len_of(Key::new(&key)).unwrap() {
                    assert_eq!(len, tree::bytes(i).len() as u64);
                }
            }
        }
    });
    assert!(whole > 0 && none > 0, "{whole} hits and {none} misses: the race was not run");
    assert_eq!(flatfs.adoptions(), 0);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_block_that_vanishes_after_it_was_opened_is_still_read() {
    let dir = tree::temp_dir();
    tree::make(dir.path(), SHARD_FN);
    let path = tree::put(dir.path(), SHARD_FN, &tree::key(1), &tree::bytes(1));
    let flatfs = FlatFs::open(dir.path()).unwrap();
    let key = tree::key(1);
    let block = flatfs.open_block(Key::new(&key)).unwrap().unwrap();
    fs::remove_file(path).unwrap();
    let mut buf = vec![0; tree::bytes(1).len()];
    assert_eq!(block.read_at(&mut buf, 0).unwrap(), buf.len());
    assert_eq!(buf, tree::bytes(1));
    assert_eq!(flatfs.len_of(Key::new(&key)).unwrap(), None);
    assert_ne!(block.stamp().unwrap(), block.opened(), "an unlinked file shows in its stamp");
}
