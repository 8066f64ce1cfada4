//! Value logs of Badger 1: entries one after the other, each with its checksum; the journal of the store, and where most
//! of its values stay. Rules: Badger 1.6 `value.go`, `structs.go`.

use std::collections::BTreeMap;

use super::MOVED;
use super::value::{Pointer, Stored, split_key};
use crate::Pair;
use crate::block::MAX_BLOCK_LEN;
use crate::error::{Error, Fault, Notes};
use crate::journal::Journal;
use crate::parse::Parser;
use crate::source::SourceFile;

/// Length of what stands before an entry's key.
const HEADER_LEN: usize = 18;

/// Length of the checksum behind an entry.
const CHECKSUM_LEN: usize = 4;

/// Longest key that Badger writes, with its version.
const MAX_KEY_LEN: usize = 1 << 16;

/// Longest value that is held in memory at replay; longer ones are read from the log when they are asked for.
const MAX_HELD_LEN: usize = 64;

/// The entry belongs to a transaction, or ends one.
const IN_TRANSACTION: u8 = 0x40;
const ENDS_TRANSACTION: u8 = 0x80;

const WHAT: &str = "value log entry";

/// An open value log.
#[derive(Debug)]
pub(super) struct VLog {
    file: SourceFile,
    id: u64,
}

/// An entry of a value log, whole.
struct Entry {
    flags: u8,
    expires: u64,
    /// Key and value, then the checksum.
    bytes: Vec<u8>,
    key_len: usize,
    value_len: usize,
    len: u64,
}

/// The lengths that an entry's header claims.
struct Header {
    key_len: usize,
    value_len: usize,
    expires: u64,
    flags: u8,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Header, Fault> {
        let mut parser = Parser::new(bytes, WHAT);
        let (key_len, value_len) = (parser.u32_be()? as usize, parser.u32_be()? as usize);
        let header = Header { key_len, value_len, expires: parser.u64_be()?, flags: parser.u8()? };
        if header.key_len > MAX_KEY_LEN {
            return Err(parser.fault());
        }
        if header.value_len > MAX_BLOCK_LEN {
            let (len, max) = (header.value_len as u64, MAX_BLOCK_LEN as u64);
            return Err(Fault::TooLong { what: "value", len, max });
        }
        Ok(header)
    }

    fn body_len(&self) -> usize {
        self.key_len + self.value_len + CHECKSUM_LEN
    }
}

impl Entry {
    fn key(&self) -> &[u8] {
        self.bytes.get(..self.key_len).unwrap_or_default()
    }

    fn value(&self) -> &[u8] {
        self.bytes.get(self.key_len..self.key_len + self.value_len).unwrap_or_default()
    }
}

impl VLog {
    pub(super) fn new(file: SourceFile, id: u64) -> Self {
        VLog { file, id }
    }

    /// The entry at `offset`. Two reads.
    fn entry(&self, offset: u64) -> Result<Entry, Error> {
        let head = self.file.read(offset, HEADER_LEN, WHAT)?;
        let header = Header::parse(&head).map_err(|fault| fault.at(self.file.path(), offset))?;
        let body_at = offset + HEADER_LEN as u64;
        let bytes = self.file.read(body_at, header.body_len(), WHAT);
        let bytes = bytes.map_err(|error| match error {
            // The entry is what is cut, not its body.
            Error::Damaged { path, fault, .. } => Error::Damaged { path, offset, fault },
            other => other,
        })?;
        let checked = bytes.split_last_chunk::<CHECKSUM_LEN>().is_some_and(|(body, checksum)| {
            crc32c::crc32c_append(crc32c::crc32c(&head), body) == u32::from_be_bytes(*checksum)
        });
        if !checked {
            return Err(Fault::Checksum(WHAT).at(self.file.path(), offset));
        }
        Ok(Entry {
            flags: header.flags,
            expires: header.expires,
            len: (HEADER_LEN + bytes.len()) as u64,
            bytes,
            key_len: header.key_len,
            value_len: header.value_len,
        })
    }

    /// Where the entry behind a broken one begins, if the broken one's header says so and a whole entry is there.
    fn entry_behind(&self, offset: u64) -> Option<u64> {
        let head = self.file.read(offset, HEADER_LEN, WHAT).ok()?;
        let next = offset + (HEADER_LEN + Header::parse(&head).ok()?.body_len()) as u64;
        self.entry(next).ok().map(|_| next)
    }

    /// The value that a pointer leads to; fails unless the entry there is that of `key` at `version`.
    pub(super) fn fetch(
        &self,
        pointer: Pointer,
        key: &[u8],
        version: u64,
    ) -> Result<Vec<u8>, Error> {
        let offset = u64::from(pointer.offset);
        self.file.is_read_here_and_there();
        let entry = self.entry(offset)?;
        let right = entry.len == u64::from(pointer.len)
            && split_key(entry.key()).is_ok_and(|found| found == (key, version));
        if !right {
            return Err(Fault::Malformed("value log: it holds another entry there")
                .at(self.file.path(), offset));
        }
        let mut bytes = entry.bytes;
        bytes.truncate(entry.key_len + entry.value_len);
        bytes.drain(..entry.key_len);
        Ok(bytes)
    }
}

