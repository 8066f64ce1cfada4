//! Nodes of any codec as values, and back.
//!
//! Owns which codecs are read and written, and the form in which dag-pb is a value. Must not know where blocks lie. Rules: the
//! specifications of the codecs at ipld.io.

use std::collections::BTreeMap;

use coldfront::Cid;
use coldfront::block::{DAG_CBOR, DAG_JSON, DAG_PB, RAW};
use coldfront::unixfs::dag_pb::{PbLink, PbNode, encode};
use ipld_core::ipld::Ipld;

use super::error::Failed;

const CBOR: u64 = 0x51;
const JSON: u64 = 0x0200;

/// Reads a block.
pub(crate) fn decode(codec: u64, data: &[u8]) -> Result<Ipld, Failed> {
    match codec {
        RAW => Ok(Ipld::Bytes(data.to_vec())),
        DAG_PB => dag_pb(data),
        DAG_CBOR | CBOR => serde_ipld_dagcbor::from_slice(data)
            .map_err(|error| Failed::new(format!("invalid dag-cbor: {error}"))),
        DAG_JSON | JSON => serde_ipld_dagjson::from_slice(data)
            .map_err(|error| Failed::new(format!("invalid dag-json: {error}"))),
        other => Err(Failed::new(format!(
            "no decoder registered for multicodec code {other} (0x{other:x})"
        ))),
    }
}

/// Writes a block.
pub(crate) fn encode_as(codec: u64, node: &Ipld) -> Result<Vec<u8>, Failed> {
    match (codec, node) {
        (RAW, Ipld::Bytes(bytes)) => Ok(bytes.clone()),
        (RAW, _) => Err(Failed::new("only bytes can be stored as raw, and this is another value")),
        (DAG_PB, node) => to_dag_pb(node),
        (DAG_CBOR | CBOR, node) => serde_ipld_dagcbor::to_vec(node)
            .map_err(|error| Failed::new(format!("not to be written as dag-cbor: {error}"))),
        (DAG_JSON | JSON, node) => serde_ipld_dagjson::to_vec(node)
            .map_err(|error| Failed::new(format!("not to be written as dag-json: {error}"))),
        (other, _) => Err(Failed::new(format!(
            "no encoder registered for multicodec code {other} (0x{other:x})"
        ))),
    }
}

fn dag_pb(data: &[u8]) -> Result<Ipld, Failed> {
    let node =
        PbNode::parse(data).map_err(|error| Failed::new(format!("invalid dag-pb: {error}")))?;
    let mut links = Vec::new();
    for link in node.links() {
        let cid = ipld_core::cid::Cid::try_from(link.cid)
            .map_err(|error| Failed::new(format!("invalid dag-pb: a link's CID: {error}")))?;
        let mut map = BTreeMap::from([("Hash".to_owned(), Ipld::Link(cid))]);
        if let Some(name) = link.name {
            let name = String::from_utf8_lossy(name).into_owned();
            map.insert("Name".to_owned(), Ipld::String(name));
        }
        if let Some(tsize) = link.tsize {
            map.insert("Tsize".to_owned(), Ipld::Integer(i128::from(tsize)));
        }
        links.push(Ipld::Map(map));
    }
    let mut map = BTreeMap::from([("Links".to_owned(), Ipld::List(links))]);
    if let Some(data) = node.data() {
        map.insert("Data".to_owned(), Ipld::Bytes(data.to_vec()));
    }
    Ok(Ipld::Map(map))
}

/// A link of a node that is to be written.
struct LinkOf {
    cid: Vec<u8>,
    name: Option<String>,
    tsize: Option<u64>,
}

fn to_dag_pb(node: &Ipld) -> Result<Vec<u8>, Failed> {
    let wrong = |what: &str| Failed::new(format!("not to be written as dag-pb: {what}"));
    let Ipld::Map(map) = node else { return Err(wrong("expected a map of Data and Links")) };
    if let Some(other) = map.keys().find(|key| !matches!(key.as_str(), "Data" | "Links")) {
        return Err(wrong(&format!("it has no field {other:?}")));
    }
    let data = match map.get("Data") {
        None => None,
        Some(Ipld::Bytes(bytes)) => Some(bytes.as_slice()),
        Some(_) => return Err(wrong("Data is not bytes")),
    };
    let Some(Ipld::List(list)) = map.get("Links") else { return Err(wrong("Links is not a list")) };
    let mut links = Vec::new();
    for link in list {
        let Ipld::Map(link) = link else { return Err(wrong("a link is not a map")) };
        let Some(Ipld::Link(cid)) = link.get("Hash") else {
            return Err(wrong("the Hash of a link is not a link"));
        };
        let name = match link.get("Name") {
            None => None,
            Some(Ipld::String(name)) => Some(name.clone()),
            Some(_) => return Err(wrong("the Name of a link is not text")),
        };
        let tsize = match link.get("Tsize") {
            None => None,
            Some(Ipld::Integer(size)) => Some(
                u64::try_from(*size).map_err(|_| wrong("the Tsize of a link is out of range"))?,
            ),
            Some(_) => return Err(wrong("the Tsize of a link is not a number")),
        };
        links.push(LinkOf { cid: cid.to_bytes(), name, tsize });
    }
    // The specification has links sorted by name; those of one name stay in their order.
    links.sort_by(|a, b| {
        a.name.as_deref().unwrap_or_default().cmp(b.name.as_deref().unwrap_or_default())
    });
    let links = links.iter().map(|link| PbLink {
        cid: &link.cid,
        name: link.name.as_deref().map(str::as_bytes),
        tsize: link.tsize,
    });
    Ok(encode(links, data))
}

/// The value of a name in a node; `None` where there is none.
pub(crate) fn step<'n>(node: &'n Ipld, name: &str) -> Option<&'n Ipld> {
    match node {
        Ipld::Map(map) => map.get(name),
        Ipld::List(list) => list.get(name.parse::<usize>().ok()?),
        _ => None,
    }
}

/// A link as the library's CID, which has more room.
pub(crate) fn cid_of(link: &ipld_core::cid::Cid) -> Option<Cid> {
    Cid::try_from(link.to_bytes().as_slice()).ok()
}
