//! Everything that a repository holds is in the hot store afterwards, each block hashed on its way, and the repository
//! is what it was. What is bad is reported with its place and stops nothing.

#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coldfront::block::RAW;
use coldfront::migrate::carry::{MFS_ROOT, carried};
use coldfront::migrate::{
    Event, Fault, FaultKind, Job, Pace, Report, Root, Select, Source, jobs, plan, run, verify,
};
use coldfront::pin::{PinIndex, PinMode};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, Cid, ContentPath, Verify};
use sha2::{Digest, Sha256};
use tree::{Golden, Tree, each_golden, expected_pins, files_of};

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

        let source = Source::open(golden.root(), false).unwrap();
        let verified = verify(&hot, Some(&source), Pace::default(), &mut go_on).unwrap();
        assert!(!verified.has_faults() && verified.notes.is_empty(), "{}: {verified}", golden.name);
        assert_eq!(verified.blocks, wanted.len() as u64);

        let again = copy_all(&golden.root(), &hot);
        assert_eq!((again.blocks, again.pins), (0, 0), "{}: nothing is copied twice", golden.name);
    });
}

fn block(n: usize) -> Block {
    let data = format!("block {n} ").repeat(1 + n % 50).into_bytes();
    Block::verified(cid_of(RAW, &data), data.into()).unwrap()
}

/// A tree of so many blocks, and a target beside it.
fn tree_of(count: usize) -> (Tree, Vec<Block>, tempfile::TempDir) {
    let (tree, blocks) = (Tree::new(), (0..count).map(block).collect::<Vec<_>>());
    blocks.iter().for_each(|block| tree.put(block));
    (tree, blocks, tempfile::tempdir().unwrap())
}

fn faults(report: &Report) -> BTreeSet<(FaultKind, PathBuf)> {
    report.first_faults.iter().map(|fault| (fault.kind, fault.place.clone().into())).collect()
}

#[test]
fn each_bad_file_is_reported_by_its_path_and_the_others_are_copied() {
    let (tree, blocks, folder) = tree_of(40);
    let path = |n: usize| tree.path(blocks[n].cid());
    tree::flip(&path(0), 5);
    fs::write(path(1), "").unwrap();
    fs::write(path(2), vec![0; 9 << 20]).unwrap();
    fs::remove_file(path(3)).unwrap();
    fs::create_dir(path(3)).unwrap();
    let misnamed = path(4).with_file_name("NO-KEY.data");
    fs::write(&misnamed, "x").unwrap();
    let misplaced = tree.root().join("ZZ").join(path(5).file_name().unwrap());
    fs::create_dir_all(misplaced.parent().unwrap()).unwrap();
    fs::rename(path(5), &misplaced).unwrap();
    fs::write(path(6).with_file_name("holiday.jpg"), "x").unwrap();
    fs::remove_file(path(7)).unwrap();
    std::os::unix::fs::symlink("/nowhere", path(7)).unwrap();

    let hot = hot_at(folder.path());
    let report = copy_all(&tree.root(), &hot);
    let expected = [
        (FaultKind::Corrupt, path(0)),
        (FaultKind::Short, path(1)),
        (FaultKind::TooLong, path(2)),
        (FaultKind::Misnamed, misnamed.clone()),
        (FaultKind::Unreadable, path(7)),
    ];
    assert_eq!(faults(&report), expected.clone().into(), "{report}");
    assert_eq!(
        (report.misplaced, report.foreign),
        (1, 2),
        "the folder and the picture are foreign"
    );
    assert_eq!(hot.held().0, 40 - 5);

    // The next run finds what was mended meanwhile, and still knows of the rest, though nothing was added.
    tree.settle();
    fs::write(path(0), blocks[0].data()).unwrap();
    let again = copy_all(&tree.root(), &hot);
    let left: BTreeSet<_> = expected.into_iter().filter(|fault| fault.1 != path(0)).collect();
    assert_eq!(faults(&again), left, "{again}");
    assert_eq!(again.blocks, 1);
    fs::remove_file(&misnamed).unwrap();
    for n in [1, 2] {
        fs::write(path(n), blocks[n].data()).unwrap();
    }
    fs::remove_file(path(7)).unwrap();
    tree.put(&blocks[7]);
    let last = copy_all(&tree.root(), &hot);
    assert!(!last.has_faults(), "{last}");
    assert_eq!((last.blocks, hot.held().0), (3, 39));
}

