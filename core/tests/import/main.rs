//! Import: the CIDs that Kubo gives, the bytes that come back, and what happens when something fails.

#![cfg(feature = "import")]
#![allow(clippy::unwrap_used)]

mod content;
mod directories;
mod failures;
mod golden_again;
mod kubo_roots;
mod round_trip;
#[path = "../tree/mod.rs"]
mod tree;
