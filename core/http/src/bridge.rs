//! Where the async edge meets the blocking library.
//!
//! Owns the only calls of `spawn_blocking` and the bound on them. A request that has not begun is
//! refused when too many wait ([`Bridge::admit`]); an answer that has begun waits its turn
//! ([`Bridge::run`]); work that nobody waits for is only done when there is room
//! ([`Bridge::run_if_idle`]). Must not know any protocol.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use coldfront::Repo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// Too many requests wait for the disk already.
#[derive(Debug)]
pub(crate) struct Overloaded;

/// The way into the blocking world.
#[derive(Debug)]
pub(crate) struct Bridge {
    repo: Repo,
    slots: Arc<Semaphore>,
    /// Slots that must stay free for clients when work is done that no client waits for.
    reserve: usize,
    skipped: AtomicU64,
}

impl Bridge {
    /// `threads` jobs run at a time (the runtime's blocking pool has as many), `queue` more may wait.
    pub(crate) fn new(repo: Repo, threads: usize, queue: usize) -> Self {
        let slots = threads.max(1) + queue;
        Bridge {
            repo,
            slots: Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
            reserve: queue + threads / 2,
            skipped: AtomicU64::new(0),
        }
    }

    pub(crate) fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Runs a job for a request that has not begun, or refuses it at once.
    pub(crate) fn admit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Repo) -> T + Send + 'static,
    ) -> Result<Job<T>, Overloaded> {
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| Overloaded)?;
        Ok(self.start(slot, job))
    }

    /// Runs a job for an answer that has begun: waits for a slot, in turn.
    pub(crate) fn run<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Repo) -> T + Send + 'static,
    ) -> Running<T> {
        match self.slots.clone().try_acquire_owned() {
            Ok(slot) => Running::Started(self.start(slot, job)),
            Err(_) => {
                let bridge = self.clone();
                Running::Waiting(Box::pin(async move {
                    let slot = bridge.slots.clone().acquire_owned().await.ok()?;
                    bridge.start(slot, job).await
                }))
            }
        }
    }

    /// Runs a job that no client waits for, if more than half of the threads are idle. Says whether.
    pub(crate) fn run_if_idle(&self, job: impl FnOnce(&Repo) + Send + 'static) -> bool {
        let slot = (self.slots.available_permits() > self.reserve)
            .then(|| self.slots.clone().try_acquire_owned().ok())
            .flatten();
        match slot {
            Some(slot) => {
                // Detached on purpose: dropping the handle of a job that may run lets it run.
                self.start(slot, job).detach();
                true
            }
            None => {
                self.skipped.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Jobs of [`Bridge::run_if_idle`] that were not run because the disks were busy.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    fn start<T: Send + 'static>(
        &self,
        slot: OwnedSemaphorePermit,
        job: impl FnOnce(&Repo) -> T + Send + 'static,
    ) -> Job<T> {
        let repo = self.repo.clone();
        Job(Some(tokio::task::spawn_blocking(move || {
            let result = job(&repo);
            drop(slot);
            result
        })))
    }
}

/// A job on its way. Dropping it takes it out of the queue if it has not begun: a client that went
/// away costs nothing more.
#[derive(Debug)]
pub(crate) struct Job<T>(Option<JoinHandle<T>>);

impl<T> Job<T> {
    fn detach(mut self) {
        self.0 = None;
    }
}

impl<T> Future for Job<T> {
    /// `None` when the job panicked or the runtime ended.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match self.0.as_mut() {
            Some(handle) => Pin::new(handle).poll(cx).map(Result::ok),
            None => Poll::Ready(None),
        }
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}

/// A job that has begun, or waits for its slot.
pub(crate) enum Running<T> {
    Started(Job<T>),
    Waiting(Pin<Box<dyn Future<Output = Option<T>> + Send>>),
}

impl<T> Future for Running<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match self.get_mut() {
            Running::Started(job) => Pin::new(job).poll(cx),
            Running::Waiting(waiting) => waiting.as_mut().poll(cx),
        }
    }
}

impl<T> std::fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Running::Started(_) => "Running::Started",
            Running::Waiting(_) => "Running::Waiting",
        })
    }
}
