//! An index of our own, in a file beside the CAR.
//!
//! Owns its format and when it is made anew. All numbers are little-endian.
//!
//! ```text
//! 0   16  "coldfront caridx"
//! 16   4  version, 1
//! 20   4  bits of a key that choose a bucket, b
//! 24   8  entries, n
//! 32   8  length of the CAR, in bytes
//! 40  16  time of its last change, in nanoseconds since 1970, signed
//! 56   8  where its sections begin
//! 64      2^b + 1 numbers of 8 bytes: the first entry of each bucket, and n
//! ...     n entries of 16 bytes, by key: the key, where the section begins in the CAR
//! ```
//!
//! A key is 64 bits of murmur3 of the multihash; a bucket is what its highest bits say.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use coldfront_flatfs::BlockFile;

use super::sort::{Entry, Sorter};
use super::{MAX_STRANGERS, Payload, Section, WouldWait, key_of, read_at, read_now};
use crate::block::{Cid, IDENTITY};
use crate::car::{CarError, CarFault, SECTION_HEAD_LEN};
use crate::error::StoreError;

const MAGIC: &[u8; 16] = b"coldfront caridx";
const VERSION: u32 = 1;
const HEAD_LEN: u64 = 64;
const ENTRY_LEN: u64 = 16;

/// Entries that a bucket should have, about: one small read.
const BUCKET: u64 = 64;
/// The most bits that choose a bucket: 2^24 of them serve a billion blocks.
const MAX_BITS: u32 = 24;

/// Entries of a bucket that are read at once.
const READ_ENTRIES: usize = 128;

/// Bytes of the CAR that are read at once when the index is made: many small sections, or the head of a
/// long one.
const SCAN: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct OwnIndex {
    file: BlockFile,
    bits: u32,
    entries: u64,
}

impl OwnIndex {
    /// Opens the index of a CAR; makes it where there is none, or one of another state of the CAR.
    pub(super) fn open_or_make(payload: &Payload, path: &Path) -> Result<Self, StoreError> {
        if let Some(index) = Self::open(payload, path) {
            return Ok(index);
        }
        make(payload, path)?;
        let failed = || io::Error::other("what was written is not what is read");
        Self::open(payload, path).ok_or_else(|| error(path, failed()))
    }

    /// `None` when there is no index, or none that belongs to this state of the CAR.
    fn open(payload: &Payload, path: &Path) -> Option<Self> {
        let file = BlockFile::open(path).ok()?;
        let mut head = [0; HEAD_LEN as usize];
        let read = read_at(&file, &mut head, 0).ok()?;
        let bits = u32::from_le_bytes(*head.get(20..)?.first_chunk()?);
        let entries = u64::from_le_bytes(*head.get(24..)?.first_chunk()?);
        let len = (bits <= MAX_BITS).then(|| file_len(bits, entries)).flatten()?;
        let fits =
            read == head.len() && file.len() == len && head == head_of(payload, bits, entries);
        fits.then_some(OwnIndex { file, bits, entries })
    }

    pub(super) fn find(&self, cid: &Cid, payload: &Payload) -> Result<Option<Section>, StoreError> {
        let key = key_of(cid);
        let read = |buf: &mut [u8], at| self.read(buf, at);
        let (start, end) = self.bucket(bucket_of(key, self.bits), &read)?;
        let end = end.min(self.entries);
        let mut at = self.narrow(key, start, end, &read)?;
        let mut bytes = [0; READ_ENTRIES * ENTRY_LEN as usize];
        let mut strangers = 0;
        while at < end {
            let count = (end - at).min(READ_ENTRIES as u64);
            let wanted = bytes.get_mut(..(count * ENTRY_LEN) as usize).unwrap_or_default();
            self.read(wanted, self.place_of(at))?;
            let (entries, _) = wanted.as_chunks::<{ ENTRY_LEN as usize }>();
            for entry in entries.iter().map(Entry::from_bytes) {
                if entry.key > key || strangers >= MAX_STRANGERS {
                    return Ok(None);
                }
                if entry.key == key {
                    if let Some(section) = payload.holds(cid, entry.at)? {
                        return Ok(Some(section));
                    }
                    strangers += 1;
                }
            }
            at += count;
        }
        Ok(None)
    }

