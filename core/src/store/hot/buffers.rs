//! How full the write buffers are, and that writers wait while they are.
//!
//! Owns the wait for a flush. RocksDB has one of its own, inside of its queue of writers; but what it does to recover
//! from a full disk goes through that queue too, so that the two wait for one another for ever (seen with RocksDB 11.8).
//! So its own is put out of reach by the settings, and writers wait here, before they hold anything.

use std::time::Duration;

use rocksdb::{DB, WriteBufferManager};

/// Between two looks at the buffers: a flush takes some tens of milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The write buffers of one database.
pub(super) struct Buffers {
    manager: WriteBufferManager,
    /// Bytes that they hold at most, but for what is written at the moment.
    bound: u64,
}

impl Buffers {
    pub(super) fn new(manager: &WriteBufferManager, bound: u64) -> Buffers {
        Buffers { manager: manager.clone(), bound }
    }

    /// Returns when there is room in the buffers, or when nothing is being flushed: then the write that comes begins a
    /// flush, or says why there can be none. One atomic read while there is room.
    pub(super) fn wait(&self, db: &DB) {
        while self.manager.get_usage() as u64 > self.bound && is_flushing(db) {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn is_flushing(db: &DB) -> bool {
    db.property_int_value("rocksdb.num-running-flushes").is_ok_and(|count| count > Some(0))
}
