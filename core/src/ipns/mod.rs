//! IPNS: names that lead to paths, signed by the key they are made of.
//!
//! Owns records (made, read, checked) and what a node has published: sequence numbers, and when a name has to be signed
//! anew. Must not know HTTP or where names are sent to. Rules: specs.ipfs.tech/ipns/ipns-record; boxo `ipns`,
//! `namesys/ipns_publisher.go` and `namesys/republisher`.
//!
//! - `record`: one record, byte by byte. `time`: its end, as text.
//!
//! The records of a node's own names lie with its keys ([`crate::keys::HotKeys`]), not in a file of their own: a sequence
//! number that was lost would make every later record of the name a replay, so it is as durable as what it names, and
//! a migration and an export find it where they look anyway.

mod record;
mod time;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::keys::{Key, KeyError, KeyId, Keyring};

pub use record::{MAX_RECORD_LEN, Record, RecordError};

/// How long a record is valid unless its publisher says otherwise.
pub const LIFETIME: Duration = Duration::from_secs(48 * 60 * 60);

/// How long a record may be kept by caches unless its publisher says otherwise.
pub const TTL: Duration = Duration::from_secs(5 * 60);

/// Names that may lead to one another, as in Kubo.
const MAX_STEPS: usize = 32;

/// A name could not be published or followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A value that is no path.
    #[error("invalid path {0:?}: expected /ipfs/CID or /ipns/NAME, perhaps with names behind it")]
    Value(String),
    /// A sequence number that readers would take for a replay.
    #[error("sequence number must be greater than the current record sequence")]
    Sequence,
    /// No record of the name is here.
    #[error("could not resolve name")]
    Unresolved,
    /// Neither a name made of a key nor a domain.
    #[error("not a valid domain name")]
    NotAName,
    /// A domain: nobody is asked for its DNSLink. The sentence is Kubo's for one that has none.
    #[error(
        "DNSLink lookup for {0:?} failed: could not resolve name: DNSLink lookup could not find a TXT record (https://docs.ipfs.tech/concepts/dnslink/)"
    )]
    DnsLink(String),
    /// A record that is to be kept has no higher number than the one that is there.
    #[error(
        "existing IPNS record has sequence {there} >= new record sequence {new}, use 'ipfs name put --force' to skip this check"
    )]
    Older {
        /// The number of the record that is kept.
        there: u64,
        /// The number of the other.
        new: u64,
    },
    /// Names lead to one another without an end.
    #[error("could not resolve name (recursion limit exceeded)")]
    Recursion,
    /// A record is damaged, or was never one.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A key or the place of records failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Where records lie, by the public name of their key. What is put is durable on return.
pub trait NamePlace: fmt::Debug + Send + Sync + 'static {
    /// All names with a record.
    fn names(&self) -> Result<Vec<KeyId>, KeyError>;

    /// The record of a name, as it was put.
    fn get(&self, id: &KeyId) -> Result<Option<Vec<u8>>, KeyError>;

    /// Keeps a record in the place of the last one of its name.
    fn put(&self, id: &KeyId, record: &[u8]) -> Result<(), KeyError>;
}

/// How a name is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishOptions {
    /// How long the record is valid. Default: [`LIFETIME`].
    pub lifetime: Duration,
    /// How long it may be cached. Default: [`TTL`].
    pub ttl: Duration,
    /// The sequence number; must be greater than the last one's. Default: one more where the value changed.
    pub sequence: Option<u64>,
    /// Fields for readers of before 2021 as well. Default: yes.
    pub v1: bool,
}

impl Default for PublishOptions {
    fn default() -> Self {
        PublishOptions { lifetime: LIFETIME, ttl: TTL, sequence: None, v1: true }
    }
}

/// What a node publishes under its keys. Cloning shares it.
///
/// ```
/// # #[cfg(feature = "hot")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use coldfront::ipns::{LIFETIME, Names, PublishOptions};
/// use coldfront::keys::{HotKeys, Keyring};
/// # use coldfront::store::hot::{HotOptions, HotStore};
///
/// # let folder = tempfile::tempdir()?;
/// # let hot = HotStore::open(&HotOptions::new(folder.path().join("hot")))?;
/// let place = Arc::new(HotKeys::of(&hot));
/// let names = Names::new(Keyring::new(place.identity()?, place.clone()), place);
/// let site = names.keys().generate("site", "ed25519")?;
/// let key = names.keys().find("site")?;
/// names.publish(&key, "/ipfs/bafkqaaa", &PublishOptions::default())?;
/// assert_eq!(names.resolve(&site.id.to_string(), true)?, "/ipfs/bafkqaaa");
/// // Every few hours:
/// names.sign_due(LIFETIME / 2)?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "hot"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct Names {
    keys: Keyring,
    place: Arc<dyn NamePlace>,
    /// Sequence numbers are read and written by one publisher at a time.
    publishing: Arc<Mutex<()>>,
}

/// What signing anew came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Resigned {
    /// Names with a new record.
    pub done: Vec<KeyId>,
    /// Names whose record is about to end and that could not be signed: their key is gone, or something failed.
    pub failed: Vec<(KeyId, NameError)>,
}

