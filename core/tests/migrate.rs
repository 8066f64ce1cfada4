//! Everything that a repository holds is in the hot store afterwards, each block hashed on its way, and the repository
//! is what it was. What is bad is reported with its place and stops nothing.

#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use coldfront::migrate::carry::{MFS_ROOT, carried};
use coldfront::migrate::{Event, Job, Pace, Report, Select, Source, run};
use coldfront::pin::{PinIndex, PinMode};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::{BlockSource, Cid, ContentPath, Verify};
use sha2::{Digest, Sha256};
use tree::{Golden, each_golden, expected_pins, files_of};

fn hot_at(folder: &Path) -> HotStore {
    let options = HotOptions { memory: 32 << 20, ..HotOptions::new(folder.join("hot")) };
    HotStore::open(&options).unwrap()
}

fn go_on(_: Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn job(select: Select<'_>) -> Job<'_> {
    Job { select, pace: Pace::default() }
}

fn copy_all(from: &Path, hot: &HotStore) -> Report {
    run(&Source::open(from, false).unwrap(), hot, job(Select::All), &mut go_on).unwrap()
}

fn refs(golden: &Golden) -> BTreeSet<Cid> {
    let all = golden.expected["refs_local"].as_array().unwrap();
    all.iter().map(|cid| cid.as_str().unwrap().parse().unwrap()).collect()
}

fn pins_of(hot: &HotStore) -> BTreeMap<String, (bool, String)> {
    let pins = PinIndex::new(hot, Vec::new());
    let all = pins.list(None).map(|pin| pin.unwrap());
    let shown = all.map(|pin| {
        assert!(pin.indexed, "{} is not whole", pin.cid);
        (pin.cid.to_string(), (pin.mode == PinMode::Recursive, pin.name))
    });
    shown.collect()
}

fn every_file_is_served(golden: &Golden, hot: &HotStore) {
    let repo = tree::over(Arc::new(hot.clone()), Verify::Always);
    for (path, file) in golden.expected["files"].as_object().unwrap() {
        let (label, below) = path.split_once('/').unwrap_or((path, ""));
        let segments = below.split('/').map(|name| name.as_bytes().to_vec());
        let node = repo.resolve(&ContentPath::with_segments(golden.cid(label), segments));
        let whole = tree::read(&repo, &node.unwrap().node, ..).unwrap();
        let hash: String =
            Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, file["sha256"].as_str().unwrap(), "{}: {path}", golden.name);
    }
}

#[test]
fn a_repository_of_any_store_is_whole_in_the_hot_store_and_is_what_it_was() {
    each_golden(|golden| {
        let before = files_of(&golden.root());
        let folder = tempfile::tempdir().unwrap();
        let hot = hot_at(folder.path());
        let report = copy_all(&golden.root(), &hot);
        assert!(!report.has_faults() && !report.stopped, "{}: {report}", golden.name);
        let wanted = refs(golden);
        assert_eq!(hot.held().0, wanted.len() as u64, "{}", golden.name);
        for cid in &wanted {
            assert!(hot.size(cid).unwrap().is_some(), "{}: {cid}", golden.name);
        }
        every_file_is_served(golden, &hot);
        if let Some(mfs) = golden.expected["mfs_root"].as_str() {
            assert_eq!(pins_of(&hot), expected_pins(golden), "{}", golden.name);
            let root = PinIndex::new(&hot, Vec::new()).root(MFS_ROOT).unwrap();
            assert_eq!(root.unwrap().to_string(), mfs, "{}", golden.name);
            let carried = carried(&hot).unwrap();
            assert_eq!(carried.keys.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["site"]);
            assert!(!carried.names.is_empty(), "the names that were published");
            assert!(carried.config.unwrap().contains(golden.expected["peer_id"].as_str().unwrap()));
        }
        assert!(files_of(&golden.root()) == before, "{} was changed", golden.name);

        let again = copy_all(&golden.root(), &hot);
        assert_eq!((again.blocks, again.pins), (0, 0), "{}: nothing is copied twice", golden.name);
    });
}
