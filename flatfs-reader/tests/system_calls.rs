//! What the kernel is asked, counted by `strace`: no directory is read, nothing is opened for writing, a hit is one
//! open and a miss one open and one stat. And what happens when the kernel answers with an error.
//!
//! Where `strace` is missing or may not trace, every test here says so and does nothing.
#![allow(clippy::unwrap_used)]

mod tree;

use std::fs;
use std::path::Path;

use coldfront_flatfs::{Error, Fault, FlatFs, Foresight, Key, RootFault, ShardFn};

const SHARD_FN: ShardFn = ShardFn::NextToLast(2);
const MARK: &str = "/coldfront-mark-";

/// Leaves a word in the trace: a stat of a file that does not exist.
fn mark(word: &str) {
    assert!(fs::metadata(format!("{MARK}{word}")).is_err());
}

#[test]
#[ignore = "run under strace by the tests below"]
fn child_does_one_of_each() {
    let root = tree::told_tree();
    let (held, absent) = (tree::key(0), tree::key(99));
    let (held, absent) = (Key::new(&held), Key::new(&absent));
    mark("open");
    let flatfs = FlatFs::open(root).unwrap();
    mark("get");
    assert!(flatfs.get(held, tree::MAX_LEN).unwrap().is_some());
    mark("open_block");
    let block = flatfs.open_block(held).unwrap().unwrap();
    mark("open_block_now");
    let now = flatfs.open_block_now(held);
    mark("lacks_block_now");
    assert!(!flatfs.lacks_block_now(held));
    mark("compared");
    assert!(now.is_none_or(|now| now.opened() == block.opened()));
    mark("read_at");
    assert_eq!(block.read_at(&mut [0; 10], 5).unwrap(), 10);
    mark("stamp");
    block.stamp().unwrap();
    mark("advice");
    block.will_need(10, 20);
    block.dont_need(30, 40);
    block.will_need(50, 0);
    mark("free");
    assert!(!block.is_empty());
    assert!(flatfs.path_of(held).starts_with(flatfs.root()));
    let _ = (flatfs.shard_fn(), flatfs.foresight(), block.opened());
    assert!(flatfs.get(Key::new(&[1; 200]), 1).is_err());
    assert!(flatfs.get(Key::new(&[]), 1).unwrap().is_none());
    mark("len_of");
    assert!(flatfs.len_of(held).unwrap().is_some());
    mark("miss");
    assert!(flatfs.get(absent, tree::MAX_LEN).unwrap().is_none());
    mark("miss_now");
    assert!(flatfs.open_block_now(absent).is_none());
    mark("len_of_miss");
    assert!(flatfs.len_of(absent).unwrap().is_none());
    mark("available");
    flatfs.available().unwrap();
    mark("end");
}

/// The calls between two marks that touch the tree, by name and whether they fail.
fn calls_between<'a>(trace: &'a str, word: &str, root: &Path) -> Vec<&'a str> {
    let mark = format!("{MARK}{word}\"");
    let root = root.to_str().unwrap();
    trace
        .lines()
        // The standard library checks a descriptor before it closes it, in debug builds only.
        .filter(|line| !line.contains("F_GETFD"))
        .skip_while(|line| !line.contains(&mark))
        .skip(1)
        .take_while(|line| !line.contains(MARK))
        .filter(|line| line.contains(root))
        .map(|line| {
            let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
            match call.split('(').next().unwrap() {
                "newfstatat" | "stat" | "lstat" | "statx" if !call.contains("AT_EMPTY_PATH") => {
                    "stat"
                }
                "newfstatat" | "statx" => "fstat",
                "openat" => "open",
                name => name,
            }
        })
        .collect()
}

/// The trace of a child over a tree of ten blocks, or `None` where nothing can be traced.
fn trace(dir: &Path, name: &str, options: &[&str]) -> Option<String> {
    let out = dir.join("trace");
    let out_text = out.to_str().unwrap().to_owned();
    let strace = ["strace", "-f", "-y", "-s", "400", "-o", &out_text];
    let mut probe = std::process::Command::new("strace");
    if !probe.args(["-o", &out_text, "true"]).output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: strace is missing or may not trace");
        return None;
    }
    let root = dir.join("blocks");
    tree::make_with_blocks(&root, SHARD_FN, 10);
    let wrapper = [&strace[..], options].concat();
    tree::must_pass(tree::child(dir, &wrapper, name, &root));
    Some(fs::read_to_string(out).unwrap())
}

