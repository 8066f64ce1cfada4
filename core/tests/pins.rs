//! Pins: what they keep, what they answer, and that a collection leaves exactly that.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use coldfront::block::{DAG_CBOR, DAG_PB, RAW};
use coldfront::gc::{CollectOptions, Collected, collect};
use coldfront::pin::{NewPin, PinError, PinIndex, PinMode, PinStatus};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::store::memory::Memory;
use coldfront::unixfs::testing::{self, FilePlan, LeafForm, cid_of, identity_cid};
use coldfront::{Block, BlockSource, BlockStore, Cid, ReadError};

fn block(codec: u64, data: impl Into<Bytes>) -> Block {
    let data = data.into();
    Block::verified(cid_of(codec, &data), data).unwrap()
}

/// A dag-cbor list of links, with a number that makes it differ from others.
fn node(number: u64, links: &[Cid]) -> Block {
    let mut data = vec![0x82, 0x1b];
    data.extend_from_slice(&number.to_be_bytes());
    data.extend_from_slice(&[0x99, (links.len() >> 8) as u8, links.len() as u8]);
    for link in links {
        let bytes = link.to_bytes();
        data.extend_from_slice(&[0xd8, 42, 0x58, bytes.len() as u8 + 1, 0]);
        data.extend_from_slice(&bytes);
    }
    block(DAG_CBOR, data)
}

fn cids(blocks: &[Block]) -> Vec<Cid> {
    blocks.iter().map(|block| *block.cid()).collect()
}

fn open(folder: &Path) -> HotStore {
    let options = HotOptions { memory: 16 * 1024 * 1024, ..HotOptions::new(folder.join("hot")) };
    HotStore::open(&options).unwrap()
}

fn run(pins: &PinIndex) -> Collected {
    let done =
        collect(pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(done.finished && done.all_released);
    done
}

fn listed(pins: &PinIndex) -> BTreeMap<Cid, PinMode> {
    pins.list(None).map(|pin| pin.unwrap()).map(|pin| (pin.cid, pin.mode)).collect()
}

fn indirect(pins: &PinIndex) -> BTreeSet<Cid> {
    let all: Vec<_> = pins.indirect().map(|cid| cid.unwrap()).collect();
    let set: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(set.len(), all.len(), "each is told once");
    set
}

fn missing(result: Result<(), PinError>) -> Cid {
    match result {
        Err(PinError::Read(ReadError::Missing(cid))) => cid,
        other => panic!("{other:?}"),
    }
}

struct Tree {
    _folder: tempfile::TempDir,
    hot: HotStore,
    pins: PinIndex,
    root: Cid,
    middle: Cid,
    leaf: Cid,
}

/// root -> middle -> leaf, and root -> leaf.
fn tree() -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let leaf = block(RAW, "leaf");
    let middle = node(1, &[*leaf.cid()]);
    let root = node(2, &[*middle.cid(), *leaf.cid()]);
    let cids = [root.cid(), middle.cid(), leaf.cid()].map(|cid| *cid);
    hot.put(&[leaf, middle, root]).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    let [root, middle, leaf] = cids;
    Tree { _folder: folder, hot, pins, root, middle, leaf }
}

#[test]
fn a_recursive_pin_keeps_everything_below_and_its_removal_nothing() {
    let tree = tree();
    tree.pins.add(&NewPin::new(tree.root)).unwrap();
    assert_eq!(run(&tree.pins).blocks, 0);
    assert_eq!(indirect(&tree.pins), BTreeSet::from([tree.middle, tree.leaf]));
    tree.pins.remove(&tree.root, true).unwrap();
    assert_eq!(indirect(&tree.pins), BTreeSet::new());
    let done = run(&tree.pins);
    assert_eq!(done.blocks, 3);
    assert_eq!(tree.hot.held(), (0, 0));
    assert_eq!(done.looked_at, 3);
}

#[test]
fn a_direct_pin_keeps_its_block_alone() {
    let tree = tree();
    tree.pins.add(&NewPin { mode: PinMode::Direct, ..NewPin::new(tree.root) }).unwrap();
    assert_eq!(run(&tree.pins).blocks, 2);
    assert!(tree.hot.size(&tree.root).unwrap().is_some());
    assert_eq!(tree.pins.status(&tree.root).unwrap(), PinStatus::Direct);
}

#[test]
fn unpinning_stops_where_another_parent_holds() {
    let tree = tree();
    tree.pins.add(&NewPin::new(tree.root)).unwrap();
    tree.pins.add(&NewPin::new(tree.middle)).unwrap();
    tree.pins.remove(&tree.root, true).unwrap();
    assert_eq!(indirect(&tree.pins), BTreeSet::from([tree.leaf]));
    assert_eq!(run(&tree.pins).blocks, 1);
}

