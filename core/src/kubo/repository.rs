//! The repository as a whole: whose it is, which version, and its stores.
//!
//! Owns what is looked at before anything is read. Must not know what lies in the stores.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::datastore::Datastore;
use super::error::RepositoryError;
use super::lock::Lock;
use super::spec::{Mount, mounts_of};
use crate::block::Cid;

/// The oldest repository version that is read: since it, flatfs trees say how they are sharded.
pub const OLDEST_VERSION: u32 = 5;
/// The newest.
pub const NEWEST_VERSION: u32 = 18;

/// The longest file of a repository's own that is read, in bytes. A `config` has some kilobytes.
const MAX_FILE_LEN: u64 = 16 * 1024 * 1024;

/// Characters of a foreign text that an error repeats.
const SHOWN: usize = 40;

/// Where a repository lies, and how it is read.
#[derive(Clone, Debug)]
pub struct RepositoryOptions {
    /// Its folder, such as `~/.ipfs`.
    pub path: PathBuf,
    /// Go on behind what is damaged in a store, and report it. Default no. See [`coldfront_pebble::Options`].
    pub salvage: bool,
}

impl RepositoryOptions {
    /// A repository, read as it should be.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        RepositoryOptions { path: path.into(), salvage: false }
    }
}

/// Which program made a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flavour {
    /// Kubo, or go-ipfs.
    Kubo,
    /// js-ipfs: its blocks lie as Kubo's do; its pins and keys do not, and are not read.
    JsIpfs,
}

/// A repository, open for reading.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
    flavour: Flavour,
    version: u32,
    config: Option<Value>,
    spec: Option<String>,
    mounts: Vec<Mount>,
    datastore: Datastore,
    notes: Vec<String>,
    _lock: Lock,
}

impl Repository {
    /// Opens a repository that no program has open, and its stores. Writes nothing; a few small files are read, and of
    /// stores that are not flatfs manifests and journals.
    ///
    /// # Errors
    /// [`RepositoryError`]: what is in the way, by name.
    pub fn open(options: &RepositoryOptions) -> Result<Repository, RepositoryError> {
        let root =
            std::path::absolute(&options.path).map_err(RepositoryError::io(&options.path))?;
        let version = read_file(&root.join("version"))?;
        let config = read_file(&root.join("config"))?;
        let (Some(version), true) = (version, config.is_some()) else {
            return Err(RepositoryError::NotARepository { path: root });
        };
        let lock = Lock::take(&root)?;
        let flavour = flavour(&root);
        let version = check_version(&root, &version, flavour)?;
        let config = config.map(|text| parse(&root.join("config"), &text)).transpose()?;
        let spec = read_file(&root.join("datastore_spec"))?;
        let mut notes = Vec::new();
        let mounts = mounts(&root, spec.as_deref(), config.as_ref(), &mut notes)?;
        let datastore = Datastore::open(&mounts, options.salvage)?;
        notes.extend_from_slice(datastore.notes());
        Ok(Repository {
            root,
            flavour,
            version,
            config,
            spec,
            mounts,
            datastore,
            notes,
            _lock: lock,
        })
    }

    /// Its folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which program made it.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Its configuration. It holds the node's private key.
    pub fn config(&self) -> Option<&Value> {
        self.config.as_ref()
    }

    /// The text of `datastore_spec`; repositories before version 6 have none.
    pub fn datastore_spec(&self) -> Option<&str> {
        self.spec.as_deref()
    }

    /// Its stores by mountpoint, the longest first.
    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// Its stores as one space of keys.
    pub fn datastore(&self) -> &Datastore {
        &self.datastore
    }

