//! A file that is changed in place: bytes overwritten, appended, cut off.
//!
//! Owns what a write makes of the nodes of a file: leaves that are hit are made anew, what lies behind the
//! end is appended in the trickle layout, a hole is filled with zeros in leaves of 4 KiB. Must not know
//! trees. Rules: boxo `ipld/unixfs/mod/dagmodifier.go` and `ipld/unixfs/importer/trickle/trickledag.go`.
//!
//! In one point this differs from boxo on purpose: when something is appended to a file of one dag-pb block, its bytes
//! move into a leaf. boxo leaves them beside the new links, where its own reader does not see them, and neither
//! overwriting nor cutting counts them: content is lost. Files in that form are changed at the right places here, and keep
//! their bytes.
//!
//! Memory: [`WRITE_AT_ONCE`] of content and the nodes on the way down, whatever the length of the file.

use std::io::Read;

use bytes::Bytes;

use super::blocks::Blocks;
use super::error::MfsError;
use super::node::{Child, CidFormat, Draft, Pb, is_file};
use crate::block::{Cid, DAG_PB, RAW};
use crate::unixfs::data::{DataType, Mtime};
use crate::unixfs::import::Chunker;

/// Content that is taken in before nodes are made of it, in bytes. boxo makes them when more than 2 MiB
/// have come, and Kubo hands it 32 KiB at a time; as each round ends with a leaf, the number decides CIDs.
const WRITE_AT_ONCE: usize = 65 * 32 * 1024;

/// The most links of a node that is made here, as in boxo whatever the options of imports are.
const MAX_LINKS: usize = 174;

/// Subtrees of each depth in the trickle layout.
const REPEAT: usize = 4;

/// Leaves that fill a hole, in bytes.
const ZEROS: usize = 4096;

/// The longest hole that is filled with zeros, in bytes: a million leaves. Kubo sets no bound.
pub(super) const MAX_HOLE: u64 = 4 << 30;

/// The most levels of a file. No writer of files needs more than 10.
pub(super) const MAX_DEPTH: usize = 64;

/// A file that is being changed.
pub(super) struct Modifier<'b, 's> {
    blocks: &'b mut Blocks<'s>,
    node: Draft,
    /// Of the nodes that are made.
    format: CidFormat,
    raw_leaves: bool,
    chunker: Chunker,
    now: Mtime,
}

/// How a file is changed.
pub(super) struct Manner {
    /// Whether new leaves are raw. Default: with CIDs of version 1.
    pub(super) raw_leaves: Option<bool>,
    pub(super) chunker: Chunker,
    /// What a file that has a time of modification gets.
    pub(super) now: Mtime,
}

impl<'b, 's> Modifier<'b, 's> {
    /// Opens a file. Reads its root.
    pub(super) fn open(
        blocks: &'b mut Blocks<'s>,
        cid: &Cid,
        manner: &Manner,
    ) -> Result<Self, MfsError> {
        let node = Draft::load(blocks, cid)?;
        if let Draft::Pb(pb) = &node
            && !is_file(pb.message.data_type)
        {
            return Err(match pb.message.data_type {
                DataType::Symlink => MfsError::Symlink,
                _ => MfsError::undecodable(cid, "unsupported fsnode type for 'file'"),
            });
        }
        let format = CidFormat::of(cid);
        let raw_leaves = manner.raw_leaves.unwrap_or(!format.is_v0());
        let (chunker, now) = (manner.chunker, manner.now);
        Ok(Modifier { blocks, node, format, raw_leaves, chunker, now })
    }

    /// Makes the file end at `size`; a file that is shorter gets zeros.
    pub(super) fn truncate(&mut self, size: u64) -> Result<(), MfsError> {
        let now = self.node.size();
        if size > now {
            return self.expand(size, size - now);
        }
        if size < now {
            let node = std::mem::replace(&mut self.node, empty_raw());
            self.node = self.cut(node, size, 0)?;
            self.node.store(self.blocks)?;
        }
        Ok(())
    }

