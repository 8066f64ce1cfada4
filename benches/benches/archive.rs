//! One block from an archive, warm and absent, beside the system calls without which it cannot be done.
//! Targets: `get_warm` at most 1.1 of its floor, `locate_warm` at most 3 us more than its floor, `absent` at most
//! 1.5 us more than its floor, whatever the archive's size.

#![allow(missing_docs)]

mod handmade;

use std::fs::{self, File};
use std::hint::black_box;
use std::time::Duration;

use coldfront::store::archive::Archive;
use coldfront::{ArchiveOptions, BlockSource};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handmade::{Handmade, LEAF_BYTES};

fn archive(criterion: &mut Criterion) {
    let tree = Handmade::make("archive");
    let archive =
        Archive::open(&ArchiveOptions::new(&tree.blocks)).expect("the tree is an archive");
    let mut group = criterion.benchmark_group("archive");
    group.measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(LEAF_BYTES as u64));
    group.bench_function("get_warm", |bench| {
        bench.iter(|| black_box(archive.get(&tree.leaf)).expect("it reads").expect("it is there"));
    });
    group.bench_function("get_warm_floor_fs_read", |bench| {
        bench.iter(|| black_box(fs::read(&tree.leaf_path)).expect("it is there"));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("locate_warm", |bench| {
        bench.iter(|| {
            black_box(archive.locate(&tree.leaf)).expect("it opens").expect("it is there")
        });
    });
    group.bench_function("locate_warm_floor_open", |bench| {
        bench.iter(|| {
            let file = File::open(&tree.leaf_path).expect("it is there");
            black_box(file.metadata()).expect("an open file has a length")
        });
    });
    group.bench_function("absent", |bench| {
        bench.iter(|| {
            assert!(black_box(archive.get(&tree.absent)).expect("a miss is no error").is_none())
        });
    });
    group.bench_function("absent_floor_open", |bench| {
        bench.iter(|| black_box(File::open(&tree.absent_path)).expect_err("it is not there"));
    });
    group.finish();
}

criterion_group!(benches, archive);
criterion_main!(benches);
