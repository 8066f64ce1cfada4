//! Copying into the hot store while it serves: what `coldfront-migrate run --all` does, paced, in the background.
//!
//! Owns the one thread that does it, and what the log says of it. It stops with the program, and goes on at the next start
//! where it stopped. Must not know how blocks are copied.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use coldfront::gc::schedule::Schedule;
use coldfront::migrate::{self, Event, Job, Pace, Progress, Select, Source, StepBack};
use coldfront::store::hot::HotStore;

/// Bytes read in a second unless told otherwise: a third of what one disk reads, so that viewers are not kept waiting.
pub(crate) const DEFAULT_RATE: u64 = 32 * 1024 * 1024;

/// Between two lines in the log.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Faults of one source that are told in the log; all are in the store's records.
const MAX_FAULTS_TOLD: u64 = 100;

/// What is to be copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adoption {
    pub(crate) sources: Vec<PathBuf>,
    /// Bytes a second.
    pub(crate) rate: u64,
}

/// The copying at work; stops when it is dropped.
pub(crate) struct Adopting {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Adoption {
    /// That nothing collects what is copied: blocks of a tree without its repository have no pins, so a collection removes
    /// them, and the marks of the copy say that they are here. The error is a sentence.
    pub(crate) fn beside(&self, schedule: &Schedule) -> Result<(), String> {
        if *schedule == Schedule::default() {
            return Ok(());
        }
        // A repository brings its pins along, and the roots of a CAR file are pinned.
        let keeps = |path: &&PathBuf| path.is_file() || path.join("config").exists();
        match self.sources.iter().find(|path| !keeps(path)) {
            None => Ok(()),
            Some(path) => Err(format!(
                "--adopt {} copies blocks that nothing pins, and [gc] would remove them again; name the repository that the tree belongs to, or leave at and high of [gc] out until what is to stay is pinned",
                path.display()
            )),
        }
    }

    /// Opens the sources and begins, one after another. What is no source is told at once.
    pub(crate) fn begin(self, hot: HotStore) -> anyhow::Result<Option<Adopting>> {
        if self.sources.is_empty() {
            return Ok(None);
        }
        let open = |path: &PathBuf| {
            Source::open(path, false).with_context(|| format!("cannot adopt {}", path.display()))
        };
        let sources = self.sources.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let rate = self.rate;
        let work = move || sources.iter().for_each(|source| adopt(source, &hot, rate, &stopped));
        let thread = std::thread::Builder::new().name("adopt".into()).spawn(work);
        let thread = thread.context("the thread that copies could not be started")?;
        Ok(Some(Adopting { stop, thread: Some(thread) }))
    }
}

impl Drop for Adopting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It writes what it has read, and ends.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn adopt(source: &Source, hot: &HotStore, rate: u64, stop: &AtomicBool) {
    if stop.load(Ordering::Relaxed) {
        return;
    }
    let path = source.path();
    tracing::info!("adopting {}: beginning, or going on", path.display());
    // Two blocks at a time, and one processor: the rest is for those who are served.
    // Viewers' reads are those of other threads here.
    let step_back = StepBack::ForOtherThreads;
    let pace = Pace { readers: 2, hashers: 1, bytes_per_second: Some(rate), step_back };
    let (mut told, mut faults) = (Instant::now(), 0);
    let mut watch = |event: Event<'_>| {
        match event {
            Event::Progress(progress) if told.elapsed() >= TELL_EVERY => {
                told = Instant::now();
                tell(path, progress);
            }
            Event::Fault(fault) => {
                faults += 1;
                if faults <= MAX_FAULTS_TOLD {
                    tracing::warn!("adopting {}: {fault}", path.display());
                }
            }
            _ => {}
        }
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    match migrate::run(source, hot, Job { select: Select::All, pace }, &mut watch) {
        Ok(report) => tracing::info!(
            "adopting {}: {}, {} blocks and {} bytes copied, {} pins, {} faults",
            path.display(),
            if report.stopped { "stopped, to go on at the next start" } else { "at its end" },
            report.blocks,
            report.bytes,
            report.pins,
            report.fault_count()
        ),
        Err(error) => {
            tracing::error!("adopting {}: {:#}", path.display(), anyhow::Error::from(error));
        }
    }
}

fn tell(path: &Path, progress: &Progress) {
    let done = progress.done.map(|done| format!(", {:.1} %", done * 100.0)).unwrap_or_default();
    let left = progress.left().map(|left| format!(", {} min left", left.as_secs() / 60));
    tracing::info!(
        "adopting {}: {} blocks, {} bytes{done}{}, {} faults",
        path.display(),
        progress.blocks,
        progress.bytes,
        left.unwrap_or_default(),
        progress.faults
    );
}