    /// What was odd about it and passed over, each a sentence.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The root of the MFS; `None` where no Kubo has made one yet. The key has been the same in all versions.
    ///
    /// # Errors
    /// [`RepositoryError::Record`] for a value that is no CID.
    pub fn mfs_root(&self) -> Result<Option<Cid>, RepositoryError> {
        const KEY: &str = "/local/filesroot";
        let Some(value) = self.datastore.get(KEY)? else { return Ok(None) };
        let cid = Cid::try_from(&value[..]);
        cid.map(Some).map_err(|error| RepositoryError::record(KEY.as_bytes(), error.to_string()))
    }
}

/// js-ipfs keeps keys and pins in folders that Kubo has not.
fn flavour(root: &Path) -> Flavour {
    let has = |name: &str| root.join(name).is_dir();
    if !has("keystore") && (has("keys") || has("pins")) { Flavour::JsIpfs } else { Flavour::Kubo }
}

fn check_version(root: &Path, text: &str, flavour: Flavour) -> Result<u32, RepositoryError> {
    let version = text.trim().parse::<u32>().ok();
    // js-ipfs counts by itself; its trees have not changed in the versions that have a SHARDING file.
    match version {
        Some(version) if flavour == Flavour::JsIpfs => Ok(version),
        Some(version @ OLDEST_VERSION..=NEWEST_VERSION) => Ok(version),
        _ => Err(RepositoryError::Version {
            path: root.to_owned(),
            found: text.trim().chars().take(SHOWN).collect(),
            newest: NEWEST_VERSION,
            way_out: match version {
                Some(old) if old < OLDEST_VERSION => {
                    "bring it to version 5 or later with the fs-repo-migrations of its time"
                }
                Some(_) => "use a newer coldfront",
                None => "look whether the file \"version\" is damaged",
            },
        }),
    }
}

/// What is mounted, from `datastore_spec`, which says what is on the disk, else from the configuration, else as it
/// always was before either.
fn mounts(
    root: &Path,
    spec: Option<&str>,
    config: Option<&Value>,
    notes: &mut Vec<String>,
) -> Result<Vec<Mount>, RepositoryError> {
    let (spec_file, config_file) = (root.join("datastore_spec"), root.join("config"));
    let configured = config.and_then(|config| config.get("Datastore")?.get("Spec"));
    let configured = configured.filter(|spec| spec.as_object().is_some_and(|map| !map.is_empty()));
    if let Some(text) = spec {
        let found = mounts_of(&parse(&spec_file, text)?, root, &spec_file)?;
        let other = configured.map(|spec| mounts_of(spec, root, &config_file));
        if other.is_some_and(|other| !other.is_ok_and(|other| other == found)) {
            notes.push("config and datastore_spec name different stores; datastore_spec is followed, which says what is on the disk".into());
        }
        return Ok(found);
    }
    match configured {
        Some(spec) => mounts_of(spec, root, &config_file),
        None => {
            let always = json!({"type": "mount", "mounts": [
                {"mountpoint": "/blocks", "type": "flatfs", "path": "blocks"},
                {"mountpoint": "/", "type": "levelds", "path": "datastore"}]});
            mounts_of(&always, root, &config_file)
        }
    }
}

/// A small file as text; `None` when it is not there.
fn read_file(path: &Path) -> Result<Option<String>, RepositoryError> {
    let malformed = |what: String| RepositoryError::Malformed { path: path.to_owned(), what };
    let stat = match fs::metadata(path) {
        Ok(stat) => stat,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(RepositoryError::io(path)(error)),
    };
    if !stat.is_file() || stat.len() > MAX_FILE_LEN {
        return Err(malformed(format!("expected a file of at most {MAX_FILE_LEN} bytes")));
    }
    let bytes = fs::read(path).map_err(RepositoryError::io(path))?;
    String::from_utf8(bytes).map(Some).map_err(|_| malformed("expected text".into()))
}

fn parse(path: &Path, text: &str) -> Result<Value, RepositoryError> {
    serde_json::from_str(text).map_err(|error| RepositoryError::Malformed {
        path: path.to_owned(),
        what: format!("expected JSON: {error}"),
    })
}
