//! Sorting entries that do not fit memory: runs that are sorted, written and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Entries of a run: 16 MiB.
const RUN: usize = 1 << 20;

/// Bytes that are read of a run at once when runs are merged. 300 runs, 300 million blocks, take 20 MB.
const MERGE_BUFFER: usize = 64 * 1024;

/// Where a section lies, and the key of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) key: u64,
    pub(super) at: u64,
}

impl Entry {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.at) << 64 | u128::from(self.key)).to_le_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8; 16]) -> Entry {
        let both = u128::from_le_bytes(*bytes);
        Entry { key: both as u64, at: (both >> 64) as u64 }
    }
}

/// Takes in entries in any order and gives them in the order of their keys.
#[derive(Debug)]
pub(super) struct Sorter {
    path: PathBuf,
    /// Runs that are written, one behind the other, each of [`RUN`] entries.
    written: Option<BufWriter<File>>,
    runs: u64,
    run: Vec<Entry>,
    run_len: usize,
}

impl Sorter {
    /// Writes to `path` when there is more than a run. The file is removed in the end.
    pub(super) fn new(path: PathBuf) -> Self {
        Sorter { path, written: None, runs: 0, run: Vec::new(), run_len: RUN }
    }

    pub(super) fn len(&self) -> u64 {
        self.runs * self.run_len as u64 + self.run.len() as u64
    }

    pub(super) fn push(&mut self, entry: Entry) -> io::Result<()> {
        self.run.push(entry);
        if self.run.len() < self.run_len {
            return Ok(());
        }
        self.run.sort_unstable();
        let out = match &mut self.written {
            Some(out) => out,
            none => {
                let mut how = File::options();
                let how = how.read(true).write(true).create(true).truncate(true);
                none.insert(BufWriter::with_capacity(1 << 20, how.open(&self.path)?))
            }
        };
        for entry in self.run.drain(..) {
            out.write_all(&entry.to_bytes())?;
        }
        self.runs += 1;
        Ok(())
    }

    /// Gives all entries in order.
    pub(super) fn for_each(
        mut self,
        each: &mut dyn FnMut(Entry) -> io::Result<()>,
    ) -> io::Result<()> {
        self.run.sort_unstable();
        let last = std::mem::take(&mut self.run);
        let Some(written) = self.written.take() else {
            return last.into_iter().try_for_each(each);
        };
        let file = Arc::new(written.into_inner().map_err(io::IntoInnerError::into_error)?);
        let mut runs: Vec<Run> = vec![Run::Memory(last.into_iter())];
        for number in 0..self.runs {
            let len = (self.run_len * 16) as u64;
            let part = Part { file: file.clone(), at: number * len, end: (number + 1) * len };
            runs.push(Run::File(BufReader::with_capacity(MERGE_BUFFER, part)));
        }
        merge(runs, each)
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        if self.runs > 0 || self.written.is_some() {
            // Best effort: what is left is a file that says in its name what it was.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

enum Run {
    Memory(std::vec::IntoIter<Entry>),
    File(BufReader<Part>),
}

impl Run {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        match self {
            Run::Memory(entries) => Ok(entries.next()),
            Run::File(part) => {
                let mut bytes = [0; 16];
                match part.read_exact(&mut bytes) {
                    Ok(()) => Ok(Some(Entry::from_bytes(&bytes))),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

/// A part of a file.
struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = self.file.read_at(buf.get_mut(..len).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn merge(mut runs: Vec<Run>, each: &mut dyn FnMut(Entry) -> io::Result<()>) -> io::Result<()> {
    let mut ahead = BinaryHeap::new();
    for (number, run) in runs.iter_mut().enumerate() {
        if let Some(entry) = run.next()? {
            ahead.push(Reverse((entry, number)));
        }
    }
    while let Some(Reverse((entry, number))) = ahead.pop() {
        each(entry)?;
        if let Some(run) = runs.get_mut(number)
            && let Some(next) = run.next()?
        {
            ahead.push(Reverse((next, number)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn entries_come_in_order_from_memory_and_from_many_runs() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0u64, 1, 9, 10, 11, 95] {
            let path = folder.path().join("runs");
            let mut sorter = Sorter::new(path.clone());
            sorter.run_len = 10;
            let entry = |i: u64| Entry { key: i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 64, at: i };
            let mut expected: Vec<Entry> = (0..count).map(entry).collect();
            expected.iter().for_each(|entry| sorter.push(*entry).unwrap());
            expected.sort_unstable();
            assert_eq!(sorter.len(), count);
            let mut sorted = Vec::new();
            let mut keep = |entry| {
                sorted.push(entry);
                Ok(())
            };
            sorter.for_each(&mut keep).unwrap();
            assert_eq!(sorted, expected);
            assert!(!path.exists(), "the runs are removed");
        }
    }
}
