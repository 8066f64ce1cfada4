//! A service that is not coldfront's: it reads a piece of a file out of a Kubo repository, and knows nothing of HTTP.

use coldfront::{ArchiveOptions, Node, Repo, RepoOptions};
use std::error::Error;
use std::ops::Range;
use std::path::Path;

/// The bytes `range` of the file at `path` (`/ipfs/CID/…`) in the Kubo repository `repo`.
///
/// Opens the repository anew on each call, as a command-line tool would.
pub fn piece(repo: &Path, path: &str, range: Range<u64>) -> Result<Vec<u8>, Box<dyn Error>> {
    let repo = Repo::open(&RepoOptions {
        archives: vec![ArchiveOptions::new(repo)],
        ..RepoOptions::default()
    })?;
    let found = repo.resolve(&path.parse()?)?;
    let Node::File(_) = &*found.node else {
        return Err(format!("{path} is no file").into());
    };
    let mut bytes = Vec::new();
    for part in repo.read(&found.node, range) {
        bytes.extend_from_slice(&part?);
    }
    Ok(bytes)
}

/// The names in the directory at `path`, in the order of the repository.
pub fn names(repo: &Path, path: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let repo = Repo::open(&RepoOptions {
        archives: vec![ArchiveOptions::new(repo)],
        ..RepoOptions::default()
    })?;
    let found = repo.resolve(&path.parse()?)?;
    repo.list(&found.node)?
        .map(|entry| Ok(String::from_utf8_lossy(&entry?.name).into_owned()))
        .collect()
}
