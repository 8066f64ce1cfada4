//! Every bound that can be set, by name.
//!
//! Owns the one table of them: the name, what it says, what it may be. File, environment, flags and
//! `emit config` all go by this table. Must not know where a value came from.

use std::time::Duration;

use coldfront_http::Limits;

use crate::units;

/// The bounds of a server and of the repository below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) http: Limits,
    /// Memory for decoded nodes, in bytes.
    pub(crate) node_cache: u64,
    /// Blocks that are remembered as verified.
    pub(crate) verified_blocks: usize,
    /// Memory for the write buffers and caches of a hot store, in bytes.
    pub(crate) hot_memory: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        let repo = coldfront::RepoOptions::default();
        Bounds {
            http: Limits::default(),
            node_cache: repo.node_cache_bytes,
            verified_blocks: repo.tiers.verified_blocks,
            hot_memory: coldfront::store::hot::HotOptions::new("").memory,
        }
    }
}

/// A bound: its name in the file and in flags, and where it is kept.
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    field: Field,
    /// The smallest value that makes sense; of a time, in milliseconds.
    least: u64,
    /// The largest value that makes sense; of a time, in milliseconds.
    most: u64,
}

enum Field {
    Count(fn(&mut Bounds) -> &mut usize),
    /// Bytes of memory.
    Memory(fn(&mut Bounds) -> &mut usize),
    /// Bytes of a file.
    Bytes(fn(&mut Bounds) -> &mut u64),
    Time(fn(&mut Bounds) -> &mut Duration),
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1000;
/// Nobody waits longer on purpose.
const DAY: u64 = 24 * 3600 * SECOND;
/// More than any machine has file handles.
const MILLION: u64 = 1_000_000;

/// All bounds, in the order in which they are shown.
pub(crate) const BOUNDS: [Bound; 17] = [
    Bound {
        name: "connections",
        field: Field::Count(|b| &mut b.http.connections),
        least: 1,
        most: MILLION,
    },
    Bound {
        name: "file_requests",
        field: Field::Count(|b| &mut b.http.file_requests),
        least: 1,
        most: MILLION,
    },
    Bound {
        name: "listing_requests",
        field: Field::Count(|b| &mut b.http.listing_requests),
        least: 1,
        most: MILLION,
    },
    // Two buffers of 64 KiB: one that is filled while another is sent.
    Bound {
        name: "bytes_in_flight",
        field: Field::Memory(|b| &mut b.http.bytes_in_flight),
        least: 128 * KIB,
        most: 1024 * GIB,
    },
    Bound {
        name: "disk_threads",
        field: Field::Count(|b| &mut b.http.disk_threads),
        least: 1,
        most: 4096,
    },
    Bound {
        name: "disk_queue",
        field: Field::Count(|b| &mut b.http.disk_queue),
        least: 0,
        most: MILLION,
    },
    Bound {
        name: "read_ahead",
        field: Field::Bytes(|b| &mut b.http.read_ahead),
        least: 0,
        most: GIB,
    },
    Bound {
        name: "next_segment",
        field: Field::Bytes(|b| &mut b.http.next_segment),
        least: 0,
        most: GIB,
    },
    Bound {
        name: "open_files",
        field: Field::Count(|b| &mut b.http.open_files),
        least: 1,
        most: MILLION,
    },
    Bound {
        name: "verified_blocks",
        field: Field::Count(|b| &mut b.verified_blocks),
        least: 1,
        most: 1000 * MILLION,
    },
    Bound {
        name: "node_cache",
        field: Field::Bytes(|b| &mut b.node_cache),
        least: 0,
        most: 1024 * GIB,
    },
    // What a hot store needs to open.
    Bound {
        name: "hot_memory",
        field: Field::Bytes(|b| &mut b.hot_memory),
        least: 16 * MIB,
        most: 1024 * GIB,
    },
    // A target alone may have 8 KiB.
    Bound {
        name: "head_bytes",
        field: Field::Memory(|b| &mut b.http.head_bytes),
        least: 8 * KIB,
        most: 1024 * KIB,
    },
    Bound { name: "head_time", field: Field::Time(|b| &mut b.http.head_time), least: 1, most: DAY },
    Bound { name: "idle_time", field: Field::Time(|b| &mut b.http.idle_time), least: 1, most: DAY },
    Bound {
        name: "stall_time",
        field: Field::Time(|b| &mut b.http.stall_time),
        least: 1,
        most: DAY,
    },
    Bound {
        name: "drain_time",
        field: Field::Time(|b| &mut b.http.drain_time),
        least: 0,
        most: DAY,
    },
];

impl Bound {
    /// The bound of this name; else a sentence that names the nearest.
    pub(crate) fn named(name: &str) -> Result<&'static Bound, String> {
        BOUNDS.iter().find(|bound| bound.name == name).ok_or_else(|| {
            let near = nearest(name, BOUNDS.iter().map(|bound| bound.name));
            format!("there is no limit \"{name}\"; did you mean \"{near}\"?")
        })
    }