#[test]
fn a_pin_of_what_is_not_all_here_fails_and_leaves_nothing() {
    let tree = tree();
    let absent = cid_of(RAW, b"absent");
    let top = node(3, &[tree.root, absent]);
    tree.hot.put(std::slice::from_ref(&top)).unwrap();
    assert_eq!(missing(tree.pins.add(&NewPin::new(*top.cid()))), absent);
    assert_eq!(listed(&tree.pins), BTreeMap::new());
    assert_eq!(indirect(&tree.pins), BTreeSet::new());
    assert_eq!(missing(tree.pins.add(&NewPin::new(absent))), absent);
    assert_eq!(run(&tree.pins).blocks, 4);
}

#[test]
fn a_failed_recursive_pin_leaves_the_direct_one_that_was_there() {
    let tree = tree();
    let top = node(3, &[tree.root, cid_of(RAW, b"absent")]);
    tree.hot.put(std::slice::from_ref(&top)).unwrap();
    tree.pins.add(&NewPin { mode: PinMode::Direct, ..NewPin::new(*top.cid()) }).unwrap();
    missing(tree.pins.add(&NewPin::new(*top.cid())));
    assert_eq!(listed(&tree.pins), BTreeMap::from([(*top.cid(), PinMode::Direct)]));
    assert_eq!(indirect(&tree.pins), BTreeSet::new());
}

/// The mode, name and time of a pin.
fn told(pins: &PinIndex, cid: &Cid) -> (PinMode, String, u64) {
    let pin = pins.get(cid).unwrap().unwrap();
    (pin.mode, pin.name, pin.since)
}

#[test]
fn a_failed_recursive_pin_leaves_name_and_time_of_the_pin_that_was_there() {
    let tree = tree();
    let absent = block(RAW, "absent");
    let top = node(3, &[tree.root, *absent.cid()]);
    tree.hot.put(std::slice::from_ref(&top)).unwrap();
    let again = NewPin { name: "new".into(), ..NewPin::new(*top.cid()) };
    for mode in [PinMode::Direct, PinMode::Recursive] {
        let old = NewPin { name: "old".into(), mode, ..NewPin::new(*top.cid()) };
        tree.pins.adopt(&[(old, 7)]).unwrap();
        // Nor is the new name told before the pin is made.
        let mut seen = Vec::new();
        let failed = tree.pins.add_watched(&again, &mut |_| {
            seen.push(told(&tree.pins, top.cid()));
            ControlFlow::Continue(())
        });
        assert_eq!(missing(failed), *absent.cid());
        seen.push(told(&tree.pins, top.cid()));
        assert_eq!(seen[0], (mode, "old".to_owned(), 7));
        assert!(seen.iter().all(|now| *now == seen[0]), "{seen:?}");
        assert_eq!(indirect(&tree.pins), BTreeSet::new());
        tree.pins.remove(top.cid(), true).unwrap();
    }
    tree.pins.adopt(&[(NewPin { mode: PinMode::Direct, ..again.clone() }, 7)]).unwrap();
    tree.hot.put(&[absent]).unwrap();
    tree.pins.add(&again).unwrap();
    let (mode, name, since) = told(&tree.pins, top.cid());
    assert_eq!((mode, name.as_str()), (PinMode::Recursive, "new"));
    assert!(since > 7, "a recursive pin is a new one");
}

#[test]
fn a_recursive_pin_that_a_crash_cut_short_leaves_the_direct_one_whole() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = block(RAW, "leaf");
    let root = node(1, &[*leaf.cid()]);
    let below: Arc<dyn BlockSource> = {
        let archive = Memory::new();
        archive.put(leaf);
        archive.put(root.clone());
        Arc::new(archive)
    };
    let old = NewPin { name: "old".into(), mode: PinMode::Direct, ..NewPin::new(*root.cid()) };
    let new = NewPin { name: "new".into(), ..NewPin::new(*root.cid()) };
    let whole = (PinMode::Direct, "old".to_owned(), 7);
    {
        let pins = PinIndex::new(&open(folder.path()), vec![below.clone()]);
        pins.adopt(&[(old, 7)]).unwrap();
    }
    {
        let pins = PinIndex::new(&open(folder.path()), vec![below.clone()]);
        let cut = std::panic::AssertUnwindSafe(|| {
            pins.add_watched(&new, &mut |_| std::panic::resume_unwind(Box::new(())))
        });
        assert!(std::panic::catch_unwind(cut).is_err());
        assert_eq!(told(&pins, root.cid()), whole);
    }
    let pins = PinIndex::new(&open(folder.path()), vec![below.clone()]);
    assert_eq!(told(&pins, root.cid()), whole);
    run(&pins);
    assert_eq!(told(&pins, root.cid()), whole);
    assert_eq!(indirect(&pins), BTreeSet::new());
}

