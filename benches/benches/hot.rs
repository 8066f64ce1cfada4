//! One block of the hot store: read, looked up, put and pinned.
//! Targets: `get_256k_warm` at most 70 us, `size` at least 300,000 a second.

#![allow(missing_docs)]

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use coldfront::block::RAW;
use coldfront::pin::{NewPin, PinIndex};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, BlockStore};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LEAF_BYTES: usize = 256 * 1024;
const LEAVES: u64 = 400;

fn leaf(number: u64, len: usize) -> Block {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let data: Vec<u8> = (0..len.div_ceil(8))
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()
        })
        .take(len)
        .collect();
    Block::verified(cid_of(RAW, &data), data.into()).expect("it hashes to its own CID")
}

fn hot(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).expect("it opens");
    let leaves: Vec<_> = (0..LEAVES).map(|n| leaf(n, LEAF_BYTES)).collect();
    let bulk = hot.bulk("bench");
    leaves.iter().for_each(|one| bulk.put(std::slice::from_ref(one)).expect("it takes it"));
    bulk.flush().expect("it flushes");
    let pins = PinIndex::new(&hot, Vec::new());
    let next = Cell::new(0u64);
    let number = || {
        next.set(next.get() + 1);
        next.get()
    };

    let mut group = criterion.benchmark_group("hot");
    group.measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(LEAF_BYTES as u64));
    group.bench_function("get_256k_warm", |bench| {
        bench.iter(|| {
            let one = &leaves[(number() % LEAVES) as usize];
            black_box(hot.get(one.cid())).expect("it reads").expect("it is there")
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("size", |bench| {
        bench.iter(|| {
            let one = &leaves[(number() % LEAVES) as usize];
            black_box(hot.size(one.cid())).expect("it looks").expect("it is there")
        });
    });
    let absent = cid_of(RAW, b"absent");
    group.bench_function("size_absent", |bench| {
        bench.iter(|| assert!(black_box(hot.size(&absent)).expect("it looks").is_none()));
    });
    group.bench_function("put_1k_and_sync", |bench| {
        bench.iter(|| {
            hot.put(&[leaf(1_000_000 + number(), 1024)]).expect("it takes it");
            hot.sync().expect("it syncs");
        });
    });
    group.bench_function("pin_one_block", |bench| {
        let small: Vec<_> = (0..50_000).map(|n| leaf(5_000_000 + n, 20)).collect();
        hot.put(&small).expect("it takes them");
        bench.iter(|| {
            let one = &small[number() as usize % small.len()];
            pins.add(&NewPin::new(*one.cid())).expect("it pins");
        });
    });
    group.finish();
}

criterion_group!(benches, hot);
criterion_main!(benches);
