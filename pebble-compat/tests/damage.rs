//! What is damaged gives a report or a clean answer: never a panic, a hang, or a value that was never written.

mod golden_stores;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use coldfront_pebble::{Error, Fault, Options, Pair, Store};
use golden_stores::{golden, pairs_of};

/// A store of each table format, journal form and kind.
const STORES: [&str; 7] = [
    "pebble-1",
    "pebble-13",
    "pebble-19",
    "pebble-24",
    "leveldb",
    "kubo-leveldb-crashed",
    "badger",
];

/// What a store gives, and what it says is wrong.
type Answer = (Vec<Pair>, Vec<String>);

/// Pairs and reports of a store, whatever state it is in.
fn salvaged(dir: &Path) -> Answer {
    let store = match Store::open_with(dir, Options::new().salvage(true)) {
        Ok(store) => store,
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let mut pairs = Vec::new();
    let mut reports: Vec<String> = store.notes().iter().map(Error::to_string).collect();
    for pair in store.scan(b"") {
        match pair {
            Ok(pair) => pairs.push(pair),
            Err(error) => reports.push(error.to_string()),
        }
        assert!(pairs.len() + reports.len() < 100_000, "{}: no end", dir.display());
    }
    (pairs, reports)
}

/// What a store gives up to the first error.
fn strict(dir: &Path) -> Answer {
    let store = match Store::open(dir) {
        Ok(store) => store,
        Err(error) => return (Vec::new(), vec![error.to_string()]),
    };
    let mut reports: Vec<String> = store.notes().iter().map(Error::to_string).collect();
    match store.scan(b"").collect() {
        Ok(pairs) => (pairs, reports),
        Err(error) => {
            reports.push(error.to_string());
            (Vec::new(), reports)
        }
    }
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }
}

