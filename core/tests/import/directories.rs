//! Trees: their paths, their order, what is refused, and directories of every size read back.

use std::collections::BTreeSet;
use std::sync::Arc;

use coldfront::store::memory::Memory;
use coldfront::unixfs::import::{
    DirectoryOptions, ImportError, ImportOptions, Imported, Importer, Metadata, Mtime,
    SizeEstimate, Tree,
};
use coldfront::{ContentPath, Node};
use proptest::prelude::*;

use crate::round_trip::repo;

fn importer() -> (Importer, Arc<Memory>) {
    let store = Arc::new(Memory::new());
    (Importer::new(&ImportOptions::cid_v1(), store.clone()).unwrap(), store)
}

fn file(importer: &mut Importer, content: &str) -> Imported {
    importer.file(content.as_bytes(), &Metadata::NONE).unwrap()
}

#[test]
fn entries_may_come_in_any_order() {
    let paths = ["a/b/c", "z", "a/x", "m/n/o/p", "a/b/d"];
    let root = |paths: &mut dyn Iterator<Item = &&str>| {
        let (mut importer, _) = importer();
        let mut tree = Tree::new();
        for path in paths {
            let imported = file(&mut importer, path);
            tree.insert(path.as_bytes(), &imported).unwrap();
        }
        tree.finish(&mut importer, &mut |_, _| {}).unwrap()
    };
    assert_eq!(root(&mut paths.iter()), root(&mut paths.iter().rev()));
}

#[test]
fn directories_are_told_children_first_in_the_order_of_names_and_the_root_last() {
    let (mut importer, _) = importer();
    let leaf = file(&mut importer, "x");
    let told = |with_root: bool, importer: &mut Importer| {
        let mut tree = Tree::new();
        for path in ["b/y/f", "b/x/f", "top", "a/f", "b/f", "c"] {
            tree.insert(path.as_bytes(), &leaf).unwrap();
        }
        tree.directory(b"empty", &Metadata::NONE).unwrap();
        let mut told = Vec::new();
        let mut each =
            |path: &[u8], _: &Imported| told.push(String::from_utf8(path.to_vec()).unwrap());
        match with_root {
            true => drop(tree.finish(importer, &mut each).unwrap()),
            false => tree.finish_entries(importer, &mut each).unwrap(),
        }
        told
    };
    assert_eq!(told(true, &mut importer), ["a", "b/x", "b/y", "b", "empty", ""]);
    assert_eq!(told(false, &mut importer), ["a", "b/x", "b/y", "b", "empty"]);
}

#[test]
fn without_the_root_its_block_is_not_made() {
    let (mut importer, store) = importer();
    let leaf = file(&mut importer, "x");
    let mut tree = Tree::new();
    tree.insert(b"a", &leaf).unwrap();
    tree.finish_entries(&mut importer, &mut |_, _| panic!("there is no directory")).unwrap();
    importer.finish().unwrap();
    let root = {
        let mut tree = Tree::new();
        tree.insert(b"a", &leaf).unwrap();
        let mut importer = Importer::only_hash(&ImportOptions::cid_v1()).unwrap();
        tree.finish(&mut importer, &mut |_, _| {}).unwrap()
    };
    assert!(coldfront::BlockSource::size(&*store, &leaf.cid).unwrap().is_some());
    assert!(coldfront::BlockSource::size(&*store, &root.cid).unwrap().is_none());
}

#[test]
fn two_entries_of_one_path_are_refused() {
    let clash = |first: &str, second: &str| {
        let (mut importer, _) = importer();
        let leaf = file(&mut importer, "x");
        let mut tree = Tree::new();
        let mut put = |path: &str| match path.strip_suffix('/') {
            Some(path) => tree.directory(path.as_bytes(), &Metadata::NONE),
            None => tree.insert(path.as_bytes(), &leaf),
        };
        put(first)
            .and_then(|()| put(second))
            .and_then(|()| tree.finish(&mut importer, &mut |_, _| {}).map(drop))
    };
    for (first, second) in
        [("a", "a"), ("d/a", "d/a"), ("a", "a/b"), ("a/b", "a"), ("a", "a/"), ("a/", "a")]
    {
        let error = clash(first, second).unwrap_err();
        assert!(matches!(error, ImportError::AlreadyThere(_)), "{first} {second}: {error}");
    }
    let error = clash("d/e/a", "d/e/a").unwrap_err().to_string();
    assert_eq!(error, "directory already has entry by that name: \"d/e/a\"");
    for (first, second) in [("a", "b"), ("a/", "a/"), ("a/b", "a/"), ("a", "A")] {
        clash(first, second).unwrap();
    }
}

