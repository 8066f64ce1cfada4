//! `release SOURCE --to HOT`: which files of a source may go.

use std::fs::File;
use std::io::{BufReader, BufWriter, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use coldfront::kubo::{Repository, RepositoryOptions};
use coldfront::migrate::Root;
use coldfront::migrate::pin_lists::{Listed, PinList, PinListOptions, Reason};
use coldfront::migrate::release::{
    ReleaseError, ReleaseOptions, Released, left_behind, release, tree_of,
};
use coldfront::pin::PinMode;
use serde_json::json;

use crate::show::Show;
use crate::store::Opened;
use crate::{Outcome, units};

/// Write the paths of a repository's block files that are of no more use, each with a zero byte behind it: for machines that
/// cannot hold everything twice. Removes nothing: `xargs -0 rm --` does.
///
/// A file is named when the hot store holds its block, which was read and hashed for it, and when no root that stays behind
/// needs it: pins of the repository that the hot store has not pinned as firmly, its MFS if that is another there, and the
/// roots of --left-behind. Blocks that nothing keeps go the same way: run no garbage collection of the hot store while
/// something is still to be pinned there. The repository's Kubo has to be stopped.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The repository whose blocks were copied. They lie in flatfs.
    source: PathBuf,
    /// The folder of the hot store. No other program may have it open.
    #[arg(long)]
    to: PathBuf,
    /// Where the paths go; standard output by default.
    #[arg(long)]
    list: Option<PathBuf>,
    /// A list of roots that stay behind as well: CIDs, `ipfs pin ls`, or an export of IPFS Cluster.
    #[arg(long, value_name = "FILE")]
    left_behind: Vec<PathBuf>,
    /// A folder for temporary files, 16 bytes for each block that stays needed.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Memory of the hot store, such as 128MiB.
    #[arg(long, default_value = "128MiB", value_parser = units::bytes)]
    memory: u64,
    /// The report as an object of JSON, to standard error.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let mut out: Box<dyn Write> = match &flags.list {
        Some(path) => Box::new(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        ),
        None if std::io::stdout().is_terminal() => {
            bail!("the list is for programs; give --list FILE, or pipe it into: xargs -0 rm --")
        }
        None => Box::new(std::io::stdout()),
    };
    let repository = Repository::open(&RepositoryOptions::new(&flags.source))?;
    let opened = Opened::open(&flags.to, &[], flags.memory, false)?;
    let show = Show::new(flags.json)?;
    let scratch = flags.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let options = ReleaseOptions {
        scratch: &scratch,
        older_names: repository.version() < FIRST_WITH_MULTIHASHES,
    };
    let mut left = left_behind(&repository, &opened.pins)?
        .chain(flags.left_behind.iter().flat_map(|list| listed(list.clone())));
    let mut buffered = BufWriter::new(&mut out);
    let done = release(
        tree_of(&repository)?,
        &opened.pins,
        &mut left,
        &options,
        &mut buffered,
        &mut |_| {
            if show.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        },
    )?;
    buffered.flush().context("the list could not be written to its end")?;
    tell(&done, flags.json);
    Ok(match (done.stopped, done.bad + done.missing_below) {
        (true, _) => Outcome::Stopped,
        (false, 0) => Outcome::Done,
        (false, _) => Outcome::WithFaults,
    })
}

/// The repository version since which blocks lie under their multihashes.
const FIRST_WITH_MULTIHASHES: u32 = 12;

/// The roots of a list. What is no pin in it ends the work: something would go that is needed.
fn listed(path: PathBuf) -> Box<dyn Iterator<Item = Result<Root, ReleaseError>>> {
    let io = {
        let path = path.clone();
        move |source| ReleaseError::Io { path: path.clone(), source }
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return Box::new(std::iter::once(Err(io(error)))),
    };
    let entries = PinList::new(BufReader::new(file), PinListOptions::default());
    Box::new(entries.filter_map(move |entry| {
        Some(match entry {
            Ok(Listed::Pin(pin)) => {
                let recursive = pin.mode == PinMode::Recursive;
                Ok(Root { cid: pin.cid, recursive, name: pin.name })
            }
            // It hangs below a root that is listed as well.
            Ok(Listed::Skipped(skipped)) if skipped.reason == Reason::Indirect => return None,
            Ok(Listed::Skipped(skipped)) => {
                let what = format!("line {}: {}: {:?}", skipped.line, skipped.reason, skipped.text);
                Err(io(std::io::Error::new(std::io::ErrorKind::InvalidData, what)))
            }
            Err(error) => Err(io(error)),
        })
    }))
}

fn tell(done: &Released, as_json: bool) {
    if as_json {
        let bad: Vec<_> = done.bad_blocks.iter().map(ToString::to_string).collect();
        let report = json!({
            "files": done.files,
            "bytes": done.bytes,
            "needed": done.needed,
            "not_there": done.not_there,
            "bad": done.bad,
            "bad_blocks": bad,
            "foreign": done.foreign,
            "roots_left_behind": done.roots,
            "missing_below": done.missing_below,
            "stopped": done.stopped,
        });
        eprintln!("{report}");
        return;
    }
    eprintln!("may go           {} files, {}", done.files, units::shown(done.bytes));
    eprintln!("needed           {} files, by {} roots that stay behind", done.needed, done.roots);
    eprintln!("not in target    {} files", done.not_there);
    eprintln!("bad in target    {} files", done.bad);
    eprintln!("no blocks        {} files", done.foreign);
    if done.missing_below > 0 {
        eprintln!(
            "{} blocks below roots that stay behind are nowhere; what lies below those cannot be known",
            done.missing_below
        );
    }
    done.bad_blocks.iter().for_each(|cid| eprintln!("{cid} is bad in the target"));
}
