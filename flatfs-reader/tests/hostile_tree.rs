//! Odd things in a block's place: each is one clear error for that block, and the next block still reads.
#![allow(clippy::unwrap_used)]

mod tree;

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use coldfront_flatfs::{Error, Fault, FileKind, FlatFs, Key, MAX_KEY_LEN, RootFault, ShardFn};

const SHARD_FN: ShardFn = ShardFn::NextToLast(2);
const GOOD: &[u8] = b"a good block";

/// A tree with one good block, and the path of a bad one whose shard directory exists.
struct Hostile {
    dir: tempfile::TempDir,
    bad: PathBuf,
}

const BAD: Key<'static> = Key::new(b"bad");

impl Hostile {
    fn new() -> Self {
        let dir = tree::temp_dir();
        tree::make(dir.path(), SHARD_FN);
        tree::put(dir.path(), SHARD_FN, GOOD, GOOD);
        let bad = tree::path(dir.path(), SHARD_FN, BAD.as_bytes());
        fs::create_dir_all(bad.parent().unwrap()).unwrap();
        Hostile { dir, bad }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Every way to ask for `key` fails with `fault`, and the good block still reads. In time, too.
    fn has_fault(&self, key: Key<'_>, fault: Fault) {
        let flatfs = FlatFs::open(self.root()).unwrap();
        let errors = in_time(|| {
            [
                flatfs.open_block(key).map(drop).unwrap_err(),
                flatfs.get(key, tree::MAX_LEN).map(drop).unwrap_err(),
                flatfs.len_of(key).map(drop).unwrap_err(),
            ]
        });
        for error in errors {
            assert!(error.to_string().starts_with("block file /"), "{error}");
            assert_eq!(fault_of(&error), Some(fault), "{error} {:?}", error.source());
        }
        // Whoever may not wait is told nothing, and least of all that there is nothing.
        in_time(|| {
            assert!(flatfs.open_block_now(key).is_none());
            assert!(!flatfs.lacks_block_now(key));
        });
        good_block_reads(&flatfs);
    }

    fn is_not_a_file(&self, found: FileKind) {
        self.has_fault(BAD, Fault::NotAFile { found });
    }

    fn is_not_held(&self, key: Key<'_>) {
        let flatfs = FlatFs::open(self.root()).unwrap();
        assert!(flatfs.open_block(key).unwrap().is_none());
        assert_eq!(flatfs.get(key, tree::MAX_LEN).unwrap(), None);
        assert_eq!(flatfs.len_of(key).unwrap(), None);
        assert!(flatfs.open_block_now(key).is_none());
        good_block_reads(&flatfs);
    }
}

fn fault_of(error: &Error) -> Option<Fault> {
    match error {
        Error::Block { fault, .. } => Some(*fault),
        _ => None,
    }
}

fn good_block_reads(flatfs: &FlatFs) {
    assert_eq!(flatfs.get(Key::new(GOOD), 100).unwrap().as_deref(), Some(GOOD));
}

/// What `f` returns, unless it hangs.
fn in_time<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let (done, alarm) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if alarm.recv_timeout(Duration::from_secs(20)) == Err(mpsc::RecvTimeoutError::Timeout) {
                // A hung thread cannot be joined: nothing but an exit ends the test.
                eprintln!("a look-up hangs");
                std::process::exit(1);
            }
        });
        let value = f();
        drop(done);
        value
    })
}

#[test]
fn a_directory_is_not_a_block() {
    let tree = Hostile::new();
    fs::create_dir(&tree.bad).unwrap();
    tree.is_not_a_file(FileKind::Directory);
}

#[test]
fn a_pipe_is_not_a_block_and_does_not_hang() {
    let tree = Hostile::new();
    assert!(Command::new("mkfifo").arg(&tree.bad).status().unwrap().success());
    tree.is_not_a_file(FileKind::Pipe);
}

#[test]
fn a_socket_is_not_a_block() {
    let tree = Hostile::new();
    let _listener = UnixListener::bind(&tree.bad).unwrap();
    tree.is_not_a_file(FileKind::Socket);
}

#[test]
fn a_device_is_not_a_block() {
    let tree = Hostile::new();
    let made = Command::new("mknod").arg(&tree.bad).args(["c", "1", "3"]).output();
    if !made.unwrap().status.success() {
        eprintln!("SKIPPED: this user may not make device nodes");
        return;
    }
    tree.is_not_a_file(FileKind::Device);
}

