//! From a byte range of a file to the pieces of its leaves.
//!
//! Owns the descent: only children that intersect the range are ever asked for, each once, in file
//! order, whatever the chunker and the layout (balanced, trickle, data inside inner nodes). Must not
//! know where blocks lie, nor who reads. The walk can be driven without waiting ([`FileReader::next_now`])
//! as far as nodes are cached and leaves are open, and goes on with [`FileReader::next_piece`] where
//! waiting is allowed. Rules: boxo `ipld/unixfs/io/dagreader.go`.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::dag_pb::{Head, LEAF_HEAD_LEN, LeafFrame, leaf_frame};
use super::node::{Body, FileNode, Node};
use crate::block::{Cid, MAX_BLOCK_LEN, RAW};
use crate::error::ReadError;
use crate::nodes::NodeSource;
use crate::store::{Extent, Located};

/// Levels of inner nodes a file may have. Kubo's widest files have four; a file of 2^63 bytes with two
/// links a node would have about sixty.
const MAX_DEPTH: usize = 64;

/// Leaves that one call of [`FileReader::warm`] asks for: it holds their files open while it sorts them.
const MAX_WARM_LEAVES: usize = 64;

/// The longest `Bytes` that the iterator yields, in bytes.
const CHUNK: usize = 256 * 1024;

/// Bytes of a file: in memory, or where to read them.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In memory.
    Bytes(Bytes),
    /// In an open file.
    Extent(Extent),
}

impl Piece {
    /// The number of bytes.
    pub fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Extent(extent) => extent.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What can be said of the next piece without waiting.
#[derive(Debug)]
pub enum Step {
    /// Here it is.
    Piece(Piece),
    /// The range has been read to its end.
    End,
    /// A node or a leaf must be fetched first: call [`FileReader::next_piece`] where waiting is allowed.
    WouldWait,
}

/// Reads a range of a file, piece by piece, in order. Holds the inner nodes on the way to the present
/// leaf and nothing else.
#[derive(Clone, Debug)]
pub struct FileReader {
    nodes: Arc<NodeSource>,
    /// What is still to be read.
    range: Range<u64>,
    /// What the iterator has cut off a longer piece; it comes before the range.
    rest: Bytes,
    /// The nodes from the root down to where the reader stands, and where each begins in the file.
    path: Vec<(Arc<Node>, u64)>,
    root: Arc<Node>,
    drop_behind: bool,
    /// The inode of the leaf that was read last and was not in the page cache before.
    cold: Option<u64>,
    /// It only looks for what is to be read soon: nothing is verified, and no byte of a leaf is taken.
    warming: bool,
}

/// A child that intersects the range.
struct Child {
    cid: Cid,
    start: u64,
    size: u64,
}

impl FileReader {
    pub(crate) fn new(nodes: Arc<NodeSource>, file: Arc<Node>, range: Range<u64>) -> Self {
        let size = as_file(&file).map_or(0, FileNode::size);
        let end = range.end.min(size);
        let range = range.start.min(end)..end;
        FileReader {
            nodes,
            range,
            rest: Bytes::new(),
            path: vec![(file.clone(), 0)],
            root: file,
            drop_behind: false,
            cold: None,
            warming: false,
        }
    }

    /// Bytes still to come.
    pub fn remaining(&self) -> u64 {
        self.range.end - self.range.start + self.rest.len() as u64
    }

    /// The next piece, fetching what it needs; `None` at the end of the range.
    ///
    /// Costs an open for a leaf that is not open (and one read of its head when it is dag-pb), and a
    /// read of each inner node that is not cached. Blocks.
    pub fn next_piece(&mut self) -> Option<Result<Piece, ReadError>> {
        match self.advance_soundly() {
            Ok(Step::Piece(piece)) => Some(Ok(piece)),
            Ok(Step::End) => None,
            Ok(Step::WouldWait) => {
                unreachable!("a walk that may wait never stops for waiting")
            }
            Err(error) => {
                self.finish();
                Some(Err(error))
            }
        }
    }

    /// A step that may wait. When a child is missing, the node that names it is checked before that is
    /// believed: one step more for each node on the path at most.
    fn advance_soundly(&mut self) -> Result<Step, ReadError> {
        let mut checked = None;
        loop {
            match (self.advance(true), self.path.last()) {
                (Err(missing @ ReadError::Missing(_)), Some((parent, _))) if !self.warming => {
                    let cid = *parent.cid();
                    if checked.replace(cid) == Some(cid) {
                        return Err(missing);
                    }
                    let size = as_file(parent)?.size();
                    let Some(node) = self.nodes.reread(&cid)? else { return Err(missing) };
                    if as_file(&node)?.size() != size {
                        return Err(not_as_told(&cid, as_file(&node)?.size(), size));
                    }
                    if let Some((parent, _)) = self.path.last_mut() {
                        *parent = node;
                    }
                }
                (step, _) => return step,
            }
        }
    }

