//! What came of a list: how many pins, and what was skipped or doubtful, with lines.

use std::collections::BTreeMap;
use std::fmt;

use super::{Listed, Note, Reason};
use crate::pin::PinMode;

/// Lines that are remembered of each kind of oddity.
pub const MAX_LINES_TOLD: usize = 100;

/// How often something came, and on which lines first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// How often.
    pub count: u64,
    /// The first lines, at most [`MAX_LINES_TOLD`].
    pub first: Vec<u64>,
}

impl Lines {
    fn add(&mut self, line: u64) {
        self.count += 1;
        if self.first.len() < MAX_LINES_TOLD {
            self.first.push(line);
        }
    }
}

/// Counts what a list holds. Its memory does not grow with the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Recursive pins.
    pub recursive: u64,
    /// Direct pins.
    pub direct: u64,
    /// Pins with a doubt.
    pub noted: BTreeMap<Note, Lines>,
    /// What made no pin.
    pub passed_over: BTreeMap<Reason, Lines>,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, listed: &Listed) {
        match listed {
            Listed::Skipped(one) => self.passed_over.entry(one.reason).or_default().add(one.line),
            Listed::Pin(pin) => {
                match pin.mode {
                    PinMode::Recursive => self.recursive += 1,
                    PinMode::Direct => self.direct += 1,
                }
                for note in &pin.notes {
                    self.noted.entry(*note).or_default().add(pin.line);
                }
            }
        }
    }

    /// Pins of the list.
    pub fn pins(&self) -> u64 {
        self.recursive + self.direct
    }

    /// What made no pin, in all.
    pub fn skipped(&self) -> u64 {
        self.passed_over.values().map(|lines| lines.count).sum()
    }
}

/// A line for the pins, and one for each kind of oddity.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} recursive and {} direct pins", self.recursive, self.direct)?;
        for (note, lines) in &self.noted {
            write!(f, "\n  {} of them: {note} ({lines})", lines.count)?;
        }
        for (reason, lines) in &self.passed_over {
            write!(f, "\n{} skipped: {reason} ({lines})", lines.count)?;
        }
        Ok(())
    }
}

/// `line 3`, `lines 3, 4, 7 and 12 more`.
impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Lines that a sentence names.
        const NAMED: usize = 5;
        let named: Vec<_> = self.first.iter().take(NAMED).map(u64::to_string).collect();
        write!(f, "line{} {}", if self.count == 1 { "" } else { "s" }, named.join(", "))?;
        match self.count.saturating_sub(named.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
