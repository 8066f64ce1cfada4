//! Pins: which roots must stay, and everything below them.
//!
//! Owns what a pin is and what keeps a block: a pin of it, or an edge from a parent that is kept. Edges are
//! indexed when a root is pinned, so that every question (what is pinned, is this pinned, why is this kept)
//! is answered from the index, and unpinning stops at the first block that another parent holds. Must not know
//! the Pinning Service, the wire, or how rows are stored. Rules of modes: boxo `pinning/pinner/dspinner/pin.go`.
//!
//! - `record`: a pin's bytes. `walk`: from a root to edges. `release`: what an unpin leaves loose.
//! - `roots`: roots with a name, which are kept and are no pins.
//! - `list`: pins and indirect pins, streamed. `why`: the way up.

mod list;
mod record;
mod release;
mod roots;
mod walk;
mod why;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub use list::{Indirect, Pins};
pub use record::PinMode;
pub use why::PinStatus;

use record::{Record, State};
use walk::Absent;

use crate::block::{Block, Cid, MultihashBytes, identity_bytes, verify};
use crate::error::{ReadError, StoreError};
use crate::store::BlockSource;
use crate::store::BlockStore as _;
use crate::store::hot::{Edit, Entry, Held, HotStore, Lease, PinKey, Spelling};

/// The longest name of a pin, in bytes; Kubo allows as many.
pub const MAX_NAME_LEN: usize = 255;

/// Pins of roots without links that are written in one batch.
const PINS_AT_A_TIME: usize = 1000;

/// What a pin or an edge takes on the disk, about, in bytes.
const ROW_LEN: u64 = 256;

/// A pin was not made, changed or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// There is no such pin.
    #[error("{0} is not pinned")]
    NotPinned(Cid),
    /// It is pinned already, where a new pin was asked for.
    #[error("{0} is pinned recursively already")]
    AlreadyPinned(Cid),
    /// Its mode forbids what was asked.
    #[error("{0} is pinned recursively")]
    PinnedRecursively(Cid),
    /// A name is longer than it may be.
    #[error("a pin's name has {len} bytes, more than the {MAX_NAME_LEN} it may have")]
    NameTooLong {
        /// Its length.
        len: usize,
    },
    /// The pin was removed, or made anew, while it was being made.
    #[error("the pin of {0} was removed while it was being made")]
    Removed(Cid),
    /// Whoever asked for it told it to stop.
    #[error("pinning {0} was cancelled")]
    Cancelled(Cid),
    /// What lies below goes deeper than a walk may.
    #[error("below {0} blocks lie more than {max} deep", max = walk::MAX_DEPTH)]
    TooDeep(Cid),
    /// A block below could not be read, or is not held.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<StoreError> for PinError {
    fn from(error: StoreError) -> Self {
        PinError::Read(ReadError::Store(error))
    }
}

impl From<crate::store::hot::HotError> for PinError {
    fn from(error: crate::store::hot::HotError) -> Self {
        StoreError::from(error).into()
    }
}

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pin {
    /// The root, as it was spelled when it was pinned.
    pub cid: Cid,
    /// How much it keeps.
    pub mode: PinMode,
    /// Its name; empty for none.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub since: u64,
    /// Whether everything below the root is in the index. `false` for roots whose content lies in an
    /// archive and is still to be walked.
    pub indexed: bool,
}

/// An adopted root whose indexing was tried.
#[derive(Debug)]
#[non_exhaustive]
pub struct Indexed {
    /// The root.
    pub cid: Cid,
    /// Why it is not in the index yet, if it is not.
    pub error: Option<PinError>,
}

/// A pin to be made.
#[derive(Clone, Debug)]
pub struct NewPin {
    /// The root.
    pub cid: Cid,
    /// How much is to be kept.
    pub mode: PinMode,
    /// Its name; empty for none.
    pub name: String,
}

