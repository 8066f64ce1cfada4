//! Collects garbage when it is due, on a thread of its own.
//!
//! Owns the thread. When what is due, and how it is collected, is the library's matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use coldfront::Repo;
use coldfront::gc::schedule::{Due, Janitor, Schedule, tend};

/// Between two looks at the clock and the store.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Ends the thread when it is dropped.
pub(crate) struct Tending {
    stop: Option<Sender<()>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to look after the hot store of a repository. `None`: there is nothing to look after.
pub(crate) fn begin(repo: &Repo, schedule: Schedule) -> std::io::Result<Option<Tending>> {
    if repo.hot().is_none() || schedule == Schedule::default() {
        return Ok(None);
    }
    let (stop, ends) = channel();
    let stopped = Arc::new(AtomicBool::new(false));
    let (repo, flag) = (repo.clone(), stopped.clone());
    let work = move || look_after(&repo, schedule, &ends, &flag);
    let thread = std::thread::Builder::new().name("janitor".into()).spawn(work)?;
    Ok(Some(Tending { stop: Some(stop), stopped, thread: Some(thread) }))
}

impl Tending {
    /// Stops a collection that is under way; waits for it no longer than that.
    pub(crate) fn end(mut self, patience: Duration) {
        self.stopped.store(true, Ordering::Relaxed);
        self.stop = None;
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn look_after(repo: &Repo, schedule: Schedule, ends: &Receiver<()>, stopped: &AtomicBool) {
    let mut janitor = Janitor::new(schedule, SystemTime::now());
    loop {
        let size = repo.hot().and_then(|hot| hot.space().ok()).map_or(0, |space| space.total());
        if let Some(due) = janitor.due(SystemTime::now(), size) {
            let size = collect(repo, due, stopped).unwrap_or(size);
            janitor.done(due, SystemTime::now(), size);
        }
        if ends.recv_timeout(LOOK_EVERY) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// What the store takes afterwards; `None` when it failed.
fn collect(repo: &Repo, due: Due, stopped: &AtomicBool) -> Option<u64> {
    let began = Instant::now();
    let why = match due {
        Due::Daily => "it is time",
        Due::TooLarge { .. } => "the hot store is above its limit",
    };
    tracing::info!("collecting garbage: {why}");
    match tend(repo.pins()?, due, None, &|| !stopped.load(Ordering::Relaxed)) {
        Ok(done) => {
            let (before, after) = (done.space.0.total(), done.space.1.total());
            let (blocks, bytes) = (done.collected.blocks, done.collected.bytes);
            if blocks > 0 {
                repo.forget_nodes();
            }
            tracing::info!(
                blocks,
                bytes,
                before,
                after,
                seconds = began.elapsed().as_secs(),
                "collected garbage"
            );
            Some(after)
        }
        Err(error) => {
            tracing::error!("no garbage was collected: {:#}", anyhow::Error::from(error));
            None
        }
    }
}
