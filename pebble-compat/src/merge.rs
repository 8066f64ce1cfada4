//! Several ordered sources walked as one: the smallest key next, and of its entries the newest.
//!
//! Knows cursors over entries, not files.

use std::cmp::{Ordering, Reverse};
use std::collections::btree_map::Range;
use std::ops::Bound;
use std::sync::Arc;

use crate::Pair;
use crate::entry::Op;
use crate::error::Error;
use crate::journal::{Journal, Latest};
use crate::lsm::TableFiles;
use crate::manifest::TableInfo;
use crate::table::TableCursor;

/// Entries in order.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// What the journals hold.
    Journal(Range<'a, Vec<u8>, Latest>, Option<(&'a Vec<u8>, &'a Latest)>),
    /// Tables one after the other.
    Run(Box<RunCursor<'a>>),
}

impl<'a> Source<'a> {
    pub(crate) fn journal(journal: &'a Journal, from: &[u8]) -> Self {
        let range = journal.entries.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        Source::Journal(range, None)
    }

    pub(crate) fn run(cursor: RunCursor<'a>) -> Self {
        Source::Run(Box::new(cursor))
    }

    fn advance(&mut self) -> Result<bool, Error> {
        match self {
            Source::Journal(range, here) => {
                *here = range.next();
                Ok(here.is_some())
            }
            Source::Run(cursor) => cursor.advance(),
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Source::Journal(_, here) => here.map(|(key, _)| key.as_slice()).unwrap_or_default(),
            Source::Run(cursor) => cursor.key(),
        }
    }

    fn sequence(&self) -> u64 {
        match self {
            Source::Journal(_, here) => here.map_or(0, |(_, latest)| latest.sequence),
            Source::Run(cursor) => cursor.sequence(),
        }
    }

    /// The value, unless the entry deletes.
    fn value(&self) -> Option<Vec<u8>> {
        match self {
            Source::Journal(_, here) => here.and_then(|(_, latest)| latest.value.clone()),
            Source::Run(cursor) => cursor.value(),
        }
    }
}

/// Walks the tables of one run, one open at a time. After an error it goes on behind what cannot be read.
#[derive(Debug)]
pub(crate) struct RunCursor<'a> {
    files: &'a TableFiles,
    run: Arc<Vec<TableInfo>>,
    from: Vec<u8>,
    next: usize,
    table: Option<TableCursor>,
}

impl<'a> RunCursor<'a> {
    pub(crate) fn new(files: &'a TableFiles, run: Arc<Vec<TableInfo>>, from: &[u8]) -> Self {
        let next = run.partition_point(|table| table.largest.as_slice() < from);
        RunCursor { files, run, from: from.to_vec(), next, table: None }
    }

    fn advance(&mut self) -> Result<bool, Error> {
        loop {
            if let Some(cursor) = &mut self.table {
                while cursor.advance()? {
                    if cursor.entry().key >= self.from {
                        return Ok(true);
                    }
                }
                self.table = None;
            }
            let Some(info) = self.run.get(self.next) else { return Ok(false) };
            self.next += 1;
            // The walk over a table that lies behind the start is one over all of it.
            let from = if info.smallest >= self.from { &[] } else { self.from.as_slice() };
            self.table = Some(TableCursor::new(Arc::new(self.files.open(info)?), from));
        }
    }

    fn key(&self) -> &[u8] {
        self.table.as_ref().map(|cursor| cursor.entry().key.as_slice()).unwrap_or_default()
    }

    fn sequence(&self) -> u64 {
        self.table.as_ref().map_or(0, |cursor| cursor.entry().sequence)
    }

    fn value(&self) -> Option<Vec<u8>> {
        let cursor = self.table.as_ref()?;
        (cursor.entry().op == Op::Set).then(|| cursor.value().to_vec())
    }
}

/// Where a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before its next entry.
    Due,
    /// On an entry.
    Here,
    /// Behind its last entry.
    Over,
}

/// The live pairs of several sources. The first source wins where two have the same sequence.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    sources: Vec<(State, Source<'a>)>,
    last: Option<Vec<u8>>,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(sources: Vec<Source<'a>>) -> Self {
        let sources = sources.into_iter().map(|source| (State::Due, source)).collect();
        Merge { sources, last: None }
    }

    /// The next pair. After an error the next call goes on behind what cannot be read; of a key that was there, an older
    /// entry may then show.
    pub(crate) fn next_pair(&mut self) -> Result<Option<Pair>, Error> {
        loop {
            self.advance_due()?;
            let Some((state, source)) = self.smallest() else { return Ok(None) };
            *state = State::Due;
            let key = source.key().to_vec();
            let value = source.value();
            if self.last.as_ref() == Some(&key) {
                continue;
            }
            self.last = Some(key.clone());
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
    }

    fn advance_due(&mut self) -> Result<(), Error> {
        for (state, source) in &mut self.sources {
            if *state == State::Due {
                *state = if source.advance()? { State::Here } else { State::Over };
            }
        }
        Ok(())
    }

    fn smallest(&mut self) -> Option<&mut (State, Source<'a>)> {
        let order = |a: &Source<'_>, b: &Source<'_>| -> Ordering {
            a.key().cmp(b.key()).then(Reverse(a.sequence()).cmp(&Reverse(b.sequence())))
        };
        let here = self.sources.iter_mut().filter(|(state, _)| *state == State::Here);
        here.min_by(|(_, a), (_, b)| order(a, b))
    }
}
