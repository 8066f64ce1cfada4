//! A file of cached blocks.
//!
//! Owns its bytes. A segment is written from front to end and never changed; when it is full its index is put behind
//! the blocks and both are synced. One without an index was being written when the process died, and nobody can tell
//! what a power cut left of it. All integers are big-endian.
//!
//! ```text
//! records   length of the data (4), length of the multihash (1), multihash, data
//! index     for each: hash of the multihash (8), where the record begins (4), length of the data (4)
//! end       where the index begins (8), number of records (4), "cold" (4)
//! ```

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::block::MAX_BLOCK_LEN;

pub(super) const SUFFIX: &str = ".blocks";
const END_LEN: u64 = 16;
const ENTRY_LEN: u64 = 16;
const END_MAGIC: &[u8; 4] = b"cold";

/// Where a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    /// Where its record begins.
    at: u32,
    /// Bytes of its data.
    len: u32,
}

/// A segment, sealed or being written.
#[derive(Debug)]
pub(super) struct Segment {
    number: u32,
    file: Arc<File>,
    /// Bytes of records.
    len: u64,
    /// Keys of its blocks; with their places, while it is being written.
    keys: Vec<u64>,
    places: Vec<(u32, u32)>,
    is_sealed: bool,
}

/// What the index of a segment says.
type Entries = Vec<(u64, Place)>;

pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08}{SUFFIX}"))
}

pub(super) fn record_len(multihash: &[u8], data: &[u8]) -> u64 {
    5 + multihash.len() as u64 + data.len() as u64
}

/// What stands in front of a block's data.
fn head(multihash: &[u8], len: u32) -> Vec<u8> {
    let mut head = len.to_be_bytes().to_vec();
    // No multihash here is longer than 149 bytes.
    head.push(u8::try_from(multihash.len()).unwrap_or(u8::MAX));
    head.extend_from_slice(multihash);
    head
}

impl Segment {
    pub(super) fn create(path: &Path, number: u32) -> io::Result<Segment> {
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(path)?;
        let file = Arc::new(file);
        let (keys, places) = (Vec::new(), Vec::new());
        Ok(Segment { number, file, len: 0, keys, places, is_sealed: false })
    }

    /// Opens a sealed one; `None` for any other.
    pub(super) fn open(path: &Path, number: u32) -> io::Result<Option<(Segment, Entries)>> {
        let file = File::open(path)?;
        let file_len = file.metadata()?.len();
        let Some(end_at) = file_len.checked_sub(END_LEN) else { return Ok(None) };
        let mut end = [0; END_LEN as usize];
        file.read_exact_at(&mut end, end_at)?;
        let ([len, rest], []) = end.as_chunks::<8>() else { return Ok(None) };
        let ([count, magic], []) = rest.as_chunks::<4>() else { return Ok(None) };
        let (len, count) = (u64::from_be_bytes(*len), u64::from(u32::from_be_bytes(*count)));
        if magic != END_MAGIC || len.checked_add(count * ENTRY_LEN) != Some(end_at) {
            return Ok(None);
        }
        let mut index = vec![0; usize::try_from(count * ENTRY_LEN).unwrap_or(0)];
        file.read_exact_at(&mut index, len)?;
        let entries: Entries =
            index.as_chunks::<16>().0.iter().map(|row| entry(row, number)).collect();
        let keys = entries.iter().map(|(key, _)| *key).collect();
        let file = Arc::new(file);
        let segment = Segment { number, file, len, keys, places: Vec::new(), is_sealed: true };
        Ok(Some((segment, entries)))
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// With the index that it will have.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        self.len + self.keys.len() as u64 * ENTRY_LEN + END_LEN
    }

    pub(super) fn has_room(&self, more: u64, bound: u64) -> bool {
        !self.is_sealed && self.bytes_on_disk() + more + ENTRY_LEN <= bound
    }

    pub(super) fn append(&mut self, key: u64, multihash: &[u8], data: &[u8]) -> io::Result<Place> {
        let len = u32::try_from(data.len()).map_err(io::Error::other)?;
        let at = u32::try_from(self.len).map_err(io::Error::other)?;
        let head = head(multihash, len);
        // What fails in the middle is written over by the next.
        self.file.write_all_at(&head, self.len)?;
        self.file.write_all_at(data, self.len + head.len() as u64)?;
        self.len += head.len() as u64 + u64::from(len);
        self.keys.push(key);
        self.places.push((at, len));
        Ok(Place { segment: self.number, at, len })
    }

    /// Writes the index, and makes all of it durable.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        if self.is_sealed {
            return Ok(());
        }
        let mut index = Vec::with_capacity(self.keys.len() * ENTRY_LEN as usize);
        for (key, (at, len)) in self.keys.iter().zip(&self.places) {
            index.extend_from_slice(&key.to_be_bytes());
            index.extend_from_slice(&at.to_be_bytes());
            index.extend_from_slice(&len.to_be_bytes());
        }
        let mut end = self.len.to_be_bytes().to_vec();
        end.extend_from_slice(&u32::try_from(self.keys.len()).unwrap_or(0).to_be_bytes());
        end.extend_from_slice(END_MAGIC);
        let end_at = self.len + index.len() as u64;
        self.file.write_all_at(&index, self.len)?;
        // ORDER: the end says that what is before it is there.
        self.file.sync_data()?;
        self.file.write_all_at(&end, end_at)?;
        self.file.set_len(end_at + END_LEN)?;
        self.file.sync_data()?;
        self.is_sealed = true;
        self.places = Vec::new();
        Ok(())
    }
}

fn entry(row: &[u8; 16], segment: u32) -> (u64, Place) {
    let whole = u128::from_be_bytes(*row);
    ((whole >> 64) as u64, Place { segment, at: (whole >> 32) as u32, len: whole as u32 })
}

/// The data of a block; `None` when another block lies there. One read.
pub(super) fn read(file: &File, place: Place, multihash: &[u8]) -> io::Result<Option<Bytes>> {
    if u64::from(place.len) > MAX_BLOCK_LEN {
        return Ok(None);
    }
    let head = head(multihash, place.len);
    let mut record = vec![0; head.len() + place.len as usize];
    match file.read_exact_at(&mut record, u64::from(place.at)) {
        Ok(()) => {}
        // Another one may be shorter by its multihash.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    if !record.starts_with(&head) {
        return Ok(None);
    }
    Ok(Some(Bytes::from(record).slice(head.len()..)))
}
