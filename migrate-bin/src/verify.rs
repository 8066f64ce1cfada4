//! `verify HOT`: whether everything is there and right.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use coldfront::migrate::{self, Pace, Source};
use coldfront::store::hot::{HotOptions, HotStore};

use crate::show::Show;
use crate::{Outcome, run, units};

/// Read and hash every block of a hot store, and walk below every pin; against a source, also look whether everything is
/// there that it holds. Changes nothing.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The folder of the hot store. No other program may have it open.
    hot: PathBuf,
    /// What was copied: a stopped Kubo repository, a flatfs tree, a store or a CAR file.
    #[arg(long, value_name = "SOURCE")]
    against: Option<PathBuf>,
    /// Bytes read in a second, at most, such as 50M.
    #[arg(long, value_parser = units::bytes)]
    rate: Option<u64>,
    /// Objects of JSON in place of text, as for run.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let options = HotOptions { create: false, ..HotOptions::new(&flags.hot) };
    let hot = HotStore::open(&options).context("the hot store cannot be opened")?;
    let source = flags.against.as_ref().map(|path| Source::open(path, false)).transpose()?;
    let pace = Pace { bytes_per_second: flags.rate, ..Pace::default() };
    let mut show = Show::new(flags.json)?;
    let report = migrate::verify(&hot, source.as_ref(), pace, &mut |event| show.event(event))?;
    show.end();
    Ok(run::tell(&report, flags.json))
}
