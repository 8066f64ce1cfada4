//! A hot store above archives, read as one.

#![cfg(feature = "hot")]
#![allow(clippy::unwrap_used)]

mod tree;

use std::path::Path;
use std::sync::Arc;

use coldfront::block::RAW;
use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::NewPin;
use coldfront::store::hot::{HotError, HotOptions, HotStore};
use coldfront::unixfs::file::Step;
use coldfront::unixfs::testing::{self, FilePlan, Made};
use coldfront::{
    Block, BlockSource, BlockStore, ContentPath, Node, Repo, RepoOptions, StoreError, Verify,
};
use tree::{Tree, read};

const LEN: usize = 10_000;

fn hot(folder: &Path) -> HotOptions {
    HotOptions { memory: 32 << 20, ..HotOptions::new(folder.join("hot")) }
}

fn options(folder: &Path, trees: &[&Tree]) -> RepoOptions {
    RepoOptions {
        hot: Some(hot(folder)),
        archives: trees.iter().map(|tree| tree.options()).collect(),
        ..RepoOptions::default()
    }
}

/// Twenty leaves below one root.
fn plan() -> FilePlan {
    FilePlan { chunk: LEN / 20, ..FilePlan::default() }
}

fn file(seed: u64, put: &mut dyn FnMut(Block)) -> (Made, Vec<u8>) {
    let content = tree::content(LEN, seed);
    (testing::file(&content, &plan(), put), content)
}

fn put(hot: &HotStore, block: Block) {
    hot.put(&[block]).unwrap();
}

fn read_file(repo: &Repo, path: &ContentPath) -> Vec<u8> {
    read(repo, &repo.resolve(path).unwrap().node, ..).unwrap()
}

#[test]
fn what_lies_in_the_hot_store_in_an_archive_or_in_both_is_one_namespace() {
    for verify in [Verify::Off, Verify::FirstRead, Verify::Always] {
        let (folder, tree) = (tempfile::tempdir().unwrap(), Tree::new());
        let repo = Repo::open(&RepoOptions { verify, ..options(folder.path(), &[&tree]) }).unwrap();
        let hot = repo.hot().unwrap();
        let (above, in_hot) = file(1, &mut |block| put(hot, block));
        let (below, in_archive) = file(2, &mut |block| tree.put(&block));
        let (both, in_both) = file(3, &mut |block| {
            tree.put(&block);
            put(hot, block);
        });
        let directory = testing::directory(
            [("above", above), ("below", below), ("both", both)],
            &mut |block| put(hot, block),
        );
        for (name, content) in [("above", in_hot), ("below", in_archive), ("both", in_both)] {
            let path = ContentPath::with_segments(directory.cid, [name]);
            assert!(read_file(&repo, &path) == content, "{name}, {verify:?}");
        }
        assert!(repo.take_faults().is_empty());
    }
}

#[test]
fn a_copy_in_the_hot_store_answers_for_one_in_an_archive_that_is_bad() {
    let (folder, tree) = (tempfile::tempdir().unwrap(), Tree::new());
    let repo = Repo::open(&options(folder.path(), &[&tree])).unwrap();
    let mut blocks = Vec::new();
    let (made, content) = file(4, &mut |block| blocks.push(block));
    repo.hot().unwrap().put(&blocks).unwrap();
    blocks.iter().for_each(|block| tree.put_as(&block.cid().hash().to_bytes(), b""));
    assert!(read_file(&repo, &ContentPath::new(made.cid)) == content);
    assert!(repo.take_faults().is_empty());
}

fn is_read_now(repo: &Repo, node: &Arc<Node>) -> bool {
    let mut reader = repo.read(node, ..);
    loop {
        match reader.next_now().unwrap() {
            Step::End => return true,
            Step::Piece(_) => {}
            Step::WouldWait => return false,
        }
    }
}