/// Fails when a damaged store gives other pairs than the whole one, which gave `whole`, and has nothing else to say.
fn check(dir: &Path, whole: &Answer, what: &str) {
    let found = strict(dir);
    assert!(found.1 != whole.1 || found.0 == whole.0, "{what}: other pairs and no report");
    assert!(found.0.is_sorted_by(|a, b| a.0 < b.0), "{what}: out of order");
    let found = salvaged(dir);
    assert!(found.1 != whole.1 || found.0 == whole.0, "{what}: salvaged other pairs and no report");
    assert!(found.0.is_sorted_by(|a, b| a.0 < b.0), "{what}: salvaged out of order");
    if let Ok(store) = Store::open(dir) {
        for (key, value) in whole.0.iter().step_by(97) {
            let found = store.get(key);
            let right = found.as_ref().is_ok_and(|found| found.as_ref() == Some(value));
            let noted = store.notes().iter().map(Error::to_string).ne(whole.1.iter().cloned());
            assert!(right || found.is_err() || noted, "{what}: another value and no report");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_reported_or_does_no_harm() {
    for name in STORES {
        let golden = golden(name);
        let whole = strict(&golden.dir);
        let mut random = Random(7);
        for file in files_of(&golden.dir) {
            let bytes = fs::read(&file).expect("a file");
            // The last bytes are where footers are.
            let ends = (0..bytes.len().min(64)).map(|back| bytes.len() - 1 - back);
            let places: Vec<usize> =
                (0..24).map(|_| random.below(bytes.len())).chain(ends.step_by(5)).collect();
            for at in places {
                let Some(&byte) = bytes.get(at) else { continue };
                let mut broken = bytes.clone();
                broken[at] = byte ^ (1 << random.below(8));
                fs::write(&file, &broken).expect("a write");
                check(&golden.dir, &whole, &format!("{} with byte {at} flipped", file.display()));
            }
            fs::write(&file, &bytes).expect("a write");
        }
        assert!(salvaged(&golden.dir) == whole, "{name} was not restored");
    }
}

#[test]
fn a_cut_tail_is_reported_or_is_what_a_crash_leaves() {
    for name in STORES {
        let golden = golden(name);
        let whole = strict(&golden.dir);
        let mut random = Random(11);
        for file in files_of(&golden.dir) {
            let bytes = fs::read(&file).expect("a file");
            let journal = file.extension().is_some_and(|it| it == "log" || it == "vlog");
            let manifest = file.to_string_lossy().contains("MANIFEST");
            for _ in 0..15 {
                let len = random.below(bytes.len());
                fs::write(&file, &bytes[..len]).expect("a write");
                let what = format!("{} cut to {len} bytes", file.display());
                if journal || manifest {
                    // A cut between two records shows an older state; nothing else may show.
                    drop(salvaged(&golden.dir));
                    drop(Store::open(&golden.dir).map(|store| store.scan(b"").count()));
                } else {
                    check(&golden.dir, &whole, &what);
                }
            }
            fs::write(&file, &bytes).expect("a write");
        }
    }
}

#[test]
fn two_blocks_that_changed_places_are_reported_or_do_no_harm() {
    const LEN: usize = 512;
    for name in STORES {
        let golden = golden(name);
        let whole = strict(&golden.dir);
        let mut random = Random(13);
        for file in files_of(&golden.dir) {
            let bytes = fs::read(&file).expect("a file");
            if bytes.len() < 3 * LEN {
                continue;
            }
            for _ in 0..20 {
                let (a, b) = (random.below(bytes.len() - LEN), random.below(bytes.len() - LEN));
                let mut broken = bytes.clone();
                broken[a..a + LEN].copy_from_slice(&bytes[b..b + LEN]);
                broken[b..b + LEN].copy_from_slice(&bytes[a..a + LEN]);
                fs::write(&file, &broken).expect("a write");
                check(
                    &golden.dir,
                    &whole,
                    &format!("{} with {a} and {b} exchanged", file.display()),
                );
            }
            fs::write(&file, &bytes).expect("a write");
        }
    }
}

/// The first table of a store, by name.
fn first_table(dir: &Path) -> PathBuf {
    let mut tables = files_of(dir).into_iter();
    let is_table = |path: &PathBuf| path.extension().is_some_and(|it| it == "sst" || it == "ldb");
    tables.find(is_table).expect("a table")
}

#[test]
fn a_damaged_block_names_its_file_and_offset_and_the_rest_is_still_read() {
    for name in ["pebble-1", "pebble-16", "pebble-24", "leveldb"] {
        let golden = golden(name);
        let table = first_table(&golden.dir);
        let mut bytes = fs::read(&table).expect("a table");
        bytes[10] ^= 1;
        fs::write(&table, bytes).expect("a write");
        let store = Store::open(&golden.dir).expect(name);
        let notes = store.notes().len();
        let ended = store.scan(b"").find_map(Result::err).expect("a report");
        let Error::Damaged { path, offset, fault } = ended else { panic!("{name}: {ended}") };
        assert_eq!((path, offset), (table, 0), "{name}");
        assert!(matches!(fault, Fault::Checksum(_)), "{name}: {fault}");
        let (pairs, reports) = salvaged(&golden.dir);
        assert_eq!(reports.len(), notes + 1, "{name}: {reports:?}");
        assert!(pairs.len() > golden.pairs.len() / 2, "{name}: {} pairs", pairs.len());
    }
}

#[test]
fn a_missing_table_is_reported_by_name_and_the_rest_is_still_read() {
    for name in STORES {
        let golden = golden(name);
        let notes = strict(&golden.dir).1.len();
        let table = first_table(&golden.dir);
        fs::remove_file(&table).expect("a removal");
        let store = Store::open(&golden.dir);
        let ended = match &store {
            Ok(store) => store.scan(b"").find_map(Result::err).expect("a report"),
            Err(_) => store.expect_err("a report"),
        };
        assert!(matches!(ended, Error::Damaged { fault: Fault::Missing, .. }), "{name}: {ended}");
        let (pairs, reports) = salvaged(&golden.dir);
        assert_eq!(reports.len(), notes + 1, "{name}: {reports:?}");
        assert!(!pairs.is_empty(), "{name}");
    }
}

#[test]
fn without_its_manifest_a_store_is_refused_and_its_tables_and_journals_are_still_read() {
    for (name, manifest) in [
        ("pebble-1", "MANIFEST-000001"),
        ("pebble-24", "MANIFEST-000001"),
        ("leveldb", "MANIFEST-000000"),
        ("leveldb", "CURRENT"),
    ] {
        let golden = golden(name);
        let (whole, _) = strict(&golden.dir);
        fs::write(golden.dir.join(manifest), "x").expect("a write");
        let refused = Store::open(&golden.dir).expect_err(name);
        assert!(matches!(refused, Error::Damaged { .. }), "{name}: {refused}");
        let (pairs, _) = salvaged(&golden.dir);
        let found: BTreeMap<_, _> = pairs.into_iter().collect();
        for (key, value) in whole {
            assert_eq!(found.get(&key), Some(&value), "{name}");
        }
    }
}

#[test]
fn a_pipe_in_place_of_a_file_does_not_block() {
    for name in STORES {
        let golden = golden(name);
        for file in files_of(&golden.dir) {
            let bytes = fs::read(&file).expect("a file");
            fs::remove_file(&file).expect("a removal");
            let made = std::process::Command::new("mkfifo").arg(&file).status().expect("mkfifo");
            assert!(made.success());
            drop(salvaged(&golden.dir));
            fs::remove_file(&file).expect("a removal");
            fs::write(&file, bytes).expect("a write");
        }
    }
}

#[test]
fn an_unfinished_write_at_the_end_of_the_newest_journal_is_noted_and_nothing_before_it_is_lost() {
    let cases =
        [("pebble-13", "000010.log"), ("pebble-24", "000010.log"), ("leveldb", "000025.log")];
    for (name, journal) in cases {
        let golden = golden(name);
        let path = golden.dir.join(journal);
        let bytes = fs::read(&path).expect("a journal");
        let whole: BTreeMap<_, _> =
            pairs_of(&Store::open(&golden.dir).expect(name)).into_iter().collect();
        let used = bytes.iter().rposition(|&byte| byte != 0).expect("a byte");
        fs::write(&path, &bytes[..used - 20]).expect("a write");
        let store = Store::open(&golden.dir).expect(name);
        let [Error::TornTail { path: noted, .. }] = store.notes() else {
            panic!("{name}: {:?}", store.notes());
        };
        assert_eq!(noted, &path);
        let cut: BTreeMap<_, _> = pairs_of(&store).into_iter().collect();
        let keys =
            |pairs: &BTreeMap<Vec<u8>, Vec<u8>>| pairs.keys().cloned().collect::<BTreeSet<_>>();
        assert!(keys(&whole).symmetric_difference(&keys(&cut)).count() <= 1, "{name}");
    }
}

#[test]
fn damage_in_the_middle_of_the_newest_journal_is_not_taken_for_a_crash() {
    for (name, journal) in [("pebble-13", "000010.log"), ("pebble-24", "000010.log")] {
        let golden = golden(name);
        let path = golden.dir.join(journal);
        let mut bytes = fs::read(&path).expect("a journal");
        bytes[1000] ^= 1;
        fs::write(&path, bytes).expect("a write");
        let refused = Store::open(&golden.dir).expect_err(name);
        assert!(matches!(refused, Error::Damaged { .. }), "{name}: {refused}");
        let store = Store::open_with(&golden.dir, Options::new().salvage(true)).expect(name);
        let found = pairs_of(&store).len();
        assert!(found.abs_diff(golden.pairs.len()) <= 3, "{name}: {found} pairs");
    }
}

#[test]
fn an_older_journal_may_not_end_in_the_middle_of_a_write() {
    let golden = golden("pebble-24");
    let older = golden.dir.join("000010.log");
    fs::copy(&older, golden.dir.join("000020.log")).expect("a copy");
    let refused = Store::open(&golden.dir).expect_err("a torn journal before the last");
    assert!(matches!(&refused, Error::Damaged { path, .. } if *path == older), "{refused}");
}
