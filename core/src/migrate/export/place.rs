//! The folder that becomes a repository: whose it is, how far it has come, and that one process at a time writes into it.
//!
//! Owns the file `coldfront-export.json`, which says what was asked for and what is durable so far, and the file `version`, without
//! which Kubo opens nothing. The first is there while an export is half made, the second never before the end. What an
//! export leaves as `coldfront-exported.json` tells a later one where to begin.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use coldfront_flatfs::ShardFn;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::config::REPO_VERSION;
use super::error::ExportError;
use super::files::{read_if_there, remove_if_there, sync_folder, write_whole};
use super::report::{Counts, Problem};

const BEGUN: &str = "coldfront-export.json";
const DONE: &str = "coldfront-exported.json";
const VERSION: &str = "version";
/// Where the version of a repository waits while blocks are added to it.
const VERSION_ASIDE: &str = "version.coldfront-export";

/// The longest of these files, in bytes: counts, and as many problems as a report may name.
const MAX_MARK_LEN: u64 = 16 * 1024 * 1024;

/// How far an export has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    /// The number of the first block that was to be written.
    pub(super) since: u64,
    /// All blocks with lower numbers are durable, or counted as problems.
    pub(super) next: u64,
    /// The last block before that, as text: a store that knows it under another number is another store.
    pub(super) last: Option<(u64, String)>,
    /// Bytes of all files of the tree.
    pub(super) usage: u64,
    /// Whether the repository was there before, and is added to.
    pub(super) added_to: bool,
    /// Whether the end has begun, in which the version is written.
    pub(super) closing: bool,
    pub(super) counts: Counts,
    pub(super) problems: Vec<Problem>,
}

/// A folder that is written into.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    shards: ShardFn,
    /// Holds the lock.
    _folder: File,
    /// Holds Kubo's, where there is a repository.
    _repository: Option<RepositoryLock>,
}

/// What a folder is found to be.
pub(super) enum Found {
    /// Nothing yet.
    Empty,
    /// An export that was begun, with this function.
    Begun(Box<Mark>, ShardFn),
    /// A repository.
    Repository,
}

impl Place {
    /// Makes the folder if there is none, locks it, and says what it is.
    pub(super) fn open(root: &Path) -> Result<(File, Found), ExportError> {
        fs::create_dir_all(root).map_err(ExportError::io("making the folder", root))?;
        let folder = File::open(root).map_err(ExportError::io("opening", root))?;
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ExportError::Locked { path: root.to_owned() });
            }
            Err(TryLockError::Error(error)) => {
                return Err(ExportError::io("locking", root)(error));
            }
        }
        let found = match read_mark(&root.join(BEGUN))? {
            Some((mark, _)) if mark.closing && has_version(root)? => {
                // It died between its last two steps.
                finish(root)?;
                Found::Repository
            }
            Some((mark, shards)) => Found::Begun(Box::new(mark), shards),
            None if has_version(root)? => Found::Repository,
            None if is_empty(root)? => Found::Empty,
            None => {
                return Err(ExportError::Foreign {
                    path: root.to_owned(),
                    what: "other files".into(),
                    way_out: "name an empty folder",
                });
            }
        };
        Ok((folder, found))
    }

    /// A folder that becomes a repository.
    pub(super) fn new(root: &Path, shards: ShardFn, folder: File) -> Place {
        Place { root: root.to_owned(), shards, _folder: folder, _repository: None }
    }

    /// A folder that is a repository. Fails while a Kubo runs on it.
    pub(super) fn of_repository(
        root: &Path,
        shards: ShardFn,
        folder: File,
    ) -> Result<Place, ExportError> {
        let lock = RepositoryLock::take(root)?;
        Ok(Place { _repository: Some(lock), ..Place::new(root, shards, folder) })
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn shards(&self) -> ShardFn {
        self.shards
    }

    /// Begins: from here on, until the end, Kubo finds no repository here.
    pub(super) fn begin(&self, mark: &Mark) -> Result<(), ExportError> {
        self.write_mark(mark)?;
        if mark.added_to && self.at(VERSION).exists() {
            // ORDER: the mark is there; a crash between leaves a repository that is whole, and an export that is begun.
            let (from, to) = (self.at(VERSION), self.at(VERSION_ASIDE));
            fs::rename(&from, &to).map_err(ExportError::io("putting aside", &from))?;
        }
        sync_folder(&self.root)
    }

    /// Replaces the mark. What it speaks for has to be durable already.
    pub(super) fn write_mark(&self, mark: &Mark) -> Result<(), ExportError> {
        let text = format!("{}\n", json_of(mark, self.shards));
        write_whole(&self.at(BEGUN), text.as_bytes(), 0o644)
    }

    /// Makes a repository of what is there, all of which is durable.
    pub(super) fn close(&self, mark: &Mark) -> Result<(), ExportError> {
        let mark = Mark { closing: true, ..mark.clone() };
        self.write_mark(&mark)?;
        sync_folder(&self.root)?;
        let version = match self.at(VERSION_ASIDE) {
            aside if aside.exists() => read_if_there(&aside, MAX_MARK_LEN)?.unwrap_or_default(),
            _ => format!("{REPO_VERSION}\n").into_bytes(),
        };
        write_whole(&self.at(VERSION), &version, 0o644)?;
        finish(&self.root)
    }
}

