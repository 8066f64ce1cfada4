//! A disk that fails: what is written then is refused with a sentence that says what to do, reads go on, and what was
//! acknowledged is there when the store is opened on a disk that works again.
//!
//! On small file systems of their own, which needs the right to mount them: elsewhere each test says that it did not
//! run.

#![cfg(feature = "hot")]
#![allow(clippy::unwrap_used)]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coldfront::block::RAW;
use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::{NewPin, PinError, PinIndex};
use coldfront::store::hot::{HotError, HotOptions, HotStore};
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, BlockStore, ReadError, StoreError};

const MIB: usize = 1 << 20;

fn run(program: &str, words: &[&str], path: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(words).arg(path).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// An ext4 of its own, in a file on a tmpfs: what that has no room for, the disk cannot write.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// `None`, with a sentence, where nothing can be mounted.
    fn new() -> Option<Disk> {
        let disk = Disk { folder: tempfile::tempdir().unwrap() };
        for name in ["below", "disk"] {
            fs::create_dir(disk.at(name)).unwrap();
        }
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=96m", "tmpfs"], &disk.at("below"))
            && File::create(disk.image()).is_ok_and(|image| image.set_len(256 << 20).is_ok())
            && run("mkfs.ext4", &["-q"], &disk.image())
            && disk.mount();
        if !mounted {
            eprintln!("SKIPPED: nothing can be mounted here");
        }
        mounted.then_some(disk)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.at("below/image")
    }

    fn mount(&self) -> bool {
        let image = self.image();
        let words = ["-o", "loop,errors=continue", image.to_str().unwrap()];
        run("mount", &words, &self.at("disk"))
    }

    fn unmount(&self) -> bool {
        run("umount", &[], &self.at("disk"))
    }

    /// What an operator does.
    fn repair(&self) {
        assert!(self.unmount());
        run("e2fsck", &["-f", "-y"], &self.image());
        assert!(self.mount());
    }

    fn open(&self) -> HotStore {
        let memory = 16 * MIB as u64;
        let path = self.at("disk/hot");
        HotStore::open(&HotOptions { memory, reserve: Some(0), ..HotOptions::new(path) }).unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
        run("umount", &[], &self.at("below"));
    }
}

fn block(n: usize) -> Block {
    let mut data = vec![n as u8; if n.is_multiple_of(3) { 200 } else { MIB / 4 }];
    data[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Block::verified(cid_of(RAW, &data), data.into()).unwrap()
}

fn put(hot: &HotStore, block: &Block) -> Result<(), StoreError> {
    hot.put(std::slice::from_ref(block)).and_then(|()| hot.sync())
}

fn all_read(hot: &HotStore, good: &[Block]) {
    for one in good {
        assert_eq!(hot.get(one.cid()).unwrap().unwrap().data(), one.data());
    }
}

#[test]
fn a_disk_that_turns_read_only_is_told_reads_go_on_and_all_is_there_when_it_works_again() {
    let Some(disk) = Disk::new() else { return };
    let good: Vec<_> = (0..24).map(block).collect();
    {
        let hot = disk.open();
        let pins = PinIndex::new(&hot, Vec::new());
        let bulk = hot.bulk("import");
        bulk.put(&good[..12]).unwrap();
        bulk.flush().unwrap();
        good[12..].iter().for_each(|one| put(&hot, one).unwrap());
        pins.add(&NewPin::new(*good[0].cid())).unwrap();
        // As the kernel does after an error of the disk.
        assert!(run("mount", &["-o", "remount,abort"], &disk.at("disk")));
        let is_told = |error: &StoreError| {
            matches!(error, StoreError::Hot(HotError::ReadOnly { .. })) && !error.is_full()
        };
        for n in 100..103 {
            let error = put(&hot, &block(n)).unwrap_err();
            assert!(is_told(&error), "{error:?}");
        }
        let error = hot.bulk("import").flush().err();
        assert!(error.as_ref().is_none_or(is_told), "{error:?}");
        let refused = pins.add(&NewPin::new(*good[1].cid())).unwrap_err();
        let PinError::Read(ReadError::Store(refused)) = refused else { panic!("{refused:?}") };
        assert!(is_told(&refused), "{refused:?}");
        let pass = collect(&pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(()));
        assert!(pass.is_err());
        all_read(&hot, &good);
        assert!(pins.get(good[0].cid()).unwrap().is_some());
    }
    disk.repair();
    let hot = disk.open();
    all_read(&hot, &good);
    put(&hot, &block(100)).unwrap();
    let pins = PinIndex::new(&hot, Vec::new());
    assert!(pins.get(good[0].cid()).unwrap().is_some());
    assert!(pins.get(good[1].cid()).unwrap().is_none());
}

#[test]
fn an_error_of_the_disk_while_it_is_written_is_told_and_what_was_acknowledged_is_there_later() {
    let Some(disk) = Disk::new() else { return };
    let ballast = disk.at("below/ballast");
    let mut good = Vec::new();
    {
        let hot = disk.open();
        for n in 0..24 {
            put(&hot, &block(n)).unwrap();
            good.push(block(n));
        }
        let mut file = File::create(&ballast).unwrap();
        while file.write_all(&vec![1; MIB]).is_ok() {}
        let error = (24..1000).find_map(|n| match put(&hot, &block(n)) {
            Ok(()) => {
                good.push(block(n));
                None
            }
            Err(error) => Some(error),
        });
        let error = error.unwrap();
        assert!(matches!(error, StoreError::Hot(HotError::WriteFailed { .. })), "{error:?}");
        assert!(error.to_string().contains("open the store again"), "{error}");
        all_read(&hot, &good);
        let again = put(&hot, &block(5000)).unwrap_err();
        assert!(!again.is_full(), "{again:?}");
        fs::remove_file(&ballast).unwrap();
    }
    disk.repair();
    let hot = disk.open();
    all_read(&hot, &good);
    put(&hot, &block(5000)).unwrap();
}

#[test]
fn a_blob_file_that_is_cut_short_fails_the_blocks_that_it_lost_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hot");
    let hot = HotStore::open(&HotOptions::new(&path)).unwrap();
    let blocks: Vec<_> = (1..60).filter(|n| n % 3 != 0).map(block).collect();
    let bulk = hot.bulk("import");
    let mut cut = None;
    for some in blocks.chunks(20) {
        bulk.put(some).unwrap();
        bulk.flush().unwrap();
        let files = fs::read_dir(path.join("db")).unwrap().map(|file| file.unwrap().path());
        cut = cut.or(files.into_iter().find(|path| path.extension().is_some_and(|e| e == "blob")));
    }
    let file = OpenOptions::new().write(true).open(cut.unwrap()).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let lost: Vec<_> = blocks.iter().map(|one| hot.get(one.cid()).is_err()).collect();
    let count = lost.iter().filter(|lost| **lost).count();
    assert!((9..=11).contains(&count), "{lost:?}");
    assert!(lost[20..].iter().all(|lost| !lost), "{lost:?}");
    assert!(blocks.iter().all(|one| hot.size(one.cid()).unwrap().is_some()));
    let error = hot.get(blocks[19].cid()).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    put(&hot, &block(100)).unwrap();
}
