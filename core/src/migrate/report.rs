//! What a job did, and everything that was wrong with the source.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

use crate::block::Cid;

/// Faults that a report holds; all of them are told as they are met, and stand in the target's records.
pub const MAX_FAULTS: usize = 1000;

/// Sentences that a report holds about what was odd.
const MAX_NOTES: usize = 1000;

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// It is linked or was listed, and is not there.
    Missing,
    /// Its bytes are not those that its name says.
    Corrupt,
    /// Its file is empty or ends early, as after a power cut.
    Short,
    /// Its file has a name that no block has.
    Misnamed,
    /// The system could not read it.
    Unreadable,
    /// It is longer than any block may be.
    TooLong,
    /// It cannot be decoded, so what it links to is not known.
    Undecodable,
    /// A pin that is not whole, or could not be carried over.
    Pin,
    /// Another record that could not be carried over.
    Record,
}

impl FaultKind {
    const ALL: [FaultKind; 9] = [
        FaultKind::Missing,
        FaultKind::Corrupt,
        FaultKind::Short,
        FaultKind::Misnamed,
        FaultKind::Unreadable,
        FaultKind::TooLong,
        FaultKind::Undecodable,
        FaultKind::Pin,
        FaultKind::Record,
    ];

    /// Its word in reports.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Missing => "missing",
            FaultKind::Corrupt => "corrupt",
            FaultKind::Short => "short",
            FaultKind::Misnamed => "misnamed",
            FaultKind::Unreadable => "unreadable",
            FaultKind::TooLong => "too long",
            FaultKind::Undecodable => "undecodable",
            FaultKind::Pin => "pin",
            FaultKind::Record => "record",
        }
    }

    fn of(name: &str) -> Option<FaultKind> {
        FaultKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A block, or a pin, that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Where: the path of a file, or a key in a store.
    pub place: String,
    /// The block, where it is known.
    pub cid: Option<Cid>,
    /// More of it, in a sentence; may be empty.
    pub detail: String,
}

impl Fault {
    /// As JSON: `kind`, `place`, `cid`, `detail`.
    pub fn to_json(&self) -> Value {
        json!({
            "kind": self.kind.name(),
            "place": self.place,
            "cid": self.cid.map(|cid| cid.to_string()),
            "detail": self.detail,
        })
    }

    pub(super) fn from_json(bytes: &[u8]) -> Option<Fault> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let text = |field: &str| value.get(field)?.as_str().map(str::to_owned);
        Some(Fault {
            kind: FaultKind::of(&text("kind")?)?,
            place: text("place")?,
            cid: text("cid").and_then(|cid| cid.parse().ok()),
            detail: text("detail").unwrap_or_default(),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.place)?;
        if let Some(cid) = self.cid.filter(|cid| !self.place.contains(&cid.to_string())) {
            write!(f, " ({cid})")?;
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// What a job did. Counts are those of this run, but for faults: those are all that are known of the source.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The source.
    pub source: String,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// How long it took.
    pub took: Duration,
    /// Blocks written to the target, or checked by a verification.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that the target held already.
    pub held: u64,
    /// Shard directories in which nothing was added since they were last copied, and which were not listed.
    pub shards_skipped: u64,
    /// Tables of a store that were copied before and not read again.
    pub tables_skipped: u64,
    /// Blocks copied whose hash function is not one of Kubo's, so that nobody can tell whether they are right.
    pub unverified: u64,
    /// Blocks that stand in their CIDs and were left out.
    pub identity: u64,
    /// Files among the blocks that are none.
    pub foreign: u64,
    /// Blocks that lie in another shard directory than Kubo looks for them in. They are copied.
    pub misplaced: u64,
    /// Pins carried over in this run.
    pub pins: u64,
    /// Pins that the target had already.
    pub pins_held: u64,
    /// IPNS records carried over.
    pub names: u64,
    /// Keys carried over, the node's own included.
    pub keys: u64,
    /// The MFS root of the source.
    pub mfs_root: Option<Cid>,
    /// Records of the source that are not carried over, by the beginning of their keys.
    pub dropped: BTreeMap<String, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// The first [`MAX_FAULTS`] of them.
    pub first_faults: Vec<Fault>,
    /// What else was odd, each a sentence.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether something is bad or missing.
    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Number of faults.
    pub fn fault_count(&self) -> u64 {
        self.faults.values().sum()
    }

    pub(super) fn add_fault(&mut self, fault: Fault) {
        *self.faults.entry(fault.kind.name()).or_default() += 1;
        if self.first_faults.len() < MAX_FAULTS {
            self.first_faults.push(fault);
        }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note.into());
        }
    }