#[test]
fn each_call_costs_what_its_documentation_says() {
    let dir = tree::temp_dir();
    let Some(trace) = trace(dir.path(), "child_does_one_of_each", &["-e", "trace=%file,%desc"])
    else {
        return;
    };
    let root = dir.path().join("blocks");
    let calls = |word| calls_between(&trace, word, &root);
    assert_eq!(calls("open"), ["open", "fstat", "pread64", "pread64", "preadv2", "close"]);
    assert_eq!(calls("get"), ["open", "fstat", "pread64", "close"]);
    assert_eq!(calls("open_block"), ["open", "fstat"]);
    assert_eq!(calls("open_block_now"), ["openat2", "fstat"]);
    assert_eq!(calls("lacks_block_now")[0], "openat2");
    assert_eq!(calls("miss_now"), ["openat2"]);
    for line in trace.lines().filter(|line| line.contains("openat2(")) {
        assert!(line.contains("resolve=RESOLVE_CACHED"), "it may wait: {line}");
        assert!(line.contains("O_NONBLOCK") && line.contains("O_NOFOLLOW"), "{line}");
    }
    assert_eq!(calls("read_at"), ["pread64"]);
    assert_eq!(calls("stamp"), ["fstat"]);
    assert_eq!(calls("advice"), ["fadvise64", "fadvise64"]);
    for advice in ["10, 20, POSIX_FADV_WILLNEED", "30, 40, POSIX_FADV_DONTNEED"] {
        assert!(trace.contains(advice), "the kernel was not told {advice}");
    }
    assert_eq!(calls("free"), [""; 0]);
    assert_eq!(calls("len_of"), ["stat"]);
    assert_eq!(calls("miss"), ["open", "stat"]);
    assert_eq!(calls("len_of_miss"), ["stat", "stat"]);
    assert_eq!(calls("available"), ["stat"]);
}

#[test]
fn another_user_s_tree_costs_one_more_open_once() {
    if !tree::is_root() || !tree::has_program("setpriv") {
        eprintln!("SKIPPED: only root, with setpriv (util-linux), can read as two users");
        return;
    }
    let dir = tree::temp_dir();
    let options = [&["-e", "trace=%file,%desc"], &tree::AS_NOBODY[..]].concat();
    let Some(trace) = trace(dir.path(), "child_does_one_of_each", &options) else {
        return;
    };
    let root = dir.path().join("blocks");
    let calls = |word| calls_between(&trace, word, &root);
    assert_eq!(calls("open"), ["open", "open", "fstat", "pread64", "pread64", "preadv2", "close"]);
    assert_eq!(calls("get"), ["open", "fstat", "pread64", "close"]);
    assert_eq!(calls("miss"), ["open", "stat"]);
}

#[test]
fn no_directory_is_read_and_nothing_is_opened_for_writing() {
    let dir = tree::temp_dir();
    let Some(trace) = trace(dir.path(), "child_does_one_of_each", &["-e", "trace=all"]) else {
        return;
    };
    let root = dir.path().join("blocks");
    let ours: Vec<_> = trace.lines().filter(|line| line.contains(root.to_str().unwrap())).collect();
    assert!(ours.iter().any(|line| line.contains("O_RDONLY")), "nothing was traced");
    for line in ours {
        for word in [
            "getdents",
            "O_DIRECTORY",
            "O_WRONLY",
            "O_RDWR",
            "O_CREAT",
            "O_TRUNC",
            "mkdir",
            "unlink",
            "rename",
            "chmod",
            "chown",
            "utime",
            "truncate",
            "pwrite",
            "setxattr",
        ] {
            // The child is told its tree in the environment, which is part of the trace.
            assert!(line.contains("execve(") || !line.contains(word), "{word} in {line}");
        }
    }
}

/// The error of one child's look-up of block 0; block 1 must read.
fn error_of_block_0(flatfs: &FlatFs) -> Error {
    let error = flatfs.get(Key::new(&tree::key(0)), tree::MAX_LEN).unwrap_err();
    assert_eq!(flatfs.get(Key::new(&tree::key(1)), tree::MAX_LEN).unwrap(), Some(tree::bytes(1)));
    error
}

fn fault(error: &Error) -> (Fault, Option<i32>) {
    match error {
        Error::Block { fault, source, .. } => {
            (*fault, source.as_ref().and_then(|e| e.raw_os_error()))
        }
        other => panic!("{other:?}"),
    }
}

/// Runs a child whose system calls on one path fail as `inject` says.
fn with_failing_calls(
    name: &str,
    path_in_tree: impl Fn(&Path) -> std::path::PathBuf,
    inject: &str,
) {
    let dir = tree::temp_dir();
    let path = path_in_tree(&dir.path().join("blocks"));
    let inject = format!("inject={inject}");
    trace(dir.path(), name, &["-P", path.to_str().unwrap(), "-e", &inject]);
}

fn block_0(root: &Path) -> std::path::PathBuf {
    tree::path(root, SHARD_FN, &tree::key(0))
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_cannot_open_block_0() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    let (fault, errno) = fault(&error_of_block_0(&flatfs));
    assert_eq!(fault, Fault::Unreadable);
    assert!([5, 116, 107].contains(&errno.unwrap()), "{errno:?}");
}

#[test]
fn a_bad_sector_under_a_file_s_name_is_a_fault_of_that_block() {
    for errno in ["EIO", "ESTALE", "ENOTCONN"] {
        with_failing_calls(
            "child_cannot_open_block_0",
            block_0,
            &format!("open,openat:error={errno}"),
        );
    }
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_cannot_read_block_0() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    assert_eq!(fault(&error_of_block_0(&flatfs)), (Fault::Unreadable, Some(5)));
}

