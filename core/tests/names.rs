//! Keys and IPNS records: read as openssl, Kubo and others write them, and believed by Kubo when they are ours.

#![cfg(all(feature = "hot", feature = "ipns"))]
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use coldfront::ipns::{LIFETIME, NameError, Names, PublishOptions, Record, RecordError};
use coldfront::keys::{HotKeys, Key, KeyFolder, KeyForm, KeyId, KeyPlace, Keyring};
use coldfront::store::hot::{HotOptions, HotStore};

const VALUE: &str = "/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/names").join(name))
        .unwrap()
}

/// A key, its PEM, and the name that Kubo 0.42 gives it.
const KEYS: [(&str, &str); 3] = [
    ("ed", "k51qzi5uqu5dhnuyu4f2dk0qasetsry3rjp2hqc5pqg385qjckcwiqdep31s21"),
    ("rsa", "k2k4r8mui114irpje3n9f0f40610xad2llrfdtrpgwc7jy1ifcg9iwnb"),
    ("ec", "k2k4r8obfwti48bg92qswvrlak506g54m5ekowcybk5dyrijd4ysx884"),
];

fn key(name: &str) -> Key {
    Key::from_protobuf(&golden(&format!("{name}.key"))).unwrap()
}

fn store(folder: &Path) -> HotStore {
    let options = HotOptions { memory: 16 * 1024 * 1024, ..HotOptions::new(folder.join("hot")) };
    HotStore::open(&options).unwrap()
}

#[test]
fn a_key_from_openssl_is_what_kubo_makes_of_it_and_goes_back_as_it_came() {
    for (name, id) in KEYS {
        let pem = golden(&format!("{name}.pem"));
        let imported = Key::import(&pem, KeyForm::Pem).unwrap();
        assert_eq!(imported.id().to_string(), id);
        assert_eq!(imported.id(), key(name).id());
        let again = Key::import(imported.to_pem().unwrap().as_bytes(), KeyForm::Pem).unwrap();
        assert_eq!(again.to_protobuf(), imported.to_protobuf());
        if name != "ec" {
            // Go writes the public half of an EC key once more.
            assert_eq!(imported.to_protobuf(), golden(&format!("{name}.key")));
            assert_eq!(imported.to_pem().unwrap().trim(), String::from_utf8(pem).unwrap().trim());
        }
    }
}

#[test]
fn what_is_no_key_is_refused_in_kubos_words() {
    let refused = |bytes: &[u8], form| Key::import(bytes, form).unwrap_err().to_string();
    assert_eq!(
        refused(&golden("ed.pem"), KeyForm::Protobuf),
        "unexpected PEM block for format=libp2p-protobuf-cleartext: try again with format=pem-pkcs8-cleartext"
    );
    assert!(
        refused(b"nothing", KeyForm::Protobuf)
            .starts_with("unable to unmarshall format=libp2p-protobuf-cleartext")
    );
    assert_eq!(refused(b"nothing", KeyForm::Pem), "PEM block not found in input data:\nnothing");
    let public = String::from_utf8(golden("ed.pem")).unwrap().replace("PRIVATE KEY", "PUBLIC KEY");
    assert_eq!(
        refused(public.as_bytes(), KeyForm::Pem),
        "expected PRIVATE KEY type in PEM block but got: PUBLIC KEY"
    );
    for cut in [0, 1, 10, 40] {
        assert!(Key::from_protobuf(&golden("ed.key")[..cut]).is_err());
        assert!(Key::from_protobuf(&golden("rsa.key")[..cut]).is_err());
    }
}

#[test]
fn a_public_name_is_read_in_all_its_spellings() {
    let id = key("ed").id();
    let base32 = id.in_base(cid::multibase::Base::Base32Lower);
    for text in [id.to_string(), id.peer_id(), base32, format!("{:?}", id)] {
        assert_eq!(KeyId::parse(&text), Some(id), "{text}");
    }
    let rsa = key("rsa").id();
    assert!(rsa.peer_id().starts_with("Qm") && KeyId::parse(&rsa.peer_id()) == Some(rsa));
    assert_eq!(KeyId::parse("bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"), None);
    assert_eq!(KeyId::parse("example.com"), None);
}

#[test]
fn records_of_every_kind_of_key_are_believed_until_a_byte_or_the_time_changes() {
    let now = SystemTime::now();
    let end = now + LIFETIME;
    for (name, _) in KEYS {
        for v1 in [true, false] {
            let key = key(name);
            let record =
                Record::sign(&key, VALUE.as_bytes(), 7, end, Duration::from_secs(60), v1).unwrap();
            let read = Record::parse(record.bytes()).unwrap();
            assert_eq!(read, record);
            assert_eq!((read.sequence(), read.ttl().as_secs()), (7, 60));
            assert_eq!(read.path().unwrap(), VALUE);
            read.check(&key.id(), now).unwrap();
            assert_eq!(
                read.check(&key.id(), end + Duration::from_secs(1)),
                Err(RecordError::Expired)
            );
            assert!(read.check(&Key::generate().id(), now).is_err());
            for at in (0..record.bytes().len()).step_by(7) {
                let mut bytes = record.bytes().to_vec();
                bytes[at] ^= 1;
                let believed = Record::parse(&bytes).is_ok_and(|other| {
                    other.check(&key.id(), now).is_ok() && other.value() != record.value()
                });
                assert!(!believed, "{name} at {at}");
            }
        }
    }
}

