//! The file of tokens.
//!
//! Owns its form, its permissions and how it is changed: under a lock, as a new file that takes the place of the old one,
//! so that it is whole at every moment. Secrets are not in it. Must not know how tokens are compared.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::quota::TokenLimits;
use super::scope::Scope;
use super::{MAX_TOKENS, Spec, hash};

/// The form that is written, and the only one that is read.
const VERSION: u32 = 1;

/// The longest file that is read, in bytes: that of [`MAX_TOKENS`] tokens with long scopes.
const MAX_LEN: u64 = 4 * 1024 * 1024;

/// The longest name of a token, in bytes.
const MAX_NAME: usize = 64;

/// What a secret begins with, so that people and scanners know what they have found.
const PREFIX: &str = "cf_";

/// The folder of the pins that tokens made is named as the file with this at its end.
const PINS: &str = ".pins";

/// The tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file, or what lies beside it.
    #[error("tokens {}: {what}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Others than its owner can read it.
    #[error("tokens {}: the file has mode {mode:03o}, which lets others in; expected 600: chmod 600 it", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no file of tokens.
    #[error("tokens {}: {what}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A name that a token cannot have.
    #[error("\"{name}\" cannot be a token's name: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// There is no such token.
    #[error("there is no token \"{name}\"; `token ls` names them")]
    NoSuch {
        /// The name.
        name: String,
    },
    /// There are as many as there may be.
    #[error("there are {MAX_TOKENS} tokens, and no more may be; remove one with `token rm`")]
    TooMany,
}

impl TokenError {
    pub(super) fn gone(path: &Path) -> TokenError {
        let source = io::Error::from(io::ErrorKind::NotFound);
        TokenError::Io { path: path.to_owned(), what: "cannot be read; nobody is let in", source }
    }
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose it is: the name in the log of changes, and the user of a password.
    pub name: String,
    /// What it may call.
    pub scope: Scope,
    /// How much of it.
    pub limits: TokenLimits,
    /// It may remove the pins that it made, and nothing else.
    pub own_pins: bool,
}

/// A token as it is listed: without anything that lets one in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Whose it is.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// What it may call.
    pub scope: Scope,
    /// How much of it.
    pub limits: TokenLimits,
    /// Whether it may remove its own pins alone.
    pub own_pins: bool,
}

/// How a file was when it was read: by its inode, length and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, i64, i64);

/// A file of tokens, which need not be there yet.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    tokens: Vec<WrittenToken>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    name: String,
    /// SHA-256 of the secret, in hexadecimal.
    sha256: String,
    made: u64,
    commands: Vec<String>,
    own_pins: bool,
    streams: usize,
    queue: usize,
    bytes_per_second: u64,
}

