//! What Kubo says of its own repositories, asked of this library: every root, file, range, listing, link
//! and time, under every verification policy.
//!
//! The repositories in `tests/golden` are always read; those of a folder `../shared/golden` beside the
//! checkout are read too where it exists.

#![allow(clippy::unwrap_used)]

mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coldfront::unixfs::testing::{self, FilePlan, Layout, LeafForm};
use coldfront::{Cid, ContentPath, Entry, Node, ReadError, Repo, Verify};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tree::{Golden, POLICIES};

/// Random ranges that are read of each file.
const RANGES: u64 = 8;

/// Every golden repository that is at hand, unpacked.
fn each(check: impl Fn(&Golden)) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = flatfs_in(&manifest.join("tests/golden"));
    assert_eq!(found.len(), 3, "the project's own repositories");
    let shared = manifest.join("../../shared/golden");
    match shared.is_dir() {
        true => found.extend(flatfs_in(&shared)),
        false => eprintln!("there is no {}: only the project's own are read", shared.display()),
    }
    for (folder, name) in found {
        eprintln!("reading {}", folder.join(&name).display());
        check(&Golden::unpack(&folder, &name));
    }
}

fn flatfs_in(folder: &Path) -> Vec<(PathBuf, String)> {
    let names =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter_map(|name| Some(name.strip_suffix(".tar.gz")?.to_owned()))
        .filter(|name| name.starts_with("flatfs-"))
        .collect();
    names.sort();
    names.into_iter().map(|name| (folder.to_owned(), name)).collect()
}

/// `label/a/b` as a content path; `percent` when it is percent-encoded.
fn path_of(golden: &Golden, text: &str, percent: bool) -> ContentPath {
    let (label, below) = text.split_once('/').unwrap_or((text, ""));
    let decode = |name: &str| if percent { unescape(name) } else { name.as_bytes().to_vec() };
    ContentPath::with_segments(golden.cid(label), below.split('/').map(decode))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    out
}

fn objects<'a>(golden: &'a Golden, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    golden.expected.get(key).and_then(Value::as_object).into_iter().flatten()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn list(repo: &Repo, node: &Arc<Node>) -> Vec<Entry> {
    repo.list(node).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_file_has_its_size_its_bytes_and_all_its_ranges() {
    each(|golden| {
        for policy in POLICIES {
            let repo = golden.repo(policy);
            let plain = objects(golden, "files").map(|(path, file)| (path, file, false));
            let odd = objects(golden, "files_percent").map(|(path, file)| (path, file, true));
            let mut files = 0;
            for (path, file, percent) in plain.chain(odd) {
                let what = format!("{}: {path} under {policy:?}", golden.name);
                let node = repo.resolve(&path_of(golden, path, percent)).expect(&what).node;
                assert_eq!(tree::size(&node), file["size"].as_u64().unwrap(), "{what}");
                let whole = tree::read(&repo, &node, ..).expect(&what);
                assert_eq!(hex(Sha256::digest(&whole)), file["sha256"].as_str().unwrap(), "{what}");
                ranges_are_slices(&repo, &node, &whole, &what);
                files += 1;
            }
            assert!(files > 40, "{}: {files} files", golden.name);
        }
    });
}

fn ranges_are_slices(repo: &Repo, node: &Arc<Node>, whole: &[u8], what: &str) {
    let len = whole.len() as u64;
    let mut state = len.wrapping_add(1);
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 11) % below.max(1)
    };
    for _ in 0..RANGES {
        let start = random(len + 1);
        let end = start + random(len + 1 - start).min(100_000);
        let part = tree::read(repo, node, start..end).expect(what);
        assert!(part == whole[start as usize..end as usize], "{what}, {start}..{end}");
    }
}

#[test]
fn every_root_is_what_kubo_says_it_is() {
    each(|golden| {
        for policy in POLICIES {
            let repo = golden.repo(policy);
            for (label, stat) in objects(golden, "files_stat") {
                let what = format!("{}: {label} under {policy:?}", golden.name);
                let node = repo.resolve(&path_of(golden, label, false)).expect(&what).node;
                assert_eq!(node.is_directory(), stat["Type"] == "directory", "{what}");
                if let Node::File(file) = &*node
                    && label != "node-no-filesize"
                {
                    assert_eq!(file.size(), stat["Size"].as_u64().unwrap(), "{what}");
                }
                if let Node::Directory(_) = &*node {
                    let tsizes =
                        list(&repo, &node).iter().map(|e| e.tsize.unwrap_or(0)).sum::<u64>();
                    let cumulative =
                        tsizes + repo.block(node.cid()).unwrap().unwrap().data().len() as u64;
                    assert_eq!(cumulative, stat["CumulativeSize"].as_u64().unwrap(), "{what}");
                }
            }
            for (label, _) in objects(golden, "dag_get").filter(|(label, _)| *label != "tree-v1") {
                let refused = repo.resolve(&path_of(golden, label, false));
                let cid = golden.cid(label);
                assert!(
                    matches!(refused, Err(ReadError::UnsupportedCodec { .. })),
                    "{}: {label} gives {refused:?}",
                    golden.name
                );
                assert!(repo.block(&cid).unwrap().is_some());
            }
        }
    });
}

