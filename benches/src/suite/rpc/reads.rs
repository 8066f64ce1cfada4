//! `cat` of the large file, `block/get` of its leaves and `block/stat`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::Course;
use super::contest::{Asked, CALLS, Contest, MEGABYTES};
use super::node::{Kind, Node};
use super::shelf::Shelf;
use crate::caller::BELOW;
use crate::fixtures::uploads::BIG_BYTES;
use crate::random::Random;
use crate::server::kubo::Store;
use crate::wrk;

/// Bytes of a leaf.
const LEAF_BYTES: u64 = 256 << 10;
/// Connections of both rows of blocks.
const CONNECTIONS: u64 = 16;
/// The shortest answer of `block/stat`.
const STAT_BYTES: u64 = 80;
/// Kubo's stores, by how fast the one or the other reads: coldfront is held against both.
const KUBOS: [Kind; 2] = [Kind::Kubo(Store::Flatfs), Kind::Kubo(Store::Pebble)];

fn asked(rate: f64, cpu: Option<f64>) -> [Asked; 2] {
    KUBOS.map(|of| Asked { of, rate, cpu })
}

/// The whole file over one connection.
pub(super) fn cat(course: &mut Course<'_>, shelf: &Shelf) -> Result<()> {
    course.report.heading("rpc: cat of 1 GiB");
    let target = format!("cat?arg={}", shelf.root);
    let contest = Contest::hold(&shelf.kinds(), course.options.rounds, |index, _, _| {
        let node = &shelf.nodes[index];
        node.measure(|| {
            let answer = node.connect()?.call(&target, &mut |_| ())?;
            ensure!(answer.bytes == BIG_BYTES, "{} bytes of {BIG_BYTES}", answer.bytes);
            Ok(BIG_BYTES as f64 / 1e6)
        })
    })?;
    contest.tell(MEGABYTES, &asked(3.0, Some(1.0 / 3.0)), course.report);
    course.told();
    Ok(())
}

/// Random leaves, and what is known of them.
pub(super) fn blocks(course: &mut Course<'_>, shelf: &Shelf) -> Result<()> {
    let seconds = course.options.length.seconds;
    course.report.heading("rpc: block/get of 256 KiB, 16 connections");
    let contest = Contest::hold(&shelf.kinds(), course.options.rounds, |index, _, round| {
        let node = &shelf.nodes[index];
        node.measure_timed(|| get(node, &shelf.leaves, round as u64, Duration::from_secs(seconds)))
    })?;
    contest.tell(CALLS, &asked(4.0, None), course.report);
    course.report.heading("rpc: block/stat, 16 connections");
    let targets: Vec<String> =
        shelf.leaves.iter().map(|cid| format!("{BELOW}block/stat?arg={cid}")).collect();
    let script = wrk::calls_script(&targets);
    let scratch = course.ground.at("");
    let contest = Contest::hold(&shelf.kinds(), course.options.rounds, |index, _, _| {
        let node = &shelf.nodes[index];
        let address = node.server()?.address;
        node.measure_timed(|| {
            let counts = wrk::run(address, &script, seconds, STAT_BYTES, &scratch)?;
            Ok((counts.requests as f64, Duration::from_secs_f64(counts.seconds)))
        })
    })?;
    contest.tell(CALLS, &asked(5.0, None), course.report);
    course.told();
    Ok(())
}

/// Random leaves from a thread for each connection; wrk reads 8 KiB at once, which would measure wrk.
fn get(node: &Node, leaves: &[String], round: u64, time: Duration) -> Result<(f64, Duration)> {
    let (over, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let (over, calls) = (&over, &calls);
                scope.spawn(move || -> Result<()> {
                    let mut caller = node.connect()?;
                    let mut random = Random::new(round << 32 | number);
                    while !over.load(Ordering::Relaxed) {
                        let leaf = &leaves[random.below(leaves.len() as u64) as usize];
                        let answer = caller.call(&format!("block/get?arg={leaf}"), &mut |_| ())?;
                        ensure!(answer.bytes == LEAF_BYTES, "{} bytes of a leaf", answer.bytes);
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        clients.into_iter().try_for_each(|client| {
            client.join().unwrap_or_else(|_| Err(anyhow!("a client's thread panicked")))
        })
    })?;
    Ok((calls.load(Ordering::Relaxed) as f64, began.elapsed()))
}
