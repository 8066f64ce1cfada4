//! The mutable file system: sentences of its specification, a model, and a real Kubo beside it.

#![cfg(all(feature = "hot", feature = "import"))]
#![allow(clippy::unwrap_used)]

mod commands;
mod crash;
mod kubo;
mod model;
mod sentences;
