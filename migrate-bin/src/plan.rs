//! `plan FROM`: what is there.

use std::path::PathBuf;

use clap::Args;
use coldfront::kubo::{Repository, RepositoryOptions};

use crate::Outcome;

/// Say what a source holds, before anything is moved. Changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A Kubo repository, such as ~/.ipfs.
    from: PathBuf,
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let repository = Repository::open(&RepositoryOptions::new(&flags.from))?;
    println!(
        "{}: {:?} version {}",
        repository.root().display(),
        repository.flavour(),
        repository.version()
    );
    Ok(Outcome::Done)
}
