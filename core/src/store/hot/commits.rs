//! When a write is durable, and how writers share the price of making it so.
//!
//! Owns the count of writes and of those known to be on the disk. One caller syncs, or flushes, for all that wait (group
//! commit): either takes milliseconds on a disk, whatever it covers. Must not know what is written.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::HotError;

/// Counts writes, and makes them durable for whoever waits.
#[derive(Debug, Default)]
pub(super) struct Commits {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Writes so far.
    written: u64,
    /// Writes that are durable.
    durable: u64,
    /// Somebody is at it.
    busy: bool,
}

impl Commits {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write that has happened.
    pub(super) fn wrote(&self) {
        self.state().written += 1;
    }

    /// Returns when everything that was counted before is durable, which `make_durable` brings about for all writes that
    /// happened before it is called.
    pub(super) fn wait(
        &self,
        make_durable: &mut dyn FnMut() -> Result<(), HotError>,
    ) -> Result<(), HotError> {
        let mut state = self.state();
        let mine = state.written;
        while state.durable < mine {
            if state.busy {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let covers = state.written;
            state.busy = true;
            drop(state);
            let done = make_durable();
            state = self.state();
            state.busy = false;
            self.changed.notify_all();
            done?;
            state.durable = state.durable.max(covers);
        }
        Ok(())
    }
}
