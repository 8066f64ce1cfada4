//! The parsers against repositories that Kubo wrote: every block hashes to its name, every dag-pb node
//! reads and is written again byte for byte, every leaf is told from its first bytes, and every name of
//! a sharded directory is found where Kubo put it. Walks trees from their roots as Kubo's own lists
//! name them, without the library's stores.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use coldfront::Cid;
use coldfront::multihash::{Verdict, verify};
use coldfront::unixfs::dag_pb::{Head, LEAF_HEAD_LEN, PbNode, encode, leaf_frame};
use coldfront::unixfs::data::{DataType, UnixFsData};
use coldfront::unixfs::hamt::{NameHash, Shard, Slot, max_depth};
use serde_json::Value;

const DAG_PB: u64 = 0x70;

/// A repository of Kubo's: its blocks by the names of their files, and what Kubo says of it.
struct Golden {
    name: String,
    files: BTreeMap<String, Vec<u8>>,
    expected: Value,
}

impl Golden {
    fn open(folder: &Path, name: &str) -> Golden {
        let unpacked = tempfile::tempdir().unwrap();
        let archive = folder.join(format!("{name}.tar.gz"));
        let mut tar = Command::new("tar");
        let tar = tar.arg("-xzf").arg(&archive).arg("-C").arg(unpacked.path());
        assert!(tar.status().unwrap().success(), "{archive:?} does not unpack");
        let expected = std::fs::read(folder.join(format!("{name}.expected.json"))).unwrap();
        let mut files = BTreeMap::new();
        for shard in std::fs::read_dir(unpacked.path().join(name).join("blocks")).unwrap() {
            let shard = shard.unwrap().path();
            for file in shard.read_dir().into_iter().flatten() {
                let file = file.unwrap().path();
                let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(file).unwrap());
            }
        }
        Golden {
            name: name.to_owned(),
            files,
            expected: serde_json::from_slice(&expected).unwrap(),
        }
    }

    fn read(&self, cid: &Cid) -> Option<Vec<u8>> {
        if cid.hash().code() == 0 {
            return Some(cid.hash().digest().to_vec());
        }
        self.files.get(&base32_upper(&cid.hash().to_bytes())).cloned()
    }

    fn root(&self, label: &str) -> Option<Cid> {
        self.expected["roots"].get(label).map(|cid| parse(cid.as_str().unwrap()))
    }

    /// Every dag-pb block under the roots.
    fn nodes(&self) -> BTreeMap<Cid, Vec<u8>> {
        let roots = self.expected["roots"].as_object().unwrap().values();
        let mut ahead: Vec<Cid> = roots.map(|cid| parse(cid.as_str().unwrap())).collect();
        let mut nodes = BTreeMap::new();
        while let Some(cid) = ahead.pop() {
            if cid.codec() != DAG_PB || nodes.contains_key(&cid) {
                continue;
            }
            let Some(block) = self.read(&cid) else { continue };
            let node = PbNode::parse(&block).unwrap_or_else(|error| panic!("{cid}: {error}"));
            ahead.extend(node.links().map(|link| Cid::try_from(link.cid).unwrap()));
            nodes.insert(cid, block);
        }
        nodes
    }
}

fn parse(cid: &str) -> Cid {
    cid.parse().unwrap()
}

fn base32_upper(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1)).collect();
    let digit = |five: &[u8]| {
        let value = (0..5).fold(0, |value, i| value << 1 | five.get(i).copied().unwrap_or(0));
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(value)])
    };
    bits.chunks(5).map(digit).collect()
}

/// The repositories of this project, and those of a folder beside the checkout if there is one.
static GOLDENS: LazyLock<Vec<Golden>> = LazyLock::new(|| {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let mut goldens: Vec<Golden> = ["flatfs-tree", "flatfs-prefix-2", "flatfs-suffix-3"]
        .map(|name| Golden::open(&own, name))
        .into();
    if beside.is_dir() {
        let names = ["flatfs-0.42", "flatfs-0.42-crashed", "flatfs-prefix-2", "flatfs-suffix-3"];
        goldens.extend(names.map(|name| Golden::open(&beside, name)));
    } else {
        eprintln!("no {}: only this project's own repositories are read", beside.display());
    }
    goldens
});

