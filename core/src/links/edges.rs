//! The edges of a pinned DAG: the links of a block, with what a parent says of the blocks below it.
//!
//! Owns what may be believed of a parent's word, so that leaves need not be read, and that no subtree is
//! hidden: bytes that a codec cannot have are an error here, and so is a codec that is not known. Pure: no
//! I/O. Must not know where blocks come from, nor what is pinned.

use super::{dag_cbor, json};
use crate::block::{Cid, DAG_CBOR, DAG_JSON, DAG_PB, RAW, identity_bytes};
use crate::error::ReadError;
use crate::unixfs::dag_pb::PbNode;
use crate::unixfs::data::{DataType, UnixFsData};

/// Multicodec of plain CBOR, which has no links.
const CBOR: u64 = 0x51;
/// Multicodec of plain JSON, which has none either.
const JSON: u64 = 0x0200;

/// A link, with what its parent says of the block below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The CID as the parent spells it.
    pub(crate) cid: Cid,
    /// `Tsize` of a dag-pb link: the bytes of everything below, if the writer said so.
    tsize: Option<u64>,
    /// The bytes of file content below, where the parent is a file.
    content: Option<u64>,
}

/// A dag-pb leaf of Kubo's is longer than its content by its frame, which is shorter than this, in bytes. A
/// node with a link is longer by a CID and a size at least.
const LEAF_FRAME_BOUND: u64 = 28;

impl Link {
    /// Whether nothing can lie below a stored block of `len` bytes, as far as its parent's word goes: its
    /// length is all that the parent counts in it and below, and the frame around its content leaves no room
    /// for a link.
    pub(crate) fn says_leaf(&self, len: u64) -> bool {
        self.tsize == Some(len)
            && self
                .content
                .is_some_and(|content| len >= content && len - content < LEAF_FRAME_BOUND)
    }
}

/// Whether blocks of this codec have no links, whatever their bytes.
pub(crate) fn has_no_links(codec: u64) -> bool {
    matches!(codec, RAW | CBOR | JSON)
}

/// Hands every link of a block to `take`, in the order in which they are stored. Links to identity CIDs are
/// followed on the spot: such a block is in no store, and what it links to hangs below this one.
///
/// One pass over the bytes. Fails for a codec that is not known here, since nobody can say what it links to.
pub(crate) fn links(cid: &Cid, data: &[u8], take: &mut dyn FnMut(Link)) -> Result<(), ReadError> {
    let mut inline = Vec::new();
    direct_links(cid, data, &mut |link| match identity_bytes(&link.cid) {
        None => take(link),
        Some(_) => inline.push(link.cid),
    })?;
    // Ends: each is shorter than the block that it lies in.
    for cid in inline {
        links(&cid, cid.hash().digest(), take)?;
    }
    Ok(())
}

fn direct_links(cid: &Cid, data: &[u8], take: &mut dyn FnMut(Link)) -> Result<(), ReadError> {
    let each = &mut |cid| take(Link { cid, tsize: None, content: None });
    let found = match cid.codec() {
        codec if has_no_links(codec) => Ok(()),
        DAG_PB => return pb_links(cid, data, take),
        DAG_CBOR => dag_cbor(data, each),
        DAG_JSON => json::for_each_link(data, each),
        codec => return Err(ReadError::UnsupportedCodec { cid: *cid, codec }),
    };
    found.map_err(|reason| ReadError::undecodable(cid, reason))
}

