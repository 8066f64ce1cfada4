//! Whole works of the hot store, each once: a bulk import and uploads beside a copy of the same bytes, a million pins made
//! and listed, a collection under adds, a reclaim. Prints a line each; ratios hold, absolute figures are this
//! machine's.
//!
//! `cargo bench --bench hot_whole -- [import|uploads|pins|collect]...`; `COLDFRONT_BENCH_SCALE=0.1` makes it smaller;
//! `COLDFRONT_BENCH_MEMORY` is the store's memory in MiB.

#![allow(missing_docs)]

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coldfront::block::RAW;
use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::{NewPin, PinIndex, PinMode, PinStatus};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::import::{ImportOptions, Importer, Metadata};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockStore, Cid};

fn main() {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    if is_wanted("import") {
        import();
    }
    if is_wanted("uploads") {
        uploads();
    }
    if is_wanted("pins") {
        pins();
    }
    if is_wanted("collect") {
        collections();
    }
}

fn scaled(count: u64) -> u64 {
    let scale: f64 = std::env::var("COLDFRONT_BENCH_SCALE")
        .map_or(1.0, |text| text.parse().expect("the scale is a number"));
    (count as f64 * scale) as u64
}

fn bytes(number: u64, len: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len.div_ceil(8))
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()
        })
        .take(len)
        .collect()
}

fn block(data: Vec<u8>) -> Block {
    Block::verified(cid_of(RAW, &data), data.into()).expect("it hashes to its own CID")
}

/// A figure in kilobytes of this process.
fn own(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/{file}")).expect("this is Linux");
    let line = text.lines().find(|line| line.starts_with(key)).expect("the kernel says it");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("it is a number")
}

fn resident_mb() -> u64 {
    own("status", "VmRSS:") / 1024
}

fn open(folder: &Path) -> HotStore {
    let mut options = HotOptions::new(folder.join("hot"));
    if let Ok(megabytes) = std::env::var("COLDFRONT_BENCH_MEMORY") {
        options.memory = megabytes.parse::<u64>().expect("the memory is a number") << 20;
    }
    HotStore::open(&options).expect("it opens")
}

fn rate(count: u64, took: Duration) -> u64 {
    (count as f64 / took.as_secs_f64()) as u64
}

fn import() {
    const LEAF: usize = 256 * 1024;
    let leaves = scaled(4096);
    let total = leaves * LEAF as u64;
    let folder = tempfile::tempdir().expect("there is room");
    let source = folder.path().join("source");
    let mut file = File::create(&source).expect("it is made");
    (0..leaves).for_each(|n| file.write_all(&bytes(n, LEAF)).expect("it is written"));
    file.sync_all().expect("it syncs");
    for round in 0..5 {
        let copy = folder.path().join("copy");
        let began = Instant::now();
        fs::copy(&source, &copy).expect("it copies");
        File::open(&copy).and_then(|file| file.sync_all()).expect("it syncs");
        let copied = began.elapsed();
        fs::remove_file(&copy).expect("it is removed");

        let place = folder.path().join(round.to_string());
        let written = own("io", "write_bytes:");
        let began = Instant::now();
        let hot = open(&place);
        let bulk = hot.bulk("bench");
        let mut reader = File::open(&source).expect("it opens");
        let mut parts = [Duration::ZERO; 4];
        let mut since = Instant::now();
        let mut took_part = |part: usize| {
            parts[part] += since.elapsed();
            since = Instant::now();
        };
        for _ in 0..leaves {
            let mut data = vec![0; LEAF];
            std::io::Read::read_exact(&mut reader, &mut data).expect("it reads");
            took_part(0);
            let block = block(data);
            took_part(1);
            bulk.put_with_mark(&[block], b"mark").expect("it takes it");
            took_part(2);
        }
        bulk.flush().expect("it flushes");
        took_part(3);
        println!("import: read, hash, put, flush: {parts:.2?}");
        let took = began.elapsed();
        let written = own("io", "write_bytes:") - written;
        println!(
            "import: {} MB/s, cp + sync {} MB/s, ratio {:.2}; {:.3} bytes written a byte; peak {} MB",
            rate(total, took) / 1_000_000,
            rate(total, copied) / 1_000_000,
            copied.as_secs_f64() / took.as_secs_f64(),
            written as f64 / total as f64,
            own("status", "VmHWM:") / 1024,
        );
        drop((bulk, hot));
        let began = Instant::now();
        drop(open(&place));
        println!("import: opens again in {:?}", began.elapsed());
        fs::remove_dir_all(&place).expect("it is removed");
    }
}

/// Ways to take in a file.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Everything is logged.
    Logged,
    /// Nothing is, and all is flushed at the end.
    Flushed,
    /// As uploads are.
    Upload,
}

