//! A job from its beginning to its end.
//!
//! Owns the order of its steps: what was bad before is tried again, blocks are copied part by part, everything is made
//! durable, and only then come pins and what else hangs on blocks.

use std::ops::ControlFlow;
use std::time::Instant;

use coldfront_pebble::{Options, Store};

use super::carry;
use super::copy::{self, Pace, Watch};
use super::error::MigrateError;
use super::mark::{self, JobStatus};
use super::order::{CarOrder, Order, PairsOrder, RetryOrder, RootOrder, TreeOrder};
use super::progress::Event;
use super::report::{Fault, FaultKind, Report};
use super::source::{Part, Source, chain};
use crate::block::Cid;
use crate::kubo::behind::is_cached;
use crate::pin::PinIndex;
use crate::store::hot::{BulkWriter, HotStore, Records};

/// Faults of earlier runs that are tried again in one run, some 300 bytes each.
const MAX_RETRIED: usize = 100_000;

/// Roots of a list that are pinned in one go.
const ROOTS_AT_A_TIME: usize = 1000;

/// A root to be copied, and how it is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The root.
    pub cid: Cid,
    /// With everything below it; else the block alone.
    pub recursive: bool,
    /// The name of its pin; empty for none.
    pub name: String,
}

/// Which blocks are copied.
pub enum Select<'a> {
    /// All that the source holds, in the order of its disk. Of a repository also pins, MFS root, names and keys; the
    /// roots of a CAR are pinned.
    All,
    /// Of a repository: what it has pinned, in the order of the pins, and the pins themselves. Of a CAR file the same as
    /// all.
    Pins,
    /// What lies below these, in their order; each is pinned when it is in. A CAR file is copied whole, and these are pinned.
    Roots(Box<dyn Iterator<Item = Result<Root, Fault>> + 'a>),
    /// These blocks and nothing below them. None is pinned.
    Cids(Box<dyn Iterator<Item = Result<Cid, Fault>> + 'a>),
}

impl std::fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Select::All => "All",
            Select::Pins => "Pins",
            Select::Roots(_) => "Roots",
            Select::Cids(_) => "Cids",
        })
    }
}

/// What a job is to do.
#[derive(Debug)]
pub struct Job<'a> {
    /// Which blocks.
    pub select: Select<'a>,
    /// How much of the machine it takes.
    pub pace: Pace,
}