fn pb_links(cid: &Cid, data: &[u8], take: &mut dyn FnMut(Link)) -> Result<(), ReadError> {
    let node = PbNode::parse(data).map_err(|error| ReadError::undecodable(cid, error))?;
    let unixfs = node.data().and_then(|data| UnixFsData::parse(data).ok());
    let file = unixfs.filter(|data| matches!(data.data_type, DataType::File | DataType::Raw));
    // Sizes that do not match the links one to one say nothing about any of them.
    let file = file.filter(|data| data.blocksizes().count() == node.links().len());
    let mut contents = file.map(|data| data.blocksizes());
    for link in node.links() {
        let child = Cid::try_from(link.cid).map_err(|error| ReadError::undecodable(cid, error))?;
        let content = contents.as_mut().and_then(Iterator::next);
        take(Link { cid: child, tsize: link.tsize, content });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::unixfs::testing::{self, FilePlan, LeafForm, cid_of, identity_cid};

    fn all(cid: &Cid, data: &[u8]) -> Result<Vec<Cid>, ReadError> {
        let mut found = Vec::new();
        links(cid, data, &mut |link| found.push(link.cid))?;
        Ok(found)
    }

    fn cbor(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    fn cbor_link(cid: &Cid) -> Vec<u8> {
        let bytes = cid.to_bytes();
        cbor(&[&[0xd8, 42, 0x58, bytes.len() as u8 + 1, 0], &bytes])
    }

    #[test]
    fn links_of_dag_cbor_are_found_in_maps_lists_and_below() {
        let (a, b) = (cid_of(RAW, b"a"), cid_of(DAG_PB, b"b"));
        // {"x": [link a, 1.5, -1, {"y": link b}], "z": "text"}
        let data = cbor(&[
            &[0xa2, 0x61, b'x', 0x84],
            &cbor_link(&a),
            &[0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0x20, 0xa1, 0x61, b'y'],
            &cbor_link(&b),
            &[0x61, b'z', 0x64],
            b"text",
        ]);
        assert_eq!(all(&cid_of(DAG_CBOR, &data), &data).unwrap(), [a, b]);
    }

    #[test]
    fn bytes_that_are_no_dag_cbor_are_an_error_and_hide_nothing() {
        let deep = vec![0x81; 100_000];
        let huge = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for data in [&[][..], &[0x82, 0x01], &[0x9f, 0xff], &[0xd8, 42, 0x41, 1], &deep, &huge] {
            assert!(
                all(&cid_of(DAG_CBOR, data), data).is_err(),
                "{:?}",
                &data[..data.len().min(9)]
            );
        }
    }

    #[test]
    fn links_of_dag_json_are_maps_of_one_slash() {
        let a = cid_of(RAW, b"a");
        let data = format!(r#"{{"x":[{{"/":"{a}"}}],"/":1,"b":{{"/":{{"bytes":"AA"}}}}}}"#);
        let cid = cid_of(DAG_JSON, data.as_bytes());
        assert_eq!(all(&cid, data.as_bytes()).unwrap(), [a]);
        assert!(all(&cid, br#"{"/":"not a cid"}"#).is_err());
    }

    #[test]
    fn a_codec_that_nobody_knows_is_an_error() {
        assert!(matches!(
            all(&cid_of(0x78, b""), b""),
            Err(ReadError::UnsupportedCodec { codec: 0x78, .. })
        ));
        assert_eq!(all(&cid_of(RAW, b"x"), b"x").unwrap(), []);
    }

    #[test]
    fn what_hangs_below_an_inline_block_hangs_below_its_parent() {
        let below = cid_of(RAW, b"below");
        let inline = identity_cid(DAG_CBOR, &cbor_link(&below));
        let data = cbor_link(&inline);
        assert_eq!(all(&cid_of(DAG_CBOR, &data), &data).unwrap(), [below]);
    }

    #[test]
    fn a_parent_that_leaves_a_size_out_or_says_another_tells_no_leaf() {
        let says =
            |tsize, content, len| Link { cid: cid_of(DAG_PB, b""), tsize, content }.says_leaf(len);
        assert!(says(Some(100), Some(73), 100));
        assert!(!says(Some(100), Some(72), 100), "room for a link");
        assert!(!says(Some(100), Some(101), 100), "more content than bytes");
        assert!(!says(Some(101), Some(90), 100), "something lies below");
        assert!(!says(Some(0), Some(90), 100));
        assert!(!says(None, Some(90), 100));
        assert!(!says(Some(100), None, 100));
    }

    #[test]
    fn a_leaf_is_told_by_its_parent_and_an_inner_node_is_not() {
        for leaf in [LeafForm::PbFile, LeafForm::PbRaw] {
            let plan = FilePlan { chunk: 100, width: 3, leaf, ..FilePlan::default() };
            let mut blocks = Vec::new();
            testing::file(&[7; 1000], &plan, &mut |block| blocks.push(block));
            let len = |cid: &Cid| {
                blocks.iter().find(|block| block.cid() == cid).unwrap().data().len() as u64
            };
            let is_inner = |cid: &Cid| {
                let block = blocks.iter().find(|block| block.cid() == cid).unwrap();
                !all(cid, block.data()).unwrap().is_empty()
            };
            for block in &blocks {
                links(block.cid(), block.data(), &mut |link| {
                    assert_eq!(link.says_leaf(len(&link.cid)), !is_inner(&link.cid));
                })
                .unwrap();
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_links_or_are_an_error(data in proptest::collection::vec(0u8.., 0..200)) {
            for codec in [DAG_PB, DAG_CBOR, DAG_JSON, RAW] {
                let _ = all(&cid_of(codec, &data), &data);
            }
        }
    }
}
