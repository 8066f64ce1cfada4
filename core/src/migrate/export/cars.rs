//! A CAR file for each root.
//!
//! Owns names, order and what is already there. A file appears whole or not at all, so an interrupted run goes on with the
//! first that is not there.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::error::ExportError;
use super::files::sync_folder;
use crate::block::{Cid, verify};
use crate::car::{CarError, CarWriter};
use crate::error::{ReadError, StoreError};
use crate::store::BlockSource;
use crate::walk::{Repeats, walk};

/// A CAR file was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarExportError {
    /// A block below the root is missing or bad, so that no whole CAR can be made. Other roots are not concerned.
    #[error("the DAG below {root} cannot be written as a CAR")]
    Incomplete {
        /// The root.
        root: Cid,
        /// What is wrong.
        source: Box<ReadError>,
    },
    /// The file could not be written.
    #[error("writing the CAR of {root} failed")]
    Car {
        /// The root.
        root: Cid,
        /// What is wrong.
        source: Box<CarError>,
    },
    /// The folder or file could not be made.
    #[error(transparent)]
    Files(#[from] ExportError),
}

/// Writes everything below `root` into `FOLDER/CID.car`, as `ipfs dag export` does, each block verified; durable on return.
/// `None` when the file is there already, else its length. Remembers each block that came, some 40 bytes.
pub fn write_car(
    folder: &Path,
    root: &Cid,
    source: &dyn BlockSource,
) -> Result<Option<u64>, CarExportError> {
    fs::create_dir_all(folder).map_err(ExportError::io("making the folder", folder))?;
    let path = car_path(folder, root);
    if path.try_exists().map_err(ExportError::io("looking for", &path))? {
        return Ok(None);
    }
    let new = folder.join(format!("{root}.car.new"));
    let file = File::create(&new).map_err(ExportError::io("making", &new))?;
    let file = write_blocks(file, root, source).inspect_err(|_| {
        // Of no use to anybody; a later run would write it anew.
        fs::remove_file(&new).ok();
    })?;
    let len = file
        .sync_all()
        .and_then(|()| file.metadata())
        .map_err(ExportError::io("syncing", &new))?
        .len();
    fs::rename(&new, &path).map_err(ExportError::io("putting in place", &path))?;
    sync_folder(folder)?;
    Ok(Some(len))
}

/// The file of a root.
pub fn car_path(folder: &Path, root: &Cid) -> PathBuf {
    folder.join(format!("{root}.car"))
}

fn write_blocks(file: File, root: &Cid, source: &dyn BlockSource) -> Result<File, CarExportError> {
    let car = |error| CarExportError::Car { root: *root, source: Box::new(error) };
    let out = BufWriter::with_capacity(1024 * 1024, file);
    let mut out = CarWriter::new(out, &[*root]).map_err(car)?;
    let mut fetch = |cid: &Cid| {
        let Some(block) = source.get(cid)? else { return Ok(None) };
        match verify(cid, block.data(), "the store") {
            // Nothing can be said about it, and it is what was stored.
            Err(StoreError::UnknownHash { .. }) | Ok(()) => Ok(Some(block)),
            Err(error) => Err(error),
        }
    };
    for block in walk(&[*root], Repeats::default(), &mut fetch) {
        let block = block
            .map_err(|error| CarExportError::Incomplete { root: *root, source: Box::new(error) })?;
        out.put(&block).map_err(car)?;
    }
    let out = out.finish().map_err(car)?;
    let io = |error: std::io::IntoInnerError<_>| car(CarError::Write(error.into_error()));
    out.into_inner().map_err(io)
}
