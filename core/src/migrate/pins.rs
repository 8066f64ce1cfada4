//! Pin sets without their blocks: taken over, listed, checked. For archives that are served in place.
//!
//! Owns what becomes of a listed pin that is there already, what makes a pin whole, and what is remembered of a pin beside what
//! it keeps: labels, an end, what a cluster knows. That lies in the space of records [`LABELS`], under the binary CID, as
//! the line that `ipfs-cluster-service state export` writes. Must not know the forms of lists,
//! which [`pin_lists`](super::pin_lists) reads.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::pin_lists::{Listed, ListedPin, PinList, PinListOptions, Tally, write_cluster_pin};
use super::source::chain;
use crate::block::{Block, Cid, RAW, verify};
use crate::error::{ReadError, StoreError};
use crate::pin::{NewPin, Pin, PinError, PinIndex, PinMode};
use crate::store::BlockSource;
use crate::store::hot::Change;
use crate::walk::{Repeats, walk};

/// The space of records that holds what lists said of pins beside what they keep.
pub const LABELS: &str = "pin-labels";

/// Pins that are taken over with one sync.
const AT_A_TIME: usize = 1000;

/// Roots that a report names; further ones are counted only.
pub const MAX_NAMED: usize = 10_000;

/// A pin set could not be worked on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinSetError {
    /// The list could not be read to its end. What came before is pinned.
    #[error("reading the list failed")]
    List(#[from] io::Error),
    /// The store could not be read or written.
    #[error("the pins of the hot store could not be read or written")]
    Pins(#[from] PinError),
}

impl From<StoreError> for PinSetError {
    fn from(error: StoreError) -> Self {
        PinSetError::Pins(error.into())
    }
}

/// What came of a list that was taken over.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Imported {
    /// The list itself.
    pub list: Tally,
    /// Pins that are new.
    pub added: u64,
    /// Pins that were there, and got a name or a mode that keeps more.
    pub changed: u64,
    /// Pins that were there as they are listed.
    pub there: u64,
    /// Pins whose roots no source holds. They are not made.
    pub missing: u64,
    /// The first [`MAX_NAMED`] of these, with their lines.
    pub missing_roots: Vec<(u64, Cid)>,
    /// Whether it was stopped before the end of the list.
    pub stopped: bool,
}

/// Takes over the pins of a list, as roots: what lies below them comes into the index by [`check`] or while a gateway serves.
/// Durable on return, and after every thousand. `below` are the archives.
///
/// A pin that is there stays what it is; it gets the listed name if it has none, and becomes recursive where it was direct
/// and is listed as recursive. Costs a look-up or a stat for each root.
pub fn import(
    pins: &PinIndex,
    below: &[Arc<dyn BlockSource>],
    list: &mut dyn Iterator<Item = io::Result<Listed>>,
    watch: &mut dyn FnMut(&Imported) -> ControlFlow<()>,
) -> Result<Imported, PinSetError> {
    let mut done = Imported::default();
    let mut new = New::default();
    for listed in list {
        let listed = listed?;
        done.list.count(&listed);
        let Listed::Pin(pin) = listed else { continue };
        take_over(pins, below, *pin, &mut new, &mut done)?;
        if new.pins.len().max(new.labels.len()) >= AT_A_TIME {
            new.write(pins)?;
            if watch(&done).is_break() {
                done.stopped = true;
                break;
            }
        }
    }
    new.write(pins)?;
    Ok(done)
}

/// Remembers what a list says of pins beside what they keep, for those that are there: to be called when a job has pinned what
/// the list names. How many. Durable on return.
pub fn label(
    pins: &PinIndex,
    list: &mut dyn Iterator<Item = io::Result<Listed>>,
) -> Result<u64, PinSetError> {
    let (mut new, mut labelled) = (New::default(), 0);
    for listed in list {
        let Listed::Pin(pin) = listed? else { continue };
        if pins.get(&pin.cid)?.is_some() {
            new.label(&pin)?;
        }
        if new.labels.len() >= AT_A_TIME {
            labelled += new.labels.len() as u64;
            new.write(pins)?;
        }
    }
    labelled += new.labels.len() as u64;
    new.write(pins)?;
    Ok(labelled)
}

