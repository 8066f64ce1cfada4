//! Any bytes as the journal of a LevelDB store: raw when the first byte is odd, else as chunks that get right checksums.
//! Opening it ends, in strict mode and in salvage.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use coldfront_pebble::{Options, Store};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// A store with an empty manifest, whose journal is written for each input.
static STORE: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    let dir = dir.expect("a folder");
    let mut manifest = Vec::new();
    chunk(&mut manifest, 1, b"\x01\x1aleveldb.BytewiseComparator\x02\x02\x03\x03\x04\x00");
    std::fs::write(dir.path().join("CURRENT"), "MANIFEST-000001\n").expect("a write");
    std::fs::write(dir.path().join("MANIFEST-000001"), manifest).expect("a write");
    dir
});

/// Adds a chunk of the type `kind`; its payload holds what longer headers have.
fn chunk(log: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let header = match kind {
        5..=8 => 4,
        9..=12 => 12,
        _ => 0,
    };
    let checked = [&[kind], payload].concat();
    let checksum = crc32c::crc32c(&checked).rotate_right(15).wrapping_add(0xa282_ead8);
    let len = u16::try_from(payload.len().saturating_sub(header)).unwrap_or_default();
    log.extend(checksum.to_le_bytes());
    log.extend(len.to_le_bytes());
    log.extend(checked);
}

fuzz_target!(|input: &[u8]| {
    let Some((&form, bytes)) = input.split_first() else { return };
    let mut log = Vec::new();
    if form % 2 == 1 {
        log.extend_from_slice(bytes);
    } else {
        let mut rest = bytes;
        while let [kind, len, payload @ ..] = rest {
            let (payload, after) = payload.split_at(payload.len().min(usize::from(*len)));
            chunk(&mut log, *kind, payload);
            rest = after;
        }
    }
    std::fs::write(STORE.path().join("000002.log"), log).expect("a write");
    for salvage in [false, true] {
        if let Ok(store) = Store::open_with(STORE.path(), Options::new().salvage(salvage)) {
            let keys: Vec<_> = store.scan(b"").flatten().map(|(key, _)| key).collect();
            assert!(keys.is_sorted());
        }
    }
});
