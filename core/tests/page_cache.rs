//! What reading leaves in the page cache, seen with reads that may not wait. Where the cache cannot be emptied,
//! the tests say so and prove nothing.

#![allow(clippy::unwrap_used)]

mod tree;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use coldfront::block::RAW;
use coldfront::car::CarWriter;
use coldfront::migrate::{Job, Pace, Select, Source, run};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::{self, FilePlan, LeafForm};
use coldfront::{Block, BlockSource as _, Cid, Verify};
use coldfront_flatfs::BlockFile;
use tree::Tree;

const CHUNK: usize = 256 * 1024;
const LEAVES: usize = 6;

/// A file in a tree, none of whose leaves is in the page cache.
struct Cold {
    tree: Tree,
    content: Vec<u8>,
    root: Cid,
    leaves: Vec<Cid>,
}

impl Cold {
    /// `None` where the cache keeps what it is told to drop.
    fn new(chunk: usize, leaf: LeafForm) -> Option<Self> {
        let tree = Tree::new();
        let content = tree::content(LEAVES * chunk, 21);
        let mut leaves = Vec::new();
        let plan = FilePlan { chunk, leaf, ..FilePlan::default() };
        let root = testing::file(&content, &plan, &mut |block| {
            tree.put(&block);
            leaves.push(*block.cid());
        });
        leaves.truncate(LEAVES);
        let root = root.cid;
        tree.chill(&leaves).then_some(Cold { tree, content, root, leaves })
    }

    fn warm_leaves(&self) -> Vec<bool> {
        self.leaves.iter().map(|leaf| self.tree.is_warm(leaf)).collect()
    }
}

/// The kernel keeps a page that is busy at the moment it is told to drop it: one leaf may stay.
fn assert_mostly_cold(warm: &[bool]) {
    let stayed = warm.iter().filter(|is_warm| **is_warm).count();
    assert!(stayed <= 1, "in the page cache: {warm:?}");
}

#[test]
fn bulk_reading_drops_behind_it_what_was_not_there_before() {
    for (leaf, chunk) in [
        (LeafForm::Raw, CHUNK),
        (LeafForm::PbFile, CHUNK),
        (LeafForm::Raw, 4 * CHUNK),
        (LeafForm::PbFile, 4 * CHUNK),
    ] {
        let Some(cold) = Cold::new(chunk, leaf) else { return };
        // A viewer has read the third leaf.
        let viewed = cold.tree.open(&cold.leaves[2]);
        viewed.read_at(&mut vec![0; 2 * chunk], 0).unwrap();
        let repo = cold.tree.repo(Verify::Off);
        let node = tree::node(&repo, &cold.root);
        let mut all = Vec::new();
        for bytes in repo.read(&node, ..).drop_behind() {
            all.extend_from_slice(&bytes.unwrap());
        }
        assert!(all == cold.content);
        let warm = cold.warm_leaves();
        assert!(warm[2], "{leaf:?}: the viewer's leaf");
        assert_mostly_cold(&[warm[0], warm[1], warm[3], warm[4], warm[5]]);
    }
}

#[test]
fn reading_for_a_viewer_leaves_in_the_page_cache_what_it_read_and_no_other_leaf() {
    for leaf in [LeafForm::Raw, LeafForm::PbFile] {
        let Some(cold) = Cold::new(CHUNK, leaf) else { return };
        let repo = cold.tree.repo(Verify::Off);
        let node = tree::node(&repo, &cold.root);
        let end = 3 * CHUNK as u64;
        assert!(tree::read(&repo, &node, ..end).unwrap() == cold.content[..3 * CHUNK]);
        let warm = cold.warm_leaves();
        assert_eq!(warm[..3], [true; 3], "{leaf:?}");
        assert_mostly_cold(&warm[3..]);
    }
}

#[test]
fn warming_brings_the_leaves_it_counted_into_the_page_cache() {
    for leaf in [LeafForm::Raw, LeafForm::PbFile] {
        let Some(cold) = Cold::new(CHUNK, leaf) else { return };
        let repo = cold.tree.repo(Verify::Off);
        let node = tree::node(&repo, &cold.root);
        let asked = repo.read(&node, ..).warm(CHUNK as u64, 2 * CHUNK as u64);
        assert_eq!(asked, 2 * CHUNK as u64);
        // The kernel reads in the background.
        let becomes_warm = |leaf: &Cid| {
            (0..100).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                cold.tree.is_warm(leaf)
            })
        };
        assert!(cold.leaves[1..3].iter().all(becomes_warm), "{leaf:?}");
        assert_mostly_cold(&[0, 3, 4, 5].map(|i| cold.tree.is_warm(&cold.leaves[i])));
    }
}

/// Bytes of a piece that stays or goes as a whole when a file is read through.
const PIECE: u64 = 256 * 1024;

