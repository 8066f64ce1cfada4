//! dag-pb, the codec of UnixFS nodes: some data and a list of named links.
//!
//! Owns the two messages PBNode and PBLink and the frame of a leaf. Must not know what the data means,
//! except in [`leaf_frame`], nor where blocks come from. Borrowed: nothing is copied or allocated.
//! Rules: the dag-pb specification, and go-codec-dagpb `unmarshal.go`, which is stricter than
//! protobuf: no unknown fields, nothing twice, links together, a link's fields in order. Both orders
//! of Data and Links are read (old nodes have Data first); the one written is Links first.

use super::wire::{self, LEN, Reader, VARINT, fault};
pub use super::wire::{PbError, PbFault};

pub(super) const NODE_DATA: u32 = 1;
pub(super) const NODE_LINKS: u32 = 2;
pub(super) const LINK_HASH: u32 = 1;
pub(super) const LINK_NAME: u32 = 2;
pub(super) const LINK_TSIZE: u32 = 3;

/// A dag-pb node whose every field and link has been checked.
#[derive(Debug, Clone, Copy)]
pub struct PbNode<'a> {
    data: Option<&'a [u8]>,
    links: Links<'a>,
}

impl<'a> PbNode<'a> {
    /// Reads a block. One pass over its frames; the data and the names are not looked at.
    ///
    /// Fails where Kubo fails: at the first field that is cut short, unknown, repeated, out of order,
    /// or of the wrong wire type, and at a link without a CID. Names may be any bytes.
    pub fn parse(block: &'a [u8]) -> Result<PbNode<'a>, PbError> {
        let mut reader = Reader::new(block);
        let mut data = None;
        let mut links = Links { rest: reader, left: 0 };
        let mut links_end = 0;
        while !reader.is_empty() {
            let field_start = reader;
            let at = reader.at();
            match node_field(&mut reader)? {
                (NODE_DATA, _) if data.is_some() => {
                    return Err(fault(at, PbFault::Duplicate("Data")));
                }
                (NODE_DATA, value) => data = Some(value.rest()),
                (NODE_LINKS, _) if links.left > 0 && links_end != at => {
                    return Err(fault(at, PbFault::SplitLinks));
                }
                (NODE_LINKS, value) => {
                    PbLink::parse(value)?;
                    if links.left == 0 {
                        links.rest = field_start;
                    }
                    links.left += 1;
                    links_end = reader.at();
                }
                (field, _) => return Err(fault(at, PbFault::UnknownField(field))),
            }
        }
        Ok(PbNode { data, links })
    }

    /// The node's data; a node may have none.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.data
    }

    /// The links, in the order in which they are stored. Reads each again as it comes.
    pub fn links(&self) -> Links<'a> {
        self.links
    }
}

/// Every field of a node is bytes.
fn node_field<'a>(reader: &mut Reader<'a>) -> Result<(u32, Reader<'a>), PbError> {
    let at = reader.at();
    match reader.key()? {
        (field, LEN) => Ok((field, reader.bytes()?)),
        (field, wire) => Err(fault(at, PbFault::WireType { field, wire })),
    }
}

/// The links of a [`PbNode`], in stored order. The number left is known.
#[derive(Debug, Clone, Copy)]
pub struct Links<'a> {
    rest: Reader<'a>,
    left: usize,
}

impl<'a> Iterator for Links<'a> {
    type Item = PbLink<'a>;

    fn next(&mut self) -> Option<PbLink<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Cannot fail: `PbNode::parse` has read the same bytes.
        let (_, value) = node_field(&mut self.rest).ok()?;
        PbLink::parse(value).ok()
    }

    /// Steps over `n` links by their lengths alone.
    fn nth(&mut self, n: usize) -> Option<PbLink<'a>> {
        for _ in 0..n.min(self.left) {
            self.left -= 1;
            node_field(&mut self.rest).ok()?;
        }
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Links<'_> {}
impl std::iter::FusedIterator for Links<'_> {}

