//! The stores of a repository as one space of keys.
//!
//! Owns which store answers for a key, and where blocks lie. Must not know what values mean. Rules: go-datastore
//! `mount/mount.go`: the longest mountpoint above a key has it, without the mountpoint; a key that equals a mountpoint
//! belongs to the one above.

use std::path::Path;

use coldfront_flatfs::{FlatFs, Key};
use coldfront_pebble::{Options, Scan, Store};
use data_encoding::BASE32_NOPAD;

use super::behind::is_cached;
use super::error::RepositoryError;
use super::spec::{Mount, StoreSpec};
use crate::block::MAX_BLOCK_LEN;

/// The beginning of the keys of blocks.
const BLOCKS: &str = "/blocks";

/// The stores of a repository, open.
#[derive(Debug)]
pub struct Datastore {
    /// The longest mountpoints first.
    mounts: Vec<(String, Reader)>,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Reader {
    Flatfs(FlatFs),
    Pairs(Box<Store>),
    Memory,
}

/// A place where blocks lie.
#[derive(Clone, Copy, Debug)]
pub enum BlockMount<'a> {
    /// A flatfs tree.
    Flatfs(&'a FlatFs),
    /// A store of pairs, and what its keys of blocks begin with.
    Pairs(&'a Store, &'a str),
}

impl Datastore {
    /// Opens every store of the mounts. A store whose folder is not there at all is an empty one, as Kubo takes it,
    /// but for one that holds blocks.
    pub(super) fn open(mounts: &[Mount], salvage: bool) -> Result<Datastore, RepositoryError> {
        let (mut open, mut notes) = (Vec::new(), Vec::new());
        for mount in mounts {
            let reader = match &mount.store {
                StoreSpec::Memory => Reader::Memory,
                StoreSpec::Flatfs { path } => Reader::Flatfs(FlatFs::open(path)?),
                StoreSpec::Pairs { path, .. }
                    if is_absent(path) && holds_no_blocks(mounts, mount) =>
                {
                    notes.push(format!("{} is not there; taken for empty", path.display()));
                    Reader::Memory
                }
                StoreSpec::Pairs { path, .. } => {
                    let options = Options::new().salvage(salvage).drop_behind(is_cached);
                    let store = Store::open_with(path, options)?;
                    notes.extend(store.notes().iter().map(ToString::to_string));
                    Reader::Pairs(Box::new(store))
                }
            };
            open.push((mount.mountpoint.clone(), reader));
        }
        Ok(Datastore { mounts: open, notes })
    }

    /// What was met at open and passed over, such as the torn end of a journal after a crash.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The value of a key such as `/local/filesroot`. A block or two of a store are read.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        let found = self.mounts.iter().find_map(|(at, reader)| Some((reader, below(at, key)?)));
        match found {
            None | Some((Reader::Memory, _)) => Ok(None),
            Some((Reader::Pairs(store), rest)) => Ok(store.get(rest.as_bytes())?),
            Some((Reader::Flatfs(tree), rest)) => {
                let text = rest.trim_start_matches('/').as_bytes();
                match BASE32_NOPAD.decode(text) {
                    Ok(bytes) => Ok(tree.get(Key::new(&bytes), MAX_BLOCK_LEN)?),
                    Err(_) => Ok(None),
                }
            }
        }
    }

