//! `migrate`: copies of Kubo's stores into the hot store, every block hashed, beside what copies bytes and checks nothing.
//!
//! The page cache is dropped before each. The library works in a process of its own. Peers are `cp` with `sync`, a reader
//! that appends all files in the order of their inodes to one file, and ipfs-ds-convert.

use std::fs::{self, File};
use std::io::{BufWriter, Read as _, Write as _};
use std::os::unix::fs::DirEntryExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::convert;
use crate::disk::Requests;
use crate::fixtures::Cache;
use crate::fixtures::archive::{Archive, Mix, tiny_car, tiny_pebble};
use crate::fixtures::tree::Tree;
use crate::fixtures::video::{Leaves, Video};
use crate::machine;
use crate::options::{Options, Part, Peer};
use crate::report::{Report, megabytes, verdict};
use crate::rounds::median;
use crate::work::{self, Copied, Done};

/// The most memory that a copy may take.
const PEAK: u64 = 256 << 20;

/// Measures the parts that were asked for.
pub fn run(options: &Options, cache: &Cache, report: &mut Report) -> Result<()> {
    let place = Place::new(cache)?;
    let mix = Mix::of(options.blocks);
    for part in &options.parts {
        let archive = || Archive::open(cache, mix);
        match part {
            Part::Flatfs => flatfs(options, cache, &archive()?, &place, report)?,
            Part::Pebble => pebble(options, &archive()?, &place, report)?,
            Part::Disk => requests(&archive()?, &place, report)?,
            Part::Memory => memory(options, cache, &place, report)?,
            Part::Resume => resume(&archive()?, &place, report)?,
        }
        place.clear()?;
    }
    report.line(format!("\nload average {}", machine::load_average()));
    Ok(())
}

/// A folder for what is measured and thrown away.
#[derive(Debug)]
struct Place(PathBuf);

impl Place {
    fn new(cache: &Cache) -> Result<Place> {
        let place = Place(cache.folder("scratch")?.join("migrate"));
        place.clear()?;
        Ok(place)
    }

    /// Empties it.
    fn clear(&self) -> Result<()> {
        if self.0.exists() {
            fs::remove_dir_all(&self.0)?;
        }
        fs::create_dir_all(&self.0).with_context(|| format!("cannot make {}", self.0.display()))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One of those that copy.
struct Contender<'a> {
    name: &'static str,
    /// In how many rounds it takes part.
    rounds: usize,
    /// The least that the library's rate may be of its, by the issue; `None` for the library.
    asked: Option<f64>,
    prepare: Box<dyn Fn() -> Result<()> + 'a>,
    copy: Box<dyn Fn() -> Result<Option<Done>> + 'a>,
}

/// Runs them in turn, each from an empty page cache into an empty folder, and tells ratios made within a round. The first
/// is the library. Returns its figures.
fn contend(
    contenders: &[Contender<'_>],
    rounds: usize,
    blocks: u64,
    place: &Place,
    report: &mut Report,
) -> Result<Vec<Done>> {
    let mut times: Vec<Vec<Option<f64>>> = Vec::new();
    let mut ours = Vec::new();
    for round in 0..rounds {
        let mut row = vec![None; contenders.len()];
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let Some(one) = contenders.get(index).filter(|one| round < one.rounds) else {
                continue;
            };
            place.clear()?;
            (one.prepare)()?;
            machine::drop_caches()?;
            let began = Instant::now();
            let done = (one.copy)()?;
            row[index] = Some(began.elapsed().as_secs_f64());
            eprintln!("{}: {:.1} s", one.name, began.elapsed().as_secs_f64());
            ours.extend(done);
        }
        times.push(row);
    }
    let copied = Copied::parse(&ours.first().context("there was no round")?.cid)?;
    ensure!(copied.blocks >= blocks, "{} blocks were copied of {blocks}", copied.blocks);
    report.table(&["by", "s (min to max)", "MB/s", "library's rate of its (min to max)", "asked"]);
    for (index, one) in contenders.iter().enumerate() {
        let own: Vec<f64> = times.iter().filter_map(|row| row[index]).collect();
        let ratios: Vec<f64> =
            times.iter().filter_map(|row| Some(row[index]? / row.first().copied()??)).collect();
        let (low, high) = spread(&own);
        let (least, most) = spread(&ratios);
        let ratio = median(ratios);
        let asked = one.asked.map(|asked| format!(">= {asked} {}", verdict(ratio >= asked)));
        report.row(&[
            one.name.to_owned(),
            format!("{:.1} ({low:.1} to {high:.1})", median(own.clone())),
            format!("{:.0}", copied.bytes as f64 / 1e6 / median(own)),
            format!("{ratio:.2} ({least:.2} to {most:.2})"),
            asked.unwrap_or_else(|| "-".into()),
        ]);
    }
    tell_ours(&ours, copied, report);
    Ok(ours)
}

/// What the library used.
fn tell_ours(ours: &[Done], copied: Copied, report: &mut Report) {
    let written =
        median(ours.iter().map(|done| done.written as f64 / copied.bytes as f64).collect());
    let peak = ours.iter().map(|done| done.peak).max().unwrap_or(0);
    report.line(format!(
        "\nThe library, {} blocks, {:.2} GB: {:.2} s of CPU; {written:.3} bytes written for one stored, <= 1.05 {}; peak {} MB, <= 256 {}.",
        copied.blocks,
        copied.bytes as f64 / 1e9,
        median(ours.iter().map(|done| done.cpu.as_secs_f64()).collect()),
        verdict(written <= 1.05),
        megabytes(peak),
        verdict(peak <= PEAK),
    ));
}

fn spread(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(low, high), value| (value.min(low), value.max(high)))
}

