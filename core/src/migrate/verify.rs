//! Whether a hot store is right, alone or against a source.
//!
//! Owns three questions: does every block hash to its name, is every DAG under every pin complete, and is everything here
//! that the source holds. Changes nothing. Must not know how blocks came here.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::carry::{MFS_ROOT, carried};
use super::copy::{Limit, Pace, Watch, check};
use super::error::MigrateError;
use super::progress::{Event, Phase, Progress};
use super::report::{Fault, FaultKind, Report};
use super::run::record_fault;
use super::source::{Part, Source, chain};
use crate::block::{Cid, DAG_PB, IDENTITY};
use crate::error::{ReadError, StoreError};
use crate::kubo::tree::{self, Files, Listed};
use crate::kubo::{Repository, block_name};
use crate::links::{has_no_links, links};
use crate::pin::{PinIndex, PinMode};
use crate::store::BlockSource as _;
use crate::store::hot::{Held, HotStore, Scanned};

/// Blocks that wait for a thread that reads and hashes, or for the caller.
const WAITING: usize = 64;

/// Nodes with links that the walk under pins remembers, some 40 bytes each; with more, later ones may be walked again.
const MAX_SEEN: usize = 1 << 20;

/// Links that the walk may have ahead, some 60 bytes each.
const MAX_AHEAD: usize = 1_000_000;

