//! A stopped store of any kind, as ordered pairs of bytes.
//!
//! Tells the kinds apart by their files. What the pairs mean is the caller's to know.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::Pair;
use crate::badger::{self, Badger};
use crate::behind::IsCached;
use crate::entry::Dialect;
use crate::error::{Error, Feature, Notes};
use crate::journal::Replay;
use crate::lsm::Lsm;
use crate::merge::Merge;
use crate::source::{list, number_after, number_before};
use crate::{leveldb, pebble};

/// Which program wrote a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Pebble: Kubo's `pebbleds`.
    Pebble,
    /// LevelDB, that of Go: Kubo's `datastore`, beside flatfs.
    LevelDb,
    /// Badger 1: Kubo's `badgerds`.
    Badger,
}

/// How a store is read.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Options {
    /// Whether what is damaged is reported and passed over, instead of ending the reading.
    ///
    /// A key whose newest entry is lost may then show an older value, or one that was deleted: right for content that is
    /// checked by its hash, to be looked at for anything else. Where the manifest itself cannot be read, every table of a
    /// LevelDB or Pebble store is.
    pub salvage: bool,
    /// How it can be told what the page cache holds of a file. With it, reading leaves nothing there of tables and value
    /// logs that was not there before, so that whoever is served keeps what is cached for them. Default: not told.
    pub is_cached: Option<IsCached>,
}

impl Options {
    /// Everything is read or nothing is.
    #[must_use]
    pub fn new() -> Self {
        Options::default()
    }

    /// Sets [`salvage`](Options::salvage).
    #[must_use]
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.salvage = salvage;
        self
    }

    /// Sets [`is_cached`](Options::is_cached).
    #[must_use]
    pub fn drop_behind(mut self, is_cached: IsCached) -> Self {
        self.is_cached = Some(is_cached);
        self
    }
}

/// A store that no program has open. Nothing in its directory is made, changed, locked or removed.
///
/// The caller sees to it that the store is stopped, for Kubo by holding `repo.lock`.
#[derive(Debug)]
pub struct Store {
    kind: Kind,
    salvage: bool,
    notes: Notes,
    held: Held,
}

/// A store of either family.
#[derive(Debug)]
enum Held {
    Lsm(Box<Lsm>),
    Badger(Box<Badger>),
}

impl Store {
    /// Opens the store in the directory `path`. Reads its manifest and its journals, the latter into memory, at most
    /// [`MAX_JOURNAL_BYTES`](crate::MAX_JOURNAL_BYTES); tables are opened when they are needed.
    ///
    /// # Errors
    /// [`Error::NotAStore`] when there is none, [`Error::Unsupported`] when it uses what is not read here,
    /// [`Error::Damaged`] with file and offset, [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Store::open_with(path, Options::new())
    }

    /// Opens the store in the directory `path`, as `options` say.
    ///
    /// # Errors
    /// Those of [`Store::open`]; what was passed over for [`Options::salvage`] is in [`Store::notes`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let dir = path.as_ref();
        let names = list(dir)?;
        let kind = kind_of(&names).ok_or_else(|| Error::NotAStore { path: dir.to_owned() })?;
        let Options { salvage, is_cached } = options;
        let mut notes = Notes::default();
        let mut lsm = |manifest, dialect| {
            Lsm::open(dir, manifest, Replay { dialect, salvage, is_cached }, &mut notes)
                .map(|lsm| Held::Lsm(Box::new(lsm)))
        };
        let held = match kind {
            Kind::Pebble => lsm(pebble::manifest(dir, &names, salvage), Dialect::Pebble)?,
            Kind::LevelDb => {
                refuse_rocksdb(dir, &names)?;
                lsm(leveldb::manifest(dir, &names), Dialect::LevelDb)?
            }
            Kind::Badger => Held::Badger(Box::new(Badger::open(dir, options, &mut notes)?)),
        };
        Ok(Store { kind, salvage, notes, held })
    }

    /// Which program wrote it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What was met at open and passed over: the unfinished end of the newest journal after a crash, and with
    /// [`Options::salvage`] what is damaged in manifest and journals, and in tables that are read at open; of that, the first [`MAX_NOTES`](crate::MAX_NOTES).
    #[must_use]
    pub fn notes(&self) -> &[Error] {
        self.notes.as_slice()
    }

    /// The pairs whose keys are not less than `from`, by key ascending. To go on after a stop, scan from the last key
    /// and leave that out. Holds one block of one table for each level and each overlapping table of level 0.
    ///
    /// An error ends the walk; with [`Options::salvage`] the walk goes on behind what cannot be read.
    #[must_use]
    pub fn scan(&self, from: &[u8]) -> Scan<'_> {
        self.scan_unseen(from, &BTreeSet::new())
    }

    /// As [`Store::scan`], but for what lies in the tables with the numbers `seen`: those that [`Store::tables`] named when
    /// the store was walked before. A table never changes, so what is new since then is in others, or in the journals.
    ///
    /// What else is in those comes along: pairs that compaction moved there, and a pair that was deleted since, if its
    /// deletion lies in a table of `seen`. Right for content that is known by its hash, to be looked at for anything else.
    #[must_use]
    pub fn scan_unseen(&self, from: &[u8], seen: &BTreeSet<u64>) -> Scan<'_> {
        let (merge, badger) = match &self.held {
            Held::Lsm(lsm) => (lsm.scan(from, seen), None),
            Held::Badger(badger) => (badger.scan(from, seen), Some(&**badger)),
        };
        Scan { merge, badger, prefix: Vec::new(), salvage: self.salvage, over: false }
    }

    /// The tables that make up the store, by number, each with the path of its file. What journals and value logs hold
    /// besides is in none of them. No I/O, but for old LevelDB stores a look at each.
    #[must_use]
    pub fn tables(&self) -> Vec<(u64, PathBuf)> {
        match &self.held {
            Held::Lsm(lsm) => lsm.tables(),
            Held::Badger(badger) => badger.tables(),
        }
    }

    /// The pairs whose keys begin with `prefix`, as [`Store::scan`] gives them.
    #[must_use]
    pub fn scan_prefix(&self, prefix: &[u8]) -> Scan<'_> {
        Scan { prefix: prefix.to_vec(), ..self.scan(prefix) }
    }

    /// The value of `key`. Reads a block for each level at most, and for each table of level 0 that may hold the key.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`] when a table that may hold the key cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match &self.held {
            Held::Lsm(lsm) => lsm.get(key),
            Held::Badger(badger) => badger.get(key),
        }
    }
}

