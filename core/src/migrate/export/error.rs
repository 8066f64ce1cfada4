//! Why an export stopped.

use std::io;
use std::path::{Path, PathBuf};

use coldfront_flatfs::ShardFnError;

use crate::error::StoreError;
use crate::pin::PinError;

/// An export stopped. What it wrote stays, and the same call goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The target holds something else.
    #[error("{path} holds {what}; {way_out}")]
    Foreign {
        /// The target.
        path: PathBuf,
        /// What it looks like.
        what: String,
        /// What to do about it.
        way_out: &'static str,
    },
    /// Another process writes into the target.
    #[error("{path} is in use by another process; stop that one first")]
    Locked {
        /// The target.
        path: PathBuf,
    },
    /// A Kubo runs on the target.
    #[error("a Kubo runs on {path}; stop it first")]
    Running {
        /// The target.
        path: PathBuf,
    },
    /// The datastore of the repository that is added to could not be read.
    #[error("reading the datastore of the repository failed")]
    Datastore(#[from] coldfront_pebble::Error),
    /// An export that was begun there was asked for differently.
    #[error(
        "{path} holds a half-made export {begun}, and now {asked} is asked for; ask as before, or name another folder"
    )]
    Different {
        /// The target.
        path: PathBuf,
        /// What it was begun with.
        begun: String,
        /// What is asked for now.
        asked: String,
    },
    /// A file of the target says what nobody knows.
    #[error("{path}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the way out.
        what: String,
    },
    /// The tree that is added to has a shard function that is not known.
    #[error("{path} names no shard function")]
    Sharding {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ShardFnError,
    },
    /// Kubo opens no repository without an identity, and none was carried over.
    #[error(
        "no identity was carried over, and Kubo opens no repository without one; give a config of Kubo's that has one"
    )]
    NoIdentity,
    /// The config that was given is none of Kubo's.
    #[error("the config that was carried over cannot be used: {why}")]
    Config {
        /// What is wrong with it.
        why: String,
    },
    /// A key of the keystore has a name that makes no file.
    #[error("the key {name:?} has a name too long for a file; rename it first")]
    KeyName {
        /// Its name.
        name: String,
    },
    /// The disk is full.
    #[error("no room is left for {path}; make room, and the same command goes on")]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something.
    #[error("{doing} {path} failed")]
    Io {
        /// What was done.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The hot store could not be read.
    #[error("reading the hot store failed")]
    Store(#[from] StoreError),
    /// Pins could not be read.
    #[error("reading the pins failed")]
    Pins(#[from] PinError),
    /// Whoever watches the progress ended it.
    #[error("the export was stopped; the same command goes on")]
    Stopped,
}

impl ExportError {
    /// For `map_err`: what was done with which path.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExportError {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                ExportError::Full { path, source }
            }
            _ => ExportError::Io { doing, path, source },
        }
    }
}