#[test]
fn a_bad_sector_under_a_file_s_bytes_is_a_fault_of_that_block() {
    with_failing_calls("child_cannot_read_block_0", block_0, "pread64:error=EIO");
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_reads_block_0_through_signals() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    let bytes = flatfs.get(Key::new(&tree::key(0)), tree::MAX_LEN).unwrap();
    assert_eq!(bytes, Some(tree::bytes(0)));
}

#[test]
fn an_interrupted_call_is_made_again() {
    for call in ["open,openat", "pread64"] {
        let inject = format!("{call}:error=EINTR:when=1");
        with_failing_calls("child_reads_block_0_through_signals", block_0, &inject);
    }
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_sees_block_0_end_early() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    let expected = tree::bytes(0).len() as u64;
    let cut = Fault::Truncated { expected, got: 0 };
    assert_eq!(fault(&error_of_block_0(&flatfs)), (cut, None));
}

#[test]
fn a_file_that_ends_early_is_a_fault_and_never_a_short_block() {
    with_failing_calls("child_sees_block_0_end_early", block_0, "pread64:retval=0");
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_has_no_descriptor_for_block_0() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    let error = error_of_block_0(&flatfs);
    assert!(matches!(error, Error::OutOfFiles { .. }), "{error:?}");
}

#[test]
fn running_out_of_descriptors_says_nothing_about_the_block() {
    for errno in ["EMFILE", "ENFILE"] {
        let inject = format!("open,openat:error={errno}");
        with_failing_calls("child_has_no_descriptor_for_block_0", block_0, &inject);
    }
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_finds_a_dead_mount() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    let error = flatfs.get(Key::new(&tree::key(99)), tree::MAX_LEN).unwrap_err();
    assert!(
        matches!(error, Error::Unavailable { reason: RootFault::Unreadable(_), .. }),
        "{error:?}"
    );
    assert!(flatfs.available().is_err());
}

#[test]
fn a_miss_on_a_mount_that_died_is_unavailable_and_not_absent() {
    for errno in ["EIO", "ESTALE", "ENOTCONN"] {
        let inject = format!("newfstatat,statx,stat:error={errno}");
        let sharding = |root: &Path| root.join("SHARDING");
        with_failing_calls("child_finds_a_dead_mount", sharding, &inject);
    }
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_opens_nothing_now() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    let (held, absent) = (tree::key(0), tree::key(99));
    for key in [Key::new(&held), Key::new(&absent)] {
        assert!(flatfs.open_block_now(key).is_none());
        assert!(!flatfs.lacks_block_now(key));
    }
    assert!(flatfs.open_block(Key::new(&held)).unwrap().is_some());
    assert!(flatfs.open_block(Key::new(&absent)).unwrap().is_none());
}

#[test]
fn without_an_answer_from_memory_nothing_is_said_about_a_block() {
    let dir = tree::temp_dir();
    for errno in ["EAGAIN", "ENOSYS", "EIO", "EACCES", "EMFILE", "EPERM"] {
        let inject = format!("inject=openat2:error={errno}");
        trace(dir.path(), "child_opens_nothing_now", &["-e", &inject]);
    }
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_serves_without_nowait() {
    let flatfs = FlatFs::open(tree::told_tree()).unwrap();
    assert_ne!(flatfs.foresight(), Foresight::Reads);
    let block = flatfs.open_block(Key::new(&tree::key(0))).unwrap().unwrap();
    assert_eq!(block.read_now(&mut [0; 10], 0).unwrap(), None);
    assert_eq!(block.read_at(&mut [0; 10], 0).unwrap(), 10);
}

#[test]
fn a_file_system_that_refuses_nowait_is_known_at_open_and_served_without() {
    let dir = tree::temp_dir();
    for errno in ["EOPNOTSUPP", "EINVAL", "ENOSYS"] {
        let inject = format!("inject=preadv2:error={errno}");
        trace(dir.path(), "child_serves_without_nowait", &["-e", &inject]);
    }
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_trusts_nowait() {
    assert_eq!(FlatFs::open(tree::told_tree()).unwrap().foresight(), Foresight::Reads);
}

#[test]
fn a_file_system_that_answers_not_in_memory_accepts_nowait() {
    let dir = tree::temp_dir();
    trace(dir.path(), "child_trusts_nowait", &["-e", "inject=preadv2:error=EAGAIN"]);
}

#[test]
#[ignore = "run under strace by the test below"]
fn child_has_no_descriptor_for_the_root() {
    let error = FlatFs::open(tree::told_tree()).unwrap_err();
    assert!(matches!(error, Error::OutOfFiles { .. }), "{error:?}");
}

#[test]
fn running_out_of_descriptors_says_nothing_about_the_tree() {
    let sharding = |root: &Path| root.join("SHARDING");
    let inject = "open,openat:error=EMFILE";
    with_failing_calls("child_has_no_descriptor_for_the_root", sharding, inject);
}
