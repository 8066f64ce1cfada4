//! The tiers: several block sources in order, read as one and verified by policy.
//!
//! Owns the order (first source first), what is done with a bad copy (reported once, the next tier is
//! asked), the verification policy and the open files. Must not know UnixFS, paths or HTTP. Everything
//! in the library that reads a block reads it here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::block::{self, Cid, MAX_BLOCK_LEN, MultihashBytes};
use crate::error::StoreError;
use crate::store::faults::Faults;
use crate::store::open_files::{OpenBlock, OpenFiles};
use crate::store::suspects::Suspects;
use crate::store::verified::Verified;
use crate::store::{BlockSource, Extent, Fault, Located};

/// When the bytes of a block are hashed and compared with its CID before they are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Never, as long as nothing looks wrong. Lengths are compared with what the parent node says, and a
    /// copy that is empty, that does not decode or that has another length is hashed before it is believed
    /// or refused. Bytes changed in place, with none lost, are served as they are.
    #[default]
    Off,
    /// On the first read of each block since start, and again when its file has changed since.
    FirstRead,
    /// On every read. Each read of a leaf reads and hashes the whole leaf. Decoded nodes, and files of one
    /// block up to 16 KiB, are answered from memory while they are cached there, sound as they were.
    Always,
}

/// A source and the name it has in reports.
#[derive(Debug)]
struct Tier {
    name: String,
    source: Arc<dyn BlockSource>,
}

/// Bounds of what the tiers keep in memory and open.
#[derive(Clone, Debug)]
pub struct TierLimits {
    /// Files held open for leaves that were read lately. Default 4096.
    pub open_files: usize,
    /// Blocks remembered as verified under [`Verify::FirstRead`], about 40 bytes each. Default 262,144.
    pub verified_blocks: usize,
}

impl Default for TierLimits {
    fn default() -> Self {
        TierLimits { open_files: 4096, verified_blocks: 262_144 }
    }
}

/// A tier that holds a block.
#[derive(Debug)]
#[non_exhaustive]
pub struct Holder {
    /// Its name in reports.
    pub tier: String,
    /// The block's length there, in bytes; or why its copy cannot be used.
    pub size: Result<u64, StoreError>,
    /// The file that the block lies in, where it is known.
    pub path: Option<String>,
}

/// Several block sources, asked in order.
#[derive(Debug)]
pub struct Tiers {
    tiers: Vec<Tier>,
    verify: Verify,
    files: OpenFiles,
    verified: Verified,
    suspects: Suspects,
    faults: Faults,
    hashed: AtomicU64,
    located: AtomicU64,
}

/// Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Blocks that a source was asked for and held: for an archive, files opened.
    pub located: u64,
    /// Blocks hashed and compared with their CID.
    pub hashed: u64,
    /// Times a bad copy was met.
    pub faults: u64,
    /// Files open now because they were read lately.
    pub open_files: usize,
}

impl Tiers {
    /// Stacks sources, the first to be asked first. Asks none of them anything yet.
    pub fn new(
        sources: impl IntoIterator<Item = (String, Arc<dyn BlockSource>)>,
        verify: Verify,
        limits: &TierLimits,
    ) -> Self {
        Tiers {
            tiers: sources.into_iter().map(|(name, source)| Tier { name, source }).collect(),
            verify,
            files: OpenFiles::new(limits.open_files.max(1)),
            verified: Verified::new(limits.verified_blocks.max(1)),
            suspects: Suspects::default(),
            faults: Faults::default(),
            hashed: AtomicU64::new(0),
            located: AtomicU64::new(0),
        }
    }

    /// Every tier that holds a block, in order, with its length there and the file that it lies in, if it is one. Nothing is
    /// verified. One open a tier.
    pub(crate) fn holders(&self, cid: &Cid) -> Vec<Holder> {
        let held = |tier: &Tier| {
            let (size, path) = match tier.source.locate(cid) {
                Ok(None) => return None,
                Ok(Some(Located::Extent(extent))) => (Ok(extent.len()), Some(extent.path())),
                Ok(Some(Located::Bytes(bytes))) => (Ok(bytes.len() as u64), None),
                Err(error) => (Err(error), None),
            };
            Some(Holder { tier: tier.name.clone(), size, path })
        };
        self.tiers.iter().filter_map(held).collect()
    }

