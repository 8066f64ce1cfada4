//! The golden repositories once more from a file system that cannot be read without waiting: the road
//! through the threads that may.

#![allow(clippy::unwrap_used)]

#[path = "golden/checks.rs"]
mod checks;
mod common;

use std::path::Path;

use coldfront::store::archive::Archive;
use coldfront::{ArchiveOptions, Verify};
use common::{Server, golden, limits};

/// A tmpfs on nearly every Linux; it refuses `RWF_NOWAIT`.
const MEMORY: &str = "/dev/shm";

/// Runs a check over the rich repository in memory; says so loudly where that would test nothing new.
fn in_memory(check: impl Fn(&common::tree::Golden, &Server)) {
    if !Path::new(MEMORY).is_dir() {
        eprintln!("SKIPPED: there is no {MEMORY} here, so the second road is not tested");
        return;
    }
    tempfile::env::override_temp_dir(Path::new(MEMORY)).ok();
    let golden = golden("flatfs-tree");
    assert!(golden.root().starts_with(MEMORY), "unpacked to {}", golden.root().display());
    let archive = Archive::open(&ArchiveOptions::new(golden.root())).unwrap();
    if archive.reads_without_waiting() {
        eprintln!("SKIPPED: {MEMORY} can be read without waiting, so this is the first road again");
        return;
    }
    check(&golden, &Server::start(golden.repo(Verify::Off), limits()));
}

#[test]
fn every_file_is_what_kubo_says() {
    in_memory(checks::files);
}

#[test]
fn any_range_of_any_file_is_that_part_of_it() {
    in_memory(checks::ranges);
}

#[test]
fn every_directory_lists_all_its_names_or_shows_its_index() {
    in_memory(checks::directories);
}

#[test]
fn head_says_what_get_says() {
    in_memory(checks::heads);
}

#[test]
fn every_file_says_its_path_its_roots_its_tag_and_that_it_never_changes() {
    in_memory(checks::descriptions);
}

#[test]
fn a_symbolic_link_is_its_target() {
    in_memory(checks::links);
}

#[test]
fn a_file_has_the_type_that_its_name_or_its_first_bytes_tell() {
    in_memory(checks::media_types);
}
