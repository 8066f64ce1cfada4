//! A copy that is killed at any moment goes on: in the end everything is there, and nothing was marked as done that was
//! not.
//!
//! A child (this program, started again) copies; it is killed at random moments, or ends itself at a named one, and is
//! started again until it comes to its end. `COLDFRONT_MIGRATE_KILLS=100` makes a longer run of it.

#![allow(clippy::unwrap_used)]

mod tree;

use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use coldfront::block::RAW;
use coldfront::migrate::{Job, Pace, Select, Source, jobs, run, verify};
use coldfront::pin::PinIndex;
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource};
use tree::{Golden, Tree};

const FROM: &str = "COLDFRONT_MIGRATE_FROM";
const TO: &str = "COLDFRONT_MIGRATE_TO";
const KILLS: &str = "COLDFRONT_MIGRATE_KILLS";

/// Kills in an ordinary run.
const FEW: u64 = 12;

/// Moments at which the child ends itself.
const POINTS: [&str; 4] =
    ["before a batch of a migration", "before a write", "before a flush", "after a flush"];

fn open(to: &Path) -> HotStore {
    let options = HotOptions { memory: 16 << 20, ..HotOptions::new(to) };
    HotStore::open(&options).unwrap()
}

/// What the child does: copy everything.
#[test]
fn child_that_copies() {
    let (Ok(from), Ok(to)) = (std::env::var(FROM), std::env::var(TO)) else { return };
    let hot = open(Path::new(&to));
    let source = Source::open(from, false).unwrap();
    let job = Job { select: Select::All, pace: Pace::default() };
    let report = run(&source, &hot, job, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!report.has_faults(), "{report}");
    println!("came to the end");
}

fn child(from: &Path, to: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["child_that_copies", "--exact", "--nocapture"]);
    child.env(FROM, from).env(TO, to).env_remove("COLDFRONT_DIE_AT");
    child.stdout(Stdio::null()).stderr(Stdio::null());
    child
}

/// Runs the child and kills it after a while; whether it came to its end before.
fn run_and_kill(mut child: Command, after: Duration) -> bool {
    let mut child = child.spawn().unwrap();
    let step = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    while waited < after {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(step);
        waited += step;
    }
    child.kill().unwrap();
    child.wait().unwrap().success()
}

fn random(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// A tree of some large blocks and many small ones, more than the target's memory holds.
fn a_tree() -> Tree {
    let tree = Tree::new();
    for n in 0..1500u64 {
        let len = if n % 15 == 0 { 256 * 1024 } else { 300 + n as usize };
        let data = tree::content(len, n);
        tree.put(&Block::verified(cid_of(RAW, &data), data.into()).unwrap());
    }
    tree.settle();
    tree
}

fn everything_is_there(from: &Path, to: &Path) {
    let hot = open(to);
    let source = Source::open(from, false).unwrap();
    let report =
        verify(&hot, Some(&source), Pace::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!report.has_faults() && report.notes.is_empty(), "{report}");
    assert!(jobs(&hot).unwrap()[0].finished);
    assert!(PinIndex::new(&hot, Vec::new()).list(None).all(|pin| pin.unwrap().indexed));
}

#[test]
fn a_copy_that_is_killed_again_and_again_is_whole_in_the_end() {
    let kills: u64 = std::env::var(KILLS).ok().and_then(|n| n.parse().ok()).unwrap_or(FEW);
    let (tree, golden) = (a_tree(), Golden::own("pebble-fmv-21"));
    let sources = [tree.root(), golden.root()];
    let (mut killed, mut ended, mut seed) = (0, 0, 42);
    while killed < kills || ended < 2 {
        let from = &sources[ended % 2];
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("hot");
        for attempt in 0.. {
            assert!(attempt < 200, "it never comes to its end");
            let mut child = child(from, &to);
            // At first mostly at once; later it shall come further.
            let after = Duration::from_millis(20 + random(&mut seed, 40 * (1 + attempt)));
            if random(&mut seed, 3) == 0 {
                let point = POINTS[random(&mut seed, POINTS.len() as u64) as usize];
                let count = 1 + random(&mut seed, 8 * (1 + attempt));
                child.env("COLDFRONT_DIE_AT", format!("{point}:{count}"));
            }
            if run_and_kill(child, after) {
                break;
            }
            killed += 1;
        }
        everything_is_there(from, &to);
        ended += 1;
    }
    eprintln!("killed {killed} times, came to the end {ended} times");
}

#[test]
fn what_a_killed_copy_left_is_right_block_by_block() {
    let tree = a_tree();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("hot");
    let mut child = child(&tree.root(), &to);
    child.env("COLDFRONT_DIE_AT", "before a batch of a migration:6");
    assert!(!child.status().unwrap().success());
    let hot = open(&to);
    let report = verify(&hot, None, Pace::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(!report.has_faults() && report.notes.is_empty(), "{report}");
    for row in hot.scan(0) {
        assert!(hot.get(&row.unwrap().cid).unwrap().is_some());
    }
}
