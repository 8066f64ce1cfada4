//! `status HOT`: how far jobs are.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use coldfront::StoreError;
use coldfront::migrate::{jobs, jobs_told};
use coldfront::store::hot::{HotError, HotOptions, HotStore};

use crate::{Outcome, units};

/// Say how far the jobs are that copy into a hot store.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The folder of the hot store. While another program has it open, what is told is some seconds old.
    hot: PathBuf,
    /// An object of JSON for each job, one a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let options = HotOptions { create: false, ..HotOptions::new(&flags.hot) };
    let (all, next) = match HotStore::open(&options) {
        Ok(hot) => (jobs(&hot)?, Some(hot.next_number())),
        // A gateway that adopts, or a job at work: they write down how far they are.
        Err(StoreError::Hot(HotError::Locked { .. })) => {
            let told = jobs_told(&flags.hot);
            (told.context("the hot store is in use, and jobs.json cannot be read")?, None)
        }
        Err(error) => return Err(error).context("the hot store cannot be opened"),
    };
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
    if let Some(next) = next.filter(|_| !flags.json) {
        println!("blocks that come from now on have numbers from {next} (export --since {next})");
    }
    Ok(Outcome::Done)
}
