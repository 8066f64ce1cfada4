//! A Kubo repository that no program has open, as Kubo left it.
//!
//! Owns what the files and keys of a repository mean: version, configuration, mounts, pins, the MFS root, IPNS
//! records, keys. Strictly read-only: a repository is byte for byte what it was. Must not know where its content goes.
//! Rules: kubo `repo/fsrepo`, boxo `pinning/pinner/dspinner`, go-datastore `mount`.
//!
//! - `repository`: what is there at all, and whether a Kubo runs on it. `lock`: the latter.
//! - `spec`: which store is mounted where. `datastore`: the stores, as one space of keys.
//! - `tier`: its blocks, served in place.
//! - `key`: the name of a block. `tree`: a flatfs tree, listed.
//! - `pins`, `pinset` (before repository version 11), `names`, `keystore`: what is kept beside blocks.

pub(crate) mod behind;
mod datastore;
mod error;
mod key;
mod keystore;
mod lock;
mod names;
mod pins;
mod pinset;
mod repository;
mod spec;
mod tier;
pub mod tree;

pub use datastore::{BlockMount, Datastore, Entries};
pub use error::RepositoryError;
pub use key::{BlockName, block_name};
pub use keystore::{KeyFile, MAX_KEY_LEN};
pub use names::NameRecord;
pub use pins::{KuboPin, Pins};
pub use repository::{Flavour, NEWEST_VERSION, OLDEST_VERSION, Repository, RepositoryOptions};
pub use spec::{Mount, StoreSpec, mounts_of};
pub use tier::RepositoryTier;
