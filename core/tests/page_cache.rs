//! What reading leaves in the page cache, seen with reads that may not wait. Where the cache cannot be emptied,
//! the tests say so and prove nothing.

#![allow(clippy::unwrap_used)]

mod tree;

use std::fs::File;

use coldfront::unixfs::testing::{self, FilePlan, LeafForm};
use coldfront::{Block, Cid, Verify};
use coldfront_flatfs::{BlockFile, FlatFs, Key};
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
        let mut put = |block: Block| {
            tree.put(&block);
            // Only what is on the disk can be dropped.
            File::open(tree.path(block.cid())).unwrap().sync_all().unwrap();
            leaves.push(*block.cid());
        };
        let plan = FilePlan { chunk, leaf, ..FilePlan::default() };
        let root = testing::file(&content, &plan, &mut put).cid;
        let other = testing::file(&tree::content(chunk, 22), &FilePlan::default(), &mut put).cid;
        leaves.truncate(LEAVES);
        let cold = Cold { tree, content, root, leaves };
        // Pages that were just written may be busy for a moment, and are then kept.
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            cold.leaves.iter().chain([&other]).for_each(|cid| cold.chill(cid));
        }
        if cold.is_warm(&other) {
            eprintln!("SKIPPED: this file system keeps everything in memory, or cannot tell");
            return None;
        }
        Some(cold)
    }

    fn open(&self, cid: &Cid) -> BlockFile {
        let flatfs = FlatFs::open(self.tree.root()).unwrap();
        flatfs.open_block(Key::new(&cid.hash().to_bytes())).unwrap().unwrap()
    }

    fn chill(&self, cid: &Cid) {
        let file = self.open(cid);
        file.dont_need(0, file.len());
    }

    /// Whether the middle of a block is in the page cache. Asking brings it there before long: ask once.
    fn is_warm(&self, cid: &Cid) -> bool {
        let file = self.open(cid);
        file.read_now(&mut [0; 1], file.len() / 2).unwrap().is_some()
    }

    fn warm_leaves(&self) -> Vec<bool> {
        self.leaves.iter().map(|leaf| self.is_warm(leaf)).collect()
    }
}

/// The kernel keeps a page that is busy at the moment it is told to drop it: one leaf may stay.
fn assert_mostly_cold(warm: &[bool]) {
    let stayed = warm.iter().filter(|is_warm| **is_warm).count();
    assert!(stayed <= 1, "in the page cache: {warm:?}");
}

#[test]
fn bulk_reading_drops_behind_it_what_was_not_there_before() {
    for leaf in [LeafForm::Raw, LeafForm::PbFile] {
        let Some(cold) = Cold::new(CHUNK, leaf) else { return };
        // A viewer has read the third leaf.
        let viewed = cold.open(&cold.leaves[2]);
        viewed.read_at(&mut vec![0; 2 * CHUNK], 0).unwrap();
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
        // The kernel reads in the background; asking would make it read, so there is one look.
        std::thread::sleep(std::time::Duration::from_millis(500));
        let warm = [1, 2].map(|i| cold.is_warm(&cold.leaves[i]));
        assert_eq!(warm, [true; 2], "{leaf:?}");
        assert_mostly_cold(&[0, 3, 4, 5].map(|i| cold.is_warm(&cold.leaves[i])));
    }
}
