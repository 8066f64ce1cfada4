//! A tree of directories, from entries that come with their paths in any order.
//!
//! Owns paths, the memory of what has come, and the order in which directories are made. Must not know
//! how a directory becomes blocks. Rules: kubo `core/coreunix/add.go`.
//!
//! Nothing can be made before the last entry has come, since any directory may get another one. So
//! entries are remembered, in pages: a binary CID, a name and a few bytes more, and a handle in the list
//! of its directory.

use std::collections::HashMap;

use super::directory::{self, Entry};
use super::error::ImportError;
use super::options::Metadata;
use super::{Imported, Importer};
use crate::block::Cid;
use crate::unixfs::wire::{self, Reader};

/// The longest path, in bytes.
pub const MAX_PATH_LEN: usize = 64 * 1024;

/// Bytes of a page. The longest entry, of a path of its own length, fits four times.
const PAGE: usize = 256 * 1024;
const _: () = assert!(PAGE > MAX_PATH_LEN + 1024);

/// The number of the root.
const ROOT: u32 = 0;

/// The entries of a tree. About 60 to 100 bytes for an entry beside its name, 200 for a directory.
#[derive(Debug)]
pub struct Tree {
    folders: Vec<Folder>,
    /// A folder by its parent and name.
    index: HashMap<(u32, Box<[u8]>), u32>,
    pages: Pages,
}

#[derive(Debug, Default)]
struct Folder {
    parent: u32,
    /// Handles of its entries' records.
    entries: Vec<u64>,
    /// Said of it by its owner.
    meta: Option<Box<Metadata>>,
    /// Its binary CID and cumulative size, once it is made.
    made: Option<(Box<[u8]>, u64)>,
}

impl Default for Tree {
    fn default() -> Self {
        Tree::new()
    }
}

impl Tree {
    /// A tree of nothing but its root.
    pub fn new() -> Self {
        Tree { folders: vec![Folder::default()], index: HashMap::new(), pages: Pages::default() }
    }

    /// Puts something that was imported at a path such as `a/b`. Directories on the way are made. Two
    /// entries of one path are an error, here or when the tree is finished.
    pub fn insert(&mut self, path: &[u8], imported: &Imported) -> Result<(), ImportError> {
        let (above, name) = split(path)?;
        let parent = self.folder(above)?;
        if self.index.contains_key(&(parent, Box::from(name))) {
            return Err(ImportError::AlreadyThere(text(path)));
        }
        let handle = self.pages.entry(name, &imported.cid, imported.tsize);
        self.entries_of(parent).push(handle);
        Ok(())
    }

    /// Makes sure of a directory at a path; the empty path is the root. What is said of one that is there
    /// already replaces what was said before, if it says anything.
    pub fn directory(&mut self, path: &[u8], meta: &Metadata) -> Result<(), ImportError> {
        let number = if path.is_empty() { ROOT } else { self.folder(path)? };
        if *meta != Metadata::NONE
            && let Some(folder) = self.folders.get_mut(number as usize)
        {
            folder.meta = Some(Box::new(*meta));
        }
        Ok(())
    }

    /// The folder of a path, with those above it; made where it is not there.
    fn folder(&mut self, path: &[u8]) -> Result<u32, ImportError> {
        let mut number = ROOT;
        if path.is_empty() {
            return Ok(number);
        }
        check(path)?;
        for name in path.split(|byte| *byte == b'/') {
            number = self.child(number, name);
        }
        Ok(number)
    }

    fn child(&mut self, parent: u32, name: &[u8]) -> u32 {
        let key = (parent, Box::from(name));
        if let Some(number) = self.index.get(&key) {
            return *number;
        }
        // Memory ends long before the numbers do.
        let number = u32::try_from(self.folders.len()).unwrap_or(u32::MAX);
        self.folders.push(Folder { parent, ..Folder::default() });
        self.index.insert(key, number);
        let handle = self.pages.folder(name, number);
        self.entries_of(parent).push(handle);
        number
    }

    fn entries_of(&mut self, number: u32) -> &mut Vec<u64> {
        // Numbers are given out here alone, so there always is one.
        let at = (number as usize).min(self.folders.len().saturating_sub(1));
        &mut self.folders[at].entries
    }

