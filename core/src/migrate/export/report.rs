//! What an export did.

use serde_json::{Value, json};

/// Problems that a report names; further ones are counted only.
pub const MAX_PROBLEMS: usize = 10_000;

/// Blocks counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Blocks that were written.
    pub written: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that the target held already.
    pub there: u64,
    /// Written blocks whose hash function is not known, so that nothing can be said about them.
    pub unverified: u64,
    /// Blocks that a pin keeps and no source holds.
    pub missing: u64,
    /// Blocks whose bytes do not hash to their CID, or could not be read. Not written.
    pub bad: u64,
}

impl Counts {
    /// Blocks looked at.
    pub fn looked_at(&self) -> u64 {
        self.written + self.there + self.missing + self.bad
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.written += other.written;
        self.bytes += other.bytes;
        self.there += other.there;
        self.unverified += other.unverified;
        self.missing += other.missing;
        self.bad += other.bad;
    }

    /// The same as an object.
    pub fn to_json(&self) -> Value {
        json!({
            "written": self.written,
            "bytes": self.bytes,
            "there": self.there,
            "unverified": self.unverified,
            "missing": self.missing,
            "bad": self.bad,
        })
    }

    pub(super) fn of_json(value: &Value) -> Option<Counts> {
        let number = |key: &str| value.get(key)?.as_u64();
        Some(Counts {
            written: number("written")?,
            bytes: number("bytes")?,
            there: number("there")?,
            unverified: number("unverified")?,
            missing: number("missing")?,
            bad: number("bad")?,
        })
    }
}

/// A block that is not in the target, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The block, as a CID of raw bytes.
    pub cid: String,
    /// What is wrong with it.
    pub what: String,
}

/// What an export did, runs that were interrupted included.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportReport {
    /// Blocks.
    pub counts: Counts,
    /// Pins.
    pub pins: u64,
    /// Keys of the keystore.
    pub keys: u64,
    /// Records of own names.
    pub names: u64,
    /// The number from which a later export has to begin.
    pub next: u64,
    /// The first [`MAX_PROBLEMS`] blocks that are not in the target.
    pub problems: Vec<Problem>,
}
