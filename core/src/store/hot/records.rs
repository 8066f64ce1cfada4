//! Records of jobs and of what is kept beside blocks: small values under names of their own.
//!
//! Owns where they lie (in `meta`, under the name of their space) and when they are durable. Must not know what they
//! mean: a migration keeps its progress here, and what it carried over that is no block.

use super::HotStore;
use super::schema::{Family, after_prefix, meta, prefixed};
use super::writer::Edit;
use crate::error::StoreError;

/// A name and its value; `None` takes the record away.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// A name and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// The records of one space, which has a name and holds any number of them. Cloning shares it.
///
/// ```
/// # use coldfront::store::hot::{HotOptions, HotStore};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let store = HotStore::open(&HotOptions::new(folder.path().join("hot")))?;
/// let records = store.records("carried");
/// records.put(&[(b"mfs-root".to_vec(), Some(b"bytes".to_vec()))])?;
/// assert_eq!(records.get(b"mfs-root")?.as_deref(), Some(&b"bytes"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Records {
    store: HotStore,
    prefix: Vec<u8>,
}

impl HotStore {
    /// The records of a space. Its name holds no zero byte; what follows one is left out.
    pub fn records(&self, space: &str) -> Records {
        let space = space.split('\0').next().unwrap_or_default();
        let mut prefix = prefixed(meta::RECORDS, space.as_bytes());
        prefix.push(0);
        Records { store: self.clone(), prefix }
    }

    /// Names of spaces that begin with `beginning` and hold a record, in their order. One look-up each.
    pub fn record_spaces(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        let start = prefixed(meta::RECORDS, beginning.as_bytes());
        let mut rows = self.database().scan(Family::Meta, &start, after_prefix(&start))?;
        let mut spaces = Vec::new();
        while let Some((key, _)) = rows.next()? {
            let rest = key.get(meta::RECORDS.len()..).unwrap_or_default();
            let space = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            spaces.push(String::from_utf8_lossy(space).into_owned());
            let mut behind = prefixed(meta::RECORDS, space);
            behind.push(1);
            rows.jump(&behind);
        }
        Ok(spaces)
    }
}

impl Records {
    /// A record. One look-up.
    pub fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.store.database().get(Family::Meta, &self.key(name))?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    /// At most `limit` records whose names begin with `beginning` and come behind `after`, by name.
    pub fn after(
        &self,
        beginning: &[u8],
        after: &[u8],
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let start = self.key(beginning);
        // The first key behind `after` is `after` and a zero byte.
        let behind = if after.is_empty() { Vec::new() } else { prefixed(&self.key(after), &[0]) };
        let from = behind.max(start.clone());
        let mut rows = self.store.database().scan(Family::Meta, &from, after_prefix(&start))?;
        let mut found = Vec::new();
        while found.len() < limit {
            let Some((key, value)) = rows.next()? else { break };
            let name = key.get(self.prefix.len()..).unwrap_or_default();
            found.push((name.to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    /// Writes and removes records, all or nothing; durable on return.
    pub fn put(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut edit = self.store.edit();
        self.change(&mut edit, changes)?;
        edit.commit()?;
        Ok(self.store.make_durable()?)
    }

    /// Adds them to a change, as a bulk writer does beside its blocks.
    pub(super) fn change(&self, edit: &mut Edit<'_>, changes: &[Change]) -> Result<(), StoreError> {
        for (name, value) in changes {
            match value {
                Some(value) => edit.write(Family::Meta, &self.key(name), value)?,
                None => edit.erase(Family::Meta, &self.key(name))?,
            }
        }
        Ok(())
    }

    fn key(&self, name: &[u8]) -> Vec<u8> {
        prefixed(&self.prefix, name)
    }
}
