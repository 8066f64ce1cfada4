//! Bad copies that were met while reading: each told once, all counted.
//!
//! Owns the memory of what was told already, so that a hot corrupt block does not fill a log. The
//! library prints nothing; whoever embeds it drains the queue ([`crate::Repo::take_faults`]).

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::block::Cid;
use crate::error::StoreError;

/// Faults that wait to be taken; when more are met, the oldest are dropped (and stay counted).
const MAX_QUEUED: usize = 1024;
/// Faults that are remembered as told. When so many differ, memory starts anew and they may be told again.
const MAX_TOLD: usize = 65_536;

/// A bad copy of a block: corrupt, unreadable, cut short, or something else in its place.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fault {
    /// The block that was asked for.
    pub cid: Cid,
    /// The tier or the file that holds the bad copy.
    pub tier: String,
    /// What is wrong with it, as a sentence that names the file.
    pub reason: String,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    hasher: RandomState,
    met: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: HashSet<u64>,
    queue: VecDeque<Fault>,
}

impl Faults {
    /// Counts a fault, and queues it unless the same was told before.
    pub(super) fn report(&self, tier: &str, cid: &Cid, error: &StoreError) {
        self.met.fetch_add(1, Ordering::Relaxed);
        let kind = std::mem::discriminant(error);
        let mark = self.hasher.hash_one((tier, cid.hash().digest(), kind));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told.len() >= MAX_TOLD {
            state.told.clear();
        }
        if state.told.insert(mark) {
            if state.queue.len() >= MAX_QUEUED {
                state.queue.pop_front();
            }
            state.queue.push_back(Fault { cid: *cid, tier: tier.into(), reason: sentence(error) });
        }
    }

    pub(super) fn take(&self) -> Vec<Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.queue.drain(..).collect()
    }

    /// How often a bad copy was met since start, repetitions included.
    pub(super) fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }
}

/// The error and its causes in one line.
fn sentence(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn report(faults: &Faults, tier: &str) {
        let cid = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy".parse().unwrap();
        faults.report(tier, &cid, &StoreError::Corrupt { cid, place: "x".into() });
    }

    #[test]
    fn a_fault_is_told_once_and_counted_each_time() {
        let faults = Faults::default();
        for _ in 0..3 {
            report(&faults, "a");
        }
        assert_eq!((faults.take().len(), faults.met()), (1, 3));
        report(&faults, "a");
        report(&faults, "b");
        assert_eq!(faults.take().len(), 1);
    }

    #[test]
    fn the_queue_is_bounded() {
        let faults = Faults::default();
        for tier in 0..3 * MAX_QUEUED {
            report(&faults, &tier.to_string());
        }
        assert_eq!(faults.take().len(), MAX_QUEUED);
    }
}
