//! What the block layer was asked for, by the counters of the disk below a folder: everybody's requests on that disk.
//! Rules: the kernel's `Documentation/block/stat.rst`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Bytes of a sector in those counters, whatever the disk has.
const SECTOR: u64 = 512;

/// Counters that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Reads that were done, after neighbours were merged.
    pub reads: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Writes that were done.
    pub writes: u64,
    /// Their bytes.
    pub written_bytes: u64,
}

impl Requests {
    /// Those of the disk that holds `path` until now. Fails where the file system is no disk's.
    pub fn of(path: &Path) -> Result<Self> {
        let device = fs::metadata(path)?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let file = format!("/sys/dev/block/{major}:{minor}/stat");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        Self::parse(&text).with_context(|| format!("{file} has another form"))
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Option<Vec<u64>> =
            text.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
        let [reads, _, sectors_read, _, writes, _, sectors_written, ..] = words?[..] else {
            return None;
        };
        let (read_bytes, written_bytes) = (sectors_read * SECTOR, sectors_written * SECTOR);
        Some(Self { reads, read_bytes, writes, written_bytes })
    }

    /// What was asked for since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(before.reads),
            read_bytes: self.read_bytes.saturating_sub(before.read_bytes),
            writes: self.writes.saturating_sub(before.writes),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Requests;

    #[test]
    fn reads_and_writes_are_the_first_and_the_fifth_number() {
        let text = "  7 1 16 5 3 2 8 9 0 10 11 12 0 0 0 4 5\n";
        let found = Requests { reads: 7, read_bytes: 8192, writes: 3, written_bytes: 4096 };
        assert_eq!(Requests::parse(text), Some(found));
        assert_eq!(Requests::parse("7 1"), None);
    }
}