/// The pieces of a file, and whether the page cache holds all of each.
fn pieces(path: &Path) -> Vec<bool> {
    let file = BlockFile::open(path).unwrap();
    let at = (0..file.len()).step_by(PIECE as usize);
    at.map(|at| file.is_cached(at, PIECE.min(file.len() - at)).unwrap_or(false)).collect()
}

/// Takes a file out of the page cache; `false`, with a sentence, where it stays or nobody can tell.
fn chill(path: &Path) -> bool {
    std::fs::File::open(path).unwrap().sync_all().unwrap();
    for _ in 0..20 {
        let file = BlockFile::open(path).unwrap();
        file.dont_need(0, file.len());
        if file.is_cached(0, 1) == Some(false) && pieces(path).iter().all(|cached| !cached) {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    eprintln!("SKIPPED: this file system keeps everything in memory, or cannot tell");
    false
}

/// Reads all of a source for a copy, while a viewer has read the second piece of its largest file.
fn copy_beside_a_viewer(source: &Path, largest: &Path) -> Option<(Vec<bool>, Vec<bool>)> {
    if !chill(largest) {
        return None;
    }
    let viewed = BlockFile::open(largest).unwrap();
    // Its pages and no others: what the kernel reads ahead is let go of again.
    viewed.read_at(&mut vec![0; PIECE as usize], PIECE).unwrap();
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        viewed.dont_need(0, PIECE);
        viewed.dont_need(2 * PIECE, viewed.len() - 2 * PIECE);
        if pieces(largest).iter().filter(|cached| **cached).count() == 1 {
            break;
        }
    }
    // Some others may share their memory with it, as the kernel takes it in large parts.
    let before = pieces(largest);
    assert!(before[1], "the viewer's piece is not cached");
    let folder = tempfile::tempdir().unwrap();
    let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
    let job = Job { select: Select::All, pace: Pace::default() };
    let source = Source::open(source, false).unwrap();
    run(&source, &hot, job, &mut |_| ControlFlow::Continue(())).unwrap();
    Some((before, pieces(largest)))
}

/// Copies until the page cache is as it was. Not each time: a kernel that gives memory back on its own (DAMON) takes the
/// viewer's piece now and then.
fn assert_is_left_as_it_was(source: &Path, largest: &Path) {
    const TRIES: usize = 5;
    for left in (0..TRIES).rev() {
        let Some((before, after)) = copy_beside_a_viewer(source, largest) else { return };
        let pairs = || before.iter().zip(&after);
        let lost = pairs().filter(|(before, after)| **before && !**after).count();
        // Memory that the kernel took in one large part around the viewer's piece goes whole or not at all: seen with two.
        let new = pairs().filter(|(before, after)| **after && !**before).count();
        if lost == 0 && new <= 2 {
            return;
        }
        assert!(left > 0, "{before:?} and then {after:?}");
    }
}

#[test]
fn what_a_hot_store_flushes_passes_by_the_page_cache() {
    let folder = tempfile::tempdir().unwrap();
    let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
    let blocks: Vec<Block> = (0..16)
        .map(|n| tree::content(PIECE as usize, n))
        .map(|data| Block::verified(testing::cid_of(RAW, &data), data.into()).unwrap())
        .collect();
    let bulk = hot.bulk("import");
    bulk.put(&blocks).unwrap();
    bulk.flush().unwrap();
    let written = largest_file(&folder.path().join("hot/db"));
    let cached = pieces(&written);
    // A file system in memory has nowhere else to put it.
    if !chill(&written) {
        return;
    }
    // The head and the foot of a file may have been looked at.
    assert!(cached.iter().filter(|cached| **cached).count() <= 2, "{cached:?}");
    let is_held = |block: &Block| hot.get(block.cid()).unwrap().unwrap().data() == block.data();
    assert!(blocks.iter().all(is_held));
}

fn largest_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn copying_a_store_leaves_the_viewers_pieces_in_the_page_cache_and_none_of_its_own() {
    tree::each_golden(|golden| {
        let Some(store) = ["pebbleds", "badgerds"]
            .map(|name| golden.root().join(name))
            .into_iter()
            .find(|store| store.is_dir())
        else {
            return;
        };
        let largest = largest_file(&store);
        if std::fs::metadata(&largest).unwrap().len() < 2 * PIECE + 4096 {
            // It was killed with all it held in its journals.
            return eprintln!("{} is too small", largest.display());
        }
        assert_is_left_as_it_was(&golden.root(), &largest);
    });
}

#[test]
fn copying_a_car_leaves_the_viewers_pieces_in_the_page_cache_and_none_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.car");
    let blocks: Vec<Block> = (0..40)
        .map(|n| tree::content(100_000, n))
        .map(|data| Block::verified(testing::cid_of(RAW, &data), data.into()).unwrap())
        .collect();
    let file = std::fs::File::create(&path).unwrap();
    let mut car = CarWriter::new(file, &[*blocks[0].cid()]).unwrap();
    blocks.iter().for_each(|block| car.put(block).unwrap());
    car.finish().unwrap();
    assert_is_left_as_it_was(&path, &path);
}