impl NewPin {
    /// A recursive pin without a name.
    pub fn new(cid: Cid) -> NewPin {
        NewPin { cid, mode: PinMode::Recursive, name: String::new() }
    }
}

/// The pins of a hot store. Cloning shares it; calls may come from many threads and do not wait for one
/// another, except that a CID is pinned by one caller at a time.
#[derive(Clone)]
pub struct PinIndex {
    inner: Arc<Inner>,
}

struct Inner {
    hot: HotStore,
    /// Where blocks lie that are not in the hot store.
    below: Vec<Arc<dyn BlockSource>>,
    /// Blocks that may go at any time: copied into the hot store when they are pinned.
    cache: Option<Arc<dyn BlockSource>>,
    /// Blocks read by walks.
    read: AtomicU64,
}

/// Where a block is held, as far as a look told.
#[derive(Clone, Copy, Debug)]
enum Place {
    Here,
    Below(u32),
}

impl PinIndex {
    /// The pins of `hot`. Blocks that are not there are looked for in `below`, in order. Reads nothing.
    pub fn new(hot: &HotStore, below: Vec<Arc<dyn BlockSource>>) -> PinIndex {
        let inner = Inner { hot: hot.clone(), below, cache: None, read: AtomicU64::new(0) };
        PinIndex { inner: Arc::new(inner) }
    }

    /// The same. Blocks that are nowhere else are taken out of `cache`, whose own they are no longer: what is pinned of
    /// it is checked and copied into the hot store.
    pub fn with_cache(
        hot: &HotStore,
        below: Vec<Arc<dyn BlockSource>>,
        cache: Arc<dyn BlockSource>,
    ) -> PinIndex {
        let inner = Inner { hot: hot.clone(), below, cache: Some(cache), read: AtomicU64::new(0) };
        PinIndex { inner: Arc::new(inner) }
    }

    /// Pins a root. Durable on return, with every block below it.
    ///
    /// Reads every block below that may have links and is not in the index yet; leaves are looked up, not
    /// read. A recursive pin takes the place of a direct one; one that is there already gets the new name.
    /// Fails, and leaves things as they were, when a block is missing. Blocks that nothing keeps may be collected
    /// until the walk has come to their parents: who puts and then pins holds a lease meanwhile.
    pub fn add(&self, pin: &NewPin) -> Result<(), PinError> {
        self.add_watched(pin, &mut |_| ControlFlow::Continue(()))
    }

    /// The same; `progress` is told the number of blocks walked so far, and may stop it.
    pub fn add_watched(
        &self,
        pin: &NewPin,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), PinError> {
        self.add_unsynced(pin, progress)?;
        Ok(self.hot().make_durable()?)
    }

