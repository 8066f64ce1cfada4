//! What is not known is refused by name, and never guessed.

mod golden_stores;

use std::fs;

use coldfront_pebble::{Error, Feature, Store};
use golden_stores::{Golden, golden};

fn refusal(golden: &Golden) -> Feature {
    match Store::open(&golden.dir).expect_err("a refusal") {
        Error::Unsupported { feature, .. } => feature,
        other => panic!("{other}"),
    }
}

/// Changes a text in the options file.
fn set_option(golden: &Golden, from: &str, to: &str) {
    let path = golden.dir.join("OPTIONS-000003");
    let text = fs::read_to_string(&path).expect("options");
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).expect("a write");
}

#[test]
fn a_newer_format_major_version() {
    let golden = golden("pebble-24");
    let marker = golden.dir.join("marker.format-version.000012.025");
    fs::write(marker, "").expect("a marker");
    assert_eq!(refusal(&golden), Feature::FormatVersion { found: 25, max: 24 });
}

#[test]
fn a_newer_format_major_version_in_the_options() {
    let golden = golden("pebble-24");
    set_option(&golden, "format_major_version=24", "format_major_version=30");
    assert_eq!(refusal(&golden), Feature::FormatVersion { found: 30, max: 24 });
}

#[test]
fn a_foreign_comparer() {
    let golden = golden("pebble-16");
    set_option(&golden, "comparer=leveldb.BytewiseComparator", "comparer=cockroach_comparator");
    assert_eq!(refusal(&golden), Feature::Comparer("cockroach_comparator".to_owned()));
}

#[test]
fn journals_in_another_directory() {
    let golden = golden("pebble-19");
    set_option(&golden, "wal_dir=", "wal_dir=/elsewhere");
    assert_eq!(refusal(&golden), Feature::WalElsewhere("/elsewhere".to_owned()));
}

#[test]
fn journals_with_failover() {
    let golden = golden("pebble-24");
    set_option(&golden, "[Version]", "[WAL Failover]\n  secondary_dir=x\n\n[Version]");
    assert_eq!(refusal(&golden), Feature::WalFailover);
}

#[test]
fn a_rocksdb_database() {
    let golden = golden("pebble-1");
    set_option(&golden, "pebble_version=0.1", "rocksdb_version=11.8.1");
    assert_eq!(refusal(&golden), Feature::RocksDb);
}

#[test]
fn two_stores_in_one_directory() {
    let golden = golden("pebble-24");
    fs::write(golden.dir.join("CURRENT"), "MANIFEST-000001\n").expect("a write");
    assert_eq!(refusal(&golden), Feature::TwoStores);
}

#[test]
fn a_current_that_names_a_manifest_long_gone_yields_to_the_marker() {
    // As Kubo 0.34 leaves it after it brought a store of 0.31 to 0.33 up to its own format.
    let golden = golden("pebble-16");
    fs::write(golden.dir.join("CURRENT"), "MANIFEST-000000\n").expect("a write");
    let store = Store::open(&golden.dir).expect("a store");
    assert_eq!(store.scan(b"").count(), golden.pairs.len());
}

#[test]
fn a_folder_without_a_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let refused = Store::open(dir.path()).expect_err("no store");
    assert!(matches!(refused, Error::NotAStore { .. }), "{refused}");
    let refused = Store::open(dir.path().join("none")).expect_err("no folder");
    assert!(matches!(refused, Error::Io { .. }), "{refused}");
}

#[test]
fn a_pending_current_is_believed_before_the_settled_one() {
    let golden = golden("leveldb");
    // A crash between writing and renaming: the pending name is the newer one.
    fs::rename(golden.dir.join("CURRENT"), golden.dir.join("CURRENT.7")).expect("a rename");
    fs::write(golden.dir.join("CURRENT"), "MANIFEST-000099\n").expect("a write");
    fs::write(golden.dir.join("CURRENT.9"), "MANIF").expect("a write");
    let store = Store::open(&golden.dir).expect("a store");
    assert_eq!(store.scan(b"").count(), golden.pairs.len());
}

#[test]
fn the_backup_of_current_is_believed_when_there_is_no_other() {
    let golden = golden("leveldb");
    fs::rename(golden.dir.join("CURRENT"), golden.dir.join("CURRENT.bak")).expect("a rename");
    let store = Store::open(&golden.dir).expect("a store");
    assert_eq!(store.scan(b"").count(), golden.pairs.len());
}
