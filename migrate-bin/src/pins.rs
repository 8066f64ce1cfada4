//! `pins`: import, list, export and check pin sets without moving blocks.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use coldfront::migrate::pin_lists::{PinList, PinListOptions, write_cluster_pin, write_text_pin};
use coldfront::migrate::pins::{Checked, Depth, Imported, check, import, listed};
use serde_json::json;

use crate::show::Show;
use crate::store::Opened;
use crate::{Outcome, units};

/// Work on the pins of a hot store without moving blocks: for archives that are served in place.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take over the pins of lists: CIDs, `ipfs pin ls` as text or JSON, exports of IPFS Cluster of any age.
    ///
    /// Blocks stay where they are. What lies below a root comes into the index by `pins check`, or while a gateway serves.
    Import {
        #[command(flatten)]
        store: Store,
        /// The lists; - for standard input.
        #[arg(required = true)]
        lists: Vec<PathBuf>,
        /// Take over only what a cluster allocated to the peer of this ID, or to all.
        #[arg(long, value_name = "ID")]
        peer: Option<String>,
    },
    /// Write the pins to standard output.
    List {
        #[command(flatten)]
        store: Store,
        /// The form.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        form: Form,
    },
    /// Write the pins into a file, as `ipfs-cluster-service state import` reads them unless another form is asked for.
    Export {
        #[command(flatten)]
        store: Store,
        /// The file.
        #[arg(long)]
        to: PathBuf,
        /// The form.
        #[arg(long, value_enum, default_value_t = Form::Cluster)]
        form: Form,
    },
    /// Say which pins are whole. Roots that were taken over come into the index on the way.
    Check {
        #[command(flatten)]
        store: Store,
        /// Read and hash every block, in place of following links and looking leaves up.
        #[arg(long)]
        deep: bool,
    },
}

#[derive(Debug, Args)]
struct Store {
    /// The folder of the hot store. No other program may have it open.
    #[arg(long)]
    hot: PathBuf,
    /// An archive below it: a repository of Kubo's or its folder of blocks. May be given more than once.
    #[arg(long)]
    archive: Vec<PathBuf>,
    /// Memory of the hot store, such as 128MiB.
    #[arg(long, default_value = "128MiB", value_parser = units::bytes)]
    memory: u64,
    /// The report, and progress, as objects of JSON.
    #[arg(long)]
    json: bool,
}

/// A form of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// As `ipfs pin ls --names` writes it.
    Text,
    /// A CID a line.
    Cids,
    /// As `ipfs-cluster-service state export` writes it.
    Cluster,
}

pub(crate) fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    match &flags.what {
        What::Import { store, lists, peer } => import_lists(store, lists, peer.as_deref()),
        What::List { store, form } => {
            let opened = store.open(false)?;
            write(&opened, *form, std::io::stdout().lock())?;
            Ok(Outcome::Done)
        }
        What::Export { store, to, form } => export(store, to, *form),
        What::Check { store, deep } => check_pins(store, *deep),
    }
}

impl Store {
    fn open(&self, create: bool) -> anyhow::Result<Opened> {
        Opened::open(&self.hot, &self.archive, self.memory, create)
    }
}

fn import_lists(store: &Store, lists: &[PathBuf], peer: Option<&str>) -> anyhow::Result<Outcome> {
    let opened = store.open(true)?;
    let show = Show::new(store.json)?;
    let mut worst = Outcome::Done;
    for path in lists {
        let input: Box<dyn Read> = match path == Path::new("-") {
            true => Box::new(std::io::stdin()),
            false => {
                let file = File::open(path);
                Box::new(file.with_context(|| format!("cannot open {}", path.display()))?)
            }
        };
        let mut options = PinListOptions::default();
        options.peer = peer.map(str::to_owned);
        let mut list = PinList::new(input, options);
        let done = import(&opened.pins, &opened.below, &mut list, &mut |_| stop(&show))?;
        tell_import(path, &done, store.json);
        if done.stopped {
            return Ok(Outcome::Stopped);
        }
        if done.missing > 0 {
            worst = Outcome::WithFaults;
        }
    }
    Ok(worst)
}