/// What replay fills: the newest entry of each key, and moved values by key and version.
type Replayed<'a> = (&'a mut Journal, &'a mut BTreeMap<(Vec<u8>, u64), Vec<u8>>);

/// Adds what a value log holds from `from` on. `last` is the newest, which alone may end in the middle of a write.
pub(super) fn replay(
    log: &VLog,
    from: u64,
    last: bool,
    salvage: bool,
    into: Replayed<'_>,
    notes: &mut Notes,
) -> Result<(), Error> {
    let mut replay = Replay { log, into, transaction: None };
    let path = log.file.path();
    let mut at = from;
    while at < log.file.len() {
        let broken = match log
            .entry(at)
            .and_then(|entry| replay.take(&entry, at).map(|()| entry.len))
        {
            Ok(len) => {
                at += len;
                continue;
            }
            Err(error @ (Error::Io { .. } | Error::JournalTooLarge { .. })) => return Err(error),
            Err(broken) => broken,
        };
        replay.transaction = None;
        let next = log.entry_behind(at);
        if last && next.is_none() {
            notes.push(Error::TornTail { path: path.to_owned(), offset: at });
            return Ok(());
        }
        if !salvage {
            return Err(broken);
        }
        notes.push(broken);
        match next {
            Some(next) => at = next,
            None => return Ok(()),
        }
    }
    if replay.transaction.is_none() {
        return Ok(());
    }
    // The file ends between the entries of a transaction.
    let (path, offset) = (path.to_owned(), log.file.len());
    let cut = Error::Damaged { path: path.clone(), offset, fault: Fault::Cut("transaction") };
    match (last, salvage) {
        (true, _) => notes.push(Error::TornTail { path, offset }),
        (false, true) => notes.push(cut),
        (false, false) => return Err(cut),
    }
    Ok(())
}

/// A replay under way.
struct Replay<'a> {
    log: &'a VLog,
    into: Replayed<'a>,
    /// Version and entries of a transaction that has not ended.
    transaction: Option<(u64, Vec<Pair>)>,
}

impl Replay<'_> {
    /// Takes the entry at `offset`: at once, or when its transaction ends.
    fn take(&mut self, entry: &Entry, offset: u64) -> Result<(), Error> {
        let out_of_turn =
            || Fault::Malformed("order of transactions").at(self.log.file.path(), offset);
        if entry.flags & ENDS_TRANSACTION != 0 {
            let ended = str::from_utf8(entry.value()).ok().and_then(|text| text.parse().ok());
            let Some((version, entries)) = self.transaction.take() else {
                return Err(out_of_turn());
            };
            if ended != Some(version) {
                return Err(out_of_turn());
            }
            return entries
                .into_iter()
                .try_for_each(|(key, stored)| self.put(&key, offset, stored));
        }
        let at = |fault: Fault| fault.at(self.log.file.path(), offset);
        let (_, version) = split_key(entry.key()).map_err(at)?;
        let stored = self.stored(entry, offset);
        if entry.flags & IN_TRANSACTION == 0 {
            if self.transaction.is_some() {
                return Err(out_of_turn());
            }
            return self.put(entry.key(), offset, stored);
        }
        if self.transaction.as_ref().is_some_and(|(open, _)| *open != version) {
            return Err(out_of_turn());
        }
        let (_, entries) = self.transaction.get_or_insert_with(|| (version, Vec::new()));
        self.into.0.reserve(entry.key_len + stored.len(), self.log.file.path())?;
        entries.push((entry.key().to_vec(), stored));
        Ok(())
    }

    /// How a table would store the entry.
    fn stored(&self, entry: &Entry, offset: u64) -> Vec<u8> {
        let points = entry.value_len > MAX_HELD_LEN;
        let pointer = || -> Option<Vec<u8>> {
            let (file, len) = (u32::try_from(self.log.id).ok()?, u32::try_from(entry.len).ok()?);
            Some(Pointer { file, len, offset: u32::try_from(offset).ok()? }.encode())
        };
        match pointer().filter(|_| points) {
            Some(pointer) => Stored::encode(entry.flags, entry.expires, &pointer, true),
            None => Stored::encode(entry.flags, entry.expires, entry.value(), false),
        }
    }

    fn put(&mut self, stored_key: &[u8], offset: u64, stored: Vec<u8>) -> Result<(), Error> {
        let path = self.log.file.path();
        let (key, version) = split_key(stored_key).map_err(|fault| fault.at(path, offset))?;
        self.into.0.reserve(0, path)?;
        if key.starts_with(MOVED) {
            self.into.0.reserve(key.len() + stored.len(), path)?;
            self.into.1.insert((key.to_vec(), version), stored);
        } else {
            self.into.0.put(version, crate::entry::Op::Set, key, &stored);
        }
        Ok(())
    }
}
