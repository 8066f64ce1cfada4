//! IPNS records that this repository's Kubo published.
//!
//! They carry the sequence numbers: without them the next publication would start low and be ignored. Must not know
//! what a record says. Rules: boxo `namesys/ipns_publisher.go`.

use data_encoding::BASE32_NOPAD;

use super::error::RepositoryError;
use super::repository::Repository;

/// Where they lie.
const NAMES: &str = "/ipns";

/// The record of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// The bytes of the peer id, a multihash.
    pub peer: Vec<u8>,
    /// The record, a protobuf, as it was published.
    pub record: Vec<u8>,
}

impl Repository {
    /// The IPNS records, one at a time. An error is about one record, and the next may follow.
    pub fn names(&self) -> impl Iterator<Item = Result<NameRecord, RepositoryError>> {
        self.datastore().scan(NAMES).map(|entry| {
            let (key, record) = entry?;
            let text = key.rsplit('/').next().unwrap_or_default();
            let peer = BASE32_NOPAD.decode(text.as_bytes());
            let peer = peer.map_err(|_| {
                RepositoryError::record(key.as_bytes(), "expected a peer id in base32 as its name")
            })?;
            Ok(NameRecord { peer, record })
        })
    }
}
