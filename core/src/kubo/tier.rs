//! A stopped repository of any store as a tier: its blocks are served in place, read-only.
//!
//! Owns how a CID becomes a key of a store of pairs. Must not know how those stores look. A repository whose blocks lie in
//! a flatfs tree is an [`Archive`](crate::store::archive::Archive) instead, which gives extents and may be in use.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use coldfront_pebble::Store;
use data_encoding::BASE32_NOPAD;

use super::datastore::BlockMount;
use super::error::RepositoryError;
use super::repository::{Repository, RepositoryOptions};
use crate::block::{Block, Cid, DAG_CBOR, DAG_PB, MAX_BLOCK_LEN, RAW};
use crate::error::StoreError;
use crate::store::{BlockSource, Located};

/// The blocks of a stopped repository that lie in Pebble, LevelDB or Badger.
pub struct RepositoryTier {
    name: String,
    held: Held,
}

enum Held {
    Repository(Box<Repository>),
    /// The folder of a store alone.
    Store(Box<Store>),
}

impl RepositoryTier {
    /// Opens the repository at a path, or the store in a folder such as `pebbleds`; `None` where blocks lie in a flatfs
    /// tree at the usual place, or where there is neither. As long as it is open, no Kubo can start on it.
    ///
    /// # Errors
    /// [`RepositoryError`]: what is in the way, by name. A repository in use is refused: its stores change.
    pub fn open(path: &Path) -> Result<Option<RepositoryTier>, RepositoryError> {
        let has = |name: &str| path.join(name).exists();
        if has("SHARDING") || has("blocks/SHARDING") || !path.is_dir() {
            return Ok(None);
        }
        let name = path.display().to_string();
        if has("version") && has("config") {
            let repository = Repository::open(&RepositoryOptions::new(path))?;
            return Ok(Some(RepositoryTier { name, held: Held::Repository(Box::new(repository)) }));
        }
        match Store::open(path) {
            Ok(store) => Ok(Some(RepositoryTier { name, held: Held::Store(Box::new(store)) })),
            Err(coldfront_pebble::Error::NotAStore { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The path it was opened at.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn mounts(&self) -> Vec<BlockMount<'_>> {
        match &self.held {
            Held::Repository(repository) => repository.datastore().blocks().collect(),
            Held::Store(store) => vec![BlockMount::Pairs(store, "/blocks/")],
        }
    }

    /// The bytes of a block, under its multihash and then under the names of older repositories.
    fn find(&self, cid: &Cid) -> Result<Option<Bytes>, StoreError> {
        let hash = *cid.hash();
        let older =
            [cid.codec(), RAW, DAG_PB, DAG_CBOR].map(|codec| Cid::new_v1(codec, hash).to_bytes());
        let is_old = match &self.held {
            Held::Repository(repository) => repository.version() < 12,
            Held::Store(_) => false,
        };
        let names = std::iter::once(hash.to_bytes()).chain(older.into_iter().filter(|_| is_old));
        for name in names {
            for mount in self.mounts() {
                if let Some(data) = self.look(mount, &name)? {
                    return match data.len() as u64 {
                        len if len > MAX_BLOCK_LEN => {
                            Err(StoreError::TooLarge { cid: *cid, place: self.name.clone(), len })
                        }
                        _ => Ok(Some(data.into())),
                    };
                }
            }
        }
        Ok(None)
    }

    fn look(&self, mount: BlockMount<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match mount {
            BlockMount::Flatfs(tree) => {
                Ok(tree.get(coldfront_flatfs::Key::new(name), MAX_BLOCK_LEN)?)
            }
            BlockMount::Pairs(store, prefix) => {
                let key = format!("{prefix}{}", BASE32_NOPAD.encode(name));
                let failed = |source| StoreError::Pairs {
                    place: self.name.clone(),
                    source: Box::new(source),
                };
                store.get(key.as_bytes()).map_err(failed)
            }
        }
    }
}

impl fmt::Debug for RepositoryTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepositoryTier").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Each call looks into a table of each level, and reads the block: such stores keep lengths beside bytes.
impl BlockSource for RepositoryTier {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        Ok(self.find(cid)?.map(|data| Block::trusted(*cid, data)))
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        Ok(self.find(cid)?.map(Located::Bytes))
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        Ok(self.find(cid)?.map(|data| data.len() as u64))
    }
}