#[test]
fn a_later_run_lists_only_directories_in_which_something_was_added() {
    let (tree, blocks, folder) = tree_of(200);
    let shards = fs::read_dir(tree.root()).unwrap().count() as u64 - 1;
    let hot = hot_at(folder.path());
    let first = copy_all(&tree.root(), &hot);
    assert_eq!((first.blocks, first.shards_skipped), (200, 0));
    // What was just written is not taken for settled.
    assert_eq!(copy_all(&tree.root(), &hot).shards_skipped, 0);
    tree.settle();
    copy_all(&tree.root(), &hot);
    let idle = copy_all(&tree.root(), &hot);
    assert_eq!((idle.held, idle.shards_skipped), (0, shards));

    let new = block(1000);
    let is_new_shard = !tree.path(new.cid()).parent().unwrap().exists();
    tree.put(&new);
    let delta = copy_all(&tree.root(), &hot);
    assert_eq!(delta.blocks, 1);
    assert_eq!(delta.shards_skipped, shards - u64::from(!is_new_shard));
    assert_eq!(hot.held().0, blocks.len() as u64 + 1);
}

#[test]
fn a_job_that_is_stopped_goes_on_and_copies_nothing_twice() {
    let (tree, blocks, folder) = tree_of(3000);
    let (mut copied, mut runs) = (0, 0);
    loop {
        let hot = hot_at(folder.path());
        let source = Source::open(tree.root(), false).unwrap();
        let pace = Pace { bytes_per_second: Some(1_000_000), ..Pace::default() };
        let mut told = 0;
        let mut stop_soon = |event: Event<'_>| match event {
            Event::Progress(_) if told == 1 => ControlFlow::Break(()),
            Event::Progress(_) => {
                told += 1;
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        };
        let job = Job { select: Select::All, pace };
        let report = run(&source, &hot, job, &mut stop_soon).unwrap();
        copied += report.blocks;
        runs += 1;
        assert_eq!(jobs(&hot).unwrap()[0].blocks, copied);
        assert_eq!(hot.held().0, copied);
        if !report.stopped {
            break;
        }
        assert!(runs < 100);
    }
    assert!(runs > 1);
    assert_eq!(copied, blocks.len() as u64);
}

#[test]
fn by_root_only_what_hangs_below_is_copied_and_it_is_pinned() {
    let golden = Golden::own("flatfs-tree");
    let folder = tempfile::tempdir().unwrap();
    let hot = hot_at(folder.path());
    let source = Source::open(golden.root(), false).unwrap();
    let root = Root { cid: golden.cid("tree-v1"), recursive: true, name: "a tree".into() };
    let absent = Root { cid: *block(1).cid(), recursive: true, name: String::new() };
    let list = || -> Select<'static> {
        Select::Roots(Box::new(vec![Ok(absent.clone()), Ok(root.clone())].into_iter()))
    };
    let report = run(&source, &hot, job(list()), &mut go_on).unwrap();
    let kinds: Vec<_> = report.first_faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::Missing, FaultKind::Pin], "{report}");
    let pins = PinIndex::new(&hot, Vec::new());
    let pin = pins.get(&root.cid).unwrap().unwrap();
    assert!(pin.indexed && pin.name == "a tree" && pin.mode == PinMode::Recursive);
    assert!(report.blocks > 50 && report.blocks < refs(&golden).len() as u64, "{report}");
    let verified = verify(&hot, None, Pace::default(), &mut go_on).unwrap();
    let places: Vec<_> = verified.first_faults.iter().map(|fault| &fault.place).collect();
    assert!(places.iter().all(|place| **place == format!("pin {}", absent.cid)), "{verified}");

    let again = run(&source, &hot, job(list()), &mut go_on).unwrap();
    assert_eq!((again.blocks, again.pins), (0, 0), "{again}");
}

