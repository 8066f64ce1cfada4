//! 64 KiB from anywhere in a file, as the edge reads them: without waiting, into one buffer.
//! Target: `warm_64k` at most 1.3 of its floor, which is one `pread` of as many bytes of a file that is open.

#![allow(missing_docs)]

mod handmade;

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use coldfront::unixfs::file::Step;
use coldfront::{ArchiveOptions, ContentPath, FileReader, Piece, Repo, RepoOptions};
use coldfront_benches::random::Random;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use handmade::{Handmade, LEAF_BYTES, LEAVES, NAMES};

const RANGE_BYTES: u64 = 64 << 10;

fn range(criterion: &mut Criterion) {
    let tree = Handmade::make("range");
    let options =
        RepoOptions { archives: vec![ArchiveOptions::new(&tree.blocks)], ..RepoOptions::default() };
    let repo = Repo::open(&options).expect("the tree is an archive");
    let path = ContentPath::with_segments(tree.root, NAMES);
    let node = repo.resolve(&path).expect("the path leads to a file").node;
    let opened: u64 = repo.read(&node, ..).map(|piece| piece.expect("it reads").len() as u64).sum();
    assert_eq!(opened, LEAVES * LEAF_BYTES as u64);

    let mut group = criterion.benchmark_group("range");
    group.measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Bytes(RANGE_BYTES));
    let mut buffer = vec![0; RANGE_BYTES as usize];
    let mut random = Random::new(1);
    group.bench_function("warm_64k", |bench| {
        bench.iter(|| {
            let start = random.below(opened - RANGE_BYTES + 1);
            read(repo.read(&node, start..start + RANGE_BYTES), &mut buffer);
        });
    });
    let leaf = File::open(&tree.leaf_path).expect("it is there");
    group.bench_function("warm_64k_floor_pread", |bench| {
        bench.iter(|| {
            let start = random.below(LEAF_BYTES as u64 - RANGE_BYTES + 1);
            leaf.read_exact_at(black_box(&mut buffer), start).expect("it is long enough");
        });
    });
    group.finish();
}

/// Fills the buffer with the range, piece by piece, where nothing has to wait; panics where something would.
fn read(mut reader: FileReader, buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut extent = match reader.next_now().expect("it reads") {
            Step::Piece(Piece::Extent(extent)) => extent,
            other => panic!("{other:?} instead of bytes of an open file"),
        };
        while !extent.is_empty() {
            let read = extent.read_now(&mut buffer[filled..]).expect("it reads");
            filled += read.expect("all is in the page cache, and the file system can tell");
        }
    }
    black_box(buffer);
}

criterion_group!(benches, range);
criterion_main!(benches);