impl TokenFile {
    /// The file at a path. Reads nothing.
    pub fn new(path: impl Into<PathBuf>) -> TokenFile {
        TokenFile { path: path.into() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a token and returns its secret, which is kept nowhere: who loses it makes another. A client sends it as bearer
    /// token, or as the password of a user with the token's name. A server that uses the file knows it within a second.
    ///
    /// # Errors
    /// [`TokenError`]; a name that is taken is one.
    pub fn add(&self, new: &NewToken) -> Result<String, TokenError> {
        check_name(&new.name)?;
        let _lock = self.lock()?;
        let mut written = self.written_or_none()?;
        if written.tokens.iter().any(|token| token.name == new.name) {
            let reason = "there is one of that name; remove it with `token rm`, or choose another";
            return Err(TokenError::Name { name: new.name.clone(), reason });
        }
        if written.tokens.len() >= MAX_TOKENS {
            return Err(TokenError::TooMany);
        }
        let secret = secret().map_err(|source| self.io("random bytes cannot be had", source))?;
        written.tokens.push(WrittenToken {
            name: new.name.clone(),
            sha256: HEXLOWER.encode(&hash(secret.as_bytes())),
            made: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            commands: new.scope.names(),
            own_pins: new.own_pins,
            streams: new.limits.streams,
            queue: new.limits.queue,
            bytes_per_second: new.limits.bytes_per_second,
        });
        self.write(&written)?;
        Ok(secret)
    }

    /// Removes a token. New calls with it are refused within a second; those under way end by themselves. What it pinned stays.
    ///
    /// # Errors
    /// [`TokenError::NoSuch`], or what is wrong with the file.
    pub fn remove(&self, name: &str) -> Result<(), TokenError> {
        let _lock = self.lock()?;
        let mut written = self.written_or_none()?;
        let before = written.tokens.len();
        written.tokens.retain(|token| token.name != name);
        if written.tokens.len() == before {
            return Err(TokenError::NoSuch { name: name.chars().take(MAX_NAME).collect() });
        }
        self.write(&written)?;
        // A later token of that name is someone else.
        match fs::remove_file(self.pins_of(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.io("the list of its pins cannot be removed", error))
            }
            _ => Ok(()),
        }
    }

    /// The tokens, by name.
    ///
    /// # Errors
    /// [`TokenError`]: what is wrong with the file. One that is not there has none.
    pub fn list(&self) -> Result<Vec<Listed>, TokenError> {
        let listed = |token: &WrittenToken| Listed {
            name: token.name.clone(),
            made: token.made,
            scope: Scope::of_names(&token.commands),
            limits: token.limits(),
            own_pins: token.own_pins,
        };
        let mut all: Vec<Listed> = self.written_or_none()?.tokens.iter().map(listed).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// How the file is now; `None` when it is not there.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        fs::metadata(&self.path).ok().map(|stat| stamp(&stat))
    }

    /// What a server keeps of it.
    pub(super) fn read(&self) -> Result<(Stamp, Vec<Spec>), TokenError> {
        let (stamp, written) = self.written()?;
        let spec = |token: WrittenToken| {
            let sha256 = HEXLOWER.decode(token.sha256.as_bytes()).ok();
            let hash = sha256.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
                self.malformed(format!("sha256 of \"{}\" is not 64 hexadecimal digits", token.name))
            })?;
            Ok(Spec {
                own_pins: token.own_pins.then(|| self.pins_of(&token.name)),
                limits: token.limits(),
                scope: Scope::of_names(&token.commands),
                user: Some(token.name.clone()),
                bearer: true,
                name: token.name,
                hash,
            })
        };
        Ok((stamp, written.tokens.into_iter().map(spec).collect::<Result<_, TokenError>>()?))
    }

    fn written_or_none(&self) -> Result<Written, TokenError> {
        match self.written() {
            Ok((_, written)) => Ok(written),
            Err(TokenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Written { version: VERSION, tokens: Vec::new() })
            }
            Err(error) => Err(error),
        }
    }

    fn written(&self) -> Result<(Stamp, Written), TokenError> {
        let read = |source| self.io("cannot be read", source);
        let file = File::open(&self.path).map_err(read)?;
        let stat = file.metadata().map_err(read)?;
        let mode = stat.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Open { path: self.path.clone(), mode });
        }
        let mut text = Vec::new();
        file.take(MAX_LEN + 1).read_to_end(&mut text).map_err(read)?;
        if text.len() as u64 > MAX_LEN {
            return Err(self.malformed(format!("it has more than {MAX_LEN} bytes")));
        }
        let written: Written =
            serde_json::from_slice(&text).map_err(|error| self.malformed(error.to_string()))?;
        if written.version != VERSION {
            let version = written.version;
            return Err(self.malformed(format!(
                "it has version {version}, expected {VERSION}; use the coldfront that wrote it"
            )));
        }
        if written.tokens.len() > MAX_TOKENS {
            return Err(TokenError::TooMany);
        }
        written.tokens.iter().try_for_each(|token| check_name(&token.name))?;
        Ok((stamp(&stat), written))
    }

    /// Writes all of it as a new file, and puts that in the place of the old one.
    fn write(&self, written: &Written) -> Result<(), TokenError> {
        let mut text = serde_json::to_vec_pretty(written)
            .map_err(|error| self.malformed(error.to_string()))?;
        text.push(b'\n');
        let new = self.beside(".new");
        let failed = |source| self.io("cannot be written", source);
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(failed)?;
        // Whatever the mask of the process says.
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &self.path).map_err(failed)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        folder.sync_all().map_err(failed)
    }

    /// One program at a time changes the file.
    fn lock(&self) -> Result<File, TokenError> {
        let path = self.beside(".lock");
        let failed =
            |source| TokenError::Io { path: path.clone(), what: "cannot be locked", source };
        let open =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// Where the pins that a token made are listed. Names are checked, so that none leads elsewhere.
    fn pins_of(&self, name: &str) -> PathBuf {
        self.beside(PINS).join(name)
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(end);
        path.into()
    }

    fn io(&self, what: &'static str, source: io::Error) -> TokenError {
        TokenError::Io { path: self.path.clone(), what, source }
    }

    fn malformed(&self, what: String) -> TokenError {
        TokenError::Malformed { path: self.path.clone(), what }
    }
}

impl WrittenToken {
    fn limits(&self) -> TokenLimits {
        let WrittenToken { streams, queue, bytes_per_second, .. } = *self;
        TokenLimits { streams, queue, bytes_per_second }
    }
}

fn stamp(stat: &fs::Metadata) -> Stamp {
    Stamp(stat.ino(), stat.len(), stat.mtime(), stat.mtime_nsec())
}

/// 256 random bits, as text that needs no quoting anywhere.
fn secret() -> Result<String, io::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
}

