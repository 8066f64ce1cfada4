//! A flipped bit in a link names a block that never was. Without verification nobody sees it until that
//! block is missing: then it is the node that is looked at before "missing" is believed.

#![allow(clippy::unwrap_used)]

mod tree;

use coldfront::unixfs::testing::{self, FilePlan, LeafForm, Made};
use coldfront::{Block, Cid, ContentPath, ReadError, Repo, RepoOptions, StoreError, Verify};
use tree::{Tree, flip, open, overwrite};

/// Folders below folders, a file at the end, and a sharded directory of two levels, in several trees alike.
struct World {
    root: Cid,
    folder: Cid,
    file: Cid,
    sharded: Cid,
    shard: Cid,
    path: ContentPath,
}

const NAMES: [&str; 3] = ["first", "middle", "second"];

impl World {
    fn new(trees: &[&Tree]) -> Self {
        let put = &mut |block: Block| trees.iter().for_each(|tree| tree.put(&block));
        let file = testing::file(b"at the end", &FilePlan::default(), put);
        let folder = testing::directory([("file", file)], put);
        let root = testing::directory([("folder", folder), ("other", file)], put);
        let keep = |block: Vec<u8>| {
            let cid = testing::cid_of(coldfront::block::DAG_PB, &block);
            put(Block::verified(cid, block.into()).unwrap());
            Made { cid, size: 0, tsize: 0 }
        };
        // The slot that the hash of "middle" asks for is found by trying; the others only have to be there.
        let (shard, sharded) = (0..256)
            .find_map(|slot| {
                let below = keep(testing::shard_block(256, &below_of(file)));
                let mut slots = vec![(slot, "", below)];
                if slot > 0 {
                    slots.insert(0, (slot - 1, NAMES[0], file));
                }
                if slot < 255 {
                    slots.push((slot + 1, NAMES[2], file));
                }
                let root = keep(testing::shard_block(256, &slots));
                let path = ContentPath::new(root.cid).join(NAMES[1].as_bytes());
                trees[0].repo(Verify::Off).resolve(&path).is_ok().then_some((below.cid, root.cid))
            })
            .unwrap();
        let path = ContentPath::with_segments(root.cid, ["folder", "file"]);
        World { root: root.cid, folder: folder.cid, file: file.cid, sharded, shard, path }
    }

    fn in_shards(&self) -> ContentPath {
        ContentPath::new(self.sharded).join(NAMES[1].as_bytes())
    }
}

/// A shard with the entry "middle" in every slot: one of them is the right one.
fn below_of(file: Made) -> Vec<(u32, &'static str, Made)> {
    (0..256).map(|slot| (slot, NAMES[1], file)).collect()
}

/// Flips a bit of the digest by which the block of `parent` names `child`.
fn flip_link(tree: &Tree, parent: &Cid, child: &Cid) {
    let path = tree.path(parent);
    let bytes = std::fs::read(&path).unwrap();
    let digest = child.hash().digest();
    let at = bytes.windows(digest.len()).position(|part| part == digest).unwrap();
    flip(&path, 8 * (at + 5) + 3);
}

fn is_corrupt(error: &ReadError, tree: &Tree, cid: &Cid) -> bool {
    let path = tree.path(cid).display().to_string();
    matches!(error, ReadError::Store(StoreError::Corrupt { place, .. }) if *place == path)
}

/// A repository over archives that keeps no decoded node.
fn cold(trees: &[&Tree]) -> Repo {
    let archives = trees.iter().map(|tree| tree.options()).collect();
    Repo::open(&RepoOptions { archives, node_cache_bytes: 0, ..RepoOptions::default() }).unwrap()
}

#[test]
fn a_link_that_leads_nowhere_because_a_bit_flipped_is_a_corrupt_block_and_told_with_its_path() {
    let tree = Tree::new();
    let world = World::new(&[&tree]);
    flip_link(&tree, &world.folder, &world.file);
    for repo in [tree.repo(Verify::Off), cold(&[&tree])] {
        for _ in 0..2 {
            let error = repo.resolve(&world.path).unwrap_err();
            assert!(is_corrupt(&error, &tree, &world.folder), "{error:?}");
        }
        let told = repo.take_faults();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].reason.contains(&tree.path(&world.folder).display().to_string()));
        // A raw block at the end of the path is found in the same way.
        assert!(repo.resolve_block(&world.path).is_err_and(|e| is_corrupt(
            &e,
            &tree,
            &world.folder
        )));
        assert!(repo.stat_block(&world.path).is_err_and(|e| is_corrupt(&e, &tree, &world.folder)));
    }
}

