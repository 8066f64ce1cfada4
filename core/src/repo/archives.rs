//! The archives of a repository as what a migration reads: to be listed.
//!
//! Owns finding them again. Serving lists no directory; this is for commands by which somebody asks for it.

use super::Repo;
use crate::migrate::{MigrateError, Source};

impl Repo {
    /// The archives that [`Repo::open`] opened, in their order, opened anew as sources: [`scrub`](crate::migrate::scrub) and
    /// [`plan`](crate::migrate::plan) look at them. Some small reads each; an archive that a Kubo uses at the moment is opened
    /// if it is a flatfs tree.
    pub fn sources(&self) -> impl Iterator<Item = Result<Source, MigrateError>> {
        self.archives.iter().map(|path| {
            let blocks = path.join("blocks");
            // Of a repository the tree alone: its lock, pins and keys are not asked for.
            let is_repository = !path.join("SHARDING").exists() && blocks.join("SHARDING").exists();
            Source::open(if is_repository { &blocks } else { path }, true)
        })
    }
}
