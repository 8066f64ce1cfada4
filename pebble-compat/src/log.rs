//! Record logs, the framing that LevelDB and Pebble share for journals and manifests: blocks of 32 KiB, records cut into
//! chunks that never straddle a block. Knows nothing of what records mean.
//!
//! Rules: LevelDB `doc/log_format.md`; Pebble's chunks with a log number (for files that are used again) and with a sync
//! offset as well.

use crate::checksum::masked;
use crate::error::{Error, Fault};
use crate::parse::Parser;
use crate::source::SourceFile;

/// Length of a block, within which chunks stay.
pub(crate) const BLOCK_LEN: usize = 32 << 10;

/// Longest record that is put together. Pebble's own batches end at 4 GiB, those of Kubo at 16 MiB and one block.
pub(crate) const MAX_RECORD_LEN: usize = 128 << 20;

/// Length of the shortest chunk header: checksum, length, type.
const HEADER_LEN: usize = 7;

/// What can stand at the next place of a log.
#[derive(Debug)]
pub(crate) enum Step {
    /// A whole record, now in the reader's `record`.
    Record,
    /// The log ends here, after a whole record.
    End,
    /// What stands here is no record. The reader stands still until [`LogReader::resume`].
    Broken(Broken),
}

/// A place where a log cannot be read on.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Where it is in the file.
    pub(crate) offset: u64,
    /// What is wrong.
    pub(crate) fault: Fault,
    /// Whether this is how a write looks that a crash cut short: the file ends, or goes on with zeros or with what it
    /// held before it was used again.
    pub(crate) torn: bool,
}

/// Where a chunk stands in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Full,
    First,
    Middle,
    Last,
}

/// One chunk of the block in memory: offsets in that block.
struct Chunk {
    position: Position,
    payload: std::ops::Range<usize>,
}

/// What a look at the next chunk found.
enum Look {
    Chunk(Chunk),
    /// Nothing more in this block.
    BlockEnd,
    /// The mark that Pebble leaves when it closes a log.
    Closed,
    /// No chunk; `next` is where the one after it would begin.
    Bad {
        fault: Fault,
        torn: bool,
        next: Option<usize>,
    },
}

/// Reads the records of one log in order. Holds one block and one record.
#[derive(Debug)]
pub(crate) struct LogReader {
    file: SourceFile,
    /// The low bits of the file's number, which chunks repeat in files that are used again.
    number: u32,
    block: Vec<u8>,
    block_at: u64,
    pos: usize,
    record: Vec<u8>,
    /// Whether a record was begun and not ended.
    partial: bool,
    /// Whether chunks are passed over until one begins a record.
    skipping: bool,
}

impl LogReader {
    /// A reader of `file`, which has the number `number` in its name.
    pub(crate) fn new(file: SourceFile, number: u64) -> Self {
        LogReader {
            file,
            number: (number & u64::from(u32::MAX)) as u32,
            block: Vec::new(),
            block_at: 0,
            pos: 0,
            record: Vec::new(),
            partial: false,
            skipping: false,
        }
    }

    pub(crate) fn file(&self) -> &SourceFile {
        &self.file
    }

    /// The record that the last [`Step::Record`] found.
    pub(crate) fn record(&self) -> &[u8] {
        &self.record
    }

    /// Where the next chunk begins.
    pub(crate) fn offset(&self) -> u64 {
        self.block_at + self.pos as u64
    }

    /// Reads the next record.
    pub(crate) fn step(&mut self) -> Result<Step, Error> {
        self.record.clear();
        self.partial = false;
        loop {
            match self.look() {
                Look::BlockEnd => {
                    if !self.load_next_block()? {
                        return Ok(self.at_end());
                    }
                }
                Look::Closed if !self.partial => return Ok(Step::End),
                Look::Closed => return Ok(self.broken(Fault::Cut("record"), true)),
                Look::Bad { fault, torn, .. } => return Ok(self.broken(fault, torn)),
                Look::Chunk(chunk) => {
                    if let Some(step) = self.append(&chunk) {
                        return Ok(step);
                    }
                }
            }
        }
    }

    fn at_end(&self) -> Step {
        if self.partial { self.broken(Fault::Cut("record"), true) } else { Step::End }
    }

    fn broken(&self, fault: Fault, torn: bool) -> Step {
        Step::Broken(Broken { offset: self.offset(), fault, torn })
    }

    /// Adds a chunk to the record. `None` when more is needed.
    fn append(&mut self, chunk: &Chunk) -> Option<Step> {
        let begins = matches!(chunk.position, Position::Full | Position::First);
        if !begins && self.skipping {
            self.pos = chunk.payload.end;
            return None;
        }
        if begins == self.partial {
            return Some(self.broken(Fault::Malformed("order of chunks"), false));
        }
        let payload = self.block.get(chunk.payload.clone()).unwrap_or_default();
        if self.record.len() + payload.len() > MAX_RECORD_LEN {
            let len = (self.record.len() + payload.len()) as u64;
            return Some(self.broken(
                Fault::TooLong { what: "record", len, max: MAX_RECORD_LEN as u64 },
                false,
            ));
        }
        self.record.extend_from_slice(payload);
        self.pos = chunk.payload.end;
        self.skipping = false;
        self.partial = matches!(chunk.position, Position::First | Position::Middle);
        (!self.partial).then_some(Step::Record)
    }

