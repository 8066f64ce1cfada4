//! What stands in a stopped Kubo repository, whatever its stores: blocks, pins with names, the MFS root, IPNS records
//! and keys are those that Kubo itself listed, and the repository is byte for byte what it was.

#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use coldfront::Cid;
use coldfront::kubo::{
    BlockMount, KuboPin, Repository, RepositoryError, RepositoryOptions, block_name, tree as flatfs,
};
use tree::{each_golden as each, expected_pins, files_of as listing};

fn open(root: &Path) -> Result<Repository, RepositoryError> {
    Repository::open(&RepositoryOptions::new(root))
}

/// Every block that the repository holds, by the name that its keys give.
fn blocks(repository: &Repository) -> BTreeSet<Cid> {
    let mut found = BTreeSet::new();
    for mount in repository.datastore().blocks() {
        match mount {
            BlockMount::Flatfs(tree) => {
                for shard in flatfs::shards(tree.root(), tree.shard_fn()).unwrap() {
                    let mut files =
                        flatfs::Files::open(tree.root(), &shard, tree.shard_fn()).unwrap();
                    for file in files.next_sorted().unwrap() {
                        match file.listed {
                            flatfs::Listed::Block(name) => assert!(found.insert(name.cid)),
                            other => panic!("{other:?} in {}", files.path().display()),
                        }
                    }
                    assert_eq!(files.foreign(), 0);
                }
            }
            BlockMount::Pairs(store, prefix) => {
                for pair in store.scan_prefix(prefix.as_bytes()) {
                    let (key, _) = pair.unwrap();
                    let name = block_name(&key[prefix.len()..]).unwrap();
                    assert!(found.insert(name.cid));
                }
            }
        }
    }
    found
}

#[test]
fn blocks_pins_mfs_root_names_and_keys_are_those_that_kubo_lists() {
    each(|golden| {
        let before = listing(&golden.root());
        let repository = open(&golden.root()).unwrap();
        let expected = &golden.expected;
        let wanted: BTreeSet<Cid> = match expected["refs_local"].as_array() {
            Some(all) => all.iter().map(|cid| cid.as_str().unwrap().parse().unwrap()).collect(),
            None => return eprintln!("{}: Kubo was not asked for its blocks", golden.name),
        };
        assert_eq!(blocks(&repository), wanted, "{}", golden.name);
        let Some(mfs) = expected["mfs_root"].as_str() else {
            // Its pins were taken out of it.
            assert_eq!(repository.pins().unwrap().count(), 0);
            assert_eq!(repository.mfs_root().unwrap(), None);
            return;
        };
        let pins: BTreeMap<_, _> = repository
            .pins()
            .unwrap()
            .map(|pin| pin.unwrap())
            .map(|KuboPin { cid, recursive, name }| (cid.to_string(), (recursive, name)))
            .collect();
        assert_eq!(pins, expected_pins(golden), "{}", golden.name);
        assert_eq!(repository.mfs_root().unwrap().unwrap().to_string(), mfs, "{}", golden.name);
        let keys: Vec<_> = repository.keys().unwrap().into_iter().map(|key| key.name).collect();
        assert_eq!(keys, ["site"], "{}", golden.name);
        let (peer, key) = repository.identity().unwrap();
        assert_eq!(peer, expected["peer_id"].as_str().unwrap());
        assert_eq!(&key[..4], [8, 1, 0x12, 0x40], "an Ed25519 key");
        let names: Vec<_> = repository.names().map(|name| name.unwrap()).collect();
        let published = expected["ipns_record_published"].as_bool().unwrap_or(false);
        assert_eq!(names.is_empty(), !published, "{}", golden.name);
        drop(repository);
        assert!(listing(&golden.root()) == before, "{} was changed", golden.name);
    });
}