/// A link to another block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PbLink<'a> {
    /// The binary CID, whose frame has been checked; bytes that follow it in the field are left out,
    /// as Kubo does. Its hash function and digest length may still be ones that nobody allows.
    pub cid: &'a [u8],
    /// The name, if the field is there: any bytes, not always UTF-8. Kubo takes a missing name for
    /// an empty one.
    pub name: Option<&'a [u8]>,
    /// What the writer said of the size of everything below the link, in bytes. Not to be relied on:
    /// some writers leave it out, and some put the size of the content.
    pub tsize: Option<u64>,
}

impl<'a> PbLink<'a> {
    fn parse(mut reader: Reader<'a>) -> Result<PbLink<'a>, PbError> {
        let start = reader.at();
        let (mut cid, mut name, mut tsize) = (None, None, None);
        while !reader.is_empty() {
            let at = reader.at();
            match reader.key()? {
                (LINK_HASH, LEN) => {
                    once_in_order(at, "Hash", cid.is_some(), name.is_some() || tsize.is_some())?;
                    let bytes = reader.bytes()?.rest();
                    cid = Some(leading_cid(bytes).ok_or(fault(at, PbFault::NotACid))?);
                }
                (LINK_NAME, LEN) => {
                    once_in_order(at, "Name", name.is_some(), tsize.is_some())?;
                    name = Some(reader.bytes()?.rest());
                }
                (LINK_TSIZE, VARINT) => {
                    once_in_order(at, "Tsize", tsize.is_some(), false)?;
                    tsize = Some(reader.varint()?);
                }
                (field @ LINK_HASH..=LINK_TSIZE, wire) => {
                    return Err(fault(at, PbFault::WireType { field, wire }));
                }
                (field, _) => return Err(fault(at, PbFault::UnknownField(field))),
            }
        }
        let cid = cid.ok_or(fault(start, PbFault::Missing("a link's Hash")))?;
        Ok(PbLink { cid, name, tsize })
    }
}

fn once_in_order(
    at: usize,
    field: &'static str,
    already: bool,
    later_seen: bool,
) -> Result<(), PbError> {
    match (already, later_seen) {
        (true, _) => Err(fault(at, PbFault::Duplicate(field))),
        (false, true) => Err(fault(at, PbFault::OutOfOrder(field))),
        (false, false) => Ok(()),
    }
}

/// The CID that `bytes` begin with (go-cid `CidFromBytes`): a bare sha2-256 multihash, or version 1.
pub(crate) fn leading_cid(bytes: &[u8]) -> Option<&[u8]> {
    const V0_LEN: usize = 34;
    if let [0x12, 0x20, _, ..] = bytes {
        return bytes.get(..V0_LEN);
    }
    let (digest_len, rest) = before_digest(bytes)?;
    let tail = rest.get(usize::try_from(digest_len).ok()?..)?;
    bytes.get(..bytes.len() - tail.len())
}

/// The length that a CID of version 1 says its digest has, and what follows that.
fn before_digest(cid: &[u8]) -> Option<(u64, &[u8])> {
    let (version, rest) = shortest_varint(cid)?;
    let (_codec, rest) = shortest_varint(rest)?;
    let (_function, rest) = shortest_varint(rest)?;
    let (digest_len, rest) = shortest_varint(rest)?;
    (version == 1).then_some((digest_len, rest))
}

/// The length in bytes of the digest in the CID of a link ([`PbLink::cid`]), which may be one that nobody
/// allows.
pub(super) fn digest_len(cid: &[u8]) -> u64 {
    before_digest(cid).map_or(32, |(len, _)| len)
}

/// A multiformats varint: at most nine bytes, and no longer than it needs to be.
fn shortest_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    const MAX_LEN: usize = 9;
    let mut reader = Reader::new(bytes);
    let value = reader.varint().ok()?;
    let len = reader.at();
    let last = *bytes.get(len.checked_sub(1)?)?;
    (len <= MAX_LEN && (len == 1 || last != 0)).then_some((value, reader.rest()))
}

