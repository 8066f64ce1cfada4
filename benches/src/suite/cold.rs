//! `cold`: what a viewer of warm segments feels while others read what lies on the disk alone.
//!
//! A window: drop the page cache, warm the segments through the server, then 16 viewers of random segments while one
//! client downloads the large cold file and another reads cold ranges of it; it ends with the download. The large file
//! grows warm within a window, so windows are short and many, and each begins cold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::with_viewers;
use crate::client::Connection;
use crate::fixtures::Cache;
use crate::fixtures::video::{
    self, BIG, BIG_BYTES, Leaves, PLAYLIST, SEGMENT_BYTES, SEGMENTS, Video,
};
use crate::histogram::Histogram;
use crate::load::RANGE_BYTES;
use crate::machine;
use crate::options::{Options, Peer};
use crate::random::Random;
use crate::report::{Report, millis, verdict};
use crate::rounds::median;
use crate::server::coldfront::{self, Verify};
use crate::server::{Launch, Server, nginx};

/// The p99 of warm segments beside the cold load.
const P99_LIMIT: Duration = Duration::from_millis(30);

const COLUMNS: [&str; 10] = [
    "server",
    "windows",
    "warm answers",
    "p99 ms without cold load",
    "p50 ms",
    "p99 ms",
    "p99 ms of each window",
    "p99.9, max ms",
    "cold stream MB/s, cold ranges/s",
    "asked",
];

/// What one server did in all its windows.
#[derive(Debug, Default)]
struct Windows {
    calm: Histogram,
    warm: Histogram,
    p99s: Vec<Duration>,
    stream: Vec<f64>,
    ranges: Vec<f64>,
}

/// What one client counted beside the viewers.
struct Beside {
    stream_rate: f64,
    range_rate: f64,
}

/// Measures nginx and coldfront, window by window in turn.
pub fn run(options: &Options, cache: &Cache, report: &mut Report) -> Result<()> {
    let video = Video::open(cache)?;
    let scratch = cache.folder("scratch")?;
    let mut launches = Vec::new();
    if options.with(Peer::Nginx) {
        launches.push(nginx::launch("nginx", &video.plain, PLAYLIST, &scratch)?);
    }
    if options.with(Peer::Coldfront) {
        let repo = video.repo(cache, Leaves::Raw)?;
        let prefix = repo.prefix();
        let ready = format!("{prefix}/{PLAYLIST}");
        launches.push(coldfront::launch(
            "coldfront",
            &repo.blocks(),
            &prefix,
            &ready,
            Verify::Off,
            &scratch,
        )?);
    }
    let servers: Vec<Server> = launches.into_iter().map(Launch::start).collect::<Result<_>>()?;
    let mut results: Vec<Windows> = servers.iter().map(|_| Windows::default()).collect();
    for _ in 0..options.rounds {
        for (server, result) in servers.iter().zip(&mut results) {
            window(server, result).with_context(|| format!("the cold load on {}", server.name))?;
        }
    }
    report.heading("cold: warm segments beside a cold stream and cold ranges");
    report.table(&COLUMNS);
    for (server, result) in servers.iter().zip(&results) {
        report.row(&cells(server, result));
    }
    report.line(format!("\n16 viewers; load average {} after", machine::load_average()));
    Ok(())
}

fn window(server: &Server, result: &mut Windows) -> Result<()> {
    machine::drop_caches()?;
    warm_up(server)?;
    let (calm, ()) = with_viewers(
        server,
        |connection, random, over| watch(server, connection, random, over),
        |_| {
            std::thread::sleep(Duration::from_millis(500));
            Ok(())
        },
    )?;
    calm.iter().for_each(|histogram| result.calm.merge(histogram));

    let viewer = |connection: &mut Connection, random: Random, over: &AtomicBool| {
        watch(server, connection, random, over)
    };
    let (warm, beside) = with_viewers(server, viewer, |over| cold_load(server, over))?;
    let mut own = Histogram::default();
    warm.iter().for_each(|histogram| own.merge(histogram));
    result.p99s.push(own.quantile(0.99));
    result.warm.merge(&own);
    result.stream.push(beside.stream_rate);
    result.ranges.push(beside.range_rate);
    Ok(())
}

/// Every segment through the server twice: in the page cache, and in what the server keeps of its own.
fn warm_up(server: &Server) -> Result<()> {
    let mut connection = server.connect()?;
    (0..2 * SEGMENTS).try_for_each(|number| {
        connection.drain(&server.path(&video::segment(number % SEGMENTS)), SEGMENT_BYTES)
    })
}

/// Random segments, one after the other, until it is over.
fn watch(
    server: &Server,
    connection: &mut Connection,
    mut random: Random,
    over: &AtomicBool,
) -> Result<Histogram> {
    let mut histogram = Histogram::default();
    while !over.load(Ordering::Relaxed) {
        let path = server.path(&video::segment(random.below(SEGMENTS)));
        let begin = Instant::now();
        connection.drain(&path, SEGMENT_BYTES)?;
        histogram.record(begin.elapsed());
    }
    Ok(histogram)
}

/// The large file once, and random ranges of it meanwhile.
fn cold_load(server: &Server, over: &AtomicBool) -> Result<Beside> {
    let path = server.path(BIG);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let ranges = scope.spawn(|| ranges(server, &path, over));
        let streamed =
            server.connect().and_then(|mut connection| connection.drain(&path, BIG_BYTES));
        let seconds = begin.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        let ranges =
            ranges.join().unwrap_or_else(|_| Err(anyhow!("the thread of the ranges panicked")))?;
        streamed?;
        Ok(Beside {
            stream_rate: BIG_BYTES as f64 / 1e6 / seconds,
            range_rate: ranges as f64 / seconds,
        })
    })
}

fn ranges(server: &Server, path: &str, over: &AtomicBool) -> Result<u64> {
    let mut connection = server.connect()?;
    let mut random = Random::new(77);
    let mut count = 0;
    while !over.load(Ordering::Relaxed) {
        let start = random.below(BIG_BYTES - RANGE_BYTES + 1);
        connection.drain_range(path, start..start + RANGE_BYTES)?;
        count += 1;
    }
    Ok(count)
}

fn cells(server: &Server, result: &Windows) -> Vec<String> {
    let p99 = result.warm.quantile(0.99);
    let each: Vec<String> =
        result.p99s.iter().map(|p99| format!("{:.0}", p99.as_secs_f64() * 1e3)).collect();
    let asked = if server.name == "coldfront" {
        format!("p99 <= {} ms {}", P99_LIMIT.as_millis(), verdict(p99 <= P99_LIMIT))
    } else {
        "-".into()
    };
    vec![
        server.name.clone(),
        result.p99s.len().to_string(),
        result.warm.count().to_string(),
        millis(result.calm.quantile(0.99)),
        millis(result.warm.quantile(0.5)),
        millis(p99),
        each.join(" "),
        format!("{}, {}", millis(result.warm.quantile(0.999)), millis(result.warm.max())),
        format!("{:.0}, {:.0}", median(result.stream.clone()), median(result.ranges.clone())),
        asked,
    ]
}
