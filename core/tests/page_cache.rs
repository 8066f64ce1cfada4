//! What reading leaves in the page cache, seen with reads that may not wait. Where the cache cannot be emptied,
//! the tests say so and prove nothing.

#![allow(clippy::unwrap_used)]

mod tree;

use coldfront::unixfs::testing::{self, FilePlan, LeafForm};
use coldfront::{Cid, Verify};
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
