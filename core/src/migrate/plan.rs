//! What a job would take: how much there is, how long it lasts, what is left behind, whether there is room.
//!
//! Owns the estimates and says of each whether it was counted or told from a sample. Looks at a bounded part of a source,
//! however large it is; reads some of its blocks, since nothing else tells how fast its disk is. Changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use coldfront_flatfs::FlatFs;
use coldfront_pebble::Store;
use serde_json::{Value, json};

use super::carry::prefix_if_dropped;
use super::copy::check;
use super::error::MigrateError;
use super::source::{Part, Source, read_path};
use crate::block::Cid;
use crate::car::CarReader;
use crate::kubo::tree::{self, Files, Listed, MAX_SORTED};
use crate::kubo::{Flavour, Repository, block_name};

/// Shard directories that are listed to estimate the number of blocks, evenly spread.
const SHARDS_LISTED: usize = 16;

/// Files of a tree that are counted where there are no more.
const FILES_COUNTED: usize = 100_000;

/// Blocks that are read to learn their length and the speed of the disk.
const BLOCKS_READ: usize = 256;

/// Time after which no more are read.
const READING_TIME: Duration = Duration::from_secs(10);

/// Pins and other records that are counted where there are no more.
const RECORDS_COUNTED: u64 = 1_000_000;

/// Time that the file of a block takes on the way back beside its bytes: made, named, renamed and closed, with four threads
/// at it. Assumed for a file system on a disk that takes writes together; nothing here depends on it but an estimate.
const WRITING_A_FILE: Duration = Duration::from_micros(60);

/// Bytes that a block takes in a hot store beside its own: index, number, links.
const BESIDE_A_BLOCK: u64 = 150;

/// A number, and whether it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The number.
    pub value: u64,
    /// Counted to the end; else told from a sample, or a count that was ended.
    pub exact: bool,
}

impl Estimate {
    fn add(&mut self, other: Estimate) {
        self.value = self.value.saturating_add(other.value);
        self.exact &= other.exact;
    }

    fn to_json(self) -> Value {
        json!({"value": self.value, "exact": self.exact})
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.exact { "" } else { "about " }, self.value)
    }
}

/// What a job would take.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The source.
    pub source: String,
    /// What it is, in words.
    pub kind: String,
    /// Blocks in it.
    pub blocks: Estimate,
    /// Their bytes.
    pub bytes: Estimate,
    /// Pins.
    pub pins: Estimate,
    /// Keys, that of the node included.
    pub keys: u64,
    /// The MFS root.
    pub mfs_root: Option<Cid>,
    /// Records that are not carried over, by the beginning of their keys; whether all were counted.
    pub dropped: (BTreeMap<String, u64>, bool),
    /// Blocks of the sample that are bad.
    pub bad_in_sample: u64,
    /// Blocks of the sample.
    pub sample: u64,
    /// Bytes a second at which one reader read and hashed the sample.
    pub bytes_per_second: u64,
    /// Bytes that the target will take.
    pub needs: u64,
    /// Bytes that are free where the target is to lie, for other users than root; `None` where nobody said where.
    pub free: Option<u64>,
    /// What is odd about the source, each a sentence.
    pub notes: Vec<String>,
}

impl Plan {
    /// How long the copy takes at the speed of the sample. More readers make it shorter where the disk allows it.
    pub fn takes(&self) -> Option<Duration> {
        (self.bytes_per_second > 0)
            .then(|| Duration::from_secs(self.bytes.value.div_ceil(self.bytes_per_second)))
    }

    /// How long the way back takes, all of it: the bytes at the speed of the sample, as they go to a disk like the one that
    /// they came from, and a file for each block. With `since` it is as much less as less was added; a plan of the export
    /// itself tells that from the target.
    pub fn way_back(&self) -> Option<Duration> {
        let files =
            WRITING_A_FILE.saturating_mul(u32::try_from(self.blocks.value).unwrap_or(u32::MAX));
        self.takes().map(|takes| takes.saturating_add(files))
    }

    /// Whether there is room for the target, where that is known.
    pub fn has_room(&self) -> Option<bool> {
        self.free.map(|free| free > self.needs)
    }

