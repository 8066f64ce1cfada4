//! The hot store: what was put is there, once, under one id, also after it was closed and opened again.

#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use coldfront::block::{DAG_PB, RAW};
use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::{NewPin, PinError, PinIndex};
use coldfront::store::contract;
use coldfront::store::hot::{HotError, HotOptions, HotStore};
use coldfront::{Block, BlockSource, BlockStore, Cid, Located, ReadError, StoreError};
use sha2::{Digest, Sha256};

const MIB: u64 = 1024 * 1024;

fn cid_of(codec: u64, data: &[u8]) -> Cid {
    let hash = cid::multihash::Multihash::wrap(0x12, &Sha256::digest(data)).unwrap();
    Cid::new_v1(codec, hash)
}

fn block(data: impl Into<Bytes>) -> Block {
    let data = data.into();
    Block::verified(cid_of(RAW, &data), data).unwrap()
}

/// Bytes that differ with the seed and do not compress.
fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Of every kind: empty, below and above the border of blob files, as long as a block may be.
fn blocks() -> Vec<Block> {
    [0, 1, 100, 4095, 4096, 4097, 262_144, 2 * MIB as usize, 8 * MIB as usize]
        .into_iter()
        .map(|len| block(random(len, len as u64)))
        .collect()
}

fn options(folder: &Path) -> HotOptions {
    HotOptions { memory: 32 * MIB, ..HotOptions::new(folder.join("hot")) }
}

fn hot(error: StoreError) -> HotError {
    match error {
        StoreError::Hot(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_put_is_there_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (blocks, absent) = (blocks(), cid_of(RAW, b"absent"));
    {
        let store = HotStore::open(&options(folder.path())).unwrap();
        store.put(&blocks).unwrap();
        contract::check(&store, &blocks, &absent);
        store.sync().unwrap();
        contract::check(&store, &blocks, &absent);
    }
    let store = HotStore::open(&options(folder.path())).unwrap();
    contract::check(&store, &blocks, &absent);
}

#[test]
fn a_store_that_takes_blocks_keeps_its_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract::check_store(&HotStore::open(&options(folder.path())).unwrap());
    contract::check_store(
        &HotStore::open(&options(&folder.path().join("leased"))).unwrap().leased(),
    );
    contract::check_store(
        &HotStore::open(&options(&folder.path().join("bulk"))).unwrap().bulk("x"),
    );
}

#[test]
fn a_block_that_is_put_twice_is_held_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = HotStore::open(&options(folder.path())).unwrap();
    let one = block(random(5000, 1));
    let same = Block::verified(cid_of(DAG_PB, one.data()), one.data().clone()).unwrap();
    store.put(&[one.clone(), one.clone(), same]).unwrap();
    store.put(&[one]).unwrap();
    assert_eq!(store.held(), (1, 5000));
}

#[test]
fn what_is_held_is_counted_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (blocks, bytes) = (blocks(), blocks().iter().map(|block| block.data().len() as u64).sum());
    {
        let store = HotStore::open(&options(folder.path())).unwrap();
        store.put(&blocks[..4]).unwrap();
        store.bulk("rest").put(&blocks[4..]).unwrap();
        assert_eq!(store.held(), (blocks.len() as u64, bytes));
        store.bulk("rest").flush().unwrap();
    }
    let store = HotStore::open(&options(folder.path())).unwrap();
    assert_eq!(store.held(), (blocks.len() as u64, bytes));
}

#[test]
fn an_identity_block_is_in_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = HotStore::open(&options(folder.path())).unwrap();
    let cid = Cid::new_v1(RAW, cid::multihash::Multihash::wrap(0, b"inline").unwrap());
    store.put(&[Block::verified(cid, Bytes::from_static(b"inline")).unwrap()]).unwrap();
    assert_eq!(store.held(), (0, 0));
}

#[test]
fn a_block_that_is_too_large_is_refused_and_the_batch_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = HotStore::open(&options(folder.path())).unwrap();
    let (small, large) = (block("small"), block(vec![0; 8 * MIB as usize + 1]));
    let error = store.put(&[small.clone(), large]).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { len, .. } if len == 8 * MIB + 1), "{error}");
    assert_eq!(store.size(small.cid()).unwrap(), None);
    assert_eq!(store.held(), (0, 0));
}

#[test]
fn a_mark_is_found_again_with_the_blocks_that_it_speaks_for() {
    let folder = tempfile::tempdir().unwrap();
    let one = block(random(10_000, 3));
    {
        let store = HotStore::open(&options(folder.path())).unwrap();
        let bulk = store.bulk("import");
        assert_eq!(bulk.mark().unwrap(), None);
        bulk.put_with_mark(std::slice::from_ref(&one), b"shard 7").unwrap();
        bulk.flush().unwrap();
    }
    let store = HotStore::open(&options(folder.path())).unwrap();
    assert_eq!(store.bulk("import").mark().unwrap().unwrap(), b"shard 7");
    assert_eq!(store.bulk("other").mark().unwrap(), None);
    assert!(store.get(one.cid()).unwrap().is_some());
    store.bulk("import").finish().unwrap();
    assert_eq!(store.bulk("import").mark().unwrap(), None);
}

