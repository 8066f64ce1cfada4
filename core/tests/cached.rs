//! The cached tier: within its bound whatever is put, nothing that was not put, and never confused with what is pinned.

#![cfg(feature = "hot")]
#![allow(clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use coldfront::block::{DAG_CBOR, RAW};
use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::{NewPin, PinError, PinIndex};
use coldfront::store::cache::{Cache, CacheOptions};
use coldfront::store::contract;
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, BlockStore, Cid, ReadError, Repo, RepoOptions, Verify};

const MIB: u64 = 1 << 20;
const BOUND: u64 = 130 * MIB;

fn options(folder: &Path) -> CacheOptions {
    CacheOptions::new(folder.join("cache"), BOUND)
}

fn open(folder: &Path) -> Cache {
    Cache::open(&options(folder)).unwrap()
}

fn hot(folder: &Path) -> HotStore {
    let options = HotOptions { memory: 16 * MIB, ..HotOptions::new(folder.join("hot")) };
    HotStore::open(&options).unwrap()
}

fn block(codec: u64, data: Vec<u8>) -> Block {
    Block::verified(cid_of(codec, &data), data.into()).unwrap()
}

fn leaf(number: u32, len: usize) -> Block {
    let mut data = vec![number as u8; len];
    data[..4].copy_from_slice(&number.to_be_bytes());
    block(RAW, data)
}

fn node(links: &[Cid]) -> Block {
    let mut data = vec![0x80 | links.len() as u8];
    for link in links {
        let bytes = link.to_bytes();
        data.extend_from_slice(&[0xd8, 42, 0x58, bytes.len() as u8 + 1, 0]);
        data.extend_from_slice(&bytes);
    }
    block(DAG_CBOR, data)
}

fn on_disk(folder: &Path) -> u64 {
    let files = fs::read_dir(folder.join("cache")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn held(cache: &Cache, block: &Block) -> bool {
    let found = cache.get(block.cid()).unwrap();
    assert!(found.as_ref().is_none_or(|found| found.data() == block.data()));
    found.is_some()
}

#[test]
fn a_cache_keeps_the_contract_of_stores() {
    let folder = tempfile::tempdir().unwrap();
    contract::check_store(&open(folder.path()));
}

#[test]
fn filled_to_three_times_its_bound_it_stays_within_and_holds_what_came_last() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    let len = 500_000;
    let count = (3 * BOUND / len as u64) as u32;
    for number in 0..count {
        cache.put(&[leaf(number, len)]).unwrap();
        if number % 50 == 0 {
            assert!(on_disk(folder.path()) <= BOUND + BOUND / 5);
        }
    }
    assert!(on_disk(folder.path()) <= BOUND + BOUND / 5, "{}", on_disk(folder.path()));
    assert!(cache.held().0 >= BOUND * 8 / 10);
    let newest = (count - 200)..count;
    assert!(newest.clone().all(|number| held(&cache, &leaf(number, len))));
    assert!(!held(&cache, &leaf(0, len)));
    drop(cache);
    let again = open(folder.path());
    assert!(on_disk(folder.path()) <= BOUND + BOUND / 5);
    assert!(newest.clone().all(|number| held(&again, &leaf(number, len))));
}

#[test]
fn no_more_blocks_are_held_than_the_bound_says() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&CacheOptions { blocks: 1000, ..options(folder.path()) }).unwrap();
    for number in 0..5000 {
        cache.put(&[leaf(number, 100)]).unwrap();
        assert!(cache.held().1 <= 1000);
    }
    assert!(held(&cache, &leaf(4999, 100)));
}

#[test]
fn what_a_crash_leaves_half_written_is_dropped_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    {
        let cache = open(folder.path());
        (0..30).for_each(|number| cache.put(&[leaf(number, 500_000)]).unwrap());
    }
    let mut files: Vec<_> = fs::read_dir(folder.path().join("cache"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "blocks"))
        .collect();
    files.sort();
    assert!(files.len() > 1);
    let last = OpenOptions::new().write(true).open(files.last().unwrap()).unwrap();
    last.set_len(last.metadata().unwrap().len() - 1).unwrap();
    let cache = open(folder.path());
    assert!(held(&cache, &leaf(0, 500_000)) && !held(&cache, &leaf(29, 500_000)));
    cache.put(&[leaf(29, 500_000)]).unwrap();
    assert!(held(&cache, &leaf(29, 500_000)));
}

#[test]
fn an_index_that_leads_astray_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    {
        let cache = open(folder.path());
        (0..30).for_each(|number| cache.put(&[leaf(number, 5000)]).unwrap());
    }
    let path = folder.path().join("cache/00000000.blocks");
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    for at in (len - 16 - 30 * 16..len - 16).step_by(16) {
        // Half of the places lead into nowhere, half of them elsewhere.
        let wrong = if at % 32 == 0 { [0xff; 8] } else { [0, 0, 0, 77, 0, 0, 0, 50] };
        file.write_all_at(&wrong, at + 8).unwrap();
    }
    let cache = open(folder.path());
    assert!((0..30).all(|number| !held(&cache, &leaf(number, 5000))));
}

