//! One piece of work of the library in a process of its own, so that its memory and what it writes are counted alone.
//!
//! The program runs itself again with the word `work`; the child prints one line of figures, which [`run`] reads.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use coldfront::migrate::{Event, Job, Pace, Select, Source};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::import::{ImportOptions, Importer, Metadata, Tree};
use rustix::process::Signal;

use crate::fixtures::uploads::{SMALL_FILES, small_name};
use crate::process::field;
use crate::{reclaim, uploads, wide};

/// What a child did.
#[derive(Clone, Debug)]
pub struct Done {
    /// The CID that came out of it.
    pub cid: String,
    /// From the opening of the store to the return of what made all of it durable.
    pub took: Duration,
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// The most memory it had, in bytes.
    pub peak: u64,
    /// Bytes it had the system write to disks.
    pub written: u64,
}

/// Runs a piece of work in a child and waits for it.
pub fn run(words: &[&str]) -> Result<Done> {
    let own = std::env::current_exe().context("this program has no path")?;
    let output = Command::new(own).arg("work").args(words).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "work {}: {}", words.join(" "), error.trim());
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [cid, took, cpu, peak, written] = words.as_slice() else {
        bail!("a child said \"{}\"", text.trim())
    };
    Ok(Done {
        cid: (*cid).to_owned(),
        took: Duration::from_nanos(took.parse()?),
        cpu: Duration::from_nanos(cpu.parse()?),
        peak: peak.parse()?,
        written: written.parse()?,
    })
}

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blocks written.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that the target had.
    pub held: u64,
}

impl Copied {
    /// Reads what a child says in place of a CID.
    pub fn parse(text: &str) -> Result<Copied> {
        let numbers: Vec<u64> = text.split('/').map(str::parse).collect::<Result<_, _>>()?;
        let [blocks, bytes, held] = numbers[..] else { bail!("a child said \"{text}\"") };
        Ok(Copied { blocks, bytes, held })
    }
}

/// A copy in a child that kills itself (`SIGKILL`) as soon as it has handed `bytes` to its writer. What it had by then.
pub fn killed_copy(source: &str, store: &str, bytes: u64) -> Result<Copied> {
    let own = std::env::current_exe().context("this program has no path")?;
    let words = ["work", "migrate", source, store, &bytes.to_string()];
    let output = Command::new(own).args(words).output()?;
    ensure!(!output.status.success(), "the copy ended before {bytes} bytes");
    let text = String::from_utf8_lossy(&output.stdout);
    let at = text.trim().strip_prefix("at ").with_context(|| {
        format!("the copy failed: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    Copied::parse(at)
}

/// The child's side.
pub fn main(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["uploads", folder, most] => return uploads::run(folder.as_ref(), most.parse()?),
        ["wide-make", store, keys, files] => {
            return wide::make(store.as_ref(), keys.parse()?, files.parse()?);
        }
        ["wide-import", store, source] => return wide::import(store.as_ref(), source.as_ref()),
        ["reclaim", store, count] => return reclaim::run(store.as_ref(), count.parse()?),
        ["wide-read", store, cid] => return wide::read(store.as_ref(), cid),
        _ => {}
    }
    let before = crate::process::Usage::of(std::process::id())?;
    let wrote = written()?;
    let began = Instant::now();
    let cid = match words.as_slice() {
        ["import", source, store] => import(source.as_ref(), store.as_ref(), true)?,
        ["import-upload", source, store] => import(source.as_ref(), store.as_ref(), false)?,
        ["migrate", source, store] => migrate(source, store, u64::MAX)?,
        ["migrate", source, store, until] => migrate(source, store, until.parse()?)?,
        ["folder", count, files, store] => folder(count.parse()?, files.as_ref(), store.as_ref())?,
        _ => bail!("there is no such work: {}", words.join(" ")),
    };
    let took = began.elapsed();
    let cpu = crate::process::Usage::of(std::process::id())?.cpu_since(&before);
    let peak = crate::process::Memory::of(std::process::id())?.peak;
    println!("{cid} {} {} {peak} {}", took.as_nanos(), cpu.as_nanos(), written()? - wrote);
    Ok(())
}

/// Bytes that this process had the system write to disks.
pub(crate) fn written() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io").context("this is Linux")?;
    field(&io, "write_bytes:").context("the kernel counts writes")
}

/// A file into a new store, durable at the end: in bulk, or as uploads are.
fn import(source: &Path, store: &Path, in_bulk: bool) -> Result<String> {
    let hot = HotStore::open(&HotOptions::new(store))?;
    let into: Arc<dyn coldfront::BlockStore> =
        if in_bulk { Arc::new(hot.bulk("bench")) } else { Arc::new(hot.leased()) };
    let mut importer = Importer::new(&ImportOptions::cid_v1(), into)?;
    let file = importer.file(File::open(source)?, &Metadata::NONE)?;
    importer.finish()?;
    Ok(file.cid.to_string())
}

/// Everything of a source into a store that is there or not, with the defaults of the program `coldfront-migrate`; this
/// process ends where `until` bytes are copied.
fn migrate(source: &str, store: &str, until: u64) -> Result<String> {
    let source = Source::open(source, false)?;
    let hot = HotStore::open(&HotOptions::new(store))?;
    let job = Job { select: Select::All, pace: Pace::default() };
    let report = coldfront::migrate::run(&source, &hot, job, &mut |event| {
        match event {
            Event::Progress(at) if at.bytes >= until => {
                println!("at {}/{}/{}", at.blocks, at.bytes, at.held);
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    ensure!(!report.has_faults(), "{report}");
    Ok(format!("{}/{}/{}", report.blocks, report.bytes, report.held))
}

/// `count` entries in one directory of a new store: the small files, and again under other names.
fn folder(count: u64, files: &Path, store: &Path) -> Result<String> {
    let hot = HotStore::open(&HotOptions::new(store))?;
    let mut importer = Importer::new(&ImportOptions::cid_v1(), Arc::new(hot.bulk("bench")))?;
    let mut tree = Tree::new();
    for number in 0..count {
        let file = files.join(small_name(number % SMALL_FILES));
        let file = importer.file(File::open(file)?, &Metadata::NONE)?;
        tree.insert(small_name(number).as_bytes(), &file)?;
    }
    let root = tree.finish(&mut importer, &mut |_, _| ())?;
    importer.finish()?;
    Ok(root.cid.to_string())
}
