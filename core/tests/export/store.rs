//! Hot stores to be exported.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use coldfront::block::RAW;
use coldfront::migrate::export::{Carried, ExportError, ExportOptions, ExportReport, export};
use coldfront::pin::PinIndex;
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, BlockStore, Cid};

/// An identity that Kubo takes; made for these tests.
pub(crate) const CONFIG: &str = r#"{"Identity":{"PeerID":"12D3KooWQgxMRP3Th8cA9T9KN56UgmJZXzh5C8dLJg9uR1NkYs3C","PrivKey":"CAESQA=="}}"#;

pub(crate) fn open(folder: &Path) -> HotStore {
    let options = HotOptions { memory: 32 << 20, ..HotOptions::new(folder.join("hot")) };
    HotStore::open(&options).unwrap()
}

pub(crate) fn block(n: usize, len: usize) -> Block {
    let data: Vec<u8> = (0..len.max(8)).map(|at| (at * 7 + n * 13 + at / 251 * n) as u8).collect();
    let data = [&(n as u64).to_be_bytes()[..], &data[8..]].concat();
    Block::verified(cid_of(RAW, &data), data.into()).unwrap()
}

/// A folder for a test: in memory where there is room for files there, since an export waits for the whole file system that
/// it writes to, and so for whoever else writes there.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.unwrap()
}

/// Small blocks, and some large ones.
pub(crate) fn fill(hot: &HotStore, numbers: std::ops::Range<usize>) -> Vec<Block> {
    let blocks: Vec<_> =
        numbers.map(|n| block(n, if n % 10 == 0 { 70_000 } else { 40 + n % 100 })).collect();
    hot.put(&blocks).unwrap();
    hot.sync().unwrap();
    blocks
}

pub(crate) fn carried() -> Carried {
    Carried { config: Some(CONFIG.into()), ..Carried::default() }
}

pub(crate) fn run(
    hot: &HotStore,
    below: Vec<Arc<dyn BlockSource>>,
    options: &ExportOptions,
) -> Result<ExportReport, ExportError> {
    let pins = PinIndex::new(hot, below.clone());
    export(&pins, &below, &carried(), options, &mut |_| ControlFlow::Continue(()))
}

/// Every file of a tree by its path below it, and its bytes.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// The name of a block's file, without its folder.
pub(crate) fn file_name(cid: &Cid) -> String {
    format!("{}.data", coldfront_flatfs::Key::new(&cid.hash().to_bytes()).text())
}

/// The bytes of the block files of a repository, by file name.
pub(crate) fn blocks_of(repo: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = files(&repo.join("blocks")).into_iter();
    let files = files.filter(|(name, _)| name.ends_with(".data"));
    files.map(|(name, data)| (name.rsplit('/').next().unwrap().to_owned(), data)).collect()
}

pub(crate) fn expected(blocks: &[Block]) -> BTreeMap<String, Vec<u8>> {
    blocks.iter().map(|block| (file_name(block.cid()), block.data().to_vec())).collect()
}
