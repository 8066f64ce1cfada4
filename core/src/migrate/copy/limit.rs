//! Reads spread over time.
//!
//! Owns the clock that readers of one job share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Spreads reads over time.
pub(in crate::migrate) struct Limit {
    per_second: Option<u64>,
    next: Mutex<Instant>,
    stopped: AtomicBool,
}

impl Limit {
    pub(in crate::migrate) fn new(per_second: Option<u64>) -> Limit {
        Limit { per_second, next: Mutex::new(Instant::now()), stopped: AtomicBool::new(false) }
    }

    /// Nobody waits any more.
    pub(in crate::migrate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits until so many bytes may have been read.
    pub(in crate::migrate) fn wait(&self, bytes: usize) {
        let Some(per_second) = self.per_second else { return };
        let takes = Duration::from_secs_f64(bytes as f64 / per_second.max(1) as f64);
        let until = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            // What was not used before is not made up for.
            *next = (*next).max(Instant::now()) + takes;
            *next
        };
        self.nap_until(until);
    }

    /// Waits so long, or until nobody waits any more.
    pub(super) fn nap(&self, time: Duration) {
        self.nap_until(Instant::now() + time);
    }

    fn nap_until(&self, until: Instant) {
        /// How soon a stop is noticed.
        const NAP: Duration = Duration::from_millis(50);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_stopped() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }
}
