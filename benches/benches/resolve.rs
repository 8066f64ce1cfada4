//! A path of five names to a file, from the cache of nodes and without it.
//! Targets: `five_deep_cached` at most 5 us, which is what a request may spend on its path; `five_deep_uncached` at most
//! 20 us for each of its six blocks.

#![allow(missing_docs)]

mod handmade;

use std::hint::black_box;
use std::time::Duration;

use coldfront::{ArchiveOptions, ContentPath, Repo, RepoOptions};
use criterion::{Criterion, criterion_group, criterion_main};
use handmade::{Handmade, NAMES};

fn resolve(criterion: &mut Criterion) {
    let tree = Handmade::make("resolve");
    let path = ContentPath::with_segments(tree.root, NAMES);
    let options =
        RepoOptions { archives: vec![ArchiveOptions::new(&tree.blocks)], ..RepoOptions::default() };
    let cached = Repo::open(&options).expect("the tree is an archive");
    let uncached = Repo::open(&RepoOptions { node_cache_bytes: 0, ..options })
        .expect("the tree is an archive");
    cached.resolve(&path).expect("the path leads to a file");

    let mut group = criterion.benchmark_group("resolve");
    group.measurement_time(Duration::from_secs(3));
    group.bench_function("five_deep_cached", |bench| {
        bench.iter(|| {
            black_box(cached.resolve_now(&path)).expect("no error").expect("all nodes are cached")
        });
    });
    group.bench_function("five_deep_uncached", |bench| {
        bench.iter(|| black_box(uncached.resolve(&path)).expect("the path leads to a file"));
    });
    group.finish();
}

criterion_group!(benches, resolve);
criterion_main!(benches);