/// Where Kubo disagrees with itself, what `files stat` says of the size decides for bytes in a node that
/// has children (its `cat` leaves them out), and the bytes that are there decide where no size is said.
#[test]
fn on_what_kubo_disputes_with_itself_every_byte_is_read() {
    let golden = Golden::own("flatfs-tree");
    for policy in POLICIES {
        let repo = golden.repo(policy);
        let (unsaid, inner) = ("node-no-filesize", "node-inner-data");
        let disputed = |label: &str, key: &str| golden.expected["disputed"][label][key].clone();
        let read = |label, range: std::ops::Range<u64>| {
            tree::read(&repo, &tree::node(&repo, &golden.cid(label)), range).unwrap()
        };
        assert_eq!(hex(Sha256::digest(read(unsaid, 0..100))), disputed(unsaid, "sha256"));
        assert_eq!(read(inner, 0..100), b"head\ntiny\ntiny\n");
        assert_eq!(read(inner, 0..100).len() as u64, disputed(inner, "said_size"));
        assert_eq!(read(inner, 3..12), b"d\ntiny\nti");
    }
}

#[test]
fn every_listing_has_its_names_and_cids_and_sizes() {
    each(|golden| {
        for policy in POLICIES {
            let repo = golden.repo(policy);
            for (path, expected) in objects(golden, "listings") {
                let what = format!("{}: {path} under {policy:?}", golden.name);
                let node = repo.resolve(&path_of(golden, path, true)).expect(&what).node;
                let mut found: Vec<_> =
                    list(&repo, &node).into_iter().map(|e| (e.name.to_vec(), e.cid)).collect();
                let mut wanted: Vec<_> =
                    expected.as_array().unwrap().iter().map(named_link).collect();
                found.sort();
                wanted.sort();
                assert_eq!(found, wanted, "{what}");
                raw_files_have_their_size_as_tsize(&repo, &node, expected, &what);
            }
        }
    });
}

fn named_link(entry: &Value) -> (Vec<u8>, Cid) {
    (unescape(entry["name"].as_str().unwrap()), entry["cid"].as_str().unwrap().parse().unwrap())
}

fn raw_files_have_their_size_as_tsize(repo: &Repo, node: &Arc<Node>, expected: &Value, what: &str) {
    for entry in list(repo, node).into_iter().filter(|e| e.cid.codec() == coldfront::block::RAW) {
        let same = |e: &&Value| unescape(e["name"].as_str().unwrap()) == entry.name;
        let wanted = expected.as_array().unwrap().iter().find(same).unwrap();
        let tsize = entry.tsize.unwrap_or(0);
        assert_eq!(tsize, wanted["size"].as_u64().unwrap(), "{what}: {entry:?}");
    }
}

#[test]
fn ls_of_the_tree_and_of_its_sharded_folder_are_kubos() {
    each(|golden| {
        let repo = golden.repo(Verify::Off);
        for (key, path) in [("ls_tree-v1", "tree-v1"), ("ls_many", "tree-v1/many")] {
            let node = repo.resolve(&path_of(golden, path, false)).unwrap().node;
            let mut found: Vec<_> = list(&repo, &node)
                .into_iter()
                .map(|e| (e.cid.to_string(), String::from_utf8_lossy(&e.name).into_owned()))
                .collect();
            let lines = golden.expected[key].as_array().unwrap();
            let mut wanted: Vec<_> =
                lines.iter().map(|line| cid_and_name(line.as_str().unwrap())).collect();
            found.sort();
            wanted.sort();
            assert_eq!(found, wanted, "{}: {key}", golden.name);
        }
    });
}

/// `CID size name`, the name of a folder with a slash behind it.
fn cid_and_name(line: &str) -> (String, String) {
    let mut parts = line.splitn(2, ' ');
    let cid = parts.next().unwrap();
    let name = parts.next().unwrap().trim_start().split_once(' ').unwrap().1;
    (cid.into(), name.trim_start().trim_end_matches('/').into())
}

#[test]
fn every_name_of_a_listing_is_found_and_others_are_not() {
    each(|golden| {
        let repo = golden.repo(Verify::Off);
        for (path, expected) in objects(golden, "listings") {
            let directory = path_of(golden, path, true);
            for entry in expected.as_array().unwrap() {
                let (name, cid) = named_link(entry);
                assert_eq!(repo.resolve(&directory.join(&name)).unwrap().cid(), &cid);
            }
            let absent = repo.resolve(&directory.join(b"no such name"));
            assert!(matches!(absent, Err(ReadError::NoLink { .. })), "{path}: {absent:?}");
        }
    });
}

