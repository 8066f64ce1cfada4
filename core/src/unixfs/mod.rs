//! UnixFS: files and directories as DAGs of blocks.
//!
//! Owns how dag-pb and UnixFS bytes become nodes, and how a byte range of a file becomes blocks. Must
//! not know where blocks lie, nor HTTP. Rules: the UnixFS and dag-pb specifications at specs.ipfs.tech;
//! where real archives differ from them, boxo `ipld/unixfs`.
//!
//! - [`dag_pb`] and [`data`]: the two wire formats, borrowed.
//! - [`node`]: a decoded node that can be cached.
//! - [`mod@file`]: from a range to the pieces of leaves.
//! - [`directory`]: names to CIDs, plain and sharded; [`hamt`] has the rules of sharding.
//! - `import` (a feature): content to blocks, as `ipfs add` makes them.

pub mod dag_pb;
pub mod data;
pub mod directory;
pub mod file;
pub mod hamt;
#[cfg(feature = "import")]
pub mod import;
pub mod node;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub(crate) mod wire;

pub use directory::{Entry, Listing};
pub use file::{FileReader, Piece};
pub use node::{FileNode, Mtime, Node};