    /// Whether blocks are hashed before they are used.
    pub(crate) fn verifies(&self) -> bool {
        self.verify != Verify::Off
    }

    /// Finds a block, from the first tier that holds a good copy. `None`: no tier holds it.
    ///
    /// One open, or none when its file is open already. When the policy asks for verification the
    /// block is read and hashed here, and comes back as bytes.
    pub fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        self.locate_by(self.verify, cid)
    }

    /// Hashes the copy of a block that was read and believed, because what it says may not be so: it names
    /// a block that is in no tier. Gives a sound copy where it may be another than the one that was read:
    /// `None` means that the latter is known to be sound, or that nobody can know.
    ///
    /// A bad copy is reported, and avoided from now on where another tier has a good one; where none has,
    /// the error says so. Costs nothing where blocks are verified anyway; else an open, and a read and a
    /// hash once for each state of the file.
    pub(crate) fn audit(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        if self.verify != Verify::Off || block::identity_bytes(cid).is_some() {
            return Ok(None);
        }
        let key = MultihashBytes::of(cid);
        let (found, was_bad) = self
            .first_good(cid, |tier| self.locate_in(tier, Verify::FirstRead, cid, key.as_slice()));
        if was_bad {
            self.files.remove(key.as_slice());
            self.suspects.insert(key.as_slice());
        }
        match found {
            Ok(Some(Located::Extent(_))) if !was_bad => Ok(None),
            Err(StoreError::UnknownHash { .. }) => Ok(None),
            found => found,
        }
    }

    /// Finds a block whose copy was met and is not what it should be: cut short, not to be decoded, of
    /// another length than its parent says. Whatever the policy, only a copy that hashes to the CID is
    /// given, as bytes; so a good copy in another tier answers, and a bad one is reported. One whole
    /// read and one hash of each copy that is met.
    pub(crate) fn locate_sound(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        self.locate_by(Verify::Always, cid)
    }

    /// Finds where a block lies to have it read into the page cache: nothing of it is given to anybody, so nothing is
    /// checked and no fault is counted. An empty leaf is no leaf. One open.
    pub(crate) fn locate_unverified(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        if let Some(bytes) = block::identity_bytes(cid) {
            return Ok(Some(Located::Bytes(bytes)));
        }
        let key = MultihashBytes::of(cid);
        if let Some(open) = self.files.get(key.as_slice()) {
            return Ok(Some(Located::Extent(Extent::whole(open))));
        }
        for tier in &self.tiers {
            let Some(found) = tier.source.locate(cid)? else { continue };
            if let Located::Extent(extent) = &found
                && !tier.source.may_remove()
            {
                self.files.insert(key.as_slice(), extent.block().clone());
            }
            return Ok(Some(found));
        }
        Ok(None)
    }

    fn locate_by(&self, policy: Verify, cid: &Cid) -> Result<Option<Located>, StoreError> {
        if let Some(bytes) = block::identity_bytes(cid) {
            return Ok(Some(Located::Bytes(bytes)));
        }
        let key = MultihashBytes::of(cid);
        let suspected = self.suspects.contains(key.as_slice());
        let policy = if suspected { Verify::Always } else { policy };
        if let Some(open) = self.files.get(key.as_slice()) {
            match self.check(policy, cid, Located::Extent(Extent::whole(open)), "an open file") {
                Ok(good) => return Ok(Some(good)),
                // The open file may be a stale one: the tiers have the last word.
                Err(_) => self.files.remove(key.as_slice()),
            }
        }
        let locate =
            || self.first_good(cid, |tier| self.locate_in(tier, policy, cid, key.as_slice()));
        let (found, was_bad) = match locate() {
            // The handles are ours: files held open only because they may be read again make room.
            (Err(error), _) if error.is_out_of_files() => {
                self.files.clear();
                locate()
            }
            answer => answer,
        };
        if suspected && !was_bad && matches!(found, Ok(Some(_))) {
            self.suspects.remove(key.as_slice());
        }
        found
    }

    /// The first tier's answer that is one. When there is none: the first error, but rather one that
    /// says that a tier is away, since it may hold what the others hold badly.
    fn first_of<T>(
        &self,
        cid: &Cid,
        ask: impl Fn(&Tier) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.first_good(cid, ask).0
    }

    /// The same, and whether a bad copy was met on the way.
    fn first_good<T>(
        &self,
        cid: &Cid,
        ask: impl Fn(&Tier) -> Result<Option<T>, StoreError>,
    ) -> (Result<Option<T>, StoreError>, bool) {
        let mut worst: Option<StoreError> = None;
        let mut was_bad = false;
        for tier in &self.tiers {
            match ask(tier) {
                Ok(Some(answer)) => return (Ok(Some(answer)), was_bad),
                Ok(None) => {}
                Err(error) => {
                    self.report(tier, cid, &error);
                    was_bad |= error.is_fault();
                    if worst.as_ref().is_none_or(|e| !e.is_unavailable() && error.is_unavailable())
                    {
                        worst = Some(error);
                    }
                }
            }
        }
        (worst.map_or(Ok(None), Err), was_bad)
    }

    fn locate_in(
        &self,
        tier: &Tier,
        policy: Verify,
        cid: &Cid,
        key: &[u8],
    ) -> Result<Option<Located>, StoreError> {
        let Some(found) = tier.source.locate(cid)? else { return Ok(None) };
        self.located.fetch_add(1, Ordering::Relaxed);
        let open = match &found {
            Located::Extent(extent) if !tier.source.may_remove() => Some(extent.block().clone()),
            Located::Extent(_) | Located::Bytes(_) => None,
        };
        let good = self.check(policy, cid, found, &tier.name)?;
        if let Some(open) = open {
            self.files.insert(key, open);
        }
        Ok(Some(good))
    }

    /// Finds a block without waiting: its file is open, or can be opened without a disk, and the policy
    /// has nothing left to check. `None` says nothing about the block. Like [`Tiers::locate`], it gives the
    /// copy of the first tier that holds the block.
    pub fn locate_now(&self, cid: &Cid) -> Option<Located> {
        if let Some(bytes) = block::identity_bytes(cid) {
            return Some(Located::Bytes(bytes));
        }
        if self.verify == Verify::Always {
            return None;
        }
        let key = MultihashBytes::of(cid);
        if self.suspects.contains(key.as_slice()) {
            return None;
        }
        let found = match self.files.get(key.as_slice()) {
            Some(open) => Located::Extent(Extent::whole(open)),
            None => self.open_now(cid, key.as_slice())?,
        };
        // Bytes are those of a block so small that they were not worth a file.
        let Located::Extent(extent) = &found else {
            return (self.verify == Verify::Off).then_some(found);
        };
        let open = extent.block();
        let sound = self.verify == Verify::Off || self.is_verified(open, key.as_slice()).is_ok();
        sound.then_some(found)
    }

    /// Opens a file that no disk is needed for, in the first tier that may hold the block: what is odd about
    /// the copy there is seen and told by whoever may wait, and not passed over.
    fn open_now(&self, cid: &Cid, key: &[u8]) -> Option<Located> {
        let mut tiers = self.tiers.iter();
        let (tier, found) = loop {
            let tier = tiers.next()?;
            match tier.source.locate_now(cid) {
                Some(found) => break (tier, found),
                None if tiers.len() > 0 && tier.source.lacks_now(cid) => {}
                None => return None,
            }
        };
        // Empty files are checked, and that is for `locate`.
        if found.is_empty() {
            return None;
        }
        self.located.fetch_add(1, Ordering::Relaxed);
        if let Located::Extent(extent) = &found
            && !tier.source.may_remove()
        {
            self.files.insert(key, extent.block().clone());
        }
        Some(found)
    }

    /// The length of a block in bytes, from the first tier that answers. One stat; not verified, except
    /// that an empty file is an error for all but the empty block.
    pub fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        if let Some(bytes) = block::identity_bytes(cid) {
            return Ok(Some(bytes.len() as u64));
        }
        self.first_of(cid, |tier| {
            let size = tier.source.size(cid)?;
            if size == Some(0) {
                self.verify(cid, &[], &tier.name)?;
            }
            Ok(size)
        })
    }

    /// Reads all of a located block. For blocks that must be seen whole: nodes. When this copy cannot be
    /// read to its end, or is too large, it is reported and another tier is asked.
    pub(crate) fn read_whole(&self, cid: &Cid, found: Located) -> Result<Bytes, StoreError> {
        bytes_of(cid, found).or_else(|error| match self.locate_sound(cid)? {
            Some(sound) => bytes_of(cid, sound),
            None => Err(error),
        })
    }

    /// Closes the file of a block that was read once and will not be read again soon.
    pub(crate) fn close(&self, cid: &Cid) {
        self.files.remove(MultihashBytes::of(cid).as_slice());
    }

    /// To be called when reading an extent failed: counts the fault and closes the file. From now on the
    /// block is hashed whenever it is read, so the next reader is given a copy that can be read to its end,
    /// from another tier where it must be.
    pub(crate) fn failed(&self, extent: &Extent, error: &StoreError) {
        let cid = extent.block().cid();
        self.close(cid);
        self.suspects.insert(MultihashBytes::of(cid).as_slice());
        self.faults.report(&extent.path(), cid, error);
    }

    /// Closes files that nobody read in the last `seconds`.
    pub fn close_idle(&self, seconds: u32) {
        self.files.close_idle(seconds);
    }

    /// Whether a located block may come as bytes in memory: to be verified, or from a source that has no files.
    pub fn may_hold_blocks_in_memory(&self) -> bool {
        self.verify != Verify::Off || self.tiers.iter().any(|tier| !tier.source.gives_extents())
    }

    /// Asks every tier whether it answers at all; what does not is named. One stat for an archive.
    ///
    /// When one does not, all open files are closed: what they belong to may be unmounted now, or be
    /// another tree tomorrow.
    pub fn unavailable(&self) -> Vec<(String, StoreError)> {
        let gone: Vec<_> = self
            .tiers
            .iter()
            .filter_map(|tier| Some((tier.name.clone(), tier.source.available().err()?)))
            .collect();
        if !gone.is_empty() {
            self.files.clear();
        }
        gone
    }

    /// The faults met since the last call, each bad copy once.
    pub fn take_faults(&self) -> Vec<Fault> {
        self.faults.take()
    }

    /// Counters since start.
    pub fn stats(&self) -> TierStats {
        TierStats {
            located: self.located.load(Ordering::Relaxed),
            hashed: self.hashed.load(Ordering::Relaxed),
            faults: self.faults.met(),
            open_files: self.files.len(),
        }
    }

    /// Applies a policy to a copy that was found.
    fn check(
        &self,
        policy: Verify,
        cid: &Cid,
        found: Located,
        place: &str,
    ) -> Result<Located, StoreError> {
        match (policy, found) {
            // An empty file is what a power cut leaves of an unsynced block; one block is truly empty.
            (_, found) if found.is_empty() => {
                self.verify(cid, &[], &place_of(&found, place))?;
                Ok(found)
            }
            (Verify::Off, found) => Ok(found),
            (Verify::FirstRead, Located::Extent(extent)) => self.check_first(cid, extent),
            (_, Located::Extent(extent)) => {
                let path = extent.path();
                let bytes = read_bounded(cid, extent)?;
                self.verify(cid, &bytes, &path)?;
                Ok(Located::Bytes(bytes))
            }
            (_, Located::Bytes(bytes)) => {
                self.verify(cid, &bytes, place)?;
                Ok(Located::Bytes(bytes))
            }
        }
    }

    fn check_first(&self, cid: &Cid, extent: Extent) -> Result<Located, StoreError> {
        let key = MultihashBytes::of(cid);
        let open = extent.block().clone();
        // ORDER: the stamp before the bytes, so that a write in between leaves a stamp that no longer fits.
        let Err(stamp) = self.is_verified(&open, key.as_slice()) else {
            return Ok(Located::Extent(extent));
        };
        let bytes = read_bounded(cid, extent)?;
        self.verify(cid, &bytes, &open.path())?;
        if let Some(stamp) = stamp {
            open.set_verified(stamp);
            self.verified.insert(key.as_slice(), stamp);
        }
        Ok(Located::Bytes(bytes))
    }

    /// `Ok` when this file was verified in the state it is in now; else its present stamp, if it has one.
    fn is_verified(&self, open: &OpenBlock, key: &[u8]) -> Result<(), Option<u64>> {
        let stamp = self.verified.stamp(open.file().stamp().map_err(|_| None)?);
        if open.verified_as() == stamp {
            return Ok(());
        }
        if self.verified.contains(key, stamp) {
            open.set_verified(stamp);
            return Ok(());
        }
        Err(Some(stamp))
    }

    fn verify(&self, cid: &Cid, data: &[u8], place: &str) -> Result<(), StoreError> {
        self.hashed.fetch_add(1, Ordering::Relaxed);
        block::verify(cid, data, place)
    }

    /// Counts and queues a bad copy.
    fn report(&self, tier: &Tier, cid: &Cid, error: &StoreError) {
        if error.is_fault() {
            self.faults.report(&tier.name, cid, error);
        }
    }
}

