//! The order of a flatfs tree: shard directory by shard directory, files by inode.
//!
//! Owns which directories are listed at all, and their marks.

use std::collections::VecDeque;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use coldfront_flatfs::FlatFs;

use super::{At, Counted, Order, Step, Wanted, labelled};
use crate::block::IDENTITY;
use crate::kubo::tree::{self, Files, Listed, Shard};
use crate::migrate::error::MigrateError;
use crate::migrate::mark;
use crate::migrate::report::{Fault, FaultKind};
use crate::store::hot::Records;

/// A shard directory is only marked as done when it did not change in the last so many nanoseconds before it was
/// listed: what was added within a tick of the file system's clock would not show.
const SETTLED: i128 = 2_000_000_000;

/// A flatfs tree, shard directory by shard directory.
pub(in crate::migrate) struct TreeOrder<'a> {
    tree: &'a FlatFs,
    records: &'a Records,
    shards: VecDeque<Shard>,
    total: usize,
    current: Option<Listing>,
}

/// The shard directory that is being copied.
struct Listing {
    shard: Shard,
    files: Files,
    folder: Arc<Path>,
    some: std::vec::IntoIter<tree::File>,
    /// It did not change while it was listed, as far as its time can tell.
    settled: bool,
}

impl<'a> TreeOrder<'a> {
    /// Lists the shard directories.
    pub(in crate::migrate) fn new(
        tree: &'a FlatFs,
        records: &'a Records,
    ) -> Result<Self, MigrateError> {
        let shards = tree::shards(tree.root(), tree.shard_fn());
        let shards =
            shards.map_err(|source| MigrateError::Io { path: tree.root().to_owned(), source })?;
        Ok(TreeOrder { tree, records, total: shards.len(), shards: shards.into(), current: None })
    }

    /// Begins the next shard directory in which something was added since it was last copied.
    fn begin(&mut self) -> Result<Option<Step>, MigrateError> {
        let Some(shard) = self.shards.pop_front() else { return Ok(None) };
        let marked = self.records.get(&mark::shard(shard.name.as_bytes()))?;
        if marked.as_deref() == Some(&shard.changed.to_be_bytes()[..]) {
            return Ok(Some(Step::Count(Counted::ShardsSkipped, 1)));
        }
        match Files::open(self.tree.root(), &shard, self.tree.shard_fn()) {
            Ok(files) => {
                let folder: Arc<Path> = files.path().into();
                let some = Vec::new().into_iter();
                let settled = shard.changed.saturating_add(SETTLED) < now();
                self.current = Some(Listing { shard, files, folder, some, settled });
                self.next()
            }
            Err(error) => Ok(Some(unlisted(&self.tree.root().join(&shard.name), &error))),
        }
    }
}

impl Order for TreeOrder<'_> {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        let Some(listing) = &mut self.current else { return self.begin() };
        if let Some(file) = listing.some.next() {
            return Ok(Some(listing.step(file)));
        }
        match listing.files.next_sorted() {
            Ok(some) if !some.is_empty() => {
                listing.some = some.into_iter();
                self.next()
            }
            Ok(_) => {
                let step = listing.end();
                self.current = None;
                Ok(Some(step))
            }
            Err(error) => {
                let step = unlisted(&listing.folder, &error);
                self.current = None;
                Ok(Some(step))
            }
        }
    }

    fn done(&self) -> Option<f64> {
        let ahead = self.shards.len() + usize::from(self.current.is_some());
        Some(1.0 - ahead as f64 / self.total.max(1) as f64)
    }
}

impl Listing {
    fn step(&mut self, file: tree::File) -> Step {
        let place = || self.files.path_of(&file.text).to_string_lossy().into_owned();
        let name = match &file.listed {
            Listed::Block(name) | Listed::Misplaced(name) => *name,
            Listed::Misnamed => {
                let (kind, place) = (FaultKind::Misnamed, place());
                let detail = "no block has this name; its bytes are not copied".to_owned();
                return Step::Bad(Box::new(Fault { kind, place, cid: None, detail }));
            }
        };
        if name.cid.hash().code() == IDENTITY {
            return Step::Count(Counted::Identity, 1);
        }
        let misplaced = matches!(file.listed, Listed::Misplaced(_));
        let at = At::File { folder: self.folder.clone(), text: file.text };
        Step::Read(Box::new(Wanted { misplaced, ..Wanted::new(labelled(name), at) }))
    }

    /// What its files were, and that they are all copied, if that can be relied on.
    fn end(&self) -> Step {
        let value = self.shard.changed.to_be_bytes().to_vec();
        let mark = (mark::shard(self.shard.name.as_bytes()), Some(value));
        Step::Listed(self.files.foreign(), self.settled.then_some(mark))
    }
}

fn unlisted(folder: &Path, error: &io::Error) -> Step {
    let (kind, place) = (FaultKind::Unreadable, folder.display().to_string());
    let detail = format!("the folder cannot be listed: {error}");
    Step::Bad(Box::new(Fault { kind, place, cid: None, detail }))
}

fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(i128::MAX))
}
