//! One module for each thing that is measured. A suite makes its data, starts its servers, measures, and tells.

pub mod cold;
pub mod copies;
pub mod hot;
pub mod http;
pub mod kernel;
pub mod memory;
pub mod migrate;
pub mod rpc;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow};

use crate::client::Connection;
use crate::random::Random;
use crate::server::Server;

/// Connections of every load but the whole file: what a handful of players opens.
const VIEWERS: u64 = 16;
/// What the whole process may hold while it serves an archive.
const RESIDENT_LIMIT: u64 = 32 << 20;

/// Runs `viewer` on [`VIEWERS`] threads, each with a connection and a random stream of its own, while `beside` runs here.
///
/// `beside` ends the run: the flag that the viewers are given is true from then on. The first error of anyone is the
/// result.
fn with_viewers<T: Send, U>(
    server: &Server,
    viewer: impl Fn(&mut Connection, Random, &AtomicBool) -> Result<T> + Sync,
    beside: impl FnOnce(&AtomicBool) -> Result<U>,
) -> Result<(Vec<T>, U)> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let viewers: Vec<_> = (0..VIEWERS)
            .map(|number| {
                let (viewer, over) = (&viewer, &over);
                scope
                    .spawn(move || viewer(&mut server.connect()?, Random::new(1000 + number), over))
            })
            .collect();
        let beside = beside(&over);
        over.store(true, Ordering::Relaxed);
        let answers: Result<Vec<T>> = viewers
            .into_iter()
            .map(|viewer| {
                viewer.join().unwrap_or_else(|_| Err(anyhow!("a viewer's thread panicked")))
            })
            .collect();
        Ok((answers?, beside?))
    })
}
