//! In which order blocks are asked for.
//!
//! Owns the three orders of the disk (a flatfs tree shard by shard and by inode, a store by key, a CAR by offset) and the
//! order of roots, in which a file's blocks stay side by side; and the marks that each leaves. Must not know hashing or
//! the target's blocks.
//!
//! By default everything is copied in the order of the disk, and what is asked for by root in the order of its roots.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::hash::BuildHasher as _;
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use coldfront_flatfs::FlatFs;
use coldfront_pebble::{Scan, Store};

use super::error::MigrateError;
use super::mark;
use super::report::{Fault, FaultKind};
use super::run::Root;
use super::source::chain;
use crate::block::{Cid, DAG_PB, IDENTITY, identity_bytes};
use crate::car::{CarError, CarReader};
use crate::kubo::tree::{self, Files, Listed, Shard};
use crate::kubo::{BlockName, block_name};
use crate::links::{has_no_links, links};
use crate::store::hot::{Change, Records};

/// A shard directory is only marked as done when it did not change in the last so many nanoseconds before it was
/// listed: what was added within a tick of the file system's clock would not show.
const SETTLED: i128 = 2_000_000_000;

/// Bytes of a store between two marks.
const MARK_EVERY: usize = 4 * 1024 * 1024;

/// Bytes of a CAR that are read at a time.
const CAR_READ: usize = 1024 * 1024;

/// Nodes with links that a walk remembers, so that what hangs below two parents is walked once; some 40 bytes each. With
/// more, later ones may be walked again, which reads them from the target and copies nothing twice.
const MAX_SEEN: usize = 1 << 20;

/// A block to be copied.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) cid: Cid,
    pub(super) at: At,
    /// What it links to is to be copied too.
    pub(super) links: bool,
    /// It lies where Kubo does not look for it.
    pub(super) misplaced: bool,
    /// It was bad before: the place under which that stands in the records.
    pub(super) retry: Option<Box<str>>,
}

/// Where a block is to be read.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// Wherever the source finds it by its name.
    Anywhere,
    /// In a file that was seen.
    File { folder: Arc<Path>, text: Box<[u8]> },
    /// At a place that says where it came from; its bytes come with it.
    Given(Box<str>),
}

impl Wanted {
    pub(super) fn new(cid: Cid, at: At) -> Wanted {
        Wanted { cid, at, links: false, misplaced: false, retry: None }
    }

    /// A block by its name, with what it links to if `links`.
    pub(super) fn named(cid: Cid, links: bool) -> Wanted {
        Wanted { links: links && !has_no_links(cid.codec()), ..Wanted::new(cid, At::Anywhere) }
    }
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// A block to be read.
    Read(Box<Wanted>),
    /// A link that a walk came by: a binary CID. The same as `Read`, in less memory.
    Link(Box<[u8]>),
    /// A block that is read already.
    Have(Box<Wanted>, Bytes),
    /// Everything before this is copied: these records say so.
    Mark(Vec<Change>),
    /// A folder is copied: files in it that are no blocks, and its mark.
    Listed(u64, Option<Change>),
    /// Everything below a root came, unless there was a fault since the last such step.
    RootDone(Box<Root>),
    /// Something is wrong with the source.
    Bad(Box<Fault>),
    /// Something to be counted.
    Count(Counted, u64),
}

/// What an order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    ShardsSkipped,
    Identity,
}

/// An order of blocks.
pub(super) trait Order {
    /// The next step; `None` at the end.
    fn next(&mut self) -> Result<Option<Step>, MigrateError>;

    /// What is to come before everything else because of this block, which was copied.
    fn below(&mut self, _block: &Cid, _data: &[u8]) -> Result<Vec<Step>, String> {
        Ok(Vec::new())
    }

    /// How much of it is done, 0 to 1.
    fn done(&self) -> Option<f64>;
}

/// The CID under which a block is copied whose name is a key. Nobody knows its codec: dag-pb makes the target look
/// whether it is a leaf, so that walks need not.
fn labelled(name: BlockName) -> Cid {
    if name.whole_cid { name.cid } else { Cid::new_v1(DAG_PB, *name.cid.hash()) }
}