    /// Makes all directories and the root above them, whose CID it gives. `each` hears of every
    /// directory, children before parents and in the order of names; the root comes last, with an
    /// empty path.
    pub fn finish(
        self,
        importer: &mut Importer,
        each: &mut dyn FnMut(&[u8], &Imported),
    ) -> Result<Imported, ImportError> {
        let root = Making::new(self, importer, true).make(each)?;
        // The walk ends with the root.
        root.ok_or(ImportError::Poisoned)
    }

    /// Makes all directories but the root: its entries are roots of their own. `each` hears of every
    /// directory, as with [`Tree::finish`].
    pub fn finish_entries(
        self,
        importer: &mut Importer,
        each: &mut dyn FnMut(&[u8], &Imported),
    ) -> Result<(), ImportError> {
        Making::new(self, importer, false).make(each).map(drop)
    }
}

/// The path above the last name, and that name.
fn split(path: &[u8]) -> Result<(&[u8], &[u8]), ImportError> {
    check(path)?;
    let slash = path.iter().rposition(|byte| *byte == b'/');
    Ok(match slash.map(|at| path.split_at(at)) {
        Some((above, name)) => (above, name.get(1..).unwrap_or_default()),
        None => (&[], path),
    })
}

/// Names between single slashes, none of which leads elsewhere.
fn check(path: &[u8]) -> Result<(), ImportError> {
    let refused = |reason| Err(ImportError::Path { path: text(path), reason });
    if path.len() > MAX_PATH_LEN {
        let reason = "is longer than 65536 bytes; shorten its names";
        return Err(ImportError::Path { path: text(path.get(..80).unwrap_or_default()), reason });
    }
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" => {
                return refused("has an empty name in it, expected names between single slashes");
            }
            b"." | b".." => return refused("has \".\" or \"..\" in it, expected names only"),
            _ => {}
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The walk that makes directories: depth first, in the order of names, without recursion, so that deep
/// trees need memory and no stack.
struct Making<'i> {
    tree: Tree,
    importer: &'i mut Importer,
    with_root: bool,
    /// The folders from the root to the one at hand.
    open: Vec<Walk>,
    path: Vec<u8>,
}

/// A folder whose subfolders are being made.
struct Walk {
    number: u32,
    /// Handles of subfolders that are still to be made, the last one first.
    ahead: Vec<u64>,
    /// The length of the path above it.
    above: usize,
}

impl<'i> Making<'i> {
    fn new(tree: Tree, importer: &'i mut Importer, with_root: bool) -> Self {
        let mut making = Making { tree, importer, with_root, open: Vec::new(), path: Vec::new() };
        making.tree.index = HashMap::new();
        making.open(ROOT, 0);
        making
    }

    fn open(&mut self, number: u32, above: usize) {
        let pages = &self.tree.pages;
        let entries = self.tree.folders.get(number as usize).map(|folder| &folder.entries[..]);
        let mut ahead: Vec<u64> =
            entries.unwrap_or_default().iter().copied().filter(|at| pages.is_folder(*at)).collect();
        ahead.sort_unstable_by(|a, b| pages.name(*b).cmp(pages.name(*a)));
        self.open.push(Walk { number, ahead, above });
    }

    fn make(
        mut self,
        each: &mut dyn FnMut(&[u8], &Imported),
    ) -> Result<Option<Imported>, ImportError> {
        let mut made = None;
        while let Some(walk) = self.open.last_mut() {
            if let Some(handle) = walk.ahead.pop() {
                self.enter(handle);
                continue;
            }
            let (number, above) = (walk.number, walk.above);
            self.open.pop();
            if number != ROOT || self.with_root {
                let directory = self.close(number)?;
                each(&self.path, &directory);
                made = (number == ROOT).then_some(directory);
            }
            self.path.truncate(above);
        }
        Ok(made)
    }

    fn enter(&mut self, handle: u64) {
        let Some(Said::Folder(number)) = self.tree.pages.said(handle) else { return };
        if self.is_left_out(number) {
            return;
        }
        let above = self.path.len();
        if above > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(self.tree.pages.name(handle));
        self.open(number, above);
    }

    /// Empty directories may be left out; one that is a root of its own is not.
    fn is_left_out(&self, number: u32) -> bool {
        let Some(folder) = self.tree.folders.get(number as usize) else { return true };
        let is_root = folder.parent == ROOT && !self.with_root;
        !self.importer.plan.empty_directories && folder.entries.is_empty() && !is_root
    }