/// Between two words of progress.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Reads and hashes every block of a hot store, walks below every pin and the MFS root, and looks whether everything is
/// here that `against` holds: its blocks by name, its pins, MFS root, IPNS records and keys. Reads of the source names
/// alone where it is a flatfs tree.
///
/// What is wrong is in the report; nothing is changed.
///
/// # Errors
/// [`MigrateError`] where the store or the source as a whole cannot be read.
pub fn verify(
    hot: &HotStore,
    against: Option<&Source>,
    pace: Pace,
    watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Report, MigrateError> {
    let source = against.map(Source::name).unwrap_or_default();
    let mut verifier = Verifier {
        hot,
        pins: PinIndex::new(hot, Vec::new()),
        report: Report { source, ..Report::default() },
        watch,
        total: hot.held().0,
        began: Instant::now(),
        told: Instant::now(),
        keys: [RandomState::new(), RandomState::new()],
        seen: HashSet::new(),
    };
    verifier.hashes(pace)?;
    verifier.pinned()?;
    if let Some(source) = against.filter(|_| !verifier.report.stopped) {
        verifier.blocks_of(source)?;
        if let Some(repository) = source.repository() {
            verifier.carried_from(repository)?;
        }
    }
    let mut report = verifier.report;
    report.took = verifier.began.elapsed();
    Ok(report)
}

struct Verifier<'a, 'b> {
    hot: &'a HotStore,
    pins: PinIndex,
    report: Report,
    watch: &'a mut Watch<'b>,
    /// Blocks that the store says it holds.
    total: u64,
    began: Instant,
    told: Instant,
    keys: [RandomState; 2],
    seen: HashSet<u128>,
}

/// A block that was read: its bytes' number, whether they could be checked, or what is wrong.
type Checked = Result<(u64, bool), Fault>;

impl Verifier<'_, '_> {
    /// Every block hashes to its name. Blocks are read in the order in which they lie on the disk.
    fn hashes(&mut self, pace: Pace) -> Result<(), MigrateError> {
        let (todo, rows) = bounded::<Scanned>(WAITING);
        let (done, results) = bounded::<Checked>(WAITING);
        let limit = Limit::new(pace.bytes_per_second);
        let hot = self.hot;
        thread::scope(|scope| {
            for _ in 0..pace.hashers.clamp(1, 256) {
                let (rows, done, limit) = (rows.clone(), done.clone(), &limit);
                scope.spawn(move || check_all(hot, &rows, &done, limit));
            }
            drop((rows, done));
            let feeder = scope.spawn(move || feed(hot, &todo));
            let mut stopped = false;
            for result in &results {
                self.checked(result);
                if self.told.elapsed() >= TELL_EVERY && self.tell().is_break() {
                    stopped = true;
                    break;
                }
            }
            self.report.stopped = stopped;
            limit.stop();
            // Whoever is still at it finds nobody waiting.
            drop(results);
            feeder.join().map_err(|_| MigrateError::Thread)?.map_err(MigrateError::from)
        })?;
        if !self.report.stopped && self.report.blocks + self.report.fault_count() != self.total {
            let counted = self.report.blocks + self.report.fault_count();
            self.report.note(format!("the store counts {} blocks and holds {counted}", self.total));
        }
        Ok(())
    }

    fn checked(&mut self, result: Checked) {
        match result {
            Ok((bytes, verified)) => {
                self.report.blocks += 1;
                self.report.bytes += bytes;
                self.report.unverified += u64::from(!verified);
            }
            Err(fault) => self.fault(fault),
        }
    }

    /// Everything is here that pins and the MFS keep.
    fn pinned(&mut self) -> Result<(), MigrateError> {
        for pin in self.pins.list(None) {
            if self.report.stopped {
                return Ok(());
            }
            let pin = pin?;
            self.report.pins += 1;
            let place = format!("pin {}", pin.cid);
            if !pin.indexed {
                let detail = "what it keeps is not in the index: it is not whole".to_owned();
                let cid = Some(pin.cid);
                self.fault(Fault { kind: FaultKind::Pin, place: place.clone(), cid, detail });
            }
            self.below(&pin.cid, pin.mode == PinMode::Recursive, &place)?;
        }
        if let Some(root) = self.pins.root(MFS_ROOT)? {
            self.report.mfs_root = Some(root);
            self.below(&root, true, &format!("MFS root {root}"))?;
        }
        Ok(())
    }

    /// A walk below a root. Blocks with links are read; of others it is enough that they are here, since they were
    /// hashed before.
    fn below(&mut self, root: &Cid, recursive: bool, place: &str) -> Result<(), MigrateError> {
        let mut ahead = vec![*root];
        while let Some(cid) = ahead.pop() {
            if self.report.stopped {
                return Ok(());
            }
            if let Err(fault) = self.enter(&cid, recursive, place, &mut ahead)? {
                self.fault(fault);
            }
            if self.told.elapsed() >= TELL_EVERY && self.tell().is_break() {
                self.report.stopped = true;
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        cid: &Cid,
        recursive: bool,
        place: &str,
        ahead: &mut Vec<Cid>,
    ) -> Result<Result<(), Fault>, MigrateError> {
        let bad = |kind, detail| {
            Ok(Err(Fault { kind, place: place.to_owned(), cid: Some(*cid), detail }))
        };
        let inline = cid.hash().code() == IDENTITY;
        if !inline {
            let entry = self.hot.entry(cid).map_err(StoreError::from)?;
            match entry {
                Some(entry) if entry.held != Held::Archive => {
                    if cid.codec() == DAG_PB && entry.pb_leaf {
                        return Ok(Ok(()));
                    }
                }
                Some(_) => {
                    return bad(FaultKind::Missing, "it lies in an archive, not here".into());
                }
                None => return bad(FaultKind::Missing, "it is not here".into()),
            }
        }
        if !recursive || has_no_links(cid.codec()) || !self.is_first(cid) {
            return Ok(Ok(()));
        }
        let block = match crate::block::identity_bytes(cid) {
            Some(bytes) => Ok(Some(bytes)),
            None => self.hot.get(cid).map(|block| block.map(crate::Block::into_data)),
        };
        let data = match block {
            Ok(Some(data)) => data,
            Ok(None) => return bad(FaultKind::Missing, "it is not here".into()),
            Err(error) => return bad(FaultKind::Unreadable, chain(&error)),
        };
        let mut found = Vec::new();
        match links(cid, &data, &mut |link| found.push(link.cid)) {
            Ok(()) => {}
            // Kept as it is: nobody knows what lies below.
            Err(ReadError::UnsupportedCodec { .. }) => return Ok(Ok(())),
            Err(error) => return bad(FaultKind::Undecodable, chain(&error)),
        }
        if ahead.len() + found.len() > MAX_AHEAD {
            let detail = format!("more than {MAX_AHEAD} links are ahead here");
            return bad(FaultKind::Undecodable, detail);
        }
        ahead.extend(found.into_iter().rev());
        Ok(Ok(()))
    }

    fn is_first(&mut self, cid: &Cid) -> bool {
        let bytes = cid.to_bytes();
        let [high, low] = &self.keys;
        let key = u128::from(high.hash_one(&bytes)) << 64 | u128::from(low.hash_one(&bytes));
        match self.seen.len() < MAX_SEEN {
            true => self.seen.insert(key),
            false => !self.seen.contains(&key),
        }
    }

    /// Every block of the source is here.
    fn blocks_of(&mut self, source: &Source) -> Result<(), MigrateError> {
        for part in source.parts() {
            match part {
                Part::Tree(tree) => self.names_of(source, tree)?,
                Part::Pairs { store, folder, prefix } => {
                    for pair in store.scan_prefix(prefix.as_bytes()) {
                        let (key, _) = pair?;
                        let text = key.get(prefix.len()..).unwrap_or_default();
                        let place =
                            format!("{} {}", folder.display(), String::from_utf8_lossy(&key));
                        if let Some(name) = block_name(text) {
                            self.here(source, &name.cid, place)?;
                        }
                    }
                }
                Part::Car(path) => {
                    let failed = |source| MigrateError::Io { path: path.to_owned(), source };
                    let file = std::fs::File::open(path).map_err(failed)?;
                    let car = |source| MigrateError::Car { path: path.to_owned(), source };
                    let file = std::io::BufReader::new(file);
                    let mut reader = crate::car::CarReader::new(file).map_err(car)?;
                    while let Some(section) = reader.next_section().map_err(car)? {
                        let place = format!("{} before byte {}", path.display(), reader.offset());
                        self.here(source, &section.cid, place)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn names_of(
        &mut self,
        source: &Source,
        tree: &coldfront_flatfs::FlatFs,
    ) -> Result<(), MigrateError> {
        let failed = |source| MigrateError::Io { path: tree.root().to_owned(), source };
        for shard in tree::shards(tree.root(), tree.shard_fn()).map_err(failed)? {
            let mut files = Files::open(tree.root(), &shard, tree.shard_fn()).map_err(failed)?;
            loop {
                let some = files.next_sorted().map_err(failed)?;
                if some.is_empty() || self.report.stopped {
                    break;
                }
                for file in some {
                    if let Listed::Block(name) | Listed::Misplaced(name) = file.listed {
                        let place = files.path_of(&file.text).display().to_string();
                        self.here(source, &name.cid, place)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A block of the source is here; where it is not, whether the source's own copy is any good.
    fn here(&mut self, source: &Source, cid: &Cid, place: String) -> Result<(), MigrateError> {
        if self.told.elapsed() >= TELL_EVERY && self.tell().is_break() {
            self.report.stopped = true;
        }
        if cid.hash().code() == IDENTITY || self.hot.size(cid)?.is_some() {
            self.report.held += 1;
            return Ok(());
        }
        let (kind, detail) = match source.find(cid).and_then(|data| check(cid, &data)) {
            Ok(_) => (
                FaultKind::Missing,
                "the source has it, the target has not; run the job again".to_owned(),
            ),
            Err(unread) => (unread.kind, format!("in the source: {}", unread.detail)),
        };
        self.fault(Fault { kind, place, cid: Some(*cid), detail });
        Ok(())
    }

    /// What is no block is here, too.
    fn carried_from(&mut self, repository: &Repository) -> Result<(), MigrateError> {
        for pin in repository.pins()? {
            let pin = match pin {
                Ok(pin) => pin,
                Err(error) => {
                    self.fault(record_fault(&error));
                    continue;
                }
            };
            let there = self.pins.get(&pin.cid)?;
            if there.is_none_or(|there| pin.recursive && there.mode == PinMode::Direct) {
                let (kind, place) = (FaultKind::Pin, format!("pin {}", pin.cid));
                let detail = "the source has it, the target has not".to_owned();
                self.fault(Fault { kind, place, cid: Some(pin.cid), detail });
            }
        }
        let carried = carried(self.hot)?;
        let mut lacks = Vec::new();
        for key in repository.keys()? {
            if !carried.keys.iter().any(|(_, there)| *there == key.key) {
                lacks.push(format!("key {}", key.name));
            }
        }
        for name in repository.names() {
            let name = name?;
            if !carried.names.iter().any(|(peer, _)| *peer == name.peer) {
                lacks.push(format!(
                    "IPNS record of {}",
                    data_encoding::BASE32_NOPAD.encode(&name.peer)
                ));
            }
        }
        if let Some(root) = repository.mfs_root()? {
            let is_root = self.pins.root(MFS_ROOT)? == Some(root);
            if !is_root && self.pins.get(&root)?.is_none() {
                lacks.push(format!("MFS root {root}"));
            }
        }
        for place in lacks {
            let detail = "the source has it, the target has not".to_owned();
            self.fault(Fault { kind: FaultKind::Record, place, cid: None, detail });
        }
        Ok(())
    }

    fn fault(&mut self, fault: Fault) {
        // Whether to go on is asked at the next word of progress.
        let _ = (self.watch)(Event::Fault(&fault));
        self.report.add_fault(fault);
    }

    fn tell(&mut self) -> ControlFlow<()> {
        self.told = Instant::now();
        let done = self.report.blocks as f64 / self.total.max(1) as f64;
        let progress = Progress {
            phase: Phase::Verifying,
            blocks: self.report.blocks,
            bytes: self.report.bytes,
            held: 0,
            faults: self.report.fault_count(),
            done: Some(done.min(1.0)),
            done_before: 0.0,
            elapsed: self.began.elapsed(),
        };
        (self.watch)(Event::Progress(&progress))
    }
}

/// Hands out every block that is here.
fn feed(hot: &HotStore, todo: &Sender<Scanned>) -> Result<(), StoreError> {
    for row in hot.scan(0) {
        let row = row?;
        if row.held && todo.send(row).is_err() {
            break;
        }
    }
    Ok(())
}

fn check_all(hot: &HotStore, rows: &Receiver<Scanned>, done: &Sender<Checked>, limit: &Limit) {
    for row in rows {
        limit.wait(usize::try_from(row.len).unwrap_or(usize::MAX));
        if done.send(check_one(hot, &row)).is_err() {
            return;
        }
    }
}

fn check_one(hot: &HotStore, row: &Scanned) -> Checked {
    let bad = |kind, detail| {
        let place = format!("the target's block {}", row.cid);
        Err(Fault { kind, place, cid: Some(row.cid), detail })
    };
    match hot.get(&row.cid) {
        Ok(Some(block)) => match check(&row.cid, block.data()) {
            Ok(verified) => Ok((block.data().len() as u64, verified)),
            Err(unread) => bad(unread.kind, unread.detail),
        },
        Ok(None) => bad(FaultKind::Missing, "it went while it was verified".into()),
        Err(error @ StoreError::Corrupt { .. }) => bad(FaultKind::Corrupt, chain(&error)),
        Err(error) => bad(FaultKind::Unreadable, chain(&error)),
    }
}
