//! A small flatfs tree made by hand: a file of 8 MiB five folders deep, so that the benches need neither Kubo nor a cache.
//! Rules: the dag-pb and UnixFS specifications (protobuf field numbers), go-ds-flatfs for the names.

#![allow(dead_code, reason = "each bench is a program of its own and uses its part of the tree")]

use std::fs;
use std::path::{Path, PathBuf};

use coldfront::Cid;
use coldfront_benches::fixtures::tree::{SHARDING, block_path};
use coldfront_benches::random::Random;
use sha2::{Digest as _, Sha256};

/// Bytes of a leaf.
pub(crate) const LEAF_BYTES: usize = 256 << 10;
/// Leaves of the file.
pub(crate) const LEAVES: u64 = 32;
/// The names from the root down to the file.
pub(crate) const NAMES: [&str; 5] = ["a", "bb", "ccc", "dddd", "film.mp4"];

/// The tree, in cargo's folder for the files of benches. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Handmade {
    /// The flatfs tree.
    pub(crate) blocks: PathBuf,
    /// The folder at the top.
    pub(crate) root: Cid,
    /// The first leaf of the file.
    pub(crate) leaf: Cid,
    /// The path of that leaf's block file.
    pub(crate) leaf_path: PathBuf,
    /// The paths of all leaves, in the order of the file.
    pub(crate) leaf_paths: Vec<PathBuf>,
    /// The path at which a block that is not there would be.
    pub(crate) absent_path: PathBuf,
    /// The CID of that block.
    pub(crate) absent: Cid,
}

/// A block that was written: what a link to it says.
struct Written {
    cid: Vec<u8>,
    digest: [u8; 32],
    tree_size: u64,
}

impl Handmade {
    /// Writes the tree. `bench` keeps those of benches that run side by side apart.
    pub(crate) fn make(bench: &str) -> Self {
        let blocks = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("handmade-{bench}-{}", std::process::id()));
        fs::create_dir_all(&blocks).expect("cargo's folder for temporary files can be written");
        fs::write(blocks.join("SHARDING"), SHARDING).expect("the tree can be written");
        let leaves: Vec<Written> = (0..LEAVES).map(|seed| write_leaf(&blocks, seed)).collect();
        let mut node = write_file(&blocks, &leaves);
        for name in NAMES.iter().rev() {
            node = write_folder(&blocks, name, &node);
        }
        let absent = [7; 32];
        Self {
            root: parse(&node.cid),
            leaf: parse(&leaves[0].cid),
            leaf_path: blocks.join(block_path(&leaves[0].digest)),
            leaf_paths: leaves.iter().map(|leaf| blocks.join(block_path(&leaf.digest))).collect(),
            absent_path: blocks.join(block_path(&absent)),
            absent: parse(&cid(RAW, &absent)),
            blocks,
        }
    }
}

impl Drop for Handmade {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.blocks);
    }
}

const RAW: u8 = 0x55;
const DAG_PB: u8 = 0x70;

fn write_leaf(blocks: &Path, seed: u64) -> Written {
    let mut bytes = vec![0; LEAF_BYTES];
    Random::new(seed).fill(&mut bytes);
    write(blocks, RAW, &bytes, 0)
}

/// A UnixFS file node: type 2, its size, and the size below each link.
fn write_file(blocks: &Path, leaves: &[Written]) -> Written {
    let mut data = vec![0x08, 2];
    number(&mut data, 0x18, LEAVES * LEAF_BYTES as u64);
    leaves.iter().for_each(|_| number(&mut data, 0x20, LEAF_BYTES as u64));
    let links: Vec<Vec<u8>> = leaves.iter().map(|leaf| link("", leaf)).collect();
    write_node(blocks, &links, &data, leaves.iter().map(|leaf| leaf.tree_size).sum())
}

/// A UnixFS folder with one entry: type 1.
fn write_folder(blocks: &Path, name: &str, entry: &Written) -> Written {
    write_node(blocks, &[link(name, entry)], &[0x08, 1], entry.tree_size)
}

fn write_node(blocks: &Path, links: &[Vec<u8>], data: &[u8], below: u64) -> Written {
    let mut node = Vec::new();
    links.iter().for_each(|link| bytes(&mut node, 0x12, link));
    bytes(&mut node, 0x0a, data);
    write(blocks, DAG_PB, &node, below)
}

fn link(name: &str, to: &Written) -> Vec<u8> {
    let mut link = Vec::new();
    bytes(&mut link, 0x0a, &to.cid);
    bytes(&mut link, 0x12, name.as_bytes());
    number(&mut link, 0x18, to.tree_size);
    link
}

fn write(blocks: &Path, codec: u8, content: &[u8], below: u64) -> Written {
    let digest: [u8; 32] = Sha256::digest(content).into();
    let path = blocks.join(block_path(&digest));
    fs::create_dir_all(path.parent().unwrap_or(blocks)).expect("the tree can be written");
    fs::write(path, content).expect("the tree can be written");
    Written { cid: cid(codec, &digest), digest, tree_size: below + content.len() as u64 }
}

fn cid(codec: u8, digest: &[u8; 32]) -> Vec<u8> {
    [&[0x01, codec, 0x12, 0x20], digest.as_slice()].concat()
}

fn parse(cid: &[u8]) -> Cid {
    Cid::try_from(cid).expect("a version, a codec and a sha2-256 digest are a CID")
}

/// A protobuf field of bytes.
fn bytes(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    number(out, tag, content.len() as u64);
    out.extend_from_slice(content);
}

/// A protobuf field that is a number.
fn number(out: &mut Vec<u8>, tag: u8, mut value: u64) {
    out.push(tag);
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
