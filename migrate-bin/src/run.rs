//! `run FROM --to HOT`: copy, and go on where it stopped.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use coldfront::migrate::pin_lists::{Listed, PinList, PinListOptions, Reason};
use coldfront::migrate::{
    self, Fault, FaultKind, Job, Pace, Report, Root, Select, Source, StepBack, pins,
};
use coldfront::pin::{PinIndex, PinMode};
use coldfront::store::hot::{HotOptions, HotStore};

use crate::show::Show;
use crate::{Outcome, units};

/// Copy into a hot store, every block hashed. Run again after a stop of any kind, it goes on; run again later, it copies
/// what came since. The source is never changed.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A Kubo repository that is stopped, a flatfs tree (also of a running Kubo), a store such as pebbleds, or a CAR file.
    from: PathBuf,
    /// The folder of the hot store; made when it is absent. No other program may have it open.
    #[arg(long)]
    to: PathBuf,
    #[command(flatten)]
    select: Which,
    /// Blocks that each disk of the source is asked for at a time. A disk is what the system calls a device: an array of 12 wants 48.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Bytes read in a second, at most, such as 50M.
    #[arg(long, value_parser = units::bytes)]
    rate: Option<u64>,
    /// Go on at full speed while other programs read from the disk of the source. Else it is theirs for three quarters of the
    /// time as long as they do. `ionice -c 3` in front of this command adds what the kernel's scheduler can do, where it has one.
    #[arg(long)]
    full_speed: bool,
    /// Memory of the hot store, such as 128MiB.
    #[arg(long, default_value = "128MiB", value_parser = units::bytes)]
    memory: u64,
    /// Report what is damaged in the source's own stores, and take what else they hold.
    #[arg(long)]
    salvage: bool,
    /// Objects of JSON, one a line, in place of text: progress and faults to standard error, the report to standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Everything: blocks in the order of the disk; of a repository also pins, MFS root, names and keys.
    #[arg(long)]
    all: bool,
    /// What the repository has pinned, in the order of its pins, and the pins.
    #[arg(long)]
    pins: bool,
    /// What lies below the roots of a list, each pinned when it is in: CIDs, `ipfs pin ls`, or an export of IPFS Cluster.
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// The blocks of a list of CIDs, and nothing below them; none is pinned.
    #[arg(long, value_name = "FILE")]
    cids: Option<PathBuf>,
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let source = Source::open(&flags.from, flags.salvage)?;
    let select = match &flags.select {
        Which { roots: Some(list), .. } => Select::Roots(Box::new(roots(list)?)),
        Which { cids: Some(list), .. } => {
            Select::Cids(Box::new(roots(list)?.map(|root| root.map(|root| root.cid))))
        }
        Which { pins: true, .. } => Select::Pins,
        Which { .. } => Select::All,
    };
    let options = HotOptions { memory: flags.memory, ..HotOptions::new(&flags.to) };
    let hot = HotStore::open(&options).context("the target cannot be opened")?;
    let pace = Pace {
        readers: usize::from(flags.workers),
        bytes_per_second: flags.rate,
        step_back: if flags.full_speed { StepBack::Never } else { StepBack::default() },
        ..Pace::default()
    };
    let mut show = Show::new(flags.json)?;
    let report = migrate::run(&source, &hot, Job { select, pace }, &mut |event| show.event(event))?;
    show.end();
    if let Some(list) = flags.select.roots.as_deref().filter(|list| *list != Path::new("-")) {
        // What a list says of a pin beside what it keeps; one that comes through a pipe is gone by now.
        let mut list = PinList::new(BufReader::new(opened(list)?), PinListOptions::default());
        let index = PinIndex::new(&hot, Vec::new());
        pins::label(&index, &mut list).context("the pins are in, their labels are not")?;
    }
    Ok(tell(&report, flags.json))
}

/// Prints a report; how it ended is how the program ends.
pub(crate) fn tell(report: &Report, json: bool) -> Outcome {
    match json {
        true => println!("{}", report.to_json()),
        false => println!("{report}"),
    }
    match (report.stopped, report.has_faults()) {
        (true, _) => Outcome::Stopped,
        (false, true) => Outcome::WithFaults,
        (false, false) => Outcome::Done,
    }
}

/// The entries of a list, one at a time; what is no pin in it is a fault with its line.
fn roots(list: &Path) -> anyhow::Result<impl Iterator<Item = Result<Root, Fault>>> {
    let shown = list.display().to_string();
    let entries = PinList::new(BufReader::new(opened(list)?), PinListOptions::default());
    Ok(entries.filter_map(move |entry| match entry {
        Ok(Listed::Pin(pin)) => {
            let recursive = pin.mode == PinMode::Recursive;
            Some(Ok(Root { cid: pin.cid, recursive, name: pin.name }))
        }
        // What is broken in a list is told; what it says is not to be kept here is not.
        Ok(Listed::Skipped(skipped))
            if matches!(skipped.reason, Reason::BadCid | Reason::NoPin | Reason::UnknownType) =>
        {
            let place = format!("{shown} line {}", skipped.line);
            Some(Err(listed_fault(place, format!("{}: {:?}", skipped.reason, skipped.text))))
        }
        Ok(Listed::Skipped(_)) => None,
        Err(error) => Some(Err(listed_fault(shown.clone(), error.to_string()))),
    }))
}

fn opened(list: &Path) -> anyhow::Result<Box<dyn Read>> {
    match list == Path::new("-") {
        true => Ok(Box::new(std::io::stdin())),
        false => {
            let file = File::open(list);
            Ok(Box::new(file.with_context(|| format!("cannot open the list {}", list.display()))?))
        }
    }
}

fn listed_fault(place: String, detail: String) -> Fault {
    Fault { kind: FaultKind::Record, place, cid: None, detail }
}
