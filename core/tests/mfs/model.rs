//! The file system and a map of paths, given the same calls: the same ones succeed, and both hold the same.

use std::collections::BTreeMap;

use coldfront::mfs::{CidFormat, CpOptions, Kind, Mfs, MfsOptions, MkdirOptions, WriteOptions};
use coldfront::unixfs::import::{Chunker, DirectoryOptions};
use proptest::prelude::*;

use crate::commands::World;

/// What is at a path: nothing beside it for a directory.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Clone, Debug)]
enum Call {
    Mkdir(String, bool),
    Write { path: String, offset: u64, data: Vec<u8>, truncate: bool, create: bool, v1: bool },
    Cp(String, String, bool),
    Mv(String, String),
    Rm(String, bool),
    Read(String, u64, u64),
}

fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c"), Just("ä file")];
    prop::collection::vec(name, 1..4).prop_map(|names| format!("/{}", names.join("/")))
}

fn call() -> impl Strategy<Value = Call> {
    let data = (0usize..300, any::<u8>()).prop_map(|(len, byte)| {
        (0..len).map(|at| byte.wrapping_add(at as u8)).collect::<Vec<u8>>()
    });
    prop_oneof![
        2 => (path(), any::<bool>()).prop_map(|(path, parents)| Call::Mkdir(path, parents)),
        6 => (path(), 0u64..400, data, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(path, offset, data, truncate, create, v1)| Call::Write { path, offset, data, truncate, create, v1 }
        ),
        2 => (path(), path(), any::<bool>()).prop_map(|(from, to, force)| Call::Cp(from, to, force)),
        2 => (path(), path()).prop_map(|(from, to)| Call::Mv(from, to)),
        1 => (path(), any::<bool>()).prop_map(|(path, recursive)| Call::Rm(path, recursive)),
        2 => (path(), 0u64..400, 0u64..400).prop_map(|(path, at, len)| Call::Read(path, at, len)),
    ]
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

fn is_directory(tree: &Tree, path: &str) -> bool {
    path.is_empty() || tree.get(path) == Some(&None)
}

/// All that lies at or below a path, by what follows it.
fn below(tree: &Tree, path: &str) -> Vec<(String, Option<Vec<u8>>)> {
    let inside = format!("{path}/");
    tree.iter()
        .filter(|(at, _)| *at == path || at.starts_with(&inside))
        .map(|(at, what)| (at[path.len()..].to_owned(), what.clone()))
        .collect()
}

fn put(tree: &mut Tree, to: &str, what: Vec<(String, Option<Vec<u8>>)>) {
    tree.extend(what.into_iter().map(|(rest, what)| (format!("{to}{rest}"), what)));
}

fn remove(tree: &mut Tree, path: &str) {
    for (rest, _) in below(tree, path) {
        tree.remove(&format!("{path}{rest}"));
    }
}

/// What the call does to the map; `None` for what is refused.
fn expect(tree: &mut Tree, call: &Call) -> Option<Vec<u8>> {
    match call {
        Call::Mkdir(path, parents) => mkdir(tree, path, *parents)?,
        Call::Write { path, offset, data, truncate, create, .. } => {
            let mut bytes = match tree.get(path) {
                Some(None) => return None,
                Some(Some(bytes)) => bytes.clone(),
                None if *create && is_directory(tree, above(path)) => Vec::new(),
                None => return None,
            };
            if *truncate {
                bytes.clear();
            }
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            bytes.resize(bytes.len().max(start), 0);
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(data);
            tree.insert(path.clone(), Some(bytes));
        }
        Call::Cp(from, to, force) => {
            let source = below(tree, from);
            let in_the_way = tree.get(to);
            let refused = match in_the_way {
                None => false,
                Some(None) => true,
                Some(Some(_)) => !force,
            };
            if source.is_empty() || refused || !is_directory(tree, above(to)) {
                return None;
            }
            // Forced over itself: the source is found before it goes.
            remove(tree, to);
            put(tree, to, source);
        }
        Call::Mv(from, to) => mv(tree, from, to)?,
        Call::Rm(path, recursive) => {
            if !tree.contains_key(path) || (is_directory(tree, path) && !recursive) {
                return None;
            }
            remove(tree, path);
        }
        Call::Read(path, at, len) => {
            let bytes = tree.get(path)?.as_ref()?;
            let start = *at as usize;
            let end = (start + *len as usize).min(bytes.len());
            return bytes.get(start..end.max(start)).map(<[u8]>::to_vec);
        }
    }
    Some(Vec::new())
}

fn mkdir(tree: &mut Tree, path: &str, parents: bool) -> Option<()> {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    for at in ends {
        match tree.get(&path[..at]) {
            Some(None) => {}
            None if parents => drop(tree.insert(path[..at].to_owned(), None)),
            _ => return None,
        }
    }
    match tree.get(path) {
        None => drop(tree.insert(path.to_owned(), None)),
        Some(None) if parents => {}
        Some(_) => return None,
    }
    Some(())
}

fn mv(tree: &mut Tree, from: &str, to: &str) -> Option<()> {
    let source = below(tree, from);
    if source.is_empty() || !is_directory(tree, above(to)) {
        return None;
    }
    let name = &from[above(from).len()..];
    let inside = is_directory(tree, to);
    let to = if inside { format!("{to}{name}") } else { to.to_owned() };
    let into_itself = is_directory(tree, from) && format!("{to}/").starts_with(&format!("{from}/"));
    if into_itself || (inside && tree.contains_key(&to)) {
        return None;
    }
    remove(tree, from);
    put(tree, &to, source);
    Some(())
}

/// The same call of the file system.
fn run(mfs: &Mfs, call: &Call) -> Option<Vec<u8>> {
    let done = match call {
        Call::Mkdir(path, parents) => {
            mfs.mkdir(path, &MkdirOptions { parents: *parents, ..MkdirOptions::default() })
        }
        Call::Write { path, offset, data, truncate, create, v1 } => {
            let format = v1.then(|| CidFormat::choose(Some(1), None).unwrap().unwrap());
            let (offset, truncate, create) = (*offset, *truncate, *create);
            let options =
                WriteOptions { offset, create, truncate, format, ..WriteOptions::default() };
            mfs.write(path, &mut &data[..], &options)
        }
        Call::Cp(from, to, force) => {
            mfs.cp(from, to, &CpOptions { force: *force, ..CpOptions::default() })
        }
        Call::Mv(from, to) => mfs.mv(from, to, true),
        Call::Rm(path, recursive) => mfs.rm(path, *recursive, false),
        Call::Read(path, at, len) => {
            return mfs.read(path, *at, Some(*len)).ok().map(crate::commands::bytes);
        }
    };
    done.ok().map(|()| Vec::new())
}

/// All that the file system holds.
fn walk(mfs: &Mfs, path: &str, tree: &mut Tree) {
    let mut names = Vec::new();
    mfs.list(&format!("{path}/"), &mut |entry| {
        names.push(String::from_utf8(entry.name.to_vec()).unwrap());
        true
    })
    .unwrap();
    for name in names {
        let path = format!("{path}/{name}");
        match mfs.stat(&path).unwrap().kind {
            Kind::Directory => {
                tree.insert(path.clone(), None);
                walk(mfs, &path, tree);
            }
            _ => {
                let reader = mfs.read(&path, 0, None).unwrap();
                tree.insert(path, Some(crate::commands::bytes(reader)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_file_system_holds_what_a_map_of_paths_holds(
        calls in prop::collection::vec(call(), 1..40),
        threshold in prop_oneof![Just(262_144u64), Just(60), Just(150)],
    ) {
        let directories = DirectoryOptions { threshold, max_fanout: 8, ..DirectoryOptions::default() };
        let chunker = Chunker::Size(7);
        let world = World::with(MfsOptions { chunker, directories, ..MfsOptions::default() });
        let mut tree = Tree::new();
        for call in &calls {
            // A call that is refused changes nothing.
            let mut next = tree.clone();
            let expected = expect(&mut next, call);
            if expected.is_some() {
                tree = next;
            }
            prop_assert_eq!(run(&world.mfs, call), expected, "{:?}", call);
        }
        let mut found = Tree::new();
        walk(&world.mfs, "", &mut found);
        prop_assert_eq!(found, tree);
    }
}
