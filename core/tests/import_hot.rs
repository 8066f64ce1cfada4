//! Import and the hot store together: what was imported is read back, also after the store was closed, and
//! the store keeps what every store promises.

#![cfg(all(feature = "hot", feature = "import"))]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use coldfront::car::{self, CarWriter};
use coldfront::store::contract;
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::import::{DirectoryOptions, ImportOptions, Importer, Metadata, Tree};
use coldfront::walk::{Repeats, walk};
use coldfront::{BlockSource, Cid, ContentPath, Repo, RepoOptions, Verify};

fn open(folder: &Path) -> Arc<HotStore> {
    let options = HotOptions { memory: 32 << 20, ..HotOptions::new(folder.join("hot")) };
    Arc::new(HotStore::open(&options).unwrap())
}

fn content(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251 + seed) as u8).collect()
}

/// A large file and a sharded directory of small ones.
fn import(store: Arc<HotStore>) -> Cid {
    let directories = DirectoryOptions { threshold: 2000, ..DirectoryOptions::default() };
    let options = ImportOptions { directories, threads: Some(3), ..ImportOptions::cid_v1() };
    let mut importer = Importer::new(&options, store).unwrap();
    let mut tree = Tree::new();
    let large = importer.file(&content(9_000_000, 0)[..], &Metadata::NONE).unwrap();
    tree.insert(b"large", &large).unwrap();
    for i in 0..500 {
        let small = importer.file(&content(3000, i)[..], &Metadata::NONE).unwrap();
        tree.insert(format!("many/{i}").as_bytes(), &small).unwrap();
    }
    let root = tree.finish(&mut importer, &mut |_, _| {}).unwrap();
    importer.finish().unwrap();
    root.cid
}

fn read(repo: &Repo, root: Cid, path: &[&str]) -> Vec<u8> {
    let found = repo.resolve(&ContentPath::with_segments(root, path)).unwrap();
    let mut all = Vec::new();
    for bytes in repo.read(&found.node, ..) {
        all.extend_from_slice(&bytes.unwrap());
    }
    all
}

fn repo(store: Arc<HotStore>) -> Repo {
    let options = RepoOptions { verify: Verify::Always, ..RepoOptions::default() };
    Repo::from_sources([("hot".to_owned(), store as _)], &options)
}

#[test]
fn what_was_imported_is_read_back_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let root = import(open(folder.path()));
    let repo = repo(open(folder.path()));
    assert!(read(&repo, root, &["large"]) == content(9_000_000, 0));
    for i in [0, 1, 255, 499] {
        assert!(read(&repo, root, &["many", &i.to_string()]) == content(3000, i), "{i}");
    }
}

#[test]
fn a_car_goes_in_and_comes_out_the_same() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(one.path());
    let root = import(store.clone());
    let export = |store: &HotStore| {
        let mut writer = CarWriter::new(Vec::new(), &[root]).unwrap();
        for block in walk(&[root], Repeats::default(), |cid| store.get(cid)) {
            writer.put(&block.unwrap()).unwrap();
        }
        writer.finish().unwrap()
    };
    let bytes = export(&store);
    let again = open(other.path());
    let imported = car::import(&bytes[..], &*again).unwrap();
    assert_eq!(imported.roots, [root]);
    assert!(export(&again) == bytes);
}

#[test]
fn the_hot_store_keeps_the_contract_of_stores() {
    let folder = tempfile::tempdir().unwrap();
    contract::check_store(&*open(folder.path()));
}
