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