#[test]
fn symbolic_links_have_their_targets_and_are_not_followed() {
    each(|golden| {
        for policy in POLICIES {
            let repo = golden.repo(policy);
            for (path, target) in objects(golden, "links") {
                let path = path_of(golden, path, true);
                match &*repo.resolve(&path).unwrap().node {
                    Node::Symlink(link) => assert_eq!(link.target(), target.as_str().unwrap()),
                    other => panic!("{path} is {other:?}"),
                }
                let below = repo.resolve(&path.join(b"x"));
                assert!(matches!(below, Err(ReadError::NotADirectory(_))), "{below:?}");
            }
        }
    });
    assert_eq!(objects(&Golden::own("flatfs-tree"), "links").count(), 4);
}

#[test]
fn modes_and_times_of_files_and_directories_are_those_that_were_added() {
    let (mut files, mut directories) = (0, 0);
    let golden = Golden::own("flatfs-tree");
    for policy in POLICIES {
        let repo = golden.repo(policy);
        for (path, expected) in objects(&golden, "listings") {
            for entry in expected.as_array().unwrap() {
                let path = path_of(&golden, path, true).join(&named_link(entry).0);
                let node = repo.resolve(&path).unwrap().node;
                // Go's listing says in higher bits what kind of thing it is.
                let mode = entry.get("mode").and_then(Value::as_u64).map(|mode| mode & 0xFFF);
                assert_eq!(node.mode().map(u64::from), mode, "{path}");
                let mtime = node.mtime().map(|t| (t.seconds, t.nanos));
                // The only time that any of them has: 2021-02-03T04:05:06.789012345Z.
                let wanted = entry.get("mtime").map(|_| (1_612_325_106, 789_012_345));
                assert_eq!(mtime, wanted, "{path}");
                let has_both = usize::from(mtime.is_some() && mode.is_some());
                match &*node {
                    Node::File(file) => {
                        assert_eq!((file.mode(), file.mtime()), (node.mode(), node.mtime()));
                        files += has_both;
                    }
                    _ => directories += has_both,
                }
            }
        }
    }
    assert_eq!((files, directories), (2 * POLICIES.len(), POLICIES.len()));
}

#[test]
fn a_node_without_data_is_a_directory_of_its_links() {
    let golden = Golden::own("flatfs-tree");
    let repo = golden.repo(Verify::Off);
    let path = path_of(&golden, "node-no-data/tiny.txt", false);
    let node = repo.resolve(&path).unwrap().node;
    assert_eq!(tree::read(&repo, &node, ..).unwrap(), b"tiny\n");
}

#[test]
fn every_block_that_kubo_lists_is_held_and_hashes_to_its_cid() {
    each(|golden| {
        let repo = golden.repo(Verify::Always);
        for cid in golden.expected["refs_local"].as_array().unwrap() {
            let cid: Cid = cid.as_str().unwrap().parse().unwrap();
            let block = repo.block(&cid).unwrap().unwrap();
            assert_eq!(repo.size(&cid).unwrap(), Some(block.data().len() as u64));
        }
        assert_eq!(repo.stats().tiers.faults, 0);
    });
}

/// Roots that Kubo made with these options (`golden/make.sh`) are made again by the builder of other tests.
#[test]
fn the_test_builder_lays_files_as_kubo_does() {
    let golden = Golden::own("flatfs-tree");
    let repo = golden.repo(Verify::Off);
    let plain = FilePlan::default();
    let pb = FilePlan { leaf: LeafForm::PbFile, ..plain };
    let v0 = FilePlan { cid_v0: true, ..pb };
    let trickle = FilePlan { layout: Layout::Trickle, ..plain };
    let cases = [
        ("one-raw", plain),
        ("one-dag-pb", v0),
        ("empty-v0", v0),
        ("inline", FilePlan { inline: 32, ..plain }),
        ("big-narrow", FilePlan { width: 3, ..plain }),
        ("deep-64", FilePlan { width: 2, chunk: 64, ..plain }),
        ("deep-64-v0", FilePlan { width: 3, chunk: 64, ..v0 }),
        ("v1-dag-pb", FilePlan { chunk: 1000, ..pb }),
        ("trickle-narrow", FilePlan { width: 2, chunk: 64, ..trickle }),
        ("big-trickle", FilePlan { width: 3, ..trickle }),
        (
            "trickle-v0",
            FilePlan { width: 4, chunk: 8192, leaf: LeafForm::PbRaw, cid_v0: true, ..trickle },
        ),
    ];
    for (label, plan) in cases {
        let content = tree::read(&repo, &tree::node(&repo, &golden.cid(label)), ..).unwrap();
        let made = testing::file(&content, &plan, &mut |_| {});
        assert_eq!(made.cid, golden.cid(label), "{label} with {plan:?}");
    }
}
