//! Moments at which a crash test ends the process, between two steps that a crash could part.
//!
//! Owns the reading of `COLDFRONT_DIE_AT`: `NAME:COUNT` ends the process, as `kill -9` would, when it comes
//! by the point NAME for the COUNTth time. And of how much of the log is known to be on the disk, so that a test
//! can take the rest away, as a power cut may. Compiled with the feature `testing` only.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

struct Plan {
    name: String,
    left: AtomicU64,
}

/// A moment that has a name. Ends the process if the plan says so.
pub(crate) fn point(name: &str) {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let Some(plan) = PLAN.get_or_init(read_plan) else { return };
    if plan.name == name && plan.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        // No destructor runs and nothing is written out: what is in the page cache is all that stays.
        std::process::abort();
    }
}

fn read_plan() -> Option<Plan> {
    let text = std::env::var("COLDFRONT_DIE_AT").ok()?;
    let (name, count) = text.split_once(':')?;
    Some(Plan { name: name.to_owned(), left: AtomicU64::new(count.parse().ok()?) })
}

/// The newest log that was synced: its number, and how long it was at least.
static DURABLE: Mutex<(u64, u64)> = Mutex::new((0, 0));

/// Runs a sync of the log of the database in `folder`, and remembers what it covered.
pub(crate) fn syncing<T, E>(folder: &Path, sync: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let before = newest_log(folder);
    let done = sync()?;
    let mut durable = DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
    *durable = (*durable).max(before);
    Ok(done)
}

/// The number of the newest log of which something was synced, and how many bytes of it.
pub(crate) fn durable_log() -> (u64, u64) {
    *DURABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same for a write that is synced itself, and beside which nothing else is written: what it wrote is covered as
/// well.
pub(crate) fn writing_durably<T, E>(
    folder: &Path,
    write: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let done = write()?;
    let mut durable = DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
    *durable = (*durable).max(newest_log(folder));
    Ok(done)
}

fn newest_log(folder: &Path) -> (u64, u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let logs = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let number = name.strip_suffix(".log")?.parse().ok()?;
        Some((number, entry.metadata().ok()?.len()))
    });
    logs.max().unwrap_or((0, 0))
}
