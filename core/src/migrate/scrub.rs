//! Whether a source is sound: its blocks read and hashed, all of them or a sample, with nothing copied.
//!
//! Owns which blocks are looked at, and in which order. This lists directories, which serving never does: it is done when
//! somebody asks for it, at the pace that is asked for. Changes nothing, and leaves the page cache to others. Must not know
//! what is done about a bad block.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io::BufReader;
use std::ops::ControlFlow;

use coldfront_flatfs::FlatFs;
use coldfront_pebble::Store;

use super::copy::{Limit, check};
use super::error::MigrateError;
use super::report::{Fault, FaultKind};
use super::source::{Part, Source, Unread, read_path};
use crate::block::Cid;
use crate::car::CarReader;
use crate::kubo::block_name;
use crate::kubo::tree::{self, Files, Listed, Shard};

/// Shard directories of a tree that a sample is taken from, at most: each is listed.
const MAX_SHARDS_SAMPLED: u64 = 16;

/// Blocks of a sample that are taken from one shard directory before another is listed.
const SAMPLED_IN_A_SHARD: u64 = 64;

/// How a source is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Blocks that are looked at: of a tree from shard directories chosen at random, of a store from a random key on, of a
    /// CAR file the first ones. `None`: all.
    pub sample: Option<u64>,
    /// Bytes read in a second, at most; `None` for as many as go.
    pub bytes_per_second: Option<u64>,
}

/// A block that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scrubbed {
    /// Its length in bytes; 0 where it could not be read.
    pub bytes: u64,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// Reads and hashes blocks of a source, one after another. `each` is told of every one, and may end it.
///
/// # Errors
/// [`MigrateError`] where the source as a whole cannot be read; a bad block is none.
pub fn scrub(
    source: &Source,
    options: &ScrubOptions,
    each: &mut dyn FnMut(Scrubbed) -> ControlFlow<()>,
) -> Result<(), MigrateError> {
    let mut scrub = Scrub {
        limit: Limit::new(options.bytes_per_second),
        left: options.sample.unwrap_or(u64::MAX),
        sampled: options.sample.is_some(),
        random: RandomState::new(),
        drawn: 0,
        each,
    };
    for part in source.parts() {
        let ended = match part {
            Part::Tree(tree) => scrub.tree(tree)?,
            Part::Pairs { store, prefix, .. } => scrub.pairs(store, prefix)?,
            Part::Car(path) => scrub.car(path)?,
        };
        if ended.is_break() {
            break;
        }
    }
    Ok(())
}

struct Scrub<'a> {
    limit: Limit,
    /// Blocks that are still to be looked at.
    left: u64,
    sampled: bool,
    random: RandomState,
    drawn: u64,
    each: &'a mut dyn FnMut(Scrubbed) -> ControlFlow<()>,
}

impl Scrub<'_> {
    /// A number nobody can foretell.
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn)
    }

    fn one(
        &mut self,
        cid: &Cid,
        place: impl FnOnce() -> String,
        data: Result<&[u8], Unread>,
    ) -> ControlFlow<()> {
        self.left -= 1;
        let bytes = data.as_ref().map_or(0, |data| data.len());
        self.limit.wait(bytes);
        let fault = match data.and_then(|data| check(cid, data)) {
            Ok(_) => None,
            Err(unread) => Some(Fault {
                kind: unread.kind,
                place: place(),
                cid: Some(*cid),
                detail: unread.detail,
            }),
        };
        (self.each)(Scrubbed { bytes: bytes as u64, fault })?;
        if self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn tree(&mut self, tree: &FlatFs) -> Result<ControlFlow<()>, MigrateError> {
        let failed = |source| MigrateError::Io { path: tree.root().to_owned(), source };
        let mut shards = tree::shards(tree.root(), tree.shard_fn()).map_err(failed)?;
        let mut of_each = u64::MAX;
        if self.sampled {
            shards.sort_by_cached_key(|_| self.draw());
            let spread = self.left.div_ceil(SAMPLED_IN_A_SHARD).clamp(1, MAX_SHARDS_SAMPLED);
            of_each = self.left.div_ceil(spread);
        }
        for shard in &shards {
            if self.shard(tree, shard, of_each).map_err(failed)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn shard(
        &mut self,
        tree: &FlatFs,
        shard: &Shard,
        mut most: u64,
    ) -> std::io::Result<ControlFlow<()>> {
        let mut files = Files::open(tree.root(), shard, tree.shard_fn())?;
        while most > 0 {
            let mut some = files.next_sorted()?;
            if some.is_empty() {
                break;
            }
            if self.sampled {
                some.sort_by_cached_key(|_| self.draw());
            }
            for file in some {
                if most == 0 {
                    break;
                }
                let path = files.path_of(&file.text);
                let ended = match file.listed {
                    Listed::Block(name) => {
                        let read = read_path(&path);
                        // Kubo removed it since it was listed.
                        if read.as_ref().is_err_and(|unread| unread.kind == FaultKind::Missing) {
                            continue;
                        }
                        most -= 1;
                        let place = || path.display().to_string();
                        match read {
                            Ok(data) => self.one(&name.cid, place, Ok(&data)),
                            Err(unread) => self.one(&name.cid, place, Err(unread)),
                        }
                    }
                    Listed::Misplaced(name) => {
                        let kind = FaultKind::Misnamed;
                        let unread =
                            Unread::new(kind, "it lies in a folder where it is not found".into());
                        most -= 1;
                        self.one(&name.cid, || path.display().to_string(), Err(unread))
                    }
                    Listed::Misnamed => continue,
                };
                if ended.is_break() {
                    return Ok(ended);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn pairs(&mut self, store: &Store, prefix: &str) -> Result<ControlFlow<()>, MigrateError> {
        let start = match self.sampled {
            // Names are in base 32 and begin with the same four letters; the digest follows.
            true => format!("{prefix}CIQ{}", self.letters()),
            false => prefix.to_owned(),
        };
        for pair in store.scan(start.as_bytes()) {
            let (key, value) = pair?;
            let Some(text) = key.strip_prefix(prefix.as_bytes()) else { break };
            let Some(name) = block_name(text) else { continue };
            let place = || String::from_utf8_lossy(&key).into_owned();
            if self.one(&name.cid, place, Ok(&value)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Two random letters of base 32.
    fn letters(&mut self) -> String {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let drawn = self.draw().to_le_bytes();
        let letter = |byte: &u8| char::from(*LETTERS.get(usize::from(byte % 32)).unwrap_or(&b'A'));
        drawn.iter().take(2).map(letter).collect()
    }

    fn car(&mut self, path: &std::path::Path) -> Result<ControlFlow<()>, MigrateError> {
        let failed = |source| MigrateError::Io { path: path.to_owned(), source };
        let car = |source| MigrateError::Car { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mut reader = CarReader::new(BufReader::new(file)).map_err(car)?;
        while let Some(section) = reader.next_section().map_err(car)? {
            let place = || format!("{} before byte {}", path.display(), reader.offset());
            if self.one(&section.cid, place, Ok(&section.data)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