    /// Writes all of a reader from `offset` on. Reads it to its end.
    pub(super) fn write(&mut self, content: &mut dyn Read, offset: u64) -> Result<(), MfsError> {
        let size = self.node.size();
        if offset > size {
            self.expand(offset, offset - size)?;
        }
        let mut at = offset;
        let mut buffer = Vec::with_capacity(WRITE_AT_ONCE);
        loop {
            buffer.clear();
            let mut some = content.take(WRITE_AT_ONCE as u64);
            let len = some.read_to_end(&mut buffer).map_err(MfsError::Content)?;
            if len > 0 {
                self.write_at(&buffer, at)?;
                at = at.saturating_add(len as u64);
            }
            if len < WRITE_AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Stores what there is. A root that only leads to one raw leaf gives way to it, as after `ipfs add`.
    pub(super) fn finish(self) -> Result<Child, MfsError> {
        match (self.leaf()?, &self.node) {
            (Some(leaf), _) => Ok(leaf),
            (None, node) => node.store(self.blocks),
        }
    }

    /// The raw leaf that stands for the whole file.
    pub(super) fn leaf(&self) -> Result<Option<Child>, MfsError> {
        let Draft::Pb(Pb { links, message, .. }) = &self.node else { return Ok(None) };
        let [leaf] = links.as_slice() else { return Ok(None) };
        let plain = message.mtime.is_none() && message.permissions().is_none();
        let is_raw = leaf.child.cid.codec() == RAW;
        if !self.raw_leaves || !plain || !is_raw || !message.inline().is_empty() {
            return Ok(None);
        }
        let size = self.blocks.size(&leaf.child.cid)?;
        Ok(size.map(|tsize| Child { tsize, ..leaf.child }))
    }

    fn expand(&mut self, offset: u64, hole: u64) -> Result<(), MfsError> {
        if hole > MAX_HOLE {
            return Err(MfsError::Hole { offset, hole });
        }
        self.append(std::io::repeat(0).take(hole), Chunker::Size(ZEROS))
    }

    /// One round of writing.
    fn write_at(&mut self, data: &[u8], at: u64) -> Result<(), MfsError> {
        let node = std::mem::replace(&mut self.node, empty_raw());
        let (node, taken) = self.overwrite(node, at, data, 0)?;
        self.node = node;
        let rest = data.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            self.append(rest, self.chunker)?;
        }
        self.node.store(self.blocks)?;
        Ok(())
    }

    /// Writes over what is there from `at` on, in and below a node; says how many bytes found a place.
    fn overwrite(
        &mut self,
        node: Draft,
        at: u64,
        data: &[u8],
        depth: usize,
    ) -> Result<(Draft, usize), MfsError> {
        match node {
            Draft::Raw { format, data: old } => {
                let mut bytes = old.to_vec();
                let taken = copy_at(&mut bytes, at, data);
                Ok((Draft::Raw { format, data: Bytes::from(bytes) }, taken))
            }
            Draft::Pb(pb) => self.overwrite_pb(pb, at, data, depth),
        }
    }

    fn overwrite_pb(
        &mut self,
        mut pb: Pb,
        mut at: u64,
        data: &[u8],
        depth: usize,
    ) -> Result<(Draft, usize), MfsError> {
        let mut bytes = pb.message.inline().to_vec();
        let mut taken = copy_at(&mut bytes, at, data);
        if taken > 0 {
            pb.message.set_data(bytes);
            at = pb.message.inline().len() as u64;
        }
        if pb.links.is_empty() {
            pb.message.mtime = pb.message.mtime.map(|_| self.now);
            return Ok((Draft::Pb(pb), taken));
        }
        let mut start = pb.message.inline().len() as u64;
        let Pb { links, message, .. } = &mut pb;
        for (link, size) in links.iter_mut().zip(&message.sizes) {
            let end = start.saturating_add(*size);
            let rest = data.get(taken..).unwrap_or_default();
            if end > at && !rest.is_empty() {
                let child = self.child(&link.child.cid, depth)?;
                let (child, here) =
                    self.overwrite(child, at.saturating_sub(start), rest, depth + 1)?;
                link.child.cid = child.store(self.blocks)?.cid;
                taken += here;
                at = end;
            }
            start = end;
        }
        Ok((Draft::Pb(pb), taken))
    }

    fn child(&self, cid: &Cid, depth: usize) -> Result<Draft, MfsError> {
        if depth >= MAX_DEPTH {
            return Err(MfsError::TooDeep(*cid));
        }
        Draft::load(self.blocks, cid)
    }

    /// Cuts a node off at `size`, which is less than it has.
    fn cut(&mut self, node: Draft, size: u64, depth: usize) -> Result<Draft, MfsError> {
        match node {
            Draft::Raw { format, data } => {
                let end = usize::try_from(size).map_or(data.len(), |size| size.min(data.len()));
                Ok(Draft::Raw { format, data: data.slice(..end) })
            }
            Draft::Pb(pb) => self.cut_pb(pb, size, depth).map(Draft::Pb),
        }
    }

    fn cut_pb(&mut self, mut pb: Pb, size: u64, depth: usize) -> Result<Pb, MfsError> {
        let inline = pb.message.inline().len() as u64;
        if pb.links.is_empty() || size < inline {
            pb.links.clear();
            pb.message.sizes.clear();
            pb.message.filesize = Some(inline);
            if let Some(mut data) = pb.message.data.clone() {
                data.truncate(usize::try_from(size).unwrap_or(usize::MAX));
                pb.message.set_data(data);
            }
            pb.message.mtime = pb.message.mtime.map(|_| self.now);
            // boxo makes a cut leaf anew and forgets the form of its CID.
            pb.format = CidFormat::V0;
            return Ok(pb);
        }
        let links = std::mem::take(&mut pb.links);
        pb.message.sizes.clear();
        pb.message.filesize = Some(inline);
        let mut start = inline;
        for link in links {
            let child = self.child(&link.child.cid, depth)?;
            let len = child.size();
            if size < start.saturating_add(len) {
                let cut = self.cut(child, size - start, depth + 1)?;
                pb.push(cut.store(self.blocks)?, size - start);
                break;
            }
            start = start.saturating_add(len);
            pb.push(link.child, len);
        }
        Ok(pb)
    }

    fn append(&mut self, content: impl Read, chunker: Chunker) -> Result<(), MfsError> {
        let (base, raw_leaves) = match std::mem::replace(&mut self.node, empty_raw()) {
            Draft::Pb(pb) => (self.with_leaves(pb)?, self.raw_leaves),
            raw @ Draft::Raw { .. } => {
                let leaf = raw.store(self.blocks)?;
                let mut pb = Pb::new(self.format, DataType::File);
                pb.push(leaf, raw.size());
                (pb, true)
            }
        };
        let mut chunks = chunker.split(content);
        let next = chunks.next().transpose().map_err(MfsError::Content)?;
        let feed = Feed { chunks, next, last: None };
        let mut appending =
            Appending { blocks: self.blocks, format: self.format, raw_leaves, now: self.now, feed };
        self.node = Draft::Pb(appending.append(base)?);
        self.node.store(self.blocks)?;
        Ok(())
    }
}

impl Modifier<'_, '_> {
    /// A file of one block as a root with that leaf, so that others can follow.
    fn with_leaves(&mut self, mut pb: Pb) -> Result<Pb, MfsError> {
        if !pb.links.is_empty() || pb.message.inline().is_empty() {
            return Ok(pb);
        }
        let content = Bytes::from(pb.message.data.take().unwrap_or_default());
        pb.message.filesize = Some(0);
        let size = content.len() as u64;
        let leaf = leaf(self.blocks, &self.format, self.raw_leaves, &content)?;
        pb.push(leaf, size);
        Ok(pb)
    }
}

/// Stores the leaf of a chunk.
fn leaf(
    blocks: &mut Blocks<'_>,
    format: &CidFormat,
    raw: bool,
    chunk: &Bytes,
) -> Result<Child, MfsError> {
    if raw {
        let cid = blocks.put(format, RAW, chunk.clone())?;
        return Ok(Child { cid, tsize: chunk.len() as u64 });
    }
    let mut leaf = Pb::new(*format, DataType::Raw);
    leaf.message.set_data(chunk.to_vec());
    leaf.store(blocks)
}

fn empty_raw() -> Draft {
    Draft::Raw { format: CidFormat::V0, data: Bytes::new() }
}

/// Copies as much of `data` over `bytes` from `at` on as there is room for.
fn copy_at(bytes: &mut [u8], at: u64, data: &[u8]) -> usize {
    let place = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at..)).unwrap_or_default();
    let len = place.len().min(data.len());
    for (to, from) in place.iter_mut().zip(data) {
        *to = *from;
    }
    len
}

