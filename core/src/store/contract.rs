//! What every block source promises, as tests that any source can be run through.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use super::{BlockSource, BlockStore, Located};
use crate::block::{Block, Cid};

/// Runs all promises. `held` are blocks that the source holds, `absent` is one that it does not.
pub fn check(source: &dyn BlockSource, held: &[Block], absent: &Cid) {
    for block in held {
        get_returns_the_bytes(source, block);
        size_is_the_length(source, block);
        locate_finds_the_same_bytes(source, block);
        cid_versions_and_codecs_meet(source, block);
    }
    what_is_not_held_is_none(source, absent);
}

/// Runs all promises of a store that takes blocks, beginning with an empty one.
pub fn check_writes(store: &dyn BlockStore) {
    let blocks: Vec<_> = (0..5u8).map(|n| sample(&vec![n; usize::from(n) * 1500])).collect();
    let absent = *sample(b"held nowhere").cid();
    store.put(&[]).unwrap();
    for block in &blocks {
        what_is_not_held_is_none(store, block.cid());
    }
    for some in blocks.chunks(2) {
        store.put(some).unwrap();
        check(store, some, &absent);
    }
    store.put(&blocks).unwrap();
    check(store, &blocks, &absent);
    store.sync().unwrap();
    check(store, &blocks, &absent);
}

fn sample(data: &[u8]) -> Block {
    let digest = crate::multihash::digest(0x12, 32, data).unwrap();
    let hash = cid::multihash::Multihash::wrap(0x12, digest.as_bytes()).unwrap();
    Block::verified(Cid::new_v1(crate::block::RAW, hash), data.to_vec().into()).unwrap()
}

fn get_returns_the_bytes(source: &dyn BlockSource, block: &Block) {
    assert_eq!(source.get(block.cid()).unwrap().unwrap().data(), block.data());
}

fn size_is_the_length(source: &dyn BlockSource, block: &Block) {
    assert_eq!(source.size(block.cid()).unwrap(), Some(block.data().len() as u64));
}

fn locate_finds_the_same_bytes(source: &dyn BlockSource, block: &Block) {
    let found = source.locate(block.cid()).unwrap().unwrap();
    assert_eq!(found.len(), block.data().len() as u64);
    let mut bytes = Vec::new();
    match found {
        Located::Bytes(all) => bytes.extend_from_slice(&all),
        Located::Extent(mut extent) => extent.read_to_end(&mut bytes).unwrap(),
    }
    assert_eq!(bytes, block.data()[..]);
}

fn cid_versions_and_codecs_meet(source: &dyn BlockSource, block: &Block) {
    for codec in [crate::block::RAW, crate::block::DAG_PB, crate::block::DAG_CBOR] {
        let other = Cid::new_v1(codec, *block.cid().hash());
        assert!(source.size(&other).unwrap().is_some(), "{other} is the block of {}", block.cid());
    }
    if let Ok(v0) = Cid::new_v0(*block.cid().hash()) {
        assert!(source.size(&v0).unwrap().is_some(), "{v0} is the block of {}", block.cid());
    }
}

fn what_is_not_held_is_none(source: &dyn BlockSource, absent: &Cid) {
    assert!(source.get(absent).unwrap().is_none());
    assert!(source.locate(absent).unwrap().is_none());
    assert!(source.size(absent).unwrap().is_none());
}

/// Runs all promises of a store that can be written, an empty one to begin with.
pub fn check_store(store: &dyn BlockStore) {
    check_writes(store);
    let blocks: Vec<Block> = (0..40).map(test_block).collect();
    what_is_put_is_held_on_return(store, &blocks[..1]);
    what_is_put_is_held_on_return(store, &blocks[1..]);
    putting_again_changes_nothing(store, &blocks);
    a_block_twice_in_one_put_is_held_once(store);
    puts_may_come_from_many_threads(store);
    store.sync().unwrap();
    check(store, &blocks, test_block(2001).cid());
}

fn what_is_put_is_held_on_return(store: &dyn BlockStore, blocks: &[Block]) {
    store.put(blocks).unwrap();
    for block in blocks {
        get_returns_the_bytes(store, block);
    }
}

fn putting_again_changes_nothing(store: &dyn BlockStore, blocks: &[Block]) {
    store.put(blocks).unwrap();
    store.sync().unwrap();
    for block in blocks {
        get_returns_the_bytes(store, block);
    }
}

fn a_block_twice_in_one_put_is_held_once(store: &dyn BlockStore) {
    let block = test_block(1000);
    store.put(&[block.clone(), test_block(1001), block.clone()]).unwrap();
    get_returns_the_bytes(store, &block);
}

fn puts_may_come_from_many_threads(store: &dyn BlockStore) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for batch in 0..10 {
                    // Every other block is put by all of them.
                    let number = |i: usize| if i.is_multiple_of(2) { i } else { i + 100 * thread };
                    let blocks: Vec<Block> =
                        (batch * 5..batch * 5 + 5).map(|i| test_block(5000 + number(i))).collect();
                    what_is_put_is_held_on_return(store, &blocks);
                }
            });
        }
    });
}

/// Blocks of lengths around those where stores change their ways: none, small, large.
fn test_block(number: usize) -> Block {
    const LENGTHS: [usize; 8] = [0, 1, 100, 4095, 4096, 4097, 70_000, 262_158];
    let len = LENGTHS[number % LENGTHS.len()];
    let data: Vec<u8> = (0..len).map(|at| (at * 31 + number * 7 + at / 256) as u8).collect();
    let number_in_front = &number.to_le_bytes()[..usize::from(len > 0) * 8];
    sample(&[number_in_front, &data].concat())
}