/// A flatfs repository.
fn flatfs(
    options: &Options,
    cache: &Cache,
    archive: &Archive,
    place: &Place,
    report: &mut Report,
) -> Result<()> {
    report.heading("migrate: flatfs to hot, all, verified, from an empty page cache");
    let blocks = archive.flatfs.join("blocks");
    let mut contenders = vec![
        library(&archive.flatfs, place),
        Contender {
            name: "cp -a, sync",
            rounds: options.rounds,
            asked: Some(1.0),
            prepare: Box::new(|| Ok(())),
            copy: Box::new(|| copy_and_sync(&["-a"], &blocks, place).map(|()| None)),
        },
        Contender {
            name: "files in inode order into one, synced",
            rounds: options.rounds,
            asked: Some(0.6),
            prepare: Box::new(|| Ok(())),
            copy: Box::new(|| append_all(&blocks, &place.at("one")).map(|()| None)),
        },
    ];
    if options.with(Peer::Kubo) {
        let program = convert::program(cache)?;
        contenders.push(Contender {
            name: "ipfs-ds-convert 0.6.0 to badger",
            // It takes its time.
            rounds: 1,
            asked: Some(1.0),
            prepare: Box::new(|| convert::prepare(&archive.flatfs, &place.at("converted"))),
            copy: Box::new(move || convert::run(&program, &place.at("converted")).map(|()| None)),
        });
    }
    contend(&contenders, options.rounds, archive.mix.blocks(), place, report)?;
    Ok(())
}

/// A Pebble repository.
fn pebble(options: &Options, archive: &Archive, place: &Place, report: &mut Report) -> Result<()> {
    report.heading("migrate: pebble to hot, all, verified, from an empty page cache");
    let repo = archive.pebble()?;
    let store = repo.join("pebbleds");
    let contenders = [
        library(&repo, place),
        Contender {
            name: "cp, sync of the store's files",
            rounds: options.rounds,
            asked: Some(0.6),
            prepare: Box::new(|| Ok(())),
            copy: Box::new(|| copy_and_sync(&["-r"], &store, place).map(|()| None)),
        },
    ];
    contend(&contenders, options.rounds, archive.mix.blocks(), place, report)?;
    Ok(())
}

fn library<'a>(source: &'a Path, place: &'a Place) -> Contender<'a> {
    Contender {
        name: "library",
        rounds: usize::MAX,
        asked: None,
        prepare: Box::new(|| Ok(())),
        copy: Box::new(move || migrate(source, &place.at("store")).map(Some)),
    }
}

fn migrate(source: &Path, store: &Path) -> Result<Done> {
    work::run(&["migrate", &source.display().to_string(), &store.display().to_string()])
}

fn copy_and_sync(flags: &[&str], from: &Path, place: &Place) -> Result<()> {
    let to = place.at("copy");
    let copied =
        Command::new("cp").args(flags).arg("--reflink=never").arg(from).arg(&to).status()?;
    let synced = Command::new("sync").arg("-f").arg(&to).status()?;
    ensure!(copied.success() && synced.success(), "cp or sync failed");
    Ok(())
}

