//! Any file, whatever its chunker, layout and leaves, and any range of it: the pieces put together are the
//! slice. Over blocks in memory and over a flatfs tree, through the iterator and through the walk that a
//! server drives without waiting.

#![allow(clippy::unwrap_used)]

mod tree;

use std::io::IoSliceMut;
use std::sync::Arc;

use coldfront::store::memory::Memory;
use coldfront::unixfs::file::Step;
use coldfront::unixfs::testing::{self, FilePlan, Layout, LeafForm};
use coldfront::{Extent, FileReader, Node, Piece, Repo, Verify};
use proptest::prelude::*;
use tree::{POLICIES, Tree};

/// Content of at most this many bytes is made into files: several levels at small chunks.
const MAX_LEN: usize = 5000;

fn plans() -> impl Strategy<Value = FilePlan> {
    let layout = prop_oneof![Just(Layout::Balanced), Just(Layout::Trickle)];
    let leaf = prop_oneof![Just(LeafForm::Raw), Just(LeafForm::PbRaw), Just(LeafForm::PbFile)];
    let inner_data = prop_oneof![3 => Just(0usize), 1 => 1..60usize];
    let inline = prop_oneof![3 => Just(0usize), 1 => 1..=128usize];
    let chunk = prop_oneof![20..200usize, 200..6000usize];
    (chunk, layout, leaf, 2..9usize, inner_data, inline, any::<bool>()).prop_map(
        |(chunk, layout, leaf, width, inner_data, inline, cid_v0)| FilePlan {
            chunk,
            layout,
            leaf,
            width,
            inner_data,
            inline,
            cid_v0,
        },
    )
}

/// Content and two places in it, or a little behind it.
fn files() -> impl Strategy<Value = (Vec<u8>, Vec<(u64, u64)>)> {
    (0..=MAX_LEN, any::<u64>()).prop_flat_map(|(len, seed)| {
        let at = 0..=len as u64 + 10;
        (Just(tree::content(len, seed)), prop::collection::vec((at.clone(), at), 1..6))
    })
}

fn slice(content: &[u8], start: u64, end: u64) -> &[u8] {
    let end = (end as usize).min(content.len());
    &content[(start as usize).min(end)..end]
}

/// Reads as a server does: what is there without waiting at once, the rest where waiting is allowed.
fn driven(mut reader: FileReader, buffer: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let before = reader.remaining();
        let piece = match reader.next_now().unwrap() {
            Step::End => return all,
            Step::Piece(piece) => piece,
            Step::WouldWait => {
                assert_eq!(reader.remaining(), before, "a step that would wait takes nothing");
                reader.next_piece().unwrap().unwrap()
            }
        };
        assert!(!piece.is_empty());
        assert_eq!(reader.remaining(), before - piece.len());
        match piece {
            Piece::Bytes(bytes) => all.extend_from_slice(&bytes),
            Piece::Extent(extent) => all.extend_from_slice(&drained(extent, buffer)),
        }
    }
}

fn drained(mut extent: Extent, buffer: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = vec![0; buffer];
    while !extent.is_empty() {
        let n = match extent.read_now(&mut buf).unwrap() {
            Some(n) => n,
            None => extent.read(&mut buf).unwrap(),
        };
        all.extend_from_slice(&buf[..n]);
    }
    all
}

fn every_way_gives_the_slice(
    repo: &Repo,
    node: &Arc<Node>,
    content: &[u8],
    ranges: &[(u64, u64)],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(tree::size(node), content.len() as u64);
    for &(start, end) in ranges {
        let wanted = slice(content, start, end);
        let (iterated, told) =
            (tree::read(repo, node, start..end).unwrap(), repo.read(node, start..end));
        prop_assert_eq!(told.remaining(), wanted.len() as u64);
        prop_assert!(iterated == wanted, "iterated {}..{}", start, end);
        prop_assert!(driven(told, 7 + wanted.len() / 3) == wanted, "driven {}..{}", start, end);
    }
    prop_assert!(tree::read(repo, node, ..).unwrap() == content);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_range_of_any_file_is_its_slice(plan in plans(), (content, ranges) in files()) {
        let (memory, archive) = (Memory::new(), Tree::new());
        let made = testing::file(&content, &plan, &mut |block| {
            archive.put(&block);
            memory.put(block);
        });
        let memory = Arc::new(memory);
        for policy in POLICIES {
            for repo in [tree::over(memory.clone(), policy), archive.repo(policy)] {
                let node = tree::node(&repo, &made.cid);
                every_way_gives_the_slice(&repo, &node, &content, &ranges)?;
                // Once more with open files, cached nodes and leaves that were verified.
                every_way_gives_the_slice(&repo, &tree::node(&repo, &made.cid), &content, &ranges)?;
            }
        }
    }
}

