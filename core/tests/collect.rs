//! Collections beside everything else: writers, readers, pins and unpins over shared blocks, all at once. Every
//! promise that was made holds, and in the end every byte that nobody pinned is gone.
//!
//! `COLDFRONT_STRESS_SECONDS=600` makes a long run of it.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coldfront::block::{DAG_CBOR, RAW};
use coldfront::gc::schedule::{Due, tend};
use coldfront::gc::{CollectOptions, Collected, collect};
use coldfront::pin::{NewPin, PinError, PinIndex, PinStatus};
use coldfront::store::hot::{HotError, HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, BlockStore, Cid, ReadError, StoreError};

const SECONDS: &str = "COLDFRONT_STRESS_SECONDS";
const WRITERS: u64 = 8;
const READERS: u64 = 8;
/// DAGs that a writer has pinned at a time.
const PINNED: usize = 12;
/// Different leaves there are, so that writers share most of theirs.
const LEAVES: usize = 64;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

fn block(codec: u64, data: Vec<u8>) -> Block {
    Block::verified(cid_of(codec, &data), data.into()).unwrap()
}

fn leaf(n: usize) -> Block {
    block(RAW, vec![n as u8; if n.is_multiple_of(4) { 6000 } else { 200 }])
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

/// A root over two nodes over leaves, all of which others may have as well.
fn dag(random: &mut Random) -> Vec<Block> {
    let mut some = || -> Vec<Block> { (0..4).map(|_| leaf(random.below(LEAVES))).collect() };
    let (left, right) = (some(), some());
    let cids = |blocks: &[Block]| blocks.iter().map(|block| *block.cid()).collect::<Vec<_>>();
    let nodes = [node(&cids(&left)), node(&cids(&right))];
    let root = node(&cids(&nodes));
    left.into_iter().chain(right).chain(nodes).chain([root]).collect()
}

struct Stress {
    hot: HotStore,
    pins: PinIndex,
    over: AtomicBool,
    added: AtomicU64,
    read: AtomicU64,
    collected: AtomicU64,
    /// Roots that are pinned now by some writer who will not unpin them while this is read.
    shown: Mutex<VecDeque<Vec<Block>>>,
}

impl Stress {
    fn go_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// Every block of a pinned DAG is there, with its bytes.
    fn is_whole(&self, dag: &[Block]) {
        for block in dag {
            let found = self.hot.get(block.cid()).unwrap();
            assert!(found.is_some_and(|found| found.data() == block.data()), "{}", block.cid());
        }
    }

    /// Adds DAGs under a lease and pins them; unpins the oldest. Every root is this writer's own pin, told
    /// from others' by a leaf of its own.
    fn write(&self, number: u64) {
        let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut mine: VecDeque<Vec<Block>> = VecDeque::new();
        let mut serial = 0u64;
        while self.go_on() {
            let mut dag = dag(&mut random);
            serial += 1;
            let own = block(RAW, [number.to_be_bytes(), serial.to_be_bytes()].concat());
            let root = node(&[*own.cid(), *dag[dag.len() - 1].cid()]);
            dag.extend([own, root.clone()]);
            // Some are logged, some are not, some from their middle on.
            let lease = self.hot.leased().bulk_from([0, 6000, u64::MAX][random.below(12).min(2)]);
            for some in dag.chunks(5) {
                lease.put(some).unwrap();
            }
            self.pins.add(&NewPin::new(*root.cid())).unwrap();
            drop(lease);
            self.is_whole(&dag);
            self.added.fetch_add(1, Ordering::Relaxed);
            mine.push_back(dag);
            if random.below(3) == 0 {
                self.change(&mut mine, &mut random);
            }
            while mine.len() > PINNED {
                self.unpin(mine.pop_front().unwrap());
            }
        }
        mine.into_iter().for_each(|dag| {
            self.is_whole(&dag);
            self.unpin(dag);
        });
    }

    fn unpin(&self, dag: Vec<Block>) {
        let root = *dag[dag.len() - 1].cid();
        // Nobody reads it from here on.
        self.shown.lock().unwrap().retain(|shown| shown[shown.len() - 1].cid() != &root);
        self.is_whole(&dag);
        self.pins.remove(&root, true).unwrap();
    }

    /// Shows one to the readers, or pins a part of one and unpins it again.
    fn change(&self, mine: &mut VecDeque<Vec<Block>>, random: &mut Random) {
        let dag = mine[random.below(mine.len())].clone();
        if random.below(2) == 0 {
            self.shown.lock().unwrap().push_back(dag);
            return;
        }
        let part = *dag[random.below(dag.len() - 1)].cid();
        // Another writer may have the same part pinned, and unpin it first.
        self.pins.add(&NewPin::new(part)).unwrap();
        match self.pins.remove(&part, true) {
            Ok(()) | Err(PinError::NotPinned(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&self, number: u64) {
        let mut random = Random(number.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
        while self.go_on() {
            let shown = self.shown.lock().unwrap();
            if shown.is_empty() {
                drop(shown);
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let dag = &shown[random.below(shown.len())];
            self.is_whole(dag);
            let status = self.pins.status(dag[random.below(dag.len())].cid()).unwrap();
            assert_ne!(status, PinStatus::NotPinned);
            drop(shown);
            // What is not pinned may be there or not, but never with other bytes.
            let any = leaf(random.below(LEAVES));
            if let Some(found) = self.hot.get(any.cid()).unwrap() {
                assert_eq!(found.data(), any.data());
            }
            self.read.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn collect(&self) -> Collected {
        let options = CollectOptions::default();
        collect(&self.pins, &options, &mut |_| ControlFlow::Continue(())).unwrap()
    }
}

#[test]
fn every_promise_holds_beside_collections_and_nothing_stays_in_the_end() {
    let seconds = std::env::var(SECONDS).map_or(4, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let options =
        HotOptions { memory: 16 * 1024 * 1024, ..HotOptions::new(folder.path().join("hot")) };
    let hot = HotStore::open(&options).unwrap();
    let stress = Stress {
        pins: PinIndex::new(&hot, Vec::new()),
        hot,
        over: AtomicBool::new(false),
        added: AtomicU64::new(0),
        read: AtomicU64::new(0),
        collected: AtomicU64::new(0),
        shown: Mutex::default(),
    };
    std::thread::scope(|scope| {
        (1..=WRITERS).for_each(|n| {
            drop(scope.spawn({
                let s = &stress;
                move || s.write(n)
            }))
        });
        (1..=READERS).for_each(|n| {
            drop(scope.spawn({
                let s = &stress;
                move || s.read(n)
            }))
        });
        scope.spawn(|| {
            while stress.go_on() {
                stress.collected.fetch_add(stress.collect().blocks, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            let until = Instant::now() + Duration::from_secs(seconds);
            while Instant::now() < until {
                stress.pins.list(None).for_each(|pin| drop(pin.unwrap()));
                stress.pins.indirect().for_each(|cid| assert!(cid.is_ok()));
                std::thread::sleep(Duration::from_millis(20));
            }
            stress.over.store(true, Ordering::Relaxed);
        });
    });
    let [added, read, collected] =
        [&stress.added, &stress.read, &stress.collected].map(|count| count.load(Ordering::Relaxed));
    eprintln!("{added} DAGs added, {read} read, {collected} blocks collected meanwhile");
    assert!(added > 0 && read > 0 && collected > 0);
    assert_eq!(stress.pins.list(None).count(), 0);
    assert_eq!(stress.pins.indirect().count(), 0);
    stress.collect();
    assert_eq!(stress.hot.held(), (0, 0));
}

#[test]
fn one_collection_runs_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
    hot.put(&[leaf(1)]).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    let options = CollectOptions::default();
    let mut second = None;
    collect(&pins, &options, &mut |_| {
        second = Some(collect(&pins, &options, &mut |_| ControlFlow::Continue(())));
        ControlFlow::Continue(())
    })
    .unwrap();
    let error = second.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            PinError::Read(ReadError::Store(StoreError::Hot(HotError::Collecting { .. })))
        ),
        "{error}"
    );
}

#[test]
fn a_collection_that_was_stopped_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
    let blocks: Vec<_> = (0..10_000u32).map(|n| block(RAW, n.to_be_bytes().to_vec())).collect();
    hot.put(&blocks).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    let options = CollectOptions::default();
    let first = collect(&pins, &options, &mut |_| ControlFlow::Break(())).unwrap();
    assert!(!first.finished && first.blocks > 0);
    drop((pins, hot));
    let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    let second = collect(&pins, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(second.finished);
    assert_eq!(first.looked_at + second.looked_at, 10_000);
    assert_eq!(hot.held(), (0, 0));
}

#[test]
fn a_collection_goes_no_faster_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let hot = HotStore::open(&HotOptions::new(folder.path().join("hot"))).unwrap();
    let blocks: Vec<_> = (0..200u32).map(|n| block(RAW, n.to_be_bytes().to_vec())).collect();
    hot.put(&blocks).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    let options = CollectOptions { blocks_per_second: Some(1000), ..CollectOptions::default() };
    let began = Instant::now();
    collect(&pins, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

#[test]
fn reclaim_gives_the_space_of_removed_blocks_back() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        HotOptions { memory: 16 * 1024 * 1024, ..HotOptions::new(folder.path().join("hot")) };
    let hot = HotStore::open(&options).unwrap();
    let mut random = Random(99);
    let mut bytes = |len: usize| (0..len).map(|_| random.below(256) as u8).collect::<Vec<u8>>();
    let blocks: Vec<_> = (0..160).map(|_| block(RAW, bytes(100_000))).collect();
    let bulk = hot.bulk("fill");
    bulk.put(&blocks).unwrap();
    bulk.flush().unwrap();
    drop(bulk);
    let pins = PinIndex::new(&hot, Vec::new());
    for kept in blocks.chunks(4) {
        pins.add(&NewPin::new(*kept[0].cid())).unwrap();
    }
    let before = hot.space().unwrap().blobs;
    assert!(before >= 160 * 100_000);
    collect(&pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    let settled = hot.settle().unwrap();
    assert!(settled.garbage >= 115 * 100_000, "{settled:?}");
    let after = hot.reclaim(0.3).unwrap();
    assert!(after.blobs <= 45 * 100_000, "{after:?}");
    for kept in blocks.chunks(4) {
        assert_eq!(hot.get(kept[0].cid()).unwrap().unwrap().data(), kept[0].data());
    }
}

#[test]
fn a_collection_for_size_ends_when_enough_is_gone_and_the_next_goes_on_there() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        HotOptions { memory: 16 * 1024 * 1024, ..HotOptions::new(folder.path().join("hot")) };
    let hot = HotStore::open(&options).unwrap();
    let blocks: Vec<_> = (0..10_000u32).map(|n| block(RAW, n.to_be_bytes().to_vec())).collect();
    hot.put(&blocks).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    let done = tend(&pins, Due::TooLarge { bytes: 4000 }, None, &|| true).unwrap();
    assert!((4000..40_000).contains(&done.collected.bytes), "{done:?}");
    let left = hot.held().0;
    assert_eq!(left, 10_000 - done.collected.blocks);
    let stopped = tend(&pins, Due::Daily, None, &|| false).unwrap();
    assert!(!stopped.collected.finished);
    tend(&pins, Due::Daily, None, &|| true).unwrap();
    assert_eq!(hot.held(), (0, 0));
}