#[test]
fn every_block_hashes_to_its_name() {
    let mut functions = BTreeSet::new();
    for golden in GOLDENS.iter() {
        let refs = golden.expected["refs_local"].as_array().unwrap();
        assert!(!refs.is_empty());
        for cid in refs.iter().map(|cid| parse(cid.as_str().unwrap())) {
            let block = golden.read(&cid).unwrap_or_else(|| panic!("{}: no {cid}", golden.name));
            let (code, digest) = (cid.hash().code(), cid.hash().digest());
            functions.insert(code);
            assert_eq!(verify(code, digest, &block), Verdict::Match, "{}: {cid}", golden.name);
            let changed = [&block[..], b"x"].concat();
            assert_eq!(verify(code, digest, &changed), Verdict::Mismatch, "{}: {cid}", golden.name);
        }
    }
    // sha2-256, sha2-512, blake3, blake2b-256 at the least.
    assert!(
        [0x12, 0x13, 0x1e, 0xb220].iter().all(|code| functions.contains(code)),
        "{functions:x?}"
    );
}

#[test]
fn what_kubo_wrote_is_written_again_byte_for_byte() {
    for golden in GOLDENS.iter() {
        let foreign = foreign_nodes(golden);
        let (mut same, mut messages) = (0, 0);
        for (cid, block) in golden.nodes().iter().filter(|(cid, _)| !foreign.contains(cid)) {
            let node = PbNode::parse(block).unwrap();
            assert_eq!(&encode(node.links(), node.data()), block, "{}: {cid}", golden.name);
            same += 1;
            if let Some(message) = node.data() {
                let data =
                    UnixFsData::parse(message).unwrap_or_else(|error| panic!("{cid}: {error}"));
                assert_eq!(data.encode(data.blocksizes()), message, "{}: {cid}", golden.name);
                messages += 1;
            }
        }
        assert!(same > 5 && messages > 5, "{}: {same} {messages}", golden.name);
    }
}

/// Nodes that stand in a repository to show forms which Kubo reads and does not write.
fn foreign_nodes(golden: &Golden) -> BTreeSet<Cid> {
    let roots = golden.expected["roots"].as_object().unwrap();
    let labelled = roots.iter().filter(|(label, _)| label.starts_with("node-"));
    labelled.map(|(_, cid)| parse(cid.as_str().unwrap())).collect()
}

#[test]
fn every_leaf_is_told_from_its_first_bytes() {
    for golden in GOLDENS.iter() {
        let mut leaves = 0;
        for (cid, block) in golden.nodes() {
            let node = PbNode::parse(&block).unwrap();
            let Ok(data) = UnixFsData::parse(node.data().unwrap_or_default()) else { continue };
            let file = matches!(data.data_type, DataType::File | DataType::Raw);
            let head = block.get(..LEAF_HEAD_LEN).unwrap_or(&block);
            match leaf_frame(head, block.len() as u64) {
                Head::Leaf(frame) => {
                    let start = frame.data_offset as usize;
                    let bytes = &block[start..start + frame.data_len as usize];
                    assert!(file && node.links().len() == 0, "{}: {cid}", golden.name);
                    assert_eq!(bytes, data.data.unwrap_or_default(), "{}: {cid}", golden.name);
                    leaves += 1;
                }
                Head::Inner => {
                    let plain = file
                        && node.links().len() == 0
                        && data.mode.or(data.mtime.map(|_| 0)).is_none();
                    let foreign = foreign_nodes(golden).contains(&cid);
                    assert!(!plain || foreign, "{}: {cid} is a leaf", golden.name);
                }
                Head::NeedMore => panic!("{}: {cid}", golden.name),
            }
        }
        eprintln!("{}: {leaves} dag-pb leaves", golden.name);
        assert!(leaves > 0 || golden.expected["roots"].get("tree-v0").is_none(), "{}", golden.name);
    }
}

