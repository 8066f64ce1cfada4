//! `kernel`: the memory that the kernel keeps on behalf of 100,000 reads from shard directories of 300,000 names.
//!
//! No process holds it, and it is what filled machines: names, inodes, directory pages and inode tables. A server
//! decides by how it asks (one open or several look-ups, kept descriptors) how much of it a read leaves behind. nginx
//! reads the same files by their paths, which is the least that a read can cost.

use anyhow::{Context as _, Result, ensure};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::with_viewers;
use crate::cgroup::{KernelMemory, MemoryGroup};
use crate::fixtures::Cache;
use crate::fixtures::tree::{CrowdedTree, TinyBlock};
use crate::machine;
use crate::options::{Options, Peer};
use crate::random::Random;
use crate::report::{Report, megabytes};
use crate::server::coldfront::{self, Verify};
use crate::server::{Launch, Server, nginx};

const COLUMNS: [&str; 5] = [
    "server",
    "reads",
    "page cache: MB, bytes a read",
    "slab: MB, bytes a read",
    "the same reads again: page cache, slab MB",
];

/// Measures nginx and coldfront, each from dropped caches and in a cgroup of its own.
pub fn run(options: &Options, cache: &Cache, report: &mut Report) -> Result<()> {
    let tree = CrowdedTree::open(cache)?;
    report.heading(
        "kernel: page cache and slab grown by reads over shard directories of 300,000 names",
    );
    report.table(&COLUMNS);
    let mut notes = Vec::new();
    for peer in [Peer::Nginx, Peer::Coldfront].into_iter().filter(|peer| options.with(*peer)) {
        let (cells, note) = measure(peer, &tree, options, cache)?;
        report.row(&cells);
        notes.extend(note);
    }
    report.line("\nEach read is of another block of 64 bytes, whose payload takes 4096 bytes of page cache.");
    notes.dedup();
    notes.iter().for_each(|note| report.line(note));
    Ok(())
}

fn measure(
    peer: Peer,
    tree: &CrowdedTree,
    options: &Options,
    cache: &Cache,
) -> Result<(Vec<String>, Option<String>)> {
    let scratch = cache.folder("scratch")?;
    let mut seeds = tree.seeds.clone();
    Random::new(9).shuffle(&mut seeds);
    if options.quick {
        seeds.truncate(seeds.len() / 10);
    }
    let launch = launch(peer, tree, &scratch)?;
    // ORDER: the server is dropped before its cgroup, which can only go when nobody is in it.
    let (group, note) = match MemoryGroup::make() {
        Ok(group) => (Some(group), None),
        Err(error) => (
            None,
            Some(format!("The whole machine's memory, since there is no cgroup: {error:#}.")),
        ),
    };
    machine::drop_caches()?;
    let launch = match &group {
        Some(group) => launch.inside(&group.procs()),
        None => launch,
    };
    let server = launch.start()?;
    let memory =
        || group.as_ref().map_or_else(|| Ok(KernelMemory::of_machine()), MemoryGroup::memory);
    let before = memory()?;
    read_all(&server, peer, &seeds)
        .with_context(|| format!("reading tiny blocks from {}", server.name))?;
    let first = memory()?;
    read_all(&server, peer, &seeds)?;
    let again = memory()?.grown_since(&first);
    let grown = first.grown_since(&before);
    let reads = seeds.len() as u64;
    let told = |bytes: u64| format!("{}, {}", megabytes(bytes), bytes / reads.max(1));
    let cells = vec![
        server.name.clone(),
        reads.to_string(),
        told(grown.page_cache),
        told(grown.slab),
        format!("{}, {}", megabytes(again.page_cache), megabytes(again.slab)),
    ];
    drop(server);
    Ok((cells, note))
}

fn launch(peer: Peer, tree: &CrowdedTree, scratch: &std::path::Path) -> Result<Launch> {
    let ready = TinyBlock::of(*tree.seeds.first().context("the crowded tree is empty")?);
    if peer == Peer::Nginx {
        return nginx::launch("nginx", &tree.blocks, &ready.path(), scratch);
    }
    let ready = path(peer, &ready);
    coldfront::launch("coldfront", &tree.blocks, "", &ready, Verify::Off, scratch)
}

fn path(peer: Peer, block: &TinyBlock) -> String {
    match peer {
        Peer::Nginx => format!("/{}", block.path()),
        _ => format!("/ipfs/{}", block.cid()),
    }
}

/// Every block of `seeds` once, shared out among the viewers, each compared with its bytes.
fn read_all(server: &Server, peer: Peer, seeds: &[u64]) -> Result<()> {
    let next = AtomicUsize::new(0);
    with_viewers(
        server,
        |connection, _, _| {
            while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                let block = TinyBlock::of(*seed);
                let path = path(peer, &block);
                ensure!(
                    connection.fetch(&path, None)? == block.bytes,
                    "{path} has other bytes than its block"
                );
            }
            Ok(())
        },
        |_| Ok(()),
    )?;
    Ok(())
}
