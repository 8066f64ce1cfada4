//! The node that the RPC API is an API of.
//!
//! Owns what commands share: the repository, the hot store with its pins where there is one, who the node says it is, and the
//! wish to end. Must not know HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cid::multibase::{Base, encode};
use coldfront::ipns::Names;
use coldfront::keys::Key;
use coldfront::mfs::{HotRoot, Mfs};
use coldfront::pin::PinIndex;
use coldfront::store::hot::HotStore;
use coldfront::{ContentPath, Repo, parse_cid};
use tokio::sync::watch;

use super::calls::Calls;
use super::error::Failed;
use super::import_settings::ImportSettings;
use super::settings::Settings;

/// The records of the hot store that hold estimated sizes of archives: by the archive's name, bytes and seconds since 1970, 8
/// bytes each, the highest first.
const MEASURED: &str = "archives-measured";

/// What a server without a hot store says to whoever wants to write.
const READ_ONLY: &str =
    "this server has no hot store, so nothing can be written; start it with --hot DIR";

/// Who a node says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The peer ID, as text.
    pub peer_id: String,
    /// The public key in base64, as `ipfs id` shows it.
    pub public_key: String,
}

impl Identity {
    /// The node with a key.
    pub fn of(key: &Key) -> Identity {
        // Base64 with its multibase letter in front.
        let public_key = encode(Base::Base64Pad, key.public()).split_off(1);
        Identity { peer_id: key.id().peer_id(), public_key }
    }

    /// The node with an Ed25519 key, by its public half. Rules: the libp2p specification of peer IDs.
    pub fn of_ed25519(public_key: &[u8; 32]) -> Identity {
        // The key in its protobuf: type 1, 32 bytes.
        let key = [&[0x08, 0x01, 0x12, 0x20][..], public_key].concat();
        // As an identity multihash.
        let id = [&[0x00, 0x24][..], &key].concat();
        // Base58 with its multibase letter in front, which peer IDs do without.
        let peer_id = encode(Base::Base58Btc, id).split_off(1);
        let public_key = encode(Base::Base64Pad, key).split_off(1);
        Identity { peer_id, public_key }
    }
}

/// What is known of the disks without looking at blocks.
#[derive(Clone, Default)]
pub struct Storage {
    /// What `repo/stat` shows as the path of the repository.
    pub path: String,
    /// What is known of each archive, in their order: a name of its own, and its size if Kubo noted that.
    pub archives: Vec<(String, Option<Measured>)>,
    /// The bound that is told; none is what the disk has room for.
    pub max: Option<u64>,
    /// Asks for the bytes that are free where the hot store lies.
    pub free: Option<FreeSpace>,
}

/// The size of an archive, and the date that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of its blocks.
    pub bytes: u64,
    /// When that was so.
    pub at: SystemTime,
}

impl Measured {
    fn to_bytes(self) -> Vec<u8> {
        let at = self.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        [self.bytes.to_be_bytes(), at.to_be_bytes()].concat()
    }

    fn parse(record: &[u8]) -> Option<Measured> {
        let (bytes, at) = record.split_first_chunk::<8>()?;
        let at = Duration::from_secs(u64::from_be_bytes(at.try_into().ok()?));
        Some(Measured { bytes: u64::from_be_bytes(*bytes), at: UNIX_EPOCH.checked_add(at)? })
    }
}

/// Asks for free bytes.
pub type FreeSpace = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Storage {
    /// The bound for a repository that has `size` bytes now. IPFS Cluster gives no work to a node whose bound is not above
    /// its size.
    pub(crate) fn max_for(&self, size: u64) -> u64 {
        let free = || self.free.as_ref().and_then(|free| free()).unwrap_or(0);
        self.max.unwrap_or_else(|| size.saturating_add(free()))
    }
}

/// What commands work on. Shared by all calls.
#[derive(Debug)]
pub struct Daemon {
    repo: Repo,
    identity: Identity,
    storage: Storage,
    settings: Settings,
    calls: Calls,
    addresses: Vec<String>,
    began: SystemTime,
    ending: watch::Sender<bool>,
    /// The file system, once somebody asked for it.
    files: Mutex<Option<Mfs>>,
    /// Keys, and what is published under them.
    names: Option<Names>,
    /// Sizes of archives that somebody asked to be estimated.
    measured: Mutex<Vec<Option<Measured>>>,
}

impl Daemon {
    /// A node over a repository. Without a hot store it serves the commands that read.
    pub fn new(repo: Repo, identity: Identity) -> Daemon {
        let (ending, _) = watch::channel(false);
        let began = SystemTime::now();
        // What scripts look up first.
        let settings = serde_json::json!({"Identity": {"PeerID": identity.peer_id}});
        let settings = Settings::new(settings, None);
        Daemon {
            repo,
            identity,
            storage: Storage::default(),
            settings,
            calls: Calls::default(),
            addresses: Vec::new(),
            began,
            ending,
            files: Mutex::new(None),
            names: None,
            measured: Mutex::default(),
        }
    }

    /// The same node with the multiaddrs at which it can be reached, each with the peer ID at its end.
    pub fn reached_at(mut self, addresses: Vec<String>) -> Daemon {
        self.addresses = addresses;
        self
    }

    /// The same node with keys and names, and the identity that goes with them.
    pub fn named_by(mut self, names: Names) -> Daemon {
        self.identity = Identity::of(names.keys().own());
        // A configuration that holds nothing else takes it over.
        let _ = self.settings.set("Identity.PeerID", self.identity.peer_id.clone().into());
        self.names = Some(names);
        self
    }

