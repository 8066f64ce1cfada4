//! Blocks of which a bad copy was met after it had been believed.
//!
//! Owns the memory behind one rule: such a block is hashed whenever it is read, whatever the policy, so
//! that a good copy in another tier answers from then on. Must not know what was wrong with the copy.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};

use quick_cache::sync::Cache;

/// Blocks that are remembered, about 30 bytes each. A forgotten one is believed again until its copy is
/// met once more.
const MAX_SUSPECTS: usize = 4096;

/// Remembers multihashes as 64-bit keyed hashes. Costs one load of a flag while nothing is wrong.
#[derive(Debug)]
pub(super) struct Suspects {
    hasher: RandomState,
    any: AtomicBool,
    marks: Cache<u64, ()>,
}

impl Default for Suspects {
    fn default() -> Self {
        Suspects {
            hasher: RandomState::new(),
            any: AtomicBool::new(false),
            marks: Cache::new(MAX_SUSPECTS),
        }
    }
}

impl Suspects {
    pub(super) fn insert(&self, multihash: &[u8]) {
        self.marks.insert(self.hasher.hash_one(multihash), ());
        self.any.store(true, Ordering::Relaxed);
    }

    /// The first copy that a reader meets is a good one again.
    pub(super) fn remove(&self, multihash: &[u8]) {
        self.marks.remove(&self.hasher.hash_one(multihash));
    }

    pub(super) fn contains(&self, multihash: &[u8]) -> bool {
        self.any.load(Ordering::Relaxed)
            && self.marks.get(&self.hasher.hash_one(multihash)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_contained_until_it_is_removed() {
        let suspects = Suspects::default();
        assert!(!suspects.contains(b"a"));
        suspects.insert(b"a");
        assert!(suspects.contains(b"a") && !suspects.contains(b"b"));
        suspects.remove(b"a");
        assert!(!suspects.contains(b"a"));
    }

    #[test]
    fn no_more_are_remembered_than_the_bound_says() {
        let suspects = Suspects::default();
        for number in 0..4 * MAX_SUSPECTS as u64 {
            suspects.insert(&number.to_le_bytes());
        }
        assert!(suspects.marks.len() <= MAX_SUSPECTS);
    }
}