#[test]
fn a_link_is_not_a_block_wherever_it_leads() {
    for target in ["/etc/passwd", "nowhere", "."] {
        let tree = Hostile::new();
        symlink(target, &tree.bad).unwrap();
        tree.is_not_a_file(FileKind::Link);
    }
    let tree = Hostile::new();
    symlink(&tree.bad, &tree.bad).unwrap();
    tree.is_not_a_file(FileKind::Link);
}

#[test]
fn a_shard_directory_may_be_a_link_to_another_disk() {
    let tree = Hostile::new();
    let disk = tree::temp_dir();
    let shard = tree.bad.parent().unwrap();
    fs::remove_dir(shard).unwrap();
    symlink(disk.path(), shard).unwrap();
    fs::write(&tree.bad, "elsewhere").unwrap();
    let flatfs = FlatFs::open(tree.root()).unwrap();
    assert_eq!(flatfs.get(BAD, 100).unwrap().as_deref(), Some(&b"elsewhere"[..]));
}

#[test]
fn a_shard_directory_that_links_to_itself_cannot_be_read() {
    let tree = Hostile::new();
    let shard = tree.bad.parent().unwrap();
    fs::remove_dir(shard).unwrap();
    symlink(shard, shard).unwrap();
    tree.has_fault(BAD, Fault::Unreadable);
}

#[test]
fn a_file_in_the_place_of_a_shard_directory_holds_no_block() {
    let tree = Hostile::new();
    let shard = tree.bad.parent().unwrap();
    fs::remove_dir(shard).unwrap();
    fs::write(shard, "not a directory").unwrap();
    tree.is_not_held(BAD);
}

#[test]
fn an_empty_file_is_an_empty_block() {
    let tree = Hostile::new();
    fs::write(&tree.bad, "").unwrap();
    let flatfs = FlatFs::open(tree.root()).unwrap();
    assert_eq!(flatfs.len_of(BAD).unwrap(), Some(0));
    assert_eq!(flatfs.get(BAD, 0).unwrap(), Some(Vec::new()));
    assert!(flatfs.open_block(BAD).unwrap().unwrap().is_empty());
}

#[test]
fn a_block_longer_than_the_caller_allows_is_refused() {
    let tree = Hostile::new();
    fs::write(&tree.bad, "12345").unwrap();
    let flatfs = FlatFs::open(tree.root()).unwrap();
    let error = flatfs.get(BAD, 4).unwrap_err();
    assert_eq!(fault_of(&error), Some(Fault::TooLong { len: 5, max: 4 }));
    assert_eq!(flatfs.get(BAD, 5).unwrap().unwrap().len(), 5);
}

#[test]
fn the_longest_key_that_fits_a_file_name_is_read_and_one_byte_more_is_refused() {
    let tree = Hostile::new();
    let longest = [7; MAX_KEY_LEN];
    tree::put(tree.root(), SHARD_FN, &longest, b"long");
    let flatfs = FlatFs::open(tree.root()).unwrap();
    assert_eq!(flatfs.get(Key::new(&longest), 9).unwrap().as_deref(), Some(&b"long"[..]));
    tree.has_fault(Key::new(&[7; MAX_KEY_LEN + 1]), Fault::NameTooLong);
    tree.has_fault(Key::new(&[7; 1 << 16]), Fault::NameTooLong);
}

#[test]
fn the_empty_key_is_never_held() {
    let tree = Hostile::new();
    tree::put(tree.root(), SHARD_FN, b"", b"misplaced");
    tree.is_not_held(Key::new(b""));
}

#[test]
fn a_key_of_path_characters_stays_inside_the_tree() {
    let tree = Hostile::new();
    for bytes in [&b"../../../etc/passwd"[..], b"/", b"..", b"\0", b"a\0b", b"\xff\xfe"] {
        tree.is_not_held(Key::new(bytes));
        let path = FlatFs::open(tree.root()).unwrap().path_of(Key::new(bytes));
        let below = path.strip_prefix(tree.root()).unwrap();
        assert_eq!(below.components().count(), 2, "{}", path.display());
        assert!(path.to_str().unwrap().bytes().all(|b| b.is_ascii_graphic()));
    }
}