/// A flatfs tree, shard directory by shard directory.
pub(super) struct TreeOrder<'a> {
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
    pub(super) fn new(tree: &'a FlatFs, records: &'a Records) -> Result<Self, MigrateError> {
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

/// A store of pairs, by key.
pub(super) struct PairsOrder<'a> {
    scan: Scan<'a>,
    folder: &'a Path,
    prefix: &'a str,
    fingerprint: u64,
    /// The key that was done before, and is left out.
    behind: Vec<u8>,
    last: Vec<u8>,
    since_mark: usize,
    bytes: u64,
    total: u64,
    ended: bool,
    /// Why the walk ended early: what lies behind is not read without salvage.
    pub(super) broken: Option<String>,
}

impl<'a> PairsOrder<'a> {
    /// Goes on behind the last key done, unless the store was written since. `None` when everything is done.
    pub(super) fn new(
        store: &'a Store,
        folder: &'a Path,
        prefix: &'a str,
        records: &Records,
    ) -> Result<Option<Self>, MigrateError> {
        let (fingerprint, total) = fingerprint(folder)?;
        let mut behind = Vec::new();
        if let Some(record) = records.get(mark::PAIRS)?
            && let Some((found, rest)) = record.split_first_chunk::<8>()
            && u64::from_be_bytes(*found) == fingerprint
            && let Some((done, key)) = rest.split_first()
        {
            if *done == 1 {
                return Ok(None);
            }
            behind = key.to_vec();
        }
        let from = if behind.is_empty() { prefix.as_bytes() } else { &behind };
        Ok(Some(PairsOrder {
            scan: store.scan(from),
            folder,
            prefix,
            fingerprint,
            last: behind.clone(),
            behind,
            since_mark: 0,
            bytes: 0,
            total,
            ended: false,
            broken: None,
        }))
    }

    fn mark(&mut self, done: bool) -> Step {
        self.since_mark = 0;
        let mut value = self.fingerprint.to_be_bytes().to_vec();
        value.push(u8::from(done));
        value.extend_from_slice(&self.last);
        Step::Mark(vec![(mark::PAIRS.to_vec(), Some(value))])
    }

    fn pair(&mut self, key: Vec<u8>, value: Vec<u8>) -> Step {
        self.since_mark += value.len() + key.len();
        self.bytes += (value.len() + key.len()) as u64;
        let text = key.get(self.prefix.len()..).unwrap_or_default();
        let place = format!("{} {}", self.folder.display(), String::from_utf8_lossy(&key));
        let step = match block_name(text) {
            None => {
                let detail = "no block has this name; its bytes are not copied".to_owned();
                let kind = FaultKind::Misnamed;
                Step::Bad(Box::new(Fault { kind, place, cid: None, detail }))
            }
            Some(name) if name.cid.hash().code() == IDENTITY => Step::Count(Counted::Identity, 1),
            Some(name) => {
                let wanted = Wanted::new(labelled(name), At::Given(place.into()));
                Step::Have(Box::new(wanted), value.into())
            }
        };
        self.last = key;
        step
    }
}

impl Order for PairsOrder<'_> {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        if self.ended {
            return Ok(None);
        }
        if self.since_mark >= MARK_EVERY {
            return Ok(Some(self.mark(false)));
        }
        match self.scan.next() {
            Some(Ok((key, _))) if key == self.behind => self.next(),
            Some(Ok((key, value))) if key.starts_with(self.prefix.as_bytes()) => {
                Ok(Some(self.pair(key, value)))
            }
            Some(Err(error)) => {
                // Told again by the next attempt, which is with salvage where this one was not.
                let (kind, place) = (FaultKind::Unreadable, error_place(&error, self.folder));
                let detail = chain(&error);
                self.broken = Some(detail.clone());
                Ok(Some(Step::Bad(Box::new(Fault { kind, place, cid: None, detail }))))
            }
            Some(Ok(_)) | None => {
                self.ended = true;
                Ok(Some(self.mark(self.broken.is_none())))
            }
        }
    }

    fn done(&self) -> Option<f64> {
        if self.ended {
            return Some(1.0);
        }
        Some((self.bytes as f64 / self.total.max(1) as f64).min(0.99))
    }
}

