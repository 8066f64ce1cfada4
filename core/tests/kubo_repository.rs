//! What stands in a stopped Kubo repository, whatever its stores: blocks, pins with names, the MFS root, IPNS records
//! and keys are those that Kubo itself listed, and the repository is byte for byte what it was.

#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use coldfront::kubo::{
    BlockMount, Flavour, KuboPin, Repository, RepositoryError, RepositoryOptions, RepositoryTier,
    block_name, tree as flatfs,
};
use coldfront::store::contract;
use coldfront::{BlockSource, Cid, ContentPath};
use sha2::{Digest, Sha256};
use tree::{Golden, POLICIES, each_golden as each, expected_pins, files_of as listing};

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

#[test]
fn a_stopped_repository_of_any_store_is_served_in_place_and_keeps_the_contract_of_a_source() {
    each(|golden| {
        let before = listing(&golden.root());
        for policy in POLICIES {
            let repo = golden.repo(policy);
            for (path, file) in golden.expected["files"].as_object().unwrap() {
                let (label, below) = path.split_once('/').unwrap_or((path, ""));
                let segments = below.split('/').map(|name| name.as_bytes().to_vec());
                let path = ContentPath::with_segments(golden.cid(label), segments);
                let node = repo.resolve(&path).unwrap().node;
                let whole = tree::read(&repo, &node, ..).unwrap();
                let hash: String =
                    Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(hash, file["sha256"].as_str().unwrap(), "{}: {path}", golden.name);
            }
        }
        let Some(tier) = RepositoryTier::open(&golden.root()).unwrap() else { return };
        let cids = golden.expected["refs_local"].as_array().unwrap();
        let cids = cids.iter().map(|cid| cid.as_str().unwrap().parse::<Cid>().unwrap());
        let held: Vec<_> = cids.map(|cid| tier.get(&cid).unwrap().unwrap()).collect();
        let absent = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy".parse().unwrap();
        contract::check(&tier, &held, &absent);
        drop(tier);
        assert!(listing(&golden.root()) == before, "{} was changed", golden.name);
    });
}

#[test]
fn a_repository_that_a_program_has_open_is_refused_and_keeps_a_kubo_from_starting_while_it_is_read()
{
    let golden = Golden::own("pebble-fmv-21");
    let lock = golden.root().join("repo.lock");
    // A crash leaves the file without a lock: nobody has it open.
    fs::write(&lock, "").unwrap();
    let locks = |exclusive: bool| {
        // In another process: such locks are not seen by their own.
        let script = format!(
            "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB); {}",
            if exclusive { "print('locked', flush=True); sys.stdin.read()" } else { "" }
        );
        let mut python = Command::new("python3");
        python.args(["-c", &script]).arg(&lock);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        python.spawn()
    };
    let Ok(mut other) = locks(true) else { return eprintln!("not run: there is no python3") };
    let mut line = String::new();
    BufReader::new(other.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    let refused = open(&golden.root()).unwrap_err();
    assert!(matches!(refused, RepositoryError::Locked { .. }), "{refused}");
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    let repository = open(&golden.root()).unwrap();
    assert!(!locks(false).unwrap().wait().unwrap().success(), "it can be locked while it is read");
    drop(repository);
    assert!(locks(false).unwrap().wait().unwrap().success(), "it stays locked");
}

#[test]
fn what_cannot_be_read_is_refused_by_its_name() {
    let golden = Golden::own("flatfs-prefix-2");
    let root = golden.root();
    let sentence = || open(&root).unwrap_err().to_string();
    fs::write(root.join("version"), "19\n").unwrap();
    assert!(sentence().contains("\"19\"") && sentence().contains("newer coldfront"));
    fs::write(root.join("version"), "4\n").unwrap();
    assert!(sentence().contains("fs-repo-migrations"), "{}", sentence());
    fs::write(root.join("version"), "x\n").unwrap();
    assert!(sentence().contains("damaged"), "{}", sentence());
    fs::write(root.join("version"), "18\n").unwrap();
    let s3 = r#"{"mounts":[{"mountpoint":"/blocks","type":"s3ds","bucket":"b"}],"type":"mount"}"#;
    fs::write(root.join("datastore_spec"), s3).unwrap();
    assert!(sentence().contains("\"s3ds\""), "{}", sentence());
    fs::write(root.join("datastore_spec"), "{").unwrap();
    assert!(sentence().contains("expected JSON"), "{}", sentence());
    fs::remove_file(root.join("version")).unwrap();
    assert!(sentence().contains("no Kubo repository"), "{}", sentence());
}

#[test]
fn a_repository_of_js_ipfs_is_recognised_and_its_blocks_are_read() {
    let golden = Golden::own("flatfs-prefix-2");
    let root = golden.root();
    fs::create_dir(root.join("keys")).unwrap();
    fs::write(root.join("version"), "12\n").unwrap();
    let repository = open(&root).unwrap();
    assert_eq!(repository.flavour(), Flavour::JsIpfs);
    assert_eq!(blocks(&repository).len(), golden.expected["refs_local"].as_array().unwrap().len());
}

#[test]
fn repositories_from_version_5_on_are_read_without_a_datastore_spec() {
    let golden = Golden::own("flatfs-suffix-3");
    let root = golden.root();
    fs::remove_file(root.join("datastore_spec")).unwrap();
    fs::write(root.join("config"), "{}").unwrap();
    for version in 5..=18 {
        fs::write(root.join("version"), format!("{version}\n")).unwrap();
        let repository = open(&root).unwrap();
        assert_eq!(repository.version(), version);
        assert_eq!(
            blocks(&repository).len(),
            golden.expected["refs_local"].as_array().unwrap().len()
        );
        assert_eq!(repository.pins().unwrap().count(), 0);
    }
}
