//! The order of a store of pairs: by key, in which its tables lie.
//!
//! Owns how far a walk is, whether the store was written since, and which of its tables were copied before.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use coldfront_pebble::{Scan, Store};

use super::{At, Counted, MARK_EVERY, Order, Step, Wanted, labelled};
use crate::block::IDENTITY;
use crate::kubo::block_name;
use crate::migrate::error::MigrateError;
use crate::migrate::mark;
use crate::migrate::report::{Fault, FaultKind};
use crate::migrate::source::chain;
use crate::store::hot::Records;

/// Tables that are remembered as copied, 24 bytes each. A store with more is read whole whenever it was written.
const MAX_TABLES: usize = 1 << 20;

/// A store of pairs, by key.
pub(in crate::migrate) struct PairsOrder<'a> {
    scan: Scan<'a>,
    store: &'a Store,
    /// Tables that are passed over, until that is told.
    skipped: u64,
    folder: &'a Path,
    prefix: &'a str,
    fingerprint: u64,
    /// The key that was done before, and is left out.
    behind: Vec<u8>,
    last: Vec<u8>,
    since_mark: usize,
    bytes: u64,
    total: u64,
    ended: bool,
    /// Why the walk ended early: what lies behind is not read without salvage.
    pub(in crate::migrate) broken: Option<String>,
}

impl<'a> PairsOrder<'a> {
    /// Goes on behind the last key done, unless the store was written since. `None` when everything is done.
    pub(in crate::migrate) fn new(
        store: &'a Store,
        folder: &'a Path,
        prefix: &'a str,
        records: &Records,
    ) -> Result<Option<Self>, MigrateError> {
        let (fingerprint, total) = fingerprint(folder)?;
        let mut behind = Vec::new();
        if let Some(record) = records.get(mark::PAIRS)?
            && let Some((found, rest)) = record.split_first_chunk::<8>()
            && u64::from_be_bytes(*found) == fingerprint
            && let Some((done, key)) = rest.split_first()
        {
            if *done == 1 {
                return Ok(None);
            }
            behind = key.to_vec();
        }
        let seen = seen_tables(store, records)?;
        let total = total.saturating_sub(seen.iter().map(|table| table.len).sum());
        let seen: BTreeSet<u64> = seen.into_iter().map(|table| table.number).collect();
        let from = if behind.is_empty() { prefix.as_bytes() } else { &behind };
        Ok(Some(PairsOrder {
            scan: store.scan_unseen(from, &seen),
            store,
            skipped: seen.len() as u64,
            folder,
            prefix,
            fingerprint,
            last: behind.clone(),
            behind,
            since_mark: 0,
            bytes: 0,
            total,
            ended: false,
            broken: None,
        }))
    }

    fn mark(&mut self, done: bool) -> Step {
        self.since_mark = 0;
        let mut value = self.fingerprint.to_be_bytes().to_vec();
        value.push(u8::from(done));
        value.extend_from_slice(&self.last);
        let mut changes = vec![(mark::PAIRS.to_vec(), Some(value))];
        if done {
            let tables: Vec<u8> = tables(self.store).iter().flat_map(SeenTable::bytes).collect();
            changes.push((mark::TABLES.to_vec(), Some(tables)));
        }
        Step::Mark(changes)
    }

    fn pair(&mut self, key: Vec<u8>, value: Vec<u8>) -> Step {
        self.since_mark += value.len() + key.len();
        self.bytes += (value.len() + key.len()) as u64;
        let text = key.get(self.prefix.len()..).unwrap_or_default();
        let place = format!("{} {}", self.folder.display(), String::from_utf8_lossy(&key));
        let step = match block_name(text) {
            None => {
                let detail = "no block has this name; its bytes are not copied".to_owned();
                let kind = FaultKind::Misnamed;
                Step::Bad(Box::new(Fault { kind, place, cid: None, detail }))
            }
            Some(name) if name.cid.hash().code() == IDENTITY => Step::Count(Counted::Identity, 1),
            Some(name) => {
                let wanted = Wanted::new(labelled(name), At::Given(place.into()));
                Step::Have(Box::new(wanted), value.into())
            }
        };
        self.last = key;
        step
    }
}