/// Copies blocks from a source into a hot store, each hashed on its way, and what hangs on them. Durable on return.
///
/// Goes on where an earlier run of a job from the same source stopped, however that ended. `watch` is told of progress
/// and of every fault, and may stop it. Holds some 60 MB beside what the store holds, however much the source has.
///
/// # Errors
/// [`MigrateError`] where nothing can go on. Blocks that are bad or missing are no errors: they are in the report, and in
/// the target's records, and are tried again by the next run.
pub fn run(
    source: &Source,
    hot: &HotStore,
    job: Job<'_>,
    watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Report, MigrateError> {
    let name = source.name();
    let records = mark::records(hot, &name);
    let bulk = hot.bulk("migrate");
    let pins = PinIndex::new(hot, Vec::new());
    let shared = copy::Job {
        source,
        hot,
        bulk: &bulk,
        records: &records,
        before: JobStatus::read(&records, &name)?,
        pace: job.pace,
        began: Instant::now(),
        pins: None,
    };
    let mut report = Report { source: name, ..Report::default() };
    let mut run = Run { shared, report: &mut report, watch, pins: &pins };
    let end = run.all(job.select);
    run.report.took = run.shared.began.elapsed();
    end?;
    finish(hot, &bulk, &records, &run.shared.before, &mut report)?;
    Ok(report)
}

/// The last word: everything durable, and all faults that are known.
fn finish(
    hot: &HotStore,
    bulk: &BulkWriter,
    records: &Records,
    before: &JobStatus,
    report: &mut Report,
) -> Result<(), MigrateError> {
    bulk.flush()?;
    report.faults.clear();
    report.first_faults.clear();
    mark::each_fault(records, &mut |fault| report.add_fault(fault))?;
    let done = (!report.stopped).then_some(1.0);
    let status = before.after(report, done, !report.stopped);
    records.put(&[status.change()])?;
    mark::publish(hot, &status)?;
    Ok(())
}

struct Run<'a, 'b> {
    shared: copy::Job<'a>,
    report: &'a mut Report,
    watch: &'a mut Watch<'b>,
    pins: &'a PinIndex,
}

impl<'a> Run<'a, '_> {
    fn all(&mut self, select: Select<'_>) -> Result<(), MigrateError> {
        if self.retry()?.is_break() {
            return Ok(());
        }
        match select {
            Select::All => self.everything(),
            // The pins of a CAR are its roots.
            Select::Pins if !self.shared.source.finds_by_name() => self.everything(),
            Select::Pins => {
                let repository = self.shared.source.repository().ok_or_else(|| {
                    self.not_here("it has no pins; name a whole repository, or roots in a file")
                })?;
                let mut roots = repository.pins()?.map(|pin| match pin {
                    Ok(pin) => Ok(Root { cid: pin.cid, recursive: pin.recursive, name: pin.name }),
                    Err(error) => Err(record_fault(&error)),
                });
                self.roots(&mut roots, true)
            }
            Select::Roots(mut roots) => self.roots(&mut roots, true),
            Select::Cids(cids) => {
                let mut roots = cids
                    .map(|cid| cid.map(|cid| Root { cid, recursive: false, name: String::new() }));
                self.roots(&mut roots, false)
            }
        }
    }

    fn not_here(&self, what: &'static str) -> MigrateError {
        MigrateError::NotHere { path: self.shared.source.path().to_owned(), what }
    }

    fn copy(&mut self, order: &mut dyn Order) -> Result<ControlFlow<()>, MigrateError> {
        copy::copy(&self.shared, order, self.report, self.watch)
    }

    /// What was bad before may be mended by now.
    fn retry(&mut self) -> Result<ControlFlow<()>, MigrateError> {
        let mut faults = Vec::new();
        mark::each_fault(self.shared.records, &mut |fault| {
            if faults.len() < MAX_RETRIED {
                faults.push(fault);
            }
        })?;
        match faults.is_empty() {
            true => Ok(ControlFlow::Continue(())),
            false => self.copy(&mut RetryOrder(faults.into_iter())),
        }
    }

    fn everything(&mut self) -> Result<(), MigrateError> {
        let source = self.shared.source;
        let mut car_roots = Vec::new();
        let parts = source.parts();
        let is_tree =
            |part: &Part<'a>| if let Part::Tree(tree) = part { Some(*tree) } else { None };
        let trees: Vec<_> = parts.iter().filter_map(is_tree).collect();
        if !trees.is_empty()
            && self.copy(&mut TreeOrder::new(&trees, self.shared.records)?)?.is_break()
        {
            return Ok(());
        }
        for part in parts {
            let end = match part {
                Part::Tree(_) => continue,
                Part::Pairs { store, folder, prefix } => self.pairs(store, folder, prefix)?,
                Part::Car(path) => {
                    let mut order = CarOrder::new(path, self.shared.records)?;
                    car_roots.extend_from_slice(order.roots());
                    self.copy(&mut order)?
                }
            };
            if end.is_break() {
                return Ok(());
            }
        }
        self.shared.bulk.flush()?;
        match source.repository() {
            Some(repository) => {
                let missed =
                    carry::carry(repository, &self.shared, self.pins, self.report, self.watch)?;
                self.again(missed)
            }
            None => {
                let roots = car_roots.into_iter().map(|cid| Root {
                    cid,
                    recursive: true,
                    name: String::new(),
                });
                let roots: Vec<_> = roots.collect();
                let missed = carry::pin_all(self.pins, &roots, self.report)?;
                self.give_up(missed)
            }
        }
    }

    /// A store by key; where it is damaged, what can still be read of it. What is read is checked by its hash, so that
    /// values that should be gone do no harm.
    fn pairs(
        &mut self,
        store: &Store,
        folder: &std::path::Path,
        prefix: &str,
    ) -> Result<ControlFlow<()>, MigrateError> {
        let Some(mut order) = PairsOrder::new(store, folder, prefix, self.shared.records)? else {
            return Ok(ControlFlow::Continue(()));
        };
        let end = self.copy(&mut order)?;
        let Some(why) = order.broken.take().filter(|_| end.is_continue()) else { return Ok(end) };
        self.report.note(format!("read on behind what is damaged: {why}"));
        let salvaged =
            Store::open_with(folder, Options::new().salvage(true).drop_behind(is_cached))?;
        match PairsOrder::new(&salvaged, folder, prefix, self.shared.records)? {
            Some(mut order) => self.copy(&mut order),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn roots(
        &mut self,
        roots: &mut dyn Iterator<Item = Result<Root, Fault>>,
        pin: bool,
    ) -> Result<(), MigrateError> {
        if !self.shared.source.finds_by_name() {
            return match pin {
                true => self.roots_of_car(roots),
                false => Err(self.not_here(
                    "a CAR file is copied whole; leave the list of CIDs out, or give it as roots",
                )),
            };
        }
        self.shared.pins = pin.then_some(self.pins);
        let mut order = RootOrder::new(roots, self.shared.records);
        self.copy(&mut order).map(|_| ())
    }

    /// A CAR file has no index to find what lies below a root: it is copied whole, and the roots that are asked for are pinned
    /// in place of those that its header names.
    fn roots_of_car(
        &mut self,
        roots: &mut dyn Iterator<Item = Result<Root, Fault>>,
    ) -> Result<(), MigrateError> {
        let source = self.shared.source;
        for part in source.parts() {
            if let Part::Car(path) = part
                && self.copy(&mut CarOrder::new(path, self.shared.records)?)?.is_break()
            {
                return Ok(());
            }
        }
        self.shared.bulk.flush()?;
        let mut some = Vec::new();
        loop {
            some.clear();
            while some.len() < ROOTS_AT_A_TIME {
                match roots.next() {
                    Some(Ok(root)) => some.push(root),
                    Some(Err(fault)) => {
                        self.shared.records.put(&[mark::fault_change(&fault)])?;
                        self.report.add_fault(fault);
                    }
                    None => break,
                }
            }
            if some.is_empty() {
                return Ok(());
            }
            for (_, fault) in carry::pin_all(self.pins, &some, self.report)? {
                self.shared.records.put(&[mark::fault_change(&fault)])?;
                self.report.add_fault(fault);
            }
        }
    }

    /// Pins whose blocks are not all there, though everything was copied: they were collected since, or the source never
    /// had them. What it has is copied, root by root.
    fn again(&mut self, missed: Vec<(Root, Fault)>) -> Result<(), MigrateError> {
        if missed.is_empty() {
            return Ok(());
        }
        let marks: Vec<_> = missed.iter().map(|(root, _)| (mark::root(&root.cid), None)).collect();
        self.shared.records.put(&marks)?;
        let mut roots = missed.into_iter().map(|(root, _)| Ok(root));
        self.roots(&mut roots, true)
    }

    fn give_up(&mut self, missed: Vec<(&Root, Fault)>) -> Result<(), MigrateError> {
        for (root, fault) in missed {
            carry::keep_anyway(self.pins, root)?;
            self.shared.records.put(&[mark::fault_change(&fault)])?;
            self.report.add_fault(fault);
        }
        Ok(())
    }
}

/// A record of the source that cannot be read.
pub(super) fn record_fault(error: &crate::kubo::RepositoryError) -> Fault {
    let place = match error {
        crate::kubo::RepositoryError::Record { key, .. } => key.clone(),
        other => other.to_string(),
    };
    Fault { kind: FaultKind::Record, place, cid: None, detail: chain(error) }
}