/// What is to be written next.
#[derive(Default)]
struct New {
    pins: Vec<(NewPin, u64)>,
    labels: Vec<Change>,
}

impl New {
    fn write(&mut self, pins: &PinIndex) -> Result<(), PinError> {
        // ORDER: a label without a pin is harmless, a pin without its label has lost it.
        pins.hot().records(LABELS).put(&self.labels)?;
        pins.adopt(&self.pins)?;
        self.labels.clear();
        self.pins.clear();
        Ok(())
    }

    /// Remembers what a list says of a pin beside what it keeps, if it says anything.
    fn label(&mut self, listed: &ListedPin) -> io::Result<()> {
        let bare = ListedPin {
            line: listed.line,
            mode: listed.mode,
            name: listed.name.clone(),
            created: listed.created,
            notes: listed.notes.clone(),
            ..ListedPin::new(listed.cid)
        };
        if *listed == bare {
            return Ok(());
        }
        let mut line = Vec::new();
        write_cluster_pin(&mut line, listed)?;
        self.labels.push((listed.cid.to_bytes(), Some(line)));
        Ok(())
    }
}

fn take_over(
    pins: &PinIndex,
    below: &[Arc<dyn BlockSource>],
    listed: ListedPin,
    new: &mut New,
    done: &mut Imported,
) -> Result<(), PinSetError> {
    let there = pins.get(&listed.cid)?;
    if there.is_some() {
        new.label(&listed)?;
    }
    let wanted = match &there {
        None => NewPin { cid: listed.cid, mode: listed.mode, name: listed.name.clone() },
        Some(there) => match better(there, &listed) {
            None => {
                done.there += 1;
                return Ok(());
            }
            Some(better) => better,
        },
    };
    if !is_held(pins, below, &listed.cid)? {
        done.missing += 1;
        if done.missing_roots.len() < MAX_NAMED {
            done.missing_roots.push((listed.line, listed.cid));
        }
        return Ok(());
    }
    match &there {
        // Adopting passes by what is done, so a name is given as to any pin.
        Some(there) if there.indexed && there.mode == wanted.mode => pins.add(&wanted)?,
        _ => new.pins.push((wanted, listed.created.unwrap_or_else(now))),
    }
    match there {
        Some(_) => done.changed += 1,
        None => {
            new.label(&listed)?;
            done.added += 1;
        }
    }
    Ok(())
}

/// What a pin becomes that is listed as well; `None` where it stays.
fn better(there: &Pin, listed: &ListedPin) -> Option<NewPin> {
    let recursive = there.mode == PinMode::Direct && listed.mode == PinMode::Recursive;
    let named = there.name.is_empty() && !listed.name.is_empty();
    let name = if there.name.is_empty() { listed.name.clone() } else { there.name.clone() };
    let mode = if recursive { PinMode::Recursive } else { there.mode };
    (recursive || named).then_some(NewPin { cid: there.cid, mode, name })
}

fn is_held(pins: &PinIndex, below: &[Arc<dyn BlockSource>], cid: &Cid) -> Result<bool, StoreError> {
    if cid.hash().code() == crate::block::IDENTITY || pins.hot().size(cid)?.is_some() {
        return Ok(true);
    }
    for source in below {
        if source.size(cid)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// A pin as a list has it, for the forms that are written: with what a list said of it once. One look-up.
pub fn listed(pins: &PinIndex, pin: Pin) -> Result<ListedPin, PinSetError> {
    let label = pins.hot().records(LABELS).get(&pin.cid.to_bytes())?;
    // What was over when it was written is as good as any.
    let options = PinListOptions { now: 0, ..PinListOptions::default() };
    let label = label.and_then(|line| match PinList::new(&line[..], options).next() {
        Some(Ok(Listed::Pin(label))) => Some(*label),
        _ => None,
    });
    Ok(ListedPin {
        cid: pin.cid,
        mode: pin.mode,
        name: pin.name,
        created: Some(pin.since),
        ..label.unwrap_or_else(|| ListedPin::new(pin.cid))
    })
}

/// How closely pins are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Links are followed, leaves are looked up. What a pin's index says already is not looked at again.
    Index,
    /// Links are followed for every pin anew, leaves of raw bytes are looked up, all else is read and hashed.
    Links,
    /// Every block is read and hashed.
    Blocks,
}

/// What a look at all pins told.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Checked {
    /// Pins that are whole.
    pub whole: u64,
    /// Pins that are not.
    pub broken: u64,
    /// The first [`MAX_NAMED`] of these, and the first thing that is wrong below each.
    pub broken_roots: BTreeMap<Cid, String>,
    /// Whether it was stopped before the last pin.
    pub stopped: bool,
}

