//! The cached tier: blocks that were fetched from elsewhere to answer somebody, within a bound of bytes.
//!
//! Owns its folder, which blocks are in it, and that the oldest go when there is no room. Cached is not stored: nothing
//! here is kept, pinned or collected, and what a crash or a power cut takes away is fetched again. Must not know where
//! blocks come from, nor pins. (A pin of cached blocks copies them into the hot store, see [`crate::pin`].)
//!
//! - `segment`: files of blocks, one behind another, each with its index at its end.
//!
//! ```text
//! FOLDER/COLDFRONT-CACHE   "coldfront cache, format 1\n"; locked while the cache is open
//! FOLDER/00000001.blocks   segments, numbered as they were begun; the oldest goes first
//! ```

mod segment;

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::block::{Block, Cid, IDENTITY, MAX_BLOCK_LEN, MultihashBytes};
use crate::error::StoreError;
use crate::store::{BlockSource, BlockStore, Located};
use segment::{Place, Segment};

const MARKER: &str = "COLDFRONT-CACHE";
const MARKER_TEXT: &str = "coldfront cache, format 1\n";

/// The bound is made up of at least so many segments, so that little goes when one does.
const SEGMENTS: u64 = 16;

/// The longest segment, in bytes; offsets within one have 32 bits.
const MAX_SEGMENT: u64 = 256 * 1024 * 1024;

/// The least bound, in bytes: a segment of it holds the longest block.
const LEAST_BYTES: u64 = SEGMENTS * (MAX_BLOCK_LEN + 1024);

/// Where a cache lies and what it may hold.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// Its folder, made when it is absent. Nothing else may lie in it.
    pub path: PathBuf,
    /// Bytes that it takes on the disk at most; 129 MiB at least.
    pub bytes: u64,
    /// Blocks that it holds at most, some 60 bytes of memory each. Default 1,000,000.
    pub blocks: usize,
}

impl CacheOptions {
    /// A cache at `path` of at most so many bytes.
    pub fn new(path: impl Into<PathBuf>, bytes: u64) -> Self {
        CacheOptions { path: path.into(), bytes, blocks: 1_000_000 }
    }
}

/// Blocks that may go at any time. All calls may come from many threads.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    bytes: u64,
    blocks: usize,
    state: Mutex<State>,
    /// Holds the lock.
    _marker: File,
}

#[derive(Debug, Default)]
struct State {
    /// By a hash of the multihash, which is compared when a block is read.
    index: HashMap<u64, Place>,
    /// The oldest first; the last may be the one that is written to.
    segments: VecDeque<Segment>,
    next: u32,
}

impl State {
    fn total(&self) -> u64 {
        self.segments.iter().map(Segment::bytes_on_disk).sum()
    }

    fn segment(&self, number: u32) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&number, Segment::number).ok()?;
        self.segments.get(at)
    }
}

impl Cache {
    /// Opens a cache, or makes one. Reads the index of each segment: 16 bytes a block. A segment that was being written
    /// when the process died is dropped.
    pub fn open(options: &CacheOptions) -> Result<Cache, StoreError> {
        let path = std::path::absolute(&options.path).map_err(io_error(&options.path))?;
        if options.bytes < LEAST_BYTES {
            let what = format!("it needs at least {LEAST_BYTES} bytes, not {}", options.bytes);
            return Err(StoreError::Cache { path: path.display().to_string(), what });
        }
        let marker = claim(&path)?;
        let mut state = State::default();
        for number in numbers(&path)? {
            let file = segment::path(&path, number);
            match Segment::open(&file, number).map_err(io_error(&file))? {
                Some((segment, entries)) => {
                    state.index.extend(entries);
                    state.segments.push_back(segment);
                }
                None => fs::remove_file(&file).map_err(io_error(&file))?,
            }
            state.next = number.saturating_add(1);
        }
        let (bytes, blocks) = (options.bytes, options.blocks.max(1));
        let cache = Cache { path, bytes, blocks, state: Mutex::new(state), _marker: marker };
        cache.make_room(&mut cache.state(), 0)?;
        Ok(cache)
    }