    /// The same node with what is known of its disks. Sizes of archives that were estimated before are read: one look-up
    /// each.
    pub fn stored_in(mut self, storage: Storage) -> Daemon {
        let records = self.repo.hot().map(|hot| hot.records(MEASURED));
        let measured = storage.archives.iter().map(|(name, _)| {
            let record = records.as_ref()?.get(name.as_bytes()).ok()??;
            Measured::parse(&record)
        });
        self.measured = Mutex::new(measured.collect());
        self.storage = storage;
        self
    }

    /// The same node with a configuration.
    pub fn configured_by(mut self, settings: Settings) -> Daemon {
        self.settings = settings;
        self
    }

    /// What is known of the archives together, with the oldest of their dates; `None` where nothing is, or there are none.
    pub(crate) fn archives(&self) -> Option<Measured> {
        let measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let both = (0..self.storage.archives.len().max(measured.len()))
            .map(|at| (self.storage.archives.get(at), measured.get(at)));
        let known = both.filter_map(|(noted, measured)| {
            let noted = noted.and_then(|(_, noted)| *noted);
            // The newer of the two.
            measured.copied().flatten().into_iter().chain(noted).max_by_key(|known| known.at)
        });
        known.reduce(|sum, one| Measured {
            bytes: sum.bytes.saturating_add(one.bytes),
            at: sum.at.min(one.at),
        })
    }

    /// The size of an archive, by its place among them, as it was found just now.
    pub(crate) fn measured(&self, archive: usize, found: Measured) -> Result<(), Failed> {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if measured.len() <= archive {
            measured.resize(archive + 1, None);
        }
        if let Some(place) = measured.get_mut(archive) {
            *place = Some(found);
        }
        if let (Some(hot), Some((name, _))) = (self.repo.hot(), self.storage.archives.get(archive))
        {
            let record = (name.clone().into_bytes(), Some(found.to_bytes()));
            hot.records(MEASURED).put(&[record])?;
        }
        Ok(())
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The repository.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    pub(crate) fn began(&self) -> SystemTime {
        self.began
    }

    /// The hot store, for a command that cannot do without.
    pub(crate) fn hot(&self) -> Result<&HotStore, Failed> {
        self.repo.hot().ok_or_else(|| Failed::new(READ_ONLY))
    }

    /// The pins, for a command that cannot do without.
    pub(crate) fn pins(&self) -> Result<&PinIndex, Failed> {
        self.repo.pins().ok_or_else(|| Failed::new(READ_ONLY))
    }

    /// Keys and names, for a command that cannot do without.
    pub(crate) fn names(&self) -> Result<&Names, Failed> {
        self.names.as_ref().ok_or_else(|| Failed::new(READ_ONLY))
    }

    /// The file system whose root the hot store keeps. Opened by the first who asks, with `Import.*` as it is then; Kubo
    /// reads that at its start as well.
    pub(crate) fn files(&self) -> Result<Mfs, Failed> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &*files {
            return Ok(files.clone());
        }
        let roots = HotRoot::of(&self.repo).ok_or_else(|| Failed::new(READ_ONLY))?;
        let options = ImportSettings::of(&self.settings)?.for_files()?;
        let opened = Mfs::open(self.repo.clone(), Arc::new(roots), options)?;
        Ok(files.insert(opened).clone())
    }

    /// Asks the process to end.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    /// Resolves when a client has asked the process to end.
    pub async fn ended(&self) {
        let mut ending = self.ending.subscribe();
        let _ = ending.wait_for(|ending| *ending).await;
    }

    /// A text as a path, as Kubo's commands read it (kubo `core/commands/cmdutils`, `PathOrCidPath`).
    /// A name of IPNS is followed, as far as it is known here.
    pub(crate) fn path(&self, text: &str) -> Result<ContentPath, Failed> {
        if text.starts_with("/ipns/") {
            let path = self.names()?.resolve(text, true)?;
            return path.parse().map_err(|_| Failed::new(no_path(&path)));
        }
        text.parse().map_err(|_| Failed::new(no_path(text)))
    }
}

/// Why a text is no path, in Kubo's words.
fn no_path(text: &str) -> String {
    let names: Vec<&str> = text.split('/').collect();
    let reason = match names.as_slice() {
        ["", "ipfs" | "ipns" | "ipld", root, ..] if !root.is_empty() => match parse_cid(root) {
            Ok(_) => "path does not have enough components".to_owned(),
            Err(reason) => format!("invalid cid: {reason}"),
        },
        ["", namespace, root, ..] if !root.is_empty() && !namespace.is_empty() => {
            format!("unknown namespace \"{namespace}\"")
        }
        _ => "path does not have enough components".to_owned(),
    };
    format!("invalid path \"{text}\": {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_the_public_key_with_its_framing() {
        let key = [
            0xf3, 0x6e, 0xfc, 0x2a, 0xd4, 0x1f, 0xba, 0x7d, 0x83, 0xfc, 0x52, 0xe9, 0xd1, 0x9d,
            0x5e, 0x99, 0xd5, 0x6a, 0xc8, 0xf6, 0x66, 0xcc, 0x4d, 0xfd, 0xbf, 0x20, 0x31, 0xe7,
            0x59, 0x3e, 0x7a, 0xb3,
        ];
        // What Kubo 0.42 shows of the node with this key.
        let shown = Identity {
            peer_id: "12D3KooWSCdPsL6pEFsQ6vnCsURfkdrSEtxcJwj8yctbmrA2cX5k".into(),
            public_key: "CAESIPNu/CrUH7p9g/xS6dGdXpnVasj2ZsxN/b8gMedZPnqz".into(),
        };
        assert_eq!(Identity::of_ed25519(&key), shown);
    }
}
