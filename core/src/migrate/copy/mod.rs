//! The machine: blocks asked for in an order, read and hashed side by side, written in that order.
//!
//! Owns the threads, the channels between them and their bounds. The calling thread keeps a list of what comes next;
//! of its front, a window is under way. Readers wait for disks, hashers for processors, one writer for the target.
//!
//! ```text
//! caller ──requests──► readers ──bytes──► hashers ──┐
//!    ▲                                              │ one answer a request
//!    └──────────────────────────────────────────────┘
//!    └──batches──► writer
//! ```

mod limit;
mod neighbours;
mod threads;

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

pub(super) use limit::Limit;
pub use neighbours::StepBack;
use neighbours::{Neighbours, Reader};
pub(super) use threads::check;
use threads::{Answer, Answered, Batch, Good, Request, hash_all, read_all, write_all};

use super::error::MigrateError;
use super::mark::{self, JobStatus};
use super::order::{At, Counted, Order, Step, Wanted};
use super::progress::{Event, Phase, Progress};
use super::report::{Fault, FaultKind, Report};
use super::run::Root;
use super::source::{Part, Source, Unread};
use crate::block::{Block, Cid, DAG_PB, MultihashBytes};
use crate::error::StoreError;
use crate::pin::PinIndex;
use crate::store::hot::{BulkWriter, Held, HotStore, Records};

/// Bytes of blocks that are asked for ahead, were all as long as the longest of the last [`LATELY`].
const BYTES_AHEAD: usize = 32 * 1024 * 1024;
/// Blocks that are asked for ahead at most, and at least. As many as 32 disks take with 4 readers each.
const MOST_AHEAD: usize = 128;
const LEAST_AHEAD: usize = 4;
/// Blocks whose longest decides how many are asked for ahead.
const LATELY: usize = 64;

/// Bytes and blocks that are written in one batch, about.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const BATCH_BLOCKS: usize = 2048;

/// Batches that are made, wait, and are written.
const BATCHES_UNDER_WAY: usize = 4;

/// A batch that is smaller is written after so long, so that a slow source leaves marks too.
const BATCH_AGE: Duration = Duration::from_secs(5);

/// Disks of a source that have readers of their own; what lies on more shares those of the first.
pub(super) const MAX_DISKS: usize = 64;

/// Between two words of progress.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Between two times at which it is written down how far the job is.
const PUBLISH_EVERY: Duration = Duration::from_secs(5);

/// Links that a walk may have ahead, some 100 bytes each. An honest DAG is far below.
const MAX_LINKS_AHEAD: usize = 500_000;

/// Roots that are pinned together, with one flush before.
const ROOTS_AT_A_TIME: usize = 1000;

/// How much of the machine a job takes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Threads that read from each disk of the source, at least 1: blocks that it is asked for at a time. Default 4. A
    /// disk is what the system calls a device: 12 disks that share one file system are one, and want 12 times as many.
    pub readers: usize,
    /// Threads that hash. Default: as many as there are processors, at most 8.
    pub hashers: usize,
    /// Bytes read in a second, at most; `None` for as many as go.
    pub bytes_per_second: Option<u64>,
    /// For whom it steps back while they read from the disk of the source. Default: for other processes.
    pub step_back: StepBack,
}

impl Default for Pace {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let step_back = StepBack::default();
        Pace { readers: 4, hashers: cores.min(8), bytes_per_second: None, step_back }
    }
}

/// What all parts of a job share.
pub(super) struct Job<'a> {
    pub(super) source: &'a Source,
    pub(super) hot: &'a HotStore,
    pub(super) bulk: &'a BulkWriter,
    pub(super) records: &'a Records,
    pub(super) before: JobStatus,
    pub(super) pace: Pace,
    pub(super) began: Instant,
    /// Where roots are pinned as they come in; `None` where they are not to be.
    pub(super) pins: Option<&'a PinIndex>,
}

/// Told of progress and faults.
pub(super) type Watch<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + 'a;

