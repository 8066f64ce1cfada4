//! A process that dies while it changes the tree: the root is the one of the last change that was acknowledged, or
//! of the one that was under way; all of it is there; and a collection leaves nothing else.
//!
//! A child (this program, started again) runs commands and tells each before and after. It is killed at a random moment
//! or ends itself at a named one. Half of the time the power fails too. `COLDFRONT_MFS_KILLS=1000` makes a long run of it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use coldfront::gc::{CollectOptions, collect};
use coldfront::mfs::{HotRoot, Mfs, MfsOptions};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::{Cid, Repo, RepoOptions};

use crate::commands::{Command, Random, World, command};

const CHILD: &str = "COLDFRONT_MFS_CRASH_CHILD";

/// Kills in an ordinary run.
const FEW: u64 = 12;

const POINTS: [&str; 8] = [
    "before a write",
    "after a write",
    "before a durable write",
    "after a durable write",
    "before a sync",
    "after a sync",
    "before a flush",
    "after a flush",
];

fn open(folder: &Path) -> (HotStore, Repo, Mfs) {
    let options = HotOptions { memory: 16 * 1024 * 1024, ..HotOptions::new(folder.join("hot")) };
    let hot = HotStore::open(&options).unwrap();
    let repo = Repo::with_hot(&hot, [], &RepoOptions::default());
    let roots = Arc::new(HotRoot::of(&repo).unwrap());
    let mfs = Mfs::open(repo.clone(), roots, MfsOptions::default()).unwrap();
    (hot, repo, mfs)
}

/// The commands of a seed. None writes the time of day.
fn commands(seed: u64) -> impl Iterator<Item = Command> {
    let mut random = Random::new(seed);
    std::iter::repeat_with(move || command(&mut random, &[]))
        .filter(|command| command.args[0] != "touch")
        .take(400)
}

fn sweep(repo: &Repo) {
    collect(repo.pins().unwrap(), &CollectOptions::default(), &mut |_| ControlFlow::Continue(()))
        .unwrap();
}

#[test]
fn child_of_the_mfs_crash_test() {
    let Ok(plan) = std::env::var(CHILD) else { return };
    let (seed, folder) = plan.split_once(' ').unwrap();
    let (_, repo, mfs) = open(Path::new(folder));
    let tell = |what: &str, number: usize| {
        let (log, len) = HotStore::durable_log();
        let line = format!("mfs {what} {number} {log} {len}\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    };
    for (number, command) in commands(seed.parse().unwrap()).enumerate() {
        tell("begin", number);
        // A refusal is as good as any.
        let _ = command.run(&mfs);
        tell("done", number);
        if number % 16 == 15 {
            sweep(&repo);
        }
    }
}

/// The root after each of the commands, and before the first.
fn roots(seed: u64) -> Vec<Cid> {
    let world = World::new();
    let after = commands(seed).map(|command| {
        let _ = command.run(&world.mfs);
        world.mfs.root()
    });
    let first = world.mfs.root();
    std::iter::once(first).chain(after).collect()
}

/// What the child told: commands that are done, whether one was begun behind them, and the log that was durable then.
fn live(seed: u64, folder: &Path, random: &mut Random) -> (usize, bool, (u64, u64)) {
    let mut process = Process::new(std::env::current_exe().unwrap());
    process
        .args(["crash::child_of_the_mfs_crash_test", "--exact", "--nocapture"])
        .env(CHILD, format!("{seed} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let by_itself = random.below(2) == 0;
    if by_itself {
        let point = random.one_of(&POINTS);
        process.env("COLDFRONT_DIE_AT", format!("{point}:{}", 1 + random.below(60)));
    }
    let mut child = process.spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    if !by_itself {
        std::thread::sleep(Duration::from_millis(50 + random.below(900) as u64));
        child.kill().unwrap();
    }
    let (mut done, mut begun, mut log) = (0, false, (0, 0));
    for line in out.lines() {
        let line = line.unwrap();
        // The harness writes in front of the first line.
        let Some((_, told)) = line.split_once("mfs ") else { continue };
        let words: Vec<&str> = told.split(' ').collect();
        let [what, number, of, len] = words.as_slice() else { continue };
        let (Ok(number), Ok(of), Ok(len)) = (number.parse::<usize>(), of.parse(), len.parse())
        else {
            continue;
        };
        begun = *what == "begin";
        if !begun {
            done = number + 1;
        }
        log = (of, len);
    }
    child.wait().unwrap();
    (done, begun, log)
}

/// Some of what was written behind the last sync is lost.
fn lose_power(folder: &Path, (log, len): (u64, u64), random: &mut Random) {
    let entries = std::fs::read_dir(folder.join("hot/db")).into_iter().flatten().flatten();
    let logs = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some((
            name.strip_suffix(".log")?.parse::<u64>().ok()?,
            entry.metadata().ok()?.len(),
            entry.path(),
        ))
    });
    let Some((newest, is, path)) = logs.max() else { return };
    let safe = if newest == log { len } else { 0 };
    if is > safe {
        let left = safe + random.below((is - safe) as usize + 1) as u64;
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(left).unwrap();
    }
}

/// Every block below a root, which must all be there.
fn blocks_below(repo: &Repo, root: &Cid) -> BTreeSet<Vec<u8>> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![*root]);
    while let Some(cid) = next.pop() {
        if cid.hash().code() != 0 && seen.insert(cid.hash().to_bytes()) {
            let block = repo.block(&cid).unwrap().unwrap_or_else(|| panic!("{cid} is lost"));
            coldfront::links::for_each_link(&block, &mut |link| next.push(link)).unwrap();
        }
    }
    seen
}

#[test]
fn a_process_that_dies_leaves_the_tree_of_before_or_after_the_change_and_all_of_it() {
    let kills = std::env::var("COLDFRONT_MFS_KILLS").ok().and_then(|kills| kills.parse().ok());
    for seed in 0..kills.unwrap_or(FEW) {
        let folder = tempfile::tempdir().unwrap();
        let mut random = Random::new(seed + 1000);
        let (done, begun, log) = live(seed, folder.path(), &mut random);
        if random.below(2) == 0 {
            lose_power(folder.path(), log, &mut random);
        }
        let roots = roots(seed);
        let (hot, repo, mfs) = open(folder.path());
        let may_be = [Some(roots[done]), roots.get(done + 1).copied().filter(|_| begun)];
        assert!(may_be.contains(&Some(mfs.root())), "seed {seed} after {done} commands");
        blocks_below(&repo, &mfs.root());
        // One that was interrupted goes on where it was; the next one sees all.
        sweep(&repo);
        sweep(&repo);
        let kept = blocks_below(&repo, &mfs.root());
        assert_eq!(hot.held().0, kept.len() as u64, "seed {seed}");
    }
}