#[test]
fn writers_of_the_same_blocks_agree() {
    let folder = tempfile::tempdir().unwrap();
    let store = HotStore::open(&options(folder.path())).unwrap();
    let all: Arc<Vec<Block>> = Arc::new((0..200).map(|seed| block(random(600, seed))).collect());
    let reads = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let (store, all, reads) = (store.clone(), all.clone(), reads.clone());
            scope.spawn(move || {
                let bulk = (writer % 3 == 0).then(|| store.bulk("import"));
                for at in 0..all.len() {
                    let some = &all[(at * 7 + writer) % all.len()..][..1];
                    match &bulk {
                        Some(bulk) => bulk.put(some).unwrap(),
                        None => store.put(some).unwrap(),
                    }
                    if at % 20 == 0 {
                        store.sync().unwrap();
                    }
                    let found = store.get(some[0].cid()).unwrap().unwrap();
                    assert_eq!(found.data(), some[0].data());
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(reads.load(Ordering::Relaxed), 6 * 200);
    assert_eq!(store.held(), (200, 200 * 600));
}

#[test]
fn a_store_that_is_open_is_not_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = HotStore::open(&options(folder.path())).unwrap();
    let again = HotStore::open(&options(folder.path()));
    assert!(matches!(hot(again.unwrap_err()), HotError::Locked { .. }));
    drop(store);
    HotStore::open(&options(folder.path())).unwrap();
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hot");
    drop(rocksdb::DB::open_default(&path).unwrap());
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let error = hot(HotStore::open(&options(folder.path())).unwrap_err());
    assert!(error.to_string().contains("a RocksDB database of another program"), "{error}");
    assert_eq!(names(), before);
}

#[test]
fn a_store_that_lost_a_file_says_that_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = HotStore::open(&options(folder.path())).unwrap();
    store.put(&blocks()).unwrap();
    store.bulk("flush").flush().unwrap();
    drop(store);
    let database = folder.path().join("hot/db");
    std::fs::remove_file(database.join("CURRENT")).unwrap();
    let error = hot(HotStore::open(&options(folder.path())).unwrap_err());
    assert!(matches!(error, HotError::Damaged { .. } | HotError::Engine { .. }), "{error}");
    // What is left of it was not replaced by an empty store.
    let blobs = std::fs::read_dir(&database)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "blob"));
    assert!(blobs.count() > 0);
}

#[test]
fn a_crash_while_the_store_is_made_leaves_one_that_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    drop(HotStore::open(&options(folder.path())).unwrap());
    let path = folder.path().join("hot");
    std::fs::rename(path.join("db"), path.join("db.new")).unwrap();
    std::fs::remove_file(path.join("db.new/CURRENT")).unwrap();
    let store = HotStore::open(&options(folder.path())).unwrap();
    store.put(&blocks()).unwrap();
    contract::check(&store, &blocks(), &cid_of(RAW, b"absent"));
}

#[test]
fn where_only_the_reserve_is_left_nothing_new_is_taken_and_garbage_is_collected() {
    let folder = tempfile::tempdir().unwrap();
    let held = [block("kept"), block("garbage")];
    {
        let hot = HotStore::open(&options(folder.path())).unwrap();
        hot.put(&held).unwrap();
        PinIndex::new(&hot, Vec::new()).add(&NewPin::new(*held[0].cid())).unwrap();
    }
    let all = HotOptions { reserve: Some(u64::MAX / 2), ..options(folder.path()) };
    let store = HotStore::open(&all).unwrap();
    let error = store.put(&[block("new")]).unwrap_err();
    assert!(error.is_full() && error.to_string().contains("unpin and collect"), "{error}");
    store.put(&held).unwrap();
    assert!(matches!(hot(error), HotError::Reserve { .. }));
    let pins = PinIndex::new(&store, Vec::new());
    for refused in [
        pins.add(&NewPin::new(*held[1].cid())),
        pins.add_all(&[NewPin::new(*held[1].cid())]),
        pins.adopt(&[(NewPin::new(*held[1].cid()), 0)]),
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, PinError::Read(ReadError::Store(error)) if error.is_full()));
    }
    let run = || collect(&pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(()));
    assert_eq!(run().unwrap().blocks, 1);
    pins.remove(held[0].cid(), true).unwrap();
    assert_eq!(run().unwrap().blocks, 1);
}

fn names(folder: &Path, end: &str) -> usize {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter(|file| file.file_name().to_string_lossy().ends_with(end)).count()
}

