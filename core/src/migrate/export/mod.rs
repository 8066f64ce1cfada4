//! The way back: a hot store as a repository that Kubo opens.
//!
//! Owns the steps of an export and their order. Must not know where what was carried over comes from, nor flags. Blocks go
//! into a flatfs tree, pins and all else into a LevelDB beside it, as in Kubo's default profile; `version`, without which
//! Kubo opens nothing, comes last. Rules: the formats stand in `core/DESIGN.md`.
//!
//! - `place`: the folder, its lock, its mark. `blocks`: rounds. `flatfs`, `leveldb`: the two stores.
//! - `records`: pins and names as pairs. `config`: what Kubo reads first. [`cars`]: a CAR file a root instead.

mod blocks;
pub mod cars;
mod config;
mod error;
mod files;
mod flatfs;
mod leveldb;
mod place;
mod plan;
mod records;
mod report;

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use coldfront_flatfs::ShardFn;
pub use error::ExportError;
pub use plan::{ExportPlan, plan};
pub use report::{Counts, ExportReport, MAX_PROBLEMS, Problem};

use blocks::Sources;
use files::{
    ensure_folder, read_if_there, remove_folder_if_there, sync_file_system, sync_folder,
    write_whole,
};
use flatfs::FlatFsWriter;
use leveldb::LevelDbWriter;
use place::{Found, Mark, Place};

use super::carry;
use super::progress::Event;
use crate::block::Cid;
use crate::pin::{PinError, PinIndex};
use crate::store::BlockSource;

/// What a repository holds beside blocks and pins: carried over from the one that the store was filled from.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Kubo's config, as text. An identity in it is all that Kubo insists on.
    pub config: Option<String>,
    /// The version of the repository that the config is from.
    pub config_version: u32,
    /// The root of the mutable file system.
    pub files_root: Option<Cid>,
    /// Keys of the keystore: name, and the private key as libp2p writes it.
    pub keys: Vec<(String, Vec<u8>)>,
    /// Records that were published under own names: binary peer ID, and the record.
    pub names: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Carried {
    /// What was carried over into a store. Keys and names are few; they are read whole.
    pub fn of(pins: &PinIndex) -> Result<Carried, ExportError> {
        let carry::Carried { config, config_version, keys, names } = carry::carried(pins.hot())?;
        let files_root = pins.root(carry::MFS_ROOT)?;
        Ok(Carried { config, config_version, files_root, keys, names })
    }
}

/// How an export is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The folder of the repository. It may be absent, empty, a half-made export, or a finished one, to which is then added.
    pub to: PathBuf,
    /// How blocks are spread over folders. A repository that is added to keeps its own.
    pub shards: ShardFn,
    /// Blocks with lower numbers are left out; 0 for none. With a target that is a repository already this is what it
    /// lacks.
    pub since: Option<u64>,
    /// Threads that read, hash and write.
    pub workers: usize,
    /// Bytes a second, at most.
    pub rate: Option<u64>,
}

impl ExportOptions {
    /// Everything, into Kubo's usual layout, by four threads.
    pub fn new(to: impl Into<PathBuf>) -> ExportOptions {
        let (shards, workers) = (ShardFn::default(), 4);
        ExportOptions { to: to.into(), shards, since: None, workers, rate: None }
    }
}

