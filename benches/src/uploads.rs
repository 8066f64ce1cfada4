//! Acknowledged uploads of many lengths: what the log costs, and what a flush does.
//!
//! Files are added and pinned one after another by each way in turn, each durable before the next; beside them a copy of the
//! same bytes with a sync.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use coldfront::BlockStore;
use coldfront::pin::{NewPin, PinIndex};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::import::{ImportOptions, Importer, Metadata};

use crate::machine;
use crate::random::Random;
use crate::rounds::median;
use crate::work::written;

/// Megabytes of a file, and rounds.
const LENGTHS: [(u64, u64); 8] =
    [(1, 15), (2, 15), (4, 15), (8, 11), (16, 9), (32, 5), (100, 5), (1024, 3)];

/// Megabytes that are taken in to count what is written.
const MEGABYTES_COUNTED: u64 = 64;

/// A way to take in a file.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Everything is logged.
    Logged,
    /// Nothing is, and all is flushed at the end.
    Flushed,
    /// As uploads are.
    Upload,
}

/// A store that is filled in one way.
struct Taker {
    way: Way,
    hot: HotStore,
    pins: PinIndex,
    took: Vec<f64>,
}

/// Measures in `folder`, and prints a line for each length and way.
pub fn run(folder: &Path, most_megabytes: u64) -> Result<()> {
    println!("load average {}", machine::load_average());
    for (megabytes, rounds) in LENGTHS.into_iter().filter(|(length, _)| *length <= most_megabytes) {
        let place = folder.join("uploads");
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::create_dir_all(&place)?;
        let mut takers = Vec::new();
        for way in [Way::Logged, Way::Flushed, Way::Upload] {
            let hot = HotStore::open(&HotOptions::new(place.join(format!("{way:?}"))))?;
            let pins = PinIndex::new(&hot, Vec::new());
            takers.push(Taker { way, hot, pins, took: Vec::new() });
        }
        let copies = rounds_of(&place, megabytes, rounds, &mut takers)?;
        let copy = median(copies);
        for taker in takers {
            tell(&place, megabytes, copy, taker)?;
        }
        fs::remove_dir_all(&place)?;
    }
    Ok(())
}

/// Returns how long the copies took, in seconds.
fn rounds_of(place: &Path, megabytes: u64, rounds: u64, takers: &mut [Taker]) -> Result<Vec<f64>> {
    let source = place.join("source");
    let mut copies = Vec::new();
    for round in 0..rounds {
        write_source(&source, megabytes << 32 | round, megabytes)?;
        copies.push(copied(&source, &place.join("copy"))?);
        for taker in takers.iter_mut() {
            taker.took.push(added(&source, taker)?);
        }
    }
    Ok(copies)
}

fn tell(place: &Path, megabytes: u64, copy: f64, mut taker: Taker) -> Result<()> {
    let middle = median(std::mem::take(&mut taker.took));
    let rounds = (MEGABYTES_COUNTED / megabytes).max(1);
    // In a turn of its own: what a store has in memory is written some time, and the system counts by process.
    taker.hot.bulk("rest").flush()?;
    let (source, before) = (place.join("source"), written()?);
    let mut sources = 0;
    for round in 0..rounds {
        let made = written()?;
        write_source(&source, 1 << 62 | megabytes << 32 | round, megabytes)?;
        sources += written()? - made;
        added(&source, &taker)?;
    }
    taker.hot.bulk("rest").flush()?;
    println!(
        "{megabytes} MiB, {:?}: {:.1} ms, cp + sync {:.1} ms ({:.2} of its rate); {:.3} bytes written a byte",
        taker.way,
        middle * 1e3,
        copy * 1e3,
        copy / middle,
        (written()? - before - sources) as f64 / (rounds * (megabytes << 20)) as f64,
    );
    Ok(())
}

fn write_source(path: &PathBuf, seed: u64, megabytes: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let mut random = Random::new(seed);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..megabytes {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    Ok(file.sync_all()?)
}

fn copied(source: &Path, to: &Path) -> Result<f64> {
    let mut from = io::BufReader::with_capacity(1 << 20, File::open(source)?);
    let began = Instant::now();
    let mut copy = File::create(to)?;
    // By reads and writes: `fs::copy` may share what is there.
    loop {
        let piece = io::BufRead::fill_buf(&mut from)?;
        let len = piece.len();
        if len == 0 {
            break;
        }
        copy.write_all(piece)?;
        io::BufRead::consume(&mut from, len);
    }
    copy.sync_all()?;
    let took = began.elapsed().as_secs_f64();
    fs::remove_file(to)?;
    Ok(took)
}

fn added(source: &Path, taker: &Taker) -> Result<f64> {
    let source = File::open(source).context("the source is there")?;
    let began = Instant::now();
    let store: Arc<dyn BlockStore> = match taker.way {
        Way::Logged => Arc::new(taker.hot.clone()),
        Way::Flushed => Arc::new(taker.hot.bulk("bench")),
        Way::Upload => Arc::new(taker.hot.leased()),
    };
    let mut importer = Importer::new(&ImportOptions::cid_v1(), store)?;
    let file = importer.file(source, &Metadata::NONE)?;
    importer.finish()?;
    taker.pins.add(&NewPin::new(file.cid))?;
    Ok(began.elapsed().as_secs_f64())
}
