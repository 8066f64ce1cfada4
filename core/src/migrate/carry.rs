//! What is carried over beside blocks: pins, the MFS root, IPNS records, keys, the configuration.
//!
//! Owns the rules where several sources meet, and where what is no block lies in the target: in the space of records
//! [`CARRIED`].
//!
//! ```text
//! config          the configuration of the first repository, as JSON; it holds that node's private key
//! config-version  the version of that repository, as text
//! key/NAME        a private key, as libp2p writes it
//! name/PEER       an IPNS record under the bytes of its peer id
//! ```
//!
//! Where sources meet:
//!
//! - A pin stays what it is. A recursive one takes the place of a direct one; a name is given where there was none, else
//!   the first one stays, and the report says so.
//! - The first MFS root becomes the target's ([`MFS_ROOT`]); those of later sources are pinned with the name
//!   `MFS of SOURCE`.
//! - The first configuration stays, and with it the identity; the identities of later ones become keys of the name
//!   `self-PEERID`.
//! - A key whose name is taken by another key gets a number behind its name.
//! - Of two IPNS records of one name, that with the higher sequence number stays.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use super::copy::{self, Watch};
use super::error::MigrateError;
use super::progress::{Event, Phase, Progress};
use super::report::{Fault, FaultKind, Report};
use super::run::{Root, record_fault};
use super::source::chain;
use crate::block::Cid;
use crate::error::{ReadError, StoreError};
use crate::kubo::{Flavour, Repository};
use crate::pin::{MAX_NAME_LEN, NewPin, Pin, PinError, PinIndex, PinMode};
use crate::store::hot::{HotStore, Record, Records};
use crate::unixfs::wire::Reader;

/// The space of records that holds what was carried over.
pub const CARRIED: &str = "carried";

/// The name of the root of the target's mutable file system, as a root that is kept ([`PinIndex::root`]).
pub const MFS_ROOT: &str = "mfs";

/// Pins that are looked at together, with one sync.
const PINS_AT_A_TIME: usize = 1000;

/// Pins that are not whole and are tried again root by root, some 300 bytes each.
const MAX_MISSED: usize = 100_000;

/// Records that are read at a time.
const AT_A_TIME: usize = 1000;

/// Numbers that are tried behind the name of a key.
const MAX_NAMESAKES: usize = 1000;

/// What a hot store holds that was carried over from repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// The configuration, as text.
    pub config: Option<String>,
    /// The version of the repository that it is from; 0 for none.
    pub config_version: u32,
    /// Keys: name, and the private key as libp2p writes it.
    pub keys: Vec<(String, Vec<u8>)>,
    /// IPNS records: binary peer id, and the record.
    pub names: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads what was carried over into a store. Keys and names are few; they are read whole.