#[test]
fn leaves_that_are_asked_for_by_root_lie_in_the_order_of_their_file() {
    let golden = Golden::own("flatfs-tree");
    let folder = tempfile::tempdir().unwrap();
    let hot = hot_at(folder.path());
    let source = Source::open(golden.root(), false).unwrap();
    let root = Root { cid: golden.cid("tree-v1"), recursive: true, name: String::new() };
    let roots = Select::Roots(Box::new(std::iter::once(Ok(root.clone()))));
    run(&source, &hot, job(roots), &mut go_on).unwrap();
    let walked = coldfront::walk::walk(&[root.cid], Default::default(), |cid| hot.get(cid));
    let numbers = walked.map(|block| hot.number(block.unwrap().cid()).unwrap());
    let numbers: Vec<_> = numbers.flatten().collect();
    assert!(numbers.len() > 50);
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[test]
fn single_blocks_come_without_what_they_link_to_and_without_pins() {
    let golden = Golden::own("flatfs-tree");
    let folder = tempfile::tempdir().unwrap();
    let hot = hot_at(folder.path());
    let source = Source::open(golden.root(), false).unwrap();
    let broken = Fault {
        kind: FaultKind::Record,
        place: "list line 2".into(),
        cid: None,
        detail: "no CID".into(),
    };
    let cids = vec![Ok(golden.cid("tree-v1")), Err(broken), Ok(golden.cid("tree-v0"))];
    let report = run(&source, &hot, job(Select::Cids(Box::new(cids.into_iter()))), &mut go_on);
    let report = report.unwrap();
    assert_eq!((report.blocks, hot.held().0, report.fault_count()), (2, 2, 1), "{report}");
    assert!(pins_of(&hot).is_empty());
}

#[test]
fn pins_alone_bring_what_they_keep_and_their_names() {
    let golden = Golden::own("pebble-fmv-21");
    let folder = tempfile::tempdir().unwrap();
    let hot = hot_at(folder.path());
    let source = Source::open(golden.root(), false).unwrap();
    let report = run(&source, &hot, job(Select::Pins), &mut go_on).unwrap();
    assert!(!report.has_faults(), "{report}");
    assert_eq!(pins_of(&hot), expected_pins(&golden));
    assert!(hot.held().0 < refs(&golden).len() as u64, "what nothing pins is left");
    assert_eq!(report.blocks, hot.held().0, "each is read once");
}

#[test]
fn a_block_that_the_target_lacks_is_found_by_verifying_against_the_source() {
    let (tree, blocks, folder) = tree_of(20);
    let hot = hot_at(folder.path());
    copy_all(&tree.root(), &hot);
    let (good, bad) = (block(500), block(501));
    tree.put(&good);
    tree.put(&bad);
    tree::flip(&tree.path(bad.cid()), 3);
    let source = Source::open(tree.root(), false).unwrap();
    let report = verify(&hot, Some(&source), Pace::default(), &mut go_on).unwrap();
    let expected =
        [(FaultKind::Missing, tree.path(good.cid())), (FaultKind::Corrupt, tree.path(bad.cid()))];
    assert_eq!(faults(&report), expected.into(), "{report}");
    assert_eq!((report.blocks, report.held), (20, blocks.len() as u64));
}

#[test]
fn keys_that_are_whole_cids_name_the_same_blocks() {
    let (tree, blocks, folder) = tree_of(3);
    let old = block(77);
    tree.put_as(&old.cid().to_bytes(), old.data());
    let hot = hot_at(folder.path());
    let report = copy_all(&tree.root(), &hot);
    assert!(!report.has_faults(), "{report}");
    assert_eq!(hot.held().0, blocks.len() as u64 + 1);
    assert_eq!(hot.get(old.cid()).unwrap().unwrap().data(), old.data());
    let source = Source::open(tree.root(), false).unwrap();
    let other = tempfile::tempdir().unwrap();
    let hot = hot_at(other.path());
    let wanted = vec![Ok(*old.cid())].into_iter();
    let report = run(&source, &hot, job(Select::Cids(Box::new(wanted))), &mut go_on).unwrap();
    assert_eq!(report.blocks, 1, "{report}");
}

#[test]
fn where_two_repositories_meet_the_first_keeps_its_identity_and_mfs_root() {
    let first = Golden::own("pebble-fmv-21");
    let second = Golden::own("pebble-fmv-21");
    // Another node with the same content: another identity, another key of the same name.
    let config = fs::read_to_string(second.root().join("config")).unwrap();
    let peer = first.expected["peer_id"].as_str().unwrap();
    fs::write(second.root().join("config"), config.replace(peer, "12D3KooWother")).unwrap();
    let key = fs::read_dir(second.root().join("keystore")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&key).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::remove_file(&key).unwrap();
    fs::write(&key, bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let hot = hot_at(folder.path());
    copy_all(&first.root(), &hot);
    let report = copy_all(&second.root(), &hot);
    assert!(!report.has_faults(), "{report}");
    assert_eq!((report.blocks, report.pins, report.keys), (0, 0, 2), "{report}");
    let carried = carried(&hot).unwrap();
    let names: Vec<_> = carried.keys.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["self-12D3KooWother", "site", "site-2"]);
    assert!(carried.config.unwrap().contains(peer));
    assert_eq!(jobs(&hot).unwrap().len(), 2);
}

#[test]
fn a_car_file_is_copied_with_its_roots_pinned_and_a_bad_block_in_it_is_passed_over() {
    let golden = Golden::own("flatfs-tree");
    let repo = golden.repo(Verify::Off);
    let root = golden.cid("tree-v1");
    let mut writer = coldfront::car::CarWriter::new(Vec::new(), &[root]).unwrap();
    let blocks: Vec<_> = coldfront::walk::walk(&[root], Default::default(), |cid| repo.block(cid))
        .map(|block| block.unwrap())
        .filter(|block| block.cid().hash().code() != 0)
        .collect();
    blocks.iter().for_each(|block| writer.put(block).unwrap());
    let mut car = writer.finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tree.car");
    fs::write(&path, &car).unwrap();
    let hot = hot_at(folder.path());
    let report = copy_all(&path, &hot);
    assert!(!report.has_faults(), "{report}");
    assert_eq!(pins_of(&hot).keys().collect::<Vec<_>>(), [&root.to_string()]);
    assert_eq!(copy_all(&path, &hot).held, 0, "it goes on behind the last block");

    let last = car.len() - 1;
    car[last] ^= 1;
    let (other, bad) = (tempfile::tempdir().unwrap(), folder.path().join("bad.car"));
    fs::write(&bad, &car).unwrap();
    let hot = hot_at(other.path());
    let report = copy_all(&bad, &hot);
    let kinds: BTreeSet<_> = report.first_faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::Corrupt, FaultKind::Pin].into(), "{report}");
    assert_eq!(hot.held().0, blocks.len() as u64 - 1);

    fs::write(&bad, &car[..car.len() / 2]).unwrap();
    let report = copy_all(&bad, &hot_at(tempfile::tempdir().unwrap().path()));
    assert!(report.first_faults.iter().any(|fault| fault.detail.contains("cut short")), "{report}");
}

