//! `http`: the rate of each load and what an answer costs the server in CPU time, against nginx over the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::RESIDENT_LIMIT;
use crate::fixtures::hot::Hot;
use crate::fixtures::video::{Leaves, PLAYLIST, Repo, Video};
use crate::fixtures::{self, Cache};
use crate::load::Load;
use crate::options::{Group, Options, Peer};
use crate::report::{Report, megabytes, verdict};
use crate::rounds::{self, Outcome};
use crate::server::coldfront::{self, Content, Verify};
use crate::server::{Launch, Server, kubo, nginx};
use crate::{check, machine};

const COLUMNS: [&str; 9] = [
    "load",
    "server",
    "answers/s",
    "CPU us/answer",
    "rate of nginx's (min to max)",
    "CPU of nginx's (min to max)",
    "file bytes read / body byte, reads / answer",
    "RSS MB (anon, peak)",
    "asked",
];

/// Measures every group that the options name.
pub fn run(options: &Options, cache: &Cache, report: &mut Report) -> Result<()> {
    ensure!(
        options.with(Peer::Nginx),
        "http measures against nginx; it cannot be left out of --peers"
    );
    let video = Video::open(cache)?;
    for group in &options.groups {
        let place = match group {
            Group::Tmpfs => match MemoryCopy::make(cache, &video)? {
                Some(copy) => Some(copy),
                None => {
                    report.line("\n(no tmpfs on this machine: the group tmpfs is left out)");
                    continue;
                }
            },
            _ => None,
        };
        measure(*group, options, cache, &video, place.as_ref(), report)
            .with_context(|| format!("the group {}", title(*group)))?;
    }
    Ok(())
}

fn measure(
    group: Group,
    options: &Options,
    cache: &Cache,
    video: &Video,
    place: Option<&MemoryCopy>,
    report: &mut Report,
) -> Result<()> {
    let scratch = cache.folder("scratch")?;
    let launches = launches(group, options, cache, video, place, &scratch)?;
    let servers: Vec<Server> = launches.into_iter().map(Launch::start).collect::<Result<_>>()?;
    for server in &servers {
        check::compare(server, video)?;
    }
    report.heading(&format!("http: {}", title(group)));
    let load_before = machine::load_average();
    report.table(&COLUMNS);
    let folders = folders(group, cache, video, place)?;
    for load in Load::ALL {
        // What nobody has touched for a while costs more to touch again on a machine that shares its memory.
        for folder in &folders {
            fixtures::touch(folder)?;
        }
        let rounds = rounds::run(&servers, load, options.length, options.rounds, &scratch)?;
        for (index, server) in servers.iter().enumerate() {
            if let Some(outcome) = rounds.outcome(index) {
                report.row(&cells(group, load, server, &outcome));
            }
        }
    }
    report.line(format!(
        "\n{} rounds of {} s, whole: {} downloads; load average {load_before} before, {} after",
        options.rounds,
        options.length.seconds,
        options.length.downloads,
        machine::load_average()
    ));
    Ok(())
}

/// The folders that hold the bytes of both sides: plain files, and blocks.
fn folders(
    group: Group,
    cache: &Cache,
    video: &Video,
    place: Option<&MemoryCopy>,
) -> Result<[PathBuf; 2]> {
    if let Some(copy) = place {
        return Ok([copy.plain.clone(), copy.blocks.clone()]);
    }
    if group == Group::Hot {
        return Ok([video.plain.clone(), Hot::of(cache, &video.plain)?.folder]);
    }
    let leaves = if group == Group::DagPb { Leaves::DagPb } else { Leaves::Raw };
    Ok([video.plain.clone(), video.repo(cache, leaves)?.blocks()])
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Plain => "raw leaves",
        Group::DagPb => "dag-pb leaves (CIDv0)",
        Group::Verify => "blocks verified",
        Group::Hot => "the hot store",
        Group::Tmpfs => "all files on tmpfs (no RWF_NOWAIT)",
        Group::Harness => "nginx against itself",
    }
}