#[test]
fn two_entries_of_one_name_are_refused_in_a_sharded_directory_too() {
    let directories = DirectoryOptions { threshold: 1, ..DirectoryOptions::default() };
    let options = ImportOptions { directories, ..ImportOptions::cid_v1() };
    let mut importer = Importer::only_hash(&options).unwrap();
    let leaf = file(&mut importer, "x");
    let mut tree = Tree::new();
    for name in ["a", "b", "c", "b"] {
        tree.insert(name.as_bytes(), &leaf).unwrap();
    }
    let error = tree.finish(&mut importer, &mut |_, _| {}).unwrap_err();
    assert!(matches!(&error, ImportError::AlreadyThere(name) if name == "b"), "{error}");
}

#[test]
fn paths_that_name_no_place_are_refused() {
    let (mut importer, _) = importer();
    let leaf = file(&mut importer, "x");
    let mut tree = Tree::new();
    let long = "n/".repeat(40_000);
    for path in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/.", long.as_str()] {
        let error = tree.insert(path.as_bytes(), &leaf).unwrap_err();
        assert!(matches!(error, ImportError::Path { .. }), "{path}: {error}");
        assert!(error.to_string().len() < 300, "a sentence, not the path: {error}");
    }
    for path in ["...", "a./b", "\u{0}", "a\\b"] {
        tree.insert(path.as_bytes(), &leaf).unwrap();
    }
}

#[test]
fn a_deep_tree_needs_no_stack() {
    let (mut importer, store) = importer();
    let leaf = file(&mut importer, "x");
    let mut tree = Tree::new();
    let path = "d/".repeat(30_000) + "f";
    tree.insert(path.as_bytes(), &leaf).unwrap();
    let mut told = 0;
    let root = std::thread::Builder::new().stack_size(256 * 1024).spawn(move || {
        let root = tree.finish(&mut importer, &mut |_, _| told += 1).unwrap();
        importer.finish().unwrap();
        assert_eq!(told, 30_001);
        root
    });
    let root = root.unwrap().join().unwrap();
    assert!(coldfront::BlockSource::size(&*store, &root.cid).unwrap().is_some());
}

#[test]
fn what_is_said_of_a_directory_may_come_after_its_entries() {
    let options = ImportOptions { metadata: true, ..ImportOptions::cid_v1() };
    let meta = Metadata { mode: Some(0o750), mtime: Some(Mtime { seconds: 5, nanos: 0 }) };
    let root = |first: bool| {
        let mut importer = Importer::only_hash(&options).unwrap();
        let leaf = file(&mut importer, "x");
        let mut tree = Tree::new();
        let directory = |tree: &mut Tree, meta: &Metadata| tree.directory(b"d", meta).unwrap();
        if first {
            directory(&mut tree, &meta);
        }
        tree.insert(b"d/f", &leaf).unwrap();
        if !first {
            directory(&mut tree, &meta);
        }
        // Nothing said leaves what was.
        directory(&mut tree, &Metadata::NONE);
        tree.finish(&mut importer, &mut |_, _| {}).unwrap()
    };
    assert_eq!(root(true), root(false));
    let silent = {
        let mut importer = Importer::only_hash(&options).unwrap();
        let mut tree = Tree::new();
        tree.insert(b"d/f", &file(&mut importer, "x")).unwrap();
        tree.finish(&mut importer, &mut |_, _| {}).unwrap()
    };
    assert!(root(true).tsize > silent.tsize, "it is written down");
}

