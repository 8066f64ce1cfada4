//! Files of a store: opened for reading only, never created, locked or moved. Knows names and bytes, no formats.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::behind::{Behind, IsCached};
use crate::error::{Error, Fault};

/// A regular file, open for reading.
#[derive(Debug)]
pub(crate) struct SourceFile {
    file: File,
    path: PathBuf,
    len: u64,
    behind: Option<Behind>,
}

impl SourceFile {
    /// Opens `path`. One `open` and one `fstat`. A pipe or device in its place is an error and does not block.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        SourceFile::open_as(path, None)
    }

    /// Opens `path`; where `is_cached` can tell what the page cache holds, reading leaves there what was there before.
    pub(crate) fn open_as(path: PathBuf, is_cached: Option<IsCached>) -> Result<Self, Error> {
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened =
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(Fault::Missing.at(&path, 0));
            }
            Err(source) => return Err(Error::Io { path, source }),
        };
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => {
                let len = metadata.len();
                let behind = is_cached.map(|is_cached| Behind::new(len, is_cached));
                Ok(SourceFile { file, path, len, behind })
            }
            Ok(_) => Err(Fault::NotAFile.at(&path, 0)),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The `len` bytes at `offset`, a `what`. The length is checked against the file before memory is taken.
    pub(crate) fn read(
        &self,
        offset: u64,
        len: usize,
        what: &'static str,
    ) -> Result<Vec<u8>, Error> {
        self.read_into(Vec::new(), offset, len, what)
    }

    /// As [`SourceFile::read`], into the memory of `spare`, whose bytes are lost: a walk that takes new memory for each block
    /// has the system clear it each time.
    pub(crate) fn read_into(
        &self,
        spare: Vec<u8>,
        offset: u64,
        len: usize,
        what: &'static str,
    ) -> Result<Vec<u8>, Error> {
        let inside = offset.checked_add(len as u64).is_some_and(|end| end <= self.len);
        if !inside {
            return Err(Fault::Cut(what).at(&self.path, offset));
        }
        let mut bytes = spare;
        bytes.resize(len, 0);
        if let Some(behind) = &self.behind {
            behind.before(&self.file, offset, len as u64);
        }
        let read = self.file.read_exact_at(&mut bytes, offset);
        if let Some(behind) = &self.behind {
            behind.after(&self.file, offset, len as u64);
        }
        match read {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Fault::Cut(what).at(&self.path, offset))
            }
            Err(source) => Err(Error::Io { path: self.path.clone(), source }),
        }
    }

    /// Reads a whole file of at most `max` bytes, a `what`.
    pub(crate) fn read_all(path: PathBuf, max: u64, what: &'static str) -> Result<Vec<u8>, Error> {
        let file = SourceFile::open(path)?;
        match usize::try_from(file.len) {
            Ok(len) if file.len <= max => file.read(0, len, what),
            _ => Err(Fault::TooLong { what, len: file.len, max }.at(&file.path, 0)),
        }
    }
}

/// The names in a directory that are text, sorted. Other names belong to no store.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Io { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The number in `000123.log` for the extension `log`. Numbers past 999999 simply get wider.
pub(crate) fn number_before(name: &str, extension: &str) -> Option<u64> {
    let path = Path::new(name);
    if path.extension() != Some(OsStr::new(extension)) {
        return None;
    }
    digits(path.file_stem()?.to_str()?)
}

/// The number in `PREFIX000123`.
pub(crate) fn number_after(name: &str, prefix: &str) -> Option<u64> {
    digits(name.strip_prefix(prefix)?)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_files_may_be_wider_than_six_digits() {
        assert_eq!(number_before("000007.log", "log"), Some(7));
        assert_eq!(number_before("1234567.sst", "sst"), Some(1_234_567));
        assert_eq!(number_before("+7.log", "log"), None);
        assert_eq!(number_before(".log", "log"), None);
        assert_eq!(number_after("MANIFEST-000012", "MANIFEST-"), Some(12));
        assert_eq!(number_after("MANIFEST-000012.dbtmp", "MANIFEST-"), None);
    }
}
