//! A service with a store inside: it keeps documents, reads parts of them, lets go of them, and collects garbage on
//! the side. Here the service is a loop over standard input; put your own protocol in its place.
//!
//! ```text
//! cargo run --example embed_in_a_service -- FOLDER [ARCHIVE]...
//! add PATH          stores and pins a file, prints its CID
//! get CID FROM TO   prints bytes FROM to TO of a file, wherever it lies
//! ls                prints what is pinned
//! rm CID            unpins a file
//! gc                collects garbage at once and gives its space back
//! ```
//!
//! Whatever lies in an archive can be read, and pinned, as if it had been added.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::NewPin;
use coldfront::store::hot::{DEFAULT_GARBAGE_RATIO, HotOptions};
use coldfront::unixfs::import::{ImportOptions, Importer, Metadata};
use coldfront::{ArchiveOptions, Cid, ContentPath, Repo, RepoOptions, StoreError, parse_cid};

/// Between two collections.
const EVERY: Duration = Duration::from_secs(3600);

/// Slow enough that whoever reads meanwhile does not notice.
const BLOCKS_PER_SECOND: u64 = 50_000;

/// What the service keeps. Cheap to clone: one for each thread or connection.
#[derive(Clone)]
struct Documents {
    repo: Repo,
}

impl Documents {
    fn open(folder: &str, archives: &[String]) -> Result<Documents, StoreError> {
        let repo = Repo::open(&RepoOptions {
            hot: Some(HotOptions::new(folder)),
            archives: archives.iter().map(ArchiveOptions::new).collect(),
            ..RepoOptions::default()
        })?;
        Ok(Documents { repo })
    }

    /// Stores content from any reader, in memory that does not grow with it. It survives a power cut from here on.
    fn add(&self, content: impl io::Read, name: &str) -> Result<Cid, Box<dyn Error>> {
        let (Some(hot), Some(pins)) = (self.repo.hot(), self.repo.pins()) else {
            return Err("there is no hot store to write to".into());
        };
        // Until the pin is made, the lease keeps these blocks from a collection that runs meanwhile.
        let store = Arc::new(hot.leased());
        let mut importer = Importer::new(&ImportOptions::cid_v1(), store.clone())?;
        let cid = importer.file(content, &Metadata::NONE)?.cid;
        importer.finish()?;
        pins.add(&NewPin { name: name.into(), ..NewPin::new(cid) })?;
        drop(store);
        Ok(cid)
    }

    /// Writes a range of a file to `out`, leaf by leaf.
    fn read(
        &self,
        cid: Cid,
        from: u64,
        to: u64,
        out: &mut impl Write,
    ) -> Result<(), Box<dyn Error>> {
        let found = self.repo.resolve(&ContentPath::new(cid))?;
        for bytes in self.repo.read(&found.node, from..to) {
            out.write_all(&bytes?)?;
        }
        Ok(())
    }

    fn remove(&self, cid: &Cid) -> Result<(), Box<dyn Error>> {
        Ok(self.repo.pins().ok_or("there are no pins")?.remove(cid, true)?)
    }

    fn list(&self, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
        for pin in self.repo.pins().ok_or("there are no pins")?.list(None) {
            let pin = pin?;
            writeln!(out, "{} {}", pin.cid, pin.name)?;
        }
        Ok(())
    }

    /// Removes what nothing keeps, beside readers and writers, then gives the space back where that pays.
    fn collect(&self) -> Result<String, Box<dyn Error>> {
        let (Some(hot), Some(pins)) = (self.repo.hot(), self.repo.pins()) else {
            return Ok("nothing to collect".into());
        };
        let options = CollectOptions {
            blocks_per_second: Some(BLOCKS_PER_SECOND),
            ..CollectOptions::default()
        };
        let before = hot.space()?;
        let done = collect(pins, &options, &mut |_| ControlFlow::Continue(()))?;
        let after = hot.reclaim(DEFAULT_GARBAGE_RATIO)?;
        let freed = before.blobs.saturating_sub(after.blobs);
        Ok(format!("{} blocks of {} bytes removed, {freed} bytes freed", done.blocks, done.bytes))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((folder, archives)) = arguments.split_first() else {
        eprintln!("usage: embed_in_a_service FOLDER [ARCHIVE]...");
        return ExitCode::from(2);
    };
    let documents = match Documents::open(folder, archives) {
        Ok(documents) => documents,
        Err(error) => {
            eprintln!("{}", sentence(&error));
            return ExitCode::FAILURE;
        }
    };
    let (stop, stopped) = mpsc::channel::<()>();
    let janitor = std::thread::spawn({
        let documents = documents.clone();
        move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                match documents.collect() {
                    Ok(said) => eprintln!("{said}"),
                    Err(error) => eprintln!("no garbage was collected: {}", sentence(&*error)),
                }
            }
        }
    });
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Err(error) = serve(&documents, &words) {
            eprintln!("{}", sentence(&*error));
        }
    }
    drop(stop);
    // The store is closed when its last user is gone.
    if janitor.join().is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn serve(documents: &Documents, words: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    match words {
        [] => {}
        ["add", path] => writeln!(out, "{}", documents.add(File::open(path)?, path)?)?,
        ["get", cid, from, to] => {
            documents.read(parse_cid(cid)?, from.parse()?, to.parse()?, &mut out)?;
        }
        ["ls"] => documents.list(&mut out)?,
        ["rm", cid] => documents.remove(&parse_cid(cid)?)?,
        ["gc"] => writeln!(out, "{}", documents.collect()?)?,
        _ => return Err("expected add PATH, get CID FROM TO, ls, rm CID or gc".into()),
    }
    Ok(out.flush()?)
}

/// An error prints one layer; its sources have the rest.
fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