#[test]
fn a_mode_is_its_low_12_bits_and_none_where_they_are_zero() {
    let options = ImportOptions { metadata: true, ..ImportOptions::cid_v1() };
    let root = |mode| {
        let mut importer = Importer::only_hash(&options).unwrap();
        importer.file(&b"x"[..], &Metadata { mode, mtime: None }).unwrap()
    };
    assert_eq!(root(Some(0o100_644)), root(Some(0o644)));
    assert_ne!(root(Some(0o4644)), root(Some(0o644)));
    assert_eq!(root(Some(0)), root(None));
    assert_eq!(root(Some(0o100_000)), root(None));
}

#[test]
fn an_empty_directory_that_is_a_root_of_its_own_is_kept_and_others_only_if_asked_for() {
    let told = |empty_directories: bool, with_root: bool| {
        let options = ImportOptions { empty_directories, ..ImportOptions::cid_v1() };
        let mut importer = Importer::only_hash(&options).unwrap();
        let mut tree = Tree::new();
        tree.directory(b"top", &Metadata::NONE).unwrap();
        tree.directory(b"other/below", &Metadata::NONE).unwrap();
        let mut told = Vec::new();
        let mut each =
            |path: &[u8], _: &Imported| told.push(String::from_utf8_lossy(path).into_owned());
        if with_root {
            tree.finish(&mut importer, &mut each).unwrap();
        } else {
            tree.finish_entries(&mut importer, &mut each).unwrap();
        }
        told
    };
    assert_eq!(told(true, false), ["other/below", "other", "top"]);
    assert_eq!(told(false, false), ["other", "top"]);
    assert_eq!(told(false, true), ["other", ""]);
}

#[test]
fn a_file_where_a_directory_is_is_refused_at_once() {
    let (mut importer, _) = importer();
    let leaf = file(&mut importer, "x");
    let mut tree = Tree::new();
    tree.insert(b"a/b", &leaf).unwrap();
    assert!(matches!(tree.insert(b"a", &leaf), Err(ImportError::AlreadyThere(_))));
}

#[test]
fn a_directory_whose_block_nobody_could_read_is_refused() {
    let directories =
        DirectoryOptions { estimate: SizeEstimate::Disabled, ..DirectoryOptions::default() };
    let options = ImportOptions { directories, ..ImportOptions::cid_v1() };
    let mut importer = Importer::only_hash(&options).unwrap();
    let leaf = file(&mut importer, "x");
    let mut tree = Tree::new();
    for i in 0..50_000 {
        tree.insert(format!("{i:0>200}").as_bytes(), &leaf).unwrap();
    }
    let error = tree.finish(&mut importer, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, ImportError::BlockTooLarge { .. }), "{error}");
}

/// Two names of 32 bytes whose murmur3 is the same: every first half has a second half that leads to any
/// state, because each step can be undone.
fn names_of_one_hash() -> (Vec<u8>, Vec<u8>) {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    /// What a number must be multiplied by to give one.
    fn inverse(odd: u64) -> u64 {
        (0..6).fold(odd, |x, _| x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x))))
    }
    let mix = |k: u64, a: u64, turn, b: u64| k.wrapping_mul(a).rotate_left(turn).wrapping_mul(b);
    let unmix = |k: u64, a: u64, turn, b: u64| {
        k.wrapping_mul(inverse(b)).rotate_right(turn).wrapping_mul(inverse(a))
    };
    let first = |k1, k2| {
        let h1 = mix(k1, C1, 31, C2).rotate_left(27).wrapping_mul(5).wrapping_add(0x52dc_e729);
        let h2 = mix(k2, C2, 33, C1).rotate_left(31).wrapping_add(h1);
        (h1, h2.wrapping_mul(5).wrapping_add(0x3849_5ab5))
    };
    // The second half that brings a state to h1 = 0 and h2 = 0 before the last multiplications.
    let second = |(h1, h2): (u64, u64)| {
        let m1 = 0u64.wrapping_sub(h2).rotate_right(27) ^ h1;
        let after = 0u64.wrapping_mul(5).wrapping_add(0x52dc_e729);
        let m2 = 0u64.wrapping_sub(after).rotate_right(31) ^ h2;
        (unmix(m1, C1, 31, C2), unmix(m2, C2, 33, C1))
    };
    let mut names = (0u64..).map(|i| {
        let (a, b) = (0x6161_6161_6161_6161 + i, 0x6262_6262_6262_6262);
        let (c, d) = second(first(a, b));
        [a, b, c, d].map(u64::to_le_bytes).concat()
    });
    let mut next = || names.find(|name| !name.contains(&b'/')).unwrap();
    (next(), next())
}