#[test]
fn roots_of_a_list_are_pinned_out_of_a_car_file_in_place_of_its_own() {
    let golden = Golden::own("flatfs-tree");
    let repo = golden.repo(Verify::Off);
    let root = golden.cid("tree-v1");
    let mut writer = coldfront::car::CarWriter::new(Vec::new(), &[root]).unwrap();
    let blocks: Vec<_> = coldfront::walk::walk(&[root], Default::default(), |cid| repo.block(cid))
        .map(|block| block.unwrap())
        .filter(|block| block.cid().hash().code() != 0)
        .collect();
    blocks.iter().for_each(|block| writer.put(block).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tree.car");
    fs::write(&path, writer.finish().unwrap()).unwrap();
    let source = Source::open(&path, false).unwrap();
    let (inner, absent) = (*blocks[1].cid(), *block(1).cid());
    let asked = |cid, recursive| Ok(Root { cid, recursive, name: "asked".to_owned() });
    let roots = vec![asked(inner, true), asked(absent, true)];
    let hot = hot_at(folder.path());
    let select = Select::Roots(Box::new(roots.into_iter()));
    let report = run(&source, &hot, job(select), &mut go_on).unwrap();
    assert_eq!(hot.held().0, blocks.len() as u64);
    assert_eq!(pins_of(&hot).keys().collect::<Vec<_>>(), [&inner.to_string()]);
    let faults: Vec<_> = report.first_faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(faults, [FaultKind::Pin], "{report}");
    // Its own are its pins.
    let other = tempfile::tempdir().unwrap();
    let hot = hot_at(other.path());
    let report = run(&source, &hot, job(Select::Pins), &mut go_on).unwrap();
    assert!(!report.has_faults(), "{report}");
    assert_eq!(pins_of(&hot).keys().collect::<Vec<_>>(), [&root.to_string()]);
}

#[test]
fn what_is_no_source_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let error = Source::open(folder.path(), false).unwrap_err().to_string();
    assert!(error.contains("expected a Kubo repository"), "{error}");
    let error = Source::open(folder.path().join("absent"), false).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
    let (tree, ..) = tree_of(1);
    let hot = hot_at(folder.path());
    let source = Source::open(tree.root(), false).unwrap();
    let error = run(&source, &hot, job(Select::Pins), &mut go_on).unwrap_err().to_string();
    assert!(error.contains("has no pins"), "{error}");
}

