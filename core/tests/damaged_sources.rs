//! Whatever of a repository is damaged, in any file of it: what comes over is right and the rest is told, or the
//! repository is refused with a sentence. Never a panic, a hang, or a wrong byte.
//!
//! `COLDFRONT_DAMAGES=500` makes that many in each repository, in place of a few.

#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coldfront::migrate::{Job, Pace, Select, Source, run};
use coldfront::pin::PinIndex;
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::{Block, BlockSource, Cid};
use tree::{Golden, each_golden, expected_pins, files_of};

const DAMAGES: &str = "COLDFRONT_DAMAGES";

/// Damages in each repository in an ordinary run.
const FEW: usize = 24;

/// Longer than any of these copies takes, on the slowest machine.
const HANGS: Duration = Duration::from_secs(60);

/// Bytes that change places.
const PIECE: usize = 512;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// One damage of a file's bytes: a flipped bit, a cut tail, or two pieces that changed places.
fn damaged(good: &[u8], kind: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let at = random.below(good.len());
    match kind % 3 {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes.truncate(at),
        _ => {
            let len = PIECE.min(good.len() / 2);
            let (a, b) = (random.below(good.len() - 2 * len + 1), good.len() - len);
            let piece = bytes[a..a + len].to_vec();
            bytes.copy_within(b.., a);
            bytes[b..].copy_from_slice(&piece);
        }
    }
    bytes
}

/// What a damaged repository gave.
#[derive(Default)]
struct Tally {
    refused: usize,
    told: usize,
    whole: usize,
}

/// What the whole repository holds.
struct Whole {
    blocks: BTreeSet<Vec<u8>>,
    pins: BTreeSet<String>,
}

fn open(folder: &Path) -> HotStore {
    let options = HotOptions { memory: 16 << 20, reserve: Some(0), ..HotOptions::new(folder) };
    HotStore::open(&options).unwrap()
}

/// Copies what it can and looks at everything that came over.
fn check(root: &Path, whole: &Whole, salvage: bool, tally: &mut Tally, what: &str) {
    let source = match Source::open(root, salvage) {
        Ok(source) => source,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            tally.refused += 1;
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let hot = open(&folder.path().join("hot"));
    let job = Job { select: Select::All, pace: Pace::default() };
    let report = match run(&source, &hot, job, &mut |_| ControlFlow::Continue(())) {
        Ok(report) => report,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            tally.refused += 1;
            return;
        }
    };
    let mut found = BTreeSet::new();
    for row in hot.scan(0) {
        let cid = row.unwrap().cid;
        if let Some(block) = hot.get(&cid).unwrap() {
            // Names of a store may be damaged as well: whatever a block is called, its bytes hash to it.
            Block::verified(cid, block.into_data()).unwrap_or_else(|_| panic!("{what}: {cid}"));
            found.insert(cid.hash().to_bytes());
        }
    }
    let pins: BTreeSet<String> = PinIndex::new(&hot, Vec::new())
        .list(None)
        .map(|pin| pin.unwrap().cid.to_string())
        .collect();
    let all = whole.blocks.is_subset(&found) && whole.pins.is_subset(&pins);
    let silent = !report.has_faults() && report.notes.is_empty();
    // The end of a journal that a crash cut off looks like one that was damaged: what it held was never promised.
    assert!(
        all || !silent || cut_journal(what),
        "{what}: something is missing and nothing is said: {report}"
    );
    match all {
        true => tally.whole += 1,
        false => tally.told += 1,
    }
}

/// Whether the damage is at the end of what a crash may cut: a journal, or a manifest that is a journal itself.
fn cut_journal(what: &str) -> bool {
    [".log", ".vlog", "MANIFEST"].iter().any(|part| what.contains(part))
}

/// The files of a repository: those that are no blocks first, each as often as there are kinds of damage.
fn places(root: &Path, count: usize, random: &mut Random) -> Vec<PathBuf> {
    let files = files_of(root).into_iter().filter(|(_, len, ..)| *len > 0);
    let files = files.filter(|(path, ..)| path.is_file()).map(|(path, ..)| path);
    let is_block = |path: &PathBuf| path.extension().is_some_and(|it| it == "data");
    let (blocks, others): (Vec<_>, Vec<_>) = files.partition(is_block);
    let mut places: Vec<_> = others.iter().cycle().take(count * 3 / 4).cloned().collect();
    let rest = if blocks.is_empty() { &others } else { &blocks };
    places.extend((places.len()..count).map(|_| rest[random.below(rest.len())].clone()));
    places
}

#[test]
fn whatever_is_damaged_what_comes_over_is_right_and_the_rest_is_told() {
    let count = std::env::var(DAMAGES).ok().and_then(|n| n.parse().ok()).unwrap_or(FEW);
    each_golden(|golden| damage(golden, count));
}

fn damage(golden: &Golden, count: usize) {
    let blocks = golden.expected["refs_local"].as_array().unwrap();
    let name =
        |cid: &serde_json::Value| cid.as_str().unwrap().parse::<Cid>().unwrap().hash().to_bytes();
    let whole = Whole {
        blocks: blocks.iter().map(name).collect(),
        pins: match golden.expected["pin_ls"].is_object() {
            true => expected_pins(golden).into_keys().collect(),
            false => BTreeSet::new(),
        },
    };
    let (mut random, mut tally) = (Random(42), Tally::default());
    for (number, path) in places(&golden.root(), count, &mut random).into_iter().enumerate() {
        let good = fs::read(&path).unwrap();
        let kind = random.below(3);
        fs::write(&path, damaged(&good, kind, &mut random)).unwrap();
        let what = format!("{}, damage {number} of kind {kind}", path.display());
        let began = Instant::now();
        check(&golden.root(), &whole, number % 2 == 0, &mut tally, &what);
        assert!(began.elapsed() < HANGS, "{what}: took {:?}", began.elapsed());
        fs::write(&path, &good).unwrap();
    }
    let Tally { refused, told, whole } = tally;
    eprintln!("{}: {refused} refused, {told} in part and told, {whole} whole", golden.name);
}