    /// The pairs whose keys begin with `prefix` (whole parts, such as `/pins/pin`), store by store, each in the order
    /// of its keys. Flatfs trees, which hold blocks only, are left out.
    pub fn scan(&self, prefix: &str) -> Entries<'_> {
        let prefix = prefix.trim_end_matches('/').to_owned();
        Entries { datastore: self, prefix, next: 0, scan: None }
    }

    /// The keys of everything that is no block, each whole. Blocks are passed over without reading them.
    pub fn other_keys(&self) -> impl Iterator<Item = Result<String, RepositoryError>> {
        let stores = self.mounts.iter().filter_map(|(at, reader)| match reader {
            Reader::Pairs(store) if at != BLOCKS && !at.starts_with("/blocks/") => {
                Some((at, store))
            }
            _ => None,
        });
        stores.flat_map(move |(at, store)| {
            let whole = move |pair: Result<coldfront_pebble::Pair, coldfront_pebble::Error>| {
                let (key, _) = pair?;
                let key = String::from_utf8_lossy(&key);
                Ok(if at == "/" { key.into_owned() } else { format!("{at}{key}") })
            };
            // `0` is what follows the slash.
            let before = store.scan(b"").take_while(|pair| match pair {
                Ok((key, _)) => key.as_slice() < b"/blocks/".as_slice(),
                Err(_) => true,
            });
            before.chain(store.scan(b"/blocks0")).map(whole)
        })
    }

    /// Where blocks lie.
    pub fn blocks(&self) -> impl Iterator<Item = BlockMount<'_>> {
        let inside = |at: &str| at == BLOCKS || at.starts_with("/blocks/");
        // What is mounted at or inside /blocks, and the store above it only where nothing is mounted there.
        let covered = self.mounts.iter().any(|(at, _)| at == BLOCKS);
        self.mounts.iter().filter_map(move |(at, reader)| match reader {
            Reader::Memory => None,
            Reader::Flatfs(tree) => inside(at).then_some(BlockMount::Flatfs(tree)),
            Reader::Pairs(store) if inside(at) => Some(BlockMount::Pairs(store, "/")),
            Reader::Pairs(store) => {
                (!covered && at == "/").then_some(BlockMount::Pairs(store, "/blocks/"))
            }
        })
    }

    /// The part of `prefix` that is looked for in the store at a mountpoint; `None` when none of its keys can begin so.
    fn prefix_in(at: &str, prefix: &str) -> Option<String> {
        if prefix.is_empty()
            || at == prefix
            || at.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
        {
            return Some("/".to_owned());
        }
        below(at, prefix).map(|rest| format!("{rest}/"))
    }

    /// Whether the store at `at` has this key, and not one that is mounted inside it.
    fn owns(&self, at: &str, key: &str) -> bool {
        let owner = self.mounts.iter().find(|(other, _)| below(other, key).is_some());
        owner.is_some_and(|(other, _)| other == at)
    }
}

/// The key inside the store at a mountpoint, with its slash; `None` for one that lies elsewhere.
fn below<'a>(at: &str, key: &'a str) -> Option<&'a str> {
    if at == "/" {
        return Some(key);
    }
    key.strip_prefix(at).filter(|rest| rest.starts_with('/'))
}

fn is_absent(path: &Path) -> bool {
    path.try_exists().is_ok_and(|there| !there)
}

fn holds_no_blocks(mounts: &[Mount], mount: &Mount) -> bool {
    let inside = mount.mountpoint == BLOCKS || mount.mountpoint.starts_with("/blocks/");
    !inside && (mount.mountpoint != "/" || mounts.iter().any(|other| other.mountpoint == BLOCKS))
}

/// A walk over pairs. See [`Datastore::scan`].
#[derive(Debug)]
pub struct Entries<'a> {
    datastore: &'a Datastore,
    prefix: String,
    next: usize,
    scan: Option<(&'a str, Scan<'a>)>,
}

impl Iterator for Entries<'_> {
    /// The whole key, mountpoint included, and its value.
    type Item = Result<(String, Vec<u8>), RepositoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((at, scan)) = &mut self.scan else {
                let (at, reader) = self.datastore.mounts.get(self.next)?;
                self.next += 1;
                if let (Reader::Pairs(store), Some(prefix)) =
                    (reader, Datastore::prefix_in(at, &self.prefix))
                {
                    self.scan = Some((at, store.scan_prefix(prefix.as_bytes())));
                }
                continue;
            };
            let at = *at;
            match scan.next() {
                None => self.scan = None,
                Some(Err(error)) => return Some(Err(error.into())),
                Some(Ok((key, value))) => {
                    let key = String::from_utf8_lossy(&key);
                    let key = if at == "/" { key.into_owned() } else { format!("{at}{key}") };
                    if self.datastore.owns(at, &key) {
                        return Some(Ok((key, value)));
                    }
                }
            }
        }
    }
}