/// Copies what an order asks for. Returns when it is written, not yet durable; `Break` when it was stopped.
pub(super) fn copy(
    job: &Job<'_>,
    order: &mut dyn Order,
    report: &mut Report,
    watch: &mut Watch<'_>,
) -> Result<ControlFlow<()>, MigrateError> {
    let (readers, hashers) = (job.pace.readers.clamp(1, 256), job.pace.hashers.clamp(1, 256));
    let disks: Vec<_> =
        (0..order.disks().clamp(1, MAX_DISKS)).map(|_| bounded::<Request>(MOST_AHEAD)).collect();
    let (read, to_hash) = bounded::<Answered>(hashers * 2);
    let (batches, to_write) = bounded::<Batch>(1);
    let limit = Limit::new(job.pace.bytes_per_second);
    let neighbours = Neighbours::of(job.source.path(), job.pace.step_back);
    let neighbours = neighbours.as_ref();
    thread::scope(|scope| {
        for (_, asked) in disks.iter().flat_map(|disk| std::iter::repeat_n(disk, readers)) {
            let (asked, read, limit) = (asked.clone(), read.clone(), &limit);
            scope.spawn(move || read_all(job, &asked, &read, limit, neighbours));
        }
        for _ in 0..hashers {
            let to_hash = to_hash.clone();
            scope.spawn(move || hash_all(&to_hash));
        }
        let writer = scope.spawn(move || write_all(job, &to_write));
        drop(to_hash);
        let requests = disks.into_iter().map(|(requests, _)| requests).collect();
        let mut caller = Caller {
            job,
            report,
            watch,
            limit: &limit,
            reader: neighbours.map(Neighbours::reader),
            requests,
            read,
            batches,
            ahead: VecDeque::new(),
            links_ahead: 0,
            batch: Batch::default(),
            fresh: Default::default(),
            batch_began: Instant::now(),
            told: Instant::now(),
            published: Instant::now(),
            lately: VecDeque::new(),
            faults_before_root: 0,
            roots: Vec::new(),
            done_before: order.done().unwrap_or(0.0),
        };
        caller.faults_before_root = caller.report.fault_count();
        let end = caller.drive(order);
        if !matches!(end, Ok(ControlFlow::Continue(()))) {
            limit.stop();
        }
        let end = end.and_then(|end| caller.finish(order).map(|()| end));
        drop(caller);
        // A failure of the writer is the reason of those that the caller met.
        match writer.join() {
            Ok(Ok(())) => end,
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(MigrateError::Thread),
        }
    })
}

fn is_in(sets: &[HashSet<Box<[u8]>>], cid: &Cid) -> bool {
    let key = MultihashBytes::of(cid);
    sets.iter().any(|set| set.contains(key.as_slice()))
}

/// What comes next, and how far it is.
struct Slot {
    step: Step,
    state: State,
}

enum State {
    Idle,
    /// The target holds the block, and nothing below it matters.
    Held,
    Asked(Receiver<Answer>),
}

struct Caller<'a, 'b> {
    job: &'a Job<'b>,
    report: &'a mut Report,
    watch: &'a mut Watch<'b>,
    limit: &'a Limit,
    /// Orders list directories, and read stores themselves.
    reader: Option<Reader<'a>>,
    /// By disk.
    requests: Vec<Sender<Request>>,
    read: Sender<Answered>,
    batches: Sender<Batch>,
    ahead: VecDeque<Slot>,
    links_ahead: usize,
    batch: Batch,
    /// Blocks of a walk that are on their way into the target: those of this batch first, then of those that may not be
    /// written yet.
    fresh: [HashSet<Box<[u8]>>; BATCHES_UNDER_WAY],
    batch_began: Instant,
    told: Instant,
    published: Instant,
    /// Lengths of the last blocks.
    lately: VecDeque<usize>,
    faults_before_root: u64,
    /// Roots that are all in and wait to be pinned.
    roots: Vec<Root>,
    done_before: f64,
}

