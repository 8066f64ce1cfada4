//! What giving space back writes: each byte that lives once, as its price says. In a process of its own, whose writes the
//! system counts.

#![cfg(feature = "hot")]
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;

use coldfront::block::RAW;
use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::{NewPin, PinIndex};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource};

const LEN: usize = 100_000;

fn block(n: u64) -> Block {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let data: Vec<u8> = (0..LEN).map(|_| next()).collect();
    Block::verified(cid_of(RAW, &data), data.into()).unwrap()
}

fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn a_reclaim_writes_what_lives_once_and_nothing_where_little_is_garbage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hot");
    let hot = HotStore::open(&HotOptions { memory: 16 << 20, ..HotOptions::new(path) }).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    let blocks: Vec<_> = (0..300).map(block).collect();
    let bulk = hot.bulk("fill");
    blocks.chunks(10).for_each(|some| bulk.put(some).unwrap());
    bulk.flush().unwrap();
    drop(bulk);
    let kept: Vec<_> = (0..300).filter(|n| n % 5 < 3).map(|n| blocks[n].clone()).collect();
    let new: Vec<_> = kept.iter().map(|one| NewPin::new(*one.cid())).collect();
    pins.add_all(&new).unwrap();
    collect(&pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    let space = hot.settle().unwrap();
    let before = written();
    assert_eq!(hot.reclaim(0.6).unwrap().blobs, space.blobs);
    assert!(written() - before < 1 << 20, "{}", written() - before);

    let (price, before) = (space.price(0.3), written());
    let after = hot.reclaim(0.3).unwrap();
    let live = (kept.len() * LEN) as u64;
    assert!(after.blobs < live + live / 20 && after.garbage == 0, "{after:?}");
    let wrote = written() - before;
    assert!(wrote <= live + live / 4 && price.writes >= live, "{wrote} of {live}, {price:?}");
    assert!(kept.iter().all(|one| hot.get(one.cid()).unwrap().is_some()));
}