    /// Nothing more will come.
    fn finish(&mut self) {
        self.range.start = self.range.end;
        self.rest = Bytes::new();
        self.path.clear();
    }

    /// The next piece if it can be had without waiting for a disk. Takes no system call for a leaf whose
    /// file is open (one `fstat` under [`crate::Verify::FirstRead`]); else at most an open and a read of a
    /// head, of what the kernel has in memory.
    pub fn next_now(&mut self) -> Result<Step, ReadError> {
        self.advance(false)
    }

    /// Bytes of memory that the next piece may hold when it is no extent: those of its whole leaf, since a block is
    /// verified whole, however few bytes of it are wanted. 0 at the end. Looks at nodes in memory only; where an inner
    /// node has to be fetched first, the size of its leaves is not known, and the largest block is named.
    pub fn next_block_len(&self) -> u64 {
        let holds = |(node, start): &&(Arc<Node>, u64)| {
            as_file(node).is_ok_and(|file| self.range.start < start + file.size())
        };
        if self.range.is_empty() {
            return 0;
        }
        let Some((node, start)) = self.path.iter().rev().find(holds) else { return 0 };
        let Ok(file) = as_file(node) else { return 0 };
        match &file.body {
            Body::Inline(_) => 0,
            Body::Raw | Body::Leaf(_) => file.size().min(MAX_BLOCK_LEN),
            Body::Tree { links, ends, .. } => {
                let child = child_at(file, links, ends, *start, self.range.start);
                child.map_or(0, |child| child.size.min(MAX_BLOCK_LEN))
            }
        }
    }

    /// Where the reader stands, in bytes from the start of the file.
    pub fn position(&self) -> u64 {
        self.range.start - self.rest.len() as u64
    }

    /// Goes back to `position`, from the start of the file, where the reading of a piece failed; after
    /// [`crate::Repo::failed`], so that what follows comes from a copy that can be read, where any tier has
    /// one. Walks down again from the root, through cached nodes. A position beyond the range is its end.
    pub fn go_back_to(&mut self, position: u64) {
        self.rest = Bytes::new();
        self.range.start = position.min(self.range.end);
        self.path = vec![(self.root.clone(), 0)];
    }

    /// Asks the kernel to read the leaves from byte `from` of the file on into the page cache, at most
    /// `max_bytes` of them and none beyond the range; in the order of their inodes, which on most file
    /// systems is the order on disk. The reader itself does not move. Returns how many bytes were asked
    /// for. Errors end it silently, as the reader will meet them itself. Blocks for opens and inner
    /// nodes, not for leaves.
    pub fn warm(&self, from: u64, max_bytes: u64) -> u64 {
        let mut ahead = self.clone();
        ahead.range.start = from.clamp(self.range.start, self.range.end);
        ahead.range.end = ahead.range.end.min(ahead.range.start.saturating_add(max_bytes));
        let mut extents = Vec::new();
        let mut bytes = 0;
        ahead.warming = true;
        for piece in
            std::iter::from_fn(|| ahead.next_piece()).take(MAX_WARM_LEAVES).map_while(Result::ok)
        {
            if let Piece::Extent(extent) = piece {
                bytes += extent.len();
                extents.push(extent);
            }
        }
        Extent::will_need_all(&mut extents);
        bytes
    }

    fn advance(&mut self, may_wait: bool) -> Result<Step, ReadError> {
        if !self.rest.is_empty() {
            return Ok(Step::Piece(Piece::Bytes(std::mem::take(&mut self.rest))));
        }
        loop {
            let Some((node, start)) = self.path.last() else { return Ok(Step::End) };
            let (node, start) = (node.clone(), *start);
            let file = as_file(&node)?;
            if self.range.is_empty() {
                return Ok(Step::End);
            }
            if self.range.start >= start + file.size() {
                self.path.pop();
                continue;
            }
            let within = self.range.start - start..self.range.end.min(start + file.size()) - start;
            let found = match &file.body {
                Body::Inline(data) => Some(Piece::Bytes(slice(data, &within))),
                Body::Raw => self.leaf(&file.cid, None, file.size(), &within, may_wait)?,
                Body::Leaf(frame) => {
                    self.leaf(&file.cid, Some(frame), file.size(), &within, may_wait)?
                }
                Body::Tree { data, .. } if within.start < data.len() as u64 => {
                    let end = within.end.min(data.len() as u64);
                    Some(Piece::Bytes(slice(data, &(within.start..end))))
                }
                Body::Tree { links, ends, .. } => {
                    let child = child_at(file, links, ends, start, within.start)?;
                    match self.enter(child, may_wait)? {
                        Entered::Leaf(piece) => Some(piece),
                        Entered::Node => continue,
                        Entered::WouldWait => None,
                    }
                }
            };
            let Some(piece) = found else { return Ok(Step::WouldWait) };
            self.range.start += piece.len();
            return Ok(Step::Piece(piece));
        }
    }