/// The files of a tree in the order of their inodes, of all shard directories at once.
fn in_inode_order(tree: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for shard in fs::read_dir(tree).with_context(|| format!("cannot list {}", tree.display()))? {
        let shard = shard?;
        if !shard.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(shard.path())? {
            let file = file?;
            files.push((file.ino(), file.path()));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Reads every file of a tree and appends it to one file, which is synced.
fn append_all(tree: &Path, to: &Path) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(to)?);
    let mut bytes = Vec::new();
    for path in in_inode_order(tree)? {
        bytes.clear();
        File::open(path)?.read_to_end(&mut bytes)?;
        out.write_all(&bytes)?;
    }
    Ok(out.into_inner()?.sync_all()?)
}

/// What the disk is asked for, less what it takes to list the tree and open each file.
fn requests(archive: &Archive, place: &Place, report: &mut Report) -> Result<()> {
    report.heading("migrate: reads that the disk is asked for, of everybody");
    let blocks = archive.flatfs.join("blocks");
    let count = |work: &mut dyn FnMut() -> Result<()>| {
        place.clear()?;
        machine::drop_caches()?;
        let before = Requests::of(&place.0)?;
        work()?;
        Ok::<_, anyhow::Error>(Requests::of(&place.0)?.since(&before))
    };
    let opened = count(&mut || {
        in_inode_order(&blocks)?.iter().try_for_each(|path| Ok(File::open(path).map(drop)?))
    })?;
    let appended = count(&mut || append_all(&blocks, &place.at("one")))?;
    let copied = count(&mut || migrate(&archive.flatfs, &place.at("store")).map(drop))?;
    let number = archive.mix.blocks() as f64;
    report.table(&["work", "reads", "MB", "reads a block", "beyond metadata", "asked"]);
    for (name, found, asked) in [
        ("files listed and opened: metadata", opened, None),
        ("files in inode order into one", appended, None),
        ("library", copied, Some(1.2)),
    ] {
        let beyond = found.reads.saturating_sub(opened.reads) as f64 / number;
        let asked = asked.map(|asked| format!("<= {asked} {}", verdict(beyond <= asked)));
        report.row(&[
            name.to_owned(),
            found.reads.to_string(),
            format!("{:.0}", found.read_bytes as f64 / 1e6),
            format!("{:.2}", found.reads as f64 / number),
            format!("{beyond:.2}"),
            asked.unwrap_or_else(|| "-".into()),
        ]);
    }
    Ok(())
}

/// Peak memory by number of blocks of 64 bytes.
fn memory(options: &Options, cache: &Cache, place: &Place, report: &mut Report) -> Result<()> {
    report.heading("migrate: peak memory by number of tiny blocks");
    report.table(&["source", "blocks", "s", "peak MB", "asked"]);
    let most: u64 = if options.quick { 200_000 } else { 2_000_000 };
    let mut tell = |name: &str, source: &Path| {
        place.clear()?;
        let done = migrate(source, &place.at("store"))?;
        report.row(&[
            name.to_owned(),
            Copied::parse(&done.cid)?.blocks.to_string(),
            format!("{:.1}", done.took.as_secs_f64()),
            megabytes(done.peak),
            format!("<= 256 {}", verdict(done.peak <= PEAK)),
        ]);
        Ok::<_, anyhow::Error>(())
    };
    for count in [2_000, most / 2, most] {
        tell("CAR", &tiny_car(cache, count)?)?;
    }
    for count in [2_000, most] {
        tell("pebble", &tiny_pebble(cache, count)?)?;
    }
    let repo = Video::open(cache)?.repo(cache, Leaves::Raw)?;
    for count in [1_000, most / 2] {
        tell("flatfs, beside 570 MB of video", &Tree::open(cache, count, &repo)?.blocks)?;
    }
    Ok(())
}

/// What is done again after a kill.
fn resume(archive: &Archive, place: &Place, report: &mut Report) -> Result<()> {
    report.heading("migrate: killed at 90 %, and run again");
    report.table(&["source", "had copied", "copied by the second run", "done again", "asked"]);
    for (name, source) in [("flatfs", archive.flatfs.clone()), ("pebble", archive.pebble()?)] {
        place.clear()?;
        let (source, store) =
            (source.display().to_string(), place.at("store").display().to_string());
        let about = archive.mix.about_bytes();
        let first = work::killed_copy(&source, &store, about / 10 * 9)?;
        let rest = Copied::parse(&work::run(&["migrate", &source, &store])?.cid)?;
        place.clear()?;
        let all = Copied::parse(&work::run(&["migrate", &source, &store])?.cid)?;
        let again = (first.bytes + rest.bytes).saturating_sub(all.bytes) as f64 / all.bytes as f64;
        report.row(&[
            name.to_owned(),
            format!("{} blocks, {} MB", first.blocks, first.bytes / 1_000_000),
            format!("{} blocks, {} MB", rest.blocks, rest.bytes / 1_000_000),
            format!("{:.2} %", again * 100.0),
            format!("<= 2 % {}", verdict(again <= 0.02)),
        ]);
    }
    Ok(())
}
