//! Why a repository, or a part of it, cannot be read.

use std::io;
use std::path::{Path, PathBuf};

/// A repository could not be opened, or a record of it not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The folder is something else.
    #[error(
        "{}: this is no Kubo repository: there is no file \"version\" or \"config\" in it; expected a folder such as ~/.ipfs",
        path.display()
    )]
    NotARepository {
        /// The folder.
        path: PathBuf,
    },
    /// A program has it open.
    #[error(
        "{}: a running program holds repo.lock; stop that Kubo, or name the folder \"blocks\" in it to read blocks beside it",
        path.display()
    )]
    Locked {
        /// The repository.
        path: PathBuf,
    },
    /// Its version is not one that is read here.
    #[error("{}: repository version {found:?}, expected 5 to {newest}; {way_out}", path.display())]
    Version {
        /// The repository.
        path: PathBuf,
        /// What the file says, shortened.
        found: String,
        /// The newest that is read.
        newest: u32,
        /// What to do about it.
        way_out: &'static str,
    },
    /// Blocks or records lie in a store of which nothing can be read here.
    #[error(
        "{}: the datastore mounted at {mountpoint} is of the type \"{kind}\", which cannot be read here; expected flatfs, levelds, pebbleds or badgerds; export its content as CAR files with the Kubo that has the plugin",
        path.display()
    )]
    UnsupportedStore {
        /// The repository.
        path: PathBuf,
        /// Where it is mounted.
        mountpoint: String,
        /// Its type, such as `s3ds`.
        kind: String,
    },
    /// The description of the mounts is not one.
    #[error("{}: the datastore spec cannot be understood: {what}", path.display())]
    Spec {
        /// The file that holds it.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file is not what it should be.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: String,
    },
    /// A record under a key of the datastore is not what it should be.
    #[error("the record {key} cannot be read: {what}")]
    Record {
        /// The key, as text.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// The system failed to read something.
    #[error("{}: cannot be read", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A store of it cannot be read.
    #[error("a datastore of the repository cannot be read")]
    Store(#[from] coldfront_pebble::Error),
    /// Its flatfs tree cannot be read.
    #[error("the flatfs tree of the repository cannot be read")]
    Flatfs(#[from] coldfront_flatfs::Error),
}

impl RepositoryError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> RepositoryError {
        let path = path.to_owned();
        move |source| RepositoryError::Io { path, source }
    }

    pub(super) fn record(key: &[u8], what: impl Into<String>) -> RepositoryError {
        RepositoryError::Record {
            key: String::from_utf8_lossy(key).into_owned(),
            what: what.into(),
        }
    }
}
