//! Keys as files of a folder, as Kubo's `keystore/` has them.
//!
//! Owns the names of files (`key_` and the name in base32, lower case), their modes (the folder 0700, a key 0400) and
//! that a crash leaves a key whole or absent. Rules: boxo `keystore/keystore.go`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;

use super::{KeyError, KeyPlace, MAX_KEY_LEN};

/// In front of each file of a key.
const PREFIX: &str = "key_";

/// Keys that are listed.
const MAX_KEYS: usize = 1_000_000;

/// A folder of keys.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    folder: PathBuf,
}

impl KeyFolder {
    /// Opens a folder, or makes it, for its owner alone.
    pub fn open(folder: impl Into<PathBuf>) -> Result<KeyFolder, KeyError> {
        let folder = folder.into();
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(&folder)(error)),
            _ => Ok(KeyFolder { folder }),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        let name = BASE32_NOPAD.encode(name.as_bytes()).to_ascii_lowercase();
        self.folder.join(format!("{PREFIX}{name}"))
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> KeyError + use<> {
    let path = path.display().to_string();
    |source| KeyError::Io { path, source }
}

impl KeyPlace for KeyFolder {
    fn names(&self) -> Result<Vec<String>, KeyError> {
        let entries = fs::read_dir(&self.folder).map_err(failed(&self.folder))?;
        let mut names = Vec::new();
        for entry in entries.take(MAX_KEYS) {
            let name = entry.map_err(failed(&self.folder))?.file_name();
            let text = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            // What is no key of ours is left alone.
            let decoded = text
                .and_then(|text| BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok());
            names.extend(decoded.and_then(|name| String::from_utf8(name).ok()));
        }
        names.sort();
        Ok(names)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, KeyError> {
        let path = self.file(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path)(error)),
        };
        let mut key = Vec::new();
        file.take(MAX_KEY_LEN as u64 + 1).read_to_end(&mut key).map_err(failed(&path))?;
        Ok(Some(key))
    }

    fn put(&self, name: &str, key: &[u8]) -> Result<(), KeyError> {
        let path = self.file(name);
        let new = self.folder.join(".new");
        // One that a crash left behind.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&new)(error)),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&new)
            .map_err(failed(&new))?;
        file.write_all(key).and_then(|()| file.sync_all()).map_err(failed(&new))?;
        fs::rename(&new, &path).map_err(failed(&path))?;
        self.sync()
    }

    fn remove(&self, name: &str) -> Result<(), KeyError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path)(error)),
            _ => self.sync(),
        }
    }
}

impl KeyFolder {
    /// A name is there for good when its folder is synced.
    fn sync(&self) -> Result<(), KeyError> {
        let folder = File::open(&self.folder).map_err(failed(&self.folder))?;
        folder.sync_all().map_err(failed(&self.folder))
    }
}
