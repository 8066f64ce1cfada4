//! The settings `[gc]`: when garbage is collected without anybody asking.
//!
//! Owns what goes together. Pure. Must not know where a value came from beyond its name, nor who collects.

use coldfront::gc::schedule::{Schedule, TimeOfDay, Watermarks};

use crate::config::{Given, Setting, setting};
use crate::units;

/// The names of the settings in the table `[gc]`.
pub(crate) const KEYS: [&str; 3] = ["at", "high", "low"];

/// When garbage is collected.
#[derive(Debug, Default)]
pub(crate) struct Collecting {
    pub(crate) at: Option<Setting<TimeOfDay>>,
    pub(crate) high: Option<Setting<u64>>,
    pub(crate) low: Option<Setting<u64>>,
}

impl Collecting {
    /// From what was given for each of [`KEYS`]. The error is a sentence.
    pub(crate) fn new([at, high, low]: [Option<Given>; 3]) -> Result<Collecting, String> {
        let time = |text: &str| text.parse().map_err(|expected: &str| expected.to_owned());
        let size = |text: &str| {
            units::size(text).ok_or_else(|| "expected a size such as 500GiB".to_owned())
        };
        let collecting = Collecting {
            at: at.map(|given| setting(given, "gc.at", time)).transpose()?,
            high: high.map(|given| setting(given, "gc.high", size)).transpose()?,
            low: low.map(|given| setting(given, "gc.low", size)).transpose()?,
        };
        match (&collecting.high, &collecting.low) {
            (None, Some(low)) => Err(format!(
                "{}: gc.low says how much is left when the store has outgrown gc.high, which is not set",
                low.origin
            )),
            (Some(high), Some(low)) if low.value > high.value => Err(format!(
                "{}: gc.low is {}, more than gc.high, which is {}",
                low.origin,
                units::show_size(low.value),
                units::show_size(high.value)
            )),
            _ => Ok(collecting),
        }
    }

    /// Without a low mark nine tenths of the high one are left.
    pub(crate) fn schedule(&self) -> Schedule {
        let marks = |high: u64| {
            let low = self.low.as_ref().map_or(high / 10 * 9, |low| low.value);
            Watermarks { high, low }
        };
        Schedule {
            at: self.at.as_ref().map(|at| at.value),
            size: self.high.as_ref().map(|high| marks(high.value)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Origin;

    fn given(text: &str) -> Option<Given> {
        Some(Given { text: text.into(), origin: Origin::Flag("--x") })
    }

    #[test]
    fn what_goes_together_is_a_schedule() {
        let all = Collecting::new([given("03:00"), given("500GiB"), given("400GiB")]).unwrap();
        let marks = Watermarks { high: 500 << 30, low: 400 << 30 };
        assert_eq!(all.schedule().size, Some(marks));
        assert_eq!(all.schedule().at.unwrap().to_string(), "03:00");
        let high = Collecting::new([None, given("1000"), None]).unwrap();
        assert_eq!(high.schedule().size, Some(Watermarks { high: 1000, low: 900 }));
        assert_eq!(Collecting::default().schedule(), Schedule::default());
    }

    #[test]
    fn what_does_not_is_a_sentence() {
        for (given, says) in [
            ([given("3 am"), None, None], "time of day in UTC such as 03:00"),
            ([None, given("much"), None], "a size such as 500GiB"),
            ([None, None, given("1GiB")], "gc.high, which is not set"),
            ([None, given("1GiB"), given("2GiB")], "gc.low is 2GiB, more than gc.high"),
        ] {
            let error = Collecting::new(given).unwrap_err();
            assert!(error.contains(says) && error.contains("--x"), "{error}");
        }
    }
}