/// Files of many lengths, added and pinned one after another by each way in turn, each durable before the next.
fn uploads() {
    for (megabytes, rounds) in
        [(1, 15), (2, 15), (4, 15), (8, 11), (16, 11), (32, 7), (100, 5), (1024, 3)]
    {
        let folder = tempfile::tempdir().expect("there is room");
        let source = folder.path().join("source");
        let ways = [Way::Logged, Way::Flushed, Way::Upload].map(|way| {
            let hot = open(&folder.path().join(format!("{way:?}")));
            let pins = PinIndex::new(&hot, Vec::new());
            (way, hot, pins)
        });
        let (mut copies, mut took, mut written) = (Vec::new(), [const { Vec::new() }; 3], [0; 3]);
        let rounds = scaled(rounds).max(1);
        for round in 0..rounds {
            write_source(&source, megabytes << 40 | round << 30, megabytes);
            copies.push(copied(&source, &folder.path().join("copy")));
            for (at, (way, hot, pins)) in ways.iter().enumerate() {
                let before = own("io", "write_bytes:");
                took[at].push(added(&source, hot, pins, *way));
                written[at] += own("io", "write_bytes:") - before;
            }
        }
        let copy = spread(copies)[0];
        for (at, (way, hot, _)) in ways.iter().enumerate() {
            let before = own("io", "write_bytes:");
            hot.bulk("rest").flush().expect("it flushes");
            written[at] += own("io", "write_bytes:") - before;
            let middle = spread(std::mem::take(&mut took[at]))[0];
            println!(
                "uploads: {megabytes} MiB, {way:?}: {middle:.1?}, cp + sync {copy:.1?} ({:.2} of its rate); {:.3} bytes written a byte",
                copy.as_secs_f64() / middle.as_secs_f64(),
                written[at] as f64 / (rounds * (megabytes << 20)) as f64,
            );
        }
    }
}

fn write_source(path: &Path, seed: u64, megabytes: u64) {
    let mut file = File::create(path).expect("it is made");
    for piece in 0..megabytes {
        file.write_all(&bytes(seed + piece, 1 << 20)).expect("it is written");
    }
    file.sync_all().expect("it syncs");
}

fn copied(source: &Path, to: &Path) -> Duration {
    let began = Instant::now();
    let mut copy = File::create(to).expect("it is made");
    // By reads and writes: some file systems copy by sharing what is there.
    let mut piece = vec![0; 1 << 20];
    let mut source = File::open(source).expect("it opens");
    loop {
        let n = std::io::Read::read(&mut source, &mut piece).expect("it reads");
        if n == 0 {
            break;
        }
        copy.write_all(&piece[..n]).expect("it is written");
    }
    copy.sync_all().expect("it syncs");
    let took = began.elapsed();
    fs::remove_file(to).expect("it is removed");
    took
}

fn added(source: &Path, hot: &HotStore, pins: &PinIndex, way: Way) -> Duration {
    let began = Instant::now();
    let store: Arc<dyn BlockStore> = match way {
        Way::Logged => Arc::new(hot.clone()),
        Way::Flushed => Arc::new(hot.bulk("bench")),
        Way::Upload => Arc::new(hot.leased()),
    };
    let mut importer =
        Importer::new(&ImportOptions::cid_v1(), store).expect("the options are sound");
    let source = File::open(source).expect("it opens");
    let file = importer.file(source, &Metadata::NONE).expect("it is imported");
    importer.finish().expect("it is durable");
    pins.add(&NewPin::new(file.cid)).expect("it pins");
    began.elapsed()
}