fn error_place(error: &coldfront_pebble::Error, folder: &Path) -> String {
    match error {
        coldfront_pebble::Error::Damaged { path, offset, .. } => {
            format!("{} at byte {offset}", path.display())
        }
        _ => folder.display().to_string(),
    }
}

/// A number that differs once a stopped store was written, and the bytes of its files. One `stat` a file.
fn fingerprint(folder: &Path) -> Result<(u64, u64), MigrateError> {
    let failed = |source| MigrateError::Io { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let stat = entry.metadata().map_err(failed)?;
        files.push((entry.file_name(), stat.len(), stat.mtime(), stat.mtime_nsec()));
    }
    files.sort();
    let total = files.iter().map(|(_, len, ..)| len).sum();
    // FNV-1a: the same in every process, and no one gains by a collision.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for (name, len, seconds, nanoseconds) in &files {
        mix(name.as_bytes());
        mix(&[0]);
        mix(&len.to_be_bytes());
        mix(&seconds.to_be_bytes());
        mix(&nanoseconds.to_be_bytes());
    }
    Ok((hash, total))
}

/// A CAR file, from front to back.
pub(super) struct CarOrder<'a> {
    path: &'a Path,
    reader: CarReader<BufReader<File>>,
    /// Length and time of change.
    stamp: [u8; 16],
    len: u64,
    since_mark: u64,
    ended: bool,
}

impl<'a> CarOrder<'a> {
    /// Goes on behind the last block done, unless the file was changed since.
    pub(super) fn new(path: &'a Path, records: &Records) -> Result<Self, MigrateError> {
        let failed = |source| MigrateError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let stat = file.metadata().map_err(failed)?;
        let mut stamp = [0; 16];
        let (len, time) = stamp.split_at_mut(8);
        len.copy_from_slice(&stat.len().to_be_bytes());
        let changed = stat.mtime().wrapping_mul(1_000_000_000).wrapping_add(stat.mtime_nsec());
        time.copy_from_slice(&changed.to_be_bytes());
        let car = |source| MigrateError::Car { path: path.to_owned(), source };
        let mut reader = CarReader::new(BufReader::with_capacity(CAR_READ, file)).map_err(car)?;
        let marked = records.get(mark::CAR)?;
        let offset = marked.as_deref().and_then(|record| record.strip_prefix(&stamp[..]));
        if let Some(offset) = offset.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
            reader.go_on_at(u64::from_be_bytes(offset)).map_err(car)?;
        }
        Ok(CarOrder { path, reader, stamp, len: stat.len(), since_mark: 0, ended: false })
    }

    /// The roots that its header names.
    pub(super) fn roots(&self) -> &[Cid] {
        self.reader.roots()
    }

    fn mark(&mut self) -> Step {
        self.since_mark = 0;
        let value = [&self.stamp[..], &self.reader.offset().to_be_bytes()].concat();
        Step::Mark(vec![(mark::CAR.to_vec(), Some(value))])
    }

    fn bad(&mut self, error: &CarError) -> Step {
        // Behind a broken frame nobody knows where the next one begins.
        self.ended = true;
        let (kind, place) = (FaultKind::Unreadable, self.path.display().to_string());
        let detail = format!("{}; what lies behind is not read", chain(error));
        Step::Bad(Box::new(Fault { kind, place, cid: None, detail }))
    }
}

impl Order for CarOrder<'_> {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        if self.ended {
            return Ok(None);
        }
        if self.since_mark >= MARK_EVERY as u64 {
            return Ok(Some(self.mark()));
        }
        let at = self.reader.offset();
        match self.reader.next_section() {
            Ok(None) => {
                self.ended = true;
                Ok(Some(self.mark()))
            }
            Ok(Some(section)) => {
                self.since_mark += self.reader.offset() - at;
                if section.cid.hash().code() == IDENTITY {
                    return Ok(Some(Step::Count(Counted::Identity, 1)));
                }
                let place = format!("{} at byte {at}", self.path.display());
                let wanted = Wanted::new(section.cid, At::Given(place.into()));
                Ok(Some(Step::Have(Box::new(wanted), section.data)))
            }
            Err(error) => Ok(Some(self.bad(&error))),
        }
    }

    fn done(&self) -> Option<f64> {
        Some(if self.ended { 1.0 } else { self.reader.offset() as f64 / self.len.max(1) as f64 })
    }
}

