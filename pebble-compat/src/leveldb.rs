//! Which manifest of a LevelDB store is in force.
//!
//! goleveldb changes `CURRENT` in steps that a crash can part, and has an order in which it then believes its files.
//! Rules: goleveldb `storage/file_storage.go`.

use std::path::{Path, PathBuf};

use crate::error::{Error, Fault};
use crate::source::{SourceFile, number_after};

/// Longest `CURRENT` that is read. It names one file.
const MAX_CURRENT_LEN: u64 = 256;

/// The manifest in force among `names`, the files of `dir`: that of the newest `CURRENT.N`, of `CURRENT`, or of
/// `CURRENT.bak`, whichever is first to be well-formed and to name a file that exists.
pub(crate) fn manifest(dir: &Path, names: &[String]) -> Result<PathBuf, Error> {
    let mut pending: Vec<(u64, &String)> =
        names.iter().filter_map(|name| Some((number_after(name, "CURRENT.")?, name))).collect();
    pending.sort_unstable_by(|a, b| b.cmp(a));
    let fixed = names.iter().filter(|name| *name == "CURRENT" || *name == "CURRENT.bak");
    let mut first_error = None;
    for name in pending.into_iter().map(|(_, name)| name).chain(fixed) {
        match current(dir, name, names) {
            Ok(manifest) => return Ok(manifest),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| Fault::Missing.at(&dir.join("CURRENT"), 0)))
}

/// The manifest that the file `name` points to.
pub(crate) fn current(dir: &Path, name: &str, names: &[String]) -> Result<PathBuf, Error> {
    let path = dir.join(name);
    let bytes = SourceFile::read_all(path.clone(), MAX_CURRENT_LEN, "name of the manifest")?;
    let named = str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let named = named.filter(|named| number_after(named, "MANIFEST-").is_some());
    let named = named.ok_or_else(|| Fault::Malformed("name of the manifest").at(&path, 0))?;
    if names.iter().any(|name| name == named) {
        Ok(dir.join(named))
    } else {
        Err(Fault::Missing.at(&dir.join(named), 0))
    }
}
