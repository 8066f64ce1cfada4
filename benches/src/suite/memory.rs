//! `memory`: what coldfront holds and how soon it answers, over a tree of 1,000 and of 1,000,000 tiny blocks, each
//! beside the video set. Nothing may depend on the size of the tree.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{RESIDENT_LIMIT, VIEWERS, with_viewers};
use crate::fixtures::Cache;
use crate::fixtures::tree::{TinyBlock, Tree};
use crate::fixtures::video::{Leaves, Repo, Video};
use crate::load::Load;
use crate::machine;
use crate::options::{Options, Peer};
use crate::process::Memory;
use crate::report::{Report, megabytes, millis, verdict};
use crate::rounds::median;
use crate::server::Server;
use crate::server::coldfront::{self, Verify};

/// The two trees.
const COUNTS: [u64; 2] = [1_000, 1_000_000];
/// From the start of the process to its first 200.
const START_LIMIT: Duration = Duration::from_millis(50);
/// Starts of which the median is told.
const STARTS: usize = 10;
/// Starts with dropped caches, which also read the program from the disk.
const COLD_STARTS: usize = 3;
/// Random reads of tiny blocks.
const READS: u64 = 200_000;

/// What was found over one tree.
struct Found {
    start: Duration,
    cold_start: Option<Duration>,
    stages: Vec<(&'static str, Memory)>,
}

/// Measures coldfront over both trees.
pub fn run(options: &Options, cache: &Cache, report: &mut Report) -> Result<()> {
    ensure!(
        options.with(Peer::Coldfront),
        "memory measures coldfront alone; it cannot be left out of --peers"
    );
    let repo = Video::open(cache)?.repo(cache, Leaves::Raw)?;
    let mut found = Vec::new();
    for count in COUNTS {
        let tree = Tree::open(cache, count, &repo)?;
        found.push(
            measure(&tree, &repo, options, cache)
                .with_context(|| format!("over a tree of {count} blocks"))?,
        );
    }
    report.heading("memory: resident size and start");
    tell_starts(&found, report);
    report.line("");
    tell_memory(&found, report);
    Ok(())
}

fn measure(tree: &Tree, repo: &Repo, options: &Options, cache: &Cache) -> Result<Found> {
    let scratch = cache.folder("scratch")?;
    let launch = || {
        let ready = format!("/ipfs/{}", TinyBlock::of(0).cid());
        coldfront::launch("coldfront", &tree.blocks, &repo.prefix(), &ready, Verify::Off, &scratch)
    };
    let start = median_start(STARTS, || launch()?.start())?;
    let cold_start = if machine::drop_caches().is_ok() {
        Some(median_start(COLD_STARTS, || {
            machine::drop_caches()?;
            launch()?.start()
        })?)
    } else {
        None
    };
    let server = launch()?.start()?;
    let mut stages = vec![("the first answer", server.memory()?)];
    for load in Load::ALL {
        stages.push((load.name(), load.run(&server, options.length, &scratch)?.memory));
    }
    // Beyond what viewers do: as many blocks as there are, so that every cache comes to its bound.
    read_tiny(&server, tree, if options.quick { READS / 10 } else { READS })?;
    stages.push(("random tiny blocks, all caches full", server.memory()?));
    Ok(Found { start, cold_start, stages })
}

fn median_start(times: usize, start: impl Fn() -> Result<Server>) -> Result<Duration> {
    let seconds: Vec<f64> =
        (0..times).map(|_| Ok(start()?.start_time.as_secs_f64())).collect::<Result<_>>()?;
    Ok(Duration::from_secs_f64(median(seconds)))
}

/// Random blocks of the whole tree by their CIDs, each compared with its bytes.
fn read_tiny(server: &Server, tree: &Tree, times: u64) -> Result<()> {
    with_viewers(
        server,
        |connection, mut random, _| {
            (0..times / VIEWERS).try_for_each(|_| {
                let block = TinyBlock::of(random.below(tree.count));
                let path = format!("/ipfs/{}", block.cid());
                ensure!(
                    connection.fetch(&path, None)? == block.bytes,
                    "{path} has other bytes than its block"
                );
                Ok(())
            })
        },
        |_| Ok(()),
    )?;
    Ok(())
}

fn tell_starts(found: &[Found], report: &mut Report) {
    report.table(&["start to the first 200, median", "1,000 blocks", "1,000,000 blocks", "asked"]);
    let reached = found.iter().all(|found| found.start <= START_LIMIT);
    let starts: Vec<String> =
        found.iter().map(|found| format!("{} ms", millis(found.start))).collect();
    report.row(&row(
        format!("{STARTS} starts"),
        &starts,
        format!("<= {} ms {}", START_LIMIT.as_millis(), verdict(reached)),
    ));
    let cold: Vec<String> = found
        .iter()
        .map(|found| {
            found
                .cold_start
                .map_or_else(|| "needs root".into(), |start| format!("{} ms", millis(start)))
        })
        .collect();
    report.row(&row(format!("{COLD_STARTS} starts, page cache dropped"), &cold, "-".into()));
}

fn tell_memory(found: &[Found], report: &mut Report) {
    report.table(&["RSS MB (anon, file, peak) after", "1,000 blocks", "1,000,000 blocks", "asked"]);
    let stages = found.first().map_or(0, |found| found.stages.len());
    for index in 0..stages {
        let memories: Vec<(&str, Memory)> =
            found.iter().filter_map(|found| found.stages.get(index).copied()).collect();
        let name = memories.first().map_or("", |(name, _)| name);
        let reached = memories.iter().all(|(_, memory)| memory.peak <= RESIDENT_LIMIT);
        let cells: Vec<String> = memories.iter().map(|(_, memory)| memory_cell(memory)).collect();
        report.row(&row(
            name.into(),
            &cells,
            format!("<= {} MB {}", RESIDENT_LIMIT >> 20, verdict(reached)),
        ));
    }
}

fn memory_cell(memory: &Memory) -> String {
    let [resident, anonymous, file, peak] =
        [memory.resident, memory.anonymous, memory.file, memory.peak].map(megabytes);
    format!("{resident} ({anonymous}, {file}, {peak})")
}

fn row(name: String, cells: &[String], asked: String) -> Vec<String> {
    std::iter::once(name).chain(cells.iter().cloned()).chain(std::iter::once(asked)).collect()
}
