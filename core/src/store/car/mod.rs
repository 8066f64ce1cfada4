//! A CAR file as a block source, strictly read-only.
//!
//! Owns opening one, and finding a block by an index: the CAR's own (version 2) or one that is made once
//! beside it. Must not know how a CAR is framed, which is [`crate::car`]. The CID in
//! front of a block is compared with the one that was asked for, so an index leads to no other block. (One
//! that points into the length of a section can make a block shorter; verification finds that, as it finds
//! a bad disk.) The file is read with `pread`, not mapped, so one that is cut under us is an error and not the end of the process.

mod index;
mod sort;
mod v2;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use coldfront_flatfs::{BlockFile, Foresight};

use crate::block::{Block, Cid, MAX_BLOCK_LEN, MultihashBytes};
use crate::car::{CarError, CarFault, SECTION_HEAD_LEN, Start, V2_HEADER_END, read_start};
use crate::error::StoreError;
use crate::store::open_files::OpenBlock;
use crate::store::{BlockSource, Extent, Located};
use index::OwnIndex;
use v2::V2Index;

/// Sections of other blocks that are looked at for one that is asked for. Honest files have none; one that
/// is made to have thousands in one place of the index must not keep a request for seconds.
const MAX_STRANGERS: usize = 64;

/// Where a CAR lies, and its index.
#[derive(Clone, Debug)]
pub struct CarOptions {
    /// The CAR, of version 1 or 2.
    pub path: PathBuf,
    /// Where the index lies or is made. Default: beside the CAR, with `.idx` behind its name. A CARv2
    /// that has a sorted index of its own needs none.
    pub index: Option<PathBuf>,
}

impl CarOptions {
    /// A CAR with its index beside it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        CarOptions { path: path.into(), index: None }
    }

    fn index_path(&self) -> PathBuf {
        self.index.clone().unwrap_or_else(|| {
            let mut path = self.path.clone().into_os_string();
            path.push(".idx");
            path.into()
        })
    }
}

/// A CAR file that is served in place.
#[derive(Debug)]
pub struct Car {
    payload: Payload,
    foresight: Foresight,
    roots: Vec<Cid>,
    index: Index,
}

/// Where an index says that a block may lie.
#[derive(Debug)]
enum Index {
    Own(OwnIndex),
    V2(V2Index),
}

/// The sections of a CAR within its file.
#[derive(Debug, Clone)]
struct Payload {
    file: Arc<BlockFile>,
    /// The version 1 within the file: the whole of it, or what a version 2 says.
    start: u64,
    /// Its first section.
    sections: u64,
    /// Its end.
    end: u64,
}

/// A block within the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    cid: Cid,
    block: std::ops::Range<u64>,
}

impl Car {
    /// Opens a CAR. Reads its header and, if there is an index, the head of that.
    ///
    /// Where there is none, or one that was made of another state of the file, the CAR is read once from
    /// front to end (the heads of its sections; blocks are not hashed) and an index is made: 16 bytes a
    /// block, in memory that does not grow with their number.
    pub fn open(options: &CarOptions) -> Result<Self, StoreError> {
        let path = &options.path;
        let file = BlockFile::open(path).map_err(|source| io_error(path, source))?;
        let (payload, roots, v2_index) =
            Payload::of(Arc::new(file)).map_err(|source| car_error(path, source))?;
        let v2_index = match v2_index {
            Some(at) => V2Index::open(&payload, at).map_err(|source| io_error(path, source))?,
            None => None,
        };
        let index = match v2_index {
            Some(index) => Index::V2(index),
            None => Index::Own(OwnIndex::open_or_make(&payload, &options.index_path())?),
        };
        Ok(Car { foresight: payload.file.foresight(), payload, roots, index })
    }

    /// The roots that its header names.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.payload.file.path()
    }

    /// Asks the index, and then the CAR itself.
    fn find(&self, cid: &Cid) -> Result<Option<Section>, StoreError> {
        match &self.index {
            Index::Own(index) => index.find(cid, &self.payload),
            Index::V2(index) => index.find(cid, &self.payload),
        }
    }

    fn open_block(&self, cid: &Cid, section: Section) -> Arc<OpenBlock> {
        let file = self.payload.file.clone();
        Arc::new(OpenBlock::within(cid, file, section.block, self.foresight))
    }
}

impl BlockSource for Car {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let Some(Located::Extent(mut extent)) = self.locate(cid)? else { return Ok(None) };
        if extent.len() > MAX_BLOCK_LEN {
            let place = self.path().display().to_string();
            return Err(StoreError::TooLarge { cid: *cid, place, len: extent.len() });
        }
        let mut bytes = Vec::new();
        extent.read_to_end(&mut bytes)?;
        Ok(Some(Block::trusted(*cid, Bytes::from(bytes))))
    }

    /// Three reads or so of some hundred bytes, of the index and the CAR.
    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        let found = self.find(cid)?;
        Ok(found.map(|section| Located::Extent(Extent::whole(self.open_block(cid, section)))))
    }

    fn gives_extents(&self) -> bool {
        true
    }

    /// Known when the page cache holds what the index says of the block.
    fn lacks_now(&self, cid: &Cid) -> bool {
        let lacks = match &self.index {
            Index::Own(index) => index.lacks_now(cid),
            Index::V2(index) => index.lacks_now(cid, &self.payload),
        };
        lacks == Some(true)
    }

    /// As much as [`Car::locate`](BlockSource::locate).
    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        Ok(self.find(cid)?.map(|section| section.block.end - section.block.start))
    }

    fn available(&self) -> Result<(), StoreError> {
        let (file, path) = (&self.payload.file, self.path());
        let (now, opened) = (file.stamp().map_err(|source| io_error(path, source))?, file.opened());
        if (now.len, now.mtime) != (opened.len, opened.mtime) {
            return Err(StoreError::CarChanged { path: path.display().to_string() });
        }
        Ok(())
    }
}

