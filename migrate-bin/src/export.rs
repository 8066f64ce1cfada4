//! `export HOT --to REPO`: the way back.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use coldfront::keys::HotKeys;
use coldfront::migrate::export::cars::{CarExportError, write_car};
use coldfront::migrate::export::{
    Carried, ExportError, ExportOptions, ExportReport, ShardFn, export, plan,
};
use coldfront::migrate::pin_lists::write_cluster_pin;
use coldfront::migrate::pins::listed;
use coldfront::pin::{PinIndex, PinMode};
use data_encoding::BASE64;
use serde_json::json;

use crate::show::Show;
use crate::store::Opened;
use crate::{Outcome, units};

/// Write what a hot store holds as a repository that Kubo opens: blocks, pins with names, MFS, keys, published names.
///
/// Every block is hashed. Run again after a stop of any kind, it goes on; run again later, it adds what came since, and so
/// it does to a repository of flatfs that is there already, such as the one that the content came from. There is no file
/// "version", without which Kubo opens nothing, before all else is there.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The folder of the hot store. No other program may have it open.
    hot: PathBuf,
    /// The folder of the repository: absent, empty, or to be added to. With --car the folder of the CAR files.
    #[arg(long)]
    to: Option<PathBuf>,
    /// An archive below the hot store: a repository of Kubo's or its folder of blocks. May be given more than once.
    #[arg(long)]
    archive: Vec<PathBuf>,
    /// Write only blocks that came at this number or later. `status` says the number of now, an earlier export that of its end.
    #[arg(long, value_name = "MARK")]
    since: Option<u64>,
    /// How blocks are spread over folders: next-to-last/2 as Kubo does, prefix/N or suffix/N.
    #[arg(long, default_value = "next-to-last/2", value_parser = shards)]
    shards: ShardFn,
    /// A config of Kubo's, whose identity and settings the repository gets. Else it gets those that were carried over, or a
    /// new one with the store's own identity.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A CAR file for each recursive pin instead of a repository.
    #[arg(long, requires = "to", conflicts_with_all = ["since", "shards", "config"])]
    car: bool,
    /// Write the pins into this file as `ipfs-cluster-service state import` reads them; - for standard output.
    #[arg(long, value_name = "FILE")]
    cluster_state: Option<PathBuf>,
    /// Write nothing: say how many blocks an export would write, how much room it needs, and how long it takes, by a sample.
    #[arg(long, requires = "to", conflicts_with_all = ["car", "cluster_state"])]
    plan: bool,
    /// Threads that read, hash and write.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Bytes written in a second, at most, such as 50M.
    #[arg(long, value_parser = units::bytes)]
    rate: Option<u64>,
    /// Memory of the hot store, such as 128MiB.
    #[arg(long, default_value = "128MiB", value_parser = units::bytes)]
    memory: u64,
    /// Objects of JSON, one a line, in place of text: progress to standard error, the report to standard output.
    #[arg(long)]
    json: bool,
}

fn shards(text: &str) -> Result<ShardFn, String> {
    let full = match text.starts_with('/') {
        true => text.to_owned(),
        false => format!("/repo/flatfs/shard/v1/{text}"),
    };
    ShardFn::parse(full.as_bytes()).map_err(|error| error.to_string())
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    if flags.to.is_none() && flags.cluster_state.is_none() {
        bail!("nothing to write: give --to FOLDER, or --cluster-state FILE");
    }
    let opened = Opened::open(&flags.hot, &flags.archive, flags.memory, false)?;
    if let Some(file) = &flags.cluster_state {
        let pins = write_cluster_state(&opened.pins, file)?;
        eprintln!("{pins} pins written for ipfs-cluster-service state import");
    }
    match &flags.to {
        None => Ok(Outcome::Done),
        Some(to) if flags.plan => estimate(flags, &opened, to),
        Some(to) if flags.car => cars(flags, &opened, to),
        Some(to) => repository(flags, &opened, to),
    }
}

fn repository(flags: &Flags, opened: &Opened, to: &Path) -> anyhow::Result<Outcome> {
    let mut carried = Carried::of(&opened.pins)?;
    if let Some(path) = &flags.config {
        let text = fs::read_to_string(path);
        carried.config = Some(text.with_context(|| format!("cannot read {}", path.display()))?);
        carried.config_version = version_beside(path).unwrap_or(0);
    }
    if carried.config.is_none() {
        carried.config = Some(own_config(opened)?);
    }
    let mut options = ExportOptions::new(to);
    (options.shards, options.since) = (flags.shards, flags.since);
    (options.workers, options.rate) = (usize::from(flags.workers), flags.rate);
    let mut show = Show::new(flags.json)?;
    let done =
        export(&opened.pins, &opened.below, &carried, &options, &mut |event| show.event(event));
    show.end();
    let report = match done {
        Ok(report) => report,
        Err(ExportError::Stopped) => return Ok(Outcome::Stopped),
        Err(error) => return Err(error.into()),
    };
    tell(&report, to, flags.json);
    Ok(match report.counts.missing + report.counts.bad {
        0 => Outcome::Done,
        _ => Outcome::WithFaults,
    })
}

