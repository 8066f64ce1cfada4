//! A flatfs tree, listed: what serving never does and moving must.
//!
//! Owns the walk over shard directories and the order inside one. Files are given in the order of their inodes, in
//! which a disk reads them with the fewest seeks; so many at a time that the sorting is bounded. Opens no file. Rules:
//! go-ds-flatfs `flatfs.go` (`Query`).

use std::ffi::OsString;
use std::fs::{self, ReadDir};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use coldfront_flatfs::ShardFn;

use super::key::{BlockName, block_name};

/// Files that are sorted at once: some 100 bytes each, so 25 MB. Larger directories are taken in such parts.
pub const MAX_SORTED: usize = 256 * 1024;

/// Shard directories that a tree may have: `next-to-last/3` makes 32,768, `/4` a million.
pub const MAX_SHARDS: usize = 1 << 20;

/// The end of the name of a block's file.
const EXTENSION: &[u8] = b".data";

/// A shard directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// Its name; empty for the root itself, which holds the files where the shard function has the parameter 0.
    pub name: OsString,
    /// When a name in it was last made or removed, in nanoseconds since 1970. Unchanged, nothing was added.
    pub changed: i128,
    /// The device that it lies on: others where another disk is mounted in the tree.
    pub device: u64,
}

/// The shard directories of a tree, by name. One `stat` each.
///
/// # Errors
/// What the system says; `InvalidData` for more than [`MAX_SHARDS`].
pub fn shards(root: &Path, shard_fn: ShardFn) -> io::Result<Vec<Shard>> {
    if shard_fn.shard_of("A").is_empty() {
        return Ok(vec![Shard::look_at(OsString::new(), root)?]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_bytes().starts_with(b".") || !entry.file_type()?.is_dir() {
            continue;
        }
        if found.len() == MAX_SHARDS {
            let what = format!("more than {MAX_SHARDS} shard directories");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        match Shard::look_at(name, &entry.path()) {
            Ok(shard) => found.push(shard),
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort();
    Ok(found)
}

impl Shard {
    fn look_at(name: OsString, path: &Path) -> io::Result<Shard> {
        let stat = fs::metadata(path)?;
        let changed = i128::from(stat.mtime()) * 1_000_000_000 + i128::from(stat.mtime_nsec());
        Ok(Shard { name, changed, device: stat.dev() })
    }
}

/// What a shard directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A block's file, in its place.
    Block(BlockName),
    /// A block's file in another shard directory than the one that its name belongs to: Kubo lists it and does not
    /// find it.
    Misplaced(BlockName),
    /// A file with the ending of blocks, and a name that no block has.
    Misnamed,
}

/// A file of a shard directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name without the ending.
    pub text: Box<[u8]>,
    /// What the name says.
    pub listed: Listed,
}

/// A walk over one shard directory.
#[derive(Debug)]
pub struct Files {
    entries: ReadDir,
    shard: Shard,
    path: PathBuf,
    shard_fn: ShardFn,
    foreign: u64,
}

impl Files {
    /// Opens a shard directory.
    pub fn open(root: &Path, shard: &Shard, shard_fn: ShardFn) -> io::Result<Files> {
        let path = root.join(&shard.name);
        let entries = fs::read_dir(&path)?;
        Ok(Files { entries, shard: shard.clone(), path, shard_fn, foreign: 0 })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Files that are none of flatfs's, as far as the walk has come. Those that very old versions left behind when
    /// they were interrupted (`put-…`), and what begins with a dot, are not counted.
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    /// The next files, at most [`MAX_SORTED`], in the order of their inodes; none at the end. Kinds of files come from
    /// the directory, so nothing is looked at.
    pub fn next_sorted(&mut self) -> io::Result<Vec<File>> {
        self.next_some(MAX_SORTED)
    }

    /// As [`Files::next_sorted`], at most `most` of them.
    pub fn next_some(&mut self, most: usize) -> io::Result<Vec<File>> {
        let mut found: Vec<(u64, Box<[u8]>)> = Vec::new();
        while found.len() < most {
            let Some(entry) = self.entries.next() else { break };
            let entry = entry?;
            let name = entry.file_name();
            match self.block_text(name.as_bytes(), &entry) {
                Some(text) => found.push((entry.ino(), text.into())),
                None => continue,
            }
        }
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, text)| self.listed(text)).collect())
    }

    /// The name without its ending, if it is that of a block's file.
    fn block_text<'a>(&mut self, name: &'a [u8], entry: &fs::DirEntry) -> Option<&'a [u8]> {
        if name.starts_with(b".") || name.starts_with(b"put-") {
            return None;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match name.strip_suffix(EXTENSION) {
            Some(text) if !is_folder => Some(text),
            // The root holds shard directories and flatfs's own files as well.
            _ if self.shard.name.is_empty() => None,
            _ => {
                self.foreign += 1;
                None
            }
        }
    }

    fn listed(&self, text: Box<[u8]>) -> File {
        let listed = match block_name(&text) {
            None => Listed::Misnamed,
            Some(name) if self.shard_fn.shard_of(&text) == self.shard.name.as_bytes() => {
                Listed::Block(name)
            }
            Some(name) => Listed::Misplaced(name),
        };
        File { text, listed }
    }

    /// Where a file of this directory lies.
    pub fn path_of(&self, text: &[u8]) -> PathBuf {
        let mut name = text.to_vec();
        name.extend_from_slice(EXTENSION);
        self.path.join(std::ffi::OsStr::from_bytes(&name))
    }
}