/// The servers of a group, nginx first.
fn launches(
    group: Group,
    options: &Options,
    cache: &Cache,
    video: &Video,
    place: Option<&MemoryCopy>,
    scratch: &Path,
) -> Result<Vec<Launch>> {
    let plain = place.map_or(&video.plain, |copy| &copy.plain);
    let mut launches = vec![nginx::launch("nginx", plain, PLAYLIST, scratch)?];
    if group == Group::Harness {
        launches.push(nginx::launch("nginx-again", plain, PLAYLIST, scratch)?);
        return Ok(launches);
    }
    if group == Group::Hot {
        let hot = Hot::of(cache, &video.plain)?;
        let (prefix, content) = (format!("/ipfs/{}", hot.root), Content::Hot(&hot.folder));
        let ready = format!("{prefix}/{PLAYLIST}");
        let (name, verify) = ("coldfront, hot", Verify::Off);
        launches.push(coldfront::launch_over(name, content, &prefix, &ready, verify, scratch)?);
        return Ok(launches);
    }
    let leaves = if group == Group::DagPb { Leaves::DagPb } else { Leaves::Raw };
    let repo = video.repo(cache, leaves)?;
    let blocks = place.map_or_else(|| repo.blocks(), |copy| copy.blocks.clone());
    let ours: &[(&str, Verify)] = match group {
        Group::Verify => {
            &[("coldfront, first read", Verify::FirstRead), ("coldfront, always", Verify::Always)]
        }
        _ => &[("coldfront", Verify::Off)],
    };
    for (name, verify) in ours.iter().filter(|_| options.with(Peer::Coldfront)) {
        launches.push(coldfront::launch(
            name,
            &blocks,
            &repo.prefix(),
            &ready(&repo),
            *verify,
            scratch,
        )?);
    }
    if options.with(Peer::Kubo) && matches!(group, Group::Plain | Group::DagPb) {
        launches.push(kubo::launch("kubo", &repo.folder, &repo.root, PLAYLIST, scratch)?);
    }
    Ok(launches)
}

fn ready(repo: &Repo) -> String {
    format!("{}/{PLAYLIST}", repo.prefix())
}

fn cells(group: Group, load: Load, server: &Server, outcome: &Outcome) -> Vec<String> {
    let memory = outcome.last.memory;
    vec![
        load.name().into(),
        server.name.clone(),
        format!("{:.1}", outcome.rate),
        format!("{:.1}", outcome.cpu.as_secs_f64() * 1e6),
        ratio(outcome.rate_ratio, outcome.rate_spread),
        ratio(outcome.cpu_ratio, outcome.cpu_spread),
        format!("{:.2}, {:.1}", outcome.last.read_ratio, outcome.last.read_calls),
        format!(
            "{} ({}, {})",
            megabytes(memory.resident),
            megabytes(memory.anonymous),
            megabytes(memory.peak)
        ),
        asked(group, load, server, outcome),
    ]
}

fn ratio(median: f64, (low, high): (f64, f64)) -> String {
    format!("{median:.2} ({low:.2} to {high:.2})")
}

/// What coldfront is asked to reach: the least rate and the most CPU time, both of nginx's.
fn target(group: Group, load: Load) -> Option<(f64, f64)> {
    match (group, load) {
        (Group::Plain | Group::DagPb, Load::Segments) => Some((0.95, 1.2)),
        (Group::Plain | Group::DagPb, Load::Ranges) => Some((0.9, 1.2)),
        (Group::Plain | Group::DagPb, Load::Whole) => Some((0.9, 1.4)),
        (Group::Hot, Load::Segments | Load::Whole) => Some((0.6, 2.5)),
        (Group::Hot, Load::Ranges) => Some((0.35, 4.0)),
        (Group::Tmpfs, Load::Segments) => Some((0.85, 1.5)),
        (Group::Tmpfs, Load::Ranges) => Some((0.7, 2.1)),
        _ => None,
    }
}

fn asked(group: Group, load: Load, server: &Server, outcome: &Outcome) -> String {
    if !server.name.starts_with("coldfront") {
        return "-".into();
    }
    // A hot store may have filled its write buffers and caches, 128 MiB unless told otherwise.
    let limit = RESIDENT_LIMIT + if group == Group::Hot { 128 << 20 } else { 0 };
    let light = outcome.last.memory.peak <= limit;
    let memory = format!("<= {} MB {}", limit >> 20, verdict(light));
    match target(group, load) {
        Some((rate, cpu)) => format!(
            "rate >= {rate} {}, CPU <= {cpu} {}, {memory}",
            verdict(outcome.rate_ratio >= rate),
            verdict(outcome.cpu_ratio <= cpu)
        ),
        None => memory,
    }
}

/// Plain files and archive on a memory file system, where a read never waits and the kernel refuses to promise it.
/// Removed when dropped: it takes 1.1 GB of memory.
#[derive(Debug)]
struct MemoryCopy {
    folder: PathBuf,
    plain: PathBuf,
    blocks: PathBuf,
}

impl MemoryCopy {
    fn make(cache: &Cache, video: &Video) -> Result<Option<Self>> {
        let Some(place) = machine::memory_folder() else { return Ok(None) };
        let folder = place.join("coldfront-bench");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let copy = Self { plain: folder.join("plain"), blocks: folder.join("blocks"), folder };
        copy_tree(&video.plain, &copy.plain)?;
        copy_tree(&video.repo(cache, Leaves::Raw)?.blocks(), &copy.blocks)?;
        Ok(Some(copy))
    }
}

impl Drop for MemoryCopy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} stays behind: {error}", self.folder.display());
        }
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}
