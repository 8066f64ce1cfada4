//! What is read before its viewer asks: the next segment of a stream, into the page cache.

#![allow(clippy::unwrap_used)]

mod common;

use coldfront::Cid;
use coldfront::unixfs::testing::{self, FilePlan, LeafForm};
use common::tree::{self, Tree};
use common::{Server, eventually, ipfs};

const CHUNK: usize = 256 * 1024;
const LEAVES: usize = 3;

/// A folder of segments and the leaves of each.
struct Stream {
    tree: Tree,
    folder: Cid,
    leaves: Vec<Vec<Cid>>,
}

impl Stream {
    fn new(segments: usize, leaf: LeafForm) -> Self {
        let tree = Tree::new();
        let plan = FilePlan { chunk: CHUNK, leaf, ..FilePlan::default() };
        let mut leaves = Vec::new();
        let made: Vec<_> = (0..segments)
            .map(|number| {
                let mut blocks = Vec::new();
                let content = tree::content(LEAVES * CHUNK, 40 + number as u64);
                let segment = testing::file(&content, &plan, &mut |block| {
                    tree.put(&block);
                    blocks.push(*block.cid());
                });
                blocks.truncate(LEAVES);
                leaves.push(blocks);
                (format!("seg-{number:03}.ts"), segment)
            })
            .collect();
        let entries = made.iter().map(|(name, made)| (name.as_str(), *made));
        let folder = testing::directory(entries, &mut |block| tree.put(&block)).cid;
        Stream { tree, folder, leaves }
    }

    fn segment(&self, number: usize) -> String {
        format!("{}/seg-{number:03}.ts", ipfs(&self.folder))
    }
}

#[test]
fn the_leaves_of_the_next_segment_are_in_the_page_cache_when_one_was_read() {
    for leaf in [LeafForm::Raw, LeafForm::PbFile] {
        let stream = Stream::new(3, leaf);
        if !stream.tree.chill(&stream.leaves.concat()) {
            return;
        }
        let server = Server::over(&stream.tree);
        assert_eq!(server.get(&stream.segment(0)).status, 200);
        eventually("it is asked for", || server.gateway.stats().segments_ahead == 1);
        let warm = |number: usize| {
            stream.leaves[number].iter().filter(|leaf| stream.tree.is_warm(leaf)).count()
        };
        eventually("the next one is there", || warm(1) == LEAVES);
        // A page that is busy when it is told to go stays: one leaf may have been there all the time.
        assert!(warm(2) <= 1, "{leaf:?}: no more than the next one");
    }
}

#[test]
fn a_segment_is_asked_for_once_in_a_while_and_head_asks_for_none() {
    let stream = Stream::new(3, LeafForm::Raw);
    let server = Server::over(&stream.tree);
    server.client().head(&stream.segment(0));
    assert_eq!(server.gateway.stats().segments_ahead, 0);
    for _ in 0..3 {
        server.get(&stream.segment(0));
    }
    server.get(&stream.segment(1));
    // There is none behind the last.
    server.get(&stream.segment(2));
    assert_eq!(server.gateway.stats().segments_ahead, 2);
}
