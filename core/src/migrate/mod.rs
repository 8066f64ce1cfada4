//! Moving content from Kubo's stores into the hot store, and back out.
//!
//! Owns what a migration reads and writes beside blocks. Must not know flags, terminals or exit codes.
//!
//! - [`export`]: a hot store as a repository that Kubo opens.
//! - [`pin_lists`]: lists of pins as Kubo, IPFS Cluster and operators write them.

pub mod export;
pub mod pin_lists;
