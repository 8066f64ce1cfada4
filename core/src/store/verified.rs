//! Which blocks were found sound, and the state of the file they were found in.
//!
//! Owns the memory behind [`crate::Verify::FirstRead`]. A block counts as verified only while its file
//! is the one that was hashed: same device, inode, length and times. What the disk does to the bytes
//! beneath the file system is not seen; that is what [`crate::Verify::Always`] is for.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

use quick_cache::sync::Cache;

/// Remembers stamps by multihash, both as 64-bit keyed hashes, within a bound.
#[derive(Debug)]
pub(super) struct Verified {
    hasher: RandomState,
    stamps: Cache<u64, u64>,
}

impl Verified {
    /// At most `capacity` blocks are remembered (about 40 bytes each); a forgotten one is hashed again.
    pub(super) fn new(capacity: usize) -> Self {
        Verified { hasher: RandomState::new(), stamps: Cache::new(capacity) }
    }

    /// A file's state as one number, never 0.
    pub(super) fn stamp(&self, state: impl Hash) -> u64 {
        self.hasher.hash_one(state).max(1)
    }

    pub(super) fn insert(&self, multihash: &[u8], stamp: u64) {
        self.stamps.insert(self.hasher.hash_one(multihash), stamp);
    }

    pub(super) fn contains(&self, multihash: &[u8], stamp: u64) -> bool {
        self.stamps.get(&self.hasher.hash_one(multihash)) == Some(stamp)
    }
}
