//! How far a job is, as records of the target.
//!
//! Owns their names and values. They are written in one batch with the blocks that they speak for, so that after a
//! crash they never say more than is there. One space of records for each source, by its path:
//!
//! ```text
//! status            JSON, for `status`: counts over all runs
//! shard/NAME        a shard directory of a flatfs tree whose blocks are all in: its time of change, 16 bytes, big-endian
//! pairs             a store of pairs: 8 bytes that tell whether it was written since, a byte 0 (under way) or 1 (done),
//!                   the last key done
//! tables            of such a store that is all copied: for each table its number, the length and the time of change of its
//!                   file, 8 bytes each; those that are still the same are not read again
//! car               a CAR file: its length and its time of change, 8 bytes each, the offset behind the last block
//! root/CID          everything below a root is in
//! fault/PLACE       JSON: what is wrong there; tried again by the next run
//! ```

use serde_json::{Value, json};

use super::report::{Fault, Report};
use crate::error::StoreError;
use crate::store::hot::{Change, HotStore, Records};

/// What the names of the spaces begin with.
const SPACE: &str = "migrate/";

/// Records that are read at a time.
const AT_A_TIME: usize = 1000;

pub(super) const STATUS: &[u8] = b"status";
pub(super) const PAIRS: &[u8] = b"pairs";
pub(super) const TABLES: &[u8] = b"tables";
pub(super) const CAR: &[u8] = b"car";

/// The records of the job that copies from `source`.
pub(super) fn records(hot: &HotStore, source: &str) -> Records {
    hot.records(&format!("{SPACE}{source}"))
}

pub(super) fn shard(name: &[u8]) -> Vec<u8> {
    [b"shard/", name].concat()
}

pub(super) fn root(cid: &crate::block::Cid) -> Vec<u8> {
    [b"root/", &cid.to_bytes()[..]].concat()
}

pub(super) fn fault(place: &str) -> Vec<u8> {
    [b"fault/", place.as_bytes()].concat()
}

/// The record of a fault.
pub(super) fn fault_change(one: &Fault) -> Change {
    (fault(&one.place), Some(one.to_json().to_string().into_bytes()))
}

/// Hands every recorded fault to `each`.
pub(super) fn each_fault(records: &Records, each: &mut dyn FnMut(Fault)) -> Result<(), StoreError> {
    let mut after = Vec::new();
    loop {
        let some = records.after(b"fault/", &after, AT_A_TIME)?;
        let Some((last, _)) = some.last() else { return Ok(()) };
        after.clone_from(last);
        for (_, value) in some {
            if let Some(fault) = Fault::from_json(&value) {
                each(fault);
            }
        }
    }
}

/// What is known of a job, over all its runs.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct JobStatus {
    /// The source.
    pub source: String,
    /// Blocks written so far.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How much of the source is done, 0 to 1, where that can be told.
    pub done: Option<f64>,
    /// Whether the last run came to its end.
    pub finished: bool,
    /// Faults known.
    pub faults: u64,
    /// Seconds since 1970 when this was written.
    pub at: u64,
}

impl JobStatus {
    /// As JSON, for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "source": self.source,
            "blocks": self.blocks,
            "bytes": self.bytes,
            "done": self.done,
            "finished": self.finished,
            "faults": self.faults,
            "at": self.at,
        })
    }

    fn from_json(bytes: &[u8]) -> Option<JobStatus> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let number = |field: &str| value.get(field).and_then(Value::as_u64).unwrap_or(0);
        Some(JobStatus {
            source: value.get("source")?.as_str()?.to_owned(),
            blocks: number("blocks"),
            bytes: number("bytes"),
            done: value.get("done").and_then(Value::as_f64),
            finished: value.get("finished").and_then(Value::as_bool).unwrap_or(false),
            faults: number("faults"),
            at: number("at"),
        })
    }

    /// What the records say; one that counts nothing where there is none yet.
    pub(super) fn read(records: &Records, source: &str) -> Result<JobStatus, StoreError> {
        let found = records.get(STATUS)?.and_then(|bytes| JobStatus::from_json(&bytes));
        Ok(found.unwrap_or_else(|| JobStatus { source: source.to_owned(), ..JobStatus::default() }))
    }

    /// As it is after this run has done `report`.
    pub(super) fn after(&self, report: &Report, done: Option<f64>, finished: bool) -> JobStatus {
        JobStatus {
            source: self.source.clone(),
            blocks: self.blocks + report.blocks,
            bytes: self.bytes + report.bytes,
            done,
            finished,
            faults: report.fault_count(),
            at: now(),
        }
    }

    /// Its record.
    pub(super) fn change(&self) -> Change {
        (STATUS.to_vec(), Some(self.to_json().to_string().into_bytes()))
    }
}

/// Every job that ever wrote to a store, by source.
pub fn jobs(hot: &HotStore) -> Result<Vec<JobStatus>, StoreError> {
    let mut all = Vec::new();
    for space in hot.record_spaces(SPACE)? {
        let source = space.get(SPACE.len()..).unwrap_or_default();
        all.push(JobStatus::read(&records(hot, source), source)?);
    }
    Ok(all)
}

/// The file in the folder of a store that says how far jobs are, for those who cannot open the store while it is in use.
const TOLD: &str = "jobs.json";

/// The longest such file that is read, in bytes.
const MAX_TOLD_LEN: u64 = 16 * 1024 * 1024;

/// Writes down how far all jobs are, `current` as it is now. What fails here stops no job: nothing rests on the file.
pub(super) fn publish(hot: &HotStore, current: &JobStatus) -> Result<(), StoreError> {
    let mut all = jobs(hot)?;
    all.retain(|job| job.source != current.source);
    all.push(current.clone());
    let text = Value::from(all.iter().map(JobStatus::to_json).collect::<Vec<_>>()).to_string();
    let (new, path) = (hot.path().join("jobs.json.new"), hot.path().join(TOLD));
    // Nothing to do where it cannot be written, as on a full disk.
    let _ = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path));
    Ok(())
}

/// What jobs wrote down last in the folder of a store that is in use: some seconds old. Empty where none did.
///
/// # Errors
/// What the system says; `InvalidData` for a file that is something else.
pub fn jobs_told(folder: &std::path::Path) -> std::io::Result<Vec<JobStatus>> {
    use std::io::{Error, ErrorKind, Read as _};
    let file = match std::fs::File::open(folder.join(TOLD)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(MAX_TOLD_LEN).read_to_end(&mut text)?;
    let all: Vec<Value> = serde_json::from_slice(&text).map_err(Error::other)?;
    let parsed = all.iter().map(|job| JobStatus::from_json(job.to_string().as_bytes()));
    let all: Option<Vec<_>> = parsed.collect();
    all.ok_or_else(|| Error::new(ErrorKind::InvalidData, "jobs.json holds something else"))
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