/// The file that may not be read, and the directory that may not be entered; told by a plain user.
#[test]
#[ignore = "the test below runs it as a plain user"]
fn child_is_denied() {
    let root = tree::told_tree();
    let flatfs = FlatFs::open(&root).unwrap();
    for key in [Key::new(b"secret file"), Key::new(b"secret directory!")] {
        let error = flatfs.get(key, 100).unwrap_err();
        assert_eq!(fault_of(&error), Some(Fault::Denied), "{error}");
        assert!(flatfs.open_block_now(key).is_none() && !flatfs.lacks_block_now(key));
    }
    // A length needs no permission on the file itself.
    assert_eq!(flatfs.len_of(Key::new(b"secret file")).unwrap(), Some(1));
    good_block_reads(&flatfs);
}

#[test]
fn a_file_that_may_not_be_read_is_denied_and_the_next_block_reads() {
    let tree = Hostile::new();
    let file = tree::put(tree.root(), SHARD_FN, b"secret file", b"x");
    let inner = tree::put(tree.root(), SHARD_FN, b"secret directory!", b"x");
    let shut = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    shut(&file);
    shut(inner.parent().unwrap());
    let dir = tree::temp_dir();
    if !tree::is_root() {
        tree::must_pass(tree::child(dir.path(), &["env"], "child_is_denied", tree.root()));
    } else if tree::has_program("setpriv") {
        tree::must_pass(tree::child(dir.path(), &tree::AS_NOBODY, "child_is_denied", tree.root()));
    } else {
        eprintln!("SKIPPED: root needs setpriv (util-linux) to become a plain user");
    }
    fs::set_permissions(inner.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// The reason why `root` is not an archive.
fn open_error(root: &Path) -> RootFault {
    match in_time(|| FlatFs::open(root)).unwrap_err() {
        Error::NotAnArchive { path, reason } => {
            assert_eq!(path, root);
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_directory_without_sharding_is_no_archive() {
    let dir = tree::temp_dir();
    assert!(matches!(open_error(dir.path()), RootFault::Missing));
    assert!(matches!(open_error(&dir.path().join("nowhere")), RootFault::Missing));
}

#[test]
fn a_sharding_that_is_huge_binary_empty_or_foreign_is_no_archive() {
    let dir = tree::temp_dir();
    let sharding = dir.path().join("SHARDING");
    let line = "/repo/flatfs/shard/v1/next-to-last/2";
    fs::write(&sharding, format!("{line}{}", " ".repeat(2000))).unwrap();
    assert!(matches!(open_error(dir.path()), RootFault::TooLong));
    fs::File::create(&sharding).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(open_error(dir.path()), RootFault::TooLong));
    for text in [&b"\x7fELF\xff\xff"[..], b"", b"auto", b"/repo/flatfs/shard/v1/prefix/4000000000"]
    {
        fs::write(&sharding, text).unwrap();
        assert!(matches!(open_error(dir.path()), RootFault::Malformed(_)), "{text:?}");
    }
}

#[test]
fn a_sharding_that_is_no_file_is_no_archive_and_does_not_hang() {
    let dir = tree::temp_dir();
    let sharding = dir.path().join("SHARDING");
    fs::create_dir(&sharding).unwrap();
    let found = FileKind::Directory;
    assert!(matches!(open_error(dir.path()), RootFault::NotAFile { found: f } if f == found));
    fs::remove_dir(&sharding).unwrap();
    assert!(Command::new("mkfifo").arg(&sharding).status().unwrap().success());
    let found = FileKind::Pipe;
    assert!(matches!(open_error(dir.path()), RootFault::NotAFile { found: f } if f == found));
}

#[test]
fn an_error_prints_one_layer_and_its_source_the_next() {
    let dir = tree::temp_dir();
    fs::write(dir.path().join("SHARDING"), "/repo/flatfs/shard/v1/last/2").unwrap();
    let error = FlatFs::open(dir.path()).unwrap_err();
    let mut chain = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        chain.push(source.to_string());
        next = source.source();
    }
    assert_eq!(
        chain,
        [
            format!("archive {}: this is not a readable flatfs tree", dir.path().display()),
            "SHARDING cannot be understood".to_owned(),
            "its function is \"last\", expected \"prefix\", \"suffix\" or \"next-to-last\""
                .to_owned(),
        ]
    );
}
