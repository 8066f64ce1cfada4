//! 64 KiB from anywhere in a file, as the edge reads them: without waiting, into one buffer.
//! Target: `warm_64k` at most 1.3 of its floor, which reads the same bytes of the same leaves, kept open, by bare `pread`s.

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
    let leaves: Vec<File> =
        tree.leaf_paths.iter().map(|path| File::open(path).expect("it is there")).collect();
    group.bench_function("warm_64k_floor_pread", |bench| {
        bench.iter(|| {
            let start = random.below(opened - RANGE_BYTES + 1);
            read_bare(&leaves, start as usize, black_box(&mut buffer));
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

/// Fills the buffer from byte `start` of the file that the leaves make.
fn read_bare(leaves: &[File], start: usize, buffer: &mut [u8]) {
    let (leaf, offset) = (start / LEAF_BYTES, start % LEAF_BYTES);
    let (head, tail) = buffer.split_at_mut(buffer.len().min(LEAF_BYTES - offset));
    leaves[leaf].read_exact_at(head, offset as u64).expect("it is long enough");
    if !tail.is_empty() {
        leaves[leaf + 1].read_exact_at(tail, 0).expect("it is long enough");
    }
}

criterion_group!(benches, range);
criterion_main!(benches);
