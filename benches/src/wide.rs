//! A hot store with as many rows as one of many terabytes has: what it costs to open, to import into and to read from.
//!
//! Short blocks stand in for long ones: each has the rows that a long one has, and in place of its payload a few bytes.
//! Blob files of one short block each stand in for those of some hundred long ones.

use std::fs::{self, File};
use std::os::linux::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use coldfront::block::RAW;
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::Piece;
use coldfront::unixfs::import::{ImportOptions, Importer, Metadata};
use coldfront::{Block, BlockSource as _, Cid, ContentPath, Repo, RepoOptions, links};
use sha2::{Digest as _, Sha256};

use crate::machine;
use crate::process::Memory;
use crate::work::written;

/// What the gateway asks of the page cache at a time, at most, where it has to wait.
const READ_AHEAD: u64 = 4 << 20;

/// Blocks that are put in one batch.
const BATCH: u64 = 10_000;

/// Makes a store of `keys` short blocks and `files` blob files.
pub fn make(store: &Path, keys: u64, files: u64) -> Result<()> {
    let hot = HotStore::open(&HotOptions::new(store))?;
    let bulk = hot.bulk("wide");
    let began = Instant::now();
    for number in (0..keys).step_by(BATCH as usize) {
        let blocks = (number..keys.min(number + BATCH)).map(|n| block(&n.to_be_bytes()));
        bulk.put(&blocks.collect::<Result<Vec<_>>>()?)?;
    }
    bulk.flush()?;
    println!("{keys} short blocks in {:.1?}", began.elapsed());
    let began = Instant::now();
    for number in 0..files {
        let mut data = vec![0; 4096];
        data[..8].copy_from_slice(&(number | 1 << 60).to_be_bytes());
        bulk.put(&[block(&data)?])?;
        bulk.flush()?;
    }
    println!("{files} blob files in {:.1?}", began.elapsed());
    Ok(())
}

/// Imports a file, and prints what was written for it until nothing more is compacted; its CID comes last.
pub fn import(store: &Path, source: &Path) -> Result<()> {
    let before = written()?;
    let began = Instant::now();
    let hot = HotStore::open(&HotOptions::new(store))?;
    let opened = began.elapsed();
    let mut importer = Importer::new(&ImportOptions::cid_v1(), Arc::new(hot.bulk("wide")))?;
    let began = Instant::now();
    let file = importer.file(File::open(source)?, &Metadata::NONE)?;
    importer.finish()?;
    let took = began.elapsed().as_secs_f64();
    let len = fs::metadata(source)?.len() as f64;
    let at_once = (written()? - before) as f64 / len;
    wait_for_compactions()?;
    println!(
        "opened in {opened:.1?}; imported at {:.0} MB/s, {at_once:.3} bytes written a byte, {:.3} with what was compacted after it",
        len / 1e6 / took,
        (written()? - before) as f64 / len
    );
    println!("{}", file.cid);
    Ok(())
}

