//! The hot store of a repository, and its pins.
//!
//! Owns which tiers a pin may rest on: those below the hot store, in their order. Must not know how blocks or pins are
//! kept.

use std::sync::Arc;

use super::{Repo, RepoOptions};
use crate::pin::PinIndex;
use crate::store::BlockSource;
use crate::store::cache::Cache;
use crate::store::hot::HotStore;

/// The tier that takes what is written, and what is kept of it.
#[derive(Clone, Debug)]
pub(super) struct Hot {
    store: HotStore,
    cache: Option<Arc<Cache>>,
    pins: PinIndex,
}

impl Repo {
    /// A hot store above sources of any kind, each with the name it has in reports. `hot` and `archives` of the
    /// options are not looked at.
    pub fn with_hot(
        hot: &HotStore,
        below: impl IntoIterator<Item = (String, Arc<dyn BlockSource>)>,
        options: &RepoOptions,
    ) -> Repo {
        Repo::with_tiers(hot, None, below, options)
    }

    /// The same with a cache between.
    pub fn with_tiers(
        hot: &HotStore,
        cache: Option<Arc<Cache>>,
        below: impl IntoIterator<Item = (String, Arc<dyn BlockSource>)>,
        options: &RepoOptions,
    ) -> Repo {
        let below: Vec<_> = below.into_iter().collect();
        let archives = below.iter().map(|(_, source)| source.clone()).collect();
        let pins = match &cache {
            Some(cache) => PinIndex::with_cache(hot, archives, cache.clone()),
            None => PinIndex::new(hot, archives),
        };
        let above: (String, Arc<dyn BlockSource>) = (hot.name(), Arc::new(hot.clone()));
        let between =
            cache.clone().map(|cache| ("cache".to_owned(), cache as Arc<dyn BlockSource>));
        let tiers = std::iter::once(above).chain(between).chain(below);
        let repo = Repo::from_sources(tiers, options);
        Repo { hot: Some(Hot { store: hot.clone(), cache, pins }), ..repo }
    }

    /// The cache, which takes what was fetched from elsewhere; `None` where there is none.
    pub fn cache(&self) -> Option<&Arc<Cache>> {
        self.hot.as_ref()?.cache.as_ref()
    }

    /// The hot store, which takes blocks; `None` where there are archives alone.
    pub fn hot(&self) -> Option<&HotStore> {
        self.hot.as_ref().map(|hot| &hot.store)
    }

    /// What is pinned. A pin may hold blocks of the archives as well: they are indexed and not copied.
    pub fn pins(&self) -> Option<&PinIndex> {
        self.hot.as_ref().map(|hot| &hot.pins)
    }
}