/// Roots one after another, each with everything below it, depth first.
pub(super) struct RootOrder<'a> {
    roots: &'a mut dyn Iterator<Item = Result<Root, Fault>>,
    records: &'a Records,
    /// What comes before the next root: the end of the one that was just begun.
    next: VecDeque<Step>,
    seen: HashSet<u128>,
    keys: [RandomState; 2],
}

impl<'a> RootOrder<'a> {
    pub(super) fn new(
        roots: &'a mut dyn Iterator<Item = Result<Root, Fault>>,
        records: &'a Records,
    ) -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        RootOrder { roots, records, next: VecDeque::new(), seen: HashSet::new(), keys }
    }

    /// Whether a node came before; remembers it.
    fn is_repeat(&mut self, cid: &Cid) -> bool {
        let bytes = cid.to_bytes();
        // Two keyed hashes of 64 bits: nobody can make two CIDs that are taken for one.
        let [high, low] = &self.keys;
        let key = u128::from(high.hash_one(&bytes)) << 64 | u128::from(low.hash_one(&bytes));
        if self.seen.len() >= MAX_SEEN {
            return self.seen.contains(&key);
        }
        !self.seen.insert(key)
    }
}

impl Order for RootOrder<'_> {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        if let Some(step) = self.next.pop_front() {
            return Ok(Some(step));
        }
        let root = match self.roots.next() {
            None => return Ok(None),
            Some(Err(fault)) => return Ok(Some(Step::Bad(Box::new(fault)))),
            Some(Ok(root)) => root,
        };
        let done = root.recursive && self.records.get(&mark::root(&root.cid))?.is_some();
        if !done {
            match identity_bytes(&root.cid) {
                None => {
                    let wanted = Wanted::named(root.cid, root.recursive);
                    self.next.push_back(Step::Read(Box::new(wanted)));
                }
                // Such a block is in no store; what it links to is.
                Some(data) if root.recursive => {
                    let below = self.below(&root.cid, &data).unwrap_or_default();
                    self.next.extend(below);
                }
                Some(_) => {}
            }
        }
        self.next.push_back(Step::RootDone(Box::new(root)));
        self.next()
    }

    fn below(&mut self, block: &Cid, data: &[u8]) -> Result<Vec<Step>, String> {
        let mut found = Vec::new();
        let read =
            links(block, data, &mut |link| found.push(Step::Link(link.cid.to_bytes().into())));
        read.map_err(|error| chain(&error))?;
        if !found.is_empty() && self.is_repeat(block) {
            return Ok(Vec::new());
        }
        Ok(found)
    }

    fn done(&self) -> Option<f64> {
        None
    }
}

/// Blocks that were bad in an earlier run.
pub(super) struct RetryOrder(pub(super) std::vec::IntoIter<Fault>);

impl Order for RetryOrder {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        let Some(fault) = self.0.next() else { return Ok(None) };
        let gone = || Step::Mark(vec![(mark::fault(&fault.place), None)]);
        let step = match (fault.kind, fault.cid) {
            (FaultKind::Pin | FaultKind::Record | FaultKind::Undecodable, _) => gone(),
            (_, Some(cid)) => {
                let wanted =
                    Wanted { retry: Some(fault.place.into()), ..Wanted::named(cid, false) };
                Step::Read(Box::new(wanted))
            }
            // What cannot be listed or is misnamed is met again, where it still is: its shard directory was not marked,
            // or has a name more or less.
            (FaultKind::Misnamed, None) if Path::new(&fault.place).exists() => {
                Step::Mark(Vec::new())
            }
            (_, None) => gone(),
        };
        Ok(Some(step))
    }

    fn done(&self) -> Option<f64> {
        None
    }
}
