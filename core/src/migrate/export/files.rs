//! Files that appear whole or not at all, and what makes them durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::error::ExportError;

/// Writes a file under another name, syncs it and puts it in place. Its name is durable after a sync of the folder.
pub(super) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), ExportError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    remove_if_there(new)?;
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(new, path)
    };
    write().map_err(ExportError::io("writing", path))
}

/// Syncs the entries of a folder.
pub(super) fn sync_folder(path: &Path) -> Result<(), ExportError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(ExportError::io("syncing", path))
}

/// Makes everything durable that was written to the file system on which `path` lies. For thousands of files that is one
/// wait instead of thousands.
pub(super) fn sync_file_system(path: &Path) -> Result<(), ExportError> {
    File::open(path)
        .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
        .map_err(ExportError::io("syncing the file system of", path))
}

/// Makes a folder if there is none.
pub(super) fn ensure_folder(path: &Path) -> Result<(), ExportError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done.map_err(ExportError::io("making the folder", path)),
    }
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), ExportError> {
    ignore_absent(fs::remove_file(path)).map_err(ExportError::io("removing", path))
}

pub(super) fn remove_folder_if_there(path: &Path) -> Result<(), ExportError> {
    ignore_absent(fs::remove_dir_all(path)).map_err(ExportError::io("removing", path))
}

fn ignore_absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The file's bytes, `None` when there is none. Files larger than `most` are an error: none of ours are.
pub(super) fn read_if_there(path: &Path, most: u64) -> Result<Option<Vec<u8>>, ExportError> {
    let len = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(ExportError::io("reading", path))?.len(),
    };
    if len > most {
        let what = format!("it has {len} bytes, expected at most {most}");
        return Err(ExportError::Damaged { path: path.to_owned(), what });
    }
    fs::read(path).map(Some).map_err(ExportError::io("reading", path))
}
