#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod badger;
mod behind;
mod block;
mod checksum;
mod column;
mod entry;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod journal;
mod leveldb;
mod log;
mod lsm;
mod manifest;
mod merge;
mod parse;
mod pebble;
mod row;
mod snappy;
mod source;
mod store;
mod table;

pub use behind::{Behind, IsCached};
pub use error::{Error, Fault, Feature, MAX_NOTES};
pub use journal::MAX_JOURNAL_BYTES;
pub use store::{Kind, Options, Scan, Store};

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);
