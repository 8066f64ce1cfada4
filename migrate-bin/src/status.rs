//! `status HOT`: how far jobs are.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use coldfront::migrate::jobs;
use coldfront::store::hot::{HotOptions, HotStore};

use crate::{Outcome, units};

/// Say how far the jobs are that copy into a hot store.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The folder of the hot store. No other program may have it open.
    hot: PathBuf,
    /// An object of JSON for each job, one a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let options = HotOptions { create: false, ..HotOptions::new(&flags.hot) };
    let hot = HotStore::open(&options).context("the hot store cannot be opened")?;
    let all = jobs(&hot)?;
    if all.is_empty() && !flags.json {
        println!("nothing was copied into {} by a job yet", flags.hot.display());
    }
    for job in all {
        if flags.json {
            println!("{}", job.to_json());
            continue;
        }
        let state = match (job.finished, job.done) {
            (true, _) => "at its end".to_owned(),
            (false, Some(done)) => format!("{:.1} % done", done * 100.0),
            (false, None) => "under way".to_owned(),
        };
        let bytes = units::shown(job.bytes);
        println!("{}: {state}, {} blocks, {bytes}, {} faults", job.source, job.blocks, job.faults);
    }
    if !flags.json {
        let next = hot.next_number();
        println!("blocks that come from now on have numbers from {next} (export --since {next})");
    }
    Ok(Outcome::Done)
}
