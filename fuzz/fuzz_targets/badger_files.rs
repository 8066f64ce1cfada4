//! Any bytes as a table of Badger, whose manifest has no checksum for it, as a value log, or as a record of a manifest; the first byte picks. Every
//! walk ends, in strict mode and in salvage, with keys in order.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use coldfront_pebble::{Options, Store};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// A store with one table, and one without.
static STORES: LazyLock<[TempDir; 2]> = LazyLock::new(|| {
    // Table 1 at level 0, without a checksum.
    let change: &[u8] = b"\x0a\x02\x08\x01";
    [store(change), store(b"")]
});

fn store(record: &[u8]) -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    let dir = dir.expect("a folder");
    let len = u32::try_from(record.len()).unwrap_or_default().to_be_bytes();
    let checksum = crc32c::crc32c(record).to_be_bytes();
    let manifest = [&b"Bdgr\0\0\0\x04"[..], &len, &checksum, record].concat();
    std::fs::write(dir.path().join("MANIFEST"), manifest).expect("a write");
    dir
}

/// Entries with right checksums: lengths and flags from the input.
fn framed(mut rest: &[u8]) -> Vec<u8> {
    let mut log = Vec::new();
    while let [key, value, flags, body @ ..] = rest {
        let (key, value) = (usize::from(*key), usize::from(*value));
        let (body, after) = body.split_at(body.len().min(key + value));
        let key = key.min(body.len());
        let lens = [(key as u32).to_be_bytes(), ((body.len() - key) as u32).to_be_bytes()].concat();
        let entry = [&lens[..], &[0; 8], &[*flags, 0], body].concat();
        log.extend(&entry);
        log.extend(crc32c::crc32c(&entry).to_be_bytes());
        rest = after;
    }
    log
}

/// Any bytes as a record of a manifest with a right checksum.
fn manifest(record: &[u8]) {
    let dir = store(record);
    for salvage in [false, true] {
        if let Ok(store) = Store::open_with(dir.path(), Options::new().salvage(salvage)) {
            assert_eq!(store.scan(b"").flatten().count(), 0);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&form, bytes)) = input.split_first() else { return };
    let [with_table, with_log] = &*STORES;
    let dir = match form % 4 {
        0 => {
            std::fs::write(with_table.path().join("000001.sst"), bytes).expect("a write");
            with_table
        }
        1 => {
            std::fs::write(with_log.path().join("000000.vlog"), bytes).expect("a write");
            with_log
        }
        2 => {
            std::fs::write(with_log.path().join("000000.vlog"), framed(bytes)).expect("a write");
            with_log
        }
        _ => return manifest(bytes),
    };
    for salvage in [false, true] {
        if let Ok(store) = Store::open_with(dir.path(), Options::new().salvage(salvage)) {
            let keys: Vec<_> = store.scan(b"").flatten().map(|(key, _)| key).collect();
            assert!(keys.is_sorted());
        }
    }
});
