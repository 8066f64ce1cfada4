//! Reads one content path from a Kubo repository, in place: a file's bytes go to standard output, a
//! directory is listed, a symbolic link shows its target.
//!
//! ```text
//! cargo run --example read_archive -- /srv/ipfs /ipfs/bafy.../film/playlist.m3u8
//! ```
//!
//! Nothing of the archive is listed or written, whatever its size; every block is checked against its CID.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use coldfront::{ArchiveOptions, ContentPath, Node, Repo, RepoOptions, Verify};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [archive, path] = arguments.as_slice() else {
        eprintln!("usage: read_archive ARCHIVE /ipfs/CID/name/...");
        return ExitCode::from(2);
    };
    match show(archive, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", sentence(&*error));
            ExitCode::FAILURE
        }
    }
}

fn show(archive: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let repo = Repo::open(&RepoOptions {
        archives: vec![ArchiveOptions::new(archive)],
        verify: Verify::FirstRead,
        ..RepoOptions::default()
    })?;
    let path: ContentPath = path.parse()?;
    let node = repo.resolve(&path)?.node;
    let mut out = io::stdout().lock();
    match &*node {
        Node::File(_) => {
            for bytes in repo.read(&node, ..) {
                out.write_all(&bytes?)?;
            }
        }
        Node::Directory(_) | Node::Shard(_) => {
            for entry in repo.list(&node)? {
                let entry = entry?;
                writeln!(out, "{} {}", entry.cid, String::from_utf8_lossy(&entry.name))?;
            }
        }
        Node::Symlink(link) => writeln!(out, "-> {}", String::from_utf8_lossy(link.target()))?,
        other => return Err(format!("{path} is {other:?}, which this program cannot show").into()),
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
