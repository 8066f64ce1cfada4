//! Leases: blocks that a writer has put and not yet pinned are not garbage.
//!
//! Owns which ids are held by a writer at work. A lease lives in memory: after a crash the writer is gone,
//! and what it had not pinned is garbage like any other. Must not know what is written.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::schema::Id;

/// Blocks older than itself that one lease remembers, 8 to 16 bytes each. One that rests on more holds
/// everything, and a collection waits for its end.
const MAX_HELD: usize = 1 << 20;

/// All leases of a store.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    leases: BTreeMap<u64, Holding>,
}

#[derive(Debug)]
struct Holding {
    /// Every block from here on: given after the lease began.
    from: Id,
    /// Blocks that were here before it, and that it came by.
    older: HashSet<Id>,
    /// There were too many of them.
    everything: bool,
}

impl Leases {
    fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A lease on every block from `from` on.
    pub(super) fn begin(&self, from: Id) -> Lease {
        let number = self.with(|table| {
            table.next += 1;
            let holding = Holding { from, older: HashSet::new(), everything: false };
            table.leases.insert(table.next, holding);
            table.next
        });
        Lease { leases: self.clone(), number }
    }

    /// Whether some writer still counts on a block.
    pub(super) fn hold(&self, id: Id) -> bool {
        self.with(|table| {
            table
                .leases
                .values()
                .any(|one| one.everything || id >= one.from || one.older.contains(&id))
        })
    }

    /// The first block that the oldest lease holds by its age.
    pub(super) fn oldest(&self) -> Option<Id> {
        self.with(|table| table.leases.values().map(|one| one.from).min())
    }
}

/// Keeps what its owner writes from being collected until it is dropped: write, pin, then drop it.
#[derive(Debug)]
pub struct Lease {
    leases: Leases,
    number: u64,
}

impl Lease {
    /// The owner counts on this block.
    pub(super) fn hold(&self, id: Id) {
        self.leases.with(|table| {
            let Some(holding) = table.leases.get_mut(&self.number) else { return };
            if id < holding.from && !holding.everything {
                holding.older.insert(id);
                if holding.older.len() > MAX_HELD {
                    holding.everything = true;
                    holding.older = HashSet::new();
                }
            }
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.with(|table| table.leases.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_what_is_newer_and_what_it_came_by_until_it_ends() {
        let leases = Leases::default();
        let lease = leases.begin(Id(10));
        lease.hold(Id(3));
        let held: Vec<_> = (1..=12).map(Id).filter(|id| leases.hold(*id)).collect();
        assert_eq!(held, [Id(3), Id(10), Id(11), Id(12)]);
        drop(lease);
        assert!(!leases.hold(Id(3)) && !leases.hold(Id(11)));
    }

    #[test]
    fn a_lease_on_too_many_blocks_holds_everything_in_little_memory() {
        let leases = Leases::default();
        let lease = leases.begin(Id(u64::MAX));
        (0..=MAX_HELD as u64).for_each(|id| lease.hold(Id(id)));
        assert!(leases.hold(Id(MAX_HELD as u64 + 5)));
        assert_eq!(leases.with(|t| t.leases.values().map(|one| one.older.len()).sum::<usize>()), 0);
    }
}