    /// Sets it from text such as `4096`, `64MiB` or `10s`; else a phrase that says what is expected.
    pub(crate) fn set(&self, bounds: &mut Bounds, text: &str) -> Result<(), String> {
        let value = match self.field {
            Field::Count(_) => text.trim().parse().ok(),
            Field::Memory(_) | Field::Bytes(_) => units::size(text),
            Field::Time(_) => {
                units::time(text).and_then(|time| u64::try_from(time.as_millis()).ok())
            }
        };
        let within = value.filter(|value| (self.least..=self.most).contains(value));
        let value = within.ok_or_else(|| format!("expected {}", self.expected()))?;
        // The largest value of each bound fits the machines this is built for.
        let count = usize::try_from(value).unwrap_or(usize::MAX);
        match self.field {
            Field::Count(field) | Field::Memory(field) => *field(bounds) = count,
            Field::Bytes(field) => *field(bounds) = value,
            Field::Time(field) => *field(bounds) = Duration::from_millis(value),
        }
        Ok(())
    }

    /// The value as it is written in a file of TOML.
    pub(crate) fn show(&self, bounds: &Bounds) -> String {
        let mut bounds = bounds.clone();
        match self.field {
            Field::Count(field) => field(&mut bounds).to_string(),
            Field::Memory(field) => quoted(units::show_size(*field(&mut bounds) as u64)),
            Field::Bytes(field) => quoted(units::show_size(*field(&mut bounds))),
            Field::Time(field) => quoted(units::show_time(*field(&mut bounds))),
        }
    }

    fn expected(&self) -> String {
        let millis = Duration::from_millis;
        match self.field {
            Field::Count(_) => format!("a whole number from {} to {}", self.least, self.most),
            Field::Memory(_) | Field::Bytes(_) => format!(
                "a size from {} to {}, in bytes or as in \"64MiB\"",
                units::show_size(self.least),
                units::show_size(self.most)
            ),
            Field::Time(_) => format!(
                "a time from {} to {}, in seconds or as in \"500ms\"",
                units::show_time(millis(self.least)),
                units::show_time(millis(self.most))
            ),
        }
    }
}

fn quoted(text: String) -> String {
    format!("\"{text}\"")
}

/// The name among some that differs least from another.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> &'a str {
    names.into_iter().min_by_key(|known| distance(name, known)).unwrap_or_default()
}

/// Letters to add, leave out or change on the way from one name to another (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            left = changed.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(name: &str, text: &str) -> Result<Bounds, String> {
        let mut bounds = Bounds::default();
        Bound::named(name)?.set(&mut bounds, text)?;
        Ok(bounds)
    }

    #[test]
    fn every_default_is_within_its_bounds_and_is_read_back_as_it_is_shown() {
        let bounds = Bounds::default();
        for bound in &BOUNDS {
            let shown = bound.show(&bounds);
            let mut again = Bounds { node_cache: 1, verified_blocks: 1, ..bounds.clone() };
            bound.set(&mut again, shown.trim_matches('"')).unwrap();
            assert_eq!(bound.show(&again), shown, "{}", bound.name);
        }
    }

    #[test]
    fn every_limit_of_the_edge_can_be_set() {
        // All fields differ from the default after all were set, so none has been forgotten.
        let mut bounds = Bounds::default();
        for bound in &BOUNDS {
            let text = match bound.field {
                Field::Time(_) => "77s",
                // Less is refused.
                Field::Bytes(_) if bound.name == "hot_memory" => "777MiB",
                Field::Memory(_) | Field::Bytes(_) => "777KiB",
                Field::Count(_) => "777",
            };
            bound.set(&mut bounds, text).unwrap();
        }
        let (count, size, time) = (777, 777 * 1024, Duration::from_secs(77));
        let expected = Limits {
            connections: count,
            file_requests: count,
            listing_requests: count,
            bytes_in_flight: size,
            disk_threads: count,
            disk_queue: count,
            read_ahead: size as u64,
            next_segment: size as u64,
            open_files: count,
            head_bytes: size,
            head_time: time,
            idle_time: time,
            stall_time: time,
            drain_time: time,
            rpc: Limits::default().rpc,
        };
        assert_eq!(
            bounds,
            Bounds {
                http: expected,
                node_cache: size as u64,
                verified_blocks: count,
                hot_memory: 777 * MIB
            }
        );
    }

    #[test]
    fn zero_is_refused_where_it_makes_no_sense_and_taken_where_it_switches_off() {
        for name in [
            "connections",
            "file_requests",
            "bytes_in_flight",
            "disk_threads",
            "open_files",
            "head_time",
        ] {
            assert!(set(name, "0").unwrap_err().starts_with("expected a "), "{name}");
        }
        for name in ["read_ahead", "next_segment", "disk_queue", "drain_time"] {
            assert!(set(name, "0").is_ok(), "{name}");
        }
    }

    #[test]
    fn a_value_that_is_none_is_told_what_is_expected() {
        assert_eq!(
            set("connections", "many").unwrap_err(),
            "expected a whole number from 1 to 1000000"
        );
        assert_eq!(
            set("bytes_in_flight", "64MB").unwrap_err(),
            "expected a size from 128KiB to 1TiB, in bytes or as in \"64MiB\""
        );
        assert_eq!(
            set("head_time", "3d").unwrap_err(),
            "expected a time from 1ms to 24h, in seconds or as in \"500ms\""
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        for (wrong, near) in [
            ("conections", "connections"),
            ("bytes-in-flight", "bytes_in_flight"),
            ("idle", "idle_time"),
        ] {
            let sentence = set(wrong, "1").unwrap_err();
            assert_eq!(
                sentence,
                format!("there is no limit \"{wrong}\"; did you mean \"{near}\"?")
            );
        }
    }
}
