//! The links of a block, whatever its codec.
//!
//! Owns finding them in dag-pb, dag-cbor and dag-json. Must not know what the data means, nor where blocks
//! lie. Nothing here recurses: depth costs no stack. Rules: the specifications of the three at ipld.io.

#[cfg(feature = "hot")]
mod edges;
mod json;

use crate::block::{Block, Cid, DAG_CBOR, DAG_JSON, DAG_PB};
use crate::cbor::{Item, Items, TAG_CID};
use crate::error::ReadError;
use crate::unixfs::dag_pb::PbNode;

#[cfg(feature = "hot")]
pub(crate) use edges::{Link, has_no_links, links};

/// Calls `each` with every link of a block, in the order in which they stand there, repeats included. One
/// pass over the block.
///
/// Raw blocks and blocks of codecs that are not known have no links: such a block is kept, shown and
/// exported, but nothing is found below it. Fails where a block is not of its codec.
pub fn for_each_link(block: &Block, each: &mut dyn FnMut(Cid)) -> Result<(), ReadError> {
    let (cid, data) = (block.cid(), block.data());
    let found = match cid.codec() {
        DAG_PB => dag_pb(data, each),
        DAG_CBOR => dag_cbor(data, each),
        DAG_JSON => json::for_each_link(data, each),
        _ => Ok(()),
    };
    found.map_err(|reason| ReadError::undecodable(cid, reason))
}

fn dag_pb(data: &[u8], each: &mut dyn FnMut(Cid)) -> Result<(), String> {
    let node = PbNode::parse(data).map_err(|error| error.to_string())?;
    for link in node.links() {
        each(Cid::try_from(link.cid).map_err(|error| format!("a link's CID: {error}"))?);
    }
    Ok(())
}

fn dag_cbor(data: &[u8], each: &mut dyn FnMut(Cid)) -> Result<(), String> {
    let mut items = Items::new(data);
    // Items that are still to come, however deep they stand.
    let mut ahead = 1u64;
    while ahead > 0 {
        let at = items.at();
        ahead -= 1;
        let item = items.next().ok_or_else(|| format!("no dag-cbor at byte {at}"))?;
        ahead += match item {
            Item::Array(len) => len,
            Item::Map(len) => len * 2,
            Item::Tag(TAG_CID) => {
                each(items.cid().ok_or_else(|| format!("no CID at byte {at}"))?);
                0
            }
            Item::Tag(tag) => return Err(format!("tag {tag} at byte {at}, expected 42")),
            _ => 0,
        };
    }
    if items.is_empty() { Ok(()) } else { Err(format!("more bytes behind byte {}", items.at())) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::block::RAW;
    use bytes::Bytes;

    const CID: &str = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy";

    fn links(codec: u64, data: Vec<u8>) -> Result<Vec<String>, String> {
        let cid: Cid = CID.parse().unwrap();
        let block = Block::trusted(Cid::new_v1(codec, *cid.hash()), Bytes::from(data));
        let mut found = Vec::new();
        for_each_link(&block, &mut |cid| found.push(cid.to_string()))
            .map(|()| found)
            .map_err(|error| error.to_string())
    }

    fn cbor(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    fn cbor_cid() -> Vec<u8> {
        let mut out = Vec::new();
        crate::cbor::put_cid(&mut out, &CID.parse().unwrap());
        out
    }

    #[test]
    fn links_of_dag_cbor_are_found_however_deep() {
        let cid = cbor_cid();
        // [cid, {"a": [cid, 1.5, null]}, "text", -1]
        let data = cbor(&[
            &[0x84],
            &cid,
            &[0xa1, 0x61, b'a', 0x83],
            &cid,
            &[0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xf6],
            &[0x64],
            b"text",
            &[0x20],
        ]);
        assert_eq!(links(DAG_CBOR, data.clone()), Ok(vec![CID.to_owned(); 2]));
        assert_eq!(links(RAW, data), Ok(vec![]), "a raw block has none");
        let deep = cbor(&[&vec![0x81; 1_000_000], &cid]);
        assert_eq!(links(DAG_CBOR, deep), Ok(vec![CID.to_owned()]));
    }

    #[test]
    fn what_is_no_dag_cbor_is_refused() {
        for bad in [
            &[][..],
            &[0x82, 0x01],
            &[0x61],
            &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xbb, 255, 0, 0, 0, 0, 0, 0, 0],
            &[0x9f, 0xff],
            &[0xc1, 0x00],
            &[0xd8, 42, 0x41, 0x00],
            &[0xd8, 42, 0x01],
            &[0x01, 0x01],
            &[0x1c],
        ] {
            assert!(links(DAG_CBOR, bad.to_vec()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn links_of_dag_json_are_found() {
        let json = format!(
            r#" {{"a":{{"/":"{CID}"}}, "b":[{{ "\/" : "{CID}" }},1,{{"/":{{"bytes":"AQ"}}}}],"/":"no","c":"{{\"/\":\"x\"}}"}} "#
        );
        assert_eq!(links(DAG_JSON, json.into_bytes()), Ok(vec![CID.to_owned(); 2]));
        for bad in [r#"{"/":"#, r#"{"/":"not a cid"}"#, r#"{"a"#, "", r#"{"a":1"#, "}", r#"[}"#] {
            assert!(links(DAG_JSON, bad.into()).is_err(), "{bad}");
        }
    }
}