#[test]
fn records_of_the_conformance_suite_are_judged_as_it_says() {
    // What is behind the key in the name of the file, and whether the record is to be believed.
    let cases = [
        ("v1-v2-broken-signature-v2_2", false),
        ("v1-v2-broken-signature-v1_3", true),
        ("v2_4", true),
        ("v1-v2_5", true),
        ("v1-v2-broken-v1-value_6", false),
        ("v1_7", false),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/names");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".ipns-record") else { continue };
        let (key, kind) = stem.split_once('_').unwrap();
        let id = KeyId::parse(key).unwrap();
        let record = Record::parse(&std::fs::read(&path).unwrap());
        let judged = record.and_then(|record| record.check(&id, SystemTime::now()));
        let expected = cases.iter().find(|(case, _)| *case == kind).is_none_or(|(_, good)| *good);
        assert_eq!(judged.is_ok(), expected, "{name}: {judged:?}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen} records");
}

#[test]
fn names_are_published_followed_and_signed_anew_before_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let hot = store(folder.path());
    let place = HotKeys::of(&hot);
    let own = place.identity().unwrap();
    assert_eq!(place.identity().unwrap().id(), own.id());
    let keys = Keyring::new(own.clone(), Arc::new(place.clone()));
    let names = Names::new(keys.clone(), Arc::new(place.clone()));
    let default = PublishOptions::default();
    let short = PublishOptions { lifetime: Duration::from_secs(3600), ..default.clone() };

    assert_eq!(names.publish(&own, VALUE, &default).unwrap().sequence(), 0);
    assert_eq!(names.publish(&own, VALUE, &default).unwrap().sequence(), 0);
    let other = keys.generate("other", "ed25519").unwrap();
    let to_own = format!("/ipns/{}", own.id());
    let record = names.publish(&keys.find("other").unwrap(), &to_own, &short).unwrap();
    assert_eq!(names.resolve(&other.id.to_string(), true).unwrap(), VALUE);
    assert_eq!(names.resolve(&other.id.peer_id(), false).unwrap(), to_own);
    assert_eq!(
        names.resolve(&format!("/ipns/{}/a/b", other.id), true).unwrap(),
        format!("{VALUE}/a/b")
    );
    assert_eq!(names.publish(&own, "/ipfs/bafkqaaa", &default).unwrap().sequence(), 1);
    let low = PublishOptions { sequence: Some(1), ..default.clone() };
    assert!(matches!(names.publish(&own, VALUE, &low), Err(NameError::Sequence)));

    // A name that leads to itself.
    names.publish(&own, &to_own, &default).unwrap();
    assert!(matches!(names.resolve(&to_own, true), Err(NameError::Recursion)));
    let domain = names.resolve("example.com", true).unwrap_err().to_string();
    assert!(domain.starts_with("DNSLink lookup for \"example.com.\" failed: "), "{domain}");
    assert!(matches!(names.resolve("a..b", true), Err(NameError::NotAName)));
    assert!(matches!(
        names.resolve(&Key::generate().id().to_string(), true),
        Err(NameError::Unresolved)
    ));

    let half = LIFETIME / 2;
    assert_eq!(names.due(SystemTime::now() + half).unwrap(), [other.id]);
    let resigned = names.sign_due(half).unwrap();
    assert_eq!((resigned.done, resigned.failed.len()), (vec![other.id], 0));
    let again = names.record(&other.id).unwrap().unwrap();
    assert_eq!((again.sequence(), again.value()), (record.sequence(), record.value()));
    assert!(again.end() > record.end() + half && again.check(&other.id, SystemTime::now()).is_ok());

    // A key that is gone cannot sign, and says so.
    names.publish(&keys.find("other").unwrap(), VALUE, &short).unwrap();
    keys.remove("other").unwrap();
    let resigned = names.sign_due(half).unwrap();
    assert_eq!((resigned.done.len(), resigned.failed.len()), (0, 1));
}

