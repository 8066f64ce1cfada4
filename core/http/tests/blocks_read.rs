//! How many blocks an answer costs, counted where they come from: no more than it needs, none twice.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use coldfront::store::archive::Archive;
use coldfront::unixfs::testing::{self, FilePlan, LeafForm, Made};
use coldfront::{Block, BlockSource, Cid, Located, Repo, RepoOptions, StoreError, Verify};
use common::tree::{self, Tree};
use common::{Response, Server, ipfs, limits};

/// An archive that counts what it is asked for.
#[derive(Debug)]
struct Counting {
    archive: Archive,
    asked: Mutex<BTreeMap<Vec<u8>, usize>>,
    /// Those of them that were asked for their length alone.
    sized: AtomicUsize,
}

impl Counting {
    fn count(&self, cid: &Cid) {
        *self.asked.lock().unwrap().entry(cid.hash().to_bytes()).or_default() += 1;
    }
}

impl BlockSource for Counting {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        self.count(cid);
        self.archive.get(cid)
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        self.count(cid);
        self.archive.locate(cid)
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        self.count(cid);
        self.sized.fetch_add(1, Ordering::Relaxed);
        self.archive.size(cid)
    }
}

/// A film of 5 MiB and the folders that lead to it, served with counting.
struct World {
    server: Server,
    source: Arc<Counting>,
    content: Vec<u8>,
    film: Made,
    /// `/ipfs/ROOT/d1/d2/d3/film.mp4` and the same without an extension.
    deep: String,
    deep_unnamed: String,
    _tree: Tree,
}

const DEPTH: usize = 4;

impl World {
    fn new(leaf: LeafForm) -> Self {
        World::verified(leaf, Verify::Off)
    }

    fn verified(leaf: LeafForm, verify: Verify) -> Self {
        let tree = Tree::new();
        let put = &mut |block: Block| tree.put(&block);
        let content = tree::content(5 << 20, 7);
        let film = testing::file(&content, &FilePlan { leaf, ..FilePlan::default() }, put);
        let mut folder = testing::directory([("film", film), ("film.mp4", film)], put);
        for level in (1..DEPTH).rev() {
            folder = testing::directory([(format!("d{level}").as_str(), folder)], put);
        }
        let source = Arc::new(Counting {
            archive: Archive::open(&tree.options()).unwrap(),
            asked: Mutex::default(),
            sized: AtomicUsize::new(0),
        });
        let sources = [("counted".to_owned(), source.clone() as Arc<dyn BlockSource>)];
        let repo = Repo::from_sources(sources, &RepoOptions { verify, ..RepoOptions::default() });
        let deep = format!("{}/d1/d2/d3/film.mp4", ipfs(&folder.cid));
        World {
            // What is read ahead is read on top of what an answer needs.
            server: Server::start(repo, coldfront_http::Limits { read_ahead: 0, ..limits() }),
            source,
            content,
            film,
            deep_unnamed: deep.trim_end_matches(".mp4").to_owned(),
            deep,
            _tree: tree,
        }
    }

    fn film(&self) -> String {
        format!("{}?filename=film.mp4", ipfs(&self.film.cid))
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        self.server.client().ask(method, target, headers)
    }

    /// Blocks that were asked for since the last call. Fails when one was asked for twice.
    fn taken(&self) -> usize {
        let asked = std::mem::take(&mut *self.source.asked.lock().unwrap());
        for (hash, times) in &asked {
            assert_eq!(*times, 1, "block {hash:02x?} was asked for {times} times");
        }
        asked.len()
    }
}

const LEAVES: [LeafForm; 3] = [LeafForm::Raw, LeafForm::PbRaw, LeafForm::PbFile];
const MIDDLE: [(&str, &str); 1] = [("Range", "bytes=2500000-2500099")];

#[test]
fn head_of_a_file_whose_name_tells_its_type_costs_one_block() {
    for leaf in LEAVES {
        let world = World::new(leaf);
        let head = world.ask("HEAD", &world.film(), &[]);
        assert_eq!(head.expect("content-length"), (5 << 20).to_string());
        assert_eq!(world.taken(), 1);
    }
}

#[test]
fn a_range_inside_a_leaf_costs_the_root_and_that_leaf() {
    for leaf in LEAVES {
        let world = World::new(leaf);
        let part = world.ask("GET", &world.film(), &MIDDLE);
        assert!(part.body == world.content[2_500_000..2_500_100]);
        assert_eq!(world.taken(), 2);
    }
}

#[test]
fn each_folder_of_a_path_costs_one_block_more() {
    for leaf in LEAVES {
        let world = World::new(leaf);
        assert_eq!(world.ask("HEAD", &world.deep, &[]).status, 200);
        assert_eq!(world.taken(), DEPTH + 1);
        let world = World::new(leaf);
        assert_eq!(world.ask("GET", &world.deep, &MIDDLE).status, 206);
        assert_eq!(world.taken(), DEPTH + 2);
    }
}

