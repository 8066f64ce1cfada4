//! Which blocks are in memory alone: written without a log, and not flushed yet.
//!
//! Owns their ids, as ranges: a bulk writer's come in runs. Must not know what is done about them.

use std::collections::BTreeMap;

use super::schema::Id;

/// Ranges that are told apart, some 50 bytes each. With more they become one, which takes in blocks of other
/// writers between: these then cost a flush that they would not need.
const MAX_RANGES: usize = 4096;

/// Ids, few of them or in few runs.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    /// First id to the id behind the last.
    ranges: BTreeMap<u64, u64>,
}

impl Unflushed {
    pub(super) fn contains(&self, id: Id) -> bool {
        self.ranges.range(..=id.0).next_back().is_some_and(|(_, end)| id.0 < *end)
    }

    pub(super) fn add(&mut self, id: Id) {
        if self.contains(id) {
            return;
        }
        let end = self.ranges.remove(&id.0.saturating_add(1)).unwrap_or(id.0.saturating_add(1));
        let before = self.ranges.range_mut(..id.0).next_back().filter(|(_, end)| **end == id.0);
        match before {
            Some((_, before)) => *before = end,
            None => drop(self.ranges.insert(id.0, end)),
        }
        if self.ranges.len() > MAX_RANGES {
            let first = self.ranges.first_key_value().map_or(id.0, |(first, _)| *first);
            let end = self.ranges.last_key_value().map_or(end, |(_, end)| *end);
            self.ranges = BTreeMap::from([(first, end)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_and_what_lies_between_is_not_in_them() {
        let mut ids = Unflushed::default();
        for id in [5, 6, 9, 8, 3, 6, 10] {
            ids.add(Id(id));
        }
        let inside: Vec<_> = (0..12).filter(|id| ids.contains(Id(*id))).collect();
        assert_eq!(inside, [3, 5, 6, 8, 9, 10]);
        assert_eq!(ids.ranges, BTreeMap::from([(3, 4), (5, 7), (8, 11)]));
        ids.add(Id(4));
        ids.add(Id(7));
        assert_eq!(ids.ranges, BTreeMap::from([(3, 11)]));
    }

    #[test]
    fn too_many_runs_become_one_and_none_is_forgotten() {
        let mut ids = Unflushed::default();
        (0..=MAX_RANGES as u64).for_each(|n| ids.add(Id(2 * n)));
        assert_eq!(ids.ranges.len(), 1);
        assert!((0..=2 * MAX_RANGES as u64).all(|id| ids.contains(Id(id))));
    }
}
