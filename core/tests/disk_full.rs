//! A full disk: whatever is written then fails with a sentence that says so, reads go on, what was acknowledged stays,
//! garbage can still be collected, and when there is room again the same store goes on.
//!
//! On small file systems of their own, which needs the right to mount them: elsewhere each test says that it did not
//! run.

#![cfg(all(feature = "hot", feature = "import"))]
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldfront::block::RAW;
use coldfront::gc::{CollectOptions, Collected, collect};
use coldfront::pin::{NewPin, PinError, PinIndex};
use coldfront::store::hot::{HotError, HotOptions, HotStore};
use coldfront::unixfs::import::{ImportError, ImportOptions, Importer, Metadata};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, BlockStore, ReadError, StoreError};

const MIB: usize = 1024 * 1024;

/// RocksDB looks for room every five seconds.
const PATIENCE: Duration = Duration::from_secs(30);

struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// A file system of 64 MiB; `None`, with a sentence, where nothing can be mounted.
    fn new() -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(folder.path());
        if mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(Disk { folder });
        }
        eprintln!("SKIPPED: nothing can be mounted here");
        None
    }

    fn options(&self, reserve: usize) -> HotOptions {
        let path = self.folder.path().join("hot");
        HotOptions {
            memory: 16 * MIB as u64,
            reserve: Some(reserve as u64),
            ..HotOptions::new(path)
        }
    }

    fn open(&self, reserve: usize) -> HotStore {
        HotStore::open(&self.options(reserve)).unwrap()
    }

    fn ballast(&self) -> PathBuf {
        self.folder.path().join("ballast")
    }

    /// Another program takes all there is.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let mut len = MIB;
        while len > 0 {
            match file.write(&vec![1; len]) {
                Ok(written) if written > 0 => {}
                _ => len /= 2,
            }
        }
    }

    /// And gives it back.
    fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

