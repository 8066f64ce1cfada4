//! Media types told by content, remembered by CID.
//!
//! Owns the memory of what was sniffed, so that HEAD, GET and every range of one file say the same and
//! the first leaf is read for it once. Must not know how types are told ([`crate::media_type`]).

use coldfront::{ReadError, Repo};
use quick_cache::sync::Cache;

use super::Gateway;
use super::known::Found;
use crate::error::Failure;
use crate::media_type::{self, SNIFF_LEN};

/// Files whose type is remembered, about 200 bytes each.
const MAX_REMEMBERED: usize = 8192;

#[derive(Debug)]
pub(super) struct Sniffed {
    types: Cache<coldfront::Cid, &'static str>,
}

impl Sniffed {
    pub(super) fn new() -> Self {
        Sniffed { types: Cache::new(MAX_REMEMBERED) }
    }
}

impl Gateway {
    /// The type of a file by its first bytes. Reads its first leaf unless it was told before.
    pub(super) async fn sniff(&self, found: &Found) -> Result<&'static str, Failure> {
        if let Some(known) = self.sniffed.types.get(found.cid()) {
            return Ok(known);
        }
        let node = found.node.clone();
        let told = self
            .waiting(move |repo: &Repo| {
                let mut first = Vec::new();
                for bytes in repo.read(&node, ..SNIFF_LEN as u64) {
                    first.extend_from_slice(&bytes?);
                }
                Ok::<_, ReadError>(media_type::sniff(&first))
            })
            .await??;
        self.sniffed.types.insert(*found.cid(), told);
        Ok(told)
    }
}
