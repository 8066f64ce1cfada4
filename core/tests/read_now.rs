//! Reading without waiting: what is in memory is had at once on every kind of file system that can tell, and nothing is
//! where none can.

#![allow(clippy::unwrap_used)]

mod tree;

use std::path::Path;

use coldfront::block::RAW;
use coldfront::store::archive::Archive;
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, Cid, Extent, Located};
use tree::Tree;

fn block() -> Block {
    let data = b"0123456789";
    Block::verified(cid_of(RAW, data), data.as_slice().into()).unwrap()
}

fn extent(archive: &Archive, cid: &Cid) -> Extent {
    match archive.locate(cid).unwrap().unwrap() {
        Located::Extent(extent) => extent,
        Located::Bytes(_) => panic!("an archive has files"),
    }
}

fn read_now(extent: &mut Extent) -> Option<Vec<u8>> {
    let mut buf = [0; 64];
    extent.read_now(&mut buf).unwrap().map(|n| buf[..n].to_vec())
}

/// tmpfs refuses `RWF_NOWAIT`, but the kernel knows its pages.
#[test]
fn what_lies_in_memory_is_read_at_once_although_the_file_system_refuses_to_say_so() {
    if !Path::new("/dev/shm").is_dir() {
        eprintln!("SKIPPED: there is no /dev/shm here");
        return;
    }
    let (tree, block) = (Tree::new_in("/dev/shm"), block());
    tree.put(&block);
    let archive = Archive::open(&tree.options()).unwrap();
    if !archive.reads_without_waiting() {
        eprintln!("SKIPPED: this kernel does not tell what its page cache holds (Linux 6.5 does)");
        return;
    }
    let mut extent = extent(&archive, block.cid());
    assert_eq!(read_now(&mut extent).unwrap(), b"0123456789");
    assert!(extent.is_empty());
}

#[test]
fn an_extent_is_read_now_to_its_own_end_and_no_further() {
    let (tree, block) = (Tree::new(), block());
    tree.put(&block);
    let archive = Archive::open(&tree.options()).unwrap();
    let mut extent = extent(&archive, block.cid());
    assert_eq!(extent.read(&mut [0; 3]).unwrap(), 3);
    if archive.reads_without_waiting() {
        assert_eq!(read_now(&mut extent).unwrap(), b"3456789");
    }
}

#[test]
fn where_nothing_tells_what_waits_nothing_is_read_at_once() {
    let (tree, block) = (Tree::new(), block());
    tree.put(&block);
    let archive = Archive::open(&tree.options()).unwrap().without_foresight();
    let mut extent = extent(&archive, block.cid());
    assert_eq!(extent.read(&mut [0; 3]).unwrap(), 3);
    assert_eq!(read_now(&mut extent), None);
    let mut rest = [0; 64];
    assert_eq!(extent.read(&mut rest).unwrap(), 7);
}
