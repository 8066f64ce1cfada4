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
    /// Somebody is syncing.
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

    /// Returns when everything that was written before, with the log on, is durable.
    pub(super) fn wait(&self, database: &Database) -> Result<(), HotError> {
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
            let done = database.sync_log();
            state = self.state();
            state.busy = false;
            self.changed.notify_all();
            done?;
            state.durable = state.durable.max(covers);
        }
        Ok(())
    }
}
