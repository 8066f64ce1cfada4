//! Opening without waiting: what the kernel has in memory is opened, and what it knows not to be there is known to be
//! lacking. All else is no answer.
#![allow(clippy::unwrap_used)]

mod tree;

use std::fs;

use coldfront_flatfs::{FlatFs, Key, ShardFn};

const SHARD_FN: ShardFn = ShardFn::NextToLast(2);
const HELD: Key<'static> = Key::new(b"held");
const ABSENT: Key<'static> = Key::new(b"absent");

/// A tree with one block, unless this kernel never opens without waiting (before 5.12, or in some sandboxes).
fn tree_and_reader() -> Option<(tempfile::TempDir, FlatFs)> {
    let dir = tree::temp_dir();
    tree::make(&dir.path().join("blocks"), SHARD_FN);
    tree::put(&dir.path().join("blocks"), SHARD_FN, HELD.as_bytes(), b"bytes");
    let flatfs = FlatFs::open(dir.path().join("blocks")).unwrap();
    flatfs.open_block(HELD).unwrap().unwrap();
    if flatfs.open_block_now(HELD).is_none() {
        eprintln!("SKIPPED: this kernel opens nothing without waiting");
        return None;
    }
    Some((dir, flatfs))
}

#[test]
fn a_block_that_was_opened_lately_is_opened_without_waiting() {
    let Some((_dir, flatfs)) = tree_and_reader() else { return };
    let (now, waited) =
        (flatfs.open_block_now(HELD).unwrap(), flatfs.open_block(HELD).unwrap().unwrap());
    assert_eq!((now.opened(), now.path()), (waited.opened(), waited.path()));
    let mut bytes = [0; 9];
    assert_eq!(now.read_at(&mut bytes, 0).unwrap(), 5);
    assert_eq!(bytes[..5], *b"bytes");
    assert!(!flatfs.lacks_block_now(HELD));
}

#[test]
fn what_was_looked_for_lately_and_not_found_is_lacking_until_it_is_there() {
    let Some((_dir, flatfs)) = tree_and_reader() else { return };
    assert!(flatfs.open_block_now(ABSENT).is_none());
    assert!(!flatfs.lacks_block_now(ABSENT), "nobody has looked for it yet");
    assert!(flatfs.open_block(ABSENT).unwrap().is_none());
    assert!(flatfs.lacks_block_now(ABSENT));
    assert!(flatfs.open_block_now(ABSENT).is_none());
    // As flatfs writes: aside, then renamed into place.
    let path = flatfs.path_of(ABSENT);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path.with_extension("temp"), b"new").unwrap();
    fs::rename(path.with_extension("temp"), &path).unwrap();
    assert!(!flatfs.lacks_block_now(ABSENT));
    assert_eq!(flatfs.open_block_now(ABSENT).unwrap().len(), 3);
    fs::remove_file(&path).unwrap();
    assert!(flatfs.open_block_now(ABSENT).is_none(), "unlinked");
}

#[test]
fn keys_that_no_tree_holds_are_opened_by_nobody() {
    let Some((_dir, flatfs)) = tree_and_reader() else { return };
    assert!(flatfs.open_block_now(Key::new(&[])).is_none());
    assert!(flatfs.lacks_block_now(Key::new(&[])), "no file has an empty name");
    let long = [7; 200];
    assert!(flatfs.open_block_now(Key::new(&long)).is_none());
    assert!(!flatfs.lacks_block_now(Key::new(&long)), "it is an error to be told");
}

#[test]
fn a_tree_that_is_away_opens_nothing() {
    let Some((dir, flatfs)) = tree_and_reader() else { return };
    let (root, aside) = (dir.path().join("blocks"), dir.path().join("aside"));
    fs::rename(&root, &aside).unwrap();
    assert!(flatfs.open_block_now(HELD).is_none());
    fs::rename(&aside, &root).unwrap();
    flatfs.open_block(HELD).unwrap().unwrap();
    assert!(flatfs.open_block_now(HELD).is_some());
}

#[test]
#[ignore = "the test below runs it as another user"]
fn child_opens_now() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    flatfs.open_block(HELD).unwrap().unwrap();
    let block = flatfs.open_block_now(HELD).unwrap();
    assert_eq!(block.len(), 5);
}

#[test]
fn another_user_s_block_is_opened_without_waiting_too() {
    if !tree::is_root() || !tree::has_program("setpriv") {
        eprintln!("SKIPPED: only root, with setpriv (util-linux), can read as two users");
        return;
    }
    let Some((dir, flatfs)) = tree_and_reader() else { return };
    let child = tree::child(dir.path(), &tree::AS_NOBODY, "child_opens_now", flatfs.root());
    tree::must_pass(child);
}
