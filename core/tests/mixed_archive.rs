//! Archives that repositories before version 12 wrote into: some files are named by whole CIDs. They are
//! found when the archive is said to be mixed, and only then.

#![allow(clippy::unwrap_used)]

mod tree;

use bytes::Bytes;
use coldfront::block::{DAG_CBOR, DAG_PB, RAW};
use coldfront::unixfs::testing::{self, FilePlan, Made};
use coldfront::{Block, Cid, ContentPath, ReadError, Repo, RepoOptions, Verify};
use tree::{POLICIES, Tree};

fn repo(tree: &Tree, mixed: bool, verify: Verify) -> Repo {
    let mut archive = tree.options();
    archive.mixed = mixed;
    Repo::open(&RepoOptions { archives: vec![archive], verify, ..RepoOptions::default() }).unwrap()
}

/// Puts a block under the key that a repository before version 12 gave it: the CID as it was added.
fn put_old(tree: &Tree, block: &Block) {
    tree.put_as(&block.cid().to_bytes(), block.data());
}

/// A file of eight raw leaves whose blocks lie under their whole CIDs.
fn old_file(tree: &Tree) -> (Made, Vec<u8>) {
    let content = tree::content(8000, 3);
    let plan = FilePlan { chunk: 1000, ..FilePlan::default() };
    (testing::file(&content, &plan, &mut |block| put_old(tree, &block)), content)
}

#[test]
fn names_of_whole_cids_are_found_in_a_mixed_archive_and_not_in_another() {
    let tree = Tree::new();
    let (made, content) = old_file(&tree);
    for policy in POLICIES {
        let mixed = repo(&tree, true, policy);
        let node = tree::node(&mixed, &made.cid);
        assert_eq!(tree::read(&mixed, &node, ..).unwrap(), content);
        assert_eq!(tree::read(&mixed, &node, 4321..5678).unwrap(), content[4321..5678]);
        let plain = repo(&tree, false, policy);
        let resolved = plain.resolve(&ContentPath::new(made.cid));
        assert!(
            matches!(resolved, Err(ReadError::Missing(cid)) if cid == made.cid),
            "{resolved:?}"
        );
        assert!(
            plain.size(&made.cid).unwrap().is_none() && plain.block(&made.cid).unwrap().is_none()
        );
        assert!(
            mixed.size(&made.cid).unwrap().is_some() && mixed.block(&made.cid).unwrap().is_some()
        );
    }
}

#[test]
fn a_block_is_found_by_any_of_its_cids_under_whichever_name_it_lies() {
    let data = Bytes::from_static(b"the bytes of a block");
    for named in [RAW, DAG_PB, DAG_CBOR] {
        let tree = Tree::new();
        let block = Block::verified(testing::cid_of(named, &data), data.clone()).unwrap();
        put_old(&tree, &block);
        let mixed = repo(&tree, true, Verify::Always);
        let hash = *block.cid().hash();
        let dag_json = 0x0129;
        for asked in [RAW, DAG_PB, DAG_CBOR, dag_json] {
            let cid = Cid::new_v1(asked, hash);
            assert_eq!(
                mixed.block(&cid).unwrap().unwrap().data(),
                &data,
                "{named:#x} asked as {asked:#x}"
            );
        }
        assert_eq!(mixed.size(&Cid::new_v0(hash).unwrap()).unwrap(), Some(20));
    }
}

#[test]
fn a_codec_that_few_repositories_held_is_found_when_it_is_asked_by() {
    let tree = Tree::new();
    let dag_json = testing::cid_of(0x0129, b"{}");
    put_old(&tree, &Block::verified(dag_json, Bytes::from_static(b"{}")).unwrap());
    let asked_by = |cid: Cid| repo(&tree, true, Verify::Off).block(&cid).unwrap();
    assert!(asked_by(dag_json).is_some());
    assert!(asked_by(Cid::new_v1(RAW, *dag_json.hash())).is_none());
}

#[test]
fn the_name_by_multihash_goes_before_the_older_ones() {
    let tree = Tree::new();
    let good = Block::verified(testing::cid_of(RAW, b"good"), Bytes::from_static(b"good")).unwrap();
    tree.put_as(&good.cid().to_bytes(), b"evil");
    tree.put(&good);
    let mixed = repo(&tree, true, Verify::Off);
    assert_eq!(mixed.block(good.cid()).unwrap().unwrap().data(), &b"good"[..]);
}

#[test]
fn version_0_cids_were_named_by_their_multihash_all_along() {
    let tree = Tree::new();
    let plan = FilePlan { cid_v0: true, leaf: testing::LeafForm::PbFile, ..FilePlan::default() };
    let made = testing::file(b"an old file", &plan, &mut |block| put_old(&tree, &block));
    let plain = repo(&tree, false, Verify::Always);
    let node = tree::node(&plain, &made.cid);
    assert_eq!(tree::read(&plain, &node, ..).unwrap(), b"an old file");
}

#[test]
fn a_mixed_archive_that_is_away_is_unavailable_too() {
    let tree = Tree::new();
    let (made, _) = old_file(&tree);
    let mixed = repo(&tree, true, Verify::Off);
    let aside = tree.root().with_file_name("aside");
    std::fs::rename(tree.root(), &aside).unwrap();
    assert!(mixed.block(&made.cid).is_err_and(|e| e.is_unavailable()));
    std::fs::rename(&aside, tree.root()).unwrap();
    assert!(mixed.block(&made.cid).unwrap().is_some());
}