fn stop(show: &Show) -> ControlFlow<()> {
    if show.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn tell_import(list: &Path, done: &Imported, as_json: bool) {
    if as_json {
        let skipped: Vec<_> = done
            .list
            .passed_over
            .iter()
            .map(|(reason, lines)| {
                json!({"reason": reason.to_string(), "count": lines.count, "lines": lines.first})
            })
            .collect();
        let notes: Vec<_> = done
            .list
            .noted
            .iter()
            .map(|(note, lines)| {
                json!({"note": note.to_string(), "count": lines.count, "lines": lines.first})
            })
            .collect();
        let missing: Vec<_> = done
            .missing_roots
            .iter()
            .map(|(line, cid)| json!({"line": line, "cid": cid.to_string()}))
            .collect();
        let report = json!({
            "list": list.display().to_string(),
            "recursive": done.list.recursive,
            "direct": done.list.direct,
            "added": done.added,
            "changed": done.changed,
            "there": done.there,
            "missing": done.missing,
            "missing_roots": missing,
            "skipped": skipped,
            "notes": notes,
            "stopped": done.stopped,
        });
        println!("{report}");
        return;
    }
    println!("{}: {}", list.display(), done.list);
    println!(
        "{} added, {} changed, {} were there, {} have no root here",
        done.added, done.changed, done.there, done.missing
    );
    for (line, cid) in &done.missing_roots {
        println!("line {line}: {cid} is not held");
    }
}

fn export(store: &Store, to: &Path, form: Form) -> anyhow::Result<Outcome> {
    let opened = store.open(false)?;
    let mut new = to.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let file = File::create(&new).with_context(|| format!("cannot write {}", new.display()))?;
    let count = write(&opened, form, &file)?;
    file.sync_all()?;
    std::fs::rename(&new, to).with_context(|| format!("cannot write {}", to.display()))?;
    match store.json {
        true => println!("{}", json!({"pins": count})),
        false => println!("{count} pins written"),
    }
    Ok(Outcome::Done)
}

/// Writes the pins; a reader that has seen enough ends it.
fn write(opened: &Opened, form: Form, out: impl Write) -> anyhow::Result<u64> {
    let (mut out, mut count) = (BufWriter::new(out), 0);
    for pin in opened.pins.list(None) {
        let pin = listed(&opened.pins, pin?)?;
        match form {
            Form::Text => write_text_pin(&mut out, &pin)?,
            Form::Cids => writeln!(out, "{}", pin.cid)?,
            Form::Cluster => write_cluster_pin(&mut out, &pin)?,
        }
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

fn check_pins(store: &Store, deep: bool) -> anyhow::Result<Outcome> {
    let opened = store.open(false)?;
    let show = Show::new(store.json)?;
    let depth = if deep { Depth::Blocks } else { Depth::Index };
    let done = check(&opened.pins, &opened.below, depth, &mut |_| stop(&show))?;
    tell_check(&done, store.json);
    Ok(match (done.stopped, done.broken) {
        (true, _) => Outcome::Stopped,
        (false, 0) => Outcome::Done,
        (false, _) => Outcome::WithFaults,
    })
}

fn tell_check(done: &Checked, as_json: bool) {
    if as_json {
        let broken: Vec<_> = done
            .broken_roots
            .iter()
            .map(|(cid, what)| json!({"cid": cid.to_string(), "what": what}))
            .collect();
        let report = json!({
            "whole": done.whole,
            "broken": done.broken,
            "broken_roots": broken,
            "stopped": done.stopped,
        });
        println!("{report}");
        return;
    }
    println!("{} pins are whole, {} are not", done.whole, done.broken);
    done.broken_roots.iter().for_each(|(cid, what)| println!("{cid}: {what}"));
}