/// Writes a node as go-codec-dagpb does: links first, ordered by name (those of equal or no name as
/// they come), then the data. Costs one buffer of the block's size.
pub fn encode<'a>(links: impl IntoIterator<Item = PbLink<'a>>, data: Option<&[u8]>) -> Vec<u8> {
    let mut links: Vec<PbLink<'a>> = links.into_iter().collect();
    links.sort_by_key(|link| link.name.unwrap_or_default());
    let mut block = Vec::new();
    let mut body = Vec::new();
    for link in links {
        body.clear();
        wire::put_bytes(&mut body, LINK_HASH, link.cid);
        if let Some(name) = link.name {
            wire::put_bytes(&mut body, LINK_NAME, name);
        }
        if let Some(tsize) = link.tsize {
            wire::put_number(&mut body, LINK_TSIZE, tsize);
        }
        wire::put_bytes(&mut block, NODE_LINKS, &body);
    }
    if let Some(data) = data {
        wire::put_bytes(&mut block, NODE_DATA, data);
    }
    block
}

/// Bytes from the start of a block that are always enough for [`leaf_frame`] to decide: the frame is
/// three keys and three numbers of at most ten bytes each.
pub const LEAF_HEAD_LEN: usize = 64;
const _: () = assert!(LEAF_HEAD_LEN >= 6 * wire::MAX_VARINT_LEN);

/// What the first bytes of a block say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// A leaf of a file in the form that Kubo writes: its file bytes lie in one piece.
    Leaf(LeafFrame),
    /// Anything else, broken blocks included: read the block whole and parse it.
    Inner,
    /// Too few bytes to tell. Never said of [`LEAF_HEAD_LEN`] bytes or of a whole block.
    NeedMore,
}

/// Where the file bytes of a leaf lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafFrame {
    /// Offset of the first file byte in the block.
    pub data_offset: u64,
    /// The number of file bytes.
    pub data_len: u64,
    /// The recorded file size if it is there and was within the bytes given; then it equals
    /// `data_len`. `None` also where the block ends with the file bytes.
    pub file_size: Option<u64>,
}

/// The frame of a leaf, from the first bytes of a block and the length of the whole block: where the
/// file bytes lie, without reading the rest. Constant cost.
///
/// A leaf is a node without links whose data is a UnixFS file or raw message: the type, the file
/// bytes, the file size. Blocks that hold the same in another order, or a mode or time, are `Inner`.
///
/// What is taken on trust: the up to eleven bytes behind the file bytes, as far as they are not part
/// of `head`. There are just as many as the field of the right file size needs, and so it is assumed
/// to be that field. A block made to deceive could have another there, such as a second Data, and
/// would then read otherwise when parsed whole; one that Kubo wrote cannot.
pub fn leaf_frame(head: &[u8], block_len: u64) -> Head {
    let within = usize::try_from(block_len).unwrap_or(usize::MAX);
    let head = head.get(..within).unwrap_or(head);
    match frame_of(head, block_len) {
        Ok(Some(frame)) => Head::Leaf(frame),
        Err(_) if head.len() < LEAF_HEAD_LEN.min(within) => Head::NeedMore,
        Ok(None) | Err(_) => Head::Inner,
    }
}

/// `None`: not a leaf of the usual form. An error: `head` ends too early, or is malformed.
fn frame_of(head: &[u8], block_len: u64) -> Result<Option<LeafFrame>, PbError> {
    use super::data::{DATA, FILESIZE, TYPE, TYPE_FILE, TYPE_RAW};
    let mut reader = Reader::new(head);
    if reader.key()? != (NODE_DATA, LEN) {
        return Ok(None);
    }
    let message_len = reader.varint()?;
    if (reader.at() as u64).checked_add(message_len) != Some(block_len) {
        return Ok(None);
    }
    if reader.key()? != (TYPE, VARINT) || !matches!(reader.varint()?, TYPE_FILE | TYPE_RAW) {
        return Ok(None);
    }
    // An empty file has no Data field.
    if reader.at() as u64 == block_len {
        return Ok(Some(LeafFrame { data_offset: block_len, data_len: 0, file_size: None }));
    }
    match reader.key()? {
        (DATA, LEN) => {
            let data_len = reader.varint()?;
            Ok(frame_with_data(head, reader.at() as u64, data_len, block_len))
        }
        (FILESIZE, VARINT) => {
            let empty = reader.varint()? == 0 && reader.at() as u64 == block_len;
            let frame = LeafFrame { data_offset: block_len, data_len: 0, file_size: Some(0) };
            Ok(empty.then_some(frame))
        }
        _ => Ok(None),
    }
}