    /// Bytes that it takes on the disk, and blocks that it holds.
    pub fn held(&self) -> (u64, usize) {
        let state = self.state();
        (state.total(), state.index.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segment_len(&self) -> u64 {
        (self.bytes / SEGMENTS).min(MAX_SEGMENT)
    }

    /// Lets the oldest segments go until there is room for so many bytes more.
    fn make_room(&self, state: &mut State, more: u64) -> Result<(), StoreError> {
        while state.total().saturating_add(more) > self.bytes || state.index.len() >= self.blocks {
            let Some(oldest) = state.segments.pop_front() else { return Ok(()) };
            for key in oldest.keys() {
                if state.index.get(key).is_some_and(|place| place.segment == oldest.number()) {
                    state.index.remove(key);
                }
            }
            let path = segment::path(&self.path, oldest.number());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&self, state: &mut State, block: &Block) -> Result<(), StoreError> {
        let multihash = MultihashBytes::of(block.cid());
        let key = key_of(multihash.as_slice());
        if block.cid().hash().code() == IDENTITY || state.index.contains_key(&key) {
            return Ok(());
        }
        let len = segment::record_len(multihash.as_slice(), block.data());
        if block.data().len() as u64 > MAX_BLOCK_LEN {
            let (cid, place) = (*block.cid(), self.path.display().to_string());
            return Err(StoreError::TooLarge { cid, place, len: block.data().len() as u64 });
        }
        if state.segments.back().is_none_or(|last| !last.has_room(len, self.segment_len())) {
            self.begin_segment(state)?;
        }
        self.make_room(state, len)?;
        if state.segments.is_empty() {
            self.begin_segment(state)?;
        }
        let Some(last) = state.segments.back_mut() else { return Ok(()) };
        let path = segment::path(&self.path, last.number());
        match last.append(key, multihash.as_slice(), block.data()) {
            Ok(place) => {
                state.index.insert(key, place);
                Ok(())
            }
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// Ends the segment that is written to, and begins another.
    fn begin_segment(&self, state: &mut State) -> Result<(), StoreError> {
        if let Some(last) = state.segments.back_mut() {
            let path = segment::path(&self.path, last.number());
            last.seal().map_err(io_error(&path))?;
        }
        let path = segment::path(&self.path, state.next);
        let segment = Segment::create(&path, state.next).map_err(io_error(&path))?;
        state.segments.push_back(segment);
        state.next = state.next.saturating_add(1);
        Ok(())
    }

    fn read(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        let multihash = MultihashBytes::of(cid);
        let (file, place) = {
            let state = self.state();
            let Some(place) = state.index.get(&key_of(multihash.as_slice())).copied() else {
                return Ok(None);
            };
            let Some(segment) = state.segment(place.segment) else { return Ok(None) };
            (segment.file(), place)
        };
        let path = segment::path(&self.path, place.segment);
        segment::read(&file, place, multihash.as_slice()).map_err(io_error(&path))
    }

    fn place(&self, cid: &Cid) -> Option<Place> {
        self.state().index.get(&key_of(MultihashBytes::of(cid).as_slice())).copied()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // Without its index a segment is dropped by the next open: what is lost is fetched again.
        if let Some(last) = self.state().segments.back_mut() {
            let _ = last.seal();
        }
    }
}

impl BlockSource for Cache {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        Ok(self.read(cid)?.map(|data| Block::trusted(*cid, data)))
    }

    /// In memory, since the file of a block may go at any time. One read.
    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        Ok(self.read(cid)?.map(Located::Bytes))
    }

    fn lacks_now(&self, cid: &Cid) -> bool {
        self.place(cid).is_none()
    }

    /// Reads the block: another one may lie under the same hash.
    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        match self.place(cid) {
            None => Ok(None),
            Some(_) => Ok(self.read(cid)?.map(|data| data.len() as u64)),
        }
    }
}

impl BlockStore for Cache {
    /// Takes blocks in; others may go, of this batch too.
    fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
        let mut state = self.state();
        blocks.iter().try_for_each(|block| self.add(&mut state, block))
    }

    /// Returns at once: what is cached need not survive anything.
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn key_of(multihash: &[u8]) -> u64 {
    crate::unixfs::hamt::NameHash::new(multihash).bits()
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { path, source }
}

/// Makes the folder where it is absent, and locks it.
fn claim(path: &Path) -> Result<File, StoreError> {
    let marker = path.join(MARKER);
    let unusable =
        |what: &str| StoreError::Cache { path: path.display().to_string(), what: what.to_owned() };
    fs::create_dir_all(path).map_err(io_error(path))?;
    let found = fs::read_to_string(&marker).ok();
    match found.as_deref() {
        Some(MARKER_TEXT) => {}
        // A crash may have left it empty.
        Some("") => {}
        Some(_) => {
            return Err(unusable("its format is not known; remove its folder, nothing is lost"));
        }
        None => {
            let mut entries = fs::read_dir(path).map_err(io_error(path))?;
            if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found")) {
                return Err(unusable("the folder holds something else; name an empty one"));
            }
        }
    }
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&marker);
    let mut file = open.map_err(io_error(&marker))?;
    file.try_lock().map_err(|_| unusable("another process has it open; give each its own"))?;
    file.write_all(MARKER_TEXT.as_bytes()).map_err(io_error(&marker))?;
    Ok(file)
}

/// The numbers of the segments in a folder, rising.
fn numbers(path: &Path) -> Result<Vec<u32>, StoreError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(path).map_err(io_error(path))? {
        let name = entry.map_err(io_error(path))?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(segment::SUFFIX)?.parse::<u32>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}