#[test]
fn the_copy_of_the_node_in_another_archive_leads_on() {
    let (first, second) = (Tree::new(), Tree::new());
    let world = World::new(&[&first, &second]);
    // One after the other on the same path, and found one after the other.
    flip_link(&first, &world.root, &world.folder);
    flip_link(&first, &world.folder, &world.file);
    for repo in [open([&first, &second], Verify::Off), cold(&[&first, &second])] {
        for _ in 0..2 {
            assert_eq!(repo.resolve(&world.path).unwrap().cid(), &world.file);
        }
        let told = repo.take_faults();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|fault| fault.tier == first.root().display().to_string()));
    }
    // Found by the first answer, known to those after it.
    let repo = open([&first, &second], Verify::Off);
    repo.resolve(&world.path).unwrap();
    assert!(repo.resolve_now(&world.path).unwrap().is_some());
    assert_eq!(repo.stats().tiers.faults, 2);
}

#[test]
fn a_flipped_link_between_shards_is_found_by_look_ups_and_by_listings() {
    let (first, second) = (Tree::new(), Tree::new());
    let world = World::new(&[&first, &second]);
    flip_link(&first, &world.sharded, &world.shard);
    let listed = |repo: &Repo| {
        let root = repo.resolve(&ContentPath::new(world.sharded)).unwrap().node;
        repo.list(&root).unwrap().collect::<Result<Vec<_>, _>>()
    };
    for repo in [first.repo(Verify::Off), cold(&[&first])] {
        let error = repo.resolve(&world.in_shards()).unwrap_err();
        assert!(is_corrupt(&error, &first, &world.sharded), "{error:?}");
        let repo = cold(&[&first]);
        let error = listed(&repo).unwrap_err();
        assert!(is_corrupt(&error, &first, &world.sharded), "{error:?}");
        assert_eq!(repo.take_faults().len(), 1);
    }
    let whole = listed(&second.repo(Verify::Off)).unwrap();
    assert!(whole.len() > 256);
    for repo in [open([&first, &second], Verify::Off), cold(&[&first, &second])] {
        assert_eq!(listed(&repo).unwrap(), whole);
        assert_eq!(repo.resolve(&world.in_shards()).unwrap().cid(), &world.file);
        assert_eq!(repo.take_faults().len(), 1);
    }
}

/// A file with two levels of inner nodes, and what its root, an inner node and a leaf are called.
fn deep_file(trees: &[&Tree], leaf: LeafForm) -> (Vec<u8>, [Cid; 3]) {
    let content = tree::content(60_000, 9);
    let plan = FilePlan { chunk: 10_000, width: 2, leaf, ..FilePlan::default() };
    let mut made_in_order = Vec::new();
    let root = testing::file(&content, &plan, &mut |block| {
        trees.iter().for_each(|tree| tree.put(&block));
        made_in_order.push(*block.cid());
    });
    // Two leaves, then the node above them.
    (content, [root.cid, made_in_order[2], made_in_order[1]])
}

#[test]
fn a_flipped_link_inside_a_file_is_a_corrupt_block_or_answered_from_another_archive() {
    for leaf in [LeafForm::Raw, LeafForm::PbFile] {
        let (first, second) = (Tree::new(), Tree::new());
        let (content, [root, inner, second_leaf]) = deep_file(&[&first, &second], leaf);
        flip_link(&first, &inner, &second_leaf);
        for repo in [first.repo(Verify::Off), cold(&[&first])] {
            let node = tree::node(&repo, &root);
            let read: Vec<_> = repo.read(&node, ..).collect();
            assert_eq!(read[0].as_ref().unwrap(), &content[..10_000]);
            assert!(is_corrupt(read.last().unwrap().as_ref().unwrap_err(), &first, &inner));
            assert_eq!(repo.take_faults().len(), 1);
        }
        // And one level further up.
        let (_, [_, inner, _]) = deep_file(&[], leaf);
        let above = parent_of(&first, &inner, &root);
        flip_link(&first, &above, &inner);
        for repo in [open([&first, &second], Verify::Off), cold(&[&first, &second])] {
            let node = tree::node(&repo, &root);
            assert!(tree::read(&repo, &node, ..).unwrap() == content, "{leaf:?}");
            assert_eq!(repo.take_faults().len(), 2);
        }
    }
}