#[test]
fn what_the_hot_store_surely_lacks_is_opened_in_the_archive_without_waiting() {
    let (folder, tree) = (tempfile::tempdir().unwrap(), Tree::new());
    let (made, content) = file(5, &mut |block| tree.put(&block));
    let alone = tree.repo(Verify::Off);
    assert!(read_file(&alone, &ContentPath::new(made.cid)) == content);
    alone.watch(0);
    let node = tree::node(&alone, &made.cid);
    if !is_read_now(&alone, &node) {
        eprintln!("SKIPPED: this kernel opens nothing without waiting");
        return;
    }
    // With what is in memory alone, and with tables on the disk, of which the filter is read once.
    for flushed in [false, true] {
        let repo = Repo::open(&options(folder.path(), &[&tree])).unwrap();
        let hot = repo.hot().unwrap();
        file(6, &mut |block| put(hot, block));
        if flushed {
            hot.bulk("flush").flush().unwrap();
        }
        assert!(read_file(&repo, &ContentPath::new(made.cid)) == content);
        repo.watch(0);
        assert!(is_read_now(&repo, &tree::node(&repo, &made.cid)), "flushed: {flushed}");
    }
}

#[test]
fn a_hot_store_knows_without_waiting_what_it_lacks_and_never_says_so_of_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::new();
    let (archived, _) = file(7, &mut |block| tree.put(&block));
    let repo = Repo::open(&options(folder.path(), &[&tree])).unwrap();
    let hot = repo.hot().unwrap();
    let mut held = Vec::new();
    file(8, &mut |block| held.push(block));
    hot.put(&held).unwrap();
    let absent = testing::cid_of(RAW, b"absent");
    // A pin of it makes a row in the index; the bytes are elsewhere.
    repo.pins().unwrap().add(&NewPin::new(archived.cid)).unwrap();
    for _ in 0..2 {
        hot.size(&absent).unwrap();
        hot.size(&archived.cid).unwrap();
        assert!(hot.lacks_now(&absent) && hot.lacks_now(&archived.cid));
        assert!(held.iter().all(|block| !hot.lacks_now(block.cid())));
        hot.bulk("flush").flush().unwrap();
    }
}

#[test]
fn a_pin_of_the_repository_rests_on_its_archives_and_copies_nothing() {
    let (folder, tree) = (tempfile::tempdir().unwrap(), Tree::new());
    let repo = Repo::open(&options(folder.path(), &[&tree])).unwrap();
    let (made, _) = file(9, &mut |block| tree.put(&block));
    repo.pins().unwrap().add(&NewPin::new(made.cid)).unwrap();
    assert_eq!(repo.pins().unwrap().list(None).count(), 1);
    assert_eq!(repo.hot().unwrap().held(), (0, 0));
}

#[test]
fn the_folder_is_free_when_the_last_clone_and_reader_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::open(&options(folder.path(), &[])).unwrap();
    let (made, _) = file(10, &mut |block| put(repo.hot().unwrap(), block));
    let reader = repo.read(&tree::node(&repo, &made.cid), ..);
    drop(repo);
    let again = HotStore::open(&hot(folder.path()));
    assert!(matches!(again, Err(StoreError::Hot(HotError::Locked { .. }))));
    drop(reader);
    let again = HotStore::open(&hot(folder.path())).unwrap();
    assert!(again.size(&made.cid).unwrap().is_some());
}

#[test]
fn without_a_hot_store_there_are_no_pins() {
    let repo = Tree::new().repo(Verify::Off);
    assert!(repo.hot().is_none() && repo.pins().is_none());
}

#[test]
fn a_block_that_was_collected_is_gone_however_lately_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::open(&options(folder.path(), &[])).unwrap();
    let hot = repo.hot().unwrap();
    let data: Vec<u8> = (0..9000u32).map(|n| (n % 251) as u8).collect();
    let block = Block::verified(testing::cid_of(RAW, &data), data.into()).unwrap();
    let bulk = hot.bulk("test");
    bulk.put(std::slice::from_ref(&block)).unwrap();
    bulk.flush().unwrap();
    for _ in 0..2 {
        let found = repo.locate(block.cid()).unwrap();
        assert!(matches!(found, Some(coldfront::Located::Extent(_))), "{found:?}");
    }
    drop(bulk);
    let done = collect(repo.pins().unwrap(), &CollectOptions::default(), &mut |_| {
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(done.unwrap().blocks, 1);
    assert!(repo.locate(block.cid()).unwrap().is_none());
    assert!(repo.block(block.cid()).unwrap().is_none());
}
