//! When a write is durable, and how writers share the price of making it so.
//!
//! Owns the count of writes and of those known to be on the disk. One caller syncs for all that wait (group
//! commit): a sync takes milliseconds on a disk, whatever it covers. Must not know what is written.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::database::Database;
use super::error::HotError;

/// Counts writes, and syncs them for whoever waits.
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
    /// Some write that is not durable yet rests on bytes that are not in the log: syncing the log does not
    /// suffice, everything must be flushed.
    needs_flush: bool,
    /// Somebody is syncing.
    busy: bool,
}

impl Commits {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write that has happened.
    pub(super) fn wrote(&self, needs_flush: bool) {
        let mut state = self.state();
        state.written += 1;
        state.needs_flush |= needs_flush;
    }

    /// Returns when everything that was written before is durable. `flush` flushes everything, `database`
    /// syncs the log.
    pub(super) fn wait(
        &self,
        database: &Database,
        flush: impl Fn() -> Result<(), HotError>,
    ) -> Result<(), HotError> {
        let mut state = self.state();
        let mine = state.written;
        while state.durable < mine {
            if state.busy {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (covers, flushes) = (state.written, state.needs_flush);
            state.busy = true;
            state.needs_flush = false;
            drop(state);
            let done = if flushes { flush() } else { database.sync_log() };
            state = self.state();
            state.busy = false;
            self.changed.notify_all();
            match done {
                Ok(()) => state.durable = state.durable.max(covers),
                Err(error) => {
                    state.needs_flush |= flushes;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}