fn block(n: usize) -> Block {
    let mut data = vec![0; MIB / 4];
    data[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Block::verified(cid_of(RAW, &data), data.into()).unwrap()
}

fn put(hot: &HotStore, block: &Block) -> Result<(), StoreError> {
    hot.put(std::slice::from_ref(block)).and_then(|()| hot.sync())
}

/// Puts and syncs until that fails.
fn fill(hot: &HotStore, good: &mut Vec<Block>) -> StoreError {
    for n in good.len()..10_000 {
        let one = block(n);
        match put(hot, &one) {
            Ok(()) => good.push(one),
            Err(error) => return error,
        }
    }
    panic!("the disk does not fill up");
}

fn all_read(hot: &HotStore, good: &[Block]) {
    for one in good {
        assert_eq!(hot.get(one.cid()).unwrap().unwrap().data(), one.data());
    }
}

fn run(pins: &PinIndex) -> Result<Collected, PinError> {
    collect(pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(()))
}

fn is_full(error: &StoreError) -> bool {
    error.is_full() && matches!(error, StoreError::Hot(HotError::Full { .. }))
}

fn is_full_pin(error: &PinError) -> bool {
    matches!(error, PinError::Read(ReadError::Store(error)) if is_full(error))
}

/// Tries until it works; every failure says that the disk is full.
fn in_time<T, E: std::fmt::Debug>(
    is_full: impl Fn(&E) -> bool,
    act: impl Fn() -> Result<T, E>,
) -> T {
    let began = Instant::now();
    loop {
        match act() {
            Ok(done) => return done,
            Err(error) => assert!(is_full(&error) && began.elapsed() < PATIENCE, "{error:?}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_full_disk_is_told_and_the_store_goes_on_when_there_is_room_again() {
    let Some(disk) = Disk::new() else { return };
    std::fs::write(disk.ballast(), vec![1; 12 * MIB]).unwrap();
    let mut good = Vec::new();
    {
        let hot = disk.open(0);
        let error = fill(&hot, &mut good);
        assert!(is_full(&error), "{error:?}");
        assert!(good.len() > 100, "{} blocks", good.len());
        all_read(&hot, &good);
        // Unless a compaction has made a little room.
        let again = put(&hot, &block(99_999));
        assert!(again.as_ref().err().is_none_or(is_full), "{again:?}");
        all_read(&hot, &good);
        disk.empty();
        let more = block(88_888);
        in_time(is_full, || put(&hot, &more));
        good.push(more);
        all_read(&hot, &good);
    }
    let hot = disk.open(0);
    all_read(&hot, &good);
    // A block that was written and not acknowledged may be there.
    assert!(hot.held().0 >= good.len() as u64);
}

#[test]
fn an_import_ends_with_the_disk_and_the_next_one_works() {
    let Some(disk) = Disk::new() else { return };
    std::fs::write(disk.ballast(), vec![1; 12 * MIB]).unwrap();
    let hot = disk.open(0);
    let content: Vec<u8> = (0..80 * MIB / 8).flat_map(|n| (n as u64).to_be_bytes()).collect();
    let import = |content: &[u8]| -> Result<_, ImportError> {
        let mut importer = Importer::new(&ImportOptions::cid_v1(), Arc::new(hot.leased()))?;
        let file = importer.file(content, &Metadata::NONE)?;
        importer.finish()?;
        Ok(file.cid)
    };
    let full = |error: &ImportError| matches!(error, ImportError::Store(error) if error.is_full());
    let error = import(&content).unwrap_err();
    assert!(full(&error), "{error:?}");
    let pins = PinIndex::new(&hot, Vec::new());
    // Nothing keeps what is left of it. To collect that takes a little room.
    disk.empty();
    assert!(in_time(is_full_pin, || run(&pins)).blocks > 100);
    hot.reclaim(0.3).unwrap();
    let cid = in_time(full, || import(&content[..8 * MIB]));
    pins.add(&NewPin::new(cid)).unwrap();
    assert_eq!(pins.list(None).count(), 1);
}

#[test]
fn a_bulk_writer_whose_flush_finds_no_room_loses_nothing_that_was_flushed() {
    let Some(disk) = Disk::new() else { return };
    let flushed: Vec<_> = (0..20).map(block).collect();
    {
        let hot = disk.open(0);
        let bulk = hot.bulk("import");
        bulk.put_with_mark(&flushed, b"20").unwrap();
        bulk.flush().unwrap();
        disk.fill();
        let more: Vec<_> = (20..30).map(block).collect();
        let failed = bulk.put_with_mark(&more, b"30").and_then(|()| bulk.flush()).unwrap_err();
        assert!(is_full(&failed), "{failed:?}");
        all_read(&hot, &flushed);
        disk.empty();
        in_time(is_full, || bulk.put_with_mark(&more, b"30").and_then(|()| bulk.flush()));
        all_read(&hot, &more);
    }
    let hot = disk.open(0);
    assert_eq!(hot.bulk("import").mark().unwrap().as_deref(), Some(&b"30"[..]));
    all_read(&hot, &flushed);
    all_read(&hot, &(20..30).map(block).collect::<Vec<_>>());
}

#[test]
fn a_pin_that_finds_no_room_is_none_and_those_before_it_stay() {
    let Some(disk) = Disk::new() else { return };
    let hot = disk.open(0);
    let pins = PinIndex::new(&hot, Vec::new());
    let blocks: Vec<_> = (0..20_000u32)
        .map(|n| Block::verified(cid_of(RAW, &n.to_be_bytes()), n.to_be_bytes().to_vec().into()))
        .map(Result::unwrap)
        .collect();
    hot.put(&blocks).unwrap();
    hot.sync().unwrap();
    pins.add(&NewPin::new(*blocks[0].cid())).unwrap();
    disk.fill();
    // The log may have room within its last page, or more.
    let mut failed = None;
    let mut made = 1;
    for one in &blocks[1..] {
        let name = "n".repeat(255);
        match pins.add(&NewPin { name, ..NewPin::new(*one.cid()) }) {
            Ok(()) => made += 1,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let failed = failed.unwrap();
    assert!(is_full_pin(&failed), "{failed:?}");
    assert!(pins.list(None).count() >= made);
    assert!(pins.get(blocks[0].cid()).unwrap().is_some());
    disk.empty();
    in_time(is_full_pin, || pins.add(&NewPin::new(*blocks[9999].cid())));
    assert!(pins.list(None).count() > made);
    assert!(hot.get(blocks[9999].cid()).unwrap().is_some());
}

#[test]
fn a_collection_that_finds_no_room_goes_on_later() {
    let Some(disk) = Disk::new() else { return };
    let hot = disk.open(0);
    let pins = PinIndex::new(&hot, Vec::new());
    let blocks: Vec<_> = (0..60).map(block).collect();
    hot.put(&blocks).unwrap();
    pins.add_all(&blocks[..10].iter().map(|one| NewPin::new(*one.cid())).collect::<Vec<_>>())
        .unwrap();
    disk.fill();
    // It may fit into the log's last page; what is kept stays in either case.
    let first = run(&pins);
    assert!(first.as_ref().err().is_none_or(is_full_pin), "{first:?}");
    all_read(&hot, &blocks[..10]);
    disk.empty();
    in_time(is_full_pin, || run(&pins));
    assert_eq!(hot.held().0, 10);
    all_read(&hot, &blocks[..10]);
}

#[test]
fn in_the_reserve_garbage_is_collected_and_its_space_given_back_on_a_full_disk() {
    let Some(disk) = Disk::new() else { return };
    let hot = disk.open(16 * MIB);
    let pins = PinIndex::new(&hot, Vec::new());
    let mut good = Vec::new();
    let error = fill(&hot, &mut good);
    assert!(
        matches!(error, StoreError::Hot(HotError::Reserve { .. })) && error.is_full(),
        "{error}"
    );
    let before = hot.space().unwrap().blobs;
    // Nothing is pinned, so all of it is garbage.
    let done = run(&pins).unwrap();
    assert_eq!(done.blocks, good.len() as u64);
    let after = hot.reclaim(0.3).unwrap().blobs;
    assert!(after < before / 4, "{before} {after}");
    std::thread::sleep(Duration::from_secs(1));
    put(&hot, &block(99_999)).unwrap();
    pins.add(&NewPin::new(*block(99_999).cid())).unwrap();
}
