//! Kubo's own repositories over HTTP: every file, directory and link is what Kubo says it is.

#![allow(clippy::unwrap_used)]

mod common;

use coldfront::Verify;
use common::{Server, golden, limits};

/// The checks themselves, which another road through the server repeats.
#[path = "golden/checks.rs"]
mod checks;

fn each_repository(check: impl Fn(&common::tree::Golden, &Server)) {
    for name in ["flatfs-tree", "flatfs-prefix-2", "flatfs-suffix-3"] {
        let golden = golden(name);
        check(&golden, &Server::start(golden.repo(Verify::Off), limits()));
    }
}

#[test]
fn every_file_has_the_bytes_the_length_and_the_hash_that_kubo_says() {
    each_repository(checks::files);
}

#[test]
fn every_file_says_its_path_its_roots_its_tag_and_that_it_never_changes() {
    each_repository(checks::descriptions);
}

#[test]
fn head_says_what_get_says() {
    each_repository(checks::heads);
}

#[test]
fn any_range_of_any_file_is_that_part_of_it() {
    each_repository(checks::ranges);
}

#[test]
fn every_directory_lists_all_its_names_or_shows_its_index() {
    each_repository(checks::directories);
}

#[test]
fn a_symbolic_link_is_its_target_as_text_and_is_not_followed() {
    each_repository(checks::links);
}

#[test]
fn a_file_has_the_type_that_its_name_or_its_first_bytes_tell() {
    let golden = golden("flatfs-tree");
    let server = Server::start(golden.repo(Verify::Off), limits());
    checks::media_types(&golden, &server);
}

#[test]
fn every_file_is_right_when_every_read_is_verified() {
    for verify in [Verify::FirstRead, Verify::Always] {
        let golden = golden("flatfs-tree");
        let server = Server::start(golden.repo(verify), limits());
        checks::files(&golden, &server);
        checks::ranges(&golden, &server);
    }
}
