//! The order of flatfs trees: shard directory by shard directory, files by inode, disks side by side.
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
use crate::kubo::tree::{self, Files, Listed, MAX_SORTED, Shard};
use crate::migrate::copy::MAX_DISKS;
use crate::migrate::error::MigrateError;
use crate::migrate::mark;
use crate::migrate::report::{Fault, FaultKind};
use crate::store::hot::Records;

/// A shard directory is only marked as done when it did not change in the last so many nanoseconds before it was
/// listed: what was added within a tick of the file system's clock would not show.
const SETTLED: i128 = 2_000_000_000;

/// Files that are sorted at once on each of many disks, so that all together stay within [`MAX_SORTED`] about.
const LEAST_SORTED: usize = 8 * 1024;

/// Flatfs trees, shard directory by shard directory; where they lie on several disks, one directory of each at a time.
pub(in crate::migrate) struct TreeOrder<'a> {
    records: &'a Records,
    disks: Vec<Disk<'a>>,
    /// The disk that is asked next.
    turn: usize,
    total: usize,
}

/// What lies on one disk of the source.
struct Disk<'a> {
    device: u64,
    shards: VecDeque<(&'a FlatFs, Shard)>,
    current: Option<Listing>,
}

/// The shard directory that is being copied.
struct Listing {
    disk: usize,
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
        trees: &[&'a FlatFs],
        records: &'a Records,
    ) -> Result<Self, MigrateError> {
        let mut order = TreeOrder { records, disks: Vec::new(), turn: 0, total: 0 };
        for &tree in trees {
            let shards = tree::shards(tree.root(), tree.shard_fn());
            let shards = shards
                .map_err(|source| MigrateError::Io { path: tree.root().to_owned(), source })?;
            order.total += shards.len();
            shards.into_iter().for_each(|shard| order.add(tree, shard));
        }
        Ok(order)
    }

    fn add(&mut self, tree: &'a FlatFs, shard: Shard) {
        let at = self.disks.iter().position(|disk| disk.device == shard.device);
        let at = at.or((self.disks.len() >= MAX_DISKS).then_some(0));
        match at.and_then(|at| self.disks.get_mut(at)) {
            Some(disk) => disk.shards.push_back((tree, shard)),
            None => {
                let device = shard.device;
                let shards = VecDeque::from([(tree, shard)]);
                self.disks.push(Disk { device, shards, current: None });
            }
        }
    }
}

impl Order for TreeOrder<'_> {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        let count = self.disks.len();
        let most = (MAX_SORTED / count.max(1)).max(LEAST_SORTED);
        for _ in 0..count {
            let at = self.turn % count;
            self.turn = at + 1;
            let Some(disk) = self.disks.get_mut(at) else { break };
            if let Some(step) = disk.next(at, self.records, most)? {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    fn disks(&self) -> usize {
        self.disks.len()
    }

    fn done(&self) -> Option<f64> {
        let ahead: usize = self.disks.iter().map(Disk::ahead).sum();
        Some(1.0 - ahead as f64 / self.total.max(1) as f64)
    }
}

impl Disk<'_> {
    /// Shard directories that are not all copied.
    fn ahead(&self) -> usize {
        self.shards.len() + usize::from(self.current.is_some())
    }

    fn next(
        &mut self,
        number: usize,
        records: &Records,
        most: usize,
    ) -> Result<Option<Step>, MigrateError> {
        loop {
            let Some(listing) = &mut self.current else {
                let Some((tree, shard)) = self.shards.pop_front() else { return Ok(None) };
                match begin(number, tree, shard, records)? {
                    Begun::Listing(listing) => self.current = Some(*listing),
                    Begun::Step(step) => return Ok(Some(step)),
                }
                continue;
            };
            if let Some(file) = listing.some.next() {
                return Ok(Some(listing.step(file)));
            }
            let step = match listing.files.next_some(most) {
                Ok(some) if !some.is_empty() => {
                    listing.some = some.into_iter();
                    continue;
                }
                Ok(_) => listing.end(),
                Err(error) => unlisted(&listing.folder, &error),
            };
            self.current = None;
            return Ok(Some(step));
        }
    }
}

/// The beginning of a shard directory.
enum Begun {
    Listing(Box<Listing>),
    /// There is nothing to list in it.
    Step(Step),
}

/// Begins a shard directory, if something was added in it since it was last copied.
fn begin(
    disk: usize,
    tree: &FlatFs,
    shard: Shard,
    records: &Records,
) -> Result<Begun, MigrateError> {
    let marked = records.get(&mark::shard(shard.name.as_bytes()))?;
    if marked.as_deref() == Some(&shard.changed.to_be_bytes()[..]) {
        return Ok(Begun::Step(Step::Count(Counted::ShardsSkipped, 1)));
    }
    match Files::open(tree.root(), &shard, tree.shard_fn()) {
        Ok(files) => {
            let folder: Arc<Path> = files.path().into();
            let some = Vec::new().into_iter();
            let settled = shard.changed.saturating_add(SETTLED) < now();
            Ok(Begun::Listing(Box::new(Listing { disk, shard, files, folder, some, settled })))
        }
        Err(error) => Ok(Begun::Step(unlisted(&tree.root().join(&shard.name), &error))),
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
        let disk = self.disk;
        Step::Read(Box::new(Wanted { misplaced, disk, ..Wanted::new(labelled(name), at) }))
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