#[test]
fn modes_follow_kubo() {
    let tree = tree();
    let direct = NewPin { mode: PinMode::Direct, ..NewPin::new(tree.root) };
    assert!(matches!(tree.pins.remove(&tree.root, true), Err(PinError::NotPinned(_))));
    tree.pins.add(&direct).unwrap();
    tree.pins.add(&NewPin { name: "film".into(), ..NewPin::new(tree.root) }).unwrap();
    let pin = tree.pins.get(&tree.root).unwrap().unwrap();
    assert_eq!((pin.mode, pin.name.as_str(), pin.indexed), (PinMode::Recursive, "film", true));
    assert!(matches!(tree.pins.add(&direct), Err(PinError::PinnedRecursively(_))));
    let refused = tree.pins.remove(&tree.root, false);
    assert!(matches!(refused, Err(PinError::PinnedRecursively(_))));
    let long = NewPin { name: "n".repeat(256), ..NewPin::new(tree.middle) };
    assert!(matches!(tree.pins.add(&long), Err(PinError::NameTooLong { len: 256 })));
}

#[test]
fn pins_of_one_block_under_two_spellings_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let mut blocks = Vec::new();
    let made = testing::directory([], &mut |block| blocks.push(block));
    hot.put(&blocks).unwrap();
    let v0 = Cid::new_v0(*made.cid.hash()).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    pins.add(&NewPin::new(made.cid)).unwrap();
    assert_eq!(pins.status(&v0).unwrap(), PinStatus::NotPinned);
    pins.add(&NewPin::new(v0)).unwrap();
    assert_eq!(listed(&pins).len(), 2);
    pins.remove(&made.cid, true).unwrap();
    assert_eq!(listed(&pins), BTreeMap::from([(v0, PinMode::Recursive)]));
    assert_eq!(run(&pins).blocks, 0);
}

#[test]
fn an_indirect_pin_is_listed_as_its_link_spells_it() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let mut blocks = Vec::new();
    let made = testing::directory([], &mut |block| blocks.push(block));
    let v0 = Cid::new_v0(*made.cid.hash()).unwrap();
    let (first, second) = (node(1, &[v0]), node(2, &[made.cid, v0]));
    hot.put(&blocks).unwrap();
    hot.put(&[first.clone(), second.clone()]).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    pins.add(&NewPin::new(*first.cid())).unwrap();
    assert_eq!(indirect(&pins), BTreeSet::from([v0]));
    assert_eq!(pins.status(&v0).unwrap(), PinStatus::Indirect { through: *first.cid() });
    assert_eq!(pins.status(&made.cid).unwrap(), PinStatus::NotPinned);
    pins.add(&NewPin::new(*second.cid())).unwrap();
    assert_eq!(indirect(&pins), BTreeSet::from([v0, made.cid]));
}

#[test]
fn why_a_block_is_kept_is_the_way_down_to_it() {
    let tree = tree();
    assert_eq!(tree.pins.why(&tree.leaf).unwrap(), None);
    tree.pins.add(&NewPin::new(tree.root)).unwrap();
    assert_eq!(tree.pins.why(&tree.middle).unwrap().unwrap(), [tree.root, tree.middle]);
    assert_eq!(tree.pins.why(&tree.root).unwrap().unwrap(), [tree.root]);
    let way = tree.pins.why(&tree.leaf).unwrap().unwrap();
    assert_eq!((way.first(), way.last()), (Some(&tree.root), Some(&tree.leaf)));
}

#[test]
fn an_update_walks_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let pins = PinIndex::new(&hot, Vec::new());
    let leaves: Vec<_> = (0..40).map(|n| block(RAW, format!("leaf {n}"))).collect();
    let middles: Vec<_> =
        leaves.chunks(2).map(|two| node(0, &[*two[0].cid(), *two[1].cid()])).collect();
    let mut links: Vec<_> = middles.iter().map(|one| *one.cid()).collect();
    let old = node(1, &links);
    let changed = node(7, &[*leaves[0].cid()]);
    links[0] = *changed.cid();
    let new = node(2, &links);
    hot.put(&leaves).unwrap();
    hot.put(&middles).unwrap();
    hot.put(&[old.clone(), new.clone(), changed]).unwrap();
    pins.add(&NewPin { name: "v".into(), ..NewPin::new(*old.cid()) }).unwrap();
    let before = pins.blocks_read();
    pins.update(old.cid(), new.cid(), false).unwrap();
    assert_eq!(pins.blocks_read() - before, 2, "the new root and the changed child");
    assert_eq!(pins.get(new.cid()).unwrap().unwrap().name, "v");
    let again = pins.update(old.cid(), new.cid(), true);
    assert!(matches!(again, Err(PinError::AlreadyPinned(_))));
    pins.remove(old.cid(), true).unwrap();
    assert_eq!(pins.blocks_read() - before, 4, "the old root and the child that changed");
    assert_eq!(run(&pins).blocks, 3, "the old root, the old child, and a leaf that was its alone");
}