/// Chunks, one ahead of what is taken.
struct Feed<C> {
    chunks: C,
    next: Option<Bytes>,
    /// The leaf that was made last, since holes are made of one chunk many times.
    last: Option<(Bytes, Child)>,
}

impl<C: Iterator<Item = std::io::Result<Bytes>>> Feed<C> {
    fn is_done(&self) -> bool {
        self.next.is_none()
    }

    fn take(&mut self) -> Result<Option<Bytes>, MfsError> {
        let next = self.chunks.next().transpose().map_err(MfsError::Content)?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// An append to a file, in the trickle layout. Where boxo's arithmetic of depths is odd, it is kept: the first
/// subtrees behind a full root are one level deeper than those of an import.
struct Appending<'b, 's, C> {
    blocks: &'b mut Blocks<'s>,
    format: CidFormat,
    raw_leaves: bool,
    now: Mtime,
    feed: Feed<C>,
}

impl<C: Iterator<Item = std::io::Result<Bytes>>> Appending<'_, '_, C> {
    fn append(&mut self, mut root: Pb) -> Result<Pb, MfsError> {
        let (mut depth, repeat) = place(&root);
        if depth == 0 {
            self.fill_leaves(&mut root)?;
            if self.feed.is_done() {
                root.message.mtime = root.message.mtime.map(|_| self.now);
                return Ok(root);
            }
            depth = 1;
        }
        self.fill_last(&mut root, depth - 1, repeat, 0)?;
        self.fill_subtrees(&mut root, depth, None)?;
        Ok(root)
    }

    /// Adds leaves while there is room for them.
    fn fill_leaves(&mut self, node: &mut Pb) -> Result<(), MfsError> {
        while node.links.len() < MAX_LINKS
            && let Some(chunk) = self.feed.take()?
        {
            let leaf = self.leaf(&chunk)?;
            node.push(leaf, chunk.len() as u64);
        }
        Ok(())
    }

    fn leaf(&mut self, chunk: &Bytes) -> Result<Child, MfsError> {
        if let Some((_, leaf)) = self.feed.last.as_ref().filter(|(last, _)| last == chunk) {
            return Ok(*leaf);
        }
        let leaf = leaf(self.blocks, &self.format, self.raw_leaves, chunk)?;
        self.feed.last = Some((chunk.clone(), leaf));
        Ok(leaf)
    }

    /// Goes on with subtrees of ever greater depth behind those of `depth`, up to `max_depth`.
    fn fill_subtrees(
        &mut self,
        node: &mut Pb,
        depth: i32,
        max_depth: Option<i32>,
    ) -> Result<(), MfsError> {
        let mut depth = depth + i32::from(!self.feed.is_done());
        while max_depth.is_none_or(|max| depth < max) && !self.feed.is_done() {
            for _ in 0..REPEAT {
                if !self.feed.is_done() {
                    self.add_subtree(node, depth)?;
                }
            }
            depth += 1;
        }
        Ok(())
    }

    fn add_subtree(&mut self, node: &mut Pb, max_depth: i32) -> Result<(), MfsError> {
        let subtree = self.subtree(max_depth)?;
        let size = subtree.message.filesize.unwrap_or(0);
        node.push(subtree.store(self.blocks)?, size);
        Ok(())
    }

    /// A new subtree: leaves, then subtrees of the depths below `max_depth`.
    fn subtree(&mut self, max_depth: i32) -> Result<Pb, MfsError> {
        let mut node = Pb::new(self.format, DataType::File);
        self.fill_leaves(&mut node)?;
        for depth in 1..max_depth {
            for _ in 0..REPEAT {
                if !self.feed.is_done() {
                    self.add_subtree(&mut node, depth)?;
                }
            }
        }
        Ok(node)
    }

    /// The last subtree of a node may have room.
    fn fill_last(
        &mut self,
        node: &mut Pb,
        depth: i32,
        repeat: usize,
        level: usize,
    ) -> Result<(), MfsError> {
        if node.links.len() <= MAX_LINKS {
            return Ok(());
        }
        let Some(last) = node.links.last() else { return Ok(()) };
        let cid = last.child.cid;
        if level >= MAX_DEPTH {
            return Err(MfsError::TooDeep(cid));
        }
        if cid.codec() != DAG_PB {
            return Err(MfsError::undecodable(&cid, "expected protobuf dag node"));
        }
        let mut last = Pb::parse(&cid, &self.blocks.get(&cid)?)?;
        self.fill_below(&mut last, depth - 1, level + 1)?;
        node.pop();
        let size = last.message.filesize.unwrap_or(0);
        node.push(last.store(self.blocks)?, size);
        if repeat != 0 {
            for _ in repeat..REPEAT {
                if !self.feed.is_done() {
                    self.add_subtree(node, depth)?;
                }
            }
        }
        Ok(())
    }

    fn fill_below(&mut self, node: &mut Pb, max_depth: i32, level: usize) -> Result<(), MfsError> {
        if max_depth == 0 || self.feed.is_done() {
            return Ok(());
        }
        let (mut depth, repeat) = place(node);
        if depth == 0 {
            self.fill_leaves(node)?;
            depth = 1;
        }
        if depth == max_depth {
            return Ok(());
        }
        self.fill_last(node, depth, repeat, level)?;
        self.fill_subtrees(node, depth, Some(max_depth))
    }
}

/// Where filling a node stopped: the depth of the subtrees that were being added, 0 for leaves, and how
/// many of that depth there are.
fn place(node: &Pb) -> (i32, usize) {
    match node.message.sizes.len().checked_sub(MAX_LINKS) {
        None => (0, 0),
        Some(subtrees) => {
            let depth = i32::try_from(subtrees / REPEAT).unwrap_or(i32::MAX - 1) + 1;
            (depth, subtrees % REPEAT)
        }
    }
}