    /// Takes a child: as a piece when it is a leaf, as the new end of the path when it is a node.
    fn enter(&mut self, child: Child, may_wait: bool) -> Result<Entered, ReadError> {
        let within = self.range.start - child.start
            ..self.range.end.min(child.start + child.size) - child.start;
        if child.cid.codec() == RAW {
            let piece = self.leaf(&child.cid, None, child.size, &within, may_wait)?;
            return Ok(piece.map_or(Entered::WouldWait, Entered::Leaf));
        }
        let mut node = match self.nodes.child_now(&child.cid)? {
            Some(node) => node,
            None if may_wait => self.nodes.child(&child.cid)?,
            None => return Ok(Entered::WouldWait),
        };
        if as_file(&node)?.size() != child.size {
            if !may_wait {
                return Ok(Entered::WouldWait);
            }
            node = self.nodes.sound_child(&child.cid)?;
        }
        let file = as_file(&node)?;
        if file.size() != child.size {
            return Err(not_as_told(&child.cid, file.size(), child.size));
        }
        match &file.body {
            Body::Raw | Body::Tree { .. } => {}
            Body::Inline(data) => {
                return Ok(Entered::Leaf(Piece::Bytes(slice(data, &within))));
            }
            Body::Leaf(frame) => {
                let piece = self.leaf(&child.cid, Some(frame), child.size, &within, may_wait)?;
                return Ok(piece.map_or(Entered::WouldWait, Entered::Leaf));
            }
        }
        if self.path.len() >= MAX_DEPTH {
            let reason = format!("it lies more than {MAX_DEPTH} levels below the root of its file");
            return Err(ReadError::undecodable(&child.cid, reason));
        }
        self.path.push((node, child.start));
        Ok(Entered::Node)
    }

