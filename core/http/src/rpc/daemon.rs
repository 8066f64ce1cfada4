//! The node that the RPC API is an API of.
//!
//! Owns what commands share: the repository, the hot store with its pins where there is one, who the node says it is, and the
//! wish to end. Must not know HTTP.

use std::time::SystemTime;

use coldfront::pin::PinIndex;
use coldfront::store::hot::HotStore;
use coldfront::{ContentPath, Repo, parse_cid};
use tokio::sync::watch;

use super::error::Failed;

/// What a server without a hot store says to whoever wants to write.
const READ_ONLY: &str = "this server has no hot store, so nothing can be written; start it with --hot DIR";

/// Who a node says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The peer ID, as text.
    pub peer_id: String,
    /// The public key in base64, as `ipfs id` shows it.
    pub public_key: String,
}

/// The store that is written to, and its pins.
#[derive(Clone, Debug)]
pub struct Writable {
    /// The store.
    pub hot: HotStore,
    /// Its pins.
    pub pins: PinIndex,
}

/// What commands work on. Shared by all calls.
#[derive(Debug)]
pub struct Daemon {
    repo: Repo,
    writable: Option<Writable>,
    identity: Identity,
    addresses: Vec<String>,
    began: SystemTime,
    ending: watch::Sender<bool>,
}

impl Daemon {
    /// A node over a repository. Without a store that can be written to, it serves the commands that read.
    pub fn new(repo: Repo, writable: Option<Writable>, identity: Identity) -> Daemon {
        let (ending, _) = watch::channel(false);
        let began = SystemTime::now();
        Daemon { repo, writable, identity, addresses: Vec::new(), began, ending }
    }

    /// The same node with the multiaddrs at which it can be reached, each with the peer ID at its end.
    pub fn reached_at(mut self, addresses: Vec<String>) -> Daemon {
        self.addresses = addresses;
        self
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

    /// The hot store, if there is one.
    pub(crate) fn writable(&self) -> Option<&Writable> {
        self.writable.as_ref()
    }

    /// The hot store, for a command that cannot do without.
    pub(crate) fn hot(&self) -> Result<&HotStore, Failed> {
        self.writable.as_ref().map(|here| &here.hot).ok_or_else(|| Failed::new(READ_ONLY))
    }

    /// The pins, for a command that cannot do without.
    pub(crate) fn pins(&self) -> Result<&PinIndex, Failed> {
        self.writable.as_ref().map(|here| &here.pins).ok_or_else(|| Failed::new(READ_ONLY))
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

