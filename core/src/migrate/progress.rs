//! What a job tells while it runs.

use std::time::Duration;

use super::report::Fault;

/// What a job is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Blocks are read, hashed and written.
    Blocks,
    /// Pins, names and keys are carried over.
    Carrying,
    /// Blocks are read and hashed again.
    Verifying,
}

/// How far a job is. Counts are those of this run.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// What it is at.
    pub phase: Phase,
    /// Blocks written, or checked.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that the target held already.
    pub held: u64,
    /// Blocks that are bad or missing.
    pub faults: u64,
    /// How much of the source is done, 0 to 1, by its shard directories or bytes; `None` where nobody can tell.
    pub done: Option<f64>,
    /// The same when this run began.
    pub done_before: f64,
    /// Since this run began.
    pub elapsed: Duration,
}

impl Progress {
    /// How long the rest takes if it goes on as in this run; `None` until that can be told.
    pub fn left(&self) -> Option<Duration> {
        let done = self.done?;
        let in_this_run = done - self.done_before;
        if in_this_run < 0.001 || self.elapsed < Duration::from_secs(1) {
            return None;
        }
        let seconds = self.elapsed.as_secs_f64() * (1.0 - done).max(0.0) / in_this_run;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// Something that a job tells. Whoever is told may stop it: then what was read is written, and it ends.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It has come a step further; several times a second.
    Progress(&'a Progress),
    /// A block is bad or missing.
    Fault(&'a Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: f64, before: f64, seconds: u64) -> Progress {
        Progress {
            phase: Phase::Blocks,
            blocks: 0,
            bytes: 0,
            held: 0,
            faults: 0,
            done: Some(done),
            done_before: before,
            elapsed: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn the_rest_is_told_from_the_speed_of_this_run_alone() {
        assert_eq!(progress(0.75, 0.5, 100).left(), Some(Duration::from_secs(100)));
        assert_eq!(progress(0.5, 0.5, 100).left(), None);
        assert_eq!(progress(1.0, 0.0, 10).left(), Some(Duration::ZERO));
    }
}
