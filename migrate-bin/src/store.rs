//! A hot store that is there already, with the archives below it, for verbs that work on one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use coldfront::pin::PinIndex;
use coldfront::store::archive::Archive;
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::{ArchiveOptions, BlockSource};

/// A hot store, its pins, and what lies below it.
pub(crate) struct Opened {
    pub(crate) hot: HotStore,
    pub(crate) below: Vec<Arc<dyn BlockSource>>,
    pub(crate) pins: PinIndex,
}

impl Opened {
    /// Opens a hot store that is there, or with `create` makes one. Archives may be of any age.
    pub(crate) fn open(
        hot: &Path,
        archives: &[PathBuf],
        memory: u64,
        create: bool,
    ) -> anyhow::Result<Opened> {
        let options = HotOptions { memory, create, ..HotOptions::new(hot) };
        let hot = HotStore::open(&options).context("the hot store cannot be opened")?;
        let below: Vec<Arc<dyn BlockSource>> = archives
            .iter()
            .map(|path| {
                let options = ArchiveOptions { mixed: true, ..ArchiveOptions::new(path) };
                let archive = Archive::open(&options);
                let archive = archive
                    .with_context(|| format!("the archive {} cannot be opened", path.display()))?;
                Ok::<Arc<dyn BlockSource>, anyhow::Error>(Arc::new(archive))
            })
            .collect::<Result<_, _>>()?;
        let pins = PinIndex::new(&hot, below.clone());
        Ok(Opened { hot, below, pins })
    }
}

/// The hot store, then the archives, as one source.
#[derive(Debug)]
pub(crate) struct All(pub(crate) Vec<Arc<dyn BlockSource>>);

impl Opened {
    pub(crate) fn all(&self) -> All {
        let hot: Arc<dyn BlockSource> = Arc::new(self.hot.clone());
        All(std::iter::once(hot).chain(self.below.iter().cloned()).collect())
    }
}

impl BlockSource for All {
    fn get(&self, cid: &coldfront::Cid) -> Result<Option<coldfront::Block>, coldfront::StoreError> {
        first(&self.0, |source| source.get(cid))
    }

    fn locate(
        &self,
        cid: &coldfront::Cid,
    ) -> Result<Option<coldfront::Located>, coldfront::StoreError> {
        first(&self.0, |source| source.locate(cid))
    }

    fn size(&self, cid: &coldfront::Cid) -> Result<Option<u64>, coldfront::StoreError> {
        first(&self.0, |source| source.size(cid))
    }
}

/// The first answer of a source that has one; an error only where none has.
fn first<T>(
    sources: &[Arc<dyn BlockSource>],
    ask: impl Fn(&dyn BlockSource) -> Result<Option<T>, coldfront::StoreError>,
) -> Result<Option<T>, coldfront::StoreError> {
    let mut failed = None;
    for source in sources {
        match ask(&**source) {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(None), Err)
}