#[test]
fn an_update_takes_the_place_of_a_direct_pin() {
    let tree = tree();
    tree.pins.add(&NewPin { name: "film".into(), ..NewPin::new(tree.root) }).unwrap();
    let direct = NewPin { name: "part".into(), mode: PinMode::Direct, ..NewPin::new(tree.middle) };
    tree.pins.add(&direct).unwrap();
    tree.pins.update(&tree.root, &tree.middle, true).unwrap();
    assert_eq!(listed(&tree.pins), BTreeMap::from([(tree.middle, PinMode::Recursive)]));
    assert_eq!(tree.pins.get(&tree.middle).unwrap().unwrap().name, "film");
}

#[test]
fn leaves_of_an_archive_are_looked_up_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    for leaf in [LeafForm::Raw, LeafForm::PbRaw, LeafForm::PbFile] {
        let (archive, mut inner) = (Memory::new(), 0);
        let plan = FilePlan { chunk: 1000, width: 10, leaf, ..FilePlan::default() };
        let content: Vec<u8> = (0..100_000u32).map(|n| (n / 7 + leaf as u32) as u8).collect();
        let mut all = Vec::new();
        let made = testing::file(&content, &plan, &mut |block| {
            inner += usize::from(block.data().len() < 900);
            all.push(*block.cid());
            archive.put(block);
        });
        let pins = PinIndex::new(&hot, vec![Arc::new(archive)]);
        pins.add(&NewPin::new(made.cid)).unwrap();
        assert_eq!(pins.blocks_read(), inner as u64, "{leaf:?}");
        let below: BTreeSet<_> = all.into_iter().filter(|cid| *cid != made.cid).collect();
        assert_eq!(indirect(&pins), below, "{leaf:?}");
        assert_eq!(hot.held(), (0, 0), "nothing is copied");
        pins.remove(&made.cid, true).unwrap();
        run(&pins);
        assert!(pins.status(below.first().unwrap()).unwrap() == PinStatus::NotPinned);
    }
}

#[test]
fn an_adopted_root_is_pinned_at_once_and_indexed_later() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let archive = Memory::new();
    let leaf = block(RAW, "leaf");
    let root = node(1, &[*leaf.cid()]);
    let gone = node(9, &[]);
    archive.put(leaf.clone());
    archive.put(root.clone());
    let pins = PinIndex::new(&hot, vec![Arc::new(archive)]);
    pins.adopt(&[(NewPin::new(*gone.cid()), 5), (NewPin::new(*root.cid()), 7)]).unwrap();
    let pin = pins.get(root.cid()).unwrap().unwrap();
    assert_eq!((pin.since, pin.indexed), (7, false));
    assert_eq!(listed(&pins).len(), 2);
    let mut go_on = |_| ControlFlow::Continue(());
    let first = pins.index_next(None, &mut go_on).unwrap().unwrap();
    assert_eq!((first.cid, missing(Err(first.error.unwrap()))), (*gone.cid(), *gone.cid()));
    let second = pins.index_next(Some(&first.cid), &mut go_on).unwrap().unwrap();
    assert_eq!(second.cid, *root.cid());
    assert!(second.error.is_none());
    assert!(pins.index_next(Some(root.cid()), &mut go_on).unwrap().is_none());
    let pin = pins.get(root.cid()).unwrap().unwrap();
    assert_eq!((pin.since, pin.indexed), (7, true));
    assert_eq!(indirect(&pins), BTreeSet::from([*leaf.cid()]));
}

#[test]
fn an_adopted_root_whose_walk_failed_is_walked_on_when_the_block_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let archive = Arc::new(Memory::new());
    let leaf = block(RAW, "leaf");
    let deep = node(1, &[*leaf.cid()]);
    let middle = node(2, &[*deep.cid()]);
    let root = node(3, &[*middle.cid()]);
    [&leaf, &middle, &root].into_iter().for_each(|block| archive.put(block.clone()));
    let pins = PinIndex::new(&hot, vec![archive.clone()]);
    pins.adopt(&[(NewPin::new(*root.cid()), 7)]).unwrap();
    let mut go_on = |_| ControlFlow::Continue(());
    let first = pins.index_next(None, &mut go_on).unwrap().unwrap();
    assert_eq!(missing(Err(first.error.unwrap())), *deep.cid());
    archive.put(deep.clone());
    assert!(pins.index_next(None, &mut go_on).unwrap().unwrap().error.is_none());
    assert_eq!(indirect(&pins), BTreeSet::from([*leaf.cid(), *deep.cid(), *middle.cid()]));
}

