//! Nodes that can be changed: blocks taken apart, and made again with the CIDs that Kubo gives them.
//!
//! Owns the form of a node's CID (version and hash function, which a node keeps from version to version),
//! and the way from a block to links and a message and back. Must not know trees or paths. Rules: boxo
//! `ipld/merkledag/node.go`, `ipld/unixfs/unixfs.go`.

use bytes::Bytes;

use super::blocks::Blocks;
use super::error::MfsError;
use crate::block::{Cid, DAG_PB, IDENTITY, RAW};
use crate::multihash::{self, MAX_DIGEST_LEN};
use crate::unixfs::dag_pb::{self, PbLink, PbNode};
use crate::unixfs::data::{DataType, Mtime, UnixFsData};
use crate::unixfs::import::{HashFunction, OptionsError};

/// Multicodec of the hash function of CIDs of version 0.
const SHA2_256: u64 = 0x12;

/// The form of CIDs: their version and hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidFormat {
    v0: bool,
    hash: u64,
    len: usize,
}

impl Default for CidFormat {
    fn default() -> Self {
        CidFormat::V0
    }
}

impl CidFormat {
    /// Version 0, of which sha2-256 is a part: what Kubo makes unless it is told otherwise.
    pub const V0: CidFormat = CidFormat { v0: true, hash: SHA2_256, len: 32 };

    /// What options ask for; `None` when they ask for nothing. A hash function means version 1.
    pub fn choose(
        version: Option<u8>,
        hash: Option<HashFunction>,
    ) -> Result<Option<CidFormat>, OptionsError> {
        let v0 = match version {
            Some(0) | None => true,
            Some(1) => false,
            Some(other) => return Err(OptionsError::CidVersion(other)),
        };
        match hash {
            Some(hash) => Ok(Some(CidFormat { v0: false, hash: hash.code(), len: hash.len() })),
            None if version.is_none() => Ok(None),
            None => Ok(Some(CidFormat { v0, ..CidFormat::V0 })),
        }
    }

    /// The form of a CID.
    pub(super) fn of(cid: &Cid) -> CidFormat {
        let v0 = cid.version() == cid::Version::V0;
        CidFormat { v0, hash: cid.hash().code(), len: cid.hash().digest().len() }
    }

    pub(super) fn is_v0(&self) -> bool {
        self.v0
    }

    /// The CID of a block. Costs one hash. Raw blocks have no version 0; what does not fit an identity
    /// CID is named by sha2-256, as boxo's `DagModifier` does.
    pub(super) fn cid(&self, codec: u64, block: &[u8]) -> Result<Cid, MfsError> {
        let (hash, len) = match self.hash {
            IDENTITY if block.len() > MAX_DIGEST_LEN => (SHA2_256, 32),
            IDENTITY => (IDENTITY, block.len()),
            hash => (hash, self.len),
        };
        let unknown = || OptionsError::HashNotAllowed(format!("0x{hash:x}"));
        let digest = match hash {
            IDENTITY => cid::multihash::Multihash::wrap(IDENTITY, block).ok(),
            _ => multihash::digest(hash, len, block)
                .and_then(|digest| cid::multihash::Multihash::wrap(hash, digest.as_bytes()).ok()),
        };
        let digest = digest.ok_or_else(unknown)?;
        let v0 = (self.v0 && codec == DAG_PB).then(|| Cid::new_v0(digest).ok()).flatten();
        Ok(v0.unwrap_or_else(|| Cid::new_v1(codec, digest)))
    }
}

/// What a parent says of a child: its CID and the bytes of all blocks in and below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) cid: Cid,
    pub(super) tsize: u64,
}

/// A link of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: Bytes,
    pub(super) child: Child,
}

impl Link {
    pub(super) fn new(name: &[u8], child: Child) -> Link {
        Link { name: Bytes::copy_from_slice(name), child }
    }

    pub(super) fn of(parent: &Cid, link: &PbLink<'_>) -> Result<Link, MfsError> {
        let cid = Cid::try_from(link.cid)
            .map_err(|e| MfsError::undecodable(parent, format!("a link holds no CID: {e}")))?;
        let child = Child { cid, tsize: link.tsize.unwrap_or(0) };
        Ok(Link::new(link.name.unwrap_or_default(), child))
    }
}

/// Writes a node with links in the order of their names.
pub(super) fn encode(links: &[Link], data: Option<&[u8]>) -> Vec<u8> {
    let cids: Vec<Vec<u8>> = links.iter().map(|link| link.child.cid.to_bytes()).collect();
    let links = links.iter().zip(&cids).map(|(link, cid)| PbLink {
        cid,
        name: Some(&link.name),
        tsize: Some(link.child.tsize),
    });
    dag_pb::encode(links, data)
}

/// The bytes of all blocks in and below a node of these links.
pub(super) fn tsize(block: &[u8], links: &[Link]) -> u64 {
    links.iter().fold(block.len() as u64, |sum, link| sum.saturating_add(link.child.tsize))
}

/// A UnixFS message that can be changed.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) data_type: DataType,
    /// Empty and absent are written differently.
    pub(super) data: Option<Vec<u8>>,
    pub(super) filesize: Option<u64>,
    pub(super) sizes: Vec<u64>,
    hash_type: Option<u64>,
    fanout: Option<u64>,
    pub(super) mode: Option<u32>,
    pub(super) mtime: Option<Mtime>,
}

