//! Trees and repositories for the tests, and the golden ones unpacked.
//!
//! Writes what go-ds-flatfs would have written; the crate under test cannot write.

#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coldfront::block::RAW;
use coldfront::store::memory::Memory;
use coldfront::unixfs::testing;
use coldfront::{ArchiveOptions, Block, BlockSource, Cid, Node, Repo, RepoOptions, Verify};
use coldfront_flatfs::{BlockFile, FlatFs, Key, ShardFn};
use tempfile::TempDir;

pub(crate) const POLICIES: [Verify; 3] = [Verify::Off, Verify::FirstRead, Verify::Always];

/// A flatfs tree of its own in a temporary directory.
pub(crate) struct Tree {
    dir: TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Tree::in_dir(tempfile::tempdir().unwrap())
    }

    /// In a folder below `parent`, to choose the file system.
    pub(crate) fn new_in(parent: &str) -> Self {
        Tree::in_dir(tempfile::tempdir_in(parent).unwrap())
    }

    fn in_dir(dir: TempDir) -> Self {
        let tree = Tree { dir };
        fs::create_dir(tree.root()).unwrap();
        fs::write(tree.root().join("SHARDING"), format!("{}\n", ShardFn::default())).unwrap();
        tree
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("blocks")
    }

    /// Where the block of a CID lies.
    pub(crate) fn path(&self, cid: &Cid) -> PathBuf {
        self.path_of_key(&cid.hash().to_bytes())
    }

    pub(crate) fn path_of_key(&self, key: &[u8]) -> PathBuf {
        let text = Key::new(key).text();
        let shard = String::from_utf8(ShardFn::default().shard_of(&text)).unwrap();
        self.root().join(shard).join(format!("{text}.data"))
    }

    pub(crate) fn put(&self, block: &Block) {
        self.put_as(&block.cid().hash().to_bytes(), block.data());
    }

    pub(crate) fn put_as(&self, key: &[u8], data: &[u8]) {
        let path = self.path_of_key(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }

    /// As if nothing had been added to any shard directory for an hour.
    pub(crate) fn settle(&self) {
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        for entry in fs::read_dir(self.root()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::File::open(path).unwrap().set_modified(hour_ago).unwrap();
            }
        }
    }

    /// Takes blocks out of the page cache. `false`, with a sentence: this file system keeps everything in
    /// memory, or cannot tell.
    pub(crate) fn chill(&self, cids: &[Cid]) -> bool {
        let probe = content(100_000, 22);
        let other = Block::verified(testing::cid_of(RAW, &probe), probe.into()).unwrap();
        self.put(&other);
        let all: Vec<Cid> = cids.iter().copied().chain([*other.cid()]).collect();
        // Only what is on the disk can be dropped.
        all.iter().for_each(|cid| fs::File::open(self.path(cid)).unwrap().sync_all().unwrap());
        // Pages that were just written may be busy for a moment, and are then kept.
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(20));
            all.iter().map(|cid| self.open(cid)).for_each(|file| file.dont_need(0, file.len()));
        }
        let is_cold = !self.is_warm(other.cid());
        if !is_cold {
            eprintln!("SKIPPED: this file system keeps everything in memory, or cannot tell");
        }
        is_cold
    }

    /// Whether a page of the middle of a block is in the page cache, or on its way. Kernels before 6.5 do
    /// not tell without a read, which brings it there before long.
    pub(crate) fn is_warm(&self, cid: &Cid) -> bool {
        let file = self.open(cid);
        let middle = file.len() * 3 / 8;
        let is_there = || file.read_now(&mut [0; 1], middle).unwrap().is_some();
        file.is_cached(middle, 1).unwrap_or_else(is_there)
    }

    pub(crate) fn open(&self, cid: &Cid) -> BlockFile {
        let flatfs = FlatFs::open(self.root()).unwrap();
        flatfs.open_block(Key::new(&cid.hash().to_bytes())).unwrap().unwrap()
    }

    pub(crate) fn options(&self) -> ArchiveOptions {
        ArchiveOptions::new(self.root())
    }

    pub(crate) fn repo(&self, verify: Verify) -> Repo {
        open([self], verify)
    }
}

/// A repository over several trees, the first to be asked first.
pub(crate) fn open<'a>(trees: impl IntoIterator<Item = &'a Tree>, verify: Verify) -> Repo {
    let archives = trees.into_iter().map(Tree::options).collect();
    Repo::open(&RepoOptions { archives, verify, ..RepoOptions::default() }).unwrap()
}

/// A repository over one source of any kind.
pub(crate) fn over(source: Arc<dyn BlockSource>, verify: Verify) -> Repo {
    let options = RepoOptions { verify, ..RepoOptions::default() };
    Repo::from_sources([("memory".to_owned(), source)], &options)
}