#[test]
fn a_pin_that_is_removed_while_it_is_indexed_leaves_no_edges() {
    let tree = tree();
    let archive = Memory::new();
    for cid in [tree.root, tree.middle, tree.leaf] {
        archive.put(tree.hot.get(&cid).unwrap().unwrap());
    }
    run(&tree.pins);
    let pins = PinIndex::new(&tree.hot, vec![Arc::new(archive)]);
    pins.adopt(&[(NewPin::new(tree.root), 7)]).unwrap();
    let mut removed = false;
    let mut remove = |_| {
        if !std::mem::replace(&mut removed, true) {
            pins.remove(&tree.root, true).unwrap();
        }
        ControlFlow::Continue(())
    };
    let tried = pins.index_next(None, &mut remove).unwrap().unwrap();
    assert!(matches!(tried.error, Some(PinError::Removed(_))), "{tried:?}");
    assert_eq!(listed(&pins), BTreeMap::new());
    assert_eq!(indirect(&pins), BTreeSet::new());
}

#[test]
fn a_pin_that_is_being_made_is_not_taken_for_abandoned_by_whoever_collects() {
    let tree = tree();
    let others = PinIndex::new(&tree.hot, Vec::new());
    let mut collect_once = |_| {
        run(&others);
        ControlFlow::Continue(())
    };
    tree.pins.add_watched(&NewPin::new(tree.middle), &mut collect_once).unwrap();
    assert_eq!(listed(&tree.pins), BTreeMap::from([(tree.middle, PinMode::Recursive)]));
    assert!(tree.hot.size(&tree.leaf).unwrap().is_some());
}

#[test]
fn a_pin_that_is_told_to_stop_is_none() {
    let tree = tree();
    let stopped = tree.pins.add_watched(&NewPin::new(tree.root), &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(PinError::Cancelled(_))));
    assert_eq!(listed(&tree.pins), BTreeMap::new());
    assert_eq!(run(&tree.pins).blocks, 3);
}

#[test]
fn what_many_parents_hold_hides_nothing_that_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let (popular, next) = (block(RAW, "popular"), block(RAW, "next"));
    let parents: Vec<_> = (0..40).map(|n| node(n, &[*popular.cid(), *next.cid()])).collect();
    hot.put(&[popular, next]).unwrap();
    hot.put(&parents).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    let new: Vec<_> = parents.iter().map(|parent| NewPin::new(*parent.cid())).collect();
    pins.add_all(&new).unwrap();
    let options = CollectOptions { dry_run: true, ..CollectOptions::default() };
    let done = collect(&pins, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((done.looked_at, done.blocks), (42, 0));
}

#[test]
fn what_hangs_below_an_inline_block_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let leaf = block(RAW, "leaf");
    let mut inline = vec![0x81, 0xd8, 42, 0x58, 37, 0];
    inline.extend_from_slice(&leaf.cid().to_bytes());
    let root = node(1, &[identity_cid(DAG_CBOR, &inline)]);
    hot.put(&[leaf.clone(), root.clone()]).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    pins.add(&NewPin::new(*root.cid())).unwrap();
    assert_eq!(run(&pins).blocks, 0);
    pins.remove(root.cid(), true).unwrap();
    assert_eq!(run(&pins).blocks, 2);
}

#[test]
fn a_block_that_was_put_as_raw_is_read_when_it_is_linked_as_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let mut blocks = Vec::new();
    let leaf = testing::file(b"content", &FilePlan::default(), &mut |block| blocks.push(block));
    let directory = testing::directory([("a", leaf)], &mut |block| blocks.push(block));
    let raw =
        |block: &Block| Block::verified(cid_of(RAW, block.data()), block.data().clone()).unwrap();
    let root = node(1, &[directory.cid]);
    hot.put(&blocks.iter().map(raw).collect::<Vec<_>>()).unwrap();
    hot.put(std::slice::from_ref(&root)).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    pins.add(&NewPin::new(*root.cid())).unwrap();
    assert_eq!(indirect(&pins), BTreeSet::from([directory.cid, leaf.cid]));
    assert_eq!(leaf.cid.codec(), RAW);
    assert_eq!(directory.cid.codec(), DAG_PB);
}