/// Until nothing is written for some seconds.
fn wait_for_compactions() -> Result<()> {
    let mut last = written()?;
    for _ in 0..60 {
        std::thread::sleep(std::time::Duration::from_secs(3));
        let now = written()?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(())
}

/// Opens a store cold and reads a file of it, cold and with a warm index, with the system's read-ahead and with 128 KiB.
pub fn read(store: &Path, cid: &str) -> Result<()> {
    let cid: Cid = cid.parse()?;
    let disk = Disk::of(store)?;
    let usual = disk.read_ahead()?;
    let done = [usual.as_str(), "128"].into_iter().try_for_each(|kilobytes| {
        disk.set_read_ahead(kilobytes)?;
        machine::drop_caches()?;
        let (began, before) = (Instant::now(), disk.reads()?);
        let options = RepoOptions { hot: Some(HotOptions::new(store)), ..RepoOptions::default() };
        let repo = Repo::open(&options)?;
        println!(
            "read-ahead {kilobytes} KiB: opened cold in {:.0?} with {} reads, {} MB resident",
            began.elapsed(),
            disk.reads()? - before,
            Memory::of(std::process::id())?.resident >> 20
        );
        for how in ["cold", "with the index warm"] {
            machine::drop_caches()?;
            let (began, before) = (Instant::now(), disk.reads()?);
            let len = read_whole(&repo, &cid)? as f64;
            let (took, reads) = (began.elapsed().as_secs_f64(), disk.reads()? - before);
            println!(
                "read-ahead {kilobytes} KiB, {how}: {:.2} disk operations a MB ({reads}), {:.0} MB/s, {} MB resident",
                reads as f64 / (len / 1e6),
                len / 1e6 / took,
                Memory::of(std::process::id())?.resident >> 20
            );
        }
        drop(repo);
        look_up(store, &cid, &disk)
    });
    disk.set_read_ahead(usual.trim())?;
    done
}

/// Looks all leaves of a file up: in their order, and in another.
fn look_up(store: &Path, root: &Cid, disk: &Disk) -> Result<()> {
    let hot = HotStore::open(&HotOptions::new(store))?;
    let mut leaves = leaves(&hot, root)?;
    drop(hot);
    for how in ["in their order", "in another order"] {
        machine::drop_caches()?;
        let hot = HotStore::open(&HotOptions::new(store))?;
        let (began, before) = (Instant::now(), disk.reads()?);
        for leaf in &leaves {
            hot.size(leaf)?.context("it is held")?;
        }
        let count = leaves.len() as f64;
        println!(
            "look-ups {how}, cold: {:.2} disk operations and {:.0} us each",
            (disk.reads()? - before) as f64 / count,
            began.elapsed().as_secs_f64() * 1e6 / count
        );
        // By their hashes, which say nothing about where they lie.
        leaves.sort_by_key(|leaf| leaf.hash().digest().to_vec());
    }
    Ok(())
}

fn leaves(hot: &HotStore, cid: &Cid) -> Result<Vec<Cid>> {
    let block = hot.get(cid)?.context("it is held")?;
    let mut below = Vec::new();
    links::for_each_link(&block, &mut |child| below.push(child))?;
    let mut all = Vec::new();
    for child in below {
        if child.codec() == RAW {
            all.push(child);
        } else {
            all.extend(leaves(hot, &child)?);
        }
    }
    Ok(all)
}

/// From extents, asking for what comes next as the gateway does where it has to wait.
fn read_whole(repo: &Repo, cid: &Cid) -> Result<u64> {
    let found = repo.resolve(&ContentPath::new(*cid))?;
    let mut reader = repo.read(&found.node, ..);
    let (mut len, mut until, mut step) = (0, 0, READ_AHEAD / 8);
    // A leaf in one read.
    let mut leaf = vec![0; 1 << 18];
    while let Some(piece) = reader.next_piece() {
        match piece? {
            Piece::Bytes(bytes) => len += bytes.len() as u64,
            Piece::Extent(mut extent) => {
                while !extent.is_empty() {
                    len += extent.read(&mut leaf)? as u64;
                }
            }
        }
        if reader.position() + step / 2 >= until {
            let from = until.max(reader.position());
            reader.warm(from, step);
            until = from + step;
            step = (step * 2).min(READ_AHEAD);
        }
    }
    Ok(len)
}

/// A block device, as the kernel counts what it does.
struct Disk(String);

impl Disk {
    fn of(path: &Path) -> Result<Disk> {
        let device = fs::metadata(path)?.st_dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        Ok(Disk(format!("/sys/dev/block/{major}:{minor}")))
    }

    /// Reads that were done since the system began.
    fn reads(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("{}/stat", self.0)).context("the disk is counted")?;
        Ok(text.split_whitespace().next().context("there is a first number")?.parse()?)
    }

    fn read_ahead(&self) -> Result<String> {
        let text = fs::read_to_string(format!("{}/queue/read_ahead_kb", self.0))?;
        Ok(text.trim().to_owned())
    }

    fn set_read_ahead(&self, kilobytes: &str) -> Result<()> {
        let file = format!("{}/queue/read_ahead_kb", self.0);
        fs::write(file, kilobytes).context("setting the read-ahead takes root")
    }
}

/// A raw block of these bytes.
pub(crate) fn block(data: &[u8]) -> Result<Block> {
    // Version 1, raw, sha2-256 of 32 bytes.
    let cid = [&[1, 0x55, 0x12, 32], Sha256::digest(data).as_slice()].concat();
    Ok(Block::verified(Cid::try_from(cid.as_slice())?, data.to_vec().into())?)
}
