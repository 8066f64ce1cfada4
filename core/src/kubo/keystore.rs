//! The keys of a repository: files with a name in theirs.
//!
//! Owns the encoding of names. The bytes are a libp2p private key, unencrypted; nothing here looks into them. Rules:
//! boxo `keystore/keystore.go`; before repository version 9 the file's name was the key's.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;

use data_encoding::{BASE32_NOPAD, BASE64};

use super::error::RepositoryError;
use super::repository::Repository;

/// The longest file that is taken for a key, in bytes. An RSA key of 8192 bits has 5 KB.
pub const MAX_KEY_LEN: u64 = 64 * 1024;

/// Keys that are read.
const MAX_KEYS: usize = 1_000_000;

/// A private key and its name, which may be any text. `Debug` does not show the key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// Its name, as `ipfs key list` shows it. To be treated as foreign text.
    pub name: String,
    /// The libp2p private key, a protobuf.
    pub key: Vec<u8>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Repository {
    /// The keys in the keystore, by name. That of the node itself is not among them: see [`Repository::identity`].
    ///
    /// # Errors
    /// [`RepositoryError::Io`] for a file that cannot be read, and [`RepositoryError::Malformed`] for one that is no
    /// key: a key is not left behind in silence.
    pub fn keys(&self) -> Result<Vec<KeyFile>, RepositoryError> {
        let folder = self.root().join("keystore");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(RepositoryError::io(&folder)(error)),
        };
        let mut keys = Vec::new();
        for entry in entries.take(MAX_KEYS) {
            let path = entry.map_err(RepositoryError::io(&folder))?.path();
            let Some(name) = path.file_name().and_then(|name| name_of(name.as_bytes())) else {
                continue;
            };
            let stat = fs::metadata(&path).map_err(RepositoryError::io(&path))?;
            if !stat.is_file() || stat.len() > MAX_KEY_LEN {
                let what = format!("expected a key, a file of at most {MAX_KEY_LEN} bytes");
                return Err(RepositoryError::Malformed { path, what });
            }
            let key = fs::read(&path).map_err(RepositoryError::io(&path))?;
            keys.push(KeyFile { name, key });
        }
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(keys)
    }

    /// The node's own peer id, as text, and its private key, from the configuration; `None` where it holds none.
    pub fn identity(&self) -> Option<(String, Vec<u8>)> {
        let identity = self.config()?.get("Identity")?;
        let key = identity.get("PrivKey")?.as_str()?;
        Some((identity.get("PeerID")?.as_str()?.to_owned(), BASE64.decode(key.as_bytes()).ok()?))
    }
}

/// The key's name, from its file's; `None` for hidden files.
fn name_of(file: &[u8]) -> Option<String> {
    if file.starts_with(b".") {
        return None;
    }
    let decoded = file.strip_prefix(b"key_").and_then(|text| {
        let upper = text.to_ascii_uppercase();
        String::from_utf8(BASE32_NOPAD.decode(&upper).ok()?).ok()
    });
    decoded.or_else(|| String::from_utf8(file.to_vec()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_and_older_ones_are_as_they_are() {
        assert_eq!(name_of(b"key_onuxizi").as_deref(), Some("site"));
        assert_eq!(name_of(b"site").as_deref(), Some("site"));
        assert_eq!(name_of(b"key_!").as_deref(), Some("key_!"));
        assert_eq!(name_of(b".tmp"), None);
    }
}
