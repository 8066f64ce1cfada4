//! The way back: what an export writes, that real Kubo opens it, and that it can be interrupted at any moment.

#![cfg(feature = "migrate")]
#![allow(clippy::unwrap_used)]

mod disk_full;
mod kills;
mod kubo;
mod round_trip;
mod store;
mod tree;