#[test]
fn a_plan_counts_what_is_small_and_says_what_is_left_behind_and_whether_there_is_room() {
    each_golden(|golden| {
        let before = files_of(&golden.root());
        let source = Source::open(golden.root(), false).unwrap();
        let plan = plan(&source, Some(&golden.root())).unwrap();
        let wanted = refs(golden).len() as f64;
        let near = plan.blocks.value as f64 / wanted;
        assert!(plan.blocks.value == wanted as u64 || !plan.blocks.exact, "{plan:?}");
        assert!((0.5..2.0).contains(&near), "{}: {plan:?}", golden.name);
        if golden.expected["mfs_root"].is_string() {
            assert_eq!(plan.pins.value, expected_pins(golden).len() as u64);
            assert_eq!(plan.keys, 2);
            assert!(plan.dropped.0.values().sum::<u64>() > 0, "{plan:?}");
        }
        assert_eq!((plan.bad_in_sample, plan.has_room()), (0, Some(true)));
        assert!(plan.takes().is_some());
        assert!(files_of(&golden.root()) == before, "{} was changed", golden.name);
    });
}

#[test]
fn a_file_that_goes_while_its_folder_is_copied_is_missing_and_stops_nothing() {
    let (tree, blocks, folder) = tree_of(400);
    let hot = hot_at(folder.path());
    let source = Source::open(tree.root(), false).unwrap();
    let pace = Pace { bytes_per_second: Some(100_000), ..Pace::default() };
    // Removed when the first word of progress comes: many are listed by then and not read.
    let mut gone = 0;
    let mut remove = |event: Event<'_>| {
        if gone == 0 && matches!(event, Event::Progress(_)) {
            for block in blocks.iter().filter(|block| hot.size(block.cid()).unwrap().is_none()) {
                gone += u64::from(fs::remove_file(tree.path(block.cid())).is_ok());
            }
        }
        ControlFlow::Continue(())
    };
    let report = run(&source, &hot, Job { select: Select::All, pace }, &mut remove).unwrap();
    assert!(gone > 0 && !report.stopped, "{report}");
    assert!(report.first_faults.iter().all(|fault| fault.kind == FaultKind::Missing), "{report}");
    assert!(report.blocks + gone >= 400 && hot.held().0 == report.blocks, "{gone}: {report}");
    // Restored from a copy, they come with the next run, and nothing is wrong any more.
    blocks.iter().for_each(|block| tree.put(block));
    let again = copy_all(&tree.root(), &hot);
    assert!(!again.has_faults(), "{again}");
    assert_eq!(hot.held().0, 400);
}