    /// Whether no entry is of this CID, as far as the page cache tells; `None` when it does not suffice.
    pub(super) fn lacks_now(&self, cid: &Cid) -> Option<bool> {
        let key = key_of(cid);
        let read = |buf: &mut [u8], at| read_now(&self.file, buf, at).ok_or(WouldWait);
        let (start, end) = self.bucket(bucket_of(key, self.bits), &read).ok()?;
        let end = end.min(self.entries);
        let at = self.narrow(key, start, end, &read).ok()?;
        let count = end.saturating_sub(at).min(READ_ENTRIES as u64);
        let mut bytes = [0; READ_ENTRIES * ENTRY_LEN as usize];
        let wanted = bytes.get_mut(..(count * ENTRY_LEN) as usize)?;
        read(wanted, self.place_of(at)).ok()?;
        let (entries, _) = wanted.as_chunks::<{ ENTRY_LEN as usize }>();
        let mut keys = entries.iter().map(|entry| Entry::from_bytes(entry).key);
        let is_all = at + count >= end || keys.clone().next_back().is_some_and(|last| last > key);
        is_all.then(|| keys.all(|other| other != key))
    }

    /// An entry, at most [`READ_ENTRIES`] before the first of a key: where a bucket has more than can be read
    /// at once, the first is found by halving.
    fn narrow<E>(
        &self,
        key: u64,
        mut low: u64,
        end: u64,
        read: &impl Fn(&mut [u8], u64) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut high = end;
        while high.saturating_sub(low) > READ_ENTRIES as u64 {
            let middle = low + (high - low) / 2;
            let mut entry = [0; ENTRY_LEN as usize];
            read(&mut entry, self.place_of(middle))?;
            if Entry::from_bytes(&entry).key < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Where an entry lies in the file.
    fn place_of(&self, entry: u64) -> u64 {
        HEAD_LEN + table_len(self.bits) + entry * ENTRY_LEN
    }

    /// The first entry of a bucket, and the first behind it.
    fn bucket<E>(
        &self,
        number: u64,
        read: &impl Fn(&mut [u8], u64) -> Result<(), E>,
    ) -> Result<(u64, u64), E> {
        let mut both = [0; 16];
        read(&mut both, HEAD_LEN + number * 8)?;
        let Entry { key: start, at: end } = Entry::from_bytes(&both);
        Ok((start, end))
    }

    fn read(&self, buf: &mut [u8], at: u64) -> Result<(), StoreError> {
        let wanted = buf.len();
        match read_at(&self.file, buf, at) {
            Ok(read) if read == wanted => Ok(()),
            Ok(_) => Err(error(self.file.path(), io::ErrorKind::UnexpectedEof.into())),
            Err(source) => Err(error(self.file.path(), source)),
        }
    }
}

fn error(path: &Path, source: io::Error) -> StoreError {
    StoreError::CarIndex { path: path.display().to_string(), source }
}

fn bucket_of(key: u64, bits: u32) -> u64 {
    key.checked_shr(u64::BITS - bits).unwrap_or(0)
}

fn table_len(bits: u32) -> u64 {
    ((1 << bits) + 1) * 8
}

fn file_len(bits: u32, entries: u64) -> Option<u64> {
    entries.checked_mul(ENTRY_LEN)?.checked_add(HEAD_LEN + table_len(bits))
}

fn head_of(payload: &Payload, bits: u32, entries: u64) -> [u8; HEAD_LEN as usize] {
    let opened = payload.file.opened();
    let mut head = [0; HEAD_LEN as usize];
    let mut rest = &mut head[..];
    for part in [
        &MAGIC[..],
        &VERSION.to_le_bytes(),
        &bits.to_le_bytes(),
        &entries.to_le_bytes(),
        &opened.len.to_le_bytes(),
        &opened.mtime.to_le_bytes(),
        &payload.sections.to_le_bytes(),
    ] {
        // The parts are as long as the head.
        let _ = rest.write_all(part);
    }
    head
}

/// Reads a CAR from front to end and writes its index, under another name until it is whole.
fn make(payload: &Payload, path: &Path) -> Result<(), StoreError> {
    let failed = |source| error(path, source);
    let new = beside(path, "new");
    let mut sorter = Sorter::new(beside(path, "sort"));
    scan(payload, &mut |entry| sorter.push(entry).map_err(failed))?;
    let written = write(payload, sorter, &new).and_then(|()| std::fs::rename(&new, path));
    written.map_err(|source| {
        // Best effort: a half index is never taken for one, its length is wrong.
        let _ = std::fs::remove_file(&new);
        error(path, source)
    })
}

/// Another name in the same folder, that no other thread uses.
fn beside(path: &Path, what: &str) -> PathBuf {
    let (process, thread) = (std::process::id(), std::thread::current().id());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{what}.{process}.{thread:?}"));
    name.into()
}

/// Gives the place of every section to `each`. Reads heads; of long sections nothing else.
fn scan(
    payload: &Payload,
    each: &mut dyn FnMut(Entry) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut window = vec![0; SCAN];
    let (mut at, mut start, mut len) = (payload.sections, payload.sections, 0usize);
    // Where sections are long, their heads are all that is wanted.
    let mut wanted = SCAN;
    while at < payload.end {
        let behind = usize::try_from(at - start).unwrap_or(usize::MAX);
        let ahead = len.saturating_sub(behind);
        let left = usize::try_from(payload.end - at).unwrap_or(usize::MAX);
        let needed = SECTION_HEAD_LEN.min(left);
        if ahead < needed {
            let window = window.get_mut(..wanted).unwrap_or_default();
            (start, len) = (at, payload.read(window, at)?);
            if len < needed {
                let fault = CarFault::Cut(payload.end - at);
                return Err(payload.error(CarError::Format { at, fault }));
            }
            continue;
        }
        let head = window.get(behind..len).unwrap_or_default();
        let (section_len, section) = payload.section_in(head, at)?;
        // Identity blocks are answered from their CIDs.
        if section.cid.hash().code() != IDENTITY {
            each(Entry { key: key_of(&section.cid), at })?;
        }
        wanted = if section_len < SCAN as u64 { SCAN } else { SECTION_HEAD_LEN };
        at += section_len;
    }
    Ok(())
}

fn write(payload: &Payload, sorter: Sorter, path: &Path) -> io::Result<()> {
    let entries = sorter.len();
    let wanted = entries.div_ceil(BUCKET).next_power_of_two().trailing_zeros();
    let bits = wanted.min(MAX_BITS);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    out.write_all(&head_of(payload, bits, entries))?;
    out.seek(SeekFrom::Start(HEAD_LEN + table_len(bits)))?;
    // The table is written beside the entries, by a handle of its own.
    let mut table = BufWriter::new(File::options().write(true).open(path)?);
    table.seek(SeekFrom::Start(HEAD_LEN))?;
    let (mut started, mut number) = (0, 0u64);
    sorter.for_each(&mut |entry| {
        while started <= bucket_of(entry.key, bits) {
            table.write_all(&number.to_le_bytes())?;
            started += 1;
        }
        number += 1;
        out.write_all(&entry.to_bytes())
    })?;
    for _ in started..=1 << bits {
        table.write_all(&entries.to_le_bytes())?;
    }
    table.flush()?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bucket_of_any_size_is_searched_by_halving() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i");
        // One bucket of 50,000 entries: the keys 0, 3, 6 and so on.
        let mut bytes = vec![0; HEAD_LEN as usize];
        bytes.extend([0u64, 50_000].map(u64::to_le_bytes).concat());
        (0..50_000u64).for_each(|i| bytes.extend(Entry { key: 3 * i, at: i }.to_bytes()));
        std::fs::write(&path, bytes).unwrap();
        let index = OwnIndex { file: BlockFile::open(&path).unwrap(), bits: 0, entries: 50_000 };
        for key in [0, 1, 2, 3, 74_999, 75_000, 149_997, 149_998, u64::MAX] {
            let first = key.div_ceil(3).min(50_000);
            let read = |buf: &mut [u8], at| index.read(buf, at);
            let low = index.narrow(key, 0, 50_000, &read).unwrap();
            assert!(low <= first && first - low <= READ_ENTRIES as u64, "{key}: {low} {first}");
        }
    }
}