pub(crate) fn over_memory(memory: Memory, verify: Verify) -> Repo {
    over(Arc::new(memory), verify)
}

/// Changes one bit of a file in place, as a disk might, but with the times a write leaves.
pub(crate) fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    overwrite(path, &bytes);
}

/// Writes a file in place: open descriptors see it.
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// The node that `/ipfs/CID` leads to.
pub(crate) fn node(repo: &Repo, cid: &Cid) -> Arc<Node> {
    repo.resolve(&coldfront::ContentPath::new(*cid)).unwrap().node
}

pub(crate) fn size(node: &Node) -> u64 {
    match node {
        Node::File(file) => file.size(),
        other => panic!("{other:?} is no file"),
    }
}

/// All bytes of a range through the iterator; the first error ends it.
pub(crate) fn read(
    repo: &Repo,
    node: &Arc<Node>,
    range: impl std::ops::RangeBounds<u64>,
) -> Result<Vec<u8>, coldfront::ReadError> {
    let mut all = Vec::new();
    for bytes in repo.read(node, range) {
        all.extend_from_slice(&bytes?);
    }
    Ok(all)
}

/// Bytes that do not repeat in any period of a chunker.
pub(crate) fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A golden repository, unpacked.
pub(crate) struct Golden {
    dir: TempDir,
    pub(crate) name: String,
    pub(crate) expected: serde_json::Value,
}

impl Golden {
    pub(crate) fn unpack(folder: &Path, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let archive = folder.join(format!("{name}.tar.gz"));
        let tar = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(dir.path()).status();
        assert!(tar.unwrap().success(), "tar cannot unpack {}", archive.display());
        let expected = fs::read(folder.join(format!("{name}.expected.json"))).unwrap();
        Golden { dir, name: name.into(), expected: serde_json::from_slice(&expected).unwrap() }
    }

    /// The project's own repository of this name.
    pub(crate) fn own(name: &str) -> Self {
        Golden::unpack(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    pub(crate) fn repo(&self, verify: Verify) -> Repo {
        let archives = vec![ArchiveOptions::new(self.root())];
        Repo::open(&RepoOptions { archives, verify, ..RepoOptions::default() }).unwrap()
    }

    pub(crate) fn cid(&self, label: &str) -> Cid {
        self.expected["roots"][label].as_str().unwrap().parse().unwrap()
    }
}

/// Every golden repository that is at hand, unpacked, whatever its stores: the project's own, and those of a folder
/// `../shared/golden` beside the checkout, or that `COLDFRONT_GOLDEN` names.
pub(crate) fn each_golden(check: impl Fn(&Golden)) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("COLDFRONT_GOLDEN")
        .map_or_else(|| manifest.join("../../shared/golden"), PathBuf::from);
    for folder in [manifest.join("tests/golden"), shared] {
        if !folder.is_dir() {
            eprintln!("there is no {}: it is not read", folder.display());
            continue;
        }
        for name in repositories_in(&folder) {
            eprintln!("reading {}", folder.join(&name).display());
            check(&Golden::unpack(&folder, &name));
        }
    }
}

fn repositories_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter_map(|name| Some(name.strip_suffix(".tar.gz")?.to_owned()));
    let answered = |name: &String| folder.join(format!("{name}.expected.json")).is_file();
    let mut names: Vec<_> = names.filter(answered).collect();
    names.sort();
    names
}

/// The pins that `ipfs pin ls --names` shows, of both modes.
pub(crate) fn expected_pins(golden: &Golden) -> BTreeMap<String, (bool, String)> {
    let modes = [("recursive", true), ("direct", false)];
    let pins = modes.iter().flat_map(|(mode, recursive)| {
        let all = golden.expected["pin_ls"][mode].as_array().unwrap();
        all.iter().map(|pin| {
            let name = pin["Name"].as_str().unwrap_or_default().to_owned();
            (pin["Cid"].as_str().unwrap().to_owned(), (*recursive, name))
        })
    });
    pins.collect()
}

/// Every file's path, size, time of change and hash.
pub(crate) fn files_of(root: &Path) -> Vec<(PathBuf, u64, i64, i64, Vec<u8>)> {
    let (mut all, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let mut hash = Vec::new();
            match stat.is_dir() {
                true => folders.push(path.clone()),
                false => hash = sha2_256(&fs::read(&path).unwrap()),
            }
            all.push((path, stat.len(), stat.mtime(), stat.mtime_nsec(), hash));
        }
    }
    all.sort();
    all
}

fn sha2_256(bytes: &[u8]) -> Vec<u8> {
    coldfront::multihash::digest(0x12, 32, bytes).unwrap().as_bytes().to_vec()
}
