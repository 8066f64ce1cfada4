//! What the RPC API tells of the disks.
//!
//! Owns where it is found without looking at blocks: the size that Kubo left beside an archive, and the room that is left where the
//! hot store lies.

use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;

use coldfront::{ArchiveOptions, RepoOptions};
use coldfront_http::rpc::{Measured, Storage};

/// What is known of the disks of a repository. Reads one small file an archive.
pub(crate) fn of(options: &RepoOptions) -> Storage {
    let hot = options.hot.as_ref().map(|hot| hot.path.clone());
    let first = options.archives.first().map(|archive| archive.path.clone());
    let path = hot.clone().or(first).and_then(|path| std::path::absolute(path).ok());
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    let archives: Vec<_> =
        options.archives.iter().map(|archive| (name_of(archive), size_of(archive))).collect();
    if archives.iter().any(|(_, size)| size.is_none()) {
        tracing::info!(
            "the size of an archive is not known, since Kubo left no diskUsage.cache beside it: repo/stat tells what is, and the command repo/measure estimates it"
        );
    }
    let free = hot.map(|hot| -> coldfront_http::rpc::FreeSpace {
        Arc::new(move || {
            let disk = rustix::fs::statvfs(&hot).ok()?;
            Some(disk.f_bavail.saturating_mul(disk.f_frsize))
        })
    });
    Storage { path, archives, max: None, free }
}

/// The name under which an estimate of its size is found again.
fn name_of(archive: &ArchiveOptions) -> String {
    let path = std::fs::canonicalize(&archive.path).unwrap_or_else(|_| archive.path.clone());
    path.display().to_string()
}

/// The size of an archive, as Kubo wrote it down when it last stopped, with the date of that note; of a CAR file, its length.
fn size_of(archive: &ArchiveOptions) -> Option<Measured> {
    let of = |bytes: u64, found: &Metadata| Some(Measured { bytes, at: found.modified().ok()? });
    let found = std::fs::metadata(&archive.path).ok()?;
    if found.is_file() {
        return of(found.len(), &found);
    }
    let name = Path::new("diskUsage.cache");
    let at = [archive.path.join(name), archive.path.join("blocks").join(name)];
    let (text, found) = at.iter().find_map(|path| {
        Some((std::fs::read_to_string(path).ok()?, std::fs::metadata(path).ok()?))
    })?;
    of(disk_usage(&text)?, &found)
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