impl Payload {
    /// Reads the header, or the two of a version 2: where the sections lie, the roots, and where the
    /// index lies if there is one.
    fn of(file: Arc<BlockFile>) -> Result<(Payload, Vec<Cid>, Option<u64>), CarError> {
        let len = file.len();
        match read_start_at(&file, 0)? {
            Start::V1 { roots, len: header } => {
                Ok((Payload { file, start: 0, sections: header, end: len }, roots, None))
            }
            Start::V2 { data, index } => {
                if data.end > len {
                    let (offset, len) = (data.start, data.end - data.start);
                    let fault = CarFault::Payload { offset, len };
                    return Err(CarError::Format { at: V2_HEADER_END, fault });
                }
                let Start::V1 { roots, len: header } = read_start_at(&file, data.start)? else {
                    let fault = CarFault::Version(2);
                    return Err(CarError::Format { at: data.start, fault });
                };
                let sections = data.start.saturating_add(header).min(data.end);
                let payload = Payload { file, start: data.start, sections, end: data.end };
                Ok((payload, roots, index.filter(|at| *at < len)))
            }
        }
    }

    /// The section at an offset in the file: its length, and its CID and the place of its block.
    fn section_at(&self, at: u64) -> Result<(u64, Section), StoreError> {
        let mut head = [0; SECTION_HEAD_LEN];
        let read = self.read(&mut head, at)?;
        let read = head.get(..read).unwrap_or(&head);
        self.section_in(read, at)
    }

    /// The section at an offset, whose first bytes are given.
    fn section_in(&self, head: &[u8], at: u64) -> Result<(u64, Section), StoreError> {
        let fault = |fault| self.error(CarError::Format { at, fault });
        let head = crate::car::section_head(head).map_err(fault)?;
        let start = at.saturating_add(head.head_len);
        let block = start..start.saturating_add(head.block_len);
        let len = head.head_len + head.block_len;
        if block.end > self.end {
            return Err(fault(CarFault::Cut(len)));
        }
        Ok((len, Section { cid: head.cid, block }))
    }

    /// The section at an offset that an index gave, if it holds the block that is asked for.
    fn holds(&self, cid: &Cid, at: u64) -> Result<Option<Section>, StoreError> {
        if !(self.sections..self.end).contains(&at) {
            return Ok(None);
        }
        match self.section_at(at) {
            Ok((_, section)) => Ok((section.cid.hash() == cid.hash()).then_some(section)),
            // The index leads astray: there is no such section.
            Err(StoreError::Car { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fills a buffer from the file, up to the end of the sections.
    fn read(&self, buf: &mut [u8], at: u64) -> Result<usize, StoreError> {
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let Some(buf) = buf.get_mut(..len) else { return Ok(0) };
        read_at(&self.file, buf, at).map_err(|source| io_error(self.file.path(), source))
    }

    fn error(&self, source: CarError) -> StoreError {
        car_error(self.file.path(), source)
    }
}

/// Fills a buffer from an offset; what is missing at the end of the file is left out.
fn read_at(file: &BlockFile, buf: &mut [u8], at: u64) -> std::io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at.saturating_add(done as u64))? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// A disk would have to be waited for.
struct WouldWait;

/// Fills a buffer from what the page cache holds; `None` when it does not hold all of it, or cannot tell.
fn read_now(file: &BlockFile, buf: &mut [u8], at: u64) -> Option<()> {
    // A read that must not wait would start the disk on what is missing, and tmpfs refuses such reads.
    let read = match file.is_cached(at, buf.len() as u64) {
        Some(true) => file.read_at(buf, at).ok()?,
        Some(false) => return None,
        None => file.read_now(buf, at).ok()??,
    };
    (read == buf.len()).then_some(())
}

/// A reader of a file from an offset on, as a stream.
struct Behind<'f> {
    file: &'f BlockFile,
    at: u64,
}

impl std::io::Read for Behind<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn read_start_at(file: &BlockFile, at: u64) -> Result<Start, CarError> {
    use crate::car::HeaderError;
    let mut reader = std::io::BufReader::new(Behind { file, at });
    read_start(&mut reader).map_err(|error| match error {
        HeaderError::Read(source) => CarError::Read { at, source },
        HeaderError::Fault(fault) => CarError::Format { at, fault },
    })
}

fn io_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { path: path.display().to_string(), source }
}

fn car_error(path: &Path, source: CarError) -> StoreError {
    StoreError::Car { path: path.display().to_string(), source: Box::new(source) }
}

/// What an index is ordered by: 64 bits of a hash of the multihash. They only lead to sections that are
/// looked at, so nobody gains by making them alike.
fn key_of(cid: &Cid) -> u64 {
    crate::unixfs::hamt::NameHash::new(MultihashBytes::of(cid).as_slice()).bits()
}
