//! What the RPC API tells of the disks.
//!
//! Owns where it is found without looking at blocks: the size that Kubo left beside an archive, and the room that is left where the
//! hot store lies.

use std::path::Path;
use std::sync::Arc;

use coldfront::{ArchiveOptions, RepoOptions};
use coldfront_http::rpc::Storage;

/// What is known of the disks of a repository. Reads one small file an archive.
pub(crate) fn of(options: &RepoOptions) -> Storage {
    let hot = options.hot.as_ref().map(|hot| hot.path.clone());
    let first = options.archives.first().map(|archive| archive.path.clone());
    let path = hot.clone().or(first).map(|path| path.display().to_string()).unwrap_or_default();
    let archives = options.archives.iter().map(bytes_of);
    let known: Option<Vec<u64>> = archives.collect();
    if known.is_none() {
        tracing::info!(
            "the size of an archive is not known, since Kubo left no diskUsage.cache beside it: repo/stat tells what is"
        );
    }
    let archive_bytes = options.archives.iter().filter_map(bytes_of).reduce(u64::saturating_add);
    let free = hot.map(|hot| -> coldfront_http::rpc::FreeSpace {
        Arc::new(move || {
            let disk = rustix::fs::statvfs(&hot).ok()?;
            Some(disk.f_bavail.saturating_mul(disk.f_frsize))
        })
    });
    Storage { path, archive_bytes, max: None, free }
}

/// The size of an archive, as Kubo wrote it down when it last stopped; of a CAR file, its length.
fn bytes_of(archive: &ArchiveOptions) -> Option<u64> {
    let found = std::fs::metadata(&archive.path).ok()?;
    if found.is_file() {
        return Some(found.len());
    }
    let name = Path::new("diskUsage.cache");
    let at = [archive.path.join(name), archive.path.join("blocks").join(name)];
    let text = at.iter().find_map(|path| std::fs::read_to_string(path).ok())?;
    disk_usage(&text)
}

/// `{"diskUsage":4096,"accuracy":"initial-exact"}`.
fn disk_usage(text: &str) -> Option<u64> {
    let (_, behind) = text.split_once("\"diskUsage\"")?;
    let number = behind.trim_start().strip_prefix(':')?.trim_start();
    let end = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_that_kubo_left_is_read() {
        assert_eq!(disk_usage("{\"diskUsage\":4096,\"accuracy\":\"initial-exact\"}\n"), Some(4096));
        assert_eq!(disk_usage("{ \"diskUsage\" : 81600000000000 }"), Some(81_600_000_000_000));
        for none in ["", "{}", "{\"diskUsage\":-1}", "{\"diskUsage\":\"x\"}"] {
            assert_eq!(disk_usage(none), None, "{none}");
        }
    }
}
