//! Where blocks come from.
//!
//! Owns telling the kinds of sources apart, and reading one block of them with nothing left behind in the page cache
//! that was not there before. Must not know the target.

use std::fs;
use std::path::{Path, PathBuf};

use coldfront_flatfs::{BlockFile, FlatFs, Key};
use coldfront_pebble::{Options, Store};
use data_encoding::BASE32_NOPAD;

use super::error::MigrateError;
use super::report::FaultKind;
use crate::block::{Cid, DAG_CBOR, DAG_PB, MAX_BLOCK_LEN, RAW};
use crate::kubo::behind::is_cached;
use crate::kubo::{BlockMount, Mount, Repository, RepositoryOptions, StoreSpec};

/// Something that blocks are copied from. Nothing of it is ever changed.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Repository(Box<Repository>),
    Tree(FlatFs),
    Pairs(Box<Store>),
    Car,
}

/// A place of a source, copied in its own order of the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Tree(&'a FlatFs),
    /// A store, its folder, and what its keys of blocks begin with.
    Pairs {
        store: &'a Store,
        folder: &'a Path,
        prefix: &'a str,
    },
    Car(&'a Path),
}

impl Source {
    /// Opens a Kubo repository, a flatfs tree, a store, or a CAR file. `salvage`: what is damaged in a store is
    /// reported and passed over.
    ///
    /// A flatfs tree may be in use: blocks that are written meanwhile are found by the next run. Everything else is
    /// refused while a Kubo runs on it.
    pub fn open(path: impl AsRef<Path>, salvage: bool) -> Result<Source, MigrateError> {
        let given = path.as_ref();
        let io = |source| MigrateError::Io { path: given.to_owned(), source };
        // The name under which the job is found again: the same however the path is written.
        let path = fs::canonicalize(given).map_err(io)?;
        let has = |name: &str| path.join(name).exists();
        let kind = if path.is_file() {
            Kind::Car
        } else if has("SHARDING") {
            Kind::Tree(FlatFs::open(&path)?)
        } else if has("version") && has("config") {
            let options = RepositoryOptions { salvage, ..RepositoryOptions::new(&path) };
            Kind::Repository(Box::new(Repository::open(&options)?))
        } else {
            match Store::open_with(&path, Options::new().salvage(salvage).drop_behind(is_cached)) {
                Ok(store) => Kind::Pairs(Box::new(store)),
                Err(coldfront_pebble::Error::NotAStore { .. }) => {
                    return Err(MigrateError::NoSource { path });
                }
                Err(error) => return Err(error.into()),
            }
        };
        Ok(Source { path, kind })
    }

    /// Its path, absolute and without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The repository, if it is one: with pins, names and keys.
    pub fn repository(&self) -> Option<&Repository> {
        match &self.kind {
            Kind::Repository(repository) => Some(repository),
            _ => None,
        }
    }

    /// The name under which the progress of a job from it is kept. That of a repository is the name of its blocks'
    /// tree, so that copying may begin with the tree while a Kubo runs, and end with the repository.
    pub fn name(&self) -> String {
        let trees: Vec<_> = self.parts().into_iter().collect();
        match trees.as_slice() {
            [Part::Tree(tree)] => {
                let root = fs::canonicalize(tree.root()).unwrap_or_else(|_| tree.root().to_owned());
                root.to_string_lossy().into_owned()
            }
            _ => self.path.to_string_lossy().into_owned(),
        }
    }

