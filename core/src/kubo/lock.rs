//! Whether a Kubo has the repository open.
//!
//! Owns the reading of `repo.lock`: Kubo holds a lock of the `fcntl` kind on it as long as it runs. It is never made
//! here, since that would change the repository; where it lies, a shared lock on it keeps a Kubo from starting while
//! the repository is read. Rules: kubo `repo/fsrepo/lock`, go4.org/lock.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use super::error::RepositoryError;

/// Held as long as the repository is read. Like every such lock it is this process's, and gone when any handle to the
/// file is closed in it.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// Makes sure that no program has the repository open, and keeps it so where the lock file is there.
    pub(super) fn take(root: &Path) -> Result<Lock, RepositoryError> {
        let path = root.join("repo.lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            // Kubo removes it when it ends.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Lock { _file: None }),
            Err(error) => return Err(RepositoryError::io(&path)(error)),
        };
        match fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Lock { _file: Some(file) }),
            Err(Errno::AGAIN | Errno::ACCESS) => {
                Err(RepositoryError::Locked { path: root.to_owned() })
            }
            // No locks on this file system: nobody can hold one.
            Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                Ok(Lock { _file: None })
            }
            Err(errno) => Err(RepositoryError::io(&path)(errno.into())),
        }
    }
}
