//! Writes a store that goleveldb opens: pairs in a journal, which it turns into tables when it first opens it.
//!
//! Owns the few bytes that this takes. Must not know what the pairs mean. No table is written, so pairs may come in any
//! order. Rules: LevelDB `doc/log_format.md`; goleveldb `leveldb/session_record.go` (manifest) and `leveldb/batch.go`.
//!
//! ```text
//! CURRENT          "MANIFEST-000001\n"
//! MANIFEST-000001  one record: 1 comparer, 2 journal (2), 3 next file (3), 4 last sequence (0); varints
//! 000002.log       records: sequence u64, count u32, then for each pair: 1, varint length, key, varint length, value
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::unixfs::wire::put_varint;

/// Bytes of pairs that are put into one record. goleveldb holds one in memory when it replays.
const BATCH_LEN: usize = 1024 * 1024;

/// Length of a block of a log, within which chunks stay.
const BLOCK_LEN: usize = 32 * 1024;

/// Length of a chunk's header: checksum, length, type.
const HEADER_LEN: usize = 7;

const COMPARER: &[u8] = b"leveldb.BytewiseComparator";

/// A store that is being written into a folder of its own.
#[derive(Debug)]
pub(super) struct LevelDbWriter {
    folder: PathBuf,
    journal: Log,
    /// Pairs of the record at hand.
    batch: Vec<u8>,
    count: u32,
    /// Pairs in records before.
    sequence: u64,
}

impl LevelDbWriter {
    /// Begins a store in a folder that is made here and must not be there yet.
    pub(super) fn create(folder: &Path) -> io::Result<LevelDbWriter> {
        fs::create_dir(folder)?;
        let journal = Log::create(&folder.join("000002.log"))?;
        let folder = folder.to_owned();
        Ok(LevelDbWriter { folder, journal, batch: Vec::new(), count: 0, sequence: 0 })
    }

    /// Adds a pair. Of two with the same key the later one counts.
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        /// What makes a record a pair and not a removal.
        const PUT: u8 = 1;
        self.batch.push(PUT);
        for bytes in [key, value] {
            put_varint(&mut self.batch, bytes.len() as u64);
            self.batch.extend_from_slice(bytes);
        }
        self.count += 1;
        if self.batch.len() >= BATCH_LEN { self.write_batch() } else { Ok(()) }
    }

    /// Ends the store; durable on return, but for the name of its folder.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.write_batch()?;
        self.journal.finish()?;
        let mut manifest = Log::create(&self.folder.join("MANIFEST-000001"))?;
        manifest.put(&manifest_record())?;
        manifest.finish()?;
        // ORDER: what makes it a store comes last.
        let mut current = File::create(self.folder.join("CURRENT"))?;
        current.write_all(b"MANIFEST-000001\n")?;
        current.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    fn write_batch(&mut self) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let mut record = Vec::with_capacity(12 + self.batch.len());
        record.extend_from_slice(&(self.sequence + 1).to_le_bytes());
        record.extend_from_slice(&self.count.to_le_bytes());
        record.append(&mut self.batch);
        self.sequence += u64::from(std::mem::take(&mut self.count));
        self.journal.put(&record)
    }
}

fn manifest_record() -> Vec<u8> {
    let mut record = vec![1];
    put_varint(&mut record, COMPARER.len() as u64);
    record.extend_from_slice(COMPARER);
    for (tag, number) in [(2, 2), (3, 3), (4, 0)] {
        record.extend_from_slice(&[tag, number]);
    }
    record
}

/// A log of records, cut into chunks.
#[derive(Debug)]
struct Log {
    out: BufWriter<File>,
    /// Bytes of the block at hand that are taken.
    taken: usize,
}

impl Log {
    fn create(path: &Path) -> io::Result<Log> {
        Ok(Log { out: BufWriter::with_capacity(256 * 1024, File::create_new(path)?), taken: 0 })
    }

    fn put(&mut self, record: &[u8]) -> io::Result<()> {
        let (mut rest, mut first) = (record, true);
        loop {
            if BLOCK_LEN - self.taken < HEADER_LEN {
                let padding = [0; HEADER_LEN];
                self.out.write_all(padding.get(..BLOCK_LEN - self.taken).unwrap_or_default())?;
                self.taken = 0;
            }
            let room = BLOCK_LEN - self.taken - HEADER_LEN;
            let (chunk, behind) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            // 1 whole, 2 first, 3 middle, 4 last
            let kind = match (first, behind.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            self.chunk(kind, chunk)?;
            (rest, first) = (behind, false);
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn chunk(&mut self, kind: u8, data: &[u8]) -> io::Result<()> {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), data);
        // A chunk is shorter than a block, 32 KiB.
        let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
        self.out.write_all(&masked(checksum).to_le_bytes())?;
        self.out.write_all(&len.to_le_bytes())?;
        self.out.write_all(&[kind])?;
        self.out.write_all(data)?;
        self.taken += HEADER_LEN + data.len();
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// Checksums lie in files in this form, so that one over bytes that hold one is not its own.
fn masked(checksum: u32) -> u32 {
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}