    /// As JSON, for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "source": self.source,
            "kind": self.kind,
            "blocks": self.blocks.to_json(),
            "bytes": self.bytes.to_json(),
            "pins": self.pins.to_json(),
            "keys": self.keys,
            "mfs_root": self.mfs_root.map(|cid| cid.to_string()),
            "dropped": self.dropped.0,
            "dropped_exact": self.dropped.1,
            "sample": self.sample,
            "bad_in_sample": self.bad_in_sample,
            "bytes_per_second": self.bytes_per_second,
            "seconds": self.takes().map(|takes| takes.as_secs()),
            "way_back_seconds": self.way_back().map(|takes| takes.as_secs()),
            "needs": self.needs,
            "free": self.free,
            "has_room": self.has_room(),
            "notes": self.notes,
        })
    }

    fn add(&mut self, found: &Found) {
        self.blocks.add(found.blocks);
        self.bytes.add(found.bytes);
        self.sample += found.sample.blocks;
        self.bad_in_sample += found.sample.bad;
        let seconds = found.sample.took.as_secs_f64().max(0.000_001);
        if found.sample.bytes > 0 {
            self.bytes_per_second = (found.sample.bytes as f64 / seconds) as u64;
        }
    }
}

/// What a part of a source holds.
struct Found {
    blocks: Estimate,
    bytes: Estimate,
    sample: Sample,
}

/// Blocks that were read and hashed.
struct Sample {
    began: Instant,
    blocks: u64,
    bytes: u64,
    bad: u64,
    took: Duration,
}

impl Sample {
    fn new() -> Sample {
        Sample { began: Instant::now(), blocks: 0, bytes: 0, bad: 0, took: Duration::ZERO }
    }

    fn is_enough(&self) -> bool {
        self.blocks as usize >= BLOCKS_READ || self.began.elapsed() >= READING_TIME
    }

    fn take(&mut self, cid: &Cid, data: Option<&[u8]>) {
        self.blocks += 1;
        self.bytes += data.map_or(0, |data| data.len() as u64);
        self.bad += u64::from(data.is_none_or(|data| check(cid, data).is_err()));
        self.took = self.began.elapsed();
    }

    /// Bytes of a block of it, on the average.
    fn mean(&self) -> u64 {
        self.bytes.div_ceil(self.blocks.max(1)).max(1)
    }
}

/// Looks at a source. `to` is where the target is to lie, to see whether there is room. Takes seconds.
///
/// # Errors
/// [`MigrateError`] where the source cannot be read at all.
pub fn plan(source: &Source, to: Option<&Path>) -> Result<Plan, MigrateError> {
    let exact = Estimate { value: 0, exact: true };
    let mut plan = Plan {
        source: source.path().display().to_string(),
        kind: kind_of(source),
        blocks: exact,
        bytes: exact,
        pins: exact,
        dropped: (BTreeMap::new(), true),
        ..Plan::default()
    };
    for part in source.parts() {
        let found = match part {
            Part::Tree(tree) => look_at_tree(tree)?,
            Part::Pairs { store, folder, prefix } => look_at_pairs(store, folder, prefix)?,
            Part::Car(path) => look_at_car(path)?,
        };
        plan.add(&found);
    }
    if let Some(repository) = source.repository() {
        look_at_records(repository, &mut plan)?;
    }
    let beside = plan.blocks.value.saturating_mul(BESIDE_A_BLOCK);
    plan.needs = plan.bytes.value.saturating_add(plan.bytes.value / 50).saturating_add(beside);
    plan.free = to.and_then(free_at);
    Ok(plan)
}

fn kind_of(source: &Source) -> String {
    match (source.repository(), source.parts().first()) {
        (Some(repository), _) => {
            let program = match repository.flavour() {
                Flavour::JsIpfs => "js-ipfs",
                Flavour::Kubo => "Kubo",
            };
            format!("a repository of {program}, version {}", repository.version())
        }
        (None, Some(Part::Car(_))) => "a CAR file".to_owned(),
        (None, Some(Part::Pairs { .. })) => "a store without its repository".to_owned(),
        (None, _) => "a flatfs tree without its repository".to_owned(),
    }
}

/// A tree: some of its directories are listed, and some blocks of one of them read.
fn look_at_tree(tree: &FlatFs) -> Result<Found, MigrateError> {
    let failed = |source| MigrateError::Io { path: tree.root().to_owned(), source };
    let shards = tree::shards(tree.root(), tree.shard_fn()).map_err(failed)?;
    let every = (shards.len() / SHARDS_LISTED).max(1);
    let (mut listed, mut files, mut capped) = (0, 0, false);
    let mut sample = Sample::new();
    // The others too, while there are few files.
    let (some, others): (Vec<_>, Vec<_>) =
        shards.iter().enumerate().partition(|(at, _)| at % every == 0);
    let spread = some.len();
    for (_, shard) in some.into_iter().chain(others) {
        if listed >= spread && files > FILES_COUNTED {
            break;
        }
        let mut folder = Files::open(tree.root(), shard, tree.shard_fn()).map_err(failed)?;
        let found = folder.next_sorted().map_err(failed)?;
        capped |= found.len() == MAX_SORTED;
        listed += 1;
        files += found.len();
        for file in found {
            if sample.is_enough() {
                break;
            }
            if let Listed::Block(name) = file.listed {
                let data = read_path(&folder.path_of(&file.text)).ok();
                sample.take(&name.cid, data.as_deref());
            }
        }
    }
    let exact = listed == shards.len() && !capped;
    let blocks = (files as f64 * shards.len() as f64 / listed.max(1) as f64) as u64;
    let known = disk_usage(tree).unwrap_or(0);
    // Kubo's own figure, where there is one, says more of the bytes than a few hundred blocks do.
    let bytes = if known > 0 { known } else { blocks.saturating_mul(sample.mean()) };
    Ok(Found {
        blocks: Estimate { value: blocks, exact },
        bytes: Estimate { value: bytes, exact: false },
        sample,
    })
}

