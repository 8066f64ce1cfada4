//! One caller at a time for a CID.
//!
//! Owns the set of CIDs that somebody works on, shared by all who hold the store. Must not know what is done.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::block::Cid;

/// CIDs that somebody works on: one for each caller at work.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    busy: Mutex<HashSet<Cid>>,
    freed: Condvar,
}

impl Claims {
    fn busy(&self) -> MutexGuard<'_, HashSet<Cid>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else works on this CID.
    pub(crate) fn wait(&self, cid: &Cid) -> Claim<'_> {
        let mut busy = self.busy();
        while !busy.insert(*cid) {
            busy = self.freed.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        Claim { claims: self, cid: *cid }
    }

    /// The same, or `None` when somebody does.
    pub(crate) fn try_now(&self, cid: &Cid) -> Option<Claim<'_>> {
        self.busy().insert(*cid).then(|| Claim { claims: self, cid: *cid })
    }
}

/// A CID that is worked on until this is dropped.
pub(crate) struct Claim<'a> {
    claims: &'a Claims,
    cid: Cid,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.busy().remove(&self.cid);
        self.claims.freed.notify_all();
    }
}