#[test]
fn a_folder_of_something_else_or_in_use_or_too_small_a_bound_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sentence = |options: &CacheOptions| Cache::open(options).unwrap_err().to_string();
    let strange = CacheOptions::new(folder.path(), BOUND);
    fs::write(folder.path().join("holiday.jpg"), "x").unwrap();
    assert!(sentence(&strange).contains("something else"));
    assert!(sentence(&CacheOptions { bytes: MIB, ..options(folder.path()) }).contains("at least"));
    let _open = open(folder.path());
    assert!(sentence(&options(folder.path())).contains("another process"));
}

fn run(pins: &PinIndex) -> u64 {
    collect(pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap().blocks
}

#[test]
fn a_pinned_dag_adopts_its_cached_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let (hot, cache) = (hot(folder.path()), Arc::new(open(folder.path())));
    let leaves: Vec<_> = (0..20).map(|number| leaf(number, 5000)).collect();
    let middle = node(&leaves[..10].iter().map(|leaf| *leaf.cid()).collect::<Vec<_>>());
    let root = node(&[*middle.cid(), *leaves[15].cid()]);
    cache.put(&leaves).unwrap();
    cache.put(std::slice::from_ref(&middle)).unwrap();
    hot.put(std::slice::from_ref(&root)).unwrap();
    let pins = PinIndex::with_cache(&hot, Vec::new(), cache.clone());
    pins.add(&NewPin::new(*root.cid())).unwrap();
    assert_eq!(run(&pins), 0);
    assert_eq!(hot.held().0, 13, "what is pinned and nothing else");
    drop((pins, cache));
    fs::remove_dir_all(folder.path().join("cache")).unwrap();
    for block in leaves[..10].iter().chain([&middle, &root, &leaves[15]]) {
        assert_eq!(hot.get(block.cid()).unwrap().unwrap().data(), block.data());
    }
}

#[test]
fn a_pin_of_one_cached_block_adopts_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let (hot, cache) = (hot(folder.path()), Arc::new(open(folder.path())));
    let one = leaf(1, 5000);
    cache.put(std::slice::from_ref(&one)).unwrap();
    let pins = PinIndex::with_cache(&hot, Vec::new(), cache);
    pins.add_all(&[NewPin::new(*one.cid())]).unwrap();
    assert_eq!(run(&pins), 0);
    assert!(hot.get(one.cid()).unwrap().is_some());
}

#[test]
fn a_cached_block_that_is_bad_is_adopted_by_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let one = leaf(1, 5000);
    {
        open(folder.path()).put(std::slice::from_ref(&one)).unwrap();
    }
    let path = folder.path().join("cache/00000000.blocks");
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"!", 1000).unwrap();
    let (hot, cache) = (hot(folder.path()), Arc::new(open(folder.path())));
    let pins = PinIndex::with_cache(&hot, Vec::new(), cache);
    let error = pins.add(&NewPin::new(*one.cid())).unwrap_err();
    assert!(matches!(error, PinError::Read(ReadError::Missing(_))), "{error:?}");
    assert_eq!(hot.held(), (0, 0));
}

#[test]
fn a_repository_reads_what_is_cached_and_collects_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    for verify in [Verify::Off, Verify::Always] {
        let repo = Repo::open(&RepoOptions {
            hot: Some(HotOptions {
                memory: 16 * MIB,
                ..HotOptions::new(folder.path().join("hot"))
            }),
            cache: Some(options(folder.path())),
            verify,
            ..RepoOptions::default()
        })
        .unwrap();
        let one = leaf(7, 5000);
        repo.cache().unwrap().put(std::slice::from_ref(&one)).unwrap();
        assert_eq!(repo.block(one.cid()).unwrap().unwrap().data(), one.data());
        let pins = repo.pins().unwrap();
        assert_eq!((run(pins), pins.list(None).count()), (0, 0));
        assert!(repo.block(one.cid()).unwrap().is_some());
        assert_eq!(repo.hot().unwrap().held(), (0, 0));
    }
}

#[test]
fn a_pin_of_a_repository_adopts_what_its_cache_holds() {
    let folder = tempfile::tempdir().unwrap();
    let hot = HotOptions { memory: 16 * MIB, ..HotOptions::new(folder.path().join("hot")) };
    let repo = Repo::open(&RepoOptions {
        hot: Some(hot.clone()),
        cache: Some(options(folder.path())),
        ..RepoOptions::default()
    })
    .unwrap();
    let leaves: Vec<_> = (0..4).map(|number| leaf(number, 5000)).collect();
    let root = node(&leaves[..3].iter().map(|leaf| *leaf.cid()).collect::<Vec<_>>());
    let cache = repo.cache().unwrap();
    cache.put(&leaves).unwrap();
    cache.put(std::slice::from_ref(&root)).unwrap();
    repo.pins().unwrap().add(&NewPin::new(*root.cid())).unwrap();
    assert_eq!(run(repo.pins().unwrap()), 0);
    drop(repo);
    fs::remove_dir_all(folder.path().join("cache")).unwrap();
    let repo = Repo::open(&RepoOptions { hot: Some(hot), ..RepoOptions::default() }).unwrap();
    for block in leaves[..3].iter().chain([&root]) {
        assert_eq!(repo.block(block.cid()).unwrap().unwrap().data(), block.data());
    }
    assert!(repo.block(leaves[3].cid()).unwrap().is_none(), "what nobody pinned was the cache's");
}
