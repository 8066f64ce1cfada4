//! What a stranger may rely on: a repository that Kubo wrote is read without default features.

use std::path::{Path, PathBuf};
use std::process::Command;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden");

/// A golden repository in a folder of its own, gone with the value.
struct Unpacked(PathBuf);

impl Unpacked {
    fn new(test: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("coldfront-stranger-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder takes a new folder");
        let done = Command::new("tar")
            .args(["-xzf", &format!("{GOLDEN}/flatfs-tree.tar.gz"), "-C"])
            .arg(&folder)
            .status()
            .expect("tar runs");
        assert!(done.success(), "tar could not unpack the golden repository");
        Self(folder)
    }

    fn repo(&self) -> PathBuf {
        self.0.join("flatfs-tree")
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The CID of the root `label`, from the first lines of what Kubo answered.
fn root(label: &str) -> String {
    let answers = std::fs::read_to_string(Path::new(GOLDEN).join("flatfs-tree.expected.json"))
        .expect("the golden answers are readable");
    let from = answers.find("\"roots\"").expect("there are roots");
    let key = format!("\"{label}\": \"");
    let start = from + answers[from..].find(&key).expect("the root is named") + key.len();
    answers[start..].split('"').next().expect("a quoted CID").to_owned()
}

#[test]
fn a_piece_in_the_middle_of_a_large_file_is_the_bytes_that_lie_there() {
    let golden = Unpacked::new("piece");
    let path = format!("/ipfs/{}/big.bin", root("tree-v1"));
    // Every 256 bytes of this file begin with their own offset.
    let middle = 2_621_440;
    let bytes =
        stranger::piece(&golden.repo(), &path, middle..middle + 100).expect("the piece is read");
    assert_eq!(bytes.len(), 100);
    assert!(
        bytes.starts_with(format!("{middle:011}:abc").as_bytes()),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
}

#[test]
fn a_piece_across_two_blocks_has_both_of_its_ends() {
    let golden = Unpacked::new("border");
    let path = format!("/ipfs/{}/over-256k.bin", root("tree-v0"));
    let bytes =
        stranger::piece(&golden.repo(), &path, 262_143..262_145).expect("the piece is read");
    assert_eq!(bytes, b"\n0");
}

#[test]
fn a_sharded_directory_lists_all_of_its_names() {
    let golden = Unpacked::new("names");
    let mut names = stranger::names(&golden.repo(), &format!("/ipfs/{}/many", root("tree-v1")))
        .expect("the directory is listed");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 130);
}

#[test]
fn a_name_that_is_not_there_is_an_error_that_names_it() {
    let golden = Unpacked::new("missing");
    let path = format!("/ipfs/{}/no-such-name", root("tree-v1"));
    let error = stranger::piece(&golden.repo(), &path, 0..1).expect_err("there is no such file");
    assert!(error.to_string().contains("no-such-name"), "{error}");
}