impl Order for PairsOrder<'_> {
    fn next(&mut self) -> Result<Option<Step>, MigrateError> {
        if self.ended {
            return Ok(None);
        }
        if self.skipped > 0 {
            return Ok(Some(Step::Count(
                Counted::TablesSkipped,
                std::mem::take(&mut self.skipped),
            )));
        }
        if self.since_mark >= MARK_EVERY {
            return Ok(Some(self.mark(false)));
        }
        match self.scan.next() {
            Some(Ok((key, _))) if key == self.behind => self.next(),
            Some(Ok((key, value))) if key.starts_with(self.prefix.as_bytes()) => {
                Ok(Some(self.pair(key, value)))
            }
            Some(Err(error)) => {
                // Told again by the next attempt, which is with salvage where this one was not.
                let (kind, place) = (FaultKind::Unreadable, error_place(&error, self.folder));
                let detail = chain(&error);
                self.broken = Some(detail.clone());
                Ok(Some(Step::Bad(Box::new(Fault { kind, place, cid: None, detail }))))
            }
            Some(Ok(_)) | None => {
                self.ended = true;
                Ok(Some(self.mark(self.broken.is_none())))
            }
        }
    }

    fn done(&self) -> Option<f64> {
        if self.ended {
            return Some(1.0);
        }
        Some((self.bytes as f64 / self.total.max(1) as f64).min(0.99))
    }
}

fn error_place(error: &coldfront_pebble::Error, folder: &Path) -> String {
    match error {
        coldfront_pebble::Error::Damaged { path, offset, .. } => {
            format!("{} at byte {offset}", path.display())
        }
        _ => folder.display().to_string(),
    }
}

/// A table that is copied: a file that never changes, so it is still the same while its length and time are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeenTable {
    number: u64,
    len: u64,
    changed: i64,
}

impl SeenTable {
    fn bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let fields =
            [self.number.to_be_bytes(), self.len.to_be_bytes(), self.changed.to_be_bytes()];
        bytes.chunks_exact_mut(8).zip(fields).for_each(|(at, field)| at.copy_from_slice(&field));
        bytes
    }
}

/// The tables of a store as they are now; none where there are too many to be remembered. One `stat` each.
fn tables(store: &Store) -> Vec<SeenTable> {
    let all = store.tables();
    if all.len() > MAX_TABLES {
        return Vec::new();
    }
    let known = all.into_iter().filter_map(|(number, path)| {
        let stat = fs::metadata(path).ok()?;
        let changed = stat.mtime().wrapping_mul(1_000_000_000).wrapping_add(stat.mtime_nsec());
        Some(SeenTable { number, len: stat.len(), changed })
    });
    known.collect()
}

/// Those of them that an earlier run has copied to the end.
fn seen_tables(store: &Store, records: &Records) -> Result<Vec<SeenTable>, MigrateError> {
    let Some(record) = records.get(mark::TABLES)? else { return Ok(Vec::new()) };
    let seen: BTreeSet<&[u8]> = record.chunks_exact(24).collect();
    let mut tables = tables(store);
    tables.retain(|table| seen.contains(&table.bytes()[..]));
    Ok(tables)
}

/// A number that differs once a stopped store was written, and the bytes of its files. One `stat` a file.
fn fingerprint(folder: &Path) -> Result<(u64, u64), MigrateError> {
    let failed = |source| MigrateError::Io { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let stat = entry.metadata().map_err(failed)?;
        files.push((entry.file_name(), stat.len(), stat.mtime(), stat.mtime_nsec()));
    }
    files.sort();
    let total = files.iter().map(|(_, len, ..)| len).sum();
    // FNV-1a: the same in every process, and no one gains by a collision.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for (name, len, seconds, nanoseconds) in &files {
        mix(name.as_bytes());
        mix(&[0]);
        mix(&len.to_be_bytes());
        mix(&seconds.to_be_bytes());
        mix(&nanoseconds.to_be_bytes());
    }
    Ok((hash, total))
}