    /// As JSON, for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "source": self.source,
            "stopped": self.stopped,
            "seconds": self.took.as_secs_f64(),
            "blocks": self.blocks,
            "bytes": self.bytes,
            "held": self.held,
            "shards_skipped": self.shards_skipped,
            "tables_skipped": self.tables_skipped,
            "unverified": self.unverified,
            "identity": self.identity,
            "foreign": self.foreign,
            "misplaced": self.misplaced,
            "pins": self.pins,
            "pins_held": self.pins_held,
            "names": self.names,
            "keys": self.keys,
            "mfs_root": self.mfs_root.map(|cid| cid.to_string()),
            "dropped": self.dropped,
            "faults": self.faults,
            "first_faults": self.first_faults.iter().map(Fault::to_json).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

/// For people: a line for each thing that there is.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut line = |what: &str, count: u64| {
            if count > 0 {
                let _ = writeln!(text, "{what:<28}{count:>14}");
            }
        };
        line("blocks", self.blocks);
        line("bytes", self.bytes);
        line("held already", self.held);
        line("shard directories skipped", self.shards_skipped);
        line("tables skipped", self.tables_skipped);
        line("hash function not known", self.unverified);
        line("identity blocks left out", self.identity);
        line("files that are no blocks", self.foreign);
        line("blocks in a wrong folder", self.misplaced);
        line("pins", self.pins);
        line("pins held already", self.pins_held);
        line("IPNS records", self.names);
        line("keys", self.keys);
        for (prefix, count) in &self.dropped {
            line(&format!("not carried: {prefix}"), *count);
        }
        for (kind, count) in &self.faults {
            line(&format!("FAULTS, {kind}"), *count);
        }
        if let Some(cid) = self.mfs_root {
            let _ = writeln!(text, "MFS root {cid}");
        }
        for fault in &self.first_faults {
            let _ = writeln!(text, "{fault}");
        }
        let shown = self.first_faults.len() as u64;
        if self.fault_count() > shown {
            let _ = writeln!(text, "and {} more faults", self.fault_count() - shown);
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        let how = if self.stopped { "stopped after" } else { "done in" };
        write!(f, "{text}{how} {:.1} s", self.took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_fault_comes_back_from_its_record() {
        for kind in FaultKind::ALL {
            let fault = Fault {
                kind,
                place: "/a/b \"c\"".into(),
                cid: Some(
                    "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy".parse().unwrap(),
                ),
                detail: String::new(),
            };
            let bytes = serde_json::to_vec(&fault.to_json()).unwrap();
            assert_eq!(Fault::from_json(&bytes).unwrap(), fault);
        }
        assert_eq!(Fault::from_json(b"{}"), None);
        assert_eq!(Fault::from_json(b"\xff"), None);
    }

    #[test]
    fn a_report_holds_a_bounded_number_of_faults_and_counts_all() {
        let mut report = Report::default();
        for n in 0..MAX_FAULTS + 5 {
            let place = n.to_string();
            report.add_fault(Fault {
                kind: FaultKind::Short,
                place,
                cid: None,
                detail: String::new(),
            });
        }
        assert_eq!(report.first_faults.len(), MAX_FAULTS);
        assert_eq!(report.fault_count(), MAX_FAULTS as u64 + 5);
        assert!(report.to_string().contains("and 5 more faults"));
    }
}
