//! Where blocks lie in RocksDB's blob files, found beside RocksDB, which does not tell.
//!
//! Owns which blob file holds which ids, and open handles of these files. All of it is a shortcut: what is not found here
//! is read through RocksDB. Must not know what is held: the index is asked first, always.
//!
//! Two facts make it safe. **An id names the same bytes for ever**, so a record of that id is the right one in whatever
//! blob file it stands, an abandoned one included, and an open handle outlives the file's name. **Records are found by
//! going from one to the next**, from the first of the file on, never by guessing: the bytes of a block may look like
//! the head of a record, as whoever uploads likes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use coldfront_flatfs::{BlockFile, Foresight};
use quick_cache::sync::Cache;

use super::blob_file::{self, FOOT_LEN, HEAD_LEN, RECORD_HEAD_LEN, Record};
use super::schema::{Entry, Id};
use crate::block::Cid;
use crate::store::Extent;
use crate::store::open_files::OpenBlock;

/// Blob files held open beside those of RocksDB.
pub(super) const OPEN_FILES: u32 = 256;

/// Blob files of which it is known where they begin, some 100 bytes each. With more the oldest are read through RocksDB.
const KNOWN_FILES: usize = 1 << 16;

/// Records remembered of one open file, about: with more of them the way to a record begins at one before it.
const MARKS: u64 = 512;

/// Records that one look-up goes along.
const STEPS: usize = 64;

/// Files that one look-up goes along in: those that begin closest before the id. Files that a reclaim has written lie
/// across older ones.
const CANDIDATES: usize = 4;

/// New files are looked at for so long at a time, by whoever has to wait anyway, and after a pause at least as long as this
/// and [`PAUSE_FACTOR`] times what it took.
const SURVEY_TIME: Duration = Duration::from_millis(20);
const SURVEY_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_FACTOR: u32 = 50;

/// What is known of the blob files of a store.
pub(super) struct Places {
    folder: PathBuf,
    /// The first id of each file, and the number of the file.
    firsts: RwLock<BTreeSet<(Id, u64)>>,
    open: Cache<u64, Arc<BlobFile>>,
    survey: Mutex<Survey>,
}

#[derive(Debug)]
struct Survey {
    known: HashSet<u64>,
    next: Instant,
}

/// Where a value lies.
#[derive(Debug)]
pub(super) struct Place {
    file: Arc<BlobFile>,
    mark: Mark,
}

impl Places {
    /// Of the blob files in `folder`; looks at none of them yet.
    pub(super) fn new(folder: PathBuf) -> Places {
        Places {
            folder,
            firsts: RwLock::default(),
            open: Cache::new(OPEN_FILES as usize),
            survey: Mutex::new(Survey { known: HashSet::new(), next: Instant::now() }),
        }
    }

    /// Where a block lies if that is known without a disk. No system call for one that was found before.
    pub(super) fn find_now(&self, entry: &Entry) -> Option<Place> {
        self.look(entry, false)
    }

    /// The same where waiting is allowed: may open a file, and look at files that are new.
    pub(super) fn find(&self, entry: &Entry) -> Option<Place> {
        self.look(entry, true).or_else(|| {
            self.learn();
            self.look(entry, true)
        })
    }

    fn look(&self, entry: &Entry, may_wait: bool) -> Option<Place> {
        let mut candidates = [None; CANDIDATES];
        {
            let firsts = self.firsts.read().unwrap_or_else(PoisonError::into_inner);
            let before = firsts.range(..=(entry.id, u64::MAX)).rev();
            candidates.iter_mut().zip(before).for_each(|(place, known)| *place = Some(known.1));
        }
        candidates.into_iter().flatten().find_map(|number| {
            let file = self.opened(number, may_wait)?;
            let mark = file.find(entry.id, may_wait)?;
            let is_it = mark.record.len == u64::from(entry.size);
            is_it.then_some(Place { file, mark })
        })
    }

