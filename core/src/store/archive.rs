//! An archive: a Kubo flatfs tree as a block source, strictly read-only.
//!
//! Owns how a CID becomes a flatfs key, the names of older repositories included. Must not know how a
//! key becomes a file, which is `coldfront-flatfs`. Rules: boxo `datastore/dshelp/key.go`; the change
//! of names in repository version 12, fs-repo-migrations `fs-repo-11-to-12`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use coldfront_flatfs::{BlockFile, FlatFs, Foresight, Key};

use crate::block::{Block, Cid, DAG_CBOR, DAG_PB, MAX_BLOCK_LEN, MultihashBytes, RAW};
use crate::error::StoreError;
use crate::store::open_files::OpenBlock;
use crate::store::{BlockSource, Extent, Located};

/// Where an archive lies and what it may hold.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// A Kubo repository, or the `blocks` directory of one. [`Repo::open`](crate::Repo::open) takes a CAR
    /// file as well, and with the feature `kubo` a stopped repository whose blocks lie in Pebble or Badger.
    pub path: PathBuf,
    /// The archive may hold files named by whole CIDs, as repositories before version 12 do. A miss
    /// under the multihash is then tried under those names too: three or four opens more for a block
    /// that is not there.
    pub mixed: bool,
}

impl ArchiveOptions {
    /// An archive with names by multihash only, as Kubo has written since repository version 12.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        ArchiveOptions { path: path.into(), mixed: false }
    }
}

/// A flatfs tree that is served in place.
#[derive(Debug)]
pub struct Archive {
    tree: FlatFs,
    mixed: bool,
    /// Cleared only by tests.
    foresight: bool,
}

impl Archive {
    /// Opens an archive: reads its `SHARDING` file and nothing else, however large it is.
    ///
    /// Writes nothing, so a read-only mount or a snapshot will do. Fails when neither the path nor
    /// its `blocks` directory is a flatfs tree.
    pub fn open(options: &ArchiveOptions) -> Result<Self, StoreError> {
        let blocks = options.path.join("blocks");
        let is_repository =
            !options.path.join("SHARDING").exists() && blocks.join("SHARDING").exists();
        let root = if is_repository { &blocks } else { &options.path };
        Ok(Archive { tree: FlatFs::open(root)?, mixed: options.mixed, foresight: true })
    }

    /// The flatfs root, as an absolute path.
    pub fn root(&self) -> &Path {
        self.tree.root()
    }

    /// Whether its file system can tell what is read without waiting. Where it cannot, every
    /// read takes the slower road through threads that may wait.
    pub fn reads_without_waiting(&self) -> bool {
        self.foresight() != Foresight::Nothing
    }

    /// As if its file system could tell nothing of what it caches, like ZFS: for tests of the slower road.
    #[cfg(any(test, feature = "testing"))]
    pub fn without_foresight(self) -> Self {
        Archive { foresight: false, ..self }
    }

    fn foresight(&self) -> Foresight {
        if self.foresight { self.tree.foresight() } else { Foresight::Nothing }
    }

    fn located(&self, cid: &Cid, file: BlockFile) -> Located {
        Located::Extent(Extent::whole(Arc::new(OpenBlock::new(cid, file, self.foresight()))))
    }

    /// Tries the multihash and, in a mixed archive, the older names, until one is held.
    fn find<T>(
        &self,
        cid: &Cid,
        look: impl Fn(Key<'_>) -> Result<Option<T>, coldfront_flatfs::Error>,
    ) -> Result<Option<T>, StoreError> {
        let multihash = MultihashBytes::of(cid);
        if let Some(found) = look(Key::new(multihash.as_slice()))? {
            return Ok(Some(found));
        }
        if self.mixed {
            for name in older_names(cid) {
                if let Some(found) = look(Key::new(&name))? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}

/// The names under which an older repository may hold a block: by the codec it is asked for with first,
/// then by those that such repositories held. (CIDv0 names are the multihash itself.)
fn older_names(cid: &Cid) -> impl Iterator<Item = Vec<u8>> {
    let (asked, hash) = (cid.codec(), *cid.hash());
    let others = [RAW, DAG_PB, DAG_CBOR].into_iter().filter(move |codec| *codec != asked);
    let codecs = std::iter::once(asked).chain(others);
    codecs.map(move |codec| Cid::new_v1(codec, hash).to_bytes())
}

impl BlockSource for Archive {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
        let data = self.find(cid, |key| self.tree.get(key, MAX_BLOCK_LEN))?;
        Ok(data.map(|data| Block::trusted(*cid, Bytes::from(data))))
    }

    fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
        let found = self.find(cid, |key| self.tree.open_block(key))?;
        Ok(found.map(|file| self.located(cid, file)))
    }

    fn locate_now(&self, cid: &Cid) -> Option<Located> {
        let multihash = MultihashBytes::of(cid);
        let file = self.tree.open_block_now(Key::new(multihash.as_slice()))?;
        Some(self.located(cid, file))
    }

    fn gives_extents(&self) -> bool {
        true
    }

    fn lacks_now(&self, cid: &Cid) -> bool {
        let multihash = MultihashBytes::of(cid);
        let lacks = |name: &[u8]| self.tree.lacks_block_now(Key::new(name));
        lacks(multihash.as_slice()) && (!self.mixed || older_names(cid).all(|name| lacks(&name)))
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
        self.find(cid, |key| self.tree.len_of(key))
    }

    fn available(&self) -> Result<(), StoreError> {
        Ok(self.tree.available()?)
    }
}
