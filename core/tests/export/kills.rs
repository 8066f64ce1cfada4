//! An export that is killed at any moment, again and again, ends as one that was left alone.
//!
//! A child (this program, started again) exports; it is killed after a random time and started again until it comes to its
//! end. `COLDFRONT_EXPORT_KILLS=100` makes a long run of it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coldfront::migrate::export::ExportOptions;
use coldfront::pin::{NewPin, PinIndex};

use crate::store::{blocks_of, expected, fill, open, run};

const FOLDER: &str = "COLDFRONT_EXPORT_FOLDER";

/// Kills in an ordinary run.
const FEW: u64 = 8;

const BLOCKS: usize = 9000;

/// Blocks that come before a repository is added to.
const ADDED: usize = 2000;

#[test]
fn child_that_exports() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    run(&open(folder), Vec::new(), &ExportOptions::new(folder.join("out"))).unwrap();
    println!("came to its end");
}

fn child(folder: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["kills::child_that_exports", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    child
}

#[test]
fn an_export_that_is_killed_at_any_moment_ends_as_one_that_was_not() {
    let kills = std::env::var("COLDFRONT_EXPORT_KILLS").ok().and_then(|text| text.parse().ok());
    let kills: u64 = kills.unwrap_or(FEW);
    let folder = crate::store::folder();
    let mut blocks = {
        let hot = open(folder.path());
        let blocks = fill(&hot, 0..BLOCKS);
        let pins = PinIndex::new(&hot, Vec::new());
        pins.add(&NewPin { name: "kept".into(), ..NewPin::new(*blocks[0].cid()) }).unwrap();
        blocks
    };
    let to = folder.path().join("out");
    // As long as one takes that is left alone, and a third: so that most are killed, and some are not.
    let began = Instant::now();
    child(folder.path()).output().unwrap();
    check(&to, &blocks);
    std::fs::remove_dir_all(&to).unwrap();
    let longest = began.elapsed().as_millis() as u64 * 4 / 3;
    let (mut killed, mut ended, mut wait) = (0u64, 0u64, 7);
    while killed < kills {
        let mut child = child(folder.path()).spawn().unwrap();
        wait = (wait * 31 + 17) % 1009;
        std::thread::sleep(Duration::from_millis(longest * wait / 1009));
        let alive = child.try_wait().unwrap().is_none();
        child.kill().ok();
        child.wait().unwrap();
        killed += u64::from(alive);
        if alive {
            let is_begun = to.join("coldfront-export.json").exists();
            // Of a first export there is no version before the end; a later one begins with its mark.
            assert!(ended % 3 > 0 || !to.join("version").exists() || is_begun || killed_late(&to));
            continue;
        }
        check(&to, &blocks);
        ended += 1;
        if ended % 3 == 0 {
            std::fs::remove_dir_all(&to).unwrap();
        } else {
            // The next one adds to the repository.
            let first = blocks.len();
            blocks.extend(fill(&open(folder.path()), first..first + ADDED));
        }
    }
    let output = child(folder.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("came to its end"));
    check(&to, &blocks);
    eprintln!("{killed} kills, {} exports came to their end", ended + 1);
}

/// Killed between the end of its export and its own.
fn killed_late(to: &Path) -> bool {
    to.join("coldfront-exported.json").exists()
}

fn check(to: &Path, blocks: &[coldfront::Block]) {
    assert!(blocks_of(to) == expected(blocks));
    assert_eq!(std::fs::read_to_string(to.join("version")).unwrap(), "18\n");
    let store = coldfront_pebble::Store::open(to.join("datastore")).unwrap();
    assert_eq!(store.scan_prefix(b"/pins/pin/").map(Result::unwrap).count(), 1);
    for left in ["datastore.new", "datastore.old", "blocks/.coldfront-export"] {
        assert!(!to.join(left).exists(), "{left}");
    }
}
