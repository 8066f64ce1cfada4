//! Reading a CAR as a stream.

use std::io::{self, Read};

use bytes::Bytes;

use super::error::{CarError, CarFault};
use super::header::{HeaderError, Start, V2_HEADER_END, read_start, read_varint};
use super::section;
use crate::block::{Block, Cid};

/// The blocks of a CAR, each checked against its CID. Holds one section at a time.
///
/// ```
/// use coldfront::car::{CarReader, CarWriter};
/// # use coldfront::{Block, Cid};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cid: Cid = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy".parse()?;
/// let mut writer = CarWriter::new(Vec::new(), &[cid])?;
/// writer.put(&Block::verified(cid, "foo".into())?)?;
/// let file = writer.finish()?;
///
/// let reader = CarReader::new(&file[..])?;
/// assert_eq!(reader.roots(), [cid]);
/// for block in reader {
///     assert_eq!(&block?.data()[..], b"foo");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CarReader<R> {
    reader: Counted<R>,
    roots: Vec<Cid>,
    /// Where the sections end, by the header of a version 2.
    end: Option<u64>,
    ended: bool,
}

impl<R: Read> CarReader<R> {
    /// Reads the header, of either version. Of version 2 the payload is read and the index is not.
    ///
    /// Reads a few bytes at a time: wrap a file in a `BufReader`.
    pub fn new(reader: R) -> Result<Self, CarError> {
        let mut reader = Counted { reader, at: 0 };
        let first = read_start(&mut reader);
        let (roots, end) = match first.map_err(|error| reader.header_error(error))? {
            Start::V1 { roots, .. } => (roots, None),
            Start::V2 { data, .. } => {
                reader.skip(data.start - V2_HEADER_END)?;
                let inner = read_start(&mut (&mut reader).take(data.end - data.start));
                match inner.map_err(|error| reader.header_error(error))? {
                    Start::V1 { roots, .. } => (roots, Some(data.end)),
                    Start::V2 { .. } => return Err(reader.fault(data.start, CarFault::Version(2))),
                }
            }
        };
        Ok(CarReader { reader, roots, end, ended: false })
    }

    /// The roots that the header names; they need not be among the blocks.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// Bytes read so far, from the start of the stream.
    pub fn offset(&self) -> u64 {
        self.reader.at
    }

    /// Goes on at an offset that [`CarReader::offset`] gave behind a section.
    #[cfg(feature = "migrate")]
    pub(crate) fn go_on_at(&mut self, at: u64) -> Result<(), CarError>
    where
        R: io::Seek,
    {
        let failed = |source| CarError::Read { at, source };
        self.reader.reader.seek(io::SeekFrom::Start(at)).map_err(failed)?;
        self.reader.at = at;
        Ok(())
    }

    /// The next block, with nothing checked but its framing.
    pub(crate) fn next_section(&mut self) -> Result<Option<Section>, CarError> {
        let at = self.reader.at;
        if self.end.is_some_and(|end| at >= end) {
            return Ok(None);
        }
        let len = match read_varint(&mut self.reader) {
            Ok(None) if self.end.is_none() => return Ok(None),
            Ok(None) => return Err(self.reader.fault(at, CarFault::Cut(0))),
            Ok(Some((len, _))) => len,
            Err(HeaderError::Read(source)) => return Err(CarError::Read { at, source }),
            Err(HeaderError::Fault(fault)) => return Err(self.reader.fault(at, fault)),
        };
        let len = section::check_len(len).map_err(|fault| self.reader.fault(at, fault))?;
        if self.end.is_some_and(|end| self.reader.at.saturating_add(len) > end) {
            return Err(self.reader.fault(at, CarFault::Cut(len)));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(len).read_to_end(&mut bytes);
        read.map_err(|source| CarError::Read { at: self.reader.at, source })?;
        if (bytes.len() as u64) < len {
            return Err(self.reader.fault(at, CarFault::Cut(len)));
        }
        let (cid, cid_len) =
            section::cid_of(&bytes).map_err(|fault| self.reader.fault(at, fault))?;
        Ok(Some(Section { at, cid, data: Bytes::from(bytes).slice(cid_len..) }))
    }

    fn next_block(&mut self) -> Result<Option<Block>, CarError> {
        self.next_section()?.map(Section::verified).transpose()
    }
}

/// A section as it stands in the CAR.
#[derive(Debug)]
pub(crate) struct Section {
    at: u64,
    pub(crate) cid: Cid,
    pub(crate) data: Bytes,
}

impl Section {
    /// Its block, if the bytes hash to the CID.
    pub(super) fn verified(self) -> Result<Block, CarError> {
        let at = self.at;
        Block::verified(self.cid, self.data).map_err(|source| CarError::Block { at, source })
    }
}

/// After an error there are no more blocks.
impl<R: Read> Iterator for CarReader<R> {
    type Item = Result<Block, CarError>;

    fn next(&mut self) -> Option<Result<Block, CarError>> {
        if self.ended {
            return None;
        }
        let next = self.next_block();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// A reader that knows how far it is.
#[derive(Debug)]
struct Counted<R> {
    reader: R,
    at: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(buf)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl<R: Read> Counted<R> {
    fn fault(&self, at: u64, fault: CarFault) -> CarError {
        CarError::Format { at, fault }
    }

    fn header_error(&self, error: HeaderError) -> CarError {
        match error {
            HeaderError::Read(source) => CarError::Read { at: self.at, source },
            HeaderError::Fault(fault) => CarError::Format { at: self.at, fault },
        }
    }

    fn skip(&mut self, len: u64) -> Result<(), CarError> {
        let from = self.at;
        let skipped = io::copy(&mut self.by_ref().take(len), &mut io::sink());
        match skipped.map_err(|source| CarError::Read { at: self.at, source })? {
            skipped if skipped == len => Ok(()),
            _ => Err(self.fault(from, CarFault::Cut(len))),
        }
    }
}