    /// After [`Step::Broken`]: goes to the next place that holds a whole chunk of this log, and to the first record that
    /// begins there or later. `false` when there is none; then nothing that was written later can be read.
    ///
    /// Looks behind the broken chunk, if its header says where that is, and at the beginning of each block after it.
    pub(crate) fn resume(&mut self) -> Result<bool, Error> {
        self.partial = false;
        self.skipping = true;
        let mut next = match self.look() {
            Look::Bad { next, .. } => next,
            // Whole, but out of place: what is sought begins with it.
            Look::Chunk(_) => Some(self.pos),
            Look::BlockEnd | Look::Closed => None,
        };
        loop {
            while let Some(pos) = next {
                self.pos = pos;
                match self.look() {
                    Look::Chunk(_) => return Ok(true),
                    Look::Bad { next: after, .. } => next = after,
                    Look::BlockEnd | Look::Closed => next = None,
                }
            }
            self.pos = self.block.len();
            if !self.load_next_block()? {
                return Ok(false);
            }
            next = Some(0);
        }
    }

    /// `false` at the end of the file.
    fn load_next_block(&mut self) -> Result<bool, Error> {
        let at = self.block_at + self.block.len() as u64;
        let left = self.file.len().saturating_sub(at);
        if left == 0 {
            return Ok(false);
        }
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK_LEN);
        self.block = self.file.read(at, len, "log")?;
        self.block_at = at;
        self.pos = 0;
        Ok(true)
    }

    /// What stands at `pos` of the block, without going there.
    fn look(&self) -> Look {
        let rest = self.block.get(self.pos..).unwrap_or_default();
        if rest.len() < HEADER_LEN {
            let padding = rest.iter().all(|&byte| byte == 0);
            return if padding || self.block.len() == BLOCK_LEN {
                Look::BlockEnd
            } else {
                Look::Bad { fault: Fault::Cut("chunk"), torn: true, next: None }
            };
        }
        self.look_at_chunk(rest).unwrap_or_else(|fault| Look::Bad { fault, torn: true, next: None })
    }

    fn look_at_chunk(&self, rest: &[u8]) -> Result<Look, Fault> {
        let mut header = Parser::new(rest, "chunk");
        let (checksum, len, kind) = (header.u32()?, usize::from(header.u16()?), header.u8()?);
        if checksum == 0 && len == 0 && kind == 0 {
            return Ok(self.look_at_zeros(rest));
        }
        let Some((position, header_len)) = form_of(kind) else {
            return Ok(Look::Bad {
                fault: Fault::Malformed("chunk header"),
                torn: false,
                next: None,
            });
        };
        if header_len > HEADER_LEN {
            // The whole header may not fit: then the file ends, or the block, inside it.
            let number = header.u32().map_err(|_| Fault::Cut("chunk"))?;
            if number == self.number.wrapping_add(1) && len == 0 {
                return Ok(Look::Closed);
            }
            if number != self.number {
                let next = self.end_in_block(header_len + len);
                return Ok(Look::Bad { fault: Fault::Cut("log"), torn: true, next });
            }
        }
        let Some(end) = self.end_in_block(header_len + len) else {
            // A chunk that crosses a whole block is broken; in the last, short block the file was cut.
            let torn = self.block.len() < BLOCK_LEN;
            return Ok(Look::Bad { fault: Fault::Cut("chunk"), torn, next: None });
        };
        let covered = rest.get(HEADER_LEN - 1..header_len + len).unwrap_or_default();
        if masked(&[covered]) != checksum {
            return Ok(Look::Bad { fault: Fault::Checksum("chunk"), torn: false, next: Some(end) });
        }
        Ok(Look::Chunk(Chunk { position, payload: self.pos + header_len..end }))
    }

    /// A header of zeros: padding at the end of a block, or space that was set aside and never written.
    fn look_at_zeros(&self, rest: &[u8]) -> Look {
        let fits_no_chunk = rest.len() < MAX_HEADER_LEN;
        if rest.iter().any(|&byte| byte != 0) {
            return Look::Bad { fault: Fault::Malformed("chunk header"), torn: false, next: None };
        }
        if fits_no_chunk {
            return Look::BlockEnd;
        }
        Look::Bad { fault: Fault::Cut("log"), torn: true, next: None }
    }

    /// Where `len` bytes from here end, if that is in this block.
    fn end_in_block(&self, len: usize) -> Option<usize> {
        self.pos.checked_add(len).filter(|&end| end <= self.block.len())
    }
}

/// Length of the longest chunk header.
const MAX_HEADER_LEN: usize = 19;

/// The place in a record and the length of the header that a chunk type stands for.
fn form_of(kind: u8) -> Option<(Position, usize)> {
    let header_len = match kind {
        1..=4 => HEADER_LEN,
        5..=8 => HEADER_LEN + 4,
        9..=12 => MAX_HEADER_LEN,
        _ => return None,
    };
    let position = match (kind - 1) % 4 {
        0 => Position::Full,
        1 => Position::First,
        2 => Position::Middle,
        _ => Position::Last,
    };
    Some((position, header_len))
}
