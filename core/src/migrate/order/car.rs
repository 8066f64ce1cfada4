//! The order of a CAR file: from front to back.
//!
//! Owns how far it is read, and whether the file is the same as before.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use coldfront_pebble::Behind;

use super::{At, Counted, MARK_EVERY, Order, Step, Wanted};
use crate::block::{Cid, IDENTITY};
use crate::car::{CarError, CarReader};
use crate::kubo::behind::is_cached;
use crate::migrate::error::MigrateError;
use crate::migrate::mark;
use crate::migrate::report::{Fault, FaultKind};
use crate::migrate::source::chain;
use crate::store::hot::Records;

/// Bytes of a CAR that are read at a time.
const CAR_READ: usize = 1024 * 1024;

/// A CAR file, from front to back.
pub(in crate::migrate) struct CarOrder<'a> {
    path: &'a Path,
    reader: CarReader<BufReader<LettingGo>>,
    /// Length and time of change.
    stamp: [u8; 16],
    len: u64,
    since_mark: u64,
    ended: bool,
}

impl<'a> CarOrder<'a> {
    /// Goes on behind the last block done, unless the file was changed since.
    pub(in crate::migrate) fn new(path: &'a Path, records: &Records) -> Result<Self, MigrateError> {
        let failed = |source| MigrateError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let stat = file.metadata().map_err(failed)?;
        let mut stamp = [0; 16];
        let (len, time) = stamp.split_at_mut(8);
        len.copy_from_slice(&stat.len().to_be_bytes());
        let changed = stat.mtime().wrapping_mul(1_000_000_000).wrapping_add(stat.mtime_nsec());
        time.copy_from_slice(&changed.to_be_bytes());
        let behind = Behind::new(stat.len(), is_cached);
        let file = LettingGo { file, behind, at: 0 };
        let car = |source| MigrateError::Car { path: path.to_owned(), source };
        let mut reader = CarReader::new(BufReader::with_capacity(CAR_READ, file)).map_err(car)?;
        let marked = records.get(mark::CAR)?;
        let offset = marked.as_deref().and_then(|record| record.strip_prefix(&stamp[..]));
        if let Some(offset) = offset.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
            reader.go_on_at(u64::from_be_bytes(offset)).map_err(car)?;
        }
        Ok(CarOrder { path, reader, stamp, len: stat.len(), since_mark: 0, ended: false })
    }

    /// The roots that its header names.
    pub(in crate::migrate) fn roots(&self) -> &[Cid] {
        self.reader.roots()
    }

    fn mark(&mut self) -> Step {
        self.since_mark = 0;
        let value = [&self.stamp[..], &self.reader.offset().to_be_bytes()].concat();
        Step::Mark(vec![(mark::CAR.to_vec(), Some(value))])
    }

    fn bad(&mut self, error: &CarError) -> Step {
        // Behind a broken frame nobody knows where the next one begins.
        self.ended = true;
        let (kind, place) = (FaultKind::Unreadable, self.path.display().to_string());
        let detail = format!("{}; what lies behind is not read", chain(error));
        Step::Bad(Box::new(Fault { kind, place, cid: None, detail }))
    }
}

/// A file that leaves the page cache as it was.
#[derive(Debug)]
struct LettingGo {
    file: File,
    behind: Behind,
    at: u64,
}

impl Read for LettingGo {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.behind.before(&self.file, self.at, buf.len() as u64);
        let read = self.file.read(buf)?;
        self.behind.after(&self.file, self.at, read as u64);
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for LettingGo {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

impl Order for CarOrder<'_> {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        if self.ended {
            return Ok(None);
        }
        if self.since_mark >= MARK_EVERY as u64 {
            return Ok(Some(self.mark()));
        }
        let at = self.reader.offset();
        match self.reader.next_section() {
            Ok(None) => {
                self.ended = true;
                Ok(Some(self.mark()))
            }
            Ok(Some(section)) => {
                self.since_mark += self.reader.offset() - at;
                if section.cid.hash().code() == IDENTITY {
                    return Ok(Some(Step::Count(Counted::Identity, 1)));
                }
                let place = format!("{} at byte {at}", self.path.display());
                let wanted = Wanted::new(section.cid, At::Given(place.into()));
                Ok(Some(Step::Have(Box::new(wanted), section.data)))
            }
            Err(error) => Ok(Some(self.bad(&error))),
        }
    }

    fn done(&self) -> Option<f64> {
        Some(if self.ended { 1.0 } else { self.reader.offset() as f64 / self.len.max(1) as f64 })
    }
}
