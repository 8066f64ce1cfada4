//! When garbage is collected without anybody asking: at a time of day, and when the store outgrows its limit.
//!
//! Owns the decision, which is pure, and the two steps that follow: a collection, and giving its space back. Must not
//! know clocks, threads or configuration: whoever serves asks every few seconds and says what time it is.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{CollectOptions, Collected, collect};
use crate::pin::{PinError, PinIndex};
use crate::store::hot::{DEFAULT_GARBAGE_RATIO, Space};

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3600;

/// After a collection that did not get the store below its limit, since what is left is kept, the next for that reason
/// comes so much later.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// A minute of the day, in UTC. Read from and shown as `03:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// Since midnight.
    minute: u64,
}

impl FromStr for TimeOfDay {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a time of day in UTC such as 03:00";
        let (hour, minute) = text.split_once(':').ok_or(EXPECTED)?;
        let number = |text: &str, bound: u64| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>().ok().filter(|number| digits && *number < bound).ok_or(EXPECTED)
        };
        Ok(TimeOfDay { minute: number(hour, 24)? * 60 + number(minute, 60)? })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

/// A limit of what a store takes on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Above so many bytes garbage is collected.
    pub high: u64,
    /// So much of it that about as many are left: unpinned blocks beyond that may be asked for again.
    pub low: u64,
}

/// When garbage is collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// All of it, every day at this time.
    pub at: Option<TimeOfDay>,
    /// Some of it, when the store is too large.
    pub size: Option<Watermarks>,
}

/// Why a collection is due, and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is time: everything goes.
    Daily,
    /// The store is too large: so many bytes are to go.
    TooLarge {
        /// Bytes.
        bytes: u64,
    },
}

/// Remembers when collections were due.
#[derive(Clone, Debug)]
pub struct Janitor {
    schedule: Schedule,
    /// The last minute of the schedule that was seen to, in seconds since 1970.
    daily: u64,
    /// When the size counts again, in seconds since 1970.
    size_counts_from: u64,
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Janitor {
    /// From `now` on: a time of today that is over waits for tomorrow.
    pub fn new(schedule: Schedule, now: SystemTime) -> Janitor {
        Janitor { schedule, daily: seconds(now), size_counts_from: 0 }
    }

    /// Whether a collection is due, with the store taking `size` bytes on the disk. To be asked every few seconds; one
    /// that came due while nobody asked is due once.
    pub fn due(&self, now: SystemTime, size: u64) -> Option<Due> {
        let now = seconds(now);
        if let Some(at) = self.schedule.at {
            let today = now / DAY * DAY + at.minute * MINUTE;
            let last = if today <= now { today } else { today.saturating_sub(DAY) };
            if last > self.daily {
                return Some(Due::Daily);
            }
        }
        let marks = self.schedule.size.filter(|marks| size > marks.high)?;
        let bytes = size.saturating_sub(marks.low);
        (now >= self.size_counts_from).then_some(Due::TooLarge { bytes })
    }

    /// A collection was made, or failed, after which the store takes `size` bytes.
    pub fn done(&mut self, due: Due, now: SystemTime, size: u64) {
        let now = seconds(now);
        if due == Due::Daily {
            self.daily = now;
        }
        if self.schedule.size.is_some_and(|marks| size > marks.high) {
            self.size_counts_from = now.saturating_add(TRY_AGAIN_AFTER.as_secs());
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tended {
    /// The collection.
    pub collected: Collected,
    /// What lay on the disk before, and after space was given back.
    pub space: (Space, Space),
}

/// Collects what is due and gives its space back where that pays. `go_on` is asked between pieces; when it says no, the
/// next collection goes on there.
pub fn tend(
    pins: &PinIndex,
    due: Due,
    blocks_per_second: Option<u64>,
    go_on: &dyn Fn() -> bool,
) -> Result<Tended, PinError> {
    let hot = pins.hot();
    let before = hot.space()?;
    let enough = match due {
        Due::Daily => u64::MAX,
        Due::TooLarge { bytes } => bytes,
    };
    let options = CollectOptions { dry_run: false, blocks_per_second };
    let mut stopped = false;
    let collected = collect(pins, &options, &mut |progress| {
        stopped = !go_on();
        match stopped || progress.so_far.bytes >= enough {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    let ratio = match due {
        Due::Daily => DEFAULT_GARBAGE_RATIO,
        // A limit is a limit, whatever it costs.
        Due::TooLarge { .. } => 0.0,
    };
    let after = if stopped { hot.space()? } else { hot.reclaim(ratio)? };
    Ok(Tended { collected, space: (before, after) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(day: u64, time: &str) -> SystemTime {
        let minute = time.parse::<TimeOfDay>().unwrap().minute;
        UNIX_EPOCH + Duration::from_secs(day * DAY + minute * MINUTE)
    }

    fn daily(time: &str) -> Schedule {
        Schedule { at: Some(time.parse().unwrap()), size: None }
    }

    #[test]
    fn a_time_of_day_is_read_as_it_is_shown_and_nothing_else_is() {
        for text in ["00:00", "03:00", "23:59"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
        for text in ["", "3:00", "24:00", "03:60", "03", "03:00:00", "+3:00", "0３:00"] {
            assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_due_once_a_day_at_its_time() {
        let mut janitor = Janitor::new(daily("03:00"), at(100, "12:00"));
        assert_eq!(janitor.due(at(100, "23:59"), 0), None);
        assert_eq!(janitor.due(at(101, "02:59"), 0), None);
        assert_eq!(janitor.due(at(101, "03:00"), 0), Some(Due::Daily));
        assert_eq!(janitor.due(at(101, "05:00"), 0), Some(Due::Daily), "nobody has seen to it");
        janitor.done(Due::Daily, at(101, "05:00"), 0);
        assert_eq!(janitor.due(at(101, "23:00"), 0), None);
        assert_eq!(janitor.due(at(102, "02:59"), 0), None);
        assert_eq!(janitor.due(at(102, "03:01"), 0), Some(Due::Daily));
        assert_eq!(
            janitor.due(at(120, "02:00"), 0),
            Some(Due::Daily),
            "once for all that were missed"
        );
    }

    #[test]
    fn above_the_high_mark_what_leads_to_the_low_one_is_due() {
        let size = Some(Watermarks { high: 1000, low: 600 });
        let mut janitor = Janitor::new(Schedule { at: None, size }, at(100, "12:00"));
        assert_eq!(janitor.due(at(100, "12:00"), 1000), None);
        let due = janitor.due(at(100, "12:00"), 1001).unwrap();
        assert_eq!(due, Due::TooLarge { bytes: 401 });
        janitor.done(due, at(100, "12:01"), 600);
        assert_eq!(janitor.due(at(100, "12:02"), 1200), Some(Due::TooLarge { bytes: 600 }));
    }

    #[test]
    fn a_store_whose_kept_blocks_exceed_the_limit_is_not_collected_all_the_time() {
        let size = Some(Watermarks { high: 1000, low: 600 });
        let mut janitor = Janitor::new(Schedule { at: None, size }, at(100, "12:00"));
        let due = janitor.due(at(100, "12:00"), 2000).unwrap();
        janitor.done(due, at(100, "12:01"), 1900);
        assert_eq!(janitor.due(at(100, "12:30"), 1900), None);
        assert!(janitor.due(at(100, "13:01"), 1900).is_some());
    }
}