fn place_of(found: &Located, tier: &str) -> String {
    match found {
        Located::Extent(extent) => extent.path(),
        Located::Bytes(_) => tier.into(),
    }
}

fn bytes_of(cid: &Cid, found: Located) -> Result<Bytes, StoreError> {
    match found {
        Located::Bytes(bytes) => Ok(bytes),
        Located::Extent(extent) => read_bounded(cid, extent),
    }
}

fn read_bounded(cid: &Cid, mut extent: Extent) -> Result<Bytes, StoreError> {
    let len = extent.len();
    if len > MAX_BLOCK_LEN {
        return Err(StoreError::TooLarge { cid: *cid, place: extent.path(), len });
    }
    let mut data = Vec::new();
    extent.read_to_end(&mut data)?;
    Ok(Bytes::from(data))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::block::Block;

    /// Has no file handle left, until it was asked once.
    #[derive(Debug, Default)]
    struct OnceOutOfFiles(AtomicBool);

    impl BlockSource for OnceOutOfFiles {
        fn get(&self, _: &Cid) -> Result<Option<Block>, StoreError> {
            Ok(None)
        }

        fn locate(&self, _: &Cid) -> Result<Option<Located>, StoreError> {
            if self.0.swap(true, Ordering::Relaxed) {
                return Ok(Some(Located::Bytes(Bytes::from_static(b"x"))));
            }
            let source = std::io::Error::other("too many open files");
            Err(coldfront_flatfs::Error::OutOfFiles { source }.into())
        }

        fn size(&self, _: &Cid) -> Result<Option<u64>, StoreError> {
            Ok(None)
        }
    }

    #[test]
    fn without_a_file_handle_the_open_files_are_closed_and_the_block_is_asked_for_again() {
        let source: Arc<dyn BlockSource> = Arc::new(OnceOutOfFiles::default());
        let tiers = Tiers::new([("a".into(), source)], Verify::Off, &TierLimits::default());
        let cid = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy".parse().unwrap();
        assert!(tiers.locate(&cid).unwrap().is_some());
    }
}