#[test]
fn names_of_one_hash_are_refused_in_a_sharded_directory_and_no_trouble_in_another() {
    let (one, other) = names_of_one_hash();
    for (threshold, fits) in [(262_144, true), (1, false)] {
        let directories = DirectoryOptions { threshold, ..DirectoryOptions::default() };
        let options = ImportOptions { directories, ..ImportOptions::cid_v1() };
        let mut importer = Importer::only_hash(&options).unwrap();
        let leaf = file(&mut importer, "x");
        let mut tree = Tree::new();
        for name in [&b"a"[..], &one, b"b", &other] {
            tree.insert(name, &leaf).unwrap();
        }
        match tree.finish(&mut importer, &mut |_, _| {}) {
            Ok(_) => assert!(fits),
            Err(ImportError::SameHash { first, second }) => {
                assert!(!fits);
                assert_ne!(first, second);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn names_and_targets_of_unheard_of_length_are_refused() {
    let directories =
        DirectoryOptions { threshold: 1, max_fanout: 1024, ..DirectoryOptions::default() };
    let options = ImportOptions { directories, ..ImportOptions::cid_v1() };
    let mut importer = Importer::only_hash(&options).unwrap();
    let leaf = file(&mut importer, "x");
    let mut tree = Tree::new();
    for i in 0..1000 {
        tree.insert(format!("{i:0>60000}").as_bytes(), &leaf).unwrap();
    }
    let error = tree.finish(&mut importer, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, ImportError::BlockTooLarge { .. }), "{error}");
    let error = importer.symlink(&vec![b'x'; 9 << 20], &Metadata::NONE).unwrap_err();
    assert!(matches!(error, ImportError::BlockTooLarge { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_entry_is_listed_and_found(
        names in prop::collection::btree_set("[a-zA-Z0-9é☂ .]{1,12}", 0..300),
        threshold in prop_oneof![Just(1u64), Just(2000), Just(262_144)],
        fanout in prop_oneof![Just(8u32), Just(16), Just(256), Just(1024)],
    ) {
        let names: BTreeSet<String> =
            names.into_iter().filter(|name| name != "." && name != "..").collect();
        let store = Arc::new(Memory::new());
        let directories =
            DirectoryOptions { threshold, max_fanout: fanout, ..DirectoryOptions::default() };
        let options = ImportOptions { directories, ..ImportOptions::cid_v1() };
        let mut importer = Importer::new(&options, store.clone()).unwrap();
        let mut tree = Tree::new();
        for name in &names {
            let leaf = file(&mut importer, name);
            tree.insert(name.as_bytes(), &leaf).unwrap();
        }
        let root = tree.finish(&mut importer, &mut |_, _| {}).unwrap();
        importer.finish().unwrap();
        let repo = repo(store);
        let node = repo.resolve(&ContentPath::new(root.cid)).unwrap().node;
        let sharded = matches!(&*node, Node::Shard(_));
        prop_assert_eq!(sharded, names.iter().map(|name| name.len() as u64 + 36).sum::<u64>() > threshold);
        let listed: Vec<_> = repo.list(&node).unwrap().map(|entry| entry.unwrap().name).collect();
        let sorted: BTreeSet<String> =
            listed.iter().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
        prop_assert_eq!(listed.len(), names.len());
        prop_assert_eq!(&sorted, &names);
        for name in &names {
            prop_assert!(repo.lookup_now(&node, name.as_bytes()).is_some() || sharded, "{}", name);
        }
    }
}
