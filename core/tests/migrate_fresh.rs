//! Stores that a real Kubo makes now: random content, several flushes, deletes, things added twice, and a daemon that is
//! killed. What a copy of it tells Kubo itself is what the hot store holds.
//!
//! Where Kubo was not built the tests say so and pass.

#![allow(clippy::unwrap_used)]

#[path = "export/kubo.rs"]
#[allow(dead_code)]
mod kubo;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coldfront::migrate::carry::MFS_ROOT;
use coldfront::migrate::{Job, Pace, Select, Source, run, verify};
use coldfront::pin::{PinIndex, PinMode};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::{BlockSource, Cid};
use kubo::Kubo;
use tree::files_of;

const PROFILES: [&str; 3] = ["test", "test,pebbleds", "test,badgerds"];

/// Kubo under work: content added, pinned, copied into the MFS, unpinned and collected.
fn work(kubo: &Kubo, folder: &Path, round: u64, name: &str) {
    let file = folder.join(format!("file-{round}"));
    for n in 0..3 {
        let len = 3 * 100_000 * (n + 1) + 17;
        fs::write(&file, tree::content(len, 10 * round + n as u64)).unwrap();
        let options = ["--raw-leaves=true", "--raw-leaves=false", "--raw-leaves=true"][n];
        let path = file.to_str().unwrap();
        let cid = kubo.says(&["add", "-Q", options, path]).trim().to_owned();
        match n {
            0 => drop(kubo.says(&["pin", "rm", &cid])),
            1 => drop(kubo.says(&["files", "cp", &format!("/ipfs/{cid}"), &format!("/{name}")])),
            _ => {
                kubo.says(&["pin", "rm", &cid]);
                kubo.says(&["pin", "add", "--name", &format!("round {round}"), &cid]);
            }
        }
    }
}

/// A daemon without a network, as long as the value lives; it dies like a process that is killed.
struct Daemon(Child);

impl Daemon {
    fn start(kubo: &Kubo) -> Daemon {
        let program = std::env::var_os("COLDFRONT_CACHE").map(std::path::PathBuf::from);
        let home = std::path::PathBuf::from(std::env::var_os("HOME").unwrap());
        let cache = program.unwrap_or_else(|| home.join(".cache/coldfront"));
        let child = Command::new(cache.join("kubo-v0.42.0/ipfs"))
            .args(["daemon", "--offline"])
            .env("IPFS_PATH", &kubo.repo)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Daemon(child);
        let end = Instant::now() + Duration::from_secs(60);
        while !kubo.repo.join("api").exists() {
            assert!(Instant::now() < end, "the daemon does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_the_same(kubo: &Kubo, folder: &Path, name: &str) {
    let before = files_of(&kubo.repo);
    let hot = HotStore::open(&HotOptions::new(folder.join("hot"))).unwrap();
    let source = Source::open(&kubo.repo, false).unwrap();
    let go_on = &mut |_: coldfront::migrate::Event<'_>| ControlFlow::Continue(());
    let job = Job { select: Select::All, pace: Pace::default() };
    let report = run(&source, &hot, job, go_on).unwrap();
    assert!(!report.has_faults(), "{name}: {report}");
    let verified = verify(&hot, Some(&source), Pace::default(), go_on).unwrap();
    assert!(!verified.has_faults() && verified.notes.is_empty(), "{name}: {verified}");
    drop(source);
    assert!(files_of(&kubo.repo) == before, "{name}: the repository was changed");

    // Kubo changes what it opens: it is asked last.
    let _ = fs::remove_file(kubo.repo.join("api"));
    let wanted: BTreeSet<Cid> =
        kubo.lines(&["refs", "local"]).iter().map(|cid| cid.parse().unwrap()).collect();
    for cid in &wanted {
        assert!(hot.size(cid).unwrap().is_some(), "{name}: {cid}");
    }
    // Kubo makes the empty folder at every start; it may be new.
    let held = hot.held().0;
    assert!(held <= wanted.len() as u64 && held + 1 >= wanted.len() as u64, "{name}: {held}");
    let pins = PinIndex::new(&hot, Vec::new());
    let mine: BTreeSet<_> = pins
        .list(Some(PinMode::Recursive))
        .map(|pin| pin.unwrap())
        .map(|pin| format!("{} recursive {}", pin.cid, pin.name).trim().to_owned())
        .collect();
    let theirs = kubo.lines(&["pin", "ls", "--names", "--type=recursive"]);
    assert_eq!(mine, theirs.iter().map(|line| line.trim().to_owned()).collect(), "{name}");
    let mfs = kubo.says(&["files", "stat", "--hash", "/"]);
    assert_eq!(pins.root(MFS_ROOT).unwrap().unwrap().to_string(), mfs.trim(), "{name}");
}

#[test]
fn a_store_that_kubo_makes_now_is_copied_whole() {
    for profile in PROFILES {
        let folder = tempfile::tempdir().unwrap();
        let Some(kubo) = Kubo::new(folder.path().join("repo")) else { return };
        kubo.says(&["init", &format!("--profile={profile}")]);
        for round in 0..3 {
            // Each command opens the store, and flushes it at its end.
            work(&kubo, folder.path(), round, &format!("f{round}"));
            kubo.says(&["repo", "gc", "-q"]);
        }
        work(&kubo, folder.path(), 0, "again");
        is_the_same(&kubo, folder.path(), profile);
    }
}

#[test]
fn a_store_whose_kubo_was_killed_is_copied_whole() {
    for profile in PROFILES {
        let folder = tempfile::tempdir().unwrap();
        let Some(kubo) = Kubo::new(folder.path().join("repo")) else { return };
        kubo.says(&["init", &format!("--profile={profile}")]);
        let daemon = Daemon::start(&kubo);
        for round in 0..3 {
            work(&kubo, folder.path(), round, &format!("f{round}"));
        }
        kubo.says(&["files", "flush", "/"]);
        drop(daemon);
        is_the_same(&kubo, folder.path(), &format!("{profile}, killed"));
    }
}

#[test]
fn a_delta_of_a_store_reads_no_table_twice_and_misses_nothing() {
    for profile in ["test,pebbleds", "test,badgerds"] {
        let folder = tempfile::tempdir().unwrap();
        let Some(kubo) = Kubo::new(folder.path().join("repo")) else { return };
        kubo.says(&["init", &format!("--profile={profile}")]);
        for round in 0..3 {
            work(&kubo, folder.path(), round, &format!("f{round}"));
        }
        let copy = || {
            let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
            let source = Source::open(&kubo.repo, false).unwrap();
            let job = Job { select: Select::All, pace: Pace::default() };
            run(&source, &hot, job, &mut |_| ControlFlow::Continue(())).unwrap()
        };
        let first = copy();
        assert!(first.blocks > 0 && first.tables_skipped == 0, "{profile}: {first}");
        work(&kubo, folder.path(), 7, "later");
        let delta = copy();
        assert!(!delta.has_faults(), "{profile}: {delta}");
        assert!(delta.blocks > 0 && delta.blocks < first.blocks, "{profile}: {delta}");
        assert!(delta.tables_skipped > 0, "{profile}: {delta}");
        assert!(delta.held < first.blocks, "{profile}: what was copied was read again: {delta}");
        is_the_same(&kubo, folder.path(), profile);
    }
}
