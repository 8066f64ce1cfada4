//! `hot`: what it costs to get content into the hot store, beside a copy of the same bytes and Kubo's stores.
//!
//! The library works in a process of its own; Kubo is a daemon that is asked over its RPC, since it has no other way in.
//! So Kubo pays for HTTP on the same cores, which its figures hold.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::fixtures::Cache;
use crate::fixtures::uploads::{BIG_BYTES, SMALL_FILES, Uploads};
use crate::machine;
use crate::options::{Options, Peer};
use crate::report::{Report, megabytes, verdict};
use crate::rounds::median;
use crate::server::Server;
use crate::server::kubo::{self, Store};
use crate::work::{self, Done};

/// Entries of the larger of two imports, whose difference tells what one more entry costs in memory: the same files
/// under other names, so that the store takes nothing more.
const MORE_ENTRIES: u64 = 3 * SMALL_FILES;

/// What a server or a child did in one round.
#[derive(Clone, Copy, Debug)]
struct Round {
    took: f64,
    cpu: f64,
    peak: u64,
    written: u64,
}

impl From<&Done> for Round {
    fn from(done: &Done) -> Self {
        let (took, cpu) = (done.took.as_secs_f64(), done.cpu.as_secs_f64());
        Round { took, cpu, peak: done.peak, written: done.written }
    }
}

/// Measures the imports.
pub fn run(options: &Options, cache: &Cache, report: &mut Report) -> Result<()> {
    let uploads = Uploads::open(cache)?;
    let place = Place::new(cache)?;
    import(options, &uploads, &place, report)?;
    folder(options, &uploads, &place, report)
}

/// A folder for what is measured and thrown away.
#[derive(Debug)]
struct Place(PathBuf);

impl Place {
    fn new(cache: &Cache) -> Result<Place> {
        let place = Place(cache.folder("scratch")?.join("hot"));
        place.clear()?;
        Ok(place)
    }

    fn clear(&self) -> Result<()> {
        if self.0.exists() {
            fs::remove_dir_all(&self.0)?;
        }
        fs::create_dir_all(&self.0).with_context(|| format!("cannot make {}", self.0.display()))
    }