#[test]
fn pieces_of_the_iterator_have_at_most_256_kib_and_can_be_mixed_with_pieces() {
    let content = tree::content(3 << 20, 1);
    let (memory, archive) = (Memory::new(), Tree::new());
    for leaf in [LeafForm::Raw, LeafForm::PbFile] {
        let plan = FilePlan { chunk: 1 << 20, leaf, ..FilePlan::default() };
        let made = testing::file(&content, &plan, &mut |block| {
            archive.put(&block);
            memory.put(block);
        });
        for policy in POLICIES {
            let repo = archive.repo(policy);
            let node = tree::node(&repo, &made.cid);
            let mut reader = repo.read(&node, 100..);
            let first = reader.next().unwrap().unwrap();
            assert_eq!((first.len(), reader.position()), (256 * 1024, 100 + 256 * 1024));
            assert!(reader.clone().all(|bytes| bytes.unwrap().len() <= 256 * 1024));
            let mut all = first.to_vec();
            all.extend_from_slice(&driven(reader, 64 * 1024));
            assert!(all == content[100..], "{leaf:?} under {policy:?}");
        }
    }
}

#[test]
fn a_reader_of_what_is_no_file_says_so_first_and_then_ends() {
    let memory = Memory::new();
    let made = testing::directory([], &mut |block| memory.put(block));
    let repo = tree::over_memory(memory, Verify::Off);
    let node = tree::node(&repo, &made.cid);
    for mut reader in [repo.read(&node, ..), repo.read(&node, 5..5)] {
        assert!(
            matches!(reader.next_now(), Err(coldfront::ReadError::NotAFile(cid)) if cid == made.cid)
        );
        assert!(
            matches!(reader.next(), Some(Err(coldfront::ReadError::NotAFile(cid))) if cid == made.cid)
        );
        assert!(reader.next().is_none());
    }
}

#[test]
fn a_range_behind_the_end_is_cut_and_the_last_possible_range_is_no_overflow() {
    let memory = Memory::new();
    let content = tree::content(1000, 2);
    let plan = FilePlan { chunk: 300, ..FilePlan::default() };
    let made = testing::file(&content, &plan, &mut |block| memory.put(block));
    let repo = tree::over_memory(memory, Verify::Off);
    let node = tree::node(&repo, &made.cid);
    assert_eq!(tree::read(&repo, &node, 990..u64::MAX).unwrap(), content[990..]);
    assert_eq!(tree::read(&repo, &node, 990..=u64::MAX).unwrap(), content[990..]);
    assert_eq!(tree::read(&repo, &node, u64::MAX..).unwrap(), b"");
    assert_eq!(tree::read(&repo, &node, 1000..).unwrap(), b"");
    #[expect(clippy::reversed_empty_ranges, reason = "what a caller may get wrong")]
    let reversed = 20..10;
    assert_eq!(tree::read(&repo, &node, reversed).unwrap(), b"");
}

/// A reader over an archive without verification, whose leaves are long enough to be read in pieces.
fn over_archive(archive: &Tree, content: &[u8], leaf: LeafForm) -> (Repo, Arc<Node>) {
    let plan = FilePlan { chunk: 20_000, leaf, ..FilePlan::default() };
    let made = testing::file(content, &plan, &mut |block| archive.put(&block));
    let repo = archive.repo(Verify::Off);
    let node = tree::node(&repo, &made.cid);
    (repo, node)
}

#[test]
fn a_vectored_read_counts_no_byte_beyond_its_extent() {
    let (archive, content) = (Tree::new(), tree::content(30_000, 3));
    for leaf in [LeafForm::Raw, LeafForm::PbFile] {
        let (repo, node) = over_archive(&archive, &content, leaf);
        let Some(Ok(Piece::Extent(mut extent))) = repo.read(&node, 12_000..15_000).next_piece()
        else {
            panic!("an archive gives extents");
        };
        let (mut one, mut two) = ([0; 2000], [0; 5000]);
        let bufs = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(extent.read_vectored(bufs).unwrap(), 3000);
        assert!(extent.is_empty());
        assert_eq!(extent.read_vectored(&mut [IoSliceMut::new(&mut [0; 8])]).unwrap(), 0);
        assert_eq!([&one[..], &two[..1000]].concat(), content[12_000..15_000]);
    }
}

#[test]
fn warming_moves_no_reader_and_asks_for_no_more_than_it_may() {
    let (archive, content) = (Tree::new(), tree::content(2_000_000, 4));
    for leaf in [LeafForm::Raw, LeafForm::PbFile] {
        let (repo, node) = over_archive(&archive, &content, leaf);
        let mut reader = repo.read(&node, 100_000..1_900_000);
        assert_eq!(reader.warm(0, 50_000), 50_000);
        assert_eq!(reader.warm(1_880_000, u64::MAX), 20_000, "none behind the range");
        assert_eq!(reader.warm(u64::MAX, u64::MAX), 0);
        assert_eq!(reader.warm(0, u64::MAX), 64 * 20_000, "a bounded number of leaves");
        assert_eq!((reader.position(), reader.remaining()), (100_000, 1_800_000));
        let all: Vec<u8> = reader.by_ref().flat_map(Result::unwrap).collect();
        assert!(all == content[100_000..1_900_000]);
        // Where everything is verified, only what must be decoded to find the leaves is hashed.
        let repo = archive.repo(Verify::Always);
        repo.read(&tree::node(&repo, node.cid()), ..).warm(0, u64::MAX);
        let decoded = if leaf == LeafForm::Raw { 0 } else { 64 };
        assert_eq!(repo.stats().tiers.hashed, 1 + decoded);
    }
}