/// The node of a file that names `child`.
fn parent_of(tree: &Tree, child: &Cid, below: &Cid) -> Cid {
    let bytes = std::fs::read(tree.path(below)).unwrap();
    let node = coldfront::unixfs::dag_pb::PbNode::parse(&bytes).unwrap();
    let links: Vec<Cid> = node.links().map(|link| Cid::try_from(link.cid).unwrap()).collect();
    if links.contains(child) { *below } else { parent_of(tree, child, &links[0]) }
}

#[test]
fn a_leaf_that_is_truly_missing_stays_missing_and_its_parent_is_hashed_once() {
    let tree = Tree::new();
    let (_, [root, _, gone]) = deep_file(&[&tree], LeafForm::Raw);
    std::fs::remove_file(tree.path(&gone)).unwrap();
    let repo = tree.repo(Verify::Off);
    let node = tree::node(&repo, &root);
    for _ in 0..3 {
        let error = tree::read(&repo, &node, ..).unwrap_err();
        assert!(matches!(error, ReadError::Missing(cid) if cid == gone), "{error:?}");
    }
    assert_eq!((repo.stats().tiers.hashed, repo.stats().tiers.faults), (1, 0));
}

#[test]
fn what_is_truly_missing_stays_missing_and_its_parent_is_hashed_once() {
    let tree = Tree::new();
    let world = World::new(&[&tree]);
    std::fs::remove_file(tree.path(&world.file)).unwrap();
    std::fs::remove_file(tree.path(&world.shard)).unwrap();
    let repo = tree.repo(Verify::Off);
    for _ in 0..3 {
        let error = repo.resolve(&world.path).unwrap_err();
        assert!(matches!(error, ReadError::Missing(cid) if cid == world.file), "{error:?}");
    }
    assert_eq!(repo.stats().tiers.hashed, 1);
    for _ in 0..3 {
        let error = repo.resolve(&world.in_shards()).unwrap_err();
        assert!(matches!(error, ReadError::Missing(cid) if cid == world.shard), "{error:?}");
        let root = repo.resolve(&ContentPath::new(world.sharded)).unwrap().node;
        let error = repo.list(&root).unwrap().find_map(Result::err).unwrap();
        assert!(matches!(error, ReadError::Missing(cid) if cid == world.shard), "{error:?}");
    }
    assert_eq!((repo.stats().tiers.hashed, repo.stats().tiers.faults), (2, 0));
    // A root has no parent to blame.
    let gone = testing::cid_of(coldfront::block::DAG_PB, b"nowhere");
    assert!(
        matches!(repo.resolve(&ContentPath::new(gone)), Err(ReadError::Missing(cid)) if cid == gone)
    );
    assert_eq!(repo.stats().tiers.hashed, 2);
}

#[test]
fn nothing_is_hashed_while_nothing_is_missing() {
    let tree = Tree::new();
    let world = World::new(&[&tree]);
    let repo = tree.repo(Verify::Off);
    repo.resolve(&world.path).unwrap();
    repo.resolve(&world.in_shards()).unwrap();
    let nothing = repo.resolve(&world.path.parent().unwrap().join(b"no such name"));
    assert!(matches!(nothing, Err(ReadError::NoLink { .. })));
    assert_eq!(repo.stats().tiers.hashed, 0);
}

#[test]
fn a_node_that_was_put_right_meanwhile_is_read_anew() {
    let tree = Tree::new();
    let world = World::new(&[&tree]);
    let path = tree.path(&world.folder);
    let good = std::fs::read(&path).unwrap();
    flip_link(&tree, &world.folder, &world.file);
    let repo = tree.repo(Verify::Off);
    // Decoded and kept, and nothing is missing yet.
    repo.resolve(&world.path.parent().unwrap()).unwrap();
    overwrite(&path, &good);
    assert_eq!(repo.resolve(&world.path).unwrap().cid(), &world.file);
    assert_eq!(repo.stats().tiers.faults, 0);
    // And the same after it was told as corrupt.
    flip_link(&tree, &world.folder, &world.file);
    repo.resolve(&world.path.parent().unwrap()).unwrap();
    let fresh = tree.repo(Verify::Off);
    assert!(fresh.resolve(&world.path).is_err_and(|e| is_corrupt(&e, &tree, &world.folder)));
    overwrite(&path, &good);
    assert_eq!(fresh.resolve(&world.path).unwrap().cid(), &world.file);
}