/// Writes what a store holds as a repository of Kubo.
///
/// Every block is hashed on its way; one that is bad or missing is reported and stops nothing. Interrupted at any moment, the
/// same call goes on where it was, and does at most 64 MiB again. Until it returns there is no repository in the folder
/// that Kubo would open.
///
/// A target that is a repository already (its Kubo stopped, its blocks in flatfs) is added to: blocks that it lacks are
/// written, and its pins become those of the store.
pub fn export(
    pins: &PinIndex,
    below: &[Arc<dyn BlockSource>],
    carried: &Carried,
    options: &ExportOptions,
    watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<ExportReport, ExportError> {
    let (place, mut mark) = begin(pins, options)?;
    // Found out before the days of work, not after.
    let config = config(&place, carried)?;
    let tree = FlatFsWriter::open(&place.at("blocks"), place.shards())?;
    let sources = Sources { hot: pins.hot(), below };
    blocks::write(&sources, &place, &tree, &mut mark, options, watch)?;
    tree.finish(mark.usage)?;

    let mut report = ExportReport { next: mark.next, ..ExportReport::default() };
    report.pins = write_datastore(&place, pins, carried, mark.added_to)?;
    report.names = carried.names.len() as u64;
    report.keys = write_keys(&place, &carried.keys)?;
    if let Some(config) = config {
        write_whole(&place.at("config"), config.as_bytes(), 0o600)?;
        let spec = config::datastore_spec(place.shards());
        write_whole(&place.at("datastore_spec"), spec.as_bytes(), 0o600)?;
    }
    // ORDER: everything else is durable before there is a version.
    sync_file_system(place.root())?;
    place.close(&mark)?;
    (report.counts, report.problems) = (mark.counts, mark.problems);
    Ok(report)
}

/// Finds out what the folder is, and where to begin.
fn begin(pins: &PinIndex, options: &ExportOptions) -> Result<(Place, Mark), ExportError> {
    let root = &options.to;
    let (folder, found) = Place::open(root)?;
    let since = options.since.unwrap_or(0);
    match found {
        Found::Begun(mark, shards) => {
            let place = match mark.added_to {
                true => Place::of_repository(root, shards, folder)?,
                false => Place::new(root, shards, folder),
            };
            Ok((place, go_on(pins, root, *mark, shards, options)?))
        }
        Found::Empty => {
            let place = Place::new(root, options.shards, folder);
            let mark = Mark { since, next: since, ..Mark::default() };
            place.begin(&mark)?;
            Ok((place, mark))
        }
        Found::Repository => {
            let shards = shards_of_repository(root)?;
            let place = Place::of_repository(root, shards, folder)?;
            // What was missing or bad may be there now, and keeps its number.
            let last =
                place::last_mark(root)?.map(|mark| match mark.counts.missing + mark.counts.bad {
                    0 => mark.next,
                    _ => mark.since,
                });
            let since = options.since.or(last).unwrap_or(0);
            let usage = flatfs::usage_of(&place.at("blocks"))?.unwrap_or(0);
            let mark = Mark { since, next: since, usage, added_to: true, ..Mark::default() };
            place.begin(&mark)?;
            Ok((place, mark))
        }
    }
}

/// Goes on with an export that was begun, if the same is asked for of the same store.
fn go_on(
    pins: &PinIndex,
    root: &Path,
    mut mark: Mark,
    shards: ShardFn,
    options: &ExportOptions,
) -> Result<Mark, ExportError> {
    let different = |begun: String, asked: String| ExportError::Different {
        path: root.to_owned(),
        begun,
        asked,
    };
    if !mark.added_to && shards != options.shards {
        return Err(different(format!("in {shards}"), options.shards.to_string()));
    }
    if let Some(since) = options.since.filter(|since| *since != mark.since) {
        let asked = format!("those since {since}");
        return Err(different(format!("of blocks since {}", mark.since), asked));
    }
    let Some((number, last)) = &mark.last else { return Ok(mark) };
    let known = match crate::path::parse_cid(last) {
        Ok(cid) => pins.hot().number(&cid)?,
        Err(_) => None,
    };
    match known {
        Some(known) if known != *number => {
            Err(different("of another store".into(), "this one".into()))
        }
        Some(_) => Ok(mark),
        None => {
            // Collected since, or another store: nothing can be said about what was written, so it is written again.
            (mark.next, mark.last) = (mark.since, None);
            Ok(mark)
        }
    }
}

/// The shard function of a repository that can be added to.
fn shards_of_repository(root: &Path) -> Result<ShardFn, ExportError> {
    const ADDED_TO: &str = "name an empty folder; only Kubo's flatfs and levelds are added to";
    let foreign = |what: &str| ExportError::Foreign {
        path: root.to_owned(),
        what: what.into(),
        way_out: ADDED_TO,
    };
    let shards = flatfs::shard_fn_of(&root.join("blocks"))?
        .ok_or_else(|| foreign("a repository without flatfs"))?;
    let spec = read_if_there(&root.join("datastore_spec"), MAX_CONFIG_LEN)?.unwrap_or_default();
    let wanted: serde_json::Value =
        serde_json::from_str(&config::datastore_spec(shards)).unwrap_or_default();
    match serde_json::from_slice::<serde_json::Value>(&spec) {
        Ok(found) if found == wanted => Ok(shards),
        _ => Err(foreign("a repository with other stores")),
    }
}

/// The longest config that is read, in bytes.
const MAX_CONFIG_LEN: u64 = 16 * 1024 * 1024;

/// The config to be written; `None` where the repository has one already.
fn config(place: &Place, carried: &Carried) -> Result<Option<String>, ExportError> {
    if place.at("config").exists() && place.at("datastore_spec").exists() {
        return Ok(None);
    }
    let text = carried.config.as_deref().ok_or(ExportError::NoIdentity)?;
    config::config(text, carried.config_version, place.shards()).map(Some)
}

/// Writes pins and all else into a new datastore, which takes the place of an old one. Returns the number of pins.
fn write_datastore(
    place: &Place,
    pins: &PinIndex,
    carried: &Carried,
    added_to: bool,
) -> Result<u64, ExportError> {
    let (folder, new) = (place.at("datastore"), place.at("datastore.new"));
    let old = place.at("datastore.old");
    remove_folder_if_there(&new)?;
    let mut out = LevelDbWriter::create(&new).map_err(ExportError::io("writing", &new))?;
    if added_to {
        // It is there as `old` where a crash came between the two steps below.
        let from = if folder.exists() { &folder } else { &old };
        keep_pairs(from, &mut out, &new, carried.files_root.is_some())?;
    }
    let count = put_pairs(pins, carried, &mut out).map_err(|error| match error {
        PairsError::Write(error) => ExportError::io("writing", &new)(error),
        PairsError::Pins(error) => error.into(),
    })?;
    out.finish().map_err(ExportError::io("writing", &new))?;
    if folder.exists() {
        remove_folder_if_there(&old)?;
        fs::rename(&folder, &old).map_err(ExportError::io("putting aside", &folder))?;
    }
    fs::rename(&new, &folder).map_err(ExportError::io("putting in place", &folder))?;
    sync_folder(place.root())?;
    remove_folder_if_there(&old)?;
    Ok(count)
}

/// Copies what the datastore of a repository holds beside pins.
fn keep_pairs(
    from: &Path,
    out: &mut LevelDbWriter,
    to: &Path,
    replaced_root: bool,
) -> Result<(), ExportError> {
    if !from.exists() {
        return Ok(());
    }
    let store = coldfront_pebble::Store::open(from)?;
    for pair in store.scan(b"") {
        let (key, value) = pair?;
        let replaced =
            key.starts_with(b"/pins/") || replaced_root && key == records::FILES_ROOT_KEY;
        if !replaced {
            out.put(&key, &value).map_err(ExportError::io("writing", to))?;
        }
    }
    Ok(())
}

/// Why pairs were not written.
enum PairsError {
    Write(io::Error),
    Pins(PinError),
}

impl From<io::Error> for PairsError {
    fn from(error: io::Error) -> Self {
        PairsError::Write(error)
    }
}

/// Writes pins, the files root and names. Returns the number of pins.
fn put_pairs(
    pins: &PinIndex,
    carried: &Carried,
    out: &mut LevelDbWriter,
) -> Result<u64, PairsError> {
    let mut count = 0;
    for pin in pins.list(None) {
        for (key, value) in records::pin(&pin.map_err(PairsError::Pins)?) {
            out.put(&key, &value)?;
        }
        count += 1;
    }
    let (key, value) = records::pins_are_clean();
    out.put(&key, &value)?;
    if let Some(root) = &carried.files_root {
        let (key, value) = records::files_root(root);
        out.put(&key, &value)?;
    }
    for (peer, record) in &carried.names {
        for (key, value) in records::own_name(peer, record) {
            out.put(&key, &value)?;
        }
    }
    Ok(count)
}

/// Writes the keystore. A key whose name another key has there gets a number behind its name. Returns the number of keys.
fn write_keys(place: &Place, keys: &[(String, Vec<u8>)]) -> Result<u64, ExportError> {
    let folder = place.at("keystore");
    ensure_folder(&folder)?;
    for (name, key) in keys {
        write_key(&folder, name, key)?;
    }
    sync_folder(&folder)?;
    Ok(keys.len() as u64)
}

fn write_key(folder: &Path, name: &str, key: &[u8]) -> Result<(), ExportError> {
    /// Numbers that are tried behind a name.
    const MAX_NAMESAKES: usize = 1000;
    let named = |n: usize| if n == 1 { name.to_owned() } else { format!("{name}-{n}") };
    for name in (1..=MAX_NAMESAKES).map(named) {
        let path = folder.join(key_file_name(&name)?);
        match read_if_there(&path, MAX_CONFIG_LEN)? {
            Some(there) if there == key => return Ok(()),
            Some(_) => {}
            None => return write_whole(&path, key, 0o400),
        }
    }
    Err(ExportError::KeyName { name: name.to_owned() })
}

fn key_file_name(name: &str) -> Result<String, ExportError> {
    /// The longest name of a file, with what it ends in while it is written.
    const MAX_LEN: usize = 255 - ".new".len();
    let text = data_encoding::BASE32_NOPAD.encode(name.as_bytes()).to_ascii_lowercase();
    let file = format!("key_{text}");
    if file.len() > MAX_LEN {
        return Err(ExportError::KeyName { name: name.to_owned() });
    }
    Ok(file)
}