/// What Kubo wrote down of a tree's size, if it has.
fn disk_usage(tree: &FlatFs) -> Option<u64> {
    let text = fs::read(tree.root().join("diskUsage.cache")).ok()?;
    serde_json::from_slice::<Value>(&text).ok()?.get("diskUsage")?.as_u64()
}

/// A store: its files tell the bytes, its first blocks how many that are.
fn look_at_pairs(store: &Store, folder: &Path, prefix: &str) -> Result<Found, MigrateError> {
    let failed = |source| MigrateError::Io { path: folder.to_owned(), source };
    let mut total = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        total += entry.and_then(|entry| entry.metadata()).map_err(failed)?.len();
    }
    let mut sample = Sample::new();
    let mut pairs = store.scan_prefix(prefix.as_bytes());
    let ended = loop {
        if sample.is_enough() {
            break false;
        }
        let Some(pair) = pairs.next() else { break true };
        let (key, value) = pair?;
        if let Some(name) = block_name(key.get(prefix.len()..).unwrap_or_default()) {
            sample.take(&name.cid, Some(&value));
        }
    };
    let (blocks, bytes) = match ended {
        true => (sample.blocks, sample.bytes),
        false => (total / sample.mean(), total),
    };
    Ok(Found {
        blocks: Estimate { value: blocks, exact: ended },
        bytes: Estimate { value: bytes, exact: ended },
        sample,
    })
}

/// A CAR: its length tells the bytes.
fn look_at_car(path: &Path) -> Result<Found, MigrateError> {
    let failed = |source| MigrateError::Io { path: path.to_owned(), source };
    let car = |source| MigrateError::Car { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let total = file.metadata().map_err(failed)?.len();
    let mut reader = CarReader::new(BufReader::new(file)).map_err(car)?;
    let mut sample = Sample::new();
    let ended = loop {
        if sample.is_enough() {
            break false;
        }
        let Some(section) = reader.next_section().map_err(car)? else { break true };
        sample.take(&section.cid, Some(&section.data));
    };
    let (blocks, bytes) = match ended {
        true => (sample.blocks, sample.bytes),
        false => (total / (sample.mean() + 40), total),
    };
    Ok(Found {
        blocks: Estimate { value: blocks, exact: ended },
        bytes: Estimate { value: bytes, exact: ended },
        sample,
    })
}

fn look_at_records(repository: &Repository, plan: &mut Plan) -> Result<(), MigrateError> {
    plan.notes.extend_from_slice(repository.notes());
    if repository.flavour() == Flavour::JsIpfs {
        plan.notes.push("its blocks are copied; its pins and keys cannot be read".to_owned());
        return Ok(());
    }
    for pin in repository.pins()? {
        if plan.pins.value == RECORDS_COUNTED {
            plan.pins.exact = false;
            break;
        }
        plan.pins.value += 1;
        if let Err(error) = pin {
            plan.notes.push(super::source::chain(&error));
        }
    }
    plan.keys = repository.keys()?.len() as u64 + u64::from(repository.identity().is_some());
    plan.mfs_root = repository.mfs_root()?;
    let (mut looked_at, (counts, exact)) = (0, &mut plan.dropped);
    for key in repository.datastore().other_keys() {
        if looked_at == RECORDS_COUNTED {
            *exact = false;
            break;
        }
        looked_at += 1;
        if let Some(prefix) = prefix_if_dropped(&key?) {
            *counts.entry(prefix).or_default() += 1;
        }
    }
    Ok(())
}

/// Bytes free on the file system on which a path lies, or will.
fn free_at(path: &Path) -> Option<u64> {
    let there = std::path::absolute(path).ok()?;
    let there = there.ancestors().find(|path| path.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