    /// The name of something in it.
    fn at(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One file of 1 GiB, in turn by all; ratios are made within a round.
fn import(options: &Options, uploads: &Uploads, place: &Place, report: &mut Report) -> Result<()> {
    let source = uploads.big.display().to_string();
    let mut names = vec!["cp, sync".to_owned(), "library, bulk".into(), "library, upload".into()];
    let stores = if options.with(Peer::Kubo) { &Store::ALL[..] } else { &[] };
    names.extend(stores.iter().map(|store| store.name().to_owned()));
    let mut rounds: Vec<Vec<Round>> = Vec::new();
    let mut cids = Vec::new();
    report.heading("hot: one file of 1 GiB, leaves of 256 KiB, CIDv1, durable at the end");
    for round in 0..options.rounds {
        let mut row = Vec::new();
        read_through(&uploads.big)?;
        place.clear()?;
        row.push(copy(&uploads.big, &place.at("copy"))?);
        for work in ["import", "import-upload"] {
            place.clear()?;
            let done = work::run(&[work, &source, &place.at("store")])?;
            row.push(Round::from(&done));
            cids.push(done.cid);
        }
        // Kubo takes its time, and scatters less: two rounds of it tell.
        for store in stores.iter().filter(|_| round < 2) {
            place.clear()?;
            let (took, cid) = upload(*store, place, &uploads.big)?;
            row.push(took);
            cids.push(cid);
        }
        rounds.push(row);
    }
    ensure!(cids.windows(2).all(|two| two[0] == two[1]), "their CIDs differ: {cids:?}");
    report.table(&[
        "by",
        "MB/s",
        "rate of cp's (min to max)",
        "CPU s",
        "written / stored",
        "peak MB",
        "asked",
    ]);
    for (column, name) in names.iter().enumerate() {
        let own: Vec<_> =
            rounds.iter().filter_map(|row| Some((*row.get(column)?, *row.first()?))).collect();
        let over =
            |value: &dyn Fn(&(Round, Round)) -> f64| own.iter().map(value).collect::<Vec<_>>();
        let ratios = over(&|(one, copy)| copy.took / one.took);
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        let ratio = median(ratios);
        let written = median(over(&|(one, _)| one.written as f64 / BIG_BYTES as f64));
        let peak = own.iter().map(|(one, _)| one.peak).max().unwrap_or(0);
        let asked = match column {
            1 | 2 => format!(
                ">= 0.6 {}, <= 1.05 {}, <= 150 MB {}",
                verdict(ratio >= 0.6),
                verdict(written <= 1.05),
                verdict(peak <= 150 << 20)
            ),
            _ => "-".into(),
        };
        report.row(&[
            name.clone(),
            format!("{:.0}", BIG_BYTES as f64 / 1e6 / median(over(&|(one, _)| one.took))),
            format!("{ratio:.2} ({low:.2} to {high:.2})"),
            format!("{:.2}", median(over(&|(one, _)| one.cpu))),
            format!("{written:.3}"),
            megabytes(peak),
            asked,
        ]);
    }
    told(options, report);
    Ok(())
}

/// Many small files in one directory.
fn folder(options: &Options, uploads: &Uploads, place: &Place, report: &mut Report) -> Result<()> {
    let small = uploads.small.display().to_string();
    report.heading("hot: 100,000 files of 3 KB in one directory");
    report.table(&["by", "files/s", "CPU s", "peak MB", "bytes of memory an entry more"]);
    place.clear()?;
    let all = work::run(&["folder", &MORE_ENTRIES.to_string(), &small, &place.at("all")])?;
    let mut best: f64 = 0.0;
    let mut ours = Vec::new();
    for _ in 0..options.rounds.min(3) {
        place.clear()?;
        ours.push(work::run(&["folder", &SMALL_FILES.to_string(), &small, &place.at("store")])?);
    }
    let rate = |took: f64| SMALL_FILES as f64 / took;
    let own = median(ours.iter().map(|done| rate(done.took.as_secs_f64())).collect());
    let peak = ours.iter().map(|done| done.peak).max().unwrap_or(0);
    let more = all.peak.saturating_sub(peak) as f64 / (MORE_ENTRIES - SMALL_FILES) as f64;
    report.row(&[
        "library, bulk".to_owned(),
        format!("{own:.0}"),
        format!("{:.2}", median(ours.iter().map(|done| done.cpu.as_secs_f64()).collect())),
        megabytes(peak),
        format!("{more:.0}, <= 200 {}", verdict(more <= 200.0)),
    ]);
    if options.with(Peer::Kubo) {
        for store in [Store::Pebble, Store::Flatfs] {
            place.clear()?;
            let (round, cid) = upload(store, place, &uploads.small)?;
            ensure!(cid == ours[0].cid, "{}: {cid}, the library {}", store.name(), ours[0].cid);
            best = best.max(rate(round.took));
            report.row(&[
                store.name().to_owned(),
                format!("{:.0}", rate(round.took)),
                format!("{:.2}", round.cpu),
                megabytes(round.peak),
                "-".into(),
            ]);
        }
        report.line(format!(
            "\n{:.1} of Kubo's better one, >= 3 {}",
            own / best,
            verdict(own >= 3.0 * best)
        ));
    }
    told(options, report);
    Ok(())
}

fn told(options: &Options, report: &mut Report) {
    report.line(format!("\n{} rounds; load average {}", options.rounds, machine::load_average()));
}

/// `cp` and `sync` of one file.
fn copy(from: &Path, to: &str) -> Result<Round> {
    let began = Instant::now();
    let copied = Command::new("cp").arg("--reflink=never").arg(from).arg(to).status()?;
    let synced = Command::new("sync").arg(to).status()?;
    let took = began.elapsed().as_secs_f64();
    ensure!(copied.success() && synced.success(), "cp or sync failed");
    Ok(Round { took, cpu: 0.0, peak: 0, written: fs::metadata(to)?.len() })
}

/// Brings a file into the page cache.
fn read_through(path: &Path) -> Result<()> {
    std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
    Ok(())
}

/// One upload into a new repository of Kubo: a file by its RPC, a folder by its command line, which asks the daemon.
fn upload(store: Store, place: &Place, what: &Path) -> Result<(Round, String)> {
    let repo = PathBuf::from(place.at("repo"));
    let (launch, api) = kubo::launch_rpc(store, &repo, &place.0)?;
    let server: Server = launch.start()?;
    let (before, wrote) = (server.usage()?, server.written()?);
    let began = Instant::now();
    let cid = if what.is_dir() {
        let what = what.to_str().context("Kubo is given names as text")?;
        kubo::run(&repo, &["add", "-r", "-Q", "--cid-version=1", "--progress=false", what])?
    } else {
        let url = format!("http://{api}/api/v0/add?cid-version=1&quieter=true&progress=false");
        let form = format!("file=@{}", what.display());
        let output = Command::new("curl").args(["-sS", "-F", &form, &url]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let hash = text.split("\"Hash\":\"").nth(1).and_then(|rest| rest.split('"').next());
        hash.with_context(|| format!("Kubo said {text}"))?.to_owned()
    };
    let took = began.elapsed();
    let cpu: Duration = server.usage()?.cpu_since(&before);
    let round = Round {
        took: took.as_secs_f64(),
        cpu: cpu.as_secs_f64(),
        peak: server.memory()?.peak,
        written: server.written()?.saturating_sub(wrote),
    };
    Ok((round, cid))
}
