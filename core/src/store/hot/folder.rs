//! The folder of a hot store: whose it is, which format it has, and that one process at a time has it.
//!
//! Owns the file `COLDFRONT-HOT`, which holds the format version as text and is locked while the store is
//! open, and the recognition of folders that are something else. RocksDB is not asked before all this is
//! settled: it would take over other programs' databases. Must not know families.
//!
//! ```text
//! FOLDER/COLDFRONT-HOT   "coldfront hot store, format 1\n"
//! FOLDER/PAYLOAD         where the payload is, if it lies elsewhere (`payload_folder.rs`)
//! FOLDER/db/             RocksDB's files
//! FOLDER/db.new/         the same while it is made; left over only by a crash, and then made anew
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::error::HotError;
use super::payload_folder;
use super::schema::FORMAT_VERSION;
use crate::fail;

const MARKER: &str = "COLDFRONT-HOT";
const MARKER_TEXT: &str = "coldfront hot store, format ";
/// A marker is one short line; more than this is not read, in bytes.
const MAX_MARKER_LEN: u64 = 256;

/// The folder of a store, locked as long as the value lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _marker: File,
}

impl Folder {
    /// Locks the folder of a store. With `create`, makes one of an absent or empty folder.
    pub(super) fn open(path: &Path, create: bool) -> Result<Folder, HotError> {
        let path = std::path::absolute(path).map_err(HotError::io(path, "finding the folder"))?;
        let marker = match open_marker(&path)? {
            Some(marker) => marker,
            None => make_marker(&path, create)?,
        };
        lock(&path, &marker)?;
        check_format(&path, &marker)?;
        Ok(Folder { path, _marker: marker })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where RocksDB's files lie.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("db")
    }

    /// Where the payload lies, if not beside the index: where it was put when the store was made, or where it is said to
    /// have moved.
    pub(super) fn payload(&self, asked: Option<&Path>) -> Result<Option<PathBuf>, HotError> {
        let is_new = !exists(&self.database())?;
        payload_folder::find(&self.path, is_new, asked)
    }

    /// Makes the database if there is none yet: `make` fills a folder that takes its place whole, so
    /// that a crash leaves either no database or a complete one.
    pub(super) fn ensure_database(
        &self,
        make: impl FnOnce(&Path) -> Result<(), HotError>,
    ) -> Result<(), HotError> {
        let (database, new) = (self.database(), self.path.join("db.new"));
        if exists(&database)? {
            return Ok(());
        }
        if exists(&new)? {
            fs::remove_dir_all(&new).map_err(HotError::io(&new, "removing what a crash left"))?;
        }
        fail::point("before the database is made");
        make(&new)?;
        fail::point("before the database is in place");
        fs::rename(&new, &database).map_err(HotError::io(&database, "putting it in place"))?;
        sync_folder(&self.path)
    }
}

pub(super) fn exists(path: &Path) -> Result<bool, HotError> {
    path.try_exists().map_err(HotError::io(path, "looking for it"))
}

pub(super) fn sync_folder(path: &Path) -> Result<(), HotError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(HotError::io(path, "syncing the folder"))
}

fn open_marker(folder: &Path) -> Result<Option<File>, HotError> {
    let path = folder.join(MARKER);
    match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(marker) => Ok(Some(marker)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(foreign(folder, &FILE)),
        Err(error) => Err(HotError::io(&path, "opening it")(error)),
    }
}

/// Fails with a sentence where a folder holds something.
pub(super) fn demand_empty(folder: &Path) -> Result<(), HotError> {
    match kind_of(folder)? {
        Some(kind) => Err(foreign(folder, kind)),
        None => Ok(()),
    }
}