    /// The part `within` of a leaf's `size` file bytes. `None`: it would have to wait.
    fn leaf(
        &self,
        cid: &Cid,
        frame: Option<&LeafFrame>,
        size: u64,
        within: &Range<u64>,
        may_wait: bool,
    ) -> Result<Option<Piece>, ReadError> {
        let tiers = self.nodes.tiers();
        if self.warming {
            let found = tiers.locate_unverified(cid)?.ok_or(ReadError::Missing(*cid))?;
            return Ok(Some(part(found, frame, within)));
        }
        let mut found = match tiers.locate_now(cid) {
            Some(found) => found,
            None if may_wait => tiers.locate(cid)?.ok_or(ReadError::Missing(*cid))?,
            None => return Ok(None),
        };
        if !holds(&found, frame, size) {
            if !may_wait {
                return Ok(None);
            }
            found = tiers.locate_sound(cid)?.ok_or(ReadError::Missing(*cid))?;
        }
        if !holds(&found, frame, size) {
            // A root's size may come from a bad copy that was read before.
            self.nodes.forget(cid);
            return Err(not_as_told(cid, found.len(), size));
        }
        Ok(Some(part(found, frame, within)))
    }
}

/// The part `within` of a leaf's file bytes.
fn part(found: Located, frame: Option<&LeafFrame>, within: &Range<u64>) -> Piece {
    let offset = frame.map_or(0, |frame| frame.data_offset);
    let within = offset + within.start..offset + within.end;
    match found {
        Located::Extent(extent) => {
            Piece::Extent(extent.part(within.start, within.end - within.start))
        }
        Located::Bytes(bytes) => Piece::Bytes(slice(&bytes, &within)),
    }
}

enum Entered {
    Leaf(Piece),
    Node,
    WouldWait,
}

fn as_file(node: &Node) -> Result<&FileNode, ReadError> {
    match node {
        Node::File(file) => Ok(file),
        other => Err(ReadError::NotAFile(*other.cid())),
    }
}

/// The child that holds byte `at` of `file`, which begins at `start`. Children without bytes are
/// stepped over: they hold nothing.
fn child_at(
    file: &FileNode,
    links: &super::node::Links,
    ends: &[u64],
    start: u64,
    at: u64,
) -> Result<Child, ReadError> {
    let index = ends.partition_point(|end| *end <= at);
    let Body::Tree { data, .. } = &file.body else { return Err(ReadError::NotAFile(file.cid)) };
    let before = index.checked_sub(1).and_then(|i| ends.get(i)).copied();
    let child_start = before.unwrap_or(data.len() as u64);
    let child_end = ends.get(index).copied().unwrap_or(child_start);
    Ok(Child {
        cid: links.cid(&file.cid, index)?,
        start: start + child_start,
        size: child_end - child_start,
    })
}

/// Whether a copy of a leaf can hold the `size` bytes that were announced, and where. The frame was read
/// from the head of a block; another copy of the block must have the same.
fn holds(found: &Located, frame: Option<&LeafFrame>, size: u64) -> bool {
    let Some(frame) = frame else { return found.len() == size };
    match found {
        Located::Bytes(bytes) => {
            let head = bytes.get(..LEAF_HEAD_LEN.min(bytes.len())).unwrap_or_default();
            matches!(leaf_frame(head, bytes.len() as u64), Head::Leaf(other)
                if other.data_offset == frame.data_offset && other.data_len == frame.data_len)
        }
        Located::Extent(extent) => extent.len() >= frame.data_offset + frame.data_len,
    }
}

fn not_as_told(cid: &Cid, len: u64, told: u64) -> ReadError {
    let reason =
        format!("it has {len} bytes, expected {told} as its parent or an earlier copy says");
    ReadError::undecodable(cid, reason)
}

/// The part `range` of `bytes`; ranges come from checked sizes, so a range beyond is cut to what is there.
fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(clamp(range.start)..clamp(range.end))
}

impl Iterator for FileReader {
    type Item = Result<Bytes, ReadError>;

    /// The next bytes, read from the disk: at most 256 KiB. Blocks.
    fn next(&mut self) -> Option<Self::Item> {
        let at = self.range.start;
        match self.next_bytes() {
            // A copy that fails in its middle is avoided from then on: asked again, another tier answers.
            Some(Err(_)) if !self.path.is_empty() => {
                self.go_back_to(at);
                let again = self.next_bytes();
                if matches!(again, Some(Err(_))) {
                    self.finish();
                }
                again
            }
            next => next,
        }
    }
}

impl FileReader {
    fn next_bytes(&mut self) -> Option<Result<Bytes, ReadError>> {
        let before = self.range.start;
        let piece = match self.next_piece()? {
            Ok(Piece::Bytes(mut bytes)) => {
                self.rest = bytes.split_off(bytes.len().min(CHUNK));
                return Some(Ok(bytes));
            }
            Ok(Piece::Extent(extent)) => extent,
            Err(error) => return Some(Err(error)),
        };
        // What is left of a longer piece is found again: its file is open.
        let part = piece.part(0, CHUNK as u64);
        self.range.start = before + part.len();
        Some(self.read_part(part))
    }
}

impl FileReader {
    /// Makes the iterator drop what it reads from the page cache again, unless it was there before: for
    /// bulk work (verifying, copying) that must not push out what viewers watch.
    pub fn drop_behind(mut self) -> Self {
        self.drop_behind = true;
        self
    }

    fn read_part(&mut self, mut part: Extent) -> Result<Bytes, ReadError> {
        let whole = part.clone();
        let mut bytes = BytesMut::zeroed(usize::try_from(part.len()).unwrap_or(CHUNK));
        let (mut at, mut waited) = (0, false);
        while !part.is_empty() {
            let rest = bytes.get_mut(at..).unwrap_or_default();
            let read = match part.read_now(rest) {
                Ok(Some(n)) => Ok(n),
                Ok(None) => {
                    waited = true;
                    part.read(rest)
                }
                Err(error) => Err(error),
            };
            at += read.inspect_err(|error| self.nodes.tiers().failed(&part, error))?;
        }
        // What follows in a leaf was brought by the kernel's own read-ahead, and not by a viewer.
        let is_cold = waited || self.cold == Some(whole.inode());
        self.cold = is_cold.then(|| whole.inode());
        if self.drop_behind && is_cold {
            whole.dont_need();
        }
        Ok(bytes.freeze())
    }
}