    /// Pins many roots, durable together on return. Those before one that fails are pinned. Roots
    /// without links take a share of a batch each: tens of thousands a second.
    pub fn add_all<'a>(&self, pins: impl IntoIterator<Item = &'a NewPin>) -> Result<(), PinError> {
        let mut leaves = Vec::new();
        let flush = |leaves: &mut Vec<&NewPin>| -> Result<(), PinError> {
            let done = self.add_leaves(leaves);
            leaves.clear();
            done
        };
        let mut done = Ok(());
        for pin in pins {
            let alone = pin.mode == PinMode::Direct || crate::links::has_no_links(pin.cid.codec());
            done = if alone {
                leaves.push(pin);
                if leaves.len() < PINS_AT_A_TIME { Ok(()) } else { flush(&mut leaves) }
            } else {
                flush(&mut leaves)
                    .and_then(|()| self.add_unsynced(pin, &mut |_| ControlFlow::Continue(())))
            };
            if done.is_err() {
                break;
            }
        }
        let done = done.and_then(|()| flush(&mut leaves));
        self.hot().make_durable()?;
        done
    }

    /// Takes over roots whose content lies in an archive: they are pinned on return, durably, and what lies
    /// below them comes into the index by [`PinIndex::index_next`]. `since` is when they were pinned.
    pub fn adopt(&self, pins: &[(NewPin, u64)]) -> Result<(), PinError> {
        for some in pins.chunks(PINS_AT_A_TIME) {
            self.hot().take_room(ROW_LEN * some.len() as u64)?;
            let mut edit = self.hot().edit();
            for (pin, since) in some {
                check_name(&pin.name)?;
                let entry = edit.archived(&pin.cid, 0, false)?;
                let key = PinKey::pin(entry.id, Spelling::of(&pin.cid));
                let leaf =
                    pin.mode == PinMode::Direct || crate::links::has_no_links(pin.cid.codec());
                let state = if leaf { State::Done } else { State::RootOnly };
                let is_there = |old: Record| {
                    old.state == State::Done
                        && (old.mode == pin.mode || old.mode == PinMode::Recursive)
                };
                if self.record(key)?.is_some_and(is_there) {
                    continue;
                }
                let serial = edit.serial()?;
                self.write(&mut edit, key, &new_record(pin, state, *since, serial))?;
            }
            edit.commit()?;
        }
        Ok(self.hot().make_durable()?)
    }

    /// Brings what lies below one adopted root into the index; `None` when there is none left. Where that
    /// fails the root stays adopted; `skip` names the last that was tried, to go on behind it.
    pub fn index_next(
        &self,
        skip: Option<&Cid>,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Indexed>, PinError> {
        let Some(pin) = self.next_adopted(skip)? else { return Ok(None) };
        let error = self.add_watched(&pin, progress).err();
        Ok(Some(Indexed { cid: pin.cid, error }))
    }

    fn next_adopted(&self, skip: Option<&Cid>) -> Result<Option<NewPin>, PinError> {
        let mut after = match skip {
            None => None,
            Some(cid) => {
                self.hot().entry(cid)?.map(|entry| PinKey::pin(entry.id, Spelling::of(cid)))
            }
        };
        loop {
            let Some(key) = self.hot().unfinished_after(after, 1)?.pop() else { return Ok(None) };
            after = Some(key);
            let Some(record) = self.record(key)? else { continue };
            if record.state == State::RootOnly && !key.is_root {
                let cid = self.cid_of(key, &record)?;
                return Ok(Some(NewPin { cid, mode: record.mode, name: record.name }));
            }
        }
    }

    /// Removes a pin. The removal is durable on return, and what only it kept is no longer kept; that costs
    /// one read of each such block that has links.
    ///
    /// `recursive` says that a recursive pin may go, too.
    pub fn remove(&self, cid: &Cid, recursive: bool) -> Result<(), PinError> {
        self.remove_record(cid, recursive)?;
        self.hot().make_durable()?;
        // The pin is gone, whatever this meets: what cannot be read now is released by a later call, and
        // a collection makes one.
        self.release_all().or(Ok(()))
    }

    fn remove_record(&self, cid: &Cid, recursive: bool) -> Result<(), PinError> {
        let mut edit = self.hot().edit();
        let Some(entry) = edit.entry(cid)? else { return Err(PinError::NotPinned(*cid)) };
        let key = PinKey::pin(entry.id, Spelling::of(cid));
        let record = self.record(key)?;
        match record.as_ref().and_then(Record::shown) {
            None => return Err(PinError::NotPinned(*cid)),
            Some(PinMode::Recursive) if !recursive => {
                return Err(PinError::PinnedRecursively(*cid));
            }
            Some(_) => {}
        }
        edit.erase_pin(key)?;
        // ORDER: in the same batch, so that no crash leaves edges below a root that is gone.
        edit.loosen(entry.id)?;
        edit.commit()?;
        Ok(())
    }

    /// Pins `to` and then, if `unpin`, removes the pin of `from`, which must be a recursive one. Walks what
    /// the two do not share. The new pin takes the name, and the place of a direct pin of `to`.
    pub fn update(&self, from: &Cid, to: &Cid, unpin: bool) -> Result<(), PinError> {
        let pin = self.get(from)?.filter(|pin| pin.mode == PinMode::Recursive);
        let pin = pin.ok_or(PinError::NotPinned(*from))?;
        if from == to {
            return Ok(());
        }
        if self.get(to)?.is_some_and(|pin| pin.mode == PinMode::Recursive) {
            return Err(PinError::AlreadyPinned(*to));
        }
        self.add(&NewPin { cid: *to, mode: PinMode::Recursive, name: pin.name })?;
        if unpin { self.remove(from, true) } else { Ok(()) }
    }

    /// The pin of a CID as it is spelled. Two look-ups.
    pub fn get(&self, cid: &Cid) -> Result<Option<Pin>, PinError> {
        let Some(entry) = self.hot().entry(cid)? else { return Ok(None) };
        let record = self.record(PinKey::pin(entry.id, Spelling::of(cid)))?;
        Ok(record.and_then(|record| shown(*cid, record)))
    }

    /// Blocks that walks have read since start: those with links, and those of which nobody could say.
    pub fn blocks_read(&self) -> u64 {
        self.inner.read.load(Ordering::Relaxed)
    }

    /// Gives up pins that were being made when the process ended: nobody was told that they are there.
    /// Making them again until then goes on where they were.
    pub fn drop_abandoned(&self) -> Result<(), PinError> {
        let mut after = None;
        while let Some(key) = self.hot().unfinished_after(after, 1)?.pop() {
            after = Some(key);
            let Some(record) = self.record(key)? else { continue };
            if matches!(record.state, State::Walking | State::WalkingWasDirect) {
                let cid = self.cid_of(key, &record)?;
                if let Some(_claim) = self.hot().claims().try_now(&cid) {
                    self.give_up(key, record.serial)?;
                }
            }
        }
        Ok(())
    }

    fn add_unsynced(
        &self,
        pin: &NewPin,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), PinError> {
        check_name(&pin.name)?;
        let _claim = self.hot().claims().wait(&pin.cid);
        let _lease = self.adopting();
        let Some((key, serial)) = self.begin(pin)? else { return Ok(()) };
        match self.walk(&pin.cid, key, serial, Absent::Fails, progress) {
            Ok(()) => self.finish(pin, key, serial),
            Err(error) => {
                self.give_up(key, serial)?;
                // What is in the way of it is met again by the next collection; this error says more.
                self.release_all().ok();
                Err(error)
            }
        }
    }

    /// Writes the record of a pin. `None` when that is all there is to do, else the pin is to be walked. Until that is
    /// done, the record has name and time of the pin that is there already, so that a failure or a crash loses nothing.
    fn begin(&self, pin: &NewPin) -> Result<Option<(PinKey, u64)>, PinError> {
        let place = self.look(&pin.cid)?;
        self.hot().take_room(ROW_LEN)?;
        self.hot().flush_below(&pin.cid)?;
        let mut edit = self.hot().edit();
        let entry = self.entry_for(&mut edit, &pin.cid, place)?;
        let key = PinKey::pin(entry.id, Spelling::of(&pin.cid));
        let old = self.record(key)?;
        let shown = old.as_ref().and_then(Record::shown);
        if pin.mode == PinMode::Direct && shown == Some(PinMode::Recursive) {
            return Err(PinError::PinnedRecursively(pin.cid));
        }
        let state = match (&old, pin.mode) {
            (_, PinMode::Direct) => State::Done,
            (Some(old), _) if old.mode == PinMode::Recursive && shown.is_some() => old.state,
            // Nothing hangs below it: one change instead of two.
            _ if crate::links::has_no_links(pin.cid.codec()) => State::Done,
            (Some(_), _) if shown.is_some() => State::WalkingWasDirect,
            _ => State::Walking,
        };
        if pin.mode == PinMode::Direct && old.as_ref().is_some_and(|old| old.mode != pin.mode) {
            // A walk that was given up may have left edges, which a direct pin does not keep.
            edit.loosen(entry.id)?;
        }
        let serial = edit.serial()?;
        let mut record = new_record(pin, state, now(), serial);
        if let Some(old) = old.filter(|_| shown.is_some()) {
            if state.is_unfinished() {
                (record.name, record.since) = (old.name, old.since);
            } else if shown == Some(pin.mode) {
                record.since = old.since;
            }
        }
        self.write(&mut edit, key, &record)?;
        edit.commit()?;
        Ok(state.is_unfinished().then_some((key, serial)))
    }

    /// All is walked: the pin is one, with its new name.
    fn finish(&self, pin: &NewPin, key: PinKey, serial: u64) -> Result<(), PinError> {
        let mut edit = self.hot().edit();
        let record = self.record(key)?.filter(|record| record.serial == serial);
        let record = record.ok_or(PinError::Removed(pin.cid))?;
        let was_direct = record.state == State::WalkingWasDirect;
        let since = if was_direct { now() } else { record.since };
        let name = pin.name.clone();
        self.write(&mut edit, key, &Record { state: State::Done, since, name, ..record })?;
        edit.commit()?;
        Ok(())
    }

    /// The walk failed: things are as they were.
    fn give_up(&self, key: PinKey, serial: u64) -> Result<(), PinError> {
        let mut edit = self.hot().edit();
        let Some(record) = self.record(key)?.filter(|record| record.serial == serial) else {
            return Ok(());
        };
        match record.state {
            State::Done | State::RootOnly => return Ok(()),
            State::Walking => edit.erase_pin(key)?,
            State::WalkingWasDirect => {
                let direct = Record { mode: PinMode::Direct, state: State::Done, ..record };
                self.write(&mut edit, key, &direct)?;
            }
        }
        edit.loosen(key.id)?;
        edit.commit()?;
        Ok(())
    }

    /// Pins of which each keeps one block, in one batch.
    fn add_leaves(&self, pins: &[&NewPin]) -> Result<(), PinError> {
        let _lease = self.adopting();
        let mut places = Vec::with_capacity(pins.len());
        for pin in pins {
            check_name(&pin.name)?;
            places.push(self.look(&pin.cid)?);
        }
        self.hot().take_room(ROW_LEN * pins.len() as u64)?;
        let mut edit = self.hot().edit();
        for (pin, place) in pins.iter().zip(places) {
            let entry = self.entry_for(&mut edit, &pin.cid, place)?;
            let key = PinKey::pin(entry.id, Spelling::of(&pin.cid));
            let shown = self.record(key)?.as_ref().and_then(Record::shown);
            if pin.mode == PinMode::Direct && shown == Some(PinMode::Recursive) {
                return Err(PinError::PinnedRecursively(pin.cid));
            }
            let serial = edit.serial()?;
            self.write(&mut edit, key, &new_record(pin, State::Done, now(), serial))?;
        }
        edit.commit()?;
        Ok(())
    }

    fn write(&self, edit: &mut Edit<'_>, key: PinKey, record: &Record) -> Result<(), PinError> {
        Ok(edit.write_pin(key, &record.to_bytes(), record.state.is_unfinished())?)
    }

    fn record(&self, key: PinKey) -> Result<Option<Record>, PinError> {
        let Some(bytes) = self.hot().pin_record(key)? else { return Ok(None) };
        Ok(Some(self.parse(key, &bytes)?))
    }

    fn parse(&self, key: PinKey, bytes: &[u8]) -> Result<Record, PinError> {
        Ok(Record::parse(bytes).ok_or_else(|| self.hot().damaged_pin(key))?)
    }

    fn cid_of(&self, key: PinKey, record: &Record) -> Result<Cid, PinError> {
        Ok(key.spelling.cid(&record.multihash).map_err(|_| self.hot().damaged_pin(key))?)
    }

    pub(crate) fn hot(&self) -> &HotStore {
        &self.inner.hot
    }

    /// Looks for a block: in the hot store, then below. One look-up, or one stat each.
    fn look(&self, cid: &Cid) -> Result<Place, PinError> {
        if let Some(bytes) = identity_bytes(cid) {
            return Ok(Place::Below(bytes.len() as u32));
        }
        if self.hot().size(cid)?.is_some() {
            return Ok(Place::Here);
        }
        for source in &self.inner.below {
            if let Some(len) = source.size(cid)? {
                return Ok(Place::Below(u32::try_from(len).unwrap_or(u32::MAX)));
            }
        }
        self.adopt_cached(cid)
    }

    /// Copies a block out of the cache. What cannot be read there, or is not what its CID says, is not there.
    fn adopt_cached(&self, cid: &Cid) -> Result<Place, PinError> {
        let cached = self.inner.cache.as_ref().and_then(|cache| cache.get(cid).ok().flatten());
        let block = cached.filter(|block| verify(cid, block.data(), "the cache").is_ok());
        let block = block.ok_or(ReadError::Missing(*cid))?;
        self.hot().put(&[block])?;
        Ok(Place::Here)
    }

    /// Keeps blocks that come out of the cache until edges do.
    fn adopting(&self) -> Option<Lease> {
        self.inner.cache.as_ref().map(|_| self.hot().lease())
    }

    /// The entry of a block that was found there.
    fn entry_for(&self, edit: &mut Edit<'_>, cid: &Cid, place: Place) -> Result<Entry, PinError> {
        match (place, edit.entry(cid)?) {
            (Place::Below(size), _) => Ok(edit.archived(cid, size, false)?),
            (Place::Here, Some(entry)) if entry.held != Held::Archive => {
                edit.rests_on(entry.id);
                Ok(entry)
            }
            // Collected since it was looked for.
            (Place::Here, _) => Err(ReadError::Missing(*cid).into()),
        }
    }

    /// The bytes of a block that may have links. Those from below are hashed: what a bad copy leaves
    /// out would not be kept.
    fn read(&self, cid: &Cid) -> Result<Block, PinError> {
        if let Some(bytes) = identity_bytes(cid) {
            return Ok(Block::trusted(*cid, bytes));
        }
        self.inner.read.fetch_add(1, Ordering::Relaxed);
        if let Some(block) = self.hot().get(cid)? {
            return Ok(block);
        }
        let mut bad = None;
        for source in &self.inner.below {
            let found = source.get(cid).and_then(|found| {
                found
                    .map(|block| verify(cid, block.data(), "an archive").map(|()| block))
                    .transpose()
            });
            match found {
                Ok(Some(block)) => return Ok(block),
                Ok(None) => {}
                Err(error) => bad = bad.or(Some(error)),
            }
        }
        Err(bad.map_or_else(|| ReadError::Missing(*cid).into(), PinError::from))
    }
}

/// A record that is read is the one that was written.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_record(bytes: &[u8]) {
    if let Some(record) = Record::parse(bytes) {
        assert_eq!(record.to_bytes(), bytes);
    }
}

impl fmt::Debug for PinIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinIndex").field("hot", self.hot()).finish_non_exhaustive()
    }
}

fn check_name(name: &str) -> Result<(), PinError> {
    match name.len() {
        len if len > MAX_NAME_LEN => Err(PinError::NameTooLong { len }),
        _ => Ok(()),
    }
}

fn new_record(pin: &NewPin, state: State, since: u64, serial: u64) -> Record {
    let multihash = MultihashBytes::of(&pin.cid).as_slice().to_vec();
    Record { mode: pin.mode, state, since, serial, multihash, name: pin.name.clone() }
}

fn shown(cid: Cid, record: Record) -> Option<Pin> {
    let mode = record.shown()?;
    let indexed = record.state == State::Done;
    Some(Pin { cid, mode, name: record.name, since: record.since, indexed })
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
