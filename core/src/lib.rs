#![doc = include_str!("../README.md")]

pub mod block;
pub mod car;
mod cbor;
mod cid_stack;
mod error;
#[cfg(feature = "hot")]
#[cfg_attr(not(feature = "testing"), path = "fail/disabled.rs")]
#[cfg_attr(feature = "testing", path = "fail/enabled.rs")]
mod fail;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
#[cfg(feature = "hot")]
pub mod gc;
#[cfg(feature = "ipns")]
pub mod ipns;
#[cfg(feature = "ipns")]
pub mod keys;
#[cfg(feature = "kubo")]
pub mod kubo;
pub mod links;
#[cfg(all(feature = "hot", feature = "import"))]
pub mod mfs;
#[cfg(feature = "migrate")]
pub mod migrate;
#[cfg_attr(not(test), allow(dead_code))]
pub mod multihash;
mod nodes;
mod path;
#[cfg(feature = "hot")]
pub mod pin;
#[cfg(feature = "import")]
mod pool;
mod repo;
mod resolve;
pub mod store;
pub mod unixfs;
pub mod walk;

pub use block::{Block, Cid};
pub use error::{ReadError, StoreError};
pub use path::{ContentPath, PathError, parse_cid};
pub use repo::{Repo, RepoOptions, RepoStats};
pub use resolve::Resolved;
pub use store::archive::ArchiveOptions;
pub use store::tiers::{TierLimits, Verify};
pub use store::{BlockSource, BlockStore, Extent, Fault, Located};
pub use unixfs::{Entry, FileReader, Listing, Node, Piece};
