//! Rounds of one work by several servers in turn, and the table of them. Ratios are made within a round.

use anyhow::Result;

use super::node::Kind;
use crate::report::{Report, megabytes, verdict};
use crate::rounds::median;

/// What one server did in one round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Did {
    /// Units of work a second.
    pub(super) rate: f64,
    /// Seconds of CPU time for a unit.
    pub(super) cpu: f64,
    /// The most memory in it, in bytes.
    pub(super) peak: u64,
    /// How much more that was than before.
    pub(super) grown: u64,
}

/// A unit of work, and how a table shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) rate: &'static str,
    pub(super) cpu: &'static str,
    /// CPU seconds are multiplied by this.
    pub(super) cpu_scale: f64,
}

/// Bytes, shown in millions.
pub(super) const MEGABYTES: Unit = Unit { rate: "MB/s", cpu: "CPU s/GiB", cpu_scale: 1073.741824 };
/// Calls.
pub(super) const CALLS: Unit = Unit { rate: "calls/s", cpu: "CPU us/call", cpu_scale: 1e6 };
/// Files.
pub(super) const FILES: Unit = Unit { rate: "files/s", cpu: "CPU us/file", cpu_scale: 1e6 };

/// What is asked of coldfront beside another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) of: Kind,
    /// Its rate through that of the other.
    pub(super) rate: f64,
    /// Its CPU time through that of the other, where that is asked.
    pub(super) cpu: Option<f64>,
}

/// The rounds of all.
#[derive(Debug)]
pub(super) struct Contest {
    kinds: Vec<Kind>,
    rounds: Vec<Vec<Did>>,
}

impl Contest {
    /// `turn` does the work once. The first of a round changes, so that none is always the first.
    pub(super) fn hold(
        kinds: &[Kind],
        rounds: usize,
        mut turn: impl FnMut(usize, Kind, usize) -> Result<Did>,
    ) -> Result<Contest> {
        let mut all = Vec::new();
        for round in 0..rounds {
            let mut row = vec![Did::default(); kinds.len()];
            for step in 0..kinds.len() {
                let index = (round + step) % kinds.len();
                if let (Some(did), Some(kind)) = (row.get_mut(index), kinds.get(index)) {
                    *did = turn(index, *kind, round)?;
                }
            }
            all.push(row);
        }
        Ok(Contest { kinds: kinds.to_vec(), rounds: all })
    }

    fn over(&self, index: usize, value: impl Fn(&Did, &Did) -> f64) -> Vec<f64> {
        let pairs = self.rounds.iter().filter_map(|row| Some((row.first()?, row.get(index)?)));
        pairs.map(|(own, other)| value(own, other)).collect()
    }

    /// The largest peak of coldfront's.
    pub(super) fn own_peak(&self) -> u64 {
        self.rounds.iter().filter_map(|row| row.first()).map(|did| did.peak).max().unwrap_or(0)
    }

    /// The table, coldfront in the first line.
    pub(super) fn tell(&self, unit: Unit, asked: &[Asked], report: &mut Report) {
        report.table(&[
            "by",
            unit.rate,
            unit.cpu,
            "peak MB (grown)",
            "coldfront's rate of it (min to max)",
            "coldfront's CPU of it",
            "asked",
        ]);
        for (index, kind) in self.kinds.iter().enumerate() {
            let rate = median(self.over(index, |_, did| did.rate));
            let cpu = median(self.over(index, |_, did| did.cpu)) * unit.cpu_scale;
            let most = |value: &dyn Fn(&Did) -> u64| {
                self.rounds.iter().filter_map(|row| row.get(index)).map(value).max().unwrap_or(0)
            };
            let (peak, grown) = (most(&|did| did.peak), most(&|did| did.grown));
            let ratios = self.over(index, |own, other| own.rate / other.rate);
            let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let high = ratios.iter().copied().fold(0.0, f64::max);
            let ratio = median(ratios);
            let cpu_ratio = median(self.over(index, |own, other| own.cpu / other.cpu));
            let own = index == 0;
            let of_it = |text: String| if own { "-".to_owned() } else { text };
            let asked = asked.iter().find(|asked| asked.of == *kind);
            report.row(&[
                kind.name().to_owned(),
                format!("{rate:.0}"),
                if cpu < 10.0 { format!("{cpu:.2}") } else { format!("{cpu:.0}") },
                format!("{} ({})", megabytes(peak), megabytes(grown)),
                of_it(format!("{ratio:.2} ({low:.2} to {high:.2})")),
                of_it(format!("{cpu_ratio:.2}")),
                asked.map_or("-".to_owned(), |asked| asked.judged(ratio, cpu_ratio)),
            ]);
        }
    }
}

impl Asked {
    fn judged(&self, rate: f64, cpu: f64) -> String {
        let text = format!(">= {} {}", self.rate, verdict(rate >= self.rate));
        match self.cpu {
            None => text,
            Some(most) => format!("{text}, CPU <= {most:.2} {}", verdict(cpu <= most)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Asked, CALLS, Contest, Did, Kind};
    use crate::report::Report;
    use crate::server::kubo::Store;

    #[test]
    fn everyone_has_a_turn_in_each_round_and_the_first_changes() {
        let kinds = [Kind::Coldfront, Kind::Kubo(Store::Flatfs)];
        let mut turns = Vec::new();
        Contest::hold(&kinds, 2, |index, _, round| {
            turns.push((round, index));
            Ok(Did::default())
        })
        .unwrap();
        assert_eq!(turns, [(0, 0), (0, 1), (1, 1), (1, 0)]);
    }

    #[test]
    fn a_ratio_is_made_within_its_round() {
        let kinds = [Kind::Coldfront, Kind::Kubo(Store::Flatfs)];
        let contest = Contest::hold(&kinds, 3, |index, _, round| {
            // The second round has a slow machine.
            let slow = if round == 1 { 0.1 } else { 1.0 };
            let rate = if index == 0 { 800.0 } else { 200.0 };
            Ok(Did { rate: rate * slow, cpu: 1.0, ..Did::default() })
        })
        .unwrap();
        let mut report = Report::default();
        let asked = [Asked { of: kinds[1], rate: 4.0, cpu: Some(0.5) }];
        contest.tell(CALLS, &asked, &mut report);
        let text = report.text();
        assert!(text.contains("4.00 (4.00 to 4.00)"), "{text}");
        assert!(text.contains(">= 4 reached, CPU <= 0.50 **missed**"), "{text}");
    }
}