#[test]
fn a_lease_keeps_what_is_written_and_what_was_there_until_it_is_pinned() {
    let tree = tree();
    let writer = tree.hot.leased();
    let fresh = block(RAW, "fresh");
    let old = tree.hot.get(&tree.leaf).unwrap().unwrap();
    writer.put(&[fresh.clone(), old]).unwrap();
    assert_eq!(run(&tree.pins).blocks, 2, "root and middle");
    assert!(tree.hot.size(&tree.leaf).unwrap().is_some());
    assert!(tree.hot.size(fresh.cid()).unwrap().is_some());
    drop(writer);
    assert_eq!(run(&tree.pins).blocks, 2);
}

#[test]
fn a_dry_run_tells_what_would_go_and_removes_nothing() {
    let tree = tree();
    tree.pins.add(&NewPin::new(tree.middle)).unwrap();
    let before = tree.hot.held();
    let options = CollectOptions { dry_run: true, ..CollectOptions::default() };
    let done = collect(&tree.pins, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let len = tree.hot.size(&tree.root).unwrap().unwrap();
    assert_eq!((done.blocks, done.bytes), (1, len));
    assert_eq!(tree.hot.held(), before);
}

#[test]
fn many_pins_in_one_go_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let blocks: Vec<_> = (0..2500).map(|n| block(RAW, format!("block {n}"))).collect();
    let new: Vec<_> = blocks.iter().map(|block| NewPin::new(*block.cid())).collect();
    {
        let hot = open(folder.path());
        hot.put(&blocks).unwrap();
        PinIndex::new(&hot, Vec::new()).add_all(&new).unwrap();
    }
    let pins = PinIndex::new(&open(folder.path()), Vec::new());
    assert_eq!(listed(&pins), new.iter().map(|pin| (pin.cid, pin.mode)).collect());
    assert_eq!(pins.list(Some(PinMode::Direct)).count(), 0);
}

#[test]
fn a_named_root_keeps_everything_below_until_the_name_has_another() {
    let tree = tree();
    assert_eq!(tree.pins.root("mfs").unwrap(), None);
    tree.pins.set_root("mfs", Some(&tree.root)).unwrap();
    assert_eq!(tree.pins.root("mfs").unwrap(), Some(tree.root));
    assert_eq!(run(&tree.pins).blocks, 0);
    tree.pins.set_root("mfs", Some(&tree.middle)).unwrap();
    assert_eq!(tree.pins.root("mfs").unwrap(), Some(tree.middle));
    assert_eq!(run(&tree.pins).blocks, 1, "the old root alone");
    tree.pins.set_root("mfs", None).unwrap();
    assert_eq!(tree.pins.roots().unwrap(), []);
    assert_eq!(run(&tree.pins).blocks, 2);
    assert_eq!(tree.hot.held(), (0, 0));
}

#[test]
fn a_named_root_is_no_pin_and_says_why_a_block_is_kept() {
    let tree = tree();
    tree.pins.set_root("mfs", Some(&tree.root)).unwrap();
    assert_eq!(listed(&tree.pins), BTreeMap::new());
    assert_eq!(indirect(&tree.pins), BTreeSet::new());
    assert_eq!(tree.pins.status(&tree.leaf).unwrap(), PinStatus::NotPinned);
    assert!(matches!(tree.pins.remove(&tree.root, true), Err(PinError::NotPinned(_))));
    assert_eq!(tree.pins.why(&tree.middle).unwrap(), Some(vec![tree.root, tree.middle]));
    // Beside a pin that shares a part with it, that part is indirect, and no more.
    tree.pins.add(&NewPin::new(tree.middle)).unwrap();
    assert_eq!(indirect(&tree.pins), BTreeSet::from([tree.leaf]));
    tree.pins.remove(&tree.middle, true).unwrap();
    assert_eq!(run(&tree.pins).blocks, 0);
}

#[test]
fn two_names_of_one_root_keep_it_as_long_as_either_does() {
    let tree = tree();
    tree.pins.set_root("one", Some(&tree.root)).unwrap();
    tree.pins.set_root("two", Some(&tree.root)).unwrap();
    tree.pins.set_root("one", None).unwrap();
    assert_eq!(run(&tree.pins).blocks, 0);
    tree.pins.set_root("two", Some(&tree.leaf)).unwrap();
    assert_eq!(run(&tree.pins).blocks, 2);
}

