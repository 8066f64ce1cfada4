//! Times as Go writes them into JSON, RFC 3339, and seconds since 1970.
//!
//! Pure. Days are counted in the Gregorian calendar, as RFC 3339 has it for all years.

/// The time that Go writes for none.
pub(super) const NEVER: &str = "0001-01-01T00:00:00Z";

/// Seconds since 1970 of `2026-11-21T01:57:04Z`, with or without a fraction, in any zone; what is before 1970 is 0.
/// `None` for anything else.
pub(super) fn parse(text: &str) -> Option<u64> {
    let number = |from: usize, len: usize| -> Option<i64> {
        let digits = text.get(from..from + len)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let is = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|b| wanted.contains(b));
    let shaped = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !shaped || !in_range {
        return None;
    }
    let zone = text.get(19..)?;
    let zone = match zone.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => zone,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(u64::try_from(seconds - offset(zone)?).unwrap_or(0))
}

/// Seconds by which a zone is ahead.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" || zone == "z" {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str, most: i64| -> Option<i64> {
        let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| two && *number <= most)
    };
    Some(sign * (number(hours, 23)? * 3600 + number(minutes, 59)? * 60))
}

/// `2026-11-21T01:57:04Z`.
pub(super) fn format(seconds: u64) -> String {
    /// The last second of the year 9999, beyond which there is no such text.
    const LAST: u64 = 253_402_300_799;
    let seconds = seconds.min(LAST);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days from 1970 to a date. Years begin in March, so that the odd day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date that lies so many days behind 1970.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_any_zone_and_with_fractions() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-21T01:57:04Z", Some(1_795_226_224)),
            ("2026-11-21T01:57:04.123456789Z", Some(1_795_226_224)),
            ("2026-11-21T03:57:04+02:00", Some(1_795_226_224)),
            ("2026-11-20T20:27:04-05:30", Some(1_795_226_224)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000)),
            (NEVER, Some(0)),
            ("2026-13-21T01:57:04Z", None),
            ("2026-11-21", None),
            ("2026-11-21T01:57:04", None),
            ("2026-11-21T01:57:04+2:00", None),
            ("+026-11-21T01:57:04Z", None),
            ("é026-11-21T01:57:04Z", None),
            ("", None),
        ] {
            assert_eq!(parse(text), seconds, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0u64..253_402_300_800) {
            assert_eq!(parse(&format(seconds)), Some(seconds));
        }

        #[test]
        fn any_text_is_a_time_or_none(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