/// A config with the store's own identity, which is made now if it has none yet. Kubo opens nothing without one.
fn own_config(opened: &Opened) -> anyhow::Result<String> {
    let key = HotKeys::of(&opened.hot).identity().context("the store's identity cannot be read")?;
    let private = BASE64.encode(key.to_protobuf());
    let identity = json!({"PeerID": key.id().peer_id(), "PrivKey": private});
    Ok(json!({"Identity": identity}).to_string())
}

fn estimate(flags: &Flags, opened: &Opened, to: &Path) -> anyhow::Result<Outcome> {
    let plan = plan(&opened.pins, flags.since.unwrap_or(0), to)?;
    if flags.json {
        let report = json!({
            "blocks": plan.blocks,
            "bytes": plan.bytes,
            "room_needed": plan.room_needed,
            "room": plan.room,
            "sampled_rate": plan.sampled_rate,
            "seconds": plan.time.map(|time| time.as_secs()),
        });
        println!("{report}");
        return Ok(Outcome::Done);
    }
    println!("blocks to write  {} ({})", plan.blocks, units::shown(plan.bytes));
    println!("room needed      about {}", units::shown(plan.room_needed));
    match plan.room {
        Some(room) if room < plan.room_needed => {
            println!("room             {}: NOT ENOUGH", units::shown(room));
        }
        Some(room) => println!("room             {}: enough", units::shown(room)),
        None => println!("room             not known"),
    }
    match (plan.sampled_rate, plan.time) {
        (Some(rate), Some(time)) => println!(
            "time             {}, at {}/s at which a sample was read and hashed, if the target's disk keeps up",
            units::time(time),
            units::shown(rate as u64)
        ),
        _ => println!("time             not known: there is nothing to take a sample of"),
    }
    Ok(Outcome::Done)
}

/// The version of the repository that a config lies in.
fn version_beside(config: &Path) -> Option<u32> {
    fs::read_to_string(config.with_file_name("version")).ok()?.trim().parse().ok()
}

fn tell(report: &ExportReport, to: &Path, as_json: bool) {
    let counts = &report.counts;
    let problems = report.problems.iter();
    if as_json {
        let problems: Vec<_> =
            problems.map(|one| json!({"cid": one.cid, "what": one.what})).collect();
        let report = json!({
            "to": to.display().to_string(),
            "blocks": counts.to_json(),
            "pins": report.pins,
            "keys": report.keys,
            "names": report.names,
            "next": report.next,
            "problems": problems,
        });
        println!("{report}");
        return;
    }
    println!("{}: a repository that Kubo opens", to.display());
    println!("blocks written   {} ({})", counts.written, units::shown(counts.bytes));
    println!("there already    {}", counts.there);
    if counts.unverified > 0 {
        println!("not verifiable   {}", counts.unverified);
    }
    println!("missing          {}", counts.missing);
    println!("bad              {}", counts.bad);
    println!("pins, keys, names  {}, {}, {}", report.pins, report.keys, report.names);
    println!("next mark        {} (export --since {0} writes what comes from now on)", report.next);
    problems.for_each(|one| println!("{}: {}", one.cid, one.what));
}

/// Writes the pins in the form of a cluster's state; a file appears whole or not at all.
fn write_cluster_state(pins: &PinIndex, file: &Path) -> anyhow::Result<u64> {
    if file == Path::new("-") {
        return write_pins(pins, std::io::stdout().lock());
    }
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = File::create(&new).with_context(|| format!("cannot write {}", new.display()))?;
    let count = write_pins(pins, &written)?;
    written.sync_all()?;
    fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(count)
}

fn write_pins(pins: &PinIndex, out: impl std::io::Write) -> anyhow::Result<u64> {
    let (mut out, mut count) = (BufWriter::new(out), 0);
    for pin in pins.list(None) {
        write_cluster_pin(&mut out, &listed(pins, pin?)?)?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

/// A CAR for each recursive pin. One that cannot be made whole is told, and the others are made.
fn cars(flags: &Flags, opened: &Opened, to: &Path) -> anyhow::Result<Outcome> {
    let (all, show) = (opened.all(), Show::new(flags.json)?);
    let (mut written, mut there, mut incomplete) = (0u64, 0u64, 0u64);
    for pin in opened.pins.list(Some(PinMode::Recursive)) {
        let root = pin?.cid;
        match write_car(to, &root, &all) {
            Ok(Some(len)) => {
                written += 1;
                eprintln!("{root}.car: {}", units::shown(len));
            }
            Ok(None) => there += 1,
            Err(error @ CarExportError::Incomplete { .. }) => {
                incomplete += 1;
                eprintln!("{:#}", anyhow::Error::new(error));
            }
            Err(error) => return Err(error.into()),
        }
        if show.is_stopped() {
            return Ok(Outcome::Stopped);
        }
    }
    match flags.json {
        true => {
            println!("{}", json!({"written": written, "there": there, "incomplete": incomplete}))
        }
        false => {
            println!(
                "{written} CAR files written, {there} were there, {incomplete} cannot be made whole"
            );
        }
    }
    Ok(if incomplete == 0 { Outcome::Done } else { Outcome::WithFaults })
}