#[test]
fn a_named_root_changes_at_the_price_of_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let pins = PinIndex::new(&hot, Vec::new());
    let leaves: Vec<_> = (0..200u32).map(|n| block(RAW, n.to_be_bytes().to_vec())).collect();
    let folders: Vec<_> =
        leaves.chunks(10).zip(0..).map(|(some, n)| node(n, &cids(some))).collect();
    let new_leaf = block(RAW, "new");
    let new_folder = node(100, &[*new_leaf.cid()]);
    let old_root = node(101, &cids(&folders));
    let new_root = node(102, &cids(&[&folders[1..], std::slice::from_ref(&new_folder)].concat()));
    for some in
        [&leaves[..], &folders[..], &[new_leaf, new_folder, old_root.clone(), new_root.clone()]]
    {
        hot.put(some).unwrap();
    }
    pins.set_root("mfs", Some(old_root.cid())).unwrap();
    let before = pins.blocks_read();
    pins.set_root("mfs", Some(new_root.cid())).unwrap();
    // The new root and folder on the way in; the old root and folder on the way out.
    assert_eq!(pins.blocks_read() - before, 4);
    assert_eq!(run(&pins).blocks, 12);
}

#[test]
fn what_is_nowhere_below_a_named_root_is_left_out_and_found_later() {
    let tree = tree();
    let late = block(RAW, "late");
    let folder = node(5, &[*late.cid(), tree.leaf]);
    let top = node(6, &[*folder.cid(), tree.root]);
    tree.hot.put(&[folder.clone(), top.clone()]).unwrap();
    tree.pins.set_root("mfs", Some(top.cid())).unwrap();
    assert_eq!(run(&tree.pins).blocks, 0);
    assert_eq!(missing(tree.pins.add(&NewPin::new(*top.cid()))), *late.cid());
    assert_eq!(run(&tree.pins).blocks, 0, "a pin that failed takes nothing away");
    assert_eq!(missing(tree.pins.set_root("mfs", Some(late.cid()))), *late.cid());
    assert_eq!(tree.pins.root("mfs").unwrap(), Some(*top.cid()));
    tree.hot.put(std::slice::from_ref(&late)).unwrap();
    tree.pins.set_root("mfs", Some(top.cid())).unwrap();
    assert_eq!(run(&tree.pins).blocks, 0, "found by the next call");
    tree.pins.add(&NewPin::new(*top.cid())).unwrap();
}

#[test]
fn a_lack_below_many_paths_is_walked_once() {
    let folder = tempfile::tempdir().unwrap();
    let hot = open(folder.path());
    let pins = PinIndex::new(&hot, Vec::new());
    // Sixty levels of two nodes, each of which links to both below: 2^60 paths lead to what is missing.
    let mut below = vec![cid_of(RAW, b"absent")];
    for level in 0..60 {
        let both = [node(2 * level, &below), node(2 * level + 1, &below)];
        hot.put(&both).unwrap();
        below = cids(&both);
    }
    let top = node(1000, &below);
    hot.put(std::slice::from_ref(&top)).unwrap();
    pins.set_root("mfs", Some(top.cid())).unwrap();
    assert_eq!(run(&pins).blocks, 0);
    pins.set_root("mfs", None).unwrap();
    assert_eq!(run(&pins).blocks, 121);
}

/// The index beside a reference that knows everything and walks it all each time.
struct Model {
    blocks: Vec<Block>,
    links: HashMap<Cid, Vec<Cid>>,
    held: BTreeSet<Cid>,
    pins: BTreeMap<Cid, PinMode>,
    roots: BTreeMap<&'static str, Cid>,
}

impl Model {
    fn new(random: &mut Random) -> Model {
        let mut blocks: Vec<Block> = Vec::new();
        let mut links = HashMap::new();
        for number in 0..40 {
            let mut below = Vec::new();
            if number >= 8 {
                for _ in 0..=random.below(4) {
                    below.push(*blocks[random.below(blocks.len())].cid());
                }
            }
            let block = match below.is_empty() {
                true => block(RAW, format!("leaf {number}")),
                false => node(number, &below),
            };
            links.insert(*block.cid(), below);
            blocks.push(block);
        }
        let held = blocks.iter().map(|block| *block.cid()).collect();
        Model { blocks, links, held, pins: BTreeMap::new(), roots: BTreeMap::new() }
    }

