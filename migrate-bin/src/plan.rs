//! `plan FROM`: what a copy would take.

use std::path::PathBuf;

use clap::Args;
use coldfront::migrate::{self, Plan, Source};

use crate::{Outcome, units};

/// Say what a source holds, how long copying it takes, what is left behind, and whether there is room. Takes seconds and
/// changes nothing; what is told from a sample says "about".
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A stopped Kubo repository, a flatfs tree, a store, or a CAR file.
    from: PathBuf,
    /// Where the hot store is to lie, to see whether there is room.
    #[arg(long)]
    to: Option<PathBuf>,
    /// An object of JSON in place of text.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let source = Source::open(&flags.from, false)?;
    let plan = migrate::plan(&source, flags.to.as_deref())?;
    match flags.json {
        true => println!("{}", plan.to_json()),
        false => show(&plan),
    }
    Ok(Outcome::Done)
}

fn show(plan: &Plan) {
    let line = |what: &str, said: String| println!("{what:<22}{said}");
    line("source", format!("{}: {}", plan.source, plan.kind));
    line("blocks", plan.blocks.to_string());
    let about = if plan.bytes.exact { "" } else { "about " };
    line("bytes", format!("{about}{}", units::shown(plan.bytes.value)));
    line("pins", plan.pins.to_string());
    line("keys", plan.keys.to_string());
    if let Some(root) = plan.mfs_root {
        line("MFS root", root.to_string());
    }
    let (dropped, exact) = &plan.dropped;
    for (prefix, count) in dropped {
        let at_least = if *exact { "" } else { "at least " };
        line("not carried over", format!("{at_least}{count} records under {prefix}"));
    }
    if plan.bad_in_sample > 0 {
        line("bad in the sample", format!("{} of {} blocks", plan.bad_in_sample, plan.sample));
    }
    if let Some(takes) = plan.takes() {
        let rate = units::shown(plan.bytes_per_second);
        let time = units::time(takes);
        let sample = plan.sample;
        line(
            "takes about",
            format!("{time}, at {rate}/s, as one reader read {sample} blocks of it"),
        );
    }
    if let Some(takes) = plan.way_back() {
        let time = units::time(takes);
        line("the way back", format!("about {time} for all; with --since only what came after it"));
    }
    line("room needed", units::shown(plan.needs));
    match (plan.free, plan.has_room()) {
        (Some(free), Some(true)) => line("room there", units::shown(free)),
        (Some(free), _) => line("room there", format!("{}: NOT ENOUGH", units::shown(free))),
        (None, _) => line("room there", "name the target with --to to see".to_owned()),
    }
    for note in &plan.notes {
        line("note", note.clone());
    }
}