#[test]
fn a_file_whose_name_tells_nothing_costs_its_first_leaf_once() {
    for leaf in LEAVES {
        let world = World::new(leaf);
        assert_eq!(world.ask("HEAD", &world.deep_unnamed, &[]).status, 200);
        assert_eq!(world.taken(), DEPTH + 2);
        assert_eq!(world.ask("HEAD", &world.deep_unnamed, &[]).status, 200);
        assert_eq!(world.taken(), 0, "the type is remembered");
        let world = World::new(leaf);
        assert_eq!(world.ask("GET", &world.deep_unnamed, &[("Range", "bytes=0-9")]).status, 206);
        assert_eq!(world.taken(), DEPTH + 2, "the leaf of the type is the leaf of the range");
    }
}

#[test]
fn answers_without_content_read_no_leaf() {
    for leaf in LEAVES {
        for (headers, status) in [
            (("If-None-Match", "*"), 304),
            (("If-Match", "\"other\""), 412),
            (("Range", "bytes=5242880-"), 416),
        ] {
            let world = World::new(leaf);
            assert_eq!(world.ask("GET", &world.film(), &[headers]).status, status);
            assert_eq!(world.taken(), 1, "{status}");
        }
    }
}

#[test]
fn a_listing_opens_no_child() {
    let world = World::new(LeafForm::Raw);
    let folder = world.deep.trim_end_matches("film.mp4").to_owned();
    assert_eq!(world.ask("GET", &folder, &[]).status, 200);
    assert_eq!(world.taken(), DEPTH);
}

#[test]
fn a_whole_file_costs_each_of_its_blocks_once() {
    for leaf in LEAVES {
        let world = World::new(leaf);
        assert!(world.ask("GET", &world.film(), &[]).body == world.content);
        assert_eq!(world.taken(), 1 + 20);
    }
}

#[test]
fn several_ranges_cost_the_leaves_they_lie_in() {
    let world = World::new(LeafForm::PbFile);
    let ranges = [("Range", "bytes=5000000-5000009, 0-9, 100-109, 5000100-5000109")];
    assert_eq!(common::multipart(&world.ask("GET", &world.film(), &ranges)).len(), 4);
    assert_eq!(world.taken(), 1 + 2);
}

#[test]
fn a_second_request_for_the_same_costs_nothing() {
    for leaf in LEAVES {
        let world = World::new(leaf);
        for (method, headers) in [("HEAD", vec![]), ("GET", MIDDLE.to_vec()), ("GET", vec![])] {
            world.ask(method, &world.deep, &headers);
            world.taken();
            world.ask(method, &world.deep, &headers);
            assert_eq!(world.taken(), 0, "{method} {headers:?}");
        }
    }
}

#[test]
fn a_raw_block_costs_itself() {
    let world = World::new(LeafForm::Raw);
    let raw = world.ask("GET", &format!("{}?format=raw", ipfs(&world.film.cid)), &[]);
    assert_eq!(raw.status, 200);
    assert_eq!(world.taken(), 1);
}

#[test]
fn a_raw_block_at_the_end_of_a_path_costs_its_parents_and_itself_once() {
    for verify in tree::POLICIES {
        let world = World::verified(LeafForm::PbFile, verify);
        let raw = world.ask("GET", &format!("{}?format=raw", world.deep), &[]);
        assert_eq!(raw.status, 200);
        assert_eq!(testing::cid_of(world.film.cid.codec(), &raw.body), world.film.cid);
        assert_eq!(world.taken(), DEPTH + 1, "{verify:?}");
        let accept = [("Accept", "application/vnd.ipld.raw")];
        let world = World::verified(LeafForm::PbFile, verify);
        assert!(world.ask("GET", &world.deep, &accept).body == raw.body);
        assert_eq!(world.taken(), DEPTH + 1, "{verify:?}");
    }
}

#[test]
fn head_of_a_raw_block_is_a_stat_of_it_unless_blocks_are_verified() {
    for (verify, hashed, sized) in
        [(Verify::Off, 0, 1), (Verify::FirstRead, 1, 0), (Verify::Always, 1, 0)]
    {
        let world = World::verified(LeafForm::Raw, verify);
        let root = format!("{}?format=raw", ipfs(&world.film.cid));
        let head = world.ask("HEAD", &root, &[]);
        assert_eq!(world.taken(), 1, "{verify:?}");
        let stats = world.server.gateway.repo().stats();
        assert_eq!((stats.tiers.hashed, stats.decoded), (hashed, 0), "{verify:?}");
        assert_eq!(world.source.sized.load(Ordering::Relaxed), sized, "{verify:?}");
        let get = world.ask("GET", &root, &[]);
        assert_eq!(head.described(), get.described());
        assert_eq!(head.expect("content-length"), get.body.len().to_string());
    }
    let world = World::new(LeafForm::Raw);
    let end = world.ask("HEAD", &format!("{}?format=raw", world.deep), &[]);
    assert_eq!(end.status, 200);
    assert_eq!((world.taken(), world.source.sized.load(Ordering::Relaxed)), (DEPTH + 1, 1));
    assert_eq!(world.server.gateway.repo().stats().decoded, DEPTH as u64);
}

#[test]
fn a_miss_asks_once() {
    let world = World::new(LeafForm::Raw);
    let missing = ipfs(&testing::cid_of(coldfront::block::RAW, b"nowhere"));
    for _ in 0..2 {
        assert_eq!(world.ask("GET", &missing, &[]).status, 404);
        assert_eq!(world.taken(), 1);
    }
}
