//! Servers that hold the large file, for the rows that read it.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Result, ensure};

use super::Course;
use super::node::{Kind, Node};
use super::uploads::{add_large, read_through};
use crate::fixtures::uploads::{BIG_BYTES, Uploads};
use crate::server::kubo::Store;

/// The servers, and what they hold.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) nodes: Vec<Node>,
    /// The CID of the file.
    pub(super) root: String,
    /// Those of its leaves.
    pub(super) leaves: Vec<String>,
}

impl Shelf {
    /// Starts all, adds the file to each, and compares what `cat` gives with it.
    pub(super) fn stock(course: &Course<'_>) -> Result<Shelf> {
        let uploads = Uploads::open(course.cache)?;
        read_through(&uploads.big)?;
        let kinds = course.kinds(&[Store::Flatfs, Store::Pebble]);
        let nodes = kinds.iter().map(|kind| course.ground.fresh(*kind));
        let nodes = nodes.collect::<Result<Vec<Node>>>()?;
        let mut roots = Vec::new();
        for node in &nodes {
            roots.push(add_large(node, &uploads)?);
        }
        ensure!(roots.windows(2).all(|two| two[0] == two[1]), "their CIDs differ: {roots:?}");
        let root = roots.swap_remove(0);
        for node in &nodes {
            compare(node, &root, &uploads)?;
        }
        let leaves = leaves(&nodes[0], &root)?;
        ensure!(leaves.len() as u64 == BIG_BYTES >> 18, "{} leaves", leaves.len());
        rustix::fs::sync();
        Ok(Shelf { nodes, root, leaves })
    }

    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.nodes.iter().map(|node| node.kind).collect()
    }
}

/// Byte for byte.
fn compare(node: &Node, root: &str, uploads: &Uploads) -> Result<()> {
    let mut plain = File::open(&uploads.big)?;
    let mut expected = Vec::new();
    let mut same = true;
    let answer = node.connect()?.call(&format!("cat?arg={root}"), &mut |piece| {
        expected.resize(piece.len(), 0);
        same = same && plain.read_exact(&mut expected).is_ok() && expected == piece;
    })?;
    ensure!(same && answer.bytes == BIG_BYTES, "{} has other bytes", node.kind.name());
    Ok(())
}

/// The CIDs of the raw blocks below a root.
fn leaves(node: &Node, root: &str) -> Result<Vec<String>> {
    let text = node.connect()?.text(&format!("refs?arg={root}&recursive=true"))?;
    let refs = text.split("\"Ref\":\"").filter_map(|rest| rest.split('"').next());
    Ok(refs.filter(|cid| cid.starts_with("bafkrei")).map(str::to_owned).collect())
}