impl Checked {
    fn add(&mut self, cid: Cid, wrong: Option<String>) {
        match wrong {
            None => self.whole += 1,
            Some(wrong) => {
                self.broken += 1;
                if self.broken_roots.len() < MAX_NAMED {
                    self.broken_roots.insert(cid, wrong);
                }
            }
        }
    }
}

/// Looks at every pin, whether all that it keeps is there. With [`Depth::Index`] roots that were taken over come into the
/// index on the way; the other depths change nothing, and remember some 40 bytes a block of the DAG at hand.
pub fn check(
    pins: &PinIndex,
    below: &[Arc<dyn BlockSource>],
    depth: Depth,
    watch: &mut dyn FnMut(&Checked) -> ControlFlow<()>,
) -> Result<Checked, PinSetError> {
    let mut done = Checked::default();
    if depth == Depth::Index {
        index(pins, &mut done, watch)?;
    }
    for pin in pins.list(None) {
        if done.stopped {
            break;
        }
        let pin = pin?;
        match depth {
            Depth::Index if pin.indexed => done.add(pin.cid, None),
            // Told already, with what is wrong.
            Depth::Index => {}
            _ => done.add(pin.cid, wrong_below(pins, below, &pin, depth)),
        }
        done.stopped = watch(&done).is_break();
    }
    Ok(done)
}

/// Brings every root that was taken over into the index; counts those where that fails.
fn index(
    pins: &PinIndex,
    done: &mut Checked,
    watch: &mut dyn FnMut(&Checked) -> ControlFlow<()>,
) -> Result<(), PinSetError> {
    let mut last = None;
    loop {
        let next = pins.index_next(last.as_ref(), &mut |_| watch(done))?;
        let Some(tried) = next else { return Ok(()) };
        last = Some(tried.cid);
        match tried.error {
            None => {}
            Some(PinError::Cancelled(_)) => {
                done.stopped = true;
                return Ok(());
            }
            Some(error) => done.add(tried.cid, Some(chain(&error))),
        }
        if watch(done).is_break() {
            done.stopped = true;
            return Ok(());
        }
    }
}

/// The first thing that is wrong with what a pin keeps.
fn wrong_below(
    pins: &PinIndex,
    below: &[Arc<dyn BlockSource>],
    pin: &Pin,
    depth: Depth,
) -> Option<String> {
    let fetch = |cid: &Cid| -> Result<Option<Block>, StoreError> {
        if depth == Depth::Links && cid.codec() == RAW {
            // It has no links, so a walk needs nothing of it.
            let held = is_held(pins, below, cid)?;
            return Ok(held.then(|| Block::trusted(*cid, Bytes::new())));
        }
        read(pins, below, cid)
    };
    let wrong = match pin.mode {
        PinMode::Direct => match fetch(&pin.cid) {
            Ok(Some(_)) => None,
            Ok(None) => Some(ReadError::Missing(pin.cid)),
            Err(error) => Some(error.into()),
        },
        PinMode::Recursive => walk(&[pin.cid], Repeats::default(), fetch).find_map(Result::err),
    };
    wrong.map(|error| chain(&error))
}

/// A block out of the first source that has a good copy.
fn read(
    pins: &PinIndex,
    below: &[Arc<dyn BlockSource>],
    cid: &Cid,
) -> Result<Option<Block>, StoreError> {
    let hot: &dyn BlockSource = pins.hot();
    let mut failed = None;
    for source in std::iter::once(hot).chain(below.iter().map(|source| &**source)) {
        let found = source.get(cid).and_then(|found| {
            let Some(block) = found else { return Ok(None) };
            match verify(cid, block.data(), "a source of the pin") {
                Ok(()) | Err(StoreError::UnknownHash { .. }) => Ok(Some(block)),
                Err(error) => Err(error),
            }
        });
        match found {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(None), Err)
}
