//! CIDs that a walk still has ahead, packed: some 38 bytes each, where a CID in memory takes 160.
//!
//! Owns the packing. Must not know why they are ahead.

use crate::block::Cid;

/// The last one that was put in comes out first.
#[derive(Debug, Default)]
pub(crate) struct CidStack(Vec<u8>);

impl CidStack {
    /// Memory that they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, cid: &Cid) {
        let start = self.0.len();
        self.0.extend(cid.to_bytes());
        // A CID has at most 158 bytes: version, codec, function and length, and 128 of digest.
        self.0.push((self.0.len() - start) as u8);
    }

    pub(crate) fn pop(&mut self) -> Option<Cid> {
        let len = usize::from(self.0.pop()?);
        let start = self.0.len().checked_sub(len)?;
        let cid = Cid::try_from(self.0.get(start..)?).ok();
        self.0.truncate(start);
        cid
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
