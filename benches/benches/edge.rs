//! What the gateway spends on an answer besides reading and sending it: the request understood, the path resolved from
//! cached nodes, the headers, and a body of one small range. No socket.
//! Target: `range_answer` at most 4 us, whatever the size of the file.

#![allow(missing_docs)]

mod handmade;

use std::hint::black_box;
use std::time::Duration;

use coldfront::{ArchiveOptions, Repo, RepoOptions};
use coldfront_http::{Body, Gateway, Limits};
use criterion::{Criterion, criterion_group, criterion_main};
use handmade::{Handmade, NAMES};
use http_body_util::BodyExt as _;

fn edge(criterion: &mut Criterion) {
    let tree = Handmade::make("edge");
    let options =
        RepoOptions { archives: vec![ArchiveOptions::new(&tree.blocks)], ..RepoOptions::default() };
    let repo = Repo::open(&options).expect("the tree is an archive");
    let gateway = Gateway::new(repo, Limits::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let target = format!("/ipfs/{}/{}", tree.root, NAMES.join("/"));
    let request = || {
        let builder = http::Request::get(&target).header("host", "127.0.0.1:8080");
        builder.header("range", "bytes=300000-300099").body(()).expect("it is a request")
    };
    let answer = || runtime.block_on(async { gateway.handle(request()).await });
    assert_eq!(bytes(&runtime, answer()), 100);

    let mut group = criterion.benchmark_group("edge");
    group.measurement_time(Duration::from_secs(3));
    group.bench_function("range_answer", |bench| {
        bench.iter(|| {
            let response = black_box(answer());
            assert_eq!(response.status(), 206);
            bytes(&runtime, response)
        });
    });
    group.bench_function("range_answer_floor_request", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                black_box(request());
            });
        });
    });
    group.finish();
}

fn bytes(runtime: &tokio::runtime::Runtime, response: http::Response<Body>) -> usize {
    runtime.block_on(async {
        response.into_body().collect().await.expect("it is sent").to_bytes().len()
    })
}

criterion_group!(benches, edge);
criterion_main!(benches);
