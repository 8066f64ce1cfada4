//! A block: bytes that answer to a CID.
//!
//! Owns the promise that the two belong together. Must not know where bytes come from. Blocks are
//! compared and stored by multihash (two CIDs that differ in version or codec name the same bytes),
//! as Kubo has done since repository version 12.

use bytes::Bytes;

use crate::error::StoreError;
use crate::multihash::{self, Verdict};

/// A CID whose digest may be as long as Kubo allows: 128 bytes, which only identity CIDs need.
///
/// The field's usual `cid::Cid` stops at 64 bytes and would refuse such CIDs. `Copy`, 160 bytes.
pub type Cid = cid::CidGeneric<128>;

/// Multicodec of raw bytes.
pub const RAW: u64 = 0x55;
/// Multicodec of dag-pb, the codec of UnixFS directories and of files made of several blocks.
pub const DAG_PB: u64 = 0x70;
/// Multicodec of dag-cbor.
pub const DAG_CBOR: u64 = 0x71;
/// Multicodec of dag-json.
pub const DAG_JSON: u64 = 0x0129;
/// Multicodec of libp2p public keys, the codec of IPNS names.
pub const LIBP2P_KEY: u64 = 0x72;
/// Multicodec of the identity "hash": the digest is the block itself.
pub const IDENTITY: u64 = 0x00;

/// The longest block that is read as a whole (to be decoded or verified), in bytes.
///
/// Kubo makes blocks of at most 2 MiB and transfers none above that; the rest is room for odd
/// archives. A file in a block's place that is larger than this is refused before memory is taken.
pub const MAX_BLOCK_LEN: u64 = 8 * 1024 * 1024;

/// Bytes together with the CID they hash to. Cloning and slicing never copy.
#[derive(Clone, Debug)]
pub struct Block {
    cid: Cid,
    data: Bytes,
}

impl Block {
    /// Binds bytes to a CID after hashing them: the only way in for bytes from outside.
    ///
    /// Costs one hash of `data`. Fails with [`StoreError::Corrupt`] when they do not match and with
    /// [`StoreError::UnknownHash`] when the hash function is not one of Kubo's verifcid list.
    pub fn verified(cid: Cid, data: Bytes) -> Result<Self, StoreError> {
        verify(&cid, &data, "the bytes offered")?;
        Ok(Block { cid, data })
    }

    /// Binds bytes that one of our own stores holds under this CID. Hashes nothing.
    pub(crate) fn trusted(cid: Cid, data: Bytes) -> Self {
        Block { cid, data }
    }

    /// The CID it was asked for by.
    pub fn cid(&self) -> &Cid {
        &self.cid
    }

    /// The block's bytes.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The block's bytes, without the CID.
    pub fn into_data(self) -> Bytes {
        self.data
    }
}

/// The bytes of an identity CID, which are its digest; `None` for any other CID.
///
/// Such blocks are in no store (boxo `blockstore/idstore.go`).
pub(crate) fn identity_bytes(cid: &Cid) -> Option<Bytes> {
    (cid.hash().code() == IDENTITY).then(|| Bytes::copy_from_slice(cid.hash().digest()))
}

/// Hashes `data` and compares. `place` names the copy in the error: a path, a tier.
pub(crate) fn verify(cid: &Cid, data: &[u8], place: &str) -> Result<(), StoreError> {
    match multihash::verify(cid.hash().code(), cid.hash().digest(), data) {
        Verdict::Match => Ok(()),
        Verdict::Mismatch => Err(StoreError::Corrupt { cid: *cid, place: place.into() }),
        Verdict::UnknownFunction => {
            Err(StoreError::UnknownHash { cid: *cid, code: cid.hash().code() })
        }
    }
}

/// A multihash in its binary form, on the stack: what stores and caches are keyed by.
#[derive(Clone, Copy)]
pub(crate) struct MultihashBytes {
    len: u8,
    /// One byte for a tag, then the multihash.
    bytes: [u8; Self::MAX],
}

impl MultihashBytes {
    // A tag, two varints of at most 10 bytes, and a digest of at most 128.
    const MAX: usize = 149;

    pub(crate) fn of(cid: &Cid) -> Self {
        Self::tagged(0, cid)
    }

    /// With a byte in front that [`MultihashBytes::with_tag`] shows: to tell apart what differs
    /// beyond the bytes of the block.
    pub(crate) fn tagged(tag: u8, cid: &Cid) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[0] = tag;
        let mut rest = &mut bytes[1..];
        // A slice of the longest possible length cannot fill up; were it to, the key would name no block.
        let len = cid.hash().write(&mut rest).unwrap_or(0);
        MultihashBytes { len: len as u8, bytes }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(1..1 + usize::from(self.len)).unwrap_or(&[])
    }

    pub(crate) fn with_tag(&self) -> &[u8] {
        self.bytes.get(..1 + usize::from(self.len)).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_that_do_not_hash_to_the_cid_make_no_block() {
        let cid: Cid =
            "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy".parse().unwrap();
        assert!(Block::verified(cid, Bytes::from_static(b"foo")).is_ok());
        assert!(Block::verified(cid, Bytes::from_static(b"fop")).is_err());
    }

    #[test]
    fn cid_versions_share_one_key() {
        let v1: Cid =
            "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi".parse().unwrap();
        let v0 = Cid::new_v0(*v1.hash()).unwrap();
        assert_eq!(MultihashBytes::of(&v0).as_slice(), MultihashBytes::of(&v1).as_slice());
        assert_eq!(MultihashBytes::of(&v0).as_slice().len(), 34);
    }

    #[test]
    fn the_longest_identity_digest_has_a_key() {
        let hash = cid::multihash::Multihash::<128>::wrap(IDENTITY, &[7; 128]).unwrap();
        let cid = Cid::new_v1(RAW, hash);
        assert_eq!(MultihashBytes::of(&cid).as_slice().len(), 1 + 2 + 128);
        assert_eq!(identity_bytes(&cid).unwrap().len(), 128);
    }
}