fn check_place(place: Arc<dyn KeyPlace>) {
    let keys = Keyring::new(Key::generate(), place);
    let refused = |error: coldfront::keys::KeyError| error.to_string();
    let one = keys.generate("one", "ed25519").unwrap();
    assert_eq!(
        refused(keys.generate("one", "ed25519").unwrap_err()),
        "key with name 'one' already exists"
    );
    assert_eq!(
        refused(keys.generate("self", "ed25519").unwrap_err()),
        "cannot create key with name 'self'"
    );
    assert_eq!(refused(keys.generate("two", "dsa").unwrap_err()), "unrecognized key type: dsa");
    assert_eq!(
        refused(keys.generate("", "ed25519").unwrap_err()),
        "key name must be at least one character"
    );
    let odd = keys.import("odd/ näme", &key("rsa"), false).unwrap();
    assert!(
        refused(keys.import("ec", &key("ec"), false).unwrap_err())
            .starts_with("key type *crypto.ECDSAPrivateKey is not allowed")
    );
    keys.import("ec", &key("ec"), true).unwrap();
    let listed: Vec<_> = keys.list().unwrap().into_iter().map(|key| key.name).collect();
    assert_eq!(listed, ["self", "ec", "odd/ näme", "one"]);
    assert_eq!(keys.find(&odd.id.peer_id()).unwrap().id(), odd.id);
    assert_eq!(keys.find("one").unwrap().id(), one.id);
    assert_eq!(refused(keys.find("nope").unwrap_err()), "no key by the given name was found");
    assert_eq!(
        refused(keys.rename("one", "ec", false).unwrap_err()),
        "key by that name already exists, refusing to overwrite"
    );
    let (named, over) = keys.rename("one", "ec", true).unwrap();
    assert!(over && named.id == one.id && keys.find("ec").unwrap().id() == one.id);
    assert_eq!(refused(keys.rename("one", "x", false).unwrap_err()), "no key named one was found");
    keys.remove("ec").unwrap();
    assert_eq!(refused(keys.remove("ec").unwrap_err()), "no key named ec was found");
    assert_eq!(keys.list().unwrap().len(), 2);
}

#[test]
fn keys_are_kept_in_a_hot_store() {
    let folder = tempfile::tempdir().unwrap();
    check_place(Arc::new(HotKeys::of(&store(folder.path()))));
}

#[test]
fn keys_are_kept_in_a_folder_as_kubo_keeps_them_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystore");
    check_place(Arc::new(KeyFolder::open(&path).unwrap()));
    let keys = Keyring::new(Key::generate(), Arc::new(KeyFolder::open(&path).unwrap()));
    keys.generate("site", "ed25519").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("key_onuxizi"))), (0o700, 0o400));
}

/// The program of a real Kubo, where there is one.
fn kubo() -> Option<PathBuf> {
    let cached = || {
        let home = std::env::var_os("HOME")?;
        let cache = Path::new(&home).join(".cache/coldfront/kubo-v0.42.0/ipfs");
        cache.is_file().then_some(cache)
    };
    std::env::var_os("COLDFRONT_KUBO").map(PathBuf::from).or_else(cached)
}

#[test]
fn kubo_believes_our_records_and_reads_our_keystore() {
    let Some(program) = kubo() else {
        eprintln!("no Kubo here: set COLDFRONT_KUBO to an ipfs program of version 0.42");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let repo = folder.path().join("repo");
    let ipfs = |args: &[&str]| {
        let output = Command::new(&program).env("IPFS_PATH", &repo).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    ipfs(&["init", "--profile=test", "--empty-repo"]);
    let file = folder.path().join("record");
    for (name, _) in KEYS {
        let key = key(name);
        let end = SystemTime::now() + LIFETIME;
        let record = Record::sign(&key, VALUE.as_bytes(), 9, end, Duration::from_secs(90), true);
        std::fs::write(&file, record.unwrap().bytes()).unwrap();
        let said = ipfs(&[
            "--offline",
            "name",
            "inspect",
            "--verify",
            &key.id().to_string(),
            file.to_str().unwrap(),
        ]);
        assert!(said.contains(VALUE) && said.contains("Sequence:       9"), "{said}");
        assert!(said.contains("Valid: true"), "{said}");
    }
    let keys =
        Keyring::new(Key::generate(), Arc::new(KeyFolder::open(repo.join("keystore")).unwrap()));
    let ours = keys.generate("ours", "ed25519").unwrap();
    keys.import("big", &key("rsa"), false).unwrap();
    let listed = ipfs(&["key", "list", "-l"]);
    assert!(listed.contains(&ours.id.to_string()) && listed.contains(KEYS[1].1), "{listed}");
    let theirs = ipfs(&["key", "gen", "theirs"]);
    assert_eq!(keys.find("theirs").unwrap().id().to_string(), theirs.trim());
}

proptest::proptest! {
    #[test]
    fn whatever_comes_in_place_of_a_record_or_a_key_is_refused_and_nothing_else_happens(
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        at in 0usize..400,
        byte in proptest::prelude::any::<u8>(),
    ) {
        let id = key("ed").id();
        let judge = |bytes: &[u8]| {
            if let Ok(record) = Record::parse(bytes) {
                let _ = (record.check(&id, SystemTime::now()), record.path());
            }
            let _ = (Key::import(bytes, KeyForm::Pem), Key::import(bytes, KeyForm::Protobuf));
        };
        judge(&noise);
        for name in ["ed.pem", "rsa.key", "ec.key", "ed.key", "ec.pem"] {
            let mut bytes = golden(name);
            let len = bytes.len();
            bytes[at % len] = byte;
            judge(&bytes);
            judge(&bytes[..at % len]);
        }
        let record = golden("k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w_v1-v2_5.ipns-record");
        let mut bytes = record.clone();
        bytes[at % record.len()] = byte;
        judge(&bytes);
        judge(&bytes[..at % record.len()]);
    }
}
