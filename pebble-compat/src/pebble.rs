//! Which manifest of a Pebble store is in force, and what of its options a reader must refuse.
//!
//! Rules: Pebble `open.go`, `vfs/atomicfs/marker.go`, `format_major_version.go`.

use std::path::{Path, PathBuf};

use crate::error::{Error, Fault, Feature};
use crate::leveldb;
use crate::manifest::COMPARER;
use crate::source::{SourceFile, number_after};

/// The newest format major version whose files are known to be read right: that of Kubo 0.38 to 0.42.
pub(crate) const NEWEST_FORMAT: u64 = 24;

/// Longest options file that is read; Kubo's have 3 KiB.
const MAX_OPTIONS_LEN: u64 = 1 << 20;

/// The manifest in force among `names`, the files of `dir`, after what the store says of itself was checked.
pub(crate) fn manifest(dir: &Path, names: &[String], salvage: bool) -> Result<PathBuf, Error> {
    check_options(dir, names)?;
    check_format(dir, names)?;
    let by_current = || leveldb::current(dir, "CURRENT", names);
    let Some(marked) = marker(names, "manifest") else { return by_current() };
    if !salvage && by_current().is_ok() {
        return Err(Feature::TwoStores.of(dir));
    }
    if number_after(marked, "MANIFEST-").is_none() {
        return Err(Feature::FormatVersion { found: u64::MAX, max: NEWEST_FORMAT }.of(dir));
    }
    Ok(dir.join(marked))
}

/// Whether one of `names` is a marker of Pebble's.
pub(crate) fn has_markers(names: &[String]) -> bool {
    marker(names, "manifest").is_some() || marker(names, "format-version").is_some()
}

/// The value of the marker `name`: that of the file `marker.NAME.ITERATION.VALUE` with the highest iteration.
fn marker<'a>(names: &'a [String], name: &str) -> Option<&'a str> {
    let all = names.iter().filter_map(|file| {
        let (iteration, value) =
            file.strip_prefix("marker.")?.strip_prefix(name)?.strip_prefix('.')?.split_once('.')?;
        Some((number_after(iteration, "")?, value))
    });
    all.max().map(|(_, value)| value)
}

fn check_format(dir: &Path, names: &[String]) -> Result<(), Error> {
    let Some(value) = marker(names, "format-version") else { return Ok(()) };
    let found = number_after(value, "");
    let found =
        found.ok_or_else(|| Fault::Malformed("format version in the marker's name").at(dir, 0))?;
    refuse_newer(dir, found)
}

fn refuse_newer(path: &Path, found: u64) -> Result<(), Error> {
    let feature = Feature::FormatVersion { found, max: NEWEST_FORMAT };
    if found > NEWEST_FORMAT { Err(feature.of(path)) } else { Ok(()) }
}

/// The newest options file, if there is one.
pub(crate) fn options(names: &[String]) -> Option<&String> {
    let all = names.iter().filter_map(|name| Some((number_after(name, "OPTIONS-")?, name)));
    all.max().map(|(_, name)| name)
}

/// Refuses a store by what its options say.
fn check_options(dir: &Path, names: &[String]) -> Result<(), Error> {
    let Some(name) = options(names) else { return Ok(()) };
    let path = dir.join(name);
    let bytes = SourceFile::read_all(path.clone(), MAX_OPTIONS_LEN, "options")?;
    let text = String::from_utf8_lossy(&bytes);
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            if section.starts_with("WAL Failover") {
                return Err(Feature::WalFailover.of(&path));
            }
        } else if let Some((key, value)) = line.split_once('=') {
            check_option(&path, section, key.trim(), value.trim())?;
        }
    }
    Ok(())
}

fn check_option(path: &Path, section: &str, key: &str, value: &str) -> Result<(), Error> {
    match (section, key) {
        ("Version", "rocksdb_version") => Err(Feature::RocksDb.of(path)),
        ("Options", "comparer") if value != COMPARER => {
            Err(Feature::Comparer(value.to_owned()).of(path))
        }
        ("Options", "wal_dir") if !value.is_empty() => {
            Err(Feature::WalElsewhere(value.to_owned()).of(path))
        }
        ("Options", "format_major_version") => {
            let malformed = || Fault::Malformed("format_major_version").at(path, 0);
            refuse_newer(path, value.parse().map_err(|_| malformed())?)
        }
        _ => Ok(()),
    }
}