/// A walk over pairs. See [`Store::scan`].
#[derive(Debug)]
pub struct Scan<'a> {
    merge: Merge<'a>,
    /// Where values are fetched from, if they lie apart.
    badger: Option<&'a Badger>,
    prefix: Vec<u8>,
    salvage: bool,
    over: bool,
}

impl Iterator for Scan<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.next_pair() {
            Ok(Some(pair)) => Some(Ok(pair)),
            Ok(None) => {
                self.over = true;
                None
            }
            Err(error) => {
                self.over = !self.salvage;
                Some(Err(error))
            }
        }
    }
}

impl Scan<'_> {
    fn next_pair(&mut self) -> Result<Option<Pair>, Error> {
        while let Some(newest) = self.merge.next_newest()? {
            if !newest.key.starts_with(&self.prefix) {
                return Ok(None);
            }
            let Some(mut value) = newest.value else { continue };
            if let Some(badger) = self.badger {
                match badger.resolve(&newest.key, newest.sequence, &value)? {
                    Some(resolved) => value = resolved,
                    None => continue,
                }
            }
            return Ok(Some((newest.key, value)));
        }
        Ok(None)
    }
}

impl std::iter::FusedIterator for Scan<'_> {}

/// The kind of the store with the files `names`.
fn kind_of(names: &[String]) -> Option<Kind> {
    let has_tables = || names.iter().any(|name| number_before(name, "ldb").is_some());
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if names.iter().any(|name| badger::is_manifest(name)) {
        Some(Kind::Badger)
    } else if pebble::has_markers(names) {
        Some(Kind::Pebble)
    } else if has("CURRENT") && pebble::options(names).is_some() && !has_tables() {
        // Pebble of Kubo 0.31 to 0.33. RocksDB looks the same; its options tell.
        Some(Kind::Pebble)
    } else {
        let current = |name: &String| {
            name == "CURRENT" || name == "CURRENT.bak" || number_after(name, "CURRENT.").is_some()
        };
        names.iter().any(current).then_some(Kind::LevelDb)
    }
}

/// RocksDB keeps a file of this name beside its `CURRENT`.
fn refuse_rocksdb(dir: &Path, names: &[String]) -> Result<(), Error> {
    if names.iter().any(|name| name == "IDENTITY") { Err(Feature::RocksDb.of(dir)) } else { Ok(()) }
}
