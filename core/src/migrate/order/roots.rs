//! The order of roots: each with everything below it, depth first, so that a file's leaves stay side by side.
//!
//! Owns which nodes came before.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher as _;

use super::{Order, Step, Wanted};
use crate::block::{Cid, identity_bytes};
use crate::links::links;
use crate::migrate::error::MigrateError;
use crate::migrate::mark;
use crate::migrate::report::Fault;
use crate::migrate::run::Root;
use crate::migrate::source::chain;
use crate::store::hot::Records;

/// Nodes with links that a walk remembers, so that what hangs below two parents is walked once; some 40 bytes each. With
/// more, later ones may be walked again, which reads them from the target and copies nothing twice.
const MAX_SEEN: usize = 1 << 20;

/// Roots one after another, each with everything below it, depth first.
pub(in crate::migrate) struct RootOrder<'a> {
    roots: &'a mut dyn Iterator<Item = Result<Root, Fault>>,
    records: &'a Records,
    /// What comes before the next root: the end of the one that was just begun.
    next: VecDeque<Step>,
    seen: HashSet<u128>,
    keys: [RandomState; 2],
}

impl<'a> RootOrder<'a> {
    pub(in crate::migrate) fn new(
        roots: &'a mut dyn Iterator<Item = Result<Root, Fault>>,
        records: &'a Records,
    ) -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        RootOrder { roots, records, next: VecDeque::new(), seen: HashSet::new(), keys }
    }

    /// Whether a node came before; remembers it.
    fn is_repeat(&mut self, cid: &Cid) -> bool {
        let bytes = cid.to_bytes();
        // Two keyed hashes of 64 bits: nobody can make two CIDs that are taken for one.
        let [high, low] = &self.keys;
        let key = u128::from(high.hash_one(&bytes)) << 64 | u128::from(low.hash_one(&bytes));
        if self.seen.len() >= MAX_SEEN {
            return self.seen.contains(&key);
        }
        !self.seen.insert(key)
    }
}

impl Order for RootOrder<'_> {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        if let Some(step) = self.next.pop_front() {
            return Ok(Some(step));
        }
        let root = match self.roots.next() {
            None => return Ok(None),
            Some(Err(fault)) => return Ok(Some(Step::Bad(Box::new(fault)))),
            Some(Ok(root)) => root,
        };
        let done = root.recursive && self.records.get(&mark::root(&root.cid))?.is_some();
        if !done {
            match identity_bytes(&root.cid) {
                None => {
                    let wanted = Wanted::named(root.cid, root.recursive);
                    self.next.push_back(Step::Read(Box::new(wanted)));
                }
                // Such a block is in no store; what it links to is.
                Some(data) if root.recursive => {
                    let below = self.below(&root.cid, &data).unwrap_or_default();
                    self.next.extend(below);
                }
                Some(_) => {}
            }
        }
        self.next.push_back(Step::RootDone(Box::new(root)));
        self.next()
    }

    fn below(&mut self, block: &Cid, data: &[u8]) -> Result<Vec<Step>, String> {
        let mut found = Vec::new();
        let read =
            links(block, data, &mut |link| found.push(Step::Link(link.cid.to_bytes().into())));
        read.map_err(|error| chain(&error))?;
        if !found.is_empty() && self.is_repeat(block) {
            return Ok(Vec::new());
        }
        Ok(found)
    }

    fn done(&self) -> Option<f64> {
        None
    }
}