/// A small file system of its own; `None` where nothing can be mounted.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path, size: &str) -> Option<Mounted> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(at);
        mount.stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_a_copy_with_a_sentence_and_it_goes_on_when_there_is_room() {
    let tree = Tree::new();
    let blocks: Vec<_> = (0..200u64)
        .map(|n| tree::content(256 * 1024, n))
        .map(|data| Block::verified(cid_of(RAW, &data), data.into()).unwrap())
        .collect();
    blocks.iter().for_each(|block| tree.put(block));
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Mounted::new(folder.path(), "size=96m") else {
        return eprintln!("not run: nothing can be mounted here");
    };
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![1; 64 << 20]).unwrap();
    let source = Source::open(tree.root(), false).unwrap();
    {
        let hot = hot_at(folder.path());
        let error = run(&source, &hot, job(Select::All), &mut go_on).unwrap_err();
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        let mut sentences = Vec::new();
        while let Some(error) = next {
            sentences.push(error.to_string());
            next = error.source();
        }
        let all = sentences.join(": ");
        assert!(all.contains("free on its disk") || all.contains("disk is full"), "{all}");
        assert!(all.contains("run the same job again"), "{all}");
    }
    fs::remove_file(&ballast).unwrap();
    let hot = hot_at(folder.path());
    let before = hot.held().0;
    let report = run(&source, &hot, job(Select::All), &mut go_on).unwrap();
    assert!(!report.has_faults() && report.blocks + before == 200, "{before} and {report}");
    let verified = verify(&hot, Some(&source), Pace::default(), &mut go_on).unwrap();
    assert!(!verified.has_faults(), "{verified}");
}

/// Whatever of a store is damaged: what can be read of it is copied and right, the rest is told, or the store is refused.
#[test]
fn a_store_with_a_damaged_file_gives_right_blocks_and_a_report_or_a_sentence() {
    let golden = Golden::own("pebble-fmv-21");
    let all = refs(&golden).len() as u64;
    let store = golden.root().join("pebbleds");
    let mut seed = 7_u64;
    let (mut refused, mut partly, mut whole) = (0, 0, 0);
    for round in 0..24 {
        let mut files: Vec<_> = fs::read_dir(&store).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|path| fs::metadata(path).unwrap().len() > 0);
        files.sort();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let path = &files[round % files.len()];
        let good = fs::read(path).unwrap();
        let at = (seed >> 20) as usize % good.len();
        match round % 3 {
            0 => fs::write(path, &good[..at]).unwrap(),
            _ => tree::flip(path, at * 8 + 3),
        }
        let folder = tempfile::tempdir().unwrap();
        match Source::open(golden.root(), round % 2 == 0) {
            Err(_) => refused += 1,
            Ok(source) => {
                let hot = hot_at(folder.path());
                match run(&source, &hot, job(Select::All), &mut go_on) {
                    Ok(report) if report.has_faults() || hot.held().0 < all => partly += 1,
                    Ok(_) => whole += 1,
                    Err(_) => refused += 1,
                }
                // What came over is right, whatever the source was.
                for row in hot.scan(0) {
                    let cid = row.unwrap().cid;
                    if let Some(block) = hot.get(&cid).unwrap() {
                        Block::verified(cid, block.into_data()).unwrap();
                    }
                }
            }
        }
        fs::write(path, &good).unwrap();
    }
    assert!(refused > 0 && partly > 0, "{refused} refused, {partly} in part, {whole} whole");
}

#[test]
fn shard_directories_on_another_disk_are_read_beside_those_of_the_first() {
    let (tree, blocks, folder) = tree_of(400);
    tree.settle();
    // Half of the tree's directories move to a disk of their own.
    let mut shards: Vec<_> =
        fs::read_dir(tree.root()).unwrap().map(|e| e.unwrap().path()).collect();
    shards.retain(|path| path.is_dir());
    shards.sort();
    let mut mounted = Vec::new();
    for shard in shards.iter().skip(shards.len() - 20) {
        let kept: Vec<_> = fs::read_dir(shard).unwrap().map(|e| e.unwrap().path()).collect();
        let kept: Vec<_> = kept.iter().map(|path| (path, fs::read(path).unwrap())).collect();
        let Some(mount) = Mounted::new(shard, "size=8m") else {
            return eprintln!("not run: nothing can be mounted here");
        };
        mounted.push(mount);
        kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    }
    let hot = hot_at(folder.path());
    let report = copy_all(&tree.root(), &hot);
    assert!(!report.has_faults() && report.blocks == 400, "{report}");
    // By name those directories come last; they are begun with the first.
    let is_there = |cid: &Cid| {
        let path = tree.path(cid);
        mounted.iter().any(|Mounted(at)| path.starts_with(at))
    };
    let order: Vec<bool> = hot.scan(0).map(|row| is_there(&row.unwrap().cid)).collect();
    assert!(order[..42].iter().filter(|there| **there).count() >= 20, "{order:?}");
    for block in &blocks {
        assert!(hot.size(block.cid()).unwrap().is_some());
    }
}
