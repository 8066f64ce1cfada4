//! The name of a block in a repository.
//!
//! Owns the text form of keys and the tolerant rule for older ones. Pure. Rules: boxo `datastore/dshelp/key.go`;
//! fs-repo-migrations `fs-repo-11-to-12`.

use data_encoding::BASE32_NOPAD;

use crate::block::{Cid, RAW};

/// What a key says of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockName {
    /// The block. Its codec is that of the key where the key is a whole CID, else `raw`: nobody knows it then.
    pub cid: Cid,
    /// Whether the key is a whole CID, as before repository version 12. Those of CIDv0 are multihashes too.
    pub whole_cid: bool,
}

/// Reads the text of a block's key (base32, upper case, no slash): a multihash, or a whole CID of version 1, which
/// begins with a byte that no hash function has. `None` for what is neither.
pub fn block_name(text: &[u8]) -> Option<BlockName> {
    let bytes = BASE32_NOPAD.decode(text).ok()?;
    if bytes.first() == Some(&1) {
        let cid = Cid::try_from(&bytes[..]).ok().filter(|cid| cid.to_bytes() == bytes)?;
        return Some(BlockName { cid, whole_cid: true });
    }
    let hash = cid::multihash::Multihash::<128>::from_bytes(&bytes).ok()?;
    Some(BlockName { cid: Cid::new_v1(RAW, hash), whole_cid: false })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CID: &str = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

    #[test]
    fn a_multihash_and_a_whole_cid_name_the_same_block() {
        let cid: Cid = CID.parse().unwrap();
        let new = block_name(BASE32_NOPAD.encode(&cid.hash().to_bytes()).as_bytes()).unwrap();
        let old = block_name(BASE32_NOPAD.encode(&cid.to_bytes()).as_bytes()).unwrap();
        assert_eq!(new, BlockName { cid: Cid::new_v1(RAW, *cid.hash()), whole_cid: false });
        assert_eq!(old, BlockName { cid, whole_cid: true });
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in ["", "ciq", "CIQ1", "AFKQ", "put-123", "CIQAAA", "AE"] {
            assert_eq!(block_name(text.as_bytes()), None, "{text}");
        }
    }
}