/// A name is a file's name, a user's name and a word in the log.
fn check_name(name: &str) -> Result<(), TokenError> {
    let bad =
        |reason| Err(TokenError::Name { name: name.chars().take(MAX_NAME).collect(), reason });
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    match name {
        "" => bad("it is empty"),
        _ if name.len() > MAX_NAME => bad("it has more than 64 bytes"),
        _ if name.starts_with('.') => bad("it begins with a dot"),
        _ if !name.chars().all(is_plain) => bad("expected letters, digits and - _ . @ alone"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Tokens;
    use super::*;

    fn new(name: &str) -> NewToken {
        NewToken {
            name: name.into(),
            scope: Scope::parse("add").unwrap(),
            limits: TokenLimits::default(),
            own_pins: false,
        }
    }

    fn file() -> (tempfile::TempDir, TokenFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("tokens.json"));
        (folder, file)
    }

    fn lets_in(tokens: &Tokens, secret: &str) -> bool {
        tokens.find(format!("Bearer {secret}").as_bytes()).is_some()
    }

    #[test]
    fn the_file_holds_no_secret_and_is_its_owners_alone() {
        let (folder, file) = file();
        let secret = file.add(&new("ci")).unwrap();
        assert!(secret.starts_with(PREFIX) && secret.len() == 46, "{secret}");
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{path:?}");
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains(&secret[3..]), "{path:?}");
        }
        let tokens = Tokens::open(file.path()).unwrap();
        assert!(lets_in(&tokens, &secret));
        let basic = data_encoding::BASE64.encode(format!("ci:{secret}").as_bytes());
        assert!(tokens.find(format!("Basic {basic}").as_bytes()).is_some());
        assert!(!format!("{tokens:?} {:?}", file.list().unwrap()).contains(&secret[3..]));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let (_folder, file) = file();
        file.add(&new("ci")).unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
        for sentence in [
            Tokens::open(file.path()).unwrap_err().to_string(),
            file.add(&new("b")).unwrap_err().to_string(),
        ] {
            assert!(sentence.contains("mode 640") && sentence.contains("chmod 600"), "{sentence}");
        }
    }

    #[test]
    fn tokens_come_and_go_under_a_running_server() {
        let (_folder, file) = file();
        let first = file.add(&new("a")).unwrap();
        let tokens = Tokens::open(file.path()).unwrap();
        assert!(!tokens.refresh().unwrap());
        let token = tokens.find(format!("Bearer {first}").as_bytes()).unwrap();
        let second = file.add(&new("b")).unwrap();
        assert!(tokens.refresh().unwrap());
        assert!(lets_in(&tokens, &first) && lets_in(&tokens, &second));
        let same = tokens.find(format!("Bearer {first}").as_bytes()).unwrap();
        assert!(std::sync::Arc::ptr_eq(&token, &same), "its calls under way are forgotten");
        file.remove("a").unwrap();
        assert!(tokens.refresh().unwrap());
        assert!(!lets_in(&tokens, &first) && lets_in(&tokens, &second));
        let names: Vec<_> = file.list().unwrap().into_iter().map(|token| token.name).collect();
        assert_eq!(names, ["b"]);
    }

    #[test]
    fn when_the_file_is_gone_nobody_is_let_in_and_it_is_told_once() {
        let (_folder, file) = file();
        let secret = file.add(&new("a")).unwrap();
        let tokens = Tokens::open(file.path()).unwrap();
        fs::remove_file(file.path()).unwrap();
        assert!(tokens.refresh().unwrap_err().to_string().contains("nobody is let in"));
        assert!(!tokens.refresh().unwrap());
        assert!(!lets_in(&tokens, &secret));
        assert!(Tokens::open(file.path()).is_err());
    }

    #[test]
    fn a_damaged_file_keeps_those_in_who_were() {
        let (_folder, file) = file();
        let secret = file.add(&new("a")).unwrap();
        let tokens = Tokens::open(file.path()).unwrap();
        for text in ["", "{", "{\"version\":2,\"tokens\":[]}", "{\"version\":1,\"tokens\":[{}]}"] {
            fs::write(file.path(), text).unwrap();
            assert!(tokens.refresh().is_err(), "{text}");
            assert!(lets_in(&tokens, &secret));
        }
    }

    #[test]
    fn a_name_is_one_word_and_its_own() {
        let (_folder, file) = file();
        for name in ["", ".", "..", "a/b", "a b", "a\n", "ä", &"a".repeat(65)] {
            assert!(matches!(file.add(&new(name)), Err(TokenError::Name { .. })), "{name:?}");
        }
        file.add(&new("a")).unwrap();
        assert!(file.add(&new("a")).unwrap_err().to_string().contains("token rm"));
        assert!(matches!(file.remove("b"), Err(TokenError::NoSuch { .. })));
    }

    #[test]
    fn two_programs_that_add_at_the_same_time_lose_nothing() {
        let (_folder, file) = file();
        std::thread::scope(|scope| {
            for i in 0..8 {
                let file = &file;
                scope.spawn(move || file.add(&new(&format!("t{i}"))).unwrap());
            }
        });
        assert_eq!(file.list().unwrap().len(), 8);
    }
}
