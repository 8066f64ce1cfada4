//! The stores of `tests/golden`, unpacked, with what they must hold.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coldfront_pebble::{Pair, Store};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Stores of all kinds.
pub(crate) const ALL: [&str; 9] = [
    "pebble-1",
    "pebble-13",
    "pebble-16",
    "pebble-19",
    "pebble-21",
    "pebble-24",
    "leveldb",
    "kubo-leveldb",
    "kubo-leveldb-crashed",
];

/// An unpacked store.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    /// What it must hold, a line a pair.
    pub(crate) pairs: Vec<String>,
    _unpacked: TempDir,
}

/// Unpacks the store `name`.
pub(crate) fn golden(name: &str) -> Golden {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let unpacked = unpack(&folder.join(format!("{name}.tar.gz")));
    let pairs = fs::read_to_string(unpacked.path().join(format!("{name}.pairs"))).expect("pairs");
    Golden {
        name: name.to_owned(),
        dir: unpacked.path().join(name),
        pairs: pairs.lines().map(str::to_owned).collect(),
        _unpacked: unpacked,
    }
}

/// Unpacks an archive into a folder of its own.
pub(crate) fn unpack(archive: &Path) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let done = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(dir.path()).status();
    assert!(done.expect("tar").success(), "{} does not unpack", archive.display());
    dir
}

/// A pair as the golden lists have it.
pub(crate) fn line((key, value): &Pair) -> String {
    let digest = HEXLOWER.encode(&Sha256::digest(value));
    format!("{} {} {digest}", key.escape_ascii(), value.len())
}

/// All pairs of a store.
pub(crate) fn pairs_of(store: &Store) -> Vec<Pair> {
    store.scan(b"").collect::<Result<_, _>>().expect("a whole store")
}

/// Every file of a folder: its name, times and bytes.
pub(crate) fn listing(dir: &Path) -> BTreeMap<PathBuf, (std::time::SystemTime, Vec<u8>)> {
    let entries = fs::read_dir(dir).expect("a folder");
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let modified = path.metadata().expect("metadata").modified().expect("a time");
            let bytes = fs::read(&path).expect("a file");
            (path, (modified, bytes))
        })
        .collect()
}