    /// Makes the directory of a folder, all of whose subfolders are made.
    fn close(&mut self, number: u32) -> Result<Imported, ImportError> {
        let Some(folder) = self.tree.folders.get_mut(number as usize) else {
            return Err(ImportError::Poisoned);
        };
        let mut entries = std::mem::take(&mut folder.entries);
        let meta = folder.meta.take().map_or(Metadata::NONE, |meta| *meta);
        let Tree { folders, pages, .. } = &self.tree;
        // Folders that were left out have no CID.
        entries.retain(|handle| match pages.said(*handle) {
            Some(Said::Folder(number)) => made(folders, number).is_some(),
            said => said.is_some(),
        });
        let Importer { plan, output } = &mut *self.importer;
        let at = |handle| entry(pages, folders, handle);
        let made = directory::make(&mut entries, &at, &meta, plan, output);
        let child = made.map_err(|error| below(&self.path, error))?;
        if let Some(folder) = self.tree.folders.get_mut(number as usize) {
            folder.made = Some((child.cid.to_bytes().into(), child.tsize));
        }
        Ok(child.into())
    }
}

/// An error that names an entry of a directory, with the whole path.
fn below(directory: &[u8], error: ImportError) -> ImportError {
    match error {
        ImportError::AlreadyThere(name) if !directory.is_empty() => {
            ImportError::AlreadyThere(format!("{}/{name}", text(directory)))
        }
        error => error,
    }
}

fn made(folders: &[Folder], number: u32) -> Option<(&[u8], u64)> {
    let (cid, tsize) = folders.get(number as usize)?.made.as_ref()?;
    Some((cid, *tsize))
}

/// The entry that a handle stands for. Handles are given out by [`Pages`] alone, so there is one.
fn entry<'a>(pages: &'a Pages, folders: &'a [Folder], handle: u64) -> Entry<'a> {
    let (cid, tsize) = match pages.said(handle) {
        Some(Said::Entry { cid, tsize }) => (cid, tsize),
        Some(Said::Folder(number)) => made(folders, number).unwrap_or_default(),
        None => Default::default(),
    };
    Entry { name: pages.name(handle), cid, tsize }
}

/// Records of entries, one behind the other. A handle is a page and an offset in it.
#[derive(Debug, Default)]
struct Pages(Vec<Vec<u8>>);

/// What a record says of an entry, beside its name.
enum Said<'a> {
    Entry { cid: &'a [u8], tsize: u64 },
    Folder(u32),
}

impl Pages {
    fn entry(&mut self, name: &[u8], cid: &Cid, tsize: u64) -> u64 {
        let cid = cid.to_bytes();
        self.record(name, |page| {
            wire::put_varint(page, cid.len() as u64);
            page.extend_from_slice(&cid);
            wire::put_varint(page, tsize);
        })
    }

    /// A folder has no CID yet, so its record begins with none.
    fn folder(&mut self, name: &[u8], number: u32) -> u64 {
        self.record(name, |page| {
            wire::put_varint(page, 0);
            wire::put_varint(page, u64::from(number));
        })
    }

    fn record(&mut self, name: &[u8], say: impl FnOnce(&mut Vec<u8>)) -> u64 {
        // A CID has at most 160 bytes, a number at most 10.
        let room = name.len() + 256;
        if self.0.last().is_none_or(|page| page.len() + room > PAGE) {
            self.0.push(Vec::with_capacity(PAGE));
        }
        let number = self.0.len().saturating_sub(1);
        let Some(page) = self.0.last_mut() else { return 0 };
        let handle = (number * PAGE + page.len()) as u64;
        say(page);
        wire::put_varint(page, name.len() as u64);
        page.extend_from_slice(name);
        handle
    }

    fn read(&self, handle: u64) -> Option<(Said<'_>, &[u8])> {
        let page = self.0.get((handle / PAGE as u64) as usize)?;
        let mut reader = Reader::new(page.get((handle % PAGE as u64) as usize..)?);
        let cid = reader.bytes().ok()?.rest();
        let number = reader.varint().ok()?;
        let said = match cid {
            [] => Said::Folder(number as u32),
            cid => Said::Entry { cid, tsize: number },
        };
        Some((said, reader.bytes().ok()?.rest()))
    }

    fn said(&self, handle: u64) -> Option<Said<'_>> {
        self.read(handle).map(|(said, _)| said)
    }

    fn is_folder(&self, handle: u64) -> bool {
        matches!(self.said(handle), Some(Said::Folder(_)))
    }

    fn name(&self, handle: u64) -> &[u8] {
        self.read(handle).map(|(_, name)| name).unwrap_or_default()
    }
}
