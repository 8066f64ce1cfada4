#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod block_file;
mod error;
mod key;
mod page_cache;
mod reader;
mod shard;
mod watch;

pub use block_file::{BlockFile, Stamp};
pub use error::{Error, Fault, FileKind, RootFault};
pub use key::{Key, MAX_KEY_LEN};
pub use page_cache::{Foresight, holds as page_cache_holds};
pub use reader::FlatFs;
pub use shard::{MAX_SHARD_LEN, ShardFn, ShardFnError};
pub use watch::MAX_SHARDING_LEN;
