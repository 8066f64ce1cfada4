//! Latencies in buckets of constant relative width, so that a p99 of microseconds and one of seconds are equally exact.
//! Pure: no clock. The idea is that of Gil Tene's HdrHistogram; the code is ours and does only what is needed here.

use std::time::Duration;

/// Buckets to a power of two: a value is known to one part in 64, that is 1.6 %.
const STEPS: u64 = 64;
/// log2 of [`STEPS`].
const STEP_BITS: u32 = 6;
/// Enough buckets for every `u64` of nanoseconds.
const BUCKETS: usize = (64 - STEP_BITS as usize + 1) * STEPS as usize;

/// How often each latency was seen. 30 KB, however many values are recorded.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one latency. No allocation.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// Adds what another histogram counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many latencies were recorded.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The largest latency recorded, exactly.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The latency that `share` (0.0 to 1.0) of all do not exceed, rounded up to its bucket's end; zero when empty.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(bucket_end(index).min(self.max));
            }
        }
        self.max()
    }
}

fn bucket(nanos: u64) -> usize {
    let octave = (64 - nanos.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let step = nanos >> octave;
    (u64::from(octave) * STEPS + step) as usize
}

fn bucket_end(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let octave = index / STEPS - 1;
    let step = index - octave * STEPS;
    ((step + 1) << octave).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::{Histogram, bucket, bucket_end};
    use std::time::Duration;

    #[test]
    fn every_value_lies_within_its_bucket_and_within_one_part_in_64() {
        for shift in 0..63 {
            for value in [
                1_u64 << shift,
                (1_u64 << shift) + 1,
                (1_u64 << shift) * 2 - 1,
                (1_u64 << shift) / 3 * 4,
            ] {
                let end = bucket_end(bucket(value));
                assert!(end >= value, "{value} lies beyond its bucket's end {end}");
                assert!(end - value <= value / 64, "{value} is told as {end}");
            }
        }
    }

    #[test]
    fn buckets_rise_with_their_values() {
        let ends: Vec<u64> = (0..3000).map(bucket_end).collect();
        assert!(ends.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn quantiles_of_a_hundred_values_are_those_values() {
        let mut histogram = Histogram::default();
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        let near = |share: f64, millis: f64| {
            let told = histogram.quantile(share).as_secs_f64() * 1e3;
            assert!(
                (told - millis).abs() <= millis / 60.0,
                "{share} is {told} ms, expected {millis}"
            );
        };
        near(0.5, 50.0);
        near(0.99, 99.0);
        near(1.0, 100.0);
        assert_eq!(histogram.max(), Duration::from_millis(100));
    }

    #[test]
    fn merging_counts_both() {
        let (mut one, mut two) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_micros(10));
        two.record(Duration::from_secs(1));
        one.merge(&two);
        assert_eq!(one.count(), 2);
        assert_eq!(one.max(), Duration::from_secs(1));
        assert!(one.quantile(0.5) < Duration::from_micros(11));
    }

    #[test]
    fn the_slowest_of_all_latencies_have_buckets_too() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_nanos(1 << 62));
        histogram.record(Duration::MAX);
        assert!(histogram.quantile(0.5) < Duration::from_nanos(1 << 63));
        assert_eq!(histogram.quantile(1.0), Duration::from_nanos(u64::MAX));
    }
}
