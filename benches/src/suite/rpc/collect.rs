//! `repo/gc` of 200,000 blocks, again and again, and small uploads beside it.
//!
//! Half of the blocks are pinned by one file, the other half is garbage when the first collection of a round begins.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::Course;
use super::node::{Kind, Node};
use super::uploads::ADD;
use crate::caller::Form;
use crate::histogram::Histogram;
use crate::random::Random;
use crate::report::{millis, verdict};
use crate::server::kubo::Store;

/// Blocks of 1 KiB, kept and garbage.
const BLOCKS: u64 = 200_000;
/// Uploads beside collections, and as many without.
const ADDS: u64 = 2_100;
/// Rounds with new garbage.
const ROUNDS: u64 = 3;
/// Connections that upload.
const UPLOADERS: u64 = 4;
/// Bytes of a small upload.
const SMALL: usize = 1024;
/// How often p99 may be that without collections.
const RATIO_LIMIT: f64 = 2.0;

#[derive(Debug, Default)]
struct Found {
    alone: Histogram,
    beside: Histogram,
    passes: u64,
    /// The first collection of each round.
    first: Vec<Duration>,
    freed: u64,
}

/// coldfront, then Kubo, whose uploads wait for a whole collection: it gets one round and one collection.
pub(super) fn run(course: &mut Course<'_>) -> Result<()> {
    let half = course.scaled(BLOCKS) / 2;
    let adds = course.scaled(ADDS);
    course
        .report
        .heading(&format!("rpc: adds beside repo/gc of {} blocks, half garbage", 2 * half));
    course.report.table(&[
        "by",
        "adds beside",
        "without: p50, p99, longest ms",
        "beside: p50, p99, longest ms",
        "p99 ratio",
        "collections, freed, first of a round s",
        "asked",
    ]);
    for kind in course.kinds(&[Store::Flatfs, Store::Pebble]) {
        let node = course.ground.fresh(kind)?;
        fill(&node, 1, half, true)?;
        let rounds = if kind == Kind::Coldfront { ROUNDS } else { 1 };
        let mut found = Found::default();
        for round in 0..rounds {
            fill(&node, 2 + round, half, false)?;
            found.round(&node, round, adds.div_ceil(rounds))?;
        }
        course.report.row(&found.row(kind));
    }
    course.told();
    Ok(())
}

/// One file of so many blocks.
fn fill(node: &Node, seed: u64, blocks: u64, pinned: bool) -> Result<()> {
    let mut bytes = vec![0; (blocks * 1024) as usize];
    Random::new(seed << 40).fill(&mut bytes);
    let target = format!("{ADD}&chunker=size-1024&pin={pinned}");
    node.connect()?.send(&target, Form::of_bytes(&bytes), &mut |_| ())?;
    Ok(())
}

impl Found {
    fn round(&mut self, node: &Node, round: u64, adds: u64) -> Result<()> {
        let never = AtomicBool::new(true);
        self.alone.merge(&uploads(node, round << 1, adds, &never)?);
        let collected_once = AtomicBool::new(false);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let collector = scope.spawn(|| {
                let done = self.passes(node, &over, &collected_once);
                // Whatever happened, the uploads must not wait for it.
                collected_once.store(true, Ordering::Relaxed);
                done
            });
            let beside = uploads(node, round << 1 | 1, adds, &collected_once);
            over.store(true, Ordering::Relaxed);
            let passed = collector.join().map_err(|_| anyhow!("the collector panicked"))?;
            Ok((beside?, passed?))
        })
        .map(|(beside, (passes, first, freed))| {
            self.beside.merge(&beside);
            self.passes += passes;
            self.first.push(first);
            self.freed += freed;
        })
    }

    /// Collections one after another: how many, how long the first took, and how many blocks went.
    fn passes(
        &self,
        node: &Node,
        over: &AtomicBool,
        collected_once: &AtomicBool,
    ) -> Result<(u64, Duration, u64)> {
        let (mut passes, mut first, mut freed) = (0, Duration::ZERO, 0);
        let mut caller = node.connect()?;
        while passes == 0 || !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            caller.call("repo/gc", &mut |piece| {
                freed += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
            })?;
            if passes == 0 {
                first = began.elapsed();
                collected_once.store(true, Ordering::Relaxed);
            }
            passes += 1;
            if node.kind != Kind::Coldfront {
                break;
            }
        }
        Ok((passes, first, freed))
    }

    fn row(&self, kind: Kind) -> Vec<String> {
        let three = |of: &Histogram| {
            let [p50, p99] = [0.5, 0.99].map(|share| millis(of.quantile(share)));
            format!("{p50}, {p99}, {}", millis(of.max()))
        };
        let p99 = |of: &Histogram| of.quantile(0.99).as_secs_f64();
        let ratio = p99(&self.beside) / p99(&self.alone);
        let first: Vec<String> =
            self.first.iter().map(|time| format!("{:.2}", time.as_secs_f64())).collect();
        let asked = match kind {
            Kind::Coldfront => format!("<= {RATIO_LIMIT} {}", verdict(ratio <= RATIO_LIMIT)),
            Kind::Kubo(_) => "-".into(),
        };
        vec![
            kind.name().to_owned(),
            self.beside.count().to_string(),
            three(&self.alone),
            three(&self.beside),
            format!("{ratio:.2}"),
            format!("{}, {}, {}", self.passes, self.freed, first.join(" ")),
            asked,
        ]
    }
}

/// Small uploads, each of other bytes, over some connections: at least so many, and on until a first collection is over.
fn uploads(node: &Node, seed: u64, adds: u64, may_end: &AtomicBool) -> Result<Histogram> {
    thread::scope(|scope| {
        let uploaders: Vec<_> = (0..UPLOADERS)
            .map(|number| {
                scope.spawn(move || -> Result<Histogram> {
                    let mut caller = node.connect()?;
                    let mut random = Random::new(seed << 32 | number << 24 | 7);
                    let (mut bytes, mut took) = (vec![0; SMALL], Histogram::default());
                    while took.count() < adds.div_ceil(UPLOADERS)
                        || !may_end.load(Ordering::Relaxed)
                    {
                        random.fill(&mut bytes);
                        let began = Instant::now();
                        caller.send(ADD, Form::of_bytes(&bytes), &mut |_| ())?;
                        took.record(began.elapsed());
                    }
                    Ok(took)
                })
            })
            .collect();
        let mut all = Histogram::default();
        for uploader in uploaders {
            let took = uploader.join().map_err(|_| anyhow!("an uploader panicked"))?;
            all.merge(&took?);
        }
        Ok(all)
    })
}
