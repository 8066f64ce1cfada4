//! Why a job as a whole cannot go on. What is wrong with one block is a [`super::Fault`].

use std::path::PathBuf;

use crate::car::CarError;
use crate::error::StoreError;
use crate::kubo::RepositoryError;
use crate::pin::PinError;

/// A job cannot begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The path leads to nothing that blocks could come from.
    #[error(
        "{}: nothing to read blocks from; expected a Kubo repository, a flatfs tree (its folder \"blocks\"), a store such as \"pebbleds\" or \"badgerds\", or a CAR file",
        path.display()
    )]
    NoSource {
        /// The path.
        path: PathBuf,
    },
    /// What was asked for cannot be had from this source.
    #[error("{}: {what}", path.display())]
    NotHere {
        /// The source.
        path: PathBuf,
        /// What it lacks, and the way out.
        what: &'static str,
    },
    /// The source cannot be opened, or a part of it that everything rests on cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A file or folder of the source cannot be read.
    #[error("{}: cannot be read", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The CAR file of the source is damaged where it cannot be passed over.
    #[error("the CAR file {} cannot be read", path.display())]
    Car {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CarError,
    },
    /// The target failed. What was written before stays, and the same job goes on there.
    #[error("the target failed; run the same job again to go on when this is mended")]
    Target(#[from] StoreError),
    /// Pins could not be written to the target.
    #[error("a pin could not be written")]
    Pin(#[from] PinError),
    /// A thread of the job is gone.
    #[error(
        "a thread of the job ended by itself; this is a fault of the program, please report it"
    )]
    Thread,
}

impl From<coldfront_pebble::Error> for MigrateError {
    fn from(error: coldfront_pebble::Error) -> Self {
        MigrateError::Repository(error.into())
    }
}

impl From<coldfront_flatfs::Error> for MigrateError {
    fn from(error: coldfront_flatfs::Error) -> Self {
        MigrateError::Repository(error.into())
    }
}
