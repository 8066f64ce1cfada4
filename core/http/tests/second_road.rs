//! The golden repositories once more from file systems that refuse reads that must not wait: by the kernel's word on its
//! page cache, and by the threads that may wait.

#![allow(clippy::unwrap_used)]

#[path = "golden/checks.rs"]
mod checks;
mod common;

use std::path::Path;
use std::sync::Arc;

use coldfront::store::archive::Archive;
use coldfront::{ArchiveOptions, BlockSource, Repo, RepoOptions};
use common::{Server, golden, limits};

/// A tmpfs on nearly every Linux; it refuses `RWF_NOWAIT`.
const MEMORY: &str = "/dev/shm";

/// Runs a check over the rich repository on both roads: in memory, where only the kernel's word on its page cache tells
/// what waits; and as if nothing told, where every read goes through the threads that may wait.
fn on_other_roads(check: impl Fn(&common::tree::Golden, &Server)) {
    let golden = golden("flatfs-tree");
    let blind = open(&golden).without_foresight();
    assert!(!blind.reads_without_waiting());
    check(&golden, &serve(blind));

    if !Path::new(MEMORY).is_dir() {
        eprintln!(
            "SKIPPED: there is no {MEMORY} here, so a file system without RWF_NOWAIT is not tested"
        );
        return;
    }
    tempfile::env::override_temp_dir(Path::new(MEMORY)).ok();
    let golden = common::golden("flatfs-tree");
    assert!(golden.root().starts_with(MEMORY), "unpacked to {}", golden.root().display());
    check(&golden, &serve(open(&golden)));
}

fn open(golden: &common::tree::Golden) -> Archive {
    Archive::open(&ArchiveOptions::new(golden.root())).unwrap()
}

fn serve(archive: Archive) -> Server {
    let archive: Arc<dyn BlockSource> = Arc::new(archive);
    let repo = Repo::from_sources([("archive".to_owned(), archive)], &RepoOptions::default());
    Server::start(repo, limits())
}

#[test]
fn every_file_is_what_kubo_says() {
    on_other_roads(checks::files);
}

#[test]
fn any_range_of_any_file_is_that_part_of_it() {
    on_other_roads(checks::ranges);
}

#[test]
fn every_directory_lists_all_its_names_or_shows_its_index() {
    on_other_roads(checks::directories);
}

#[test]
fn head_says_what_get_says() {
    on_other_roads(checks::heads);
}

#[test]
fn every_file_says_its_path_its_roots_its_tag_and_that_it_never_changes() {
    on_other_roads(checks::descriptions);
}

#[test]
fn a_symbolic_link_is_its_target() {
    on_other_roads(checks::links);
}

#[test]
fn a_file_has_the_type_that_its_name_or_its_first_bytes_tell() {
    on_other_roads(checks::media_types);
}