impl Caller<'_, '_> {
    fn drive(&mut self, order: &mut dyn Order) -> Result<ControlFlow<()>, MigrateError> {
        let mut ended = false;
        loop {
            let window = self.window();
            while !ended && self.ahead.len() < window {
                match self.next(order)? {
                    Some(step) => self.ahead.push_back(Slot { step, state: State::Idle }),
                    None => ended = true,
                }
            }
            self.ask(window)?;
            let Some(slot) = self.ahead.pop_front() else { return Ok(ControlFlow::Continue(())) };
            self.take(slot, order)?;
            if self.report.stopped {
                return Ok(ControlFlow::Break(()));
            }
            if self.batch.bytes >= BATCH_BYTES
                || self.batch.blocks.len() >= BATCH_BLOCKS
                || self.batch_began.elapsed() >= BATCH_AGE
            {
                self.send(order, None)?;
            }
            if self.told.elapsed() >= TELL_EVERY && self.tell(order).is_break() {
                self.report.stopped = true;
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    fn next(&mut self, order: &mut dyn Order) -> Result<Option<Step>, MigrateError> {
        match &mut self.reader {
            Some(reader) => reader.read(self.limit, || order.next()),
            None => order.next(),
        }
    }

    /// How many of the next steps may be under way.
    fn window(&self) -> usize {
        let longest = self.lately.iter().max().copied().unwrap_or(BYTES_AHEAD / 16).max(1);
        (BYTES_AHEAD / longest).clamp(LEAST_AHEAD, MOST_AHEAD)
    }

    /// Asks for the blocks among the next steps.
    fn ask(&mut self, window: usize) -> Result<(), MigrateError> {
        for at in 0..window.min(self.ahead.len()) {
            let Some(slot) = self.ahead.get_mut(at) else { break };
            if !matches!(slot.state, State::Idle) {
                continue;
            }
            if let Step::Link(bytes) = &slot.step {
                self.links_ahead = self.links_ahead.saturating_sub(1);
                match Cid::try_from(&bytes[..]) {
                    Ok(cid) => slot.step = Step::Read(Box::new(Wanted::named(cid, true))),
                    Err(_) => slot.step = Step::Mark(Vec::new()),
                }
            }
            let (wanted, data) = match &mut slot.step {
                Step::Read(wanted) => (wanted, None),
                Step::Have(wanted, data) => (wanted, Some(std::mem::take(data))),
                _ => continue,
            };
            let entry = self.job.hot.entry(&wanted.cid).map_err(StoreError::from)?;
            let entry = entry.filter(|entry| entry.held != Held::Archive);
            let is_fresh = matches!(wanted.at, At::Anywhere)
                && !wanted.links
                && is_in(&self.fresh, &wanted.cid);
            let is_leaf = |leaf: bool| leaf && wanted.cid.codec() == DAG_PB;
            if is_fresh || entry.is_some_and(|entry| !wanted.links || is_leaf(entry.pb_leaf)) {
                slot.state = State::Held;
                continue;
            }
            let (answer, answered) = bounded(1);
            let sent = match data {
                None => {
                    let wanted = wanted.clone();
                    let disk = self.requests.get(wanted.disk).or(self.requests.first());
                    let request = Request { wanted, from_target: entry.is_some(), answer };
                    disk.is_some_and(|disk| disk.send(request).is_ok())
                }
                Some(data) => {
                    self.limit.wait(data.len());
                    let next = Answered { cid: wanted.cid, data, trusted: false, answer };
                    self.read.send(next).is_ok()
                }
            };
            if !sent {
                return Err(MigrateError::Thread);
            }
            slot.state = State::Asked(answered);
        }
        Ok(())
    }

    /// The next step is done, or is waited for.
    fn take(&mut self, slot: Slot, order: &mut dyn Order) -> Result<(), MigrateError> {
        match (slot.step, slot.state) {
            (Step::Read(wanted) | Step::Have(wanted, _), State::Held) => {
                self.report.held += 1;
                self.mended(&wanted);
            }
            (Step::Read(wanted) | Step::Have(wanted, _), State::Asked(answer)) => {
                match self.wait(&answer, order)? {
                    Some(Ok(good)) => self.good(&wanted, good, order),
                    Some(Err(unread)) => self.bad(&wanted, unread),
                    None => self.report.stopped = true,
                }
            }
            (Step::Mark(changes), _) => self.batch.changes.extend(changes),
            (Step::Bad(fault), _) => self.fault(*fault),
            (Step::Count(what, count), _) => *self.counter(what) += count,
            (Step::Listed(foreign, mark), _) => {
                self.report.foreign += foreign;
                self.batch.changes.extend(mark);
            }
            (Step::RootDone(root), _) => self.root_done(*root, order)?,
            // Every block and link of the window was asked for.
            (Step::Read(_) | Step::Have(..) | Step::Link(_), _) => {
                return Err(MigrateError::Thread);
            }
        }
        Ok(())
    }

    /// An answer, told of progress meanwhile: a disk or a limit may take long. `None` when the job was stopped.
    fn wait(
        &mut self,
        answer: &Receiver<Answer>,
        order: &mut dyn Order,
    ) -> Result<Option<Answer>, MigrateError> {
        loop {
            match answer.recv_timeout(TELL_EVERY) {
                Ok(answer) => return Ok(Some(answer)),
                Err(RecvTimeoutError::Disconnected) => return Err(MigrateError::Thread),
                Err(RecvTimeoutError::Timeout) if self.tell(order).is_break() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn good(&mut self, wanted: &Wanted, good: Good, order: &mut dyn Order) {
        let Good { data, verified, held } = good;
        if self.lately.len() >= LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back(data.len());
        if wanted.links {
            self.follow(wanted, &data, order);
        }
        self.mended(wanted);
        if held || !self.is_first(wanted) {
            self.report.held += 1;
            return;
        }
        self.report.misplaced += u64::from(wanted.misplaced);
        self.report.blocks += 1;
        self.report.bytes += data.len() as u64;
        self.report.unverified += u64::from(!verified);
        self.batch.bytes += data.len();
        self.batch.blocks.push(Block::trusted(wanted.cid, data));
    }

    /// Whether a block of a walk is not on its way already; others come once.
    fn is_first(&mut self, wanted: &Wanted) -> bool {
        if !matches!(wanted.at, At::Anywhere) {
            return true;
        }
        let [now, ..] = &mut self.fresh;
        let key = MultihashBytes::of(&wanted.cid);
        now.insert(key.as_slice().into())
            && !is_in(self.fresh.get(1..).unwrap_or_default(), &wanted.cid)
    }

    /// Puts what a block links to before everything else.
    fn follow(&mut self, wanted: &Wanted, data: &[u8], order: &mut dyn Order) {
        let below = match order.below(&wanted.cid, data) {
            Ok(below) => below,
            Err(detail) => {
                return self.bad(wanted, Unread::new(FaultKind::Undecodable, detail));
            }
        };
        if self.links_ahead + below.len() > MAX_LINKS_AHEAD {
            let detail = format!(
                "more than {MAX_LINKS_AHEAD} links are ahead here; what is below it is not copied"
            );
            return self.bad(wanted, Unread::new(FaultKind::Undecodable, detail));
        }
        self.links_ahead += below.len();
        for step in below.into_iter().rev() {
            self.ahead.push_front(Slot { step, state: State::Idle });
        }
    }

    /// A block that was bad before is not any more.
    fn mended(&mut self, wanted: &Wanted) {
        if let Some(place) = &wanted.retry {
            self.batch.changes.push((mark::fault(place), None));
        }
    }

    fn bad(&mut self, wanted: &Wanted, unread: Unread) {
        let place = match (&wanted.retry, &wanted.at) {
            (Some(place), _) => place.to_string(),
            (None, At::File { folder, text }) => {
                format!("{}/{}.data", folder.display(), String::from_utf8_lossy(text))
            }
            (None, At::Given(place)) => place.to_string(),
            (None, At::Anywhere) => self.place_of(&wanted.cid),
        };
        let Unread { kind, detail } = unread;
        self.fault(Fault { kind, place, cid: Some(wanted.cid), detail });
    }

    /// Where a block should be.
    fn place_of(&self, cid: &Cid) -> String {
        let tree = self.job.source.parts().into_iter().find_map(|part| match part {
            Part::Tree(tree) => Some(tree),
            _ => None,
        });
        let name = cid.hash().to_bytes();
        match tree {
            Some(tree) => tree.path_of(coldfront_flatfs::Key::new(&name)).display().to_string(),
            None => format!("{} {cid}", self.job.source.path().display()),
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.batch.changes.push(mark::fault_change(&fault));
        // Whether to go on is asked at the next word of progress.
        let _ = (self.watch)(Event::Fault(&fault));
        self.report.add_fault(fault);
    }

    fn counter(&mut self, what: Counted) -> &mut u64 {
        match what {
            Counted::ShardsSkipped => &mut self.report.shards_skipped,
            Counted::TablesSkipped => &mut self.report.tables_skipped,
            Counted::Identity => &mut self.report.identity,
        }
    }

    fn root_done(&mut self, root: Root, order: &mut dyn Order) -> Result<(), MigrateError> {
        let faults = self.report.fault_count();
        let whole = faults == self.faults_before_root;
        self.faults_before_root = faults;
        if whole && root.recursive {
            self.batch.changes.push((mark::root(&root.cid), Some(Vec::new())));
        }
        if self.job.pins.is_some() {
            self.roots.push(root);
            if self.roots.len() >= ROOTS_AT_A_TIME {
                self.pin_roots(order)?;
            }
        }
        Ok(())
    }

    /// Pins the roots that are in. ORDER: after a flush, so that a pin never outlives its blocks.
    fn pin_roots(&mut self, order: &mut dyn Order) -> Result<(), MigrateError> {
        let Some(pins) = self.job.pins.filter(|_| !self.roots.is_empty()) else { return Ok(()) };
        let (flushed, told) = bounded(1);
        self.send(order, Some(flushed))?;
        told.recv().map_err(|_| MigrateError::Thread)?;
        let roots = std::mem::take(&mut self.roots);
        for (root, fault) in super::carry::pin_all(pins, &roots, self.report)? {
            super::carry::keep_anyway(pins, root)?;
            self.fault(fault);
        }
        Ok(())
    }

    /// Hands the batch to the writer.
    fn send(
        &mut self,
        order: &mut dyn Order,
        flushed: Option<Sender<()>>,
    ) -> Result<(), MigrateError> {
        let mut batch = std::mem::take(&mut self.batch);
        self.fresh.rotate_right(1);
        let [now, ..] = &mut self.fresh;
        now.clear();
        batch.changes.push(self.job.before.after(self.report, order.done(), false).change());
        batch.flushed = flushed;
        self.batch_began = Instant::now();
        self.batches.send(batch).map_err(|_| MigrateError::Thread)
    }

    fn finish(&mut self, order: &mut dyn Order) -> Result<(), MigrateError> {
        self.pin_roots(order)?;
        self.send(order, None)?;
        let _ = self.tell(order);
        Ok(())
    }

    fn tell(&mut self, order: &mut dyn Order) -> ControlFlow<()> {
        self.told = Instant::now();
        if self.published.elapsed() >= PUBLISH_EVERY {
            self.published = Instant::now();
            let status = self.job.before.after(self.report, order.done(), false);
            // Nothing rests on it.
            let _ = mark::publish(self.job.hot, &status);
        }
        let progress = Progress {
            phase: Phase::Blocks,
            blocks: self.report.blocks,
            bytes: self.report.bytes,
            held: self.report.held,
            faults: self.report.fault_count(),
            done: order.done(),
            done_before: self.done_before,
            elapsed: self.job.began.elapsed(),
        };
        (self.watch)(Event::Progress(&progress))
    }
}
