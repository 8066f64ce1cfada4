//! The blocks of an export: read in the order in which they came into the store, checked, written, made durable.
//!
//! Owns rounds. A round is as many blocks as are worth one sync of the file system; at its end the mark is moved. What a
//! crash interrupts is done again, over what may be there: behind the mark nothing is believed.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::ExportOptions;
use super::error::ExportError;
use super::files::sync_file_system;
use super::flatfs::FlatFsWriter;
use super::place::{Mark, Place};
use super::report::{Counts, MAX_PROBLEMS, Problem};
use crate::block::{Block, IDENTITY, verify};
use crate::error::StoreError;
use crate::migrate::progress::{Event, Phase, Progress};
use crate::store::BlockSource;
use crate::store::hot::{HotStore, Scanned};

/// Blocks of a round.
const ROUND_BLOCKS: usize = 4096;

/// Bytes of a round. What a crash costs at most, beside one block.
const ROUND_BYTES: u64 = 64 * 1024 * 1024;

/// Where blocks come from.
pub(super) struct Sources<'a> {
    pub(super) hot: &'a HotStore,
    /// Where blocks lie that the store only knows.
    pub(super) below: &'a [Arc<dyn BlockSource>],
}

/// Writes all blocks behind the mark.
pub(super) fn write(
    sources: &Sources<'_>,
    place: &Place,
    tree: &FlatFsWriter,
    mark: &mut Mark,
    options: &ExportOptions,
    watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<(), ExportError> {
    let mut rows = sources.hot.scan(mark.next).peekable();
    let (mut pace, told) = (Pace::new(options.rate), Told::begin(sources.hot, mark));
    // What lies there may be what a crash left. Afterwards only Kubo's own files are met.
    let mut believed = false;
    while rows.peek().is_some() {
        let round = next_round(&mut rows)?;
        let Some(last) = round.last() else { break };
        let done = Round { sources, tree, round: &round, believed: mark.added_to && believed };
        let done = done.run(options.workers.max(1))?;
        believed = true;
        // ORDER: durable before the mark says so.
        sync_file_system(place.root())?;
        mark.next = last.number + 1;
        mark.last = Some((last.number, last.cid.to_string()));
        mark.counts.add(&done.counts);
        mark.usage = mark.usage.saturating_add_signed(done.grown);
        let room = MAX_PROBLEMS.saturating_sub(mark.problems.len());
        mark.problems.extend(done.problems.into_iter().take(room));
        place.write_mark(mark)?;
        pace.wait(done.counts.bytes);
        if watch(Event::Progress(&told.of(mark))).is_break() {
            return Err(ExportError::Stopped);
        }
    }
    Ok(())
}

/// What progress is counted from.
struct Told {
    began: Instant,
    before: Counts,
    /// Blocks that are to be looked at, where that is known.
    total: Option<u64>,
}

impl Told {
    fn begin(hot: &HotStore, mark: &Mark) -> Told {
        let total = (mark.since == 0).then(|| hot.held().0.max(1));
        Told { began: Instant::now(), before: mark.counts.clone(), total }
    }

    fn of(&self, mark: &Mark) -> Progress {
        let share = |counts: &Counts| {
            self.total.map(|total| (counts.looked_at() as f64 / total as f64).min(1.0))
        };
        let counts = &mark.counts;
        Progress {
            phase: Phase::Blocks,
            blocks: counts.written - self.before.written,
            bytes: counts.bytes - self.before.bytes,
            held: counts.there - self.before.there,
            faults: counts.missing + counts.bad,
            done: share(counts),
            done_before: share(&self.before).unwrap_or(0.0),
            elapsed: self.began.elapsed(),
        }
    }
}

fn next_round(
    rows: &mut dyn Iterator<Item = Result<Scanned, StoreError>>,
) -> Result<Vec<Scanned>, ExportError> {
    let (mut round, mut bytes) = (Vec::new(), 0);
    while round.len() < ROUND_BLOCKS && bytes < ROUND_BYTES {
        let Some(row) = rows.next() else { break };
        let row = row?;
        bytes += row.len;
        round.push(row);
    }
    Ok(round)
}

/// What became of a round.
#[derive(Default)]
struct Done {
    counts: Counts,
    problems: Vec<Problem>,
    /// Bytes by which the tree has grown.
    grown: i64,
}

struct Round<'a> {
    sources: &'a Sources<'a>,
    tree: &'a FlatFsWriter,
    round: &'a [Scanned],
    /// Whether a file of the right length is taken for the block.
    believed: bool,
}

impl Round<'_> {
    fn run(&self, workers: usize) -> Result<Done, ExportError> {
        let (next, all) = (AtomicUsize::new(0), Mutex::new(Done::default()));
        let work = |worker: usize| -> Result<(), ExportError> {
            let mut done = Done::default();
            while let Some(row) = self.round.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.block(worker, row, &mut done) {
                    // The others need not go on.
                    next.store(self.round.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.counts.add(&done.counts);
            all.problems.append(&mut done.problems);
            all.grown += done.grown;
            Ok(())
        };
        let work = &work;
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn block(&self, worker: usize, row: &Scanned, done: &mut Done) -> Result<(), ExportError> {
        if row.cid.hash().code() == IDENTITY {
            return Ok(());
        }
        // The length of what another source holds may not be known.
        let there = self.tree.len_of(&row.cid)?;
        if self.believed && there.is_some_and(|len| len == row.len || !row.held && len > 0) {
            done.counts.there += 1;
            return Ok(());
        }
        let mut problem = |count: &mut u64, what: String| {
            *count += 1;
            if done.problems.len() < MAX_PROBLEMS {
                done.problems.push(Problem { cid: row.cid.to_string(), what });
            }
        };
        let block = match self.fetch(row) {
            Ok(Some(block)) => block,
            // Removed since the row was read: nothing keeps it.
            Ok(None) if row.held && !matches!(self.sources.hot.number(&row.cid), Ok(Some(_))) => {
                return Ok(());
            }
            Ok(None) => {
                problem(&mut done.counts.missing, "no source holds it".into());
                return Ok(());
            }
            Err(error) => {
                problem(&mut done.counts.bad, error.to_string());
                return Ok(());
            }
        };
        match verify(&row.cid, block.data(), "the hot store") {
            Ok(()) => {}
            Err(StoreError::UnknownHash { .. }) => done.counts.unverified += 1,
            Err(error) => {
                problem(&mut done.counts.bad, error.to_string());
                return Ok(());
            }
        }
        self.tree.put(worker, &row.cid, block.data())?;
        let len = block.data().len() as u64;
        done.counts.written += 1;
        done.counts.bytes += len;
        done.grown += len as i64 - there.unwrap_or(0) as i64;
        Ok(())
    }

    /// The bytes of a block, unverified, out of the first source that has it.
    fn fetch(&self, row: &Scanned) -> Result<Option<Block>, StoreError> {
        if let Some(block) = self.sources.hot.get(&row.cid)? {
            return Ok(Some(block));
        }
        let mut failed = None;
        for source in self.sources.below {
            match source.get(&row.cid) {
                Ok(Some(block)) => return Ok(Some(block)),
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }
}

/// Keeps to a rate, counted from the beginning.
struct Pace {
    rate: Option<u64>,
    began: Instant,
    bytes: u64,
}

impl Pace {
    fn new(rate: Option<u64>) -> Pace {
        Pace { rate: rate.filter(|rate| *rate > 0), began: Instant::now(), bytes: 0 }
    }

    fn wait(&mut self, bytes: u64) {
        self.bytes += bytes;
        let Some(rate) = self.rate else { return };
        let due = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
        thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}
