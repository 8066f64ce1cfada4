//! What a store holds is what its own library says it holds, whichever way it is asked.

mod golden_stores;

use coldfront_pebble::{Kind, Store};
use golden_stores::{ALL, golden, line, listing, pairs_of};

#[test]
fn every_store_holds_what_its_own_library_says() {
    for name in ALL {
        let golden = golden(name);
        let store = Store::open(&golden.dir).expect(name);
        let found: Vec<String> = pairs_of(&store).iter().map(line).collect();
        assert!(
            found == golden.pairs,
            "{name}: {} pairs, expected {}",
            found.len(),
            golden.pairs.len()
        );
    }
}

#[test]
fn the_kind_is_told_by_the_files() {
    for name in ALL {
        let golden = golden(name);
        let kind = Store::open(&golden.dir).expect(name).kind();
        let expected = match name.trim_start_matches("kubo-") {
            name if name.starts_with("pebble") => Kind::Pebble,
            name if name.starts_with("leveldb") => Kind::LevelDb,
            _ => Kind::Badger,
        };
        assert_eq!(kind, expected, "{name}");
    }
}

#[test]
fn a_look_up_finds_what_a_scan_finds_and_nothing_else() {
    for name in ALL {
        let golden = golden(name);
        let store = Store::open(&golden.dir).expect(name);
        let pairs = pairs_of(&store);
        for (key, value) in &pairs {
            assert_eq!(store.get(key).expect(name).as_ref(), Some(value), "{name}");
            let absent = [key, &b"\0"[..]].concat();
            assert_eq!(store.get(&absent).expect(name), None, "{name}");
        }
        for absent in [&b""[..], b"/", b"\xff\xff"] {
            assert_eq!(store.get(absent).expect(name), None, "{name}");
        }
    }
}

#[test]
fn a_deleted_key_is_not_found() {
    // Keys that were written and deleted by the program that made the stores: every third of them.
    use sha2::{Digest, Sha256};
    for name in ["pebble-1", "pebble-24", "leveldb", "badger"] {
        let golden = golden(name);
        let store = Store::open(&golden.dir).expect(name);
        let digest = Sha256::digest(b"key9");
        let key = [b"/blocks/", data_encoding::HEXUPPER.encode(&digest[..12]).as_bytes()].concat();
        assert_eq!(store.get(&key).expect(name), None, "{name}");
    }
}

#[test]
fn a_scan_may_begin_at_any_key_or_between_two() {
    for name in ALL {
        let golden = golden(name);
        let store = Store::open(&golden.dir).expect(name);
        let pairs = pairs_of(&store);
        for at in (0..pairs.len()).step_by(29) {
            let key = &pairs[at].0;
            let from: Vec<_> = store.scan(key).collect::<Result<_, _>>().expect(name);
            assert!(from == pairs[at..], "{name} from {at}");
            let after = [key, &b"\0"[..]].concat();
            let behind = store.scan(&after).next().transpose().expect(name);
            assert_eq!(behind.as_ref(), pairs.get(at + 1), "{name} after {at}");
        }
        assert_eq!(store.scan(b"\xff").count(), 0);
    }
}

#[test]
fn a_prefix_scan_ends_with_its_prefix() {
    for name in ALL {
        let golden = golden(name);
        let store = Store::open(&golden.dir).expect(name);
        let pairs = pairs_of(&store);
        for prefix in [&b""[..], b"/", b"/blocks/4", b"/blocks/7F", b"/pins/pin/", b"/zzz"] {
            let found: Vec<_> = store.scan_prefix(prefix).collect::<Result<_, _>>().expect(name);
            let expected: Vec<_> =
                pairs.iter().filter(|(key, _)| key.starts_with(prefix)).cloned().collect();
            assert!(found == expected, "{name}");
        }
    }
}

#[test]
fn reading_leaves_the_store_byte_for_byte_as_it_was() {
    for name in ALL {
        let golden = golden(name);
        let before = listing(&golden.dir);
        let store = Store::open(&golden.dir).expect(name);
        let pairs = pairs_of(&store);
        store.get(&pairs[pairs.len() / 2].0).expect(name);
        drop(store);
        assert!(listing(&golden.dir) == before, "{name} changed");
    }
}

#[test]
fn a_store_in_a_folder_without_write_permission_is_read() {
    use std::os::unix::fs::PermissionsExt;
    for name in ALL {
        let golden = golden(name);
        for path in listing(&golden.dir).keys() {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o400)).expect("a mode");
        }
        std::fs::set_permissions(&golden.dir, PermissionsExt::from_mode(0o500)).expect("a mode");
        let store = Store::open(&golden.dir).expect(name);
        assert_eq!(pairs_of(&store).len(), golden.pairs.len(), "{name}");
        std::fs::set_permissions(&golden.dir, PermissionsExt::from_mode(0o700)).expect("a mode");
    }
}

#[test]
fn tables_that_were_seen_are_passed_over_and_nothing_else_is() {
    use std::collections::BTreeSet;
    for name in ALL {
        let golden = golden(name);
        let store = Store::open(&golden.dir).expect(name);
        let all: BTreeSet<_> = pairs_of(&store).into_iter().collect();
        let numbers: BTreeSet<u64> = store.tables().into_iter().map(|(number, _)| number).collect();
        let scan = |seen: &BTreeSet<u64>| -> BTreeSet<_> {
            store.scan_unseen(b"", seen).map(|pair| pair.expect(name)).collect()
        };
        assert!(scan(&BTreeSet::new()) == all, "{name}: nothing was seen");
        // What the store holds is in the journals, or in one of its tables.
        let mut found = scan(&numbers);
        assert!(numbers.is_empty() || found.len() < all.len(), "{name}: nothing was passed over");
        for number in &numbers {
            let others = numbers.iter().copied().filter(|other| other != number).collect();
            found.extend(scan(&others));
        }
        assert!(all.is_subset(&found), "{name}: {} of {}", found.len(), all.len());
    }
}

#[test]
fn tables_are_named_with_the_files_that_hold_them() {
    for name in ALL {
        let golden = golden(name);
        for (number, path) in Store::open(&golden.dir).expect(name).tables() {
            assert!(path.is_file(), "{name}: {number} is {}", path.display());
        }
    }
}
