//! An archive whose folders nobody may list serves everything it holds, and afterwards names, sizes, modes,
//! times and bytes are what they were. Under `strace` no folder of it is ever read.
//!
//! Permission does not bind root, so under root the reading is done by a child process that is a plain user.

#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use coldfront::{ArchiveOptions, Cid, ContentPath, Node, Repo, RepoOptions};
use sha2::{Digest, Sha256};
use tree::{Golden, POLICIES};

/// Tells a child process which repository to read.
const REPOSITORY: &str = "COLDFRONT_TEST_REPOSITORY";

/// An unprivileged user: `nobody` on Debian.
const NOBODY: u32 = 65534;

const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// The roots that are walked: plain and sharded directories, files of every layout.
const LABELS: [&str; 8] = [
    "tree-v1",
    "tree-v0",
    "hamt-8",
    "big-narrow",
    "big-trickle",
    "trickle-v0",
    "inline-dir",
    "wrapped",
];

/// Reads every file and listing below the roots, and asks for a block that is not there.
fn read_everything(repository: &Path, roots: &[Cid]) {
    for verify in POLICIES {
        let archives = vec![ArchiveOptions::new(repository)];
        let repo = Repo::open(&RepoOptions { archives, verify, ..RepoOptions::default() }).unwrap();
        let mut files = 0;
        let mut paths: Vec<_> = roots.iter().map(|cid| ContentPath::new(*cid)).collect();
        while let Some(path) = paths.pop() {
            let node = repo.resolve(&path).unwrap().node;
            if node.is_directory() {
                paths
                    .extend(repo.list(&node).unwrap().map(|entry| path.join(&entry.unwrap().name)));
            } else if let Node::File(file) = &*node {
                assert_eq!(tree::read(&repo, &node, ..).unwrap().len() as u64, file.size());
                repo.read(&node, ..).warm(0, 1 << 20);
                files += 1;
            }
        }
        assert!(files > 300, "{files} files");
        let absent: Cid =
            "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy".parse().unwrap();
        assert!(repo.block(&absent).unwrap().is_none());
        assert!(repo.watch(0).is_empty());
        assert_eq!(repo.stats().tiers.faults, 0);
    }
}

fn roots(golden: &Golden) -> Vec<Cid> {
    LABELS.iter().map(|label| golden.cid(label)).collect()
}

#[test]
#[ignore = "the other tests of this file run it as another user"]
fn child_reads_everything() {
    let repository = PathBuf::from(std::env::var_os(REPOSITORY).unwrap());
    assert!(
        fs::read_dir(repository.join("blocks")).is_err(),
        "this user may list the tree, so nothing would be proved"
    );
    let roots = fs::read_to_string(repository.join("roots")).unwrap();
    read_everything(
        &repository,
        &roots.lines().map(|cid| cid.parse().unwrap()).collect::<Vec<_>>(),
    );
}

/// What can be told of a path: everything but its access time, which a reader who is not the owner moves.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    ino: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn traces(paths: &[PathBuf]) -> BTreeMap<PathBuf, Trace> {
    let trace = |path: &PathBuf| {
        let meta = path.symlink_metadata().unwrap();
        Trace {
            ino: meta.ino(),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            links: meta.nlink(),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    };
    paths.iter().map(|path| (path.clone(), trace(path))).collect()
}

/// Every path at and below `root`, folders before what is in them.
fn every_path(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        if path.symlink_metadata().unwrap().is_dir() {
            let mut inside: Vec<_> =
                fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()).collect();
            inside.sort();
            found.extend(inside);
        }
        next += 1;
    }
    found
}

fn hashes(paths: &[PathBuf]) -> Vec<Vec<u8>> {
    let files = paths.iter().filter(|path| path.is_file());
    files.map(|path| Sha256::digest(fs::read(path).unwrap()).to_vec()).collect()
}