fn pins() {
    let count = scaled(1_000_000);
    let folder = tempfile::tempdir().expect("there is room");
    let hot = open(folder.path());
    let pins = PinIndex::new(&hot, Vec::new());
    let began = Instant::now();
    let bulk = hot.bulk("bench");
    let numbers: Vec<_> = (0..count).collect();
    for some in numbers.chunks(1000) {
        let blocks: Vec<_> = some.iter().map(|n| block(bytes(*n, 20))).collect();
        bulk.put(&blocks).expect("it takes them");
    }
    bulk.flush().expect("it flushes");
    println!("pins: {} blocks of 20 bytes a second in bulk", rate(count, began.elapsed()));
    let new: Vec<_> = numbers.iter().map(|n| NewPin::new(cid_of(RAW, &bytes(*n, 20)))).collect();
    let began = Instant::now();
    pins.add_all(&new).expect("it pins");
    println!("pins: {} made a second in batches, durable", rate(count, began.elapsed()));

    let before = resident_mb();
    let began = Instant::now();
    let mut all = pins.list(Some(PinMode::Recursive));
    all.next().expect("there is one").expect("it is read");
    let first = began.elapsed();
    let mut rest = 0;
    for pin in all {
        pin.expect("it is read");
        rest += 1;
    }
    println!(
        "pins: list of {}: first row {first:?}, all {:?}, memory {} -> {} MB",
        rest + 1,
        began.elapsed(),
        before,
        resident_mb()
    );
    let strangers: Vec<Cid> = (0..1000).map(|n| cid_of(RAW, &bytes(1 << 40 | n, 20))).collect();
    let began = Instant::now();
    for cid in &strangers {
        assert_eq!(pins.status(cid).expect("it looks"), PinStatus::NotPinned);
    }
    println!("pins: \"not pinned\" in {:?}", began.elapsed() / 1000);
    let began = Instant::now();
    let some = 2000.min(count);
    for pin in new.iter().take(some as usize) {
        pins.add(&NewPin { name: "again".into(), ..pin.clone() }).expect("it pins");
    }
    println!("pins: {} single ones a second, each durable", rate(some, began.elapsed()));
    let began = Instant::now();
    for pin in new.iter().take(some as usize) {
        pins.remove(&pin.cid, true).expect("it unpins");
    }
    println!("pins: {} single removals a second", rate(some, began.elapsed()));
}

/// Adds, and adds while one collection runs after another, in turn: half of the blocks are garbage when the first begins.
fn collections() {
    let count = scaled(200_000);
    let adds_a_round = scaled(1000) as usize;
    let folder = tempfile::tempdir().expect("there is room");
    let hot = open(folder.path());
    let pins = PinIndex::new(&hot, Vec::new());
    let mut serial = 0;
    let numbers: Vec<_> = (0..count).collect();
    let over = AtomicBool::new(false);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..3 {
        for some in numbers.chunks(1000) {
            let data = |n: &u64| bytes(1 << 50 | round << 40 | *n, 1024);
            let blocks: Vec<_> = some.iter().map(|n| block(data(n))).collect();
            hot.put(&blocks).expect("it takes them");
            let kept = blocks.iter().step_by(2).map(|block| NewPin::new(*block.cid()));
            pins.add_all(&kept.collect::<Vec<_>>()).expect("it pins");
        }
        alone.extend(adds(&hot, &pins, &mut serial, adds_a_round));
        over.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (began, mut passes, mut most) = (Instant::now(), 0, 0);
                while !over.load(Ordering::Relaxed) {
                    let every = CollectOptions::default();
                    let done = collect(&pins, &every, &mut |_| ControlFlow::Continue(()));
                    let done = done.expect("it collects");
                    (passes, most) = (passes + 1, most.max(done.blocks));
                }
                let (took, memory) = (began.elapsed(), resident_mb());
                println!(
                    "collect: {passes} passes, {most} blocks in the first, {took:?}, {memory} MB"
                );
            });
            beside.extend(adds(&hot, &pins, &mut serial, adds_a_round));
            over.store(true, Ordering::Relaxed);
        });
    }
    let (alone, beside) = (spread(alone), spread(beside));
    println!(
        "collect: adds without: p50 {:?}, p99 {:?}, longest {:?}",
        alone[0], alone[1], alone[2]
    );
    println!(
        "collect: adds beside:  p50 {:?}, p99 {:?}, longest {:?}",
        beside[0], beside[1], beside[2]
    );
    println!(
        "collect: p99 beside of that without: {:.2}",
        beside[1].as_secs_f64() / alone[1].as_secs_f64()
    );
    let settled = hot.settle().expect("it settles");
    let written = own("io", "write_bytes:");
    let after = hot.reclaim(0.3).expect("it reclaims");
    println!(
        "reclaim: {settled:?} -> {after:?}, {} bytes written",
        own("io", "write_bytes:") - written
    );
}

/// Adds a small block and pins it, durably, `count` times; how long each took.
fn adds(hot: &HotStore, pins: &PinIndex, serial: &mut u64, count: usize) -> Vec<Duration> {
    let add = |_| {
        *serial += 1;
        let one = block(bytes(1 << 60 | *serial, 1024));
        let began = Instant::now();
        let lease = hot.leased();
        lease.put(std::slice::from_ref(&one)).expect("it takes it");
        pins.add(&NewPin::new(*one.cid())).expect("it pins");
        began.elapsed()
    };
    (0..count).map(add).collect()
}

/// The middle, the 99th of a hundred, and the longest.
fn spread(mut took: Vec<Duration>) -> [Duration; 3] {
    took.sort();
    [500, 990, 1000].map(|part| took[(took.len() * part / 1000).min(took.len() - 1)])
}