#[test]
fn the_payload_may_lie_in_a_folder_of_its_own_which_is_remembered_and_may_move() {
    let folder = tempfile::tempdir().unwrap();
    let (payload, moved) = (folder.path().join("disks/payload"), folder.path().join("moved"));
    let elsewhere = HotOptions { payload: Some(payload.clone()), ..options(folder.path()) };
    let all = blocks();
    {
        let hot = HotStore::open(&elsewhere).unwrap();
        let bulk = hot.bulk("import");
        bulk.put(&all).unwrap();
        bulk.flush().unwrap();
        assert!(names(&payload, ".blob") > 0);
        assert_eq!(names(&folder.path().join("hot/db"), ".blob"), 0);
    }
    let read = |options: &HotOptions| {
        let hot = HotStore::open(options).unwrap();
        for block in &all {
            assert_eq!(hot.get(block.cid()).unwrap().unwrap().data(), block.data());
            // From its file, as beside the index.
            let is_long = block.data().len() >= 4096;
            let is_sent = matches!(hot.locate(block.cid()).unwrap(), Some(Located::Extent(_)));
            assert_eq!(is_sent, is_long, "{} bytes", block.data().len());
        }
        let garbage = HotStore::settle(&hot).unwrap();
        assert!(garbage.blobs > 0);
    };
    read(&options(folder.path()));
    read(&elsewhere);
    std::fs::rename(&payload, &moved).unwrap();
    let away = hot(HotStore::open(&options(folder.path())).unwrap_err());
    assert!(
        matches!(&away, HotError::PayloadAway { payload: told, .. } if *told == payload),
        "{away}"
    );
    assert!(!payload.exists());
    read(&HotOptions { payload: Some(moved), ..options(folder.path()) });
    read(&options(folder.path()));
}

#[test]
fn a_store_that_was_made_in_one_folder_stays_in_one_and_a_strange_payload_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(HotStore::open(&options(folder.path())).unwrap());
    let late = HotOptions { payload: Some(folder.path().join("late")), ..options(folder.path()) };
    assert!(matches!(hot(HotStore::open(&late).unwrap_err()), HotError::PayloadInside { .. }));
    let strange = folder.path().join("strange");
    std::fs::create_dir(&strange).unwrap();
    std::fs::write(strange.join("holiday.jpg"), "x").unwrap();
    let path = folder.path().join("other");
    let other = HotOptions { path, payload: Some(strange), ..options(folder.path()) };
    assert!(matches!(hot(HotStore::open(&other).unwrap_err()), HotError::Foreign { .. }));
}

#[test]
fn the_payload_of_another_store_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| HotOptions {
        path: folder.path().join(name),
        payload: Some(folder.path().join(format!("{name}-payload"))),
        ..options(folder.path())
    };
    let (full, empty) = (at("full"), at("empty"));
    {
        let hot = HotStore::open(&full).unwrap();
        let bulk = hot.bulk("import");
        bulk.put(&blocks()).unwrap();
        bulk.flush().unwrap();
        drop(HotStore::open(&empty).unwrap());
    }
    // A store without blocks would take all files there for left over ones, and remove them.
    let swapped = HotOptions { payload: full.payload.clone(), ..empty.clone() };
    let away = hot(HotStore::open(&swapped).unwrap_err());
    assert!(matches!(away, HotError::PayloadAway { .. }), "{away}");
    let store = HotStore::open(&full).unwrap();
    assert!(blocks().iter().all(|block| store.get(block.cid()).unwrap().is_some()));
    // What was remembered has not changed.
    HotStore::open(&HotOptions { payload: None, ..empty }).unwrap();
}

#[test]
fn a_crash_while_a_store_with_a_payload_elsewhere_is_made_leaves_one_that_can_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let payload = folder.path().join("payload");
    let elsewhere = HotOptions { payload: Some(payload.clone()), ..options(folder.path()) };
    drop(HotStore::open(&elsewhere).unwrap());
    let hot = folder.path().join("hot");
    // After the marker; after the note; after the database was begun, whose files may lie in the payload's folder.
    for step in 0..3 {
        if step == 0 {
            std::fs::remove_file(hot.join("PAYLOAD")).unwrap();
        }
        if step == 2 {
            std::fs::rename(hot.join("db"), hot.join("db.new")).unwrap();
            std::fs::remove_file(hot.join("db.new/CURRENT")).unwrap();
        } else {
            std::fs::remove_dir_all(hot.join("db")).unwrap();
        }
        let store = HotStore::open(&elsewhere).unwrap();
        store.put(&blocks()).unwrap();
        contract::check(&store, &blocks(), &cid_of(RAW, b"absent"));
        drop(store);
        // As it is when nothing was flushed yet.
        for file in std::fs::read_dir(&payload).unwrap().flatten() {
            if file.file_name() != "COLDFRONT-PAYLOAD" {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
    }
}