#[test]
fn every_name_of_a_sharded_directory_is_found_where_kubo_put_it() {
    let mut depths = BTreeSet::new();
    let mut seen = 0;
    for golden in GOLDENS.iter() {
        let Some(listed) = golden.expected.get("ls_many").and_then(Value::as_array) else {
            continue;
        };
        // The folder `many` of `tree-v1`, and the same entries in shards of width 8.
        let many = golden.root("tree-v1").and_then(|tree| {
            let block = golden.read(&tree).unwrap();
            let node = PbNode::parse(&block).unwrap();
            let link = node.links().find(|link| link.name == Some(b"many"))?;
            let many = Cid::try_from(link.cid).unwrap();
            let block = golden.read(&many).unwrap();
            let node = PbNode::parse(&block).unwrap();
            let data = UnixFsData::parse(node.data().unwrap()).unwrap();
            (data.data_type == DataType::HamtShard).then_some(many)
        });
        for root in [many, golden.root("hamt-8")].into_iter().flatten() {
            let mut by_name = BTreeMap::new();
            for line in listed {
                let line = line.as_str().unwrap();
                // CID, size and name in columns; these names have no spaces.
                let mut columns = line.split_whitespace();
                let (cid, name) = (columns.next().unwrap(), columns.last().unwrap());
                by_name.insert(name.as_bytes().to_vec(), parse(cid));
            }
            for (name, cid) in &by_name {
                let (found, depth) =
                    find(golden, &root, &NameHash::new(name)).unwrap_or_else(|| {
                        panic!("{}: no {} below {root}", golden.name, String::from_utf8_lossy(name))
                    });
                assert_eq!(found, *cid, "{}: {}", golden.name, String::from_utf8_lossy(name));
                depths.insert(depth);
            }
            assert_eq!(find(golden, &root, &NameHash::new(b"no such name")), None);
            let mut all = BTreeMap::new();
            list(golden, &root, &mut all);
            assert_eq!(all, by_name, "{}", golden.name);
            eprintln!("{}: {} names below {root}", golden.name, by_name.len());
            seen += 1;
        }
    }
    assert!(seen >= 2 && depths.len() >= 3, "{seen} directories, entries at depths {depths:?}");
}

/// Follows a name from shard to shard: its CID, and the depth at which it stands.
fn find(golden: &Golden, root: &Cid, name: &NameHash<'_>) -> Option<(Cid, u32)> {
    let mut cid = *root;
    for depth in 0..max_depth(8) {
        let block = golden.read(&cid).unwrap();
        match shard(&block).lookup(name, depth).unwrap() {
            Slot::Absent => return None,
            Slot::Entry(link) => return Some((Cid::try_from(link.cid).unwrap(), depth)),
            Slot::Child(link) => cid = Cid::try_from(link.cid).unwrap(),
        }
    }
    panic!("no end below {root}");
}

fn list(golden: &Golden, cid: &Cid, all: &mut BTreeMap<Vec<u8>, Cid>) {
    let block = golden.read(cid).unwrap();
    for slot in shard(&block).entries() {
        match slot.unwrap() {
            Slot::Entry(link) => {
                all.insert(link.name.unwrap().to_vec(), Cid::try_from(link.cid).unwrap());
            }
            Slot::Child(link) => list(golden, &Cid::try_from(link.cid).unwrap(), all),
            Slot::Absent => panic!("a listed slot is absent"),
        }
    }
}

fn shard(block: &[u8]) -> Shard<'_> {
    let node = PbNode::parse(block).unwrap();
    let data = UnixFsData::parse(node.data().unwrap()).unwrap();
    Shard::parse(&node, &data).unwrap()
}
