//! Stores that Kubo itself wrote: the blocks in them are those that Kubo lists, and hash to their keys. Reads the
//! repositories of a folder `../shared/golden` beside the checkout, where there is one.

mod golden_stores;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use coldfront_pebble::Store;
use data_encoding::{BASE32_NOPAD, Encoding, Specification};
use golden_stores::{listing, pairs_of, unpack};
use sha2::{Digest, Sha256};

/// The multihash of SHA-256 begins so.
const SHA2_256: &[u8] = &[0x12, 0x20];

/// Names of the repositories, and the folder they are in.
fn repositories() -> (PathBuf, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let names = fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let name = name.strip_suffix(".tar.gz")?;
        (name.starts_with("pebble-")).then(|| name.to_owned())
    });
    let names = names.collect();
    (folder, names)
}

fn base32_lower() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification.encoding().expect("an alphabet")
}

/// The keys of the blocks that Kubo listed.
fn listed(expected: &Path) -> BTreeSet<Vec<u8>> {
    let text = fs::read_to_string(expected).expect("what Kubo said");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let cids = json["refs_local"].as_array().expect("CIDs").iter();
    cids.map(|cid| {
        let text = cid.as_str().and_then(|cid| cid.strip_prefix('b')).expect("a CID in base32");
        let bytes = base32_lower().decode(text.as_bytes()).expect("base32");
        // Version and codec, a byte each.
        [b"/blocks/", BASE32_NOPAD.encode(&bytes[2..]).as_bytes()].concat()
    })
    .collect()
}

#[test]
fn the_blocks_are_those_that_kubo_lists_and_hash_to_their_keys() {
    let (folder, names) = repositories();
    for name in names {
        let unpacked = unpack(&folder.join(format!("{name}.tar.gz")));
        let kind = if name.starts_with("pebble") { "pebbleds" } else { "badgerds" };
        let dir = unpacked.path().join(&name).join(kind);
        let before = listing(&dir);
        let store = Store::open(&dir).expect(&name);
        let blocks: Vec<_> = store.scan_prefix(b"/blocks/").collect::<Result<_, _>>().expect(&name);
        let mut hashed = 0;
        for (key, value) in &blocks {
            let multihash = BASE32_NOPAD.decode(&key["/blocks/".len()..]).expect("base32");
            if let Some(digest) = multihash.strip_prefix(SHA2_256) {
                assert_eq!(digest, &Sha256::digest(value)[..], "{name}: {}", key.escape_ascii());
                hashed += 1;
            }
        }
        let keys: BTreeSet<_> = blocks.into_iter().map(|(key, _)| key).collect();
        assert!(keys == listed(&folder.join(format!("{name}.expected.json"))), "{name}");
        assert!(hashed > keys.len() / 2, "{name}");
        assert!(pairs_of(&store).iter().any(|(key, _)| key.starts_with(b"/pins/pin/")), "{name}");
        assert!(listing(&dir) == before, "{name} changed");
    }
}