fn frame_with_data(
    head: &[u8],
    data_offset: u64,
    data_len: u64,
    block_len: u64,
) -> Option<LeafFrame> {
    let data_end = data_offset.checked_add(data_len)?;
    if data_end == block_len {
        return Some(LeafFrame { data_offset, data_len, file_size: None });
    }
    let mut tail = Vec::with_capacity(1 + wire::MAX_VARINT_LEN);
    wire::put_number(&mut tail, super::data::FILESIZE, data_len);
    if data_end.checked_add(tail.len() as u64)? != block_len {
        return None;
    }
    let seen = usize::try_from(data_end).ok().and_then(|end| head.get(end..)).unwrap_or_default();
    tail.starts_with(seen).then(|| LeafFrame {
        data_offset,
        data_len,
        file_size: (seen.len() == tail.len()).then_some(data_len),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::unixfs::data::{DataType, UnixFsData};

    /// A raw CIDv1 of a sha2-256 digest.
    fn cid() -> Vec<u8> {
        [&[0x01, 0x55, 0x12, 0x20][..], &[7; 32]].concat()
    }

    /// A link's body: its fields in the order given.
    fn body(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (field, bytes) in fields {
            wire::put_bytes(&mut body, *field, bytes);
        }
        body
    }

    /// A node: its fields in the order given.
    fn node(fields: &[(u32, &[u8])]) -> Vec<u8> {
        body(fields)
    }

    fn why(block: &[u8]) -> PbFault {
        PbNode::parse(block).unwrap_err().fault
    }

    #[test]
    fn an_empty_block_is_a_node_without_data_and_links() {
        let node = PbNode::parse(&[]).unwrap();
        assert_eq!(node.data(), None);
        assert_eq!(node.links().len(), 0);
        assert_eq!(node.links().next(), None);
    }

    #[test]
    fn empty_data_is_not_missing_data() {
        assert_eq!(PbNode::parse(&[0x0a, 0x00]).unwrap().data(), Some(&[][..]));
    }

    #[test]
    fn data_may_stand_before_or_behind_the_links() {
        let (cid, link) = (cid(), body(&[(LINK_HASH, &cid()), (LINK_NAME, b"a")]));
        let expected = PbLink { cid: &cid, name: Some(b"a"), tsize: None };
        let behind = node(&[(NODE_LINKS, &link), (NODE_LINKS, &link), (NODE_DATA, b"data")]);
        let before = node(&[(NODE_DATA, b"data"), (NODE_LINKS, &link), (NODE_LINKS, &link)]);
        for block in [behind, before] {
            let node = PbNode::parse(&block).unwrap();
            assert_eq!(node.data(), Some(&b"data"[..]));
            assert_eq!(node.links().collect::<Vec<_>>(), [expected, expected]);
        }
    }

    #[test]
    fn links_on_both_sides_of_data_are_refused() {
        let link = body(&[(LINK_HASH, &cid())]);
        let block = node(&[(NODE_LINKS, &link), (NODE_DATA, b""), (NODE_LINKS, &link)]);
        assert_eq!(why(&block), PbFault::SplitLinks);
    }

    #[test]
    fn a_second_data_is_refused() {
        assert_eq!(why(&node(&[(NODE_DATA, b"a"), (NODE_DATA, b"a")])), PbFault::Duplicate("Data"));
    }

    #[test]
    fn an_unknown_field_is_refused_in_a_node_and_in_a_link() {
        assert_eq!(why(&node(&[(3, b"")])), PbFault::UnknownField(3));
        let link = body(&[(LINK_HASH, &cid()), (4, b"")]);
        assert_eq!(why(&node(&[(NODE_LINKS, &link)])), PbFault::UnknownField(4));
    }

    #[test]
    fn a_wrong_wire_type_is_refused_in_a_node_and_in_a_link() {
        assert_eq!(why(&[0x08, 0x01]), PbFault::WireType { field: 1, wire: VARINT });
        let tsize_as_bytes = body(&[(LINK_HASH, &cid()), (LINK_TSIZE, b"")]);
        let block = node(&[(NODE_LINKS, &tsize_as_bytes)]);
        assert_eq!(why(&block), PbFault::WireType { field: LINK_TSIZE, wire: LEN });
        let block = node(&[(NODE_LINKS, &[0x08, 0x01])]);
        assert_eq!(why(&block), PbFault::WireType { field: LINK_HASH, wire: VARINT });
    }

    #[test]
    fn a_links_fields_stand_in_order_and_once() {
        let cid = cid();
        let tsize = [0x18, 0x05];
        let name_first = body(&[(LINK_NAME, b"a"), (LINK_HASH, &cid)]);
        let tsize_first = [&tsize[..], &body(&[(LINK_HASH, &cid)])].concat();
        let name_last =
            [&body(&[(LINK_HASH, &cid)]), &tsize[..], &body(&[(LINK_NAME, b"a")])].concat();
        for (link, field) in [(name_first, "Hash"), (tsize_first, "Hash"), (name_last, "Name")] {
            assert_eq!(why(&node(&[(NODE_LINKS, &link)])), PbFault::OutOfOrder(field));
        }
        let two_hashes = body(&[(LINK_HASH, &cid), (LINK_HASH, &cid)]);
        let two_names = body(&[(LINK_HASH, &cid), (LINK_NAME, b""), (LINK_NAME, b"")]);
        let two_tsizes = [&body(&[(LINK_HASH, &cid)]), &tsize[..], &tsize[..]].concat();
        for (link, field) in [(two_hashes, "Hash"), (two_names, "Name"), (two_tsizes, "Tsize")] {
            assert_eq!(why(&node(&[(NODE_LINKS, &link)])), PbFault::Duplicate(field));
        }
    }

    #[test]
    fn a_link_without_a_hash_is_refused() {
        let block = node(&[(NODE_LINKS, &body(&[(LINK_NAME, b"a")]))]);
        assert_eq!(PbNode::parse(&block).unwrap_err(), fault(2, PbFault::Missing("a link's Hash")));
        assert_eq!(why(&node(&[(NODE_LINKS, b"")])), PbFault::Missing("a link's Hash"));
    }

    #[test]
    fn a_hash_must_begin_with_a_cid() {
        let v0 = [&[0x12, 0x20][..], &[7; 32]].concat();
        let identity = [0x01, 0x55, 0x00, 0x03, 1, 2, 3];
        let two_byte_codec = [&[0x01, 0x85, 0x24, 0x12, 0x20][..], &[7; 32]].concat();
        for good in [&v0[..], &cid(), &identity, &two_byte_codec] {
            assert_eq!(leading_cid(good), Some(good));
            let longer = [good, &[9, 9]].concat();
            assert_eq!(leading_cid(&longer), Some(good));
            assert_eq!(leading_cid(&good[..good.len() - 1]), None);
        }
        let version_2 = [&[0x02, 0x55, 0x12, 0x20][..], &[7; 32]].concat();
        let overlong_version = [&[0x81, 0x00, 0x55, 0x12, 0x20][..], &[7; 32]].concat();
        for bad in [&[][..], &[0x12, 0x20], &[0x00], b"not a cid", &version_2, &overlong_version] {
            assert_eq!(leading_cid(bad), None);
            let block = node(&[(NODE_LINKS, &body(&[(LINK_HASH, bad)]))]);
            assert_eq!(why(&block), PbFault::NotACid);
        }
    }

    #[test]
    fn names_may_be_any_bytes_and_tsize_has_64_bits() {
        let cid = cid();
        let link = PbLink { cid: &cid, name: Some(b"\xff/\0"), tsize: Some(u64::MAX) };
        let block = encode([link], None);
        assert_eq!(PbNode::parse(&block).unwrap().links().next(), Some(link));
    }

    #[test]
    fn an_error_says_where() {
        let block = node(&[(NODE_DATA, b"data"), (7, b"")]);
        assert_eq!(PbNode::parse(&block).unwrap_err(), fault(6, PbFault::UnknownField(7)));
        let error = PbNode::parse(&[0x0a, 0x05, 1, 2]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "at byte 1: a field of 5 bytes where 2 are left; was the block cut short?"
        );
    }

    #[test]
    fn any_link_can_be_reached_by_its_position() {
        let cid = cid();
        let names: Vec<Vec<u8>> = (0..200u8).map(|i| vec![b'a'; usize::from(i)]).collect();
        let links = names.iter().map(|name| PbLink { cid: &cid, name: Some(name), tsize: None });
        let block = encode(links, Some(b""));
        let node = PbNode::parse(&block).unwrap();
        for (i, name) in names.iter().enumerate() {
            let mut links = node.links();
            assert_eq!(links.nth(i).unwrap().name, Some(&name[..]));
            assert_eq!(links.len(), 199 - i);
        }
        let mut links = node.links();
        assert_eq!(links.nth(200), None);
        assert_eq!(links.next(), None);
    }

    #[test]
    fn links_are_written_in_the_order_of_their_names_and_else_as_they_come() {
        let (cid, other) = (cid(), [&[0x12, 0x20][..], &[8; 32]].concat());
        let link = |cid, name| PbLink { cid, name, tsize: Some(1) };
        let (b, none, a) =
            (link(&cid, Some(&b"b"[..])), link(&cid, None), link(&cid, Some(&b"a"[..])));
        let (empty, other_a) = (link(&other, Some(&b""[..])), link(&other, Some(&b"a"[..])));
        let block = encode([b, none, a, empty, other_a], None);
        let links: Vec<_> = PbNode::parse(&block).unwrap().links().collect();
        assert_eq!(links, [none, empty, a, other_a, b]);
    }

    /// A leaf as Kubo writes it.
    fn leaf(data_type: DataType, data: &[u8]) -> Vec<u8> {
        let mut message = UnixFsData::new(data_type);
        message.data = (!data.is_empty()).then_some(data);
        message.filesize = Some(data.len() as u64);
        encode([], Some(&message.encode([])))
    }

    fn whole(block: &[u8]) -> Head {
        leaf_frame(block, block.len() as u64)
    }

    #[test]
    fn the_frame_of_a_leaf_is_told_from_its_head() {
        for (len, offset) in [(1, 6), (121, 6), (122, 7), (127, 7), (128, 8), (262_144, 10)] {
            let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for data_type in [DataType::File, DataType::Raw] {
                let block = leaf(data_type, &data);
                let frame = LeafFrame { data_offset: offset, data_len: len, file_size: Some(len) };
                assert_eq!(whole(&block), Head::Leaf(frame), "{len}");
                assert_eq!(block[offset as usize..][..len as usize], data);
                let head = &block[..block.len().min(LEAF_HEAD_LEN)];
                let seen = (head.len() == block.len()).then_some(len);
                let frame = LeafFrame { file_size: seen, ..frame };
                assert_eq!(leaf_frame(head, block.len() as u64), Head::Leaf(frame), "{len}");
            }
        }
    }

    #[test]
    fn an_empty_file_is_a_leaf_without_bytes() {
        let block = [0x0a, 0x04, 0x08, 0x02, 0x18, 0x00];
        let frame = LeafFrame { data_offset: 6, data_len: 0, file_size: Some(0) };
        assert_eq!(whole(&block), Head::Leaf(frame));
        let frame = LeafFrame { data_offset: 4, data_len: 0, file_size: None };
        assert_eq!(whole(&[0x0a, 0x02, 0x08, 0x02]), Head::Leaf(frame));
    }

    #[test]
    fn a_leaf_may_have_no_file_size() {
        let block = [0x0a, 0x06, 0x08, 0x02, 0x12, 0x02, b'h', b'i'];
        let frame = LeafFrame { data_offset: 6, data_len: 2, file_size: None };
        assert_eq!(whole(&block), Head::Leaf(frame));
    }

    #[test]
    fn a_head_too_short_asks_for_more_and_64_bytes_never_do() {
        let block = leaf(DataType::File, &[7; 300]);
        for len in 0..8 {
            assert_eq!(leaf_frame(&block[..len], block.len() as u64), Head::NeedMore, "{len}");
        }
        assert!(matches!(leaf_frame(&block[..8], block.len() as u64), Head::Leaf(_)));
        // The longest frame: every key and number in ten bytes.
        let long = |value: u8| [&[value | 0x80][..], &[0x80; 8], &[0]].concat();
        let message = [long(0x08), long(2), long(0x12), long(5)].concat();
        let outer = [long(0x0a), long(45)].concat();
        let block = [&outer[..], &message, b"bytes"].concat();
        assert_eq!(leaf_frame(&block[..59], block.len() as u64), Head::NeedMore);
        let frame = LeafFrame { data_offset: 60, data_len: 5, file_size: None };
        assert_eq!(leaf_frame(&block[..60], block.len() as u64), Head::Leaf(frame));
    }

    #[test]
    fn a_broken_block_is_for_the_whole_parse_to_judge() {
        for block in [&[][..], &[0x0a], &[0x0a, 0x05, 0x08], &[0xff; 20]] {
            assert_eq!(whole(block), Head::Inner, "{block:?}");
        }
        assert_eq!(leaf_frame(&[0xff; LEAF_HEAD_LEN], 300_000), Head::Inner);
    }

    #[test]
    fn what_is_not_plainly_a_leaf_is_inner() {
        let bytes = &b"some file bytes"[..];
        let message = |change: fn(&mut UnixFsData<'_>), sizes: &[u64]| {
            let mut message = UnixFsData::new(DataType::File);
            message.data = Some(bytes);
            message.filesize = Some(bytes.len() as u64);
            change(&mut message);
            encode([], Some(&message.encode(sizes.iter().copied())))
        };
        assert!(matches!(whole(&message(|_| {}, &[])), Head::Leaf(_)));
        let cid = cid();
        let data = leaf(DataType::File, bytes);
        let link = node(&[(NODE_LINKS, &body(&[(LINK_HASH, &cid)]))]);
        let inner = [
            ("links first", [&link[..], &data].concat()),
            ("links behind data", [&data[..], &link].concat()),
            ("a directory", message(|m| m.data_type = DataType::Directory, &[])),
            ("a symlink", message(|m| m.data_type = DataType::Symlink, &[])),
            ("a wrong file size", message(|m| m.filesize = Some(16), &[])),
            ("sizes of children", message(|_| {}, &[1])),
            ("a mode", message(|m| m.mode = Some(0o644), &[])),
            ("bytes behind data", [&data[..], &[0]].concat()),
            ("no type", node(&[(NODE_DATA, &body(&[(2, bytes)]))])),
        ];
        for (what, block) in inner {
            assert_eq!(whole(&block), Head::Inner, "{what}");
            // Nor from its head, or from any part of it that decides.
            let head = leaf_frame(&block[..8], block.len() as u64);
            assert!(!matches!(head, Head::Leaf(_)) || what == "a wrong file size", "{what}");
        }
    }

    #[test]
    fn a_cut_off_leaf_is_inner() {
        let block = leaf(DataType::File, &[7; 300]);
        for len in LEAF_HEAD_LEN..block.len() {
            assert_eq!(leaf_frame(&block[..LEAF_HEAD_LEN], len as u64), Head::Inner, "{len}");
        }
    }
}
