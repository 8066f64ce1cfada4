//! What an import takes of memory: as much for a long file as for a short one, and at most 200 bytes an
//! entry for a directory. A process of its own, since it measures the process.

#![cfg(all(feature = "import", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::sync::Arc;

use coldfront::unixfs::import::{ImportOptions, Importer, Metadata, Tree};
use coldfront::{Block, BlockSource, BlockStore, Cid, Located, StoreError};

/// A store that forgets what it is given.
#[derive(Debug)]
struct Nowhere;

impl BlockSource for Nowhere {
    fn get(&self, _: &Cid) -> Result<Option<Block>, StoreError> {
        Ok(None)
    }

    fn locate(&self, _: &Cid) -> Result<Option<Located>, StoreError> {
        Ok(None)
    }

    fn size(&self, _: &Cid) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

impl BlockStore for Nowhere {
    fn put(&self, _: &[Block]) -> Result<(), StoreError> {
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A figure of `/proc/self/status`, in bytes.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The most memory that `work` takes beyond what is taken before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    // Resets the peak to what is resident now.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let done = work();
    (done, status("VmHWM").saturating_sub(before))
}

fn options() -> ImportOptions {
    ImportOptions { threads: Some(4), ..ImportOptions::cid_v1() }
}

#[test]
fn memory_is_bounded_for_a_file_of_any_length_and_a_directory_costs_200_bytes_an_entry_at_most() {
    let file = |len: u64| {
        let mut importer = Importer::new(&options(), Arc::new(Nowhere)).unwrap();
        let content = std::io::repeat(7).take(len);
        importer.file(content, &Metadata::NONE).unwrap();
        importer.finish().unwrap();
    };
    let ((), long) = peak_of(|| file(600 << 20));
    assert!(long < 64 << 20, "600 MiB took {long} bytes");

    const ENTRIES: u64 = 400_000;
    let (root, wide) = peak_of(|| {
        let mut importer = Importer::new(&options(), Arc::new(Nowhere)).unwrap();
        let leaf = importer.file(&b"x"[..], &Metadata::NONE).unwrap();
        let mut tree = Tree::new();
        for i in 0..ENTRIES {
            tree.insert(format!("segment-number-{i:0>8}.ts").as_bytes(), &leaf).unwrap();
        }
        tree.finish(&mut importer, &mut |_, _| {}).unwrap()
    });
    assert!(root.tsize / ENTRIES > 60, "the shards are made");
    // Beside the entries there are batches of shards under way.
    let each = wide.saturating_sub(16 << 20) / ENTRIES;
    println!("{long} bytes for a long file, {wide} for {ENTRIES} entries, {each} each");
    assert!(each <= 200, "{each} bytes an entry");
}
