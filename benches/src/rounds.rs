//! Interleaved rounds: in each, every server gets the same load once, and ratios are made inside the round, so that
//! what disturbs the machine for longer than a round disturbs both sides of a ratio. Medians over rounds are told.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::load::{Length, Load, Sample};
use crate::server::Server;

/// The samples of several servers over several rounds of one load: `samples[round][server]`.
#[derive(Debug)]
pub struct Rounds {
    samples: Vec<Vec<Sample>>,
}

/// What one server reached, as medians over the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Answers a second.
    pub rate: f64,
    /// CPU time of the server for one answer.
    pub cpu: Duration,
    /// Its rate through that of the first server, by rounds.
    pub rate_ratio: f64,
    /// Its CPU time through that of the first server, by rounds.
    pub cpu_ratio: f64,
    /// The smallest and the largest rate ratio of all rounds.
    pub rate_spread: (f64, f64),
    /// The smallest and the largest CPU ratio of all rounds.
    pub cpu_spread: (f64, f64),
    /// The sample of the last round, for what does not scatter: memory and reads.
    pub last: Sample,
}

/// Runs `count` rounds of `load` on `servers`. The order turns by one server a round, so that none is always the first.
pub fn run(
    servers: &[Server],
    load: Load,
    length: Length,
    count: usize,
    scratch: &Path,
) -> Result<Rounds> {
    let mut samples = Vec::new();
    for round in 0..count {
        let mut row: Vec<Option<Sample>> = vec![None; servers.len()];
        for turn in 0..servers.len() {
            let index = (round + turn) % servers.len();
            row[index] = Some(load.run(&servers[index], length, scratch)?);
        }
        samples.push(row.into_iter().flatten().collect());
    }
    Ok(Rounds { samples })
}

impl Rounds {
    /// What server number `index` reached, measured against server 0. `None` if there was no such server or no round.
    pub fn outcome(&self, index: usize) -> Option<Outcome> {
        let pairs: Option<Vec<(Sample, Sample)>> =
            self.samples.iter().map(|row| Some((*row.get(index)?, *row.first()?))).collect();
        let pairs = pairs?;
        let (last, _) = *pairs.last()?;
        let over = |value: &dyn Fn(&(Sample, Sample)) -> f64| {
            pairs.iter().map(value).collect::<Vec<f64>>()
        };
        let rates = over(&|(own, base)| own.rate / base.rate);
        let cpus = over(&|(own, base)| own.cpu.as_secs_f64() / base.cpu.as_secs_f64());
        Some(Outcome {
            rate: median(over(&|(own, _)| own.rate)),
            cpu: Duration::from_secs_f64(median(over(&|(own, _)| own.cpu.as_secs_f64()))),
            rate_spread: spread(&rates),
            cpu_spread: spread(&cpus),
            rate_ratio: median(rates),
            cpu_ratio: median(cpus),
            last,
        })
    }
}

/// The middle value, or the mean of the two middle ones; 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => 0.0,
    }
}

fn spread(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(low, high), value| (value.min(low), value.max(high)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Rounds, median};
    use crate::load::Sample;
    use crate::process::Memory;
    use std::time::Duration;

    fn sample(rate: f64, micros: u64) -> Sample {
        Sample {
            requests: 1,
            rate,
            cpu: Duration::from_micros(micros),
            read_ratio: 1.0,
            read_calls: 1.0,
            memory: Memory::default(),
        }
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both_middles() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
        assert_eq!(median(Vec::new()), 0.0);
    }

    #[test]
    fn a_ratio_is_made_within_its_round() {
        // A round in which the machine was three times slower leaves the ratios alone.
        let rounds = Rounds {
            samples: vec![
                vec![sample(900.0, 10), sample(450.0, 30)],
                vec![sample(300.0, 30), sample(150.0, 90)],
                vec![sample(900.0, 10), sample(450.0, 30)],
            ],
        };
        let outcome = rounds.outcome(1).unwrap();
        assert_eq!(outcome.rate_ratio, 0.5);
        assert!((outcome.cpu_ratio - 3.0).abs() < 1e-9);
        assert_eq!(outcome.rate_spread, (0.5, 0.5));
        assert_eq!(rounds.outcome(0).unwrap().rate_ratio, 1.0);
        assert!(rounds.outcome(2).is_none());
    }
}
