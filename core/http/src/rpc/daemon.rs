//! The node that the RPC API is an API of.
//!
//! Owns what commands share: the repository, the hot store with its pins where there is one, who the node says it is, and the
//! wish to end. Must not know HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use cid::multibase::{Base, encode};
use coldfront::ipns::Names;
use coldfront::keys::Key;
use coldfront::mfs::{HotRoot, Mfs, MfsOptions};
use coldfront::pin::PinIndex;
use coldfront::store::hot::HotStore;
use coldfront::{ContentPath, Repo, parse_cid};
use tokio::sync::watch;

use super::calls::Calls;
use super::error::Failed;
use super::settings::Settings;

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
    /// Bytes of the archives, as far as they are known.
    pub archive_bytes: Option<u64>,
    /// The bound that is told; none is what the disk has room for.
    pub max: Option<u64>,
    /// Asks for the bytes that are free where the hot store lies.
    pub free: Option<FreeSpace>,
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
        self.names = Some(names);
        self
    }

    /// The same node with what is known of its disks.
    pub fn stored_in(mut self, storage: Storage) -> Daemon {
        self.storage = storage;
        self
    }

    /// The same node with a configuration.
    pub fn configured_by(mut self, settings: Settings) -> Daemon {
        self.settings = settings;
        self
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

    /// The file system whose root the hot store keeps. Opened by the first who asks.
    pub(crate) fn files(&self) -> Result<Mfs, Failed> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &*files {
            return Ok(files.clone());
        }
        let roots = HotRoot::of(&self.repo).ok_or_else(|| Failed::new(READ_ONLY))?;
        let opened = Mfs::open(self.repo.clone(), Arc::new(roots), MfsOptions::default())?;
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
    pub(crate) fn path(&self, text: &str) -> Result<ContentPath, Failed> {
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
