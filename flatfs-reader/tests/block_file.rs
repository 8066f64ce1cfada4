//! Reading an open block: positions, several buffers, the page cache, and noticing that somebody touched the file.
#![allow(clippy::unwrap_used)]

mod tree;

use std::fs::{self, File, OpenOptions};
use std::io::{IoSliceMut, Write};
use std::path::Path;
use std::time::Duration;

use coldfront_flatfs::{BlockFile, FlatFs, Foresight, Key, ShardFn};

const SHARD_FN: ShardFn = ShardFn::NextToLast(2);
const KEY: Key<'static> = Key::new(b"block");

fn content() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n / 7) as u8).collect()
}

/// A tree in `dir` with one block, and that block opened.
fn open_in(dir: &Path) -> (FlatFs, BlockFile) {
    tree::make(dir, SHARD_FN);
    let path = tree::put(dir, SHARD_FN, KEY.as_bytes(), &content());
    File::open(path).unwrap().sync_all().unwrap();
    let flatfs = FlatFs::open(dir).unwrap();
    let block = flatfs.open_block(KEY).unwrap().unwrap();
    (flatfs, block)
}

#[test]
fn bytes_are_read_from_any_position_and_end_with_the_file() {
    let dir = tree::temp_dir();
    let (_, block) = open_in(dir.path());
    let content = content();
    assert_eq!(block.len(), content.len() as u64);
    let mut buf = [0; 1000];
    assert_eq!(block.read_at(&mut buf, 123_456).unwrap(), 1000);
    assert_eq!(buf[..], content[123_456..124_456]);
    assert_eq!(block.read_at(&mut buf, block.len() - 10).unwrap(), 10);
    assert_eq!(buf[..10], content[content.len() - 10..]);
    for past in [block.len(), block.len() + 1, 1 << 40] {
        assert_eq!(block.read_at(&mut buf, past).unwrap(), 0);
    }
}

#[test]
fn an_offset_that_no_file_has_is_an_error_and_never_the_current_position() {
    let dir = tree::temp_dir();
    let (_, block) = open_in(dir.path());
    let mut buf = [0; 10];
    for offset in [u64::MAX, 1 << 63] {
        assert!(block.read_at(&mut buf, offset).is_err());
        assert!(block.read_now(&mut buf, offset).is_err());
        let bufs = &mut [IoSliceMut::new(&mut buf)];
        assert!(block.read_vectored_at(bufs, offset).is_err());
    }
}

#[test]
fn several_buffers_are_filled_in_their_order() {
    let dir = tree::temp_dir();
    let (_, block) = open_in(dir.path());
    let (mut head, mut tail) = ([0; 14], [0; 5000]);
    let mut bufs = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
    assert_eq!(block.read_vectored_at(&mut bufs, 7).unwrap(), 5014);
    assert_eq!(head[..], content()[7..21]);
    assert_eq!(tail[..], content()[21..5021]);
}

#[test]
fn what_was_just_read_is_read_again_without_waiting_where_the_file_system_can_tell() {
    for parent in [std::env::temp_dir(), "/dev/shm".into(), "/var/tmp".into()] {
        let Ok(dir) = tempfile::tempdir_in(&parent) else {
            eprintln!("SKIPPED: nothing can be written in {}", parent.display());
            continue;
        };
        let (flatfs, block) = open_in(dir.path());
        let mut buf = vec![0; content().len()];
        assert_eq!(block.read_at(&mut buf, 0).unwrap(), buf.len());
        let mut again = vec![0; buf.len()];
        let reads = flatfs.foresight() == Foresight::Reads;
        let expected = reads.then_some(buf.len());
        eprintln!("{}: it can tell by {:?}", parent.display(), flatfs.foresight());
        assert_eq!(block.read_now(&mut again, 0).unwrap(), expected, "{}", parent.display());
        if reads {
            assert_eq!(again, buf);
            assert_eq!(block.read_now(&mut again, block.len()).unwrap(), Some(0));
        }
    }
}

#[test]
fn what_is_not_in_memory_is_none_until_it_was_read() {
    let dir = tree::temp_dir();
    let (flatfs, block) = open_in(dir.path());
    let mut buf = [0; 4096];
    block.dont_need(0, block.len());
    if flatfs.foresight() != Foresight::Reads || block.read_now(&mut buf, 65536).unwrap().is_some()
    {
        eprintln!("SKIPPED: this file system keeps everything in memory, or cannot tell");
        return;
    }
    assert_eq!(block.read_at(&mut buf, 65536).unwrap(), 4096);
    let mut again = [0; 4096];
    assert_eq!(block.read_now(&mut again, 65536).unwrap(), Some(4096));
    assert_eq!(again[..], content()[65536..69632]);
}

#[test]
fn what_was_read_is_cached_and_what_was_dropped_is_not_where_the_kernel_tells() {
    for parent in [std::env::temp_dir(), "/dev/shm".into(), "/var/tmp".into()] {
        let Ok(dir) = tempfile::tempdir_in(&parent) else { continue };
        let (flatfs, block) = open_in(dir.path());
        block.read_at(&mut vec![0; content().len()], 0).unwrap();
        let told = block.is_cached(0, block.len());
        eprintln!("{}: by {:?}, cached: {told:?}", parent.display(), flatfs.foresight());
        if flatfs.foresight() == Foresight::Pages {
            assert_eq!(told, Some(true), "{}", parent.display());
        }
        if told.is_none() {
            continue;
        }
        assert_eq!(block.is_cached(u64::MAX, 2), None, "no file has such a range");
        std::fs::File::open(block.path()).unwrap().sync_all().unwrap();
        block.dont_need(0, block.len());
        if flatfs.foresight() == Foresight::Reads {
            assert_eq!(block.is_cached(0, block.len()), Some(false), "{}", parent.display());
            block.read_at(&mut [0; 10], 0).unwrap();
            assert_eq!(block.is_cached(0, 10), Some(true), "{}", parent.display());
        }
    }
}

#[test]
fn a_stamp_tells_whether_the_file_was_touched() {
    let dir = tree::temp_dir();
    let (flatfs, block) = open_in(dir.path());
    let path = flatfs.path_of(KEY);
    assert_eq!(block.stamp().unwrap(), block.opened());
    flatfs.get(KEY, tree::MAX_LEN).unwrap();
    assert_eq!(block.stamp().unwrap(), block.opened(), "a read is no touch");

    // The clock of file systems ticks in milliseconds.
    std::thread::sleep(Duration::from_millis(20));
    let same_length = |path: &Path| fs::write(path, vec![1; content().len()]).unwrap();
    same_length(&path);
    let rewritten = block.stamp().unwrap();
    assert_eq!(rewritten.len, block.len());
    assert_ne!(rewritten, block.opened());

    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
    assert_eq!(block.stamp().unwrap().len, block.len() + 1);

    fs::remove_file(&path).unwrap();
    same_length(&path);
    let successor = flatfs.open_block(KEY).unwrap().unwrap();
    assert_ne!(successor.opened(), block.opened());
}
