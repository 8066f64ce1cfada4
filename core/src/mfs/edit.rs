//! One change of the tree: from a root to the next one.
//!
//! Owns how a change of a directory reaches the root, and what each verb does to a tree. Must not know
//! locks, nor where roots are kept. Rules: boxo `mfs/ops.go`, `mfs/dir.go`, kubo `core/commands/files.go`.

use super::blocks::Blocks;
use super::directory::Directory;
use super::error::MfsError;
use super::file::{Manner, Modifier};
use super::node::{Child, CidFormat, Draft, Message, Pb, tsize};
use super::path::MfsPath;
use super::{MfsOptions, WriteOptions};
use crate::block::{Cid, DAG_PB, RAW};
use crate::error::ReadError;
use crate::unixfs::data::{DataType, Mtime};

/// A tree that is being changed.
pub(super) struct Edit<'s> {
    pub(super) blocks: Blocks<'s>,
    pub(super) root: Cid,
    options: &'s MfsOptions,
}

/// What a path leads to.
pub(super) enum Place {
    Directory(Cid),
    File(Cid),
}

impl Place {
    pub(super) fn cid(&self) -> &Cid {
        match self {
            Place::Directory(cid) | Place::File(cid) => cid,
        }
    }
}

impl<'s> Edit<'s> {
    pub(super) fn new(blocks: Blocks<'s>, root: Cid, options: &'s MfsOptions) -> Edit<'s> {
        Edit { blocks, root, options }
    }

    fn directory(&self, cid: &Cid) -> Result<Option<Directory>, MfsError> {
        let mut directory = Directory::load(&self.blocks, cid)?;
        if *cid == self.root
            && let Some(root) = &mut directory
        {
            root.set_format(self.options.format);
        }
        Ok(directory)
    }

    /// What lies at the end of names. Reads one block a name, and one a level of shards.
    pub(super) fn find(&self, names: &[String]) -> Result<Place, MfsError> {
        let mut place = Place::Directory(self.root);
        for (at, name) in names.iter().enumerate() {
            let below = || MfsError::BelowAFile(names.get(..=at).unwrap_or_default().join("/"));
            let Place::Directory(cid) = place else { return Err(below()) };
            let mut directory = self.directory(&cid)?.ok_or_else(below)?;
            let link = directory.find(&self.blocks, name.as_bytes())?;
            place = self.place(&link.ok_or(MfsError::NotFound)?.child.cid)?;
        }
        Ok(place)
    }

    fn place(&self, cid: &Cid) -> Result<Place, MfsError> {
        match cid.codec() {
            RAW => Ok(Place::File(*cid)),
            DAG_PB if self.directory(cid)?.is_some() => Ok(Place::Directory(*cid)),
            DAG_PB => Ok(Place::File(*cid)),
            codec => Err(ReadError::UnsupportedCodec { cid: *cid, codec }.into()),
        }
    }

    /// Changes the directory at the end of names, and those above it up to the root.
    fn change<T>(
        &mut self,
        names: &[String],
        act: impl FnOnce(&mut Directory, &mut Blocks<'s>) -> Result<T, MfsError>,
    ) -> Result<T, MfsError> {
        let (child, made) = self.change_below(self.root, names, act)?;
        self.root = child.cid;
        Ok(made)
    }

    fn change_below<T>(
        &mut self,
        cid: Cid,
        names: &[String],
        act: impl FnOnce(&mut Directory, &mut Blocks<'s>) -> Result<T, MfsError>,
    ) -> Result<(Child, T), MfsError> {
        let not_one = || MfsError::NotADirectory(format!("/{}", names.join("/")));
        let mut directory = self.directory(&cid)?.ok_or_else(not_one)?;
        let made = match names.split_first() {
            None => act(&mut directory, &mut self.blocks)?,
            Some((name, below)) => {
                let link = directory.find(&self.blocks, name.as_bytes())?;
                let link = link.ok_or(MfsError::NotFound)?;
                let (child, made) = self.change_below(link.child.cid, below, act)?;
                let options = &self.options.directories;
                directory.set(&self.blocks, options, name.as_bytes(), child)?;
                made
            }
        };
        Ok((directory.store(&mut self.blocks)?, made))
    }

    fn set(&mut self, above: &[String], name: &str, child: Child) -> Result<(), MfsError> {
        let options = &self.options.directories;
        self.change(above, |directory, blocks| {
            directory.set(blocks, options, name.as_bytes(), child)
        })
    }

    /// Puts an entry where none is.
    fn add(&mut self, above: &[String], name: &str, child: Child) -> Result<(), MfsError> {
        let options = &self.options.directories;
        self.change(above, |directory, blocks| match directory.find(blocks, name.as_bytes())? {
            Some(_) => Err(MfsError::EntryExists),
            None => directory.set(blocks, options, name.as_bytes(), child),
        })
    }

    fn unlink(&mut self, above: &[String], name: &str) -> Result<(), MfsError> {
        let options = &self.options.directories;
        self.change(above, |directory, blocks| {
            match directory.remove(blocks, options, name.as_bytes())? {
                true => Ok(()),
                false => Err(MfsError::NotFound),
            }
        })
    }

    /// Makes a directory; with `parents` also those above it, and it is no error that they exist.
    pub(super) fn mkdir(
        &mut self,
        path: &MfsPath,
        parents: bool,
        format: Option<CidFormat>,
    ) -> Result<(), MfsError> {
        let Some((above, name)) = path.split() else {
            return if parents { Ok(()) } else { Err(MfsError::RootExists) };
        };
        let format = format.unwrap_or(self.options.format);
        let mut made = Vec::with_capacity(above.len());
        for (at, next) in above.iter().enumerate() {
            let here: Vec<String> = made.clone();
            made.push(next.clone());
            match self.find(&made) {
                Ok(Place::Directory(_)) => {}
                Ok(Place::File(_)) => {
                    let before = above.get(..at).unwrap_or_default().join("/");
                    return Err(MfsError::ParentIsAFile(before));
                }
                Err(MfsError::NotFound) if parents => self.add_empty(&here, next, format)?,
                Err(error) => return Err(error),
            }
        }
        match self.find(path.names()) {
            Ok(Place::Directory(_)) if parents => Ok(()),
            Ok(_) => Err(MfsError::Exists),
            Err(MfsError::NotFound) => self.add_empty(above, name, format),
            Err(error) => Err(error),
        }
    }

    fn add_empty(
        &mut self,
        above: &[String],
        name: &str,
        format: CidFormat,
    ) -> Result<(), MfsError> {
        let empty = Directory::new(format).store(&mut self.blocks)?;
        self.set(above, name, empty)
    }

    /// The directories above a path, made where they are missing.
    pub(super) fn parents_of(
        &mut self,
        path: &MfsPath,
        format: Option<CidFormat>,
    ) -> Result<(), MfsError> {
        // A path that ends in a slash counts whole.
        let names = if path.has_slash() { Some(path.names()) } else { path.split().map(|at| at.0) };
        let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(()) };
        self.mkdir(&MfsPath::parse(&format!("/{}", names.join("/")))?, true, format)
    }

    /// Hangs a node into the tree.
    pub(super) fn put(&mut self, to: &MfsPath, source: Child, force: bool) -> Result<(), MfsError> {
        let (above, name) = to.split().ok_or(MfsError::NoName)?;
        if force {
            self.make_room(to).map_err(|e| e.at("cp: cannot unlink existing file"))?;
        }
        let cannot = |e: MfsError| e.at(format!("cp: cannot put node in path {to}"));
        match self.find(above).map_err(cannot)? {
            Place::Directory(_) => {}
            Place::File(_) => {
                let above = format!("/{}/", above.join("/"));
                return Err(cannot(MfsError::NotADirectory(above)));
            }
        }
        let child = self.as_file(source)?;
        self.add(above, name, child).map_err(cannot)
    }

    /// Removes a file that stands in the way of a copy by force.
    fn make_room(&mut self, to: &MfsPath) -> Result<(), MfsError> {
        let Some((above, name)) = to.split() else { return Ok(()) };
        match self.find(above) {
            Ok(Place::Directory(_)) => {}
            Ok(Place::File(_)) => {
                return Err(MfsError::ForcedBelowAFile(format!("/{}/", above.join("/"))));
            }
            Err(MfsError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.find(to.names()) {
            Ok(Place::Directory(_)) => Err(MfsError::ForcedOverADirectory(to.to_string())),
            Ok(Place::File(_)) => self.unlink(above, name),
            Err(_) => Ok(()),
        }
    }

    /// A file as it is after being opened and flushed once, which Kubo does with what it has copied.
    fn as_file(&mut self, child: Child) -> Result<Child, MfsError> {
        if child.cid.codec() != DAG_PB || CidFormat::of(&child.cid).is_v0() {
            return Ok(child);
        }
        let manner = Manner { raw_leaves: None, chunker: self.options.chunker, now: NEVER };
        match Modifier::open(&mut self.blocks, &child.cid, &manner) {
            Ok(file) => Ok(file.leaf()?.unwrap_or(child)),
            Err(_) => Ok(child),
        }
    }

    /// What a link to a node says of it. Reads its block, unless it is raw.
    pub(super) fn child_of(&self, cid: &Cid) -> Result<Child, MfsError> {
        if cid.codec() == RAW {
            let size = self.blocks.size(cid)?.ok_or(ReadError::Missing(*cid))?;
            return Ok(Child { cid: *cid, tsize: size });
        }
        let block = self.blocks.get(cid)?;
        let pb = Pb::parse(cid, &block)?;
        Ok(Child { cid: *cid, tsize: tsize(&block, &pb.links) })
    }

    /// Moves an entry; into a directory that is there, over a file that is there.
    pub(super) fn mv(&mut self, from: &MfsPath, to: &MfsPath) -> Result<(), MfsError> {
        let no_source = || if from.is_root() { MfsError::NoName } else { MfsError::NotFound };
        let (from_above, from_name) = from.split().ok_or_else(no_source)?;
        let mut to = if to.has_slash() || to.is_root() {
            self.directory_at(to)?;
            to.clone().join(from_name)
        } else {
            to.clone()
        };
        let (above, _) = to.split().ok_or(MfsError::NoName)?;
        self.directory_at(&parent(above)?)?;
        self.directory_at(&parent(from_above)?)?;
        if from.has_slash() {
            return Err(MfsError::NotFound);
        }
        let source = self.find(from.names())?;
        // Into a directory that is there, where nothing of the name may be.
        let inside = matches!(self.find(to.names()), Ok(Place::Directory(_)));
        if inside {
            to = to.join(from_name);
        }
        if matches!(source, Place::Directory(_)) && from.holds(&to) {
            return Err(into_itself(from, &to));
        }
        let there = match self.find(to.names()) {
            Ok(place) => Some(place),
            Err(MfsError::NotFound) => None,
            Err(error) => return Err(error),
        };
        if inside && there.is_some() {
            return Err(MfsError::EntryExists);
        }
        if to.names() == from.names() {
            return Ok(());
        }
        let child = self.child_of(source.cid())?;
        let (above, name) = to.split().ok_or(MfsError::NoName)?;
        self.set(above, name, child)?;
        self.unlink(from_above, from_name)
    }

    fn directory_at(&self, path: &MfsPath) -> Result<(), MfsError> {
        match self.find(path.names())? {
            Place::Directory(_) => Ok(()),
            // Kubo names the part of the path before the last name.
            Place::File(_) => {
                let path = path.to_string();
                Err(MfsError::NotADirectory(format!("{}/", path.trim_end_matches('/'))))
            }
        }
    }

    /// Removes an entry.
    pub(super) fn rm(
        &mut self,
        path: &MfsPath,
        recursive: bool,
        force: bool,
    ) -> Result<(), MfsError> {
        let (above, name) = path.split().ok_or(MfsError::RemovesRoot)?;
        let found = self.find(path.names());
        match found {
            Err(MfsError::NotFound) if force => Ok(()),
            // With force what cannot be read goes as well.
            _ if force => self.unlink(above, name),
            Ok(Place::Directory(_)) if !recursive => Err(MfsError::IsADirectory),
            Ok(_) => self.unlink(above, name),
            Err(error) => Err(error),
        }
    }

    /// Changes the form of a directory's CID.
    pub(super) fn chcid(
        &mut self,
        path: &MfsPath,
        format: Option<CidFormat>,
    ) -> Result<(), MfsError> {
        if path.is_root() {
            return Err(MfsError::RootFormat);
        }
        match (self.find(path.names())?, format) {
            (_, None) => Ok(()),
            (Place::File(_), Some(_)) => Err(MfsError::OnlyDirectories),
            (Place::Directory(_), Some(format)) => self.change(path.names(), |directory, _| {
                directory.set_format(format);
                Ok(())
            }),
        }
    }

    /// Changes what a node says of itself beside its content.
    pub(super) fn set_attributes(
        &mut self,
        path: &MfsPath,
        change: impl FnOnce(&mut Message),
    ) -> Result<(), MfsError> {
        let file = match self.find(path.names())? {
            Place::Directory(cid) => {
                return self
                    .change(path.names(), |directory, _| directory.set_attributes(&cid, change));
            }
            Place::File(cid) => Draft::load(&self.blocks, &cid)?,
        };
        let (above, name) = path.split().ok_or(MfsError::NoName)?;
        let mut pb = match file {
            Draft::Pb(pb) => pb,
            // Raw bytes say nothing of themselves: they move into a node.
            Draft::Raw { data, .. } => {
                let mut pb = Pb::new(CidFormat::V0, DataType::File);
                if !data.is_empty() {
                    pb.message.set_data(data.to_vec());
                }
                pb
            }
        };
        change(&mut pb.message);
        let child = pb.store(&mut self.blocks)?;
        self.set(above, name, child)
    }

    /// The file that a write goes to: its CID, or that of an empty one that is not in the tree yet.
    pub(super) fn file_to_write(
        &mut self,
        path: &MfsPath,
        options: &WriteOptions,
    ) -> Result<Cid, MfsError> {
        if options.parents {
            self.parents_of(path, options.format)?;
        }
        match self.find(path.names()) {
            Ok(Place::File(cid)) => Ok(cid),
            Ok(Place::Directory(_)) => Err(MfsError::NotAFile(path.to_string())),
            Err(MfsError::NotFound) if options.create && !path.has_slash() => {
                let above = path.split().ok_or(MfsError::NoName)?.0;
                self.directory_at(&parent(above)?)?;
                let format = options.format.unwrap_or(self.options.format);
                Ok(Pb::new(format, DataType::File).store(&mut self.blocks)?.cid)
            }
            Err(error) => Err(error),
        }
    }

    /// Puts a file that was written into its place.
    pub(super) fn put_written(
        &mut self,
        path: &MfsPath,
        child: Child,
        options: &WriteOptions,
    ) -> Result<(), MfsError> {
        if options.parents {
            self.parents_of(path, options.format)?;
        }
        match self.find(path.names()) {
            Ok(Place::Directory(_)) => return Err(MfsError::NotAFile(path.to_string())),
            Err(MfsError::NotFound) if options.create => {}
            Err(error) => return Err(error),
            Ok(Place::File(_)) => {}
        }
        let (above, name) = path.split().ok_or(MfsError::NoName)?;
        self.set(above, name, child)
    }
}

/// A time for changes that write none.
const NEVER: Mtime = Mtime { seconds: 0, nanos: 0 };

fn parent(above: &[String]) -> Result<MfsPath, MfsError> {
    MfsPath::parse(&format!("/{}", above.join("/")))
}

fn into_itself(from: &MfsPath, to: &MfsPath) -> MfsError {
    MfsError::IntoItself { from: from.to_string(), to: to.to_string() }
}