impl Message {
    /// A part of a file without content.
    pub(super) fn new(data_type: DataType) -> Message {
        Message {
            data_type,
            data: None,
            filesize: Some(0),
            sizes: Vec::new(),
            hash_type: None,
            fanout: None,
            mode: None,
            mtime: None,
        }
    }

    pub(super) fn parse(cid: &Cid, message: &[u8]) -> Result<Message, MfsError> {
        let data = UnixFsData::parse(message).map_err(|e| MfsError::undecodable(cid, e))?;
        Ok(Message {
            data_type: data.data_type,
            data: data.data.map(<[u8]>::to_vec),
            filesize: data.filesize,
            sizes: data.blocksizes().collect(),
            hash_type: data.hash_type,
            fanout: data.fanout,
            mode: data.mode,
            mtime: data.mtime,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        UnixFsData {
            data: self.data.as_deref(),
            filesize: self.filesize,
            hash_type: self.hash_type,
            fanout: self.fanout,
            mode: self.mode,
            mtime: self.mtime,
            ..UnixFsData::new(self.data_type)
        }
        .encode(self.sizes.iter().copied())
    }

    /// Bytes of the file that stand in the message itself, before those of its children.
    pub(super) fn inline(&self) -> &[u8] {
        self.data.as_deref().unwrap_or_default()
    }

    /// Replaces the bytes in the message and counts them anew.
    pub(super) fn set_data(&mut self, data: Vec<u8>) {
        let before = self.inline().len() as u64;
        let size = self.filesize.unwrap_or(0).saturating_sub(before);
        self.filesize = Some(size.saturating_add(data.len() as u64));
        self.data = Some(data);
    }

    /// The permissions, of which an unset one and none are the same.
    pub(super) fn permissions(&self) -> Option<u32> {
        self.mode.map(|mode| mode & 0o7777).filter(|mode| *mode != 0)
    }

    /// Keeps the writer's own bits above the permissions.
    pub(super) fn set_permissions(&mut self, permissions: u32) {
        let mode = self.mode.unwrap_or(0) & !0o7777 | permissions & 0o7777;
        self.mode = (mode != 0).then_some(mode);
    }
}

/// A dag-pb node with a UnixFS message.
#[derive(Clone, Debug)]
pub(super) struct Pb {
    pub(super) format: CidFormat,
    pub(super) links: Vec<Link>,
    pub(super) message: Message,
}

impl Pb {
    pub(super) fn new(format: CidFormat, data_type: DataType) -> Pb {
        Pb { format, links: Vec::new(), message: Message::new(data_type) }
    }

    pub(super) fn parse(cid: &Cid, block: &[u8]) -> Result<Pb, MfsError> {
        let pb = PbNode::parse(block).map_err(|e| MfsError::undecodable(cid, e))?;
        let links = pb.links().map(|link| Link::of(cid, &link)).collect::<Result<_, _>>()?;
        let message = Message::parse(cid, pb.data().unwrap_or_default())?;
        Ok(Pb { format: CidFormat::of(cid), links, message })
    }

    /// Hangs a part of a file below this one.
    pub(super) fn push(&mut self, child: Child, size: u64) {
        self.links.push(Link::new(b"", child));
        self.message.sizes.push(size);
        self.message.filesize = Some(self.message.filesize.unwrap_or(0).saturating_add(size));
    }

    /// Takes the last part off again.
    pub(super) fn pop(&mut self) {
        self.links.pop();
        if let Some(size) = self.message.sizes.pop() {
            let filesize = self.message.filesize.unwrap_or(0);
            self.message.filesize = Some(filesize.saturating_sub(size));
        }
    }

    pub(super) fn store(&self, blocks: &mut Blocks<'_>) -> Result<Child, MfsError> {
        let block = encode(&self.links, Some(&self.message.encode()));
        let tsize = tsize(&block, &self.links);
        Ok(Child { cid: blocks.put(&self.format, DAG_PB, block.into())?, tsize })
    }
}

/// A node of a file: raw bytes, or dag-pb.
#[derive(Clone, Debug)]
pub(super) enum Draft {
    Raw { format: CidFormat, data: Bytes },
    Pb(Pb),
}

impl Draft {
    /// Reads the node under a CID. Reads one block.
    pub(super) fn load(blocks: &Blocks<'_>, cid: &Cid) -> Result<Draft, MfsError> {
        let data = blocks.get(cid)?;
        match cid.codec() {
            RAW => Ok(Draft::Raw { format: CidFormat::of(cid), data }),
            DAG_PB => Ok(Draft::Pb(Pb::parse(cid, &data)?)),
            codec => Err(crate::error::ReadError::UnsupportedCodec { cid: *cid, codec }.into()),
        }
    }

    /// Bytes of the file in and below the node, as it says.
    pub(super) fn size(&self) -> u64 {
        match self {
            Draft::Raw { data, .. } => data.len() as u64,
            Draft::Pb(pb) if pb.message.data_type == DataType::Symlink => {
                pb.message.inline().len() as u64
            }
            Draft::Pb(pb) if is_file(pb.message.data_type) => pb.message.filesize.unwrap_or(0),
            Draft::Pb(_) => 0,
        }
    }

    pub(super) fn store(&self, blocks: &mut Blocks<'_>) -> Result<Child, MfsError> {
        match self {
            Draft::Raw { format, data } => {
                let tsize = data.len() as u64;
                Ok(Child { cid: blocks.put(format, RAW, data.clone())?, tsize })
            }
            Draft::Pb(pb) => pb.store(blocks),
        }
    }
}

pub(super) fn is_file(data_type: DataType) -> bool {
    matches!(data_type, DataType::File | DataType::Raw)
}