pub fn carried(hot: &HotStore) -> Result<Carried, StoreError> {
    let records = hot.records(CARRIED);
    let text = |name: &[u8]| {
        let found = records.get(name)?;
        Ok::<_, StoreError>(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let version = text(b"config-version")?.and_then(|text| text.parse().ok());
    let keys = all(&records, b"key/")?
        .into_iter()
        .map(|(name, key)| (String::from_utf8_lossy(&name).into_owned(), key));
    Ok(Carried {
        config: text(b"config")?,
        config_version: version.unwrap_or(0),
        keys: keys.collect(),
        names: all(&records, b"name/")?,
    })
}

/// All records whose names begin so, without that beginning.
fn all(records: &Records, beginning: &[u8]) -> Result<Vec<Record>, StoreError> {
    let (mut found, mut after) = (Vec::new(), Vec::new());
    loop {
        let some = records.after(beginning, &after, AT_A_TIME)?;
        let Some((last, _)) = some.last() else { return Ok(found) };
        after.clone_from(last);
        found.extend(some.into_iter().map(|(name, value)| {
            (name.get(beginning.len()..).unwrap_or_default().to_vec(), value)
        }));
    }
}

/// Carries everything over that a repository holds beside blocks. Returns the pins that are not whole.
pub(super) fn carry(
    repository: &Repository,
    job: &copy::Job<'_>,
    pins: &PinIndex,
    report: &mut Report,
    watch: &mut Watch<'_>,
) -> Result<Vec<(Root, Fault)>, MigrateError> {
    for note in repository.notes() {
        report.note(note.clone());
    }
    if repository.flavour() == Flavour::JsIpfs {
        report.note("this is a repository of js-ipfs: its blocks are copied, its pins and keys are not read");
        return Ok(Vec::new());
    }
    let mut carrier = Carrier { repository, job, pins, report, watch, told: Instant::now() };
    let missed = carrier.pins()?;
    if carrier.report.stopped {
        return Ok(missed);
    }
    carrier.mfs()?;
    carrier.names()?;
    carrier.config()?;
    carrier.keys()?;
    carrier.count_dropped()?;
    Ok(missed)
}

struct Carrier<'a, 'b> {
    repository: &'a Repository,
    job: &'a copy::Job<'a>,
    pins: &'a PinIndex,
    report: &'a mut Report,
    watch: &'a mut Watch<'b>,
    told: Instant,
}

impl Carrier<'_, '_> {
    fn pins(&mut self) -> Result<Vec<(Root, Fault)>, MigrateError> {
        let mut missed = Vec::new();
        let mut all = self.repository.pins()?;
        loop {
            let mut some = Vec::new();
            for pin in all.by_ref().take(PINS_AT_A_TIME) {
                match pin {
                    Ok(pin) => {
                        some.push(Root { cid: pin.cid, recursive: pin.recursive, name: pin.name });
                    }
                    Err(error) => self.fault(record_fault(&error))?,
                }
            }
            if some.is_empty() {
                return Ok(missed);
            }
            for (root, fault) in pin_all(self.pins, &some, self.report)? {
                if missed.len() < MAX_MISSED {
                    missed.push((root.clone(), fault));
                } else {
                    keep_anyway(self.pins, root)?;
                    self.fault(fault)?;
                }
            }
            if self.tell().is_break() {
                self.report.stopped = true;
                return Ok(missed);
            }
        }
    }

    fn mfs(&mut self) -> Result<(), MigrateError> {
        let root = match self.repository.mfs_root() {
            Ok(Some(root)) => root,
            Ok(None) => return Ok(()),
            Err(error) => return self.fault(record_fault(&error)),
        };
        self.report.mfs_root = Some(root);
        let done = match self.pins.root(MFS_ROOT)? {
            None => self.pins.set_root(MFS_ROOT, Some(&root)),
            Some(there) if there == root => Ok(()),
            Some(there) => {
                self.report.note(format!(
                    "the target's MFS root is {there}, from elsewhere; this one, {root}, is pinned instead"
                ));
                let name = bounded(format!("MFS of {}", self.report.source));
                self.pins.add(&NewPin { cid: root, mode: PinMode::Recursive, name })
            }
        };
        match done {
            Ok(()) => Ok(()),
            Err(error) => {
                let fault = pin_fault(&root, error)?;
                self.fault(Fault { place: format!("MFS root {root}"), ..fault })
            }
        }
    }

    fn names(&mut self) -> Result<(), MigrateError> {
        let records = self.job.hot.records(CARRIED);
        for name in self.repository.names() {
            let name = match name {
                Ok(name) => name,
                Err(error) => {
                    self.fault(record_fault(&error))?;
                    continue;
                }
            };
            let key = [b"name/", &name.peer[..]].concat();
            let there = records.get(&key)?;
            let newer = there.as_deref().is_none_or(|old| sequence(old) < sequence(&name.record));
            if newer {
                records.put(&[(key, Some(name.record))])?;
                self.report.names += 1;
            }
        }
        Ok(())
    }

    fn config(&mut self) -> Result<(), MigrateError> {
        let Some(config) = self.repository.config() else { return Ok(()) };
        let records = self.job.hot.records(CARRIED);
        let Some(there) = records.get(b"config")? else {
            let version = self.repository.version().to_string();
            records.put(&[
                (b"config".to_vec(), Some(config.to_string().into_bytes())),
                (b"config-version".to_vec(), Some(version.into_bytes())),
            ])?;
            self.report.keys += u64::from(self.repository.identity().is_some());
            return Ok(());
        };
        let Some((peer, key)) = self.repository.identity() else { return Ok(()) };
        let there: serde_json::Value = serde_json::from_slice(&there).unwrap_or_default();
        let first = there.get("Identity").and_then(|identity| identity.get("PeerID")?.as_str());
        if first == Some(&peer) {
            return Ok(());
        }
        self.report.note(format!(
            "the target has the identity of another repository; that of this one is kept as the key self-{peer}"
        ));
        self.key(&format!("self-{peer}"), key)
    }

    fn keys(&mut self) -> Result<(), MigrateError> {
        match self.repository.keys() {
            Ok(keys) => keys.into_iter().try_for_each(|key| self.key(&key.name, key.key)),
            Err(error) => self.fault(record_fault(&error)),
        }
    }

    /// Keeps a key under its name, or under one like it where another key has that.
    fn key(&mut self, name: &str, key: Vec<u8>) -> Result<(), MigrateError> {
        let records = self.job.hot.records(CARRIED);
        for number in 1..MAX_NAMESAKES {
            let free = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let place = [b"key/", free.as_bytes()].concat();
            match records.get(&place)? {
                Some(there) if there == key => return Ok(()),
                Some(_) => continue,
                None => {}
            }
            if free != name {
                self.report.note(format!(
                    "another key has the name {name:?}; this one is kept as {free:?}"
                ));
            }
            records.put(&[(place, Some(key))])?;
            self.report.keys += 1;
            return Ok(());
        }
        let detail = format!("{MAX_NAMESAKES} other keys have names like it");
        self.fault(Fault {
            kind: FaultKind::Record,
            place: format!("key {name}"),
            cid: None,
            detail,
        })
    }

    fn count_dropped(&mut self) -> Result<(), MigrateError> {
        match dropped(self.repository) {
            Ok(counts) => self.report.dropped = counts,
            Err(error) => self
                .report
                .note(format!("what is not carried over could not be counted: {}", chain(&error))),
        }
        Ok(())
    }

    fn fault(&mut self, fault: Fault) -> Result<(), MigrateError> {
        self.job.records.put(&[super::mark::fault_change(&fault)])?;
        let _ = (self.watch)(Event::Fault(&fault));
        self.report.add_fault(fault);
        Ok(())
    }

    fn tell(&mut self) -> ControlFlow<()> {
        self.told = Instant::now();
        let progress = Progress {
            phase: Phase::Carrying,
            blocks: self.report.blocks,
            bytes: self.report.bytes,
            held: self.report.held,
            faults: self.report.fault_count(),
            done: Some(1.0),
            done_before: 0.0,
            elapsed: self.job.began.elapsed(),
        };
        (self.watch)(Event::Progress(&progress))
    }
}

/// Pins roots that are in, in one go where that works. Returns those that are not whole, and why.
pub(super) fn pin_all<'a>(
    pins: &PinIndex,
    roots: &'a [Root],
    report: &mut Report,
) -> Result<Vec<(&'a Root, Fault)>, MigrateError> {
    let mut new = Vec::new();
    for root in roots {
        match wanted(pins.get(&root.cid)?, root, report) {
            Some(pin) => new.push((root, pin)),
            None => report.pins_held += 1,
        }
    }
    if pins.add_all(new.iter().map(|(_, pin)| pin)).is_ok() {
        report.pins += new.len() as u64;
        return Ok(Vec::new());
    }
    // One of them fails, perhaps several: which, each says by itself.
    let mut failed = Vec::new();
    for (root, pin) in &new {
        match pins.add(pin) {
            Ok(()) => report.pins += 1,
            Err(error) => failed.push((*root, pin_fault(&root.cid, error)?)),
        }
    }
    Ok(failed)
}

/// The pin that is to be made of a root; `None` where the one that is there does.
fn wanted(there: Option<Pin>, root: &Root, report: &mut Report) -> Option<NewPin> {
    let mode = if root.recursive { PinMode::Recursive } else { PinMode::Direct };
    let name = bounded(root.name.clone());
    let Some(there) = there else { return Some(NewPin { cid: root.cid, mode, name }) };
    if !name.is_empty() && !there.name.is_empty() && name != there.name {
        report.note(format!(
            "the pin of {} keeps its name {:?}; here it is {name:?}",
            root.cid, there.name
        ));
    }
    let covers = there.indexed && (there.mode == mode || there.mode == PinMode::Recursive);
    let named = !there.name.is_empty() || name.is_empty();
    if covers && named {
        return None;
    }
    let mode = if covers { there.mode } else { mode };
    Some(NewPin { cid: root.cid, mode, name: if named { there.name } else { name } })
}

/// A pin that is not whole stays one: what is there of it is not collected before it was looked after, and its name is
/// not lost.
pub(super) fn keep_anyway(pins: &PinIndex, root: &Root) -> Result<(), MigrateError> {
    let mode = if root.recursive { PinMode::Recursive } else { PinMode::Direct };
    let pin = NewPin { cid: root.cid, mode, name: bounded(root.name.clone()) };
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ok(pins.adopt(&[(pin, since.map_or(0, |since| since.as_secs()))])?)
}

/// What is wrong with a pin; an error where it is the target that failed.
fn pin_fault(cid: &Cid, error: PinError) -> Result<Fault, MigrateError> {
    match error {
        PinError::Read(ReadError::Store(StoreError::Hot(error))) => {
            Err(MigrateError::Target(error.into()))
        }
        error => {
            let (kind, place) = (FaultKind::Pin, format!("pin {cid}"));
            Ok(Fault { kind, place, cid: Some(*cid), detail: chain(&error) })
        }
    }
}

/// A name as long as it may be.
fn bounded(mut name: String) -> String {
    let mut end = name.len().min(MAX_NAME_LEN);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// The sequence number of an IPNS record, field 5 of its protobuf; 0 where there is none.
fn sequence(record: &[u8]) -> u64 {
    const SEQUENCE: u32 = 5;
    let mut reader = Reader::new(record);
    while let Ok((field, wire)) = reader.key() {
        match (field, wire) {
            (SEQUENCE, 0) => return reader.varint().unwrap_or(0),
            _ if reader.skip(field, wire).is_err() => return 0,
            _ => {}
        }
    }
    0
}

/// Records of a repository that are not carried over, by the beginning of their keys. Blocks are passed over unread.
fn dropped(repository: &Repository) -> Result<BTreeMap<String, u64>, crate::kubo::RepositoryError> {
    /// Beginnings that are told apart.
    const MAX_PREFIXES: usize = 1000;
    let mut counts = BTreeMap::new();
    for key in repository.datastore().other_keys() {
        let Some(prefix) = prefix_if_dropped(&key?) else { continue };
        let prefix = if counts.len() < MAX_PREFIXES { prefix } else { "others".to_owned() };
        *counts.entry(prefix).or_default() += 1;
    }
    Ok(counts)
}

/// Under which beginning a key is counted; `None` for what is carried over or made anew from that.
pub(super) fn prefix_if_dropped(key: &str) -> Option<String> {
    let mut parts = key.split('/').skip(1);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    match (first, second) {
        ("pins" | "ipns", _) | ("local", Some("filesroot" | "pins")) => None,
        // Records of the DHT lie at the root, under names in base32.
        (_, None) if first.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')) => {
            Some("/ (records of the DHT)".to_owned())
        }
        ("local" | "pubsub", Some(second)) => Some(format!("/{first}/{second}")),
        _ => Some(format!("/{first}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_not_carried_are_counted_by_what_they_are() {
        for (key, prefix) in [
            ("/pins/pin/0", None),
            ("/local/filesroot", None),
            ("/ipns/AAAA", None),
            ("/F5UXA3TTF4", Some("/ (records of the DHT)")),
            ("/local/temp_bootstrap_peers", Some("/local/temp_bootstrap_peers")),
            ("/providers/CIQA/CIQB", Some("/providers")),
            ("/filestore/CIQA", Some("/filestore")),
            ("/reprovideStrategy", Some("/reprovideStrategy")),
        ] {
            assert_eq!(prefix_if_dropped(key).as_deref(), prefix, "{key}");
        }
    }

    #[test]
    fn the_sequence_number_of_a_record_is_found_behind_other_fields() {
        let record = [&[0x0a, 2, 1, 1, 0x18, 0][..], &[0x28, 0x80, 2]].concat();
        assert_eq!(sequence(&record), 256);
        assert_eq!(sequence(&[0x0a, 9]), 0);
        assert_eq!(sequence(&[]), 0);
    }

    #[test]
    fn a_name_is_cut_between_its_letters() {
        assert_eq!(bounded("é".repeat(200)).len(), 254);
        assert_eq!(bounded("x".repeat(255)).len(), 255);
    }
}
