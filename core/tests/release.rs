//! Which files of a source may go: those whose blocks the target holds, and that nothing left behind needs. Removing them takes
//! nothing from either side.

#![cfg(feature = "migrate")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use coldfront::block::{DAG_CBOR, RAW};
use coldfront::kubo::{Repository, RepositoryOptions};
use coldfront::migrate::carry::MFS_ROOT;
use coldfront::migrate::export::{Carried, ExportOptions, export};
use coldfront::migrate::release::{ReleaseOptions, Released, left_behind, release, tree_of};
use coldfront::pin::{NewPin, PinIndex, PinMode};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockStore, Cid};

fn raw(text: &str) -> Block {
    Block::verified(cid_of(RAW, text.as_bytes()), text.to_owned().into()).unwrap()
}

/// A list of links in dag-cbor.
fn node(links: &[&Block]) -> Block {
    let mut data = vec![0x80 | links.len() as u8];
    for link in links {
        let bytes = link.cid().to_bytes();
        data.extend_from_slice(&[0xd8, 42, 0x58, bytes.len() as u8 + 1, 0]);
        data.extend_from_slice(&bytes);
    }
    Block::verified(cid_of(DAG_CBOR, &data), data.into()).unwrap()
}

fn hot(folder: &Path, name: &str) -> (HotStore, PinIndex) {
    let hot = HotStore::open(&HotOptions::new(folder.join(name))).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    (hot, pins)
}

fn pin(pins: &PinIndex, block: &Block) {
    pins.add(&NewPin::new(*block.cid())).unwrap();
}

/// A repository of these blocks and pins.
fn source(folder: &Path, blocks: &[&Block], roots: &[&Block], mfs: Option<&Block>) -> PathBuf {
    let (hot, pins) = hot(folder, "maker");
    let blocks: Vec<_> = blocks.iter().map(|block| (*block).clone()).collect();
    hot.put(&blocks).unwrap();
    roots.iter().for_each(|root| pin(&pins, root));
    let config = r#"{"Identity":{"PeerID":"x","PrivKey":"eA=="}}"#;
    let carried = Carried {
        config: Some(config.into()),
        files_root: mfs.map(|block| *block.cid()),
        ..Carried::default()
    };
    let to = folder.join("source");
    export(&pins, &[], &carried, &ExportOptions::new(&to), &mut |_| ControlFlow::Continue(()))
        .unwrap();
    to
}

/// What may go, by name.
fn released(repo: &Path, target: &PinIndex, folder: &Path) -> (Released, BTreeSet<PathBuf>) {
    let repository = Repository::open(&RepositoryOptions::new(repo)).unwrap();
    let tree = tree_of(&repository).unwrap();
    let mut out = Vec::new();
    let mut left = left_behind(&repository, target).unwrap();
    let options = ReleaseOptions { scratch: folder, older_names: false };
    let done =
        release(tree, target, &mut left, &options, &mut out, &mut |_| ControlFlow::Continue(()));
    let paths = out.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    let paths = paths.map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)));
    (done.unwrap(), paths.collect())
}

fn names(paths: &BTreeSet<PathBuf>) -> BTreeSet<String> {
    paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn files_of(blocks: &[&Block]) -> BTreeSet<String> {
    let name =
        |cid: &Cid| format!("{}.data", coldfront_flatfs::Key::new(&cid.hash().to_bytes()).text());
    blocks.iter().map(|block| name(block.cid())).collect()
}

#[test]
fn when_all_is_moved_every_file_may_go_and_none_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (raw("a"), raw("b"));
    let root = node(&[&a, &b]);
    let all = [&a, &b, &root];
    let repo = source(folder.path(), &all, &[&root], None);
    let (hot, pins) = hot(folder.path(), "target");
    hot.put(&all.map(Clone::clone)).unwrap();
    pin(&pins, &root);
    let (done, paths) = released(&repo, &pins, folder.path());
    assert_eq!((done.files, done.roots, done.needed, done.not_there), (3, 0, 0, 0));
    assert_eq!(done.bytes, all.iter().map(|block| block.data().len() as u64).sum::<u64>());
    assert_eq!(names(&paths), files_of(&all));
    assert!(paths.iter().all(|path| path.is_absolute() && path.is_file()));
}

#[test]
fn what_a_root_left_behind_needs_stays_and_so_does_what_is_not_in_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let [shared, own, other, garbage] = ["shared", "own", "other", "garbage"].map(raw);
    let middle = node(&[&shared]);
    let moved = node(&[&middle, &own]);
    let left = node(&[&middle, &other]);
    let all = [&shared, &own, &other, &garbage, &middle, &moved, &left];
    let repo = source(folder.path(), &all, &[&moved, &left], None);
    let (hot, pins) = hot(folder.path(), "target");
    hot.put(&[&shared, &own, &middle, &moved].map(Clone::clone)).unwrap();
    pin(&pins, &moved);
    let (done, paths) = released(&repo, &pins, folder.path());
    assert_eq!(names(&paths), files_of(&[&own, &moved]));
    assert_eq!((done.roots, done.files, done.needed, done.not_there), (1, 2, 4, 1));
    assert_eq!(done.missing_below, 0);

    // Taken away, the root that stays is whole, and nothing is told twice.
    paths.iter().for_each(|path| fs::remove_file(path).unwrap());
    let (again, paths) = released(&repo, &pins, folder.path());
    assert_eq!((again.files, again.needed, again.missing_below), (0, 4, 0));
    assert!(paths.is_empty());
    assert!(!fs::read_dir(folder.path()).unwrap().any(|entry| {
        entry.unwrap().file_name().to_string_lossy().starts_with("coldfront-release")
    }));
}

#[test]
fn a_root_is_left_behind_unless_the_target_keeps_it_as_firmly() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = raw("leaf");
    let root = node(&[&leaf]);
    let all = [&leaf, &root];
    let repo = source(folder.path(), &all, &[&root], None);
    let (hot, pins) = hot(folder.path(), "target");
    hot.put(&all.map(Clone::clone)).unwrap();
    // Held and not pinned: the next collection would take it.
    assert_eq!(released(&repo, &pins, folder.path()).0.files, 0);
    let direct = NewPin { mode: PinMode::Direct, ..NewPin::new(*root.cid()) };
    pins.add(&direct).unwrap();
    assert_eq!(released(&repo, &pins, folder.path()).0.files, 0);
    pin(&pins, &root);
    assert_eq!(released(&repo, &pins, folder.path()).0.files, 2);
}

#[test]
fn the_root_of_the_files_is_a_root_too() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = raw("leaf");
    let root = node(&[&leaf]);
    let all = [&leaf, &root];
    let repo = source(folder.path(), &all, &[], Some(&root));
    let (hot, pins) = hot(folder.path(), "target");
    hot.put(&all.map(Clone::clone)).unwrap();
    assert_eq!(released(&repo, &pins, folder.path()).0.files, 0);
    pins.set_root(MFS_ROOT, Some(root.cid())).unwrap();
    assert_eq!(released(&repo, &pins, folder.path()).0.files, 2);
}

#[test]
fn a_block_that_the_target_only_knows_is_not_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let leaf = raw("leaf");
    let repo = source(folder.path(), &[&leaf], &[&leaf], None);
    let (_hot, pins) = hot(folder.path(), "target");
    // Served in place: the file in the source is the only copy.
    pins.adopt(&[(NewPin::new(*leaf.cid()), 7)]).unwrap();
    let (done, paths) = released(&repo, &pins, folder.path());
    assert_eq!((done.files, done.not_there, paths.len()), (0, 1, 0));
}