    /// The places that hold blocks.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        match &self.kind {
            Kind::Car => vec![Part::Car(&self.path)],
            Kind::Tree(tree) => vec![Part::Tree(tree)],
            Kind::Pairs(store) => {
                vec![Part::Pairs { store, folder: &self.path, prefix: "/blocks/" }]
            }
            Kind::Repository(repository) => repository
                .datastore()
                .blocks()
                .map(|mount| match mount {
                    BlockMount::Flatfs(tree) => Part::Tree(tree),
                    BlockMount::Pairs(store, prefix) => {
                        let folder = folder_of(repository.mounts(), prefix).unwrap_or(&self.path);
                        Part::Pairs { store, folder, prefix }
                    }
                })
                .collect(),
        }
    }

    /// Whether any block can be asked for by its name.
    pub(super) fn finds_by_name(&self) -> bool {
        !matches!(self.kind, Kind::Car)
    }

    /// A block by its name, wherever it lies; tries names of older repositories too.
    pub(super) fn find(&self, cid: &Cid) -> Result<Vec<u8>, Unread> {
        for part in self.parts() {
            for name in names(cid) {
                let found = match part {
                    Part::Tree(tree) => match read_key(tree, &name) {
                        Err(unread) if unread.kind == FaultKind::Missing => None,
                        found => Some(found?),
                    },
                    Part::Pairs { store, prefix, .. } => {
                        let key = format!("{prefix}{}", BASE32_NOPAD.encode(&name));
                        let found = store.get(key.as_bytes());
                        found.map_err(|error| Unread::new(FaultKind::Unreadable, chain(&error)))?
                    }
                    Part::Car(_) => None,
                };
                if let Some(bytes) = found {
                    return Ok(bytes);
                }
            }
        }
        Err(Unread::new(FaultKind::Missing, String::new()))
    }
}

/// The folder of the store that holds the blocks.
fn folder_of<'a>(mounts: &'a [Mount], prefix: &str) -> Option<&'a Path> {
    let at = if prefix == "/blocks/" { "/" } else { "/blocks" };
    mounts.iter().find_map(|mount| match &mount.store {
        StoreSpec::Pairs { path, .. } if mount.mountpoint == at => Some(path.as_path()),
        _ => None,
    })
}

/// The names under which a repository may hold a block: the multihash, and before version 12 whole CIDs.
fn names(cid: &Cid) -> impl Iterator<Item = Vec<u8>> {
    let hash = *cid.hash();
    let asked = cid.codec();
    let others = [RAW, DAG_PB, DAG_CBOR].into_iter().filter(move |codec| *codec != asked);
    let codecs = std::iter::once(asked).chain(others);
    std::iter::once(hash.to_bytes())
        .chain(codecs.map(move |codec| Cid::new_v1(codec, hash).to_bytes()))
}

/// Why a block could not be read.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) kind: FaultKind,
    pub(super) detail: String,
}

impl Unread {
    pub(super) fn new(kind: FaultKind, detail: String) -> Unread {
        Unread { kind, detail }
    }
}

/// An error and what lies behind it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// A block of a flatfs tree by the bytes of its name.
pub(super) fn read_key(tree: &FlatFs, name: &[u8]) -> Result<Vec<u8>, Unread> {
    match tree.open_block(Key::new(name)) {
        Ok(Some(file)) => read_file(&file),
        Ok(None) => Err(Unread::new(FaultKind::Missing, String::new())),
        Err(error) => Err(Unread::new(FaultKind::Unreadable, chain(&error))),
    }
}

/// A block's file by its path.
pub(super) fn read_path(path: &Path) -> Result<Vec<u8>, Unread> {
    match BlockFile::open(path) {
        Ok(file) => read_file(&file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Unread::new(FaultKind::Missing, String::new()))
        }
        Err(error) => Err(Unread::new(FaultKind::Unreadable, error.to_string())),
    }
}

/// All of a file, with one read; and what this brought into the page cache is let go again, so that whoever is served
/// from the same disk keeps what is cached for them.
fn read_file(file: &BlockFile) -> Result<Vec<u8>, Unread> {
    let len = file.len();
    if len > MAX_BLOCK_LEN {
        let detail = format!("{len} bytes, more than the {MAX_BLOCK_LEN} that a block may have");
        return Err(Unread::new(FaultKind::TooLong, detail));
    }
    // Cached by somebody else's reading: left there. Where the system cannot tell, it is let go.
    let was_cached = len > 0 && file.is_cached(0, len).unwrap_or(false);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) => return Err(Unread::new(FaultKind::Unreadable, error.to_string())),
        }
    }
    if !was_cached {
        file.dont_need(0, len);
    }
    if (read as u64) < len {
        let detail = format!("cut to {read} of {len} bytes while it was read");
        return Err(Unread::new(FaultKind::Short, detail));
    }
    Ok(bytes)
}