impl Names {
    /// Over keys and a place of records.
    pub fn new(keys: Keyring, place: Arc<dyn NamePlace>) -> Names {
        Names { keys, place, publishing: Arc::default() }
    }

    /// The keys.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// Lets a key's name lead to a path. The record is durable on return.
    pub fn publish(
        &self,
        key: &Key,
        value: &str,
        options: &PublishOptions,
    ) -> Result<Record, NameError> {
        let is_path = ["/ipfs/", "/ipns/"]
            .iter()
            .any(|space| value.len() > space.len() && value.starts_with(space));
        if !is_path {
            return Err(NameError::Value(value.to_owned()));
        }
        let _alone = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.record(&key.id())?;
        let sequence = match (&last, options.sequence) {
            (Some(last), Some(asked)) if asked <= last.sequence() => {
                return Err(NameError::Sequence);
            }
            (_, Some(asked)) => asked,
            (None, None) => 0,
            (Some(last), None) if last.value() == value.as_bytes() => last.sequence(),
            (Some(last), None) => last.sequence().saturating_add(1),
        };
        let end = SystemTime::now().checked_add(options.lifetime).unwrap_or(SystemTime::now());
        let record = Record::sign(key, value.as_bytes(), sequence, end, options.ttl, options.v1)?;
        self.place.put(&key.id(), record.bytes())?;
        Ok(record)
    }

    /// Keeps a record that was signed elsewhere; durable on return. `force`: also one that has ended, or has a lower sequence
    /// number than the one that is here; what is no record of the name is never kept.
    pub fn put(&self, id: &KeyId, bytes: &[u8], force: bool) -> Result<Record, NameError> {
        let record = Record::parse(bytes)?;
        match record.check(id, SystemTime::now()) {
            Err(RecordError::Expired) if force => {}
            checked => checked?,
        }
        let _alone = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = self.record(id)?.filter(|last| !force && last.bytes() != bytes)
            && last.sequence() >= record.sequence()
        {
            return Err(NameError::Older { there: last.sequence(), new: record.sequence() });
        }
        self.place.put(id, bytes)?;
        Ok(record)
    }

    /// The record of a name that is kept here, as it was published: it may have ended.
    pub fn record(&self, id: &KeyId) -> Result<Option<Record>, NameError> {
        Ok(self.place.get(id)?.map(|bytes| Record::parse(&bytes)).transpose()?)
    }

    /// Where a name leads: `NAME`, or `/ipns/NAME` with names behind it. `recursive`: until it leads to no name any more.
    /// Only names that were published here are known; each record on the way is checked.
    pub fn resolve(&self, name: &str, recursive: bool) -> Result<String, NameError> {
        let mut path = format!("/ipns/{}", name.trim_start_matches("/ipns/").trim_matches('/'));
        for _ in 0..MAX_STEPS {
            let rest = path.strip_prefix("/ipns/").unwrap_or_default();
            let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
            let id = KeyId::parse(name).ok_or_else(|| not_a_key(name))?;
            let record = self.record(&id)?.ok_or(NameError::Unresolved)?;
            record.check(&id, SystemTime::now())?;
            let value = record.path()?;
            path = match below {
                "" => value,
                below => format!("{}/{below}", value.trim_end_matches('/')),
            };
            if !recursive || !path.starts_with("/ipns/") {
                return Ok(path);
            }
        }
        Err(NameError::Recursion)
    }

    /// Names whose record ends before `by`.
    pub fn due(&self, by: SystemTime) -> Result<Vec<KeyId>, NameError> {
        let mut due = Vec::new();
        for id in self.place.names()? {
            // What is no record cannot be signed anew either.
            if let Ok(Some(record)) = self.record(&id)
                && record.end() < by
            {
                due.push(id);
            }
        }
        Ok(due)
    }

    /// Signs anew, for another [`LIFETIME`], every name whose record ends within `within`: to be called every few hours, with
    /// half a lifetime, say. Value and sequence number stay. One that fails does not keep others from it.
    pub fn sign_due(&self, within: Duration) -> Result<Resigned, NameError> {
        let by = SystemTime::now().checked_add(within).unwrap_or(SystemTime::now());
        let mut resigned = Resigned::default();
        let due: HashSet<KeyId> = self.due(by)?.into_iter().collect();
        for id in due {
            match self.sign_again(&id) {
                Ok(()) => resigned.done.push(id),
                Err(error) => resigned.failed.push((id, error)),
            }
        }
        Ok(resigned)
    }

    fn sign_again(&self, id: &KeyId) -> Result<(), NameError> {
        let key = self.keys.with_id(id)?.ok_or(KeyError::Unknown)?;
        let _alone = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        // Published anew since the list was made.
        let Some(last) = self.record(id)? else { return Ok(()) };
        let end = SystemTime::now().checked_add(LIFETIME).unwrap_or(SystemTime::now());
        let end = end.max(last.end());
        let record = Record::sign(&key, last.value(), last.sequence(), end, last.ttl(), true)?;
        Ok(self.place.put(id, record.bytes())?)
    }
}

/// Why a name that is not made of a key leads nowhere.
fn not_a_key(name: &str) -> NameError {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| (1..=63).contains(&label.len());
    match name.len() <= 253 && name.split('.').all(is_label) {
        true => NameError::DnsLink(format!("{name}.")),
        false => NameError::NotAName,
    }
}