/// The mark at which an export of this folder ended, if one did.
pub(super) fn last_mark(root: &Path) -> Result<Option<Mark>, ExportError> {
    Ok(read_mark(&root.join(DONE))?.map(|(mark, _)| mark))
}

/// The lock that Kubo takes, so that none starts meanwhile. It is the process's: whoever opens and closes the same file
/// in this process gives it up.
#[derive(Debug)]
struct RepositoryLock {
    path: PathBuf,
    _file: File,
}

impl RepositoryLock {
    fn take(root: &Path) -> Result<RepositoryLock, ExportError> {
        let path = root.join("repo.lock");
        let mut how = File::options();
        let file = how.write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(ExportError::io("opening", &path))?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(RepositoryLock { path, _file: file }),
            Err(Errno::AGAIN | Errno::ACCESS) => {
                Err(ExportError::Running { path: root.to_owned() })
            }
            Err(errno) => Err(ExportError::io("locking", &path)(errno.into())),
        }
    }
}

/// Kubo removes the file too; one that stays is no harm.
impl Drop for RepositoryLock {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

fn finish(root: &Path) -> Result<(), ExportError> {
    remove_if_there(&root.join(VERSION_ASIDE))?;
    let (from, to) = (root.join(BEGUN), root.join(DONE));
    fs::rename(&from, &to).map_err(ExportError::io("renaming", &from))?;
    sync_folder(root)
}

fn has_version(root: &Path) -> Result<bool, ExportError> {
    let path = root.join(VERSION);
    path.try_exists().map_err(ExportError::io("looking for", &path))
}

fn is_empty(root: &Path) -> Result<bool, ExportError> {
    let entries = fs::read_dir(root).map_err(ExportError::io("reading", root))?;
    // A mark that a crash kept from its place is ours.
    let ours = |name: &std::ffi::OsStr| name == "coldfront-export.json.new" || name == "lost+found";
    for entry in entries {
        if !ours(&entry.map_err(ExportError::io("reading", root))?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn json_of(mark: &Mark, shards: ShardFn) -> Value {
    let problems: Vec<_> =
        mark.problems.iter().map(|one| json!({ "cid": one.cid, "what": one.what })).collect();
    json!({
        "format": 1,
        "shards": shards.to_string(),
        "since": mark.since,
        "next": mark.next,
        "last": mark.last.as_ref().map(|(number, cid)| json!({ "number": number, "cid": cid })),
        "usage": mark.usage,
        "added_to": mark.added_to,
        "closing": mark.closing,
        "counts": mark.counts.to_json(),
        "problems": problems,
    })
}

fn read_mark(path: &Path) -> Result<Option<(Mark, ShardFn)>, ExportError> {
    let Some(text) = read_if_there(path, MAX_MARK_LEN)? else { return Ok(None) };
    let mark = serde_json::from_slice(&text).ok().and_then(|value| mark_of(&value));
    mark.map(Some).ok_or_else(|| ExportError::Damaged {
        path: path.to_owned(),
        what: "it is no mark of an export in format 1; remove the folder and export again".into(),
    })
}

fn mark_of(value: &Value) -> Option<(Mark, ShardFn)> {
    let number = |key: &str| value.get(key)?.as_u64();
    let flag = |key: &str| value.get(key)?.as_bool();
    if number("format")? != 1 {
        return None;
    }
    let last = value.get("last").and_then(|last| {
        Some((last.get("number")?.as_u64()?, last.get("cid")?.as_str()?.to_owned()))
    });
    let problem = |value: &Value| {
        let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
        Some(Problem { cid: text("cid")?, what: text("what")? })
    };
    let mark = Mark {
        since: number("since")?,
        next: number("next")?,
        last,
        usage: number("usage")?,
        added_to: flag("added_to")?,
        closing: flag("closing")?,
        counts: Counts::of_json(value.get("counts")?)?,
        problems: value.get("problems")?.as_array()?.iter().filter_map(problem).collect(),
    };
    Some((mark, value.get("shards")?.as_str()?.parse().ok()?))
}
