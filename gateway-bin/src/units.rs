//! Sizes and times as people write them.
//!
//! Owns the spelling of `64MiB` and `10s`, in and out. Pure. Must not know which setting a value is for.

use std::time::Duration;

const SIZES: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];

/// Bytes: `65536`, `64KiB`, `64 MiB`. `None` when it is neither, or too large to count.
pub(crate) fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZES, 1)
}

/// A time: `10` (seconds), `10s`, `500ms`, `2min`, `1h`. `None` when it is neither.
pub(crate) fn time(text: &str) -> Option<Duration> {
    scaled(text, &TIMES, 1000).map(Duration::from_millis)
}

/// Digits and a unit, with blanks between them or none.
fn scaled(text: &str, units: &[(&str, u64)], without_unit: u64) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let scale = match unit {
        "" => without_unit,
        _ => units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

/// The shortest spelling that [`size`] reads as the same number.
pub(crate) fn show_size(bytes: u64) -> String {
    shown(bytes, &SIZES).unwrap_or_else(|| "0B".into())
}

/// The shortest spelling that [`time`] reads as the same time. Parts of a millisecond are dropped.
pub(crate) fn show_time(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    shown(millis, &TIMES).unwrap_or_else(|| "0s".into())
}

/// In the largest unit that divides it; `None` for zero.
fn shown(value: u64, units: &[(&str, u64)]) -> Option<String> {
    let fits = units.iter().filter(|(_, scale)| value >= *scale && value.is_multiple_of(*scale));
    let (name, scale) = fits.max_by_key(|(_, scale)| *scale)?;
    Some(format!("{}{name}", value / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_of_bytes_with_a_unit_or_without() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            (" 64 mib ", 64 << 20),
            ("3B", 3),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in
            ["", "MiB", "-1", "1.5MiB", "1MB", "1 M i B", "99999999999999999999", "99999999999TiB"]
        {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_in_seconds_unless_it_says_otherwise() {
        for (text, millis) in
            [("10", 10_000), ("10s", 10_000), ("500ms", 500), ("2 min", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(time(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1d", "-1s", "0.5s", "99999999999999999999"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for bytes in [0, 1, 1023, 1024, 65_536, 3 << 20, (1 << 30) + 1, u64::MAX] {
            assert_eq!(size(&show_size(bytes)), Some(bytes), "{}", show_size(bytes));
        }
        for millis in [0, 1, 999, 1000, 1500, 60_000, 75_000, 7_200_000] {
            let shown = show_time(Duration::from_millis(millis));
            assert_eq!(time(&shown), Some(Duration::from_millis(millis)), "{shown}");
        }
        assert_eq!(
            (show_size(64 << 20).as_str(), show_time(Duration::from_secs(75)).as_str()),
            ("64MiB", "75s")
        );
    }
}
