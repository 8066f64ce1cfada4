#![doc = include_str!("../README.md")]

pub mod block;
pub mod car;
mod cbor;
pub mod dag;
mod error;
#[cfg_attr(not(test), allow(dead_code))]
pub mod multihash;
mod nodes;
mod path;
mod repo;
mod resolve;
pub mod store;
pub mod unixfs;

pub use block::{Block, Cid};
pub use error::{ReadError, StoreError};
pub use path::{ContentPath, PathError, parse_cid};
pub use repo::{Repo, RepoOptions, RepoStats};
pub use resolve::Resolved;
pub use store::archive::ArchiveOptions;
pub use store::tiers::{TierLimits, Verify};
pub use store::{BlockSource, BlockStore, Extent, Fault, Located};
pub use unixfs::{Entry, FileReader, Listing, Node, Piece};