/// Gives the files to whoever reads them and takes the right to list from every folder.
fn close(paths: &[PathBuf], mode: u32) {
    for path in paths {
        if is_root() {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        if path.is_dir() {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn is_root() -> bool {
    tempfile::tempdir().unwrap().path().metadata().unwrap().uid() == 0
}

fn has_program(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_tree_that_nobody_may_list_is_served_whole_and_stays_as_it_was() {
    let golden = Golden::own("flatfs-tree");
    let repository = golden.root();
    let roots = roots(&golden);
    let listed = roots.iter().map(|cid| format!("{cid}\n")).collect::<String>();
    fs::write(repository.join("roots"), listed).unwrap();
    fs::set_permissions(repository.parent().unwrap(), fs::Permissions::from_mode(0o711)).unwrap();
    let paths = every_path(&repository);
    let bytes = hashes(&paths);
    close(&paths, 0o311);
    let before = traces(&paths);
    if !is_root() {
        assert!(fs::read_dir(&repository).is_err());
        read_everything(&repository, &roots);
    } else if has_program("setpriv") {
        read_as_nobody(&repository);
    } else {
        eprintln!("SKIPPED: root needs setpriv (util-linux) to become a plain user");
    }
    assert_eq!(traces(&paths), before);
    close(&paths, 0o755);
    assert_eq!(every_path(&repository), paths);
    assert_eq!(hashes(&paths), bytes);
}

/// Runs this test binary once more, as another user, from where that user can start it.
fn read_as_nobody(repository: &Path) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = dir.path().join("test-binary");
    // Another process copies: a descriptor of our own, open for writing, could be inherited by a child
    // that another test starts at this moment, and a file open for writing cannot be executed.
    let copied = Command::new("install")
        .args(["-m", "755"])
        .arg(std::env::current_exe().unwrap())
        .arg(&binary)
        .status();
    assert!(copied.unwrap().success());
    let output = Command::new(AS_NOBODY[0])
        .args(&AS_NOBODY[1..])
        .arg(&binary)
        .args(["--exact", "child_reads_everything", "--ignored", "--nocapture"])
        .env(REPOSITORY, repository)
        .current_dir("/")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// The example beside the tests, which cargo builds with them.
fn example() -> Option<PathBuf> {
    let target = std::env::current_exe().unwrap();
    let example = target.parent()?.parent()?.join("examples/read_archive");
    example.exists().then_some(example)
}

#[test]
fn no_folder_of_the_archive_is_read_and_nothing_is_opened_for_writing() {
    let (Some(example), true) = (example(), Command::new("strace").arg("-V").output().is_ok())
    else {
        eprintln!("SKIPPED: there is no strace, or the example read_archive is not built");
        return;
    };
    let golden = Golden::own("flatfs-tree");
    let repository = golden.root();
    let log = repository.with_file_name("strace.log");
    let root = golden.cid("tree-v1");
    let paths = ["", "/many", "/video", "/big.bin", "/no-such-name"];
    for below in paths {
        let traced = Command::new("strace")
            .args(["-f", "-o"])
            .arg(&log)
            .arg(&example)
            .arg(&repository)
            .arg(format!("/ipfs/{root}{below}"))
            .output()
            .unwrap();
        let calls = fs::read_to_string(&log).unwrap();
        if calls.contains("PTRACE") || !calls.contains("execve(") {
            eprintln!(
                "SKIPPED: strace may not trace here: {}",
                String::from_utf8_lossy(&traced.stderr)
            );
            return;
        }
        assert_eq!(traced.status.success(), below != "/no-such-name");
        let in_archive: Vec<_> =
            calls.lines().filter(|line| line.contains("/flatfs-tree/")).collect();
        assert!(in_archive.len() >= 3, "SHARDING and the blocks: {in_archive:?}");
        assert!(!calls.contains("getdents"), "{below}: a folder was read\n{calls}");
        for line in in_archive {
            let writes =
                ["O_WRONLY", "O_RDWR", "O_CREAT", "O_DIRECTORY", "unlink", "rename", "mkdir"];
            assert!(!writes.iter().any(|word| line.contains(word)), "{below}: {line}");
        }
    }
}