/// The folder holds no marker: makes one if nothing else is there.
fn make_marker(folder: &Path, create: bool) -> Result<File, HotError> {
    demand_empty(folder)?;
    if !create {
        return Err(HotError::Absent { path: folder.to_owned() });
    }
    fs::create_dir_all(folder).map_err(HotError::io(folder, "creating the folder"))?;
    let (new, path) = (folder.join("COLDFRONT-HOT.new"), folder.join(MARKER));
    let io = |doing| HotError::io(&path, doing);
    let mut file = File::create(&new).map_err(io("creating it"))?;
    file.write_all(format!("{MARKER_TEXT}{FORMAT_VERSION}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io("writing it"))?;
    fail::point("before the marker is in place");
    // ORDER: the marker appears whole, and before anything that it vouches for.
    fs::rename(&new, &path).map_err(io("putting it in place"))?;
    sync_folder(folder)?;
    open_marker(folder)?.ok_or_else(|| HotError::Absent { path: folder.to_owned() })
}

fn lock(folder: &Path, marker: &File) -> Result<(), HotError> {
    match marker.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(HotError::Locked { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(HotError::io(folder, "locking it")(error)),
    }
}

fn check_format(folder: &Path, marker: &File) -> Result<(), HotError> {
    let mut text = String::new();
    marker
        .take(MAX_MARKER_LEN)
        .read_to_string(&mut text)
        .map_err(HotError::io(&folder.join(MARKER), "reading it"))?;
    let version = text
        .strip_prefix(MARKER_TEXT)
        .and_then(|rest| rest.trim_end().parse().ok())
        .ok_or_else(|| HotError::damaged(folder, format!("{MARKER} says {text:?}")))?;
    check_version(folder, version)
}

/// Whether a format version is one that this program reads.
pub(super) fn check_version(folder: &Path, found: u32) -> Result<(), HotError> {
    let path = folder.to_owned();
    match found {
        FORMAT_VERSION => Ok(()),
        newer if newer > FORMAT_VERSION => {
            Err(HotError::Newer { path, found: newer, known: FORMAT_VERSION })
        }
        older => Err(HotError::Older { path, found: older }),
    }
}

/// What else a folder may be.
struct Kind {
    what: &'static str,
    way_out: &'static str,
}

const MIGRATE: &str = "name an empty folder, and bring its content over with coldfront-migrate";
const EMPTY: &str = "name an empty folder";

const FILE: Kind = Kind { what: "a file", way_out: EMPTY };
const KUBO: Kind = Kind { what: "a Kubo repository", way_out: MIGRATE };
const FLATFS: Kind = Kind { what: "a flatfs tree", way_out: "serve it with --archive instead" };
const PEBBLE: Kind = Kind { what: "a Pebble database", way_out: MIGRATE };
const LEVELDB: Kind = Kind { what: "a LevelDB database", way_out: MIGRATE };
const BADGER: Kind = Kind { what: "a Badger database", way_out: MIGRATE };
const ROCKSDB: Kind = Kind { what: "a RocksDB database of another program", way_out: EMPTY };
const OTHER: Kind = Kind { what: "other files", way_out: EMPTY };

fn foreign(path: &Path, kind: &Kind) -> HotError {
    HotError::Foreign { path: path.to_owned(), what: kind.what, way_out: kind.way_out }
}

/// What a folder without our marker holds; `None` when it is absent or empty. Tries names, and reads
/// the folder no further than its first entry.
fn kind_of(folder: &Path) -> Result<Option<&'static Kind>, HotError> {
    let mut entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(Some(&FILE)),
        Err(error) => return Err(HotError::io(folder, "reading the folder")(error)),
    };
    // A marker that a crash kept from its place is ours.
    let ours = |name: &std::ffi::OsStr| {
        // Of the payload, a marker that a crash left alone.
        name == "COLDFRONT-HOT.new" || name == "lost+found" || name == payload_folder::MARKER
    };
    if entries.all(|entry| entry.is_ok_and(|entry| ours(&entry.file_name()))) {
        return Ok(None);
    }
    let has = |name: &str| folder.join(name).exists();
    Ok(Some(if has("datastore_spec") || (has("config") && has("blocks")) {
        &KUBO
    } else if has("SHARDING") {
        &FLATFS
    } else if has("KEYREGISTRY") || (has("MANIFEST") && !has("CURRENT")) {
        &BADGER
    } else {
        database_kind(folder)
    }))
}

/// Tells LevelDB and its descendants apart by the files that only one of them keeps.
fn database_kind(folder: &Path) -> &'static Kind {
    /// Files of a database that are looked at; the telling ones are among the few oldest or newest.
    const MAX_LOOKED_AT: usize = 100_000;
    let (mut pebble, mut rocks, mut level) = (false, false, false);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_LOOKED_AT) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        pebble |= name.starts_with("marker.");
        rocks |= name == "IDENTITY";
        level |= name.ends_with(".ldb") || name == "CURRENT";
    }
    match (pebble, rocks, level) {
        (true, ..) => &PEBBLE,
        (_, true, _) => &ROCKSDB,
        (.., true) => &LEVELDB,
        _ => &OTHER,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    fn refusal(folder: &Path) -> String {
        Folder::open(folder, true).unwrap_err().to_string()
    }

    #[test]
    fn each_foreign_folder_is_named_and_the_way_out_said() {
        for (files, what, way_out) in [
            (&["CURRENT", "MANIFEST-000001", "000003.ldb", "LOG"][..], "a LevelDB", "migrate"),
            (&["CURRENT", "MANIFEST-000000", "000001.log"], "a LevelDB", "migrate"),
            (&["marker.manifest.000001.MANIFEST-000001", "000004.sst"], "a Pebble", "migrate"),
            (&["CURRENT", "IDENTITY", "OPTIONS-000007"], "a RocksDB", "empty folder"),
            (&["datastore_spec", "config"], "a Kubo repository", "migrate"),
            (&["SHARDING"], "a flatfs tree", "--archive"),
            (&["MANIFEST", "000000.vlog"], "a Badger", "migrate"),
            (&["holiday.jpg"], "other files", "empty folder"),
        ] {
            let text = refusal(with(files).path());
            assert!(text.contains(what) && text.contains(way_out), "{files:?}: {text}");
        }
    }

    #[test]
    fn a_refused_folder_is_left_as_it_was() {
        let folder = with(&["CURRENT"]);
        refusal(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_the_folders_place_is_refused() {
        let folder = with(&["file"]);
        assert!(refusal(&folder.path().join("file")).contains("a file"));
    }

    #[test]
    fn one_process_at_a_time_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path(), true).unwrap();
        assert!(matches!(Folder::open(folder.path(), true), Err(HotError::Locked { .. })));
        drop(first);
        Folder::open(folder.path(), false).unwrap();
    }

    #[test]
    fn versions_that_are_not_ours_are_refused_by_number() {
        let folder = tempfile::tempdir().unwrap();
        drop(Folder::open(folder.path(), true).unwrap());
        let marker = folder.path().join(MARKER);
        fs::write(&marker, format!("{MARKER_TEXT}{}\n", FORMAT_VERSION + 1)).unwrap();
        assert!(matches!(Folder::open(folder.path(), true), Err(HotError::Newer { .. })));
        fs::write(&marker, format!("{MARKER_TEXT}0\n")).unwrap();
        assert!(matches!(Folder::open(folder.path(), true), Err(HotError::Older { .. })));
        fs::write(&marker, "something else").unwrap();
        assert!(matches!(Folder::open(folder.path(), true), Err(HotError::Damaged { .. })));
    }

    #[test]
    fn an_absent_store_is_made_only_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/hot");
        assert!(matches!(Folder::open(&path, false), Err(HotError::Absent { .. })));
        assert!(!path.exists());
        Folder::open(&path, true).unwrap();
    }
}