    fn opened(&self, number: u64, may_wait: bool) -> Option<Arc<BlobFile>> {
        if let Some(file) = self.open.get(&number) {
            return Some(file);
        }
        let file = may_wait.then(|| BlobFile::open(&self.path(number))).flatten().map(Arc::new)?;
        self.open.insert(number, file.clone());
        Some(file)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:06}.blob"))
    }

    /// Looks at files that came since the last time, and forgets those that are gone; now and then.
    fn learn(&self) {
        let Ok(mut survey) = self.survey.try_lock() else { return };
        if Instant::now() >= survey.next {
            self.look_around(&mut survey);
        }
    }

    /// Closes files that RocksDB has removed, so that their space is free.
    pub(super) fn close_removed(&self) {
        self.open.retain(|_, file| file.is_as_it_was());
    }

    fn look_around(&self, survey: &mut Survey) {
        let began = Instant::now();
        let there = numbers(&self.folder);
        survey.known.retain(|number| there.contains(number));
        self.change(|firsts| firsts.retain(|(_, number)| there.contains(number)));
        self.close_removed();
        // The newest first: what came lately is asked for most.
        for number in there.iter().rev().take(KNOWN_FILES) {
            if began.elapsed() > SURVEY_TIME {
                break;
            }
            if survey.known.contains(number) {
                continue;
            }
            // One that is still being written is looked at again.
            let Some(file) = BlobFile::open(&self.path(*number)) else { continue };
            survey.known.insert(*number);
            self.change(|firsts| firsts.insert((file.first, *number)));
            self.open.insert(*number, Arc::new(file));
        }
        survey.next = Instant::now() + SURVEY_PAUSE.max(began.elapsed() * PAUSE_FACTOR);
    }

    fn change<T>(&self, act: impl FnOnce(&mut BTreeSet<(Id, u64)>) -> T) -> T {
        act(&mut self.firsts.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The numbers of the blob files in a folder; none where it cannot be listed.
fn numbers(folder: &Path) -> BTreeSet<u64> {
    let number = |name: &str| name.strip_suffix(".blob")?.parse().ok();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect()
}

impl Place {
    /// The value as a part of its file.
    pub(super) fn extent(&self, cid: &Cid) -> Extent {
        let range = self.mark.value..self.mark.value + self.mark.record.len;
        let file = &self.file;
        Extent::whole(Arc::new(OpenBlock::within(cid, file.file.clone(), range, file.foresight)))
    }

    /// The value, if it is what was written. One read, into memory that is its own.
    pub(super) fn read(&self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.mark.record.len).ok()?;
        let value = self.file.file.read_part(self.mark.value, len).ok()?;
        self.mark.record.is_of(&value).then_some(value)
    }
}

/// A record, and where its value begins.
#[derive(Clone, Copy, Debug)]
struct Mark {
    record: Record,
    value: u64,
}

impl Mark {
    /// Where the next record begins.
    fn next(&self) -> u64 {
        self.value.saturating_add(self.record.len)
    }
}

/// An open blob file that was written to its end, and records that were met in it.
#[derive(Debug)]
struct BlobFile {
    file: Arc<BlockFile>,
    foresight: Foresight,
    first: Id,
    marks: Mutex<BTreeMap<Id, Mark>>,
    /// Where the foot begins.
    end: u64,
}

impl BlobFile {
    /// One open, three short reads. `None` for what is no whole blob file of ours.
    fn open(path: &Path) -> Option<BlobFile> {
        let file = BlockFile::open(path).ok()?;
        let end = file.len().checked_sub(FOOT_LEN as u64)?;
        let mut foot = [0; FOOT_LEN];
        let mut head = [0; HEAD_LEN];
        let whole = file.read_at(&mut foot, end).ok()? == FOOT_LEN && blob_file::is_foot(&foot);
        let ours = file.read_at(&mut head, 0).ok()? == HEAD_LEN && blob_file::is_head(&head);
        if !whole || !ours {
            return None;
        }
        let foresight = file.foresight();
        let marks = Mutex::default();
        let mut file = BlobFile { file: Arc::new(file), foresight, first: Id::ZERO, marks, end };
        let first = file.mark_at(HEAD_LEN as u64, true)?;
        file.first = first.record.id;
        file.marks = Mutex::new(BTreeMap::from([(file.first, first)]));
        Some(file)
    }

    fn is_as_it_was(&self) -> bool {
        self.file.stamp().is_ok_and(|stamp| stamp == self.file.opened())
    }

    /// Goes from the last record known before `id` to that of `id`, as far as heads of records are in the page cache.
    /// Waits, if it may, only for the head that stands right before the value: whoever asks will read that anyway.
    fn find(&self, id: Id, may_wait: bool) -> Option<Mark> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = *marks.range(..=id).next_back()?.1;
        let mut marked = at.value;
        for _ in 0..STEPS {
            if at.record.id == id {
                return Some(at);
            }
            let may_wait = may_wait && at.record.id.next() == id;
            let next = self.mark_at(at.next(), may_wait)?;
            // Each record is behind the one before; else the file is not what it seems.
            if next.record.id <= at.record.id || next.record.id > id {
                return None;
            }
            at = next;
            if at.value - marked >= self.end / MARKS {
                marks.insert(at.record.id, at);
                marked = at.value;
            }
        }
        // Later on it goes on from here.
        marks.insert(at.record.id, at);
        (at.record.id == id).then_some(at)
    }

    fn mark_at(&self, offset: u64, may_wait: bool) -> Option<Mark> {
        let mut head = [0; RECORD_HEAD_LEN];
        let value = offset.checked_add(RECORD_HEAD_LEN as u64).filter(|at| *at <= self.end)?;
        let read = match (may_wait, self.foresight) {
            (true, _) => self.file.read_at(&mut head, offset).ok()?,
            (false, Foresight::Reads) => self.file.read_now(&mut head, offset).ok()??,
            (false, Foresight::Pages) => {
                let cached = self.file.is_cached(offset, head.len() as u64) == Some(true);
                cached.then(|| self.file.read_at(&mut head, offset).ok()).flatten()?
            }
            (false, Foresight::Nothing) => return None,
        };
        let record = blob_file::record(head.get(..read)?)?;
        let mark = Mark { record, value };
        (mark.next() <= self.end).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::block::{Block, RAW};
    use crate::store::hot::{HotOptions, HotStore};
    use crate::store::{BlockSource as _, BlockStore as _, Located};
    use crate::unixfs::testing::cid_of;

    fn block(seed: u8, len: usize) -> Block {
        let data: Vec<u8> = (0..len).map(|at| (at as u64 * 31 + u64::from(seed)) as u8).collect();
        block_of(data)
    }

    fn block_of(data: Vec<u8>) -> Block {
        Block::verified(cid_of(RAW, &data), data.into()).unwrap()
    }

    fn store(folder: &Path) -> HotStore {
        HotStore::open(&HotOptions::new(folder.join("hot"))).unwrap()
    }

    fn flushed(hot: &HotStore, blocks: &[Block]) {
        let bulk = hot.bulk("test");
        bulk.put(blocks).unwrap();
        bulk.flush().unwrap();
        // It went past the page cache: in time for a look that takes no longer than its slice, on a slow disk too.
        for file in std::fs::read_dir(hot.inner.database.files()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "blob") {
                std::fs::read(path).unwrap();
            }
        }
        // What was looked at a moment ago is not looked at again so soon.
        hot.inner.places.survey.lock().unwrap().next = Instant::now();
    }

    fn extent_of(hot: &HotStore, block: &Block) -> Option<Extent> {
        match hot.locate(block.cid()).unwrap().unwrap() {
            Located::Extent(extent) => Some(extent),
            Located::Bytes(bytes) => {
                assert_eq!(bytes, *block.data());
                None
            }
        }
    }

    fn assert_is_in_a_file(hot: &HotStore, block: &Block) {
        let mut bytes = Vec::new();
        extent_of(hot, block).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, block.data()[..]);
    }

    #[test]
    fn a_flushed_block_is_found_in_its_file_and_after_that_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let hot = store(folder.path());
        let blocks: Vec<_> = (0..150).map(|n| block(n, 5000 + usize::from(n))).collect();
        flushed(&hot, &blocks[..100]);
        flushed(&hot, &blocks[100..]);
        blocks.iter().rev().for_each(|one| assert_is_in_a_file(&hot, one));
        for one in &blocks {
            assert_eq!(hot.get(one.cid()).unwrap().unwrap().data(), one.data());
            let Some(Located::Extent(mut extent)) = hot.locate_now(one.cid()) else {
                panic!("it waits")
            };
            let mut bytes = Vec::new();
            extent.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, one.data()[..]);
        }
    }

    #[test]
    fn what_is_in_memory_alone_is_given_as_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let hot = store(folder.path());
        let one = block(1, 9000);
        hot.put(std::slice::from_ref(&one)).unwrap();
        assert!(extent_of(&hot, &one).is_none());
        assert!(hot.locate_now(one.cid()).is_none());
    }

    #[test]
    fn a_block_whose_bytes_look_like_records_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let hot = store(folder.path());
        // A record of the block that comes behind, with other bytes, at each place where one could be expected.
        let victim = block(7, 6000);
        let fake = block(8, 6000);
        flushed(&hot, &[fake]);
        let file =
            fs::read(hot.inner.places.path(numbers(&hot.database().files()).pop_first().unwrap()));
        let mut record = file.unwrap()[HEAD_LEN..HEAD_LEN + RECORD_HEAD_LEN + 6000].to_vec();
        record[32..RECORD_HEAD_LEN].copy_from_slice(&3u64.to_be_bytes());
        let trap: Vec<u8> = record.iter().copied().cycle().take(60_000).collect();
        flushed(&hot, &[block_of(trap), victim.clone()]);
        assert_is_in_a_file(&hot, &victim);
    }

    #[test]
    fn a_removed_block_is_gone_though_its_file_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let hot = store(folder.path());
        let blocks = [block(1, 9000), block(2, 9000)];
        flushed(&hot, &blocks);
        blocks.iter().for_each(|one| assert_is_in_a_file(&hot, one));
        let mut edit = hot.edit();
        let entry = edit.entry(blocks[0].cid()).unwrap().unwrap();
        edit.remove(&entry, super::super::index_key(blocks[0].cid()).as_slice()).unwrap();
        edit.commit().unwrap();
        assert!(hot.locate_now(blocks[0].cid()).is_none());
        assert!(hot.locate(blocks[0].cid()).unwrap().is_none());

        hot.flush().unwrap();
        hot.reclaim(0.1).unwrap();
        // The file that held both is gone from the disk and from here; what lives lies in another.
        assert_eq!(hot.inner.places.open.len(), 0);
        flushed(&hot, &[]);
        assert_is_in_a_file(&hot, &blocks[1]);
    }

    #[test]
    fn a_file_that_is_not_whole_or_of_another_form_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let hot = store(folder.path());
        flushed(&hot, &[block(1, 9000), block(2, 9000)]);
        let number = numbers(&hot.database().files()).pop_first().unwrap();
        let whole = fs::read(hot.inner.places.path(number)).unwrap();
        let at = folder.path().join("other.blob");
        let opens = |bytes: &[u8]| {
            fs::write(&at, bytes).unwrap();
            BlobFile::open(&at).is_some()
        };
        assert!(opens(&whole));
        for cut in [0, HEAD_LEN, whole.len() / 2, whole.len() - 1] {
            assert!(!opens(&whole[..cut]), "cut at {cut}");
        }
        // Magic number, version, family, flags, compression; the first record's lengths; the foot.
        for at in [0, 4, 8, 12, 13, HEAD_LEN, HEAD_LEN + 8, whole.len() - FOOT_LEN] {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert!(!opens(&other), "changed at {at}");
        }
    }

    #[test]
    fn a_block_that_was_changed_on_the_disk_is_an_error_and_no_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let hot = store(folder.path());
        let one = block(1, 9000);
        flushed(&hot, std::slice::from_ref(&one));
        let path = hot.inner.places.path(numbers(&hot.database().files()).pop_first().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEAD_LEN + RECORD_HEAD_LEN + 100] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(hot.get(one.cid()).is_err());
    }
}
