//! What the journals hold that no table holds yet, read into memory once at open. Nothing is written back.
//!
//! Knows where journals end; the framing is `log.rs`, the batches `entry.rs`. Rules: goleveldb `db.go`, Pebble `open.go`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::behind::IsCached;
use crate::entry::{Dialect, Op, read_batch};
use crate::error::{Error, Fault, Notes};
use crate::log::{Broken, LogReader, Step};
use crate::source::SourceFile;

/// Bytes of keys and values that journals may hold. Kubo's stores move them into tables every 4 MiB, a few times more
/// while they are busy.
pub const MAX_JOURNAL_BYTES: usize = 256 << 20;

/// What an entry costs beside its key and value, roughly.
const ENTRY_OVERHEAD: usize = 96;

/// The newest of what journals say about a key.
#[derive(Debug)]
pub(crate) struct Latest {
    pub(crate) sequence: u64,
    /// `None`: deleted.
    pub(crate) value: Option<Vec<u8>>,
}

/// The contents of the journals, by key.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: BTreeMap<Vec<u8>, Latest>,
    bytes: usize,
}

/// How journals are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replay {
    pub(crate) dialect: Dialect,
    /// Whether what is damaged is passed over.
    pub(crate) salvage: bool,
    pub(crate) is_cached: Option<IsCached>,
}

impl Journal {
    /// Adds what the journal at `path` holds. `last` is the newest, which alone may end in the middle of a write.
    /// What was passed over is added to `notes`.
    pub(crate) fn replay(
        &mut self,
        path: &Path,
        number: u64,
        last: bool,
        how: Replay,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        let mut log = LogReader::new(SourceFile::open_as(path.to_owned(), how.is_cached)?, number);
        loop {
            let at = log.offset();
            match log.step()? {
                Step::End => return Ok(()),
                Step::Record => self.add(&log, at, how, notes)?,
                Step::Broken(broken) => {
                    if !pass_over(&mut log, broken, last, how.salvage, notes)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn add(
        &mut self,
        log: &LogReader,
        at: u64,
        how: Replay,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        let path = log.file().path();
        let read = read_batch(log.record(), how.dialect, |sequence, op, key, value| {
            self.put(sequence, op, key, value);
        });
        if self.bytes > MAX_JOURNAL_BYTES {
            return Err(Error::JournalTooLarge { path: path.to_owned(), max: MAX_JOURNAL_BYTES });
        }
        match read.map_err(|trouble| trouble.at(path, at)) {
            Err(error @ Error::Damaged { .. }) if how.salvage => {
                notes.push(error);
                Ok(())
            }
            other => other,
        }
    }

    /// Counts memory that is held beside the entries; fails beyond the bound.
    pub(crate) fn reserve(&mut self, bytes: usize, path: &Path) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(if bytes == 0 { 0 } else { bytes + ENTRY_OVERHEAD });
        if self.bytes > MAX_JOURNAL_BYTES {
            return Err(Error::JournalTooLarge { path: path.to_owned(), max: MAX_JOURNAL_BYTES });
        }
        Ok(())
    }

    /// Adds an entry unless a newer one of its key is there. Beyond the bound nothing is added.
    pub(crate) fn put(&mut self, sequence: u64, op: Op, key: &[u8], value: &[u8]) {
        if self.bytes > MAX_JOURNAL_BYTES {
            return;
        }
        let latest = Latest { sequence, value: (op == Op::Set).then(|| value.to_vec()) };
        match self.entries.get_mut(key) {
            Some(old) if old.sequence > sequence => {}
            Some(old) => {
                let freed = old.value.as_ref().map_or(0, Vec::len);
                self.bytes = (self.bytes + value.len()).saturating_sub(freed);
                *old = latest;
            }
            None => {
                self.bytes += key.len() + value.len() + ENTRY_OVERHEAD;
                self.entries.insert(key.to_vec(), latest);
            }
        }
    }
}

/// Decides about a place where a journal cannot be read on: an unfinished write at the end of the newest one is how a
/// crash looks. Whole chunks behind it prove that it is none. `true` when reading goes on behind it.
fn pass_over(
    log: &mut LogReader,
    broken: Broken,
    last: bool,
    salvage: bool,
    notes: &mut Notes,
) -> Result<bool, Error> {
    let path = log.file().path().to_owned();
    let more = log.resume()?;
    if last && !more {
        notes.push(Error::TornTail { path, offset: broken.offset });
        return Ok(false);
    }
    let error = broken.fault.at(&path, broken.offset);
    if !salvage {
        return Err(error);
    }
    notes.push(error);
    Ok(more)
}

/// The records of a manifest, each given to `each`. An unfinished one at the end was never in force.
pub(crate) fn read_manifest(
    path: &Path,
    notes: &mut Notes,
    mut each: impl FnMut(&[u8]) -> Result<(), crate::error::Trouble>,
) -> Result<(), Error> {
    let mut log = LogReader::new(SourceFile::open(path.to_owned())?, 0);
    let mut records = 0u64;
    loop {
        let at = log.offset();
        match log.step()? {
            Step::Record => each(log.record()).map_err(|trouble| trouble.at(path, at))?,
            Step::End if records > 0 => return Ok(()),
            Step::End => return Err(Fault::Cut("first manifest record").at(path, 0)),
            Step::Broken(broken) if broken.torn && records > 0 && !log.resume()? => {
                notes.push(Error::TornTail { path: path.to_owned(), offset: broken.offset });
                return Ok(());
            }
            Step::Broken(broken) => return Err(broken.fault.at(path, broken.offset)),
        }
        records += 1;
    }
}