    fn below(&self, root: &Cid) -> BTreeSet<Cid> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![*root]);
        while let Some(cid) = next.pop() {
            for link in &self.links[&cid] {
                if seen.insert(*link) {
                    next.push(*link);
                }
            }
        }
        seen
    }

    fn is_whole(&self, root: &Cid) -> bool {
        self.held.contains(root) && self.below(root).is_subset(&self.held)
    }

    fn indirect(&self) -> BTreeSet<Cid> {
        let roots = self.pins.iter().filter(|(_, mode)| **mode == PinMode::Recursive);
        let below = roots.flat_map(|(root, _)| self.below(root));
        below.filter(|cid| !self.pins.contains_key(cid)).collect()
    }

    fn kept(&self) -> BTreeSet<Cid> {
        let named = self.roots.values().copied();
        let below_named = self.roots.values().flat_map(|root| self.below(root));
        let all = self.indirect().into_iter().chain(self.pins.keys().copied());
        all.chain(named).chain(below_named).collect()
    }

    fn agrees(&self, hot: &HotStore, pins: &PinIndex) {
        assert_eq!(listed(pins), self.pins);
        let below = self.indirect();
        assert_eq!(indirect(pins), below);
        let named: BTreeMap<_, _> = pins.roots().unwrap().into_iter().collect();
        assert!(
            named
                .iter()
                .map(|(name, cid)| (name.as_str(), cid))
                .eq(self.roots.iter().map(|(name, cid)| (*name, cid)))
        );
        let kept = self.kept();
        for block in &self.blocks {
            let cid = block.cid();
            let status = match (self.pins.get(cid), below.contains(cid)) {
                (Some(PinMode::Recursive), _) => "recursive",
                (Some(PinMode::Direct), _) => "direct",
                (None, true) => "indirect",
                (None, false) => "none",
            };
            let told = match pins.status(cid).unwrap() {
                PinStatus::Recursive => "recursive",
                PinStatus::Direct => "direct",
                PinStatus::Indirect { through } => {
                    assert!(self.below(&through).contains(cid));
                    "indirect"
                }
                PinStatus::NotPinned => "none",
            };
            assert_eq!(told, status, "{cid}");
            assert_eq!(hot.size(cid).unwrap().is_some(), self.held.contains(cid), "{cid}");
            assert_eq!(pins.why(cid).unwrap().is_some(), kept.contains(cid));
        }
        assert_eq!(hot.held().0, self.held.len() as u64);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

#[test]
fn the_index_answers_as_a_reference_that_walks_everything() {
    for seed in 1..=12u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut model = Model::new(&mut random);
        let folder = tempfile::tempdir().unwrap();
        let mut hot = open(folder.path());
        hot.put(&model.blocks).unwrap();
        let mut pins = PinIndex::new(&hot, Vec::new());
        for _ in 0..80 {
            let cid = *model.blocks[random.below(40)].cid();
            match random.below(13) {
                0..=2 => {
                    let done = pins.add(&NewPin::new(cid));
                    assert_eq!(done.is_ok(), model.is_whole(&cid), "{done:?}");
                    if done.is_ok() {
                        model.pins.insert(cid, PinMode::Recursive);
                    }
                }
                3 => {
                    let done = pins.add(&NewPin { mode: PinMode::Direct, ..NewPin::new(cid) });
                    let may = model.held.contains(&cid)
                        && model.pins.get(&cid) != Some(&PinMode::Recursive);
                    assert_eq!(done.is_ok(), may, "{done:?}");
                    if may {
                        model.pins.insert(cid, PinMode::Direct);
                    }
                }
                4 | 5 => {
                    let cid = model.pins.keys().nth(random.below(5)).copied().unwrap_or(cid);
                    let done = pins.remove(&cid, true);
                    assert_eq!(done.is_ok(), model.pins.remove(&cid).is_some(), "{done:?}");
                }
                6 => {
                    let from = model.pins.keys().nth(random.below(5)).copied().unwrap_or(cid);
                    let done = pins.update(&from, &cid, true);
                    let recursive = |cid| model.pins.get(cid) == Some(&PinMode::Recursive);
                    let may = recursive(&from)
                        && (from == cid || (!recursive(&cid) && model.is_whole(&cid)));
                    assert_eq!(done.is_ok(), may, "{done:?}");
                    if may {
                        model.pins.remove(&from);
                        model.pins.insert(cid, PinMode::Recursive);
                    }
                }
                7 => {
                    run(&pins);
                    model.held = model.kept();
                }
                8..=10 => {
                    let name = ["mfs", "other"][random.below(2)];
                    if random.below(4) == 0 {
                        pins.set_root(name, None).unwrap();
                        model.roots.remove(name);
                    } else if model.is_whole(&cid) {
                        pins.set_root(name, Some(&cid)).unwrap();
                        model.roots.insert(name, cid);
                    }
                }
                11 => {
                    hot.put(&model.blocks).unwrap();
                    model.held = model.blocks.iter().map(|block| *block.cid()).collect();
                }
                _ => {
                    drop((pins, hot));
                    hot = open(folder.path());
                    pins = PinIndex::new(&hot, Vec::new());
                }
            }
            model.agrees(&hot, &pins);
        }
    }
}
