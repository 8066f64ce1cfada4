//! Sizes and times as people write them. Pure.

use std::time::Duration;

/// Reads a number of bytes: digits and perhaps a unit, `k`, `M`, `G`, `T` (powers of 1000) or `KiB` and so on.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let count: u64 = digits.parse().map_err(|_| expected(text))?;
    let factor: u64 = match unit.trim().trim_end_matches("/s") {
        "" | "B" => 1,
        "k" | "kB" | "K" | "KB" => 1000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        "Ti" | "TiB" => 1 << 40,
        _ => return Err(expected(text)),
    };
    count.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(|| expected(text))
}

fn expected(text: &str) -> String {
    format!("{text:?} is no number of bytes; expected such as 500000, 200M or 1GiB")
}

/// A number of bytes with three digits or so.
pub(crate) fn shown(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if amount < 1000.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1000.0;
    }
    format!("{amount:.2} TB")
}

/// A time in its two largest units.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_people_write_them() {
        assert_eq!(bytes("500"), Ok(500));
        assert_eq!(bytes("200M"), Ok(200_000_000));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert_eq!(bytes("10 MB/s"), Ok(10_000_000));
        for bad in ["", "M", "-1", "0", "1X", "99999999999999999999", "99999999T"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(shown(999), "999 B");
        assert_eq!(shown(1_500_000), "1.5 MB");
        assert_eq!(shown(80_000_000_000_000), "80.00 TB");
        assert_eq!(time(Duration::from_secs(59)), "59 s");
        assert_eq!(time(Duration::from_secs(90_061)), "1 d 1 h");
    }
}
