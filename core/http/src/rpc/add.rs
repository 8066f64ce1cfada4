//! `add`: files and directories from the body into the hot store. Twin of kubo `core/commands/add.go` and
//! `core/coreunix/add.go`.
//!
//! Each top-level entry of the body is a root of its own, and a pin. The last event of an answer leaves when everything
//! before it is durable and pinned: a client may delete its copy on that word.

use std::io::Read;
use std::sync::Arc;

use coldfront::mfs::CpOptions;
use coldfront::pin::{MAX_NAME_LEN, NewPin};
use coldfront::unixfs::import::options::MAX_INLINE;
use coldfront::unixfs::import::{
    DirectoryOptions, HashFunction, ImportOptions, Imported, Importer, Layout, Metadata, Mtime,
    Tree,
};
use coldfront::{BlockStore, Cid};
use serde::Serialize;

use super::call::Call;
use super::cid_text::CidText;
use super::error::Failed;
use super::import_settings::ImportSettings;
use super::multipart::{MAX_TARGET, Part, PartKind, Parts};
use super::table::{Arg, Class, Command, Effect, Kind, Late, Opt};
use super::upload::Upload;

/// Bytes between two reports of progress.
const PROGRESS_EVERY: u64 = 256 * 1024;

/// Roots that are made durable and pinned together, when there are many.
const ROOTS_AT_A_TIME: usize = 1000;

const NO_FILESTORE: &str = "either the filestore or the urlstore must be enabled to use nocopy, see: https://github.com/ipfs/kubo/blob/master/docs/experimental-features.md#ipfs-filestore";

pub(super) const COMMANDS: &[Command] = &[Command {
    args: &[Arg::files("path", "Files, directories and symbolic links, parts by their paths")],
    options: &[
        Opt::flag(&["recursive", "r"], "Used by clients").or("false"),
        Opt::flag(&["empty-dirs", "E"], "Keep directories without entries").or("true"),
        Opt::flag(&["quiet", "q"], "Used by clients"),
        Opt::flag(&["quieter", "Q"], "Used by clients"),
        Opt::flag(&["silent"], "Report directories and roots alone"),
        Opt::flag(&["progress", "p"], "Report bytes as they are taken in"),
        Opt::flag(&["only-hash", "n"], "Make CIDs and store nothing"),
        Opt::flag(&["wrap-with-directory", "w"], "Put everything into one directory"),
        Opt::flag(&["pin"], "Pin the roots").or("true"),
        Opt::text(&["pin-name"], "A name for the pins"),
        Opt::text(&["to-files"], "A path in MFS at which the roots appear"),
        Opt::int(&["cid-version"], "Version of the CIDs, 0 or 1"),
        Opt::text(&["hash"], "The hash function"),
        Opt::flag(&["raw-leaves"], "Leaves are raw blocks"),
        Opt::text(
            &["chunker", "s"],
            "Where files are cut: size-N, rabin, rabin-MIN-AVG-MAX, buzhash",
        ),
        Opt::flag(&["trickle", "t"], "The trickle layout"),
        Opt::int(&["max-file-links"], "The most links of a node of a file"),
        Opt::int(&["max-directory-links"], "The most links of a directory of one block"),
        Opt::int(&["max-hamt-fanout"], "Slots of a shard, a power of two from 8 to 1024"),
        Opt::flag(&["inline"], "Make small blocks identity CIDs"),
        Opt::int(&["inline-limit"], "The longest block that is inlined, in bytes").or("32"),
        Opt::flag(&["nocopy"], "Refused: there is no filestore"),
        Opt::flag(&["fscache"], "Ignored: there is no filestore"),
        Opt::flag(&["preserve-mode"], "Keep the modes that the parts name"),
        Opt::flag(&["preserve-mtime"], "Keep the times that the parts name"),
        Opt::new(&["mode"], Kind::Uint, "A mode for all entries"),
        Opt::new(&["mtime"], Kind::Int64, "A time for all entries, in seconds since 1970"),
        Opt::new(&["mtime-nsecs"], Kind::Uint, "Its nanoseconds"),
        Opt::flag(&["fast-provide-root"], "Ignored: nothing is announced"),
        Opt::flag(&["fast-provide-dag"], "Ignored: nothing is announced"),
        Opt::flag(&["fast-provide-wait"], "Ignored: nothing is announced"),
    ],
    output: r#"{"Name","Hash"?,"Bytes"?,"Size"?,"Mode"?,"Mtime"?,"MtimeNsecs"?}, one a line"#,
    effect: Effect::Writes,
    class: Class::Upload,
    late: Late::Cut,
    ..Command::new("add", "Store files and directories, and pin them", add)
}];

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddEvent {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hash: String,
    #[serde(skip_serializing_if = "is_zero")]
    bytes: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    size: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mode: String,
    #[serde(skip_serializing_if = "is_not_after_zero")]
    mtime: i64,
    #[serde(skip_serializing_if = "is_none")]
    mtime_nsecs: u32,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_none(value: &u32) -> bool {
    *value == 0
}

fn is_not_after_zero(value: &i64) -> bool {
    *value <= 0
}

/// The options of a call, checked.
struct Plan {
    import: ImportOptions,
    pin: bool,
    pin_name: String,
    only_hash: bool,
    wrap: bool,
    silent: bool,
    progress: bool,
    preserve_mode: bool,
    preserve_mtime: bool,
    meta: Metadata,
    to_files: Option<String>,
    cids: CidText,
}

impl Plan {
    fn of(call: &Call) -> Result<Plan, Failed> {
        let options = &call.options;
        let only_hash = options.flag("only-hash");
        let pin = options.flag("pin") && !only_hash;
        let wrap = options.flag("wrap-with-directory");
        let pin_name = options.text("pin-name");
        let to_files = options.text("to-files").map(str::to_owned);
        let inline_limit = options.int("inline-limit").unwrap_or(0);
        let inline = options.flag("inline");
        if inline && inline_limit > MAX_INLINE as i64 {
            return Err(Failed::new(format!(
                "inline-limit {inline_limit} exceeds maximum allowed size of {MAX_INLINE} bytes"
            )));
        }
        pin_name.map_or(Ok(()), check_pin_name)?;
        let (preserve_mode, preserve_mtime) =
            (options.flag("preserve-mode"), options.flag("preserve-mtime"));
        let meta = metadata(call);
        let with_metadata = preserve_mode || preserve_mtime || meta != Metadata::NONE;
        let settings = ImportSettings::of(call.daemon.settings())?;
        if with_metadata && options.bool("raw-leaves").or(settings.raw_leaves) == Some(true) {
            return Err(Failed::new(
                "raw-leaves can't be used with UnixFS metadata like mode or modification time",
            ));
        }
        let together =
            |a: &str, b: &str| Failed::new(format!("{a} and {b} options are not compatible"));
        if only_hash && to_files.is_some() {
            return Err(together("only-hash", "to-files"));
        }
        if !pin && pin_name.is_some() {
            return Err(Failed::new("pin-name option requires pin to be set"));
        }
        if wrap && to_files.is_some() {
            return Err(together("wrap-with-directory", "to-files"));
        }
        let hash = match options.text("hash").filter(|name| !name.is_empty()) {
            Some(name) => {
                HashFunction::by_name(name).map_err(|error| Failed::new(error.to_string()))?
            }
            None => settings.hash.unwrap_or_default(),
        };
        if options.int("mtime").unwrap_or(0) == 0 && options.int("mtime-nsecs").unwrap_or(0) != 0 {
            return Err(Failed::new(
                "option \"mtime-nsecs\" requires \"mtime\" to be provided as well",
            ));
        }
        if options.flag("nocopy") {
            return Err(Failed::new(NO_FILESTORE));
        }
        let import = ImportOptions {
            inline_limit: inline.then(|| usize::try_from(inline_limit).unwrap_or(0)),
            hash,
            metadata: with_metadata,
            ..import_options(call, &settings)?
        };
        Ok(Plan {
            import,
            pin,
            pin_name: pin_name.unwrap_or_default().to_owned(),
            only_hash,
            wrap,
            silent: options.flag("silent"),
            progress: options.flag("progress"),
            preserve_mode,
            preserve_mtime,
            meta,
            to_files,
            cids: call.cids()?,
        })
    }

    fn importer(&self, store: Option<&Arc<dyn BlockStore>>) -> Result<Importer, Failed> {
        Ok(match store {
            Some(store) => Importer::new(&self.import, store.clone())?,
            None => Importer::only_hash(&self.import)?,
        })
    }

    /// The metadata that an entry gets.
    fn meta_of(&self, part: &Part) -> Metadata {
        Metadata {
            mode: if self.preserve_mode { part.meta.mode } else { self.meta.mode },
            mtime: if self.preserve_mtime { part.meta.mtime } else { self.meta.mtime },
        }
    }
}

/// The options that say how content becomes blocks, without those that need a check before.
fn import_options(call: &Call, settings: &ImportSettings) -> Result<ImportOptions, Failed> {
    let options = &call.options;
    let chunker = match options.text("chunker") {
        None | Some("") => settings.chunker.unwrap_or_default(),
        Some(text) => text.parse().map_err(|error| Failed::new(format!("{error}")))?,
    };
    let count = |name: &str| options.int(name).and_then(|value| usize::try_from(value).ok());
    let defaults = settings.directories;
    let cid_version = match options.int("cid-version") {
        None => settings.cid_version,
        Some(version) => Some(
            u8::try_from(version)
                .map_err(|_| Failed::new(format!("unknown CID version: {version}")))?,
        ),
    };
    let fanout = options.int("max-hamt-fanout").unwrap_or(i64::from(defaults.max_fanout));
    Ok(ImportOptions {
        chunker,
        layout: match options.bool("trickle") {
            Some(true) => Layout::Trickle,
            Some(false) => Layout::Balanced,
            None => settings.layout.unwrap_or_default(),
        },
        cid_version,
        raw_leaves: options.bool("raw-leaves").or(settings.raw_leaves),
        max_file_links: count("max-file-links")
            .filter(|links| *links > 0)
            .or(settings.max_file_links)
            .unwrap_or(174),
        directories: DirectoryOptions {
            max_links: count("max-directory-links").unwrap_or(defaults.max_links),
            max_fanout: u32::try_from(fanout).unwrap_or(0),
            ..defaults
        },
        empty_directories: options.flag("empty-dirs"),
        ..ImportOptions::default()
    })
}

/// The mode and the time that all entries get.
fn metadata(call: &Call) -> Metadata {
    let number = |name: &str| call.options.int(name).filter(|value| *value != 0);
    let nanos = number("mtime-nsecs").and_then(|nanos| u32::try_from(nanos).ok()).unwrap_or(0);
    Metadata {
        mode: number("mode").and_then(|mode| u32::try_from(mode).ok()),
        mtime: number("mtime").map(|seconds| Mtime { seconds, nanos }),
    }
}

/// Kubo's bound, in its words.
pub(crate) fn check_pin_name(name: &str) -> Result<(), Failed> {
    match name.len() {
        0..=MAX_NAME_LEN => Ok(()),
        len => Err(Failed::new(format!("pin name is {len} bytes (max {MAX_NAME_LEN} bytes)"))),
    }
}

fn add(call: &mut Call) -> Result<(), Failed> {
    let plan = Plan::of(call)?;
    let store: Option<Arc<dyn BlockStore>> = match plan.only_hash {
        true => None,
        false => Some(Arc::new(call.daemon.hot()?.leased())),
    };
    let parts = call.files()?;
    let mut adding = Adding {
        importer: plan.importer(store.as_ref())?,
        store,
        plan,
        call,
        parts,
        held: None,
        roots: Vec::new(),
        added: 0,
        copied: false,
    };
    adding.all()
}

/// An `add` under way.
struct Adding<'c> {
    plan: Plan,
    call: &'c mut Call,
    parts: Parts<Upload>,
    store: Option<Arc<dyn BlockStore>>,
    importer: Importer,
    /// The event that leaves when another comes, or everything is durable.
    held: Option<AddEvent>,
    /// Roots that are still to be pinned, with their names.
    roots: Vec<(Cid, String)>,
    added: u64,
    /// A root is in the mutable file system by now.
    copied: bool,
}

/// The first name of a path, and what is below it.
fn split(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

impl Adding<'_> {
    fn all(&mut self) -> Result<(), Failed> {
        match self.plan.wrap {
            true => self.wrapped()?,
            false => self.roots()?,
        }
        if self.added == 0 {
            return Err(Failed::new("expected a file argument"));
        }
        self.settle()?;
        match self.held.take() {
            Some(last) => self.call.emit_last(&last),
            None => Ok(()),
        }
    }

    /// Everything in one directory.
    fn wrapped(&mut self) -> Result<(), Failed> {
        let mut tree = Tree::new();
        tree.directory(b"", &self.plan.meta)?;
        while let Some(part) = self.parts.next_part()? {
            self.put_in_tree(&mut tree, &part, &part.path.clone(), &part)?;
        }
        let event = Part { path: String::new(), kind: PartKind::Directory, meta: Metadata::NONE };
        self.finish_tree(tree, &event)
    }

    /// Each top-level entry for itself. A directory goes on as long as parts lie below it.
    fn roots(&mut self) -> Result<(), Failed> {
        let mut next = self.parts.next_part()?;
        while let Some(part) = next {
            let (top, below) = split(&part.path);
            if below.is_empty() && part.kind != PartKind::Directory {
                self.root(&part)?;
                next = self.parts.next_part()?;
                continue;
            }
            let explicit = below.is_empty();
            let event = Part {
                path: top.to_owned(),
                kind: PartKind::Directory,
                meta: if explicit { part.meta } else { Metadata::NONE },
            };
            let mut tree = Tree::new();
            tree.directory(b"", &self.plan.meta_of(&event))?;
            next = if explicit { self.parts.next_part()? } else { Some(part) };
            while let Some(inner) = next.take_if(|inner| is_below(&inner.path, &event.path)) {
                let below = split(&inner.path).1.to_owned();
                self.put_in_tree(&mut tree, &inner, &below, &event)?;
                next = self.parts.next_part()?;
            }
            self.finish_tree(tree, &event)?;
        }
        Ok(())
    }

    /// A file or symbolic link that is a root.
    fn root(&mut self, part: &Part) -> Result<(), Failed> {
        let made = self.import(part, &part.path, part)?;
        let name = match part.path.is_empty() {
            true => self.plan.cids.show(&made.cid),
            false => part.path.clone(),
        };
        self.report(name, &made, part)?;
        self.is_root(made.cid, &part.path)
    }

    /// An entry of a directory, which lies at `path` in it. `top` is the part whose metadata events show.
    fn put_in_tree(
        &mut self,
        tree: &mut Tree,
        part: &Part,
        path: &str,
        top: &Part,
    ) -> Result<(), Failed> {
        self.added += 1;
        if part.kind == PartKind::Directory {
            return Ok(tree.directory(path.as_bytes(), &self.plan.meta_of(part))?);
        }
        let made = self.import(part, &part.path, top)?;
        // What has no name gets its CID as one.
        let (path, name) = match path.is_empty() {
            true => (made.cid.to_string(), made.cid.to_string()),
            false => (path.to_owned(), part.path.clone()),
        };
        tree.insert(path.as_bytes(), &made)?;
        if self.plan.silent { Ok(()) } else { self.report(name, &made, top) }
    }

    /// Makes the blocks of a file or symbolic link.
    fn import(&mut self, part: &Part, name: &str, top: &Part) -> Result<Imported, Failed> {
        let meta = self.plan.meta_of(part);
        if part.kind == PartKind::Symlink {
            let mut target = Vec::new();
            (&mut self.parts).take(MAX_TARGET + 1).read_to_end(&mut target)?;
            if target.len() as u64 > MAX_TARGET {
                return Err(Failed::new(format!(
                    "the symbolic link {name:?} has a target of more than {MAX_TARGET} bytes"
                )));
            }
            // A link has no mode.
            let meta = Metadata { mode: None, ..meta };
            return Ok(self.importer.symlink(&target, &meta)?);
        }
        if !self.plan.progress {
            return Ok(self.importer.file(&mut self.parts, &meta)?);
        }
        let event = with_metadata(AddEvent { name: name.to_owned(), ..AddEvent::default() }, top);
        // Told before the bytes are: an event that waits comes first.
        if let Some(held) = self.held.take() {
            self.call.emit(&held)?;
        }
        let mut failed = None;
        let content = Progress {
            content: &mut self.parts,
            done: 0,
            told: 0,
            ended: false,
            tell: &mut |bytes| {
                let told = self.call.emit(&AddEvent { bytes, ..event.clone() });
                told.map_err(|error| {
                    let kind = std::io::ErrorKind::ConnectionAborted;
                    failed = Some(error);
                    std::io::Error::from(kind)
                })
            },
        };
        let made = self.importer.file(content, &meta);
        match failed {
            Some(failed) => Err(failed),
            None => Ok(made?),
        }
    }

    fn finish_tree(&mut self, tree: Tree, top: &Part) -> Result<(), Failed> {
        let cids = self.plan.cids;
        let mut failed = Ok(());
        let (held, call) = (&mut self.held, &mut *self.call);
        let root = tree.finish(&mut self.importer, &mut |path, made| {
            if failed.is_err() {
                return;
            }
            let below = String::from_utf8_lossy(path);
            let name = match (top.path.is_empty(), below.is_empty()) {
                (true, _) => below.into_owned(),
                (false, true) => top.path.clone(),
                (false, false) => format!("{}/{below}", top.path),
            };
            let event = made_event(name, made, &cids, top);
            if let Some(earlier) = held.replace(event) {
                failed = call.emit(&earlier);
            }
        })?;
        failed?;
        self.is_root(root.cid, &top.path)
    }

    fn report(&mut self, name: String, made: &Imported, top: &Part) -> Result<(), Failed> {
        let event = made_event(name, made, &self.plan.cids, top);
        match self.held.replace(event) {
            Some(earlier) => self.call.emit(&earlier),
            None => self.call.check(),
        }
    }

    fn is_root(&mut self, cid: Cid, name: &str) -> Result<(), Failed> {
        self.added += 1;
        self.roots.push((cid, name.to_owned()));
        // One at a time where each is to appear in MFS before the next.
        let one_by_one = self.plan.to_files.is_some();
        if one_by_one || self.roots.len() >= ROOTS_AT_A_TIME { self.settle() } else { Ok(()) }
    }

    /// Makes what came so far durable, and pins it.
    fn settle(&mut self) -> Result<(), Failed> {
        let next = self.plan.importer(self.store.as_ref())?;
        std::mem::replace(&mut self.importer, next).finish()?;
        let roots = std::mem::take(&mut self.roots);
        if self.plan.pin {
            let name = &self.plan.pin_name;
            let mut pins: Vec<_> = roots
                .iter()
                .map(|(cid, _)| NewPin { name: name.clone(), ..NewPin::new(*cid) })
                .collect();
            let cids: Vec<Cid> = roots.iter().map(|(cid, _)| *cid).collect();
            let claim = self.call.claim(&mut pins)?;
            self.call.daemon.pins()?.add_all(&pins)?;
            self.call.pinned(&cids, claim)?;
        } else if !self.plan.only_hash {
            roots.iter().for_each(|(cid, _)| self.call.changed(cid));
        }
        if let Some(to) = self.plan.to_files.clone() {
            // It is durable and pinned, whatever becomes of its place among the files.
            self.emit_held()?;
            for (cid, name) in &roots {
                let put = self.show_in_files(&to, cid, name);
                put.map_err(|failed| failed.within("to-files"))?;
            }
        }
        Ok(())
    }

    /// Lets a root appear in the mutable file system.
    fn show_in_files(&mut self, to: &str, cid: &Cid, name: &str) -> Result<(), Failed> {
        if name.is_empty() {
            return Err(Failed::new("cannot add unnamed files to MFS"));
        }
        let files = self.call.daemon.files()?;
        let to = if to.is_empty() { "/" } else { to };
        let mut at = coldfront::mfs::cleaned(to)?;
        if to.ends_with('/') {
            let found = files.stat_here(&at).map_err(|error| {
                Failed::new(format!("MFS destination directory {to:?} does not exist: {error}"))
            })?;
            if found.kind != coldfront::mfs::Kind::Directory {
                return Err(Failed::new(format!("MFS destination {to:?} is not a directory")));
            }
            at =
                format!("{}/{}", at.trim_end_matches('/'), name.rsplit('/').next().unwrap_or(name));
        } else if self.copied {
            return Err(Failed::new(format!(
                "MFS destination is a file: only one entry can be copied to {to:?}"
            )));
        }
        let above = at.rsplit_once('/').map_or("/", |(above, _)| above);
        let above = if above.is_empty() { "/" } else { above };
        files.stat_here(above).map_err(|error| {
            Failed::new(format!("MFS destination parent {at:?} {above:?} does not exist: {error}"))
        })?;
        files.cp(&format!("/ipfs/{cid}"), &at, &CpOptions::default()).map_err(|error| {
            let why = Failed::from(error).message;
            let step = format!("cp: cannot put node in path {at}: ");
            let why = why.strip_prefix(&step).unwrap_or(&why);
            Failed::new(format!("cannot put node in path {at:?}: {why}"))
        })?;
        self.copied = true;
        Ok(())
    }

    fn emit_held(&mut self) -> Result<(), Failed> {
        match self.held.take() {
            Some(held) => self.call.emit(&held),
            None => Ok(()),
        }
    }
}

fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'))
}

fn made_event(name: String, made: &Imported, cids: &CidText, top: &Part) -> AddEvent {
    let (hash, size) = (cids.show(&made.cid), made.tsize.to_string());
    with_metadata(AddEvent { name, hash, size, ..AddEvent::default() }, top)
}

/// Events show what the part of the root said, whether it is kept or not.
fn with_metadata(event: AddEvent, top: &Part) -> AddEvent {
    let mode = top.meta.mode.filter(|mode| *mode != 0);
    let time = top.meta.mtime.filter(|time| time.seconds > 0);
    AddEvent {
        mode: mode.map(|mode| format!("0{mode:o}")).unwrap_or_default(),
        mtime: time.map_or(0, |time| time.seconds),
        mtime_nsecs: time.map_or(0, |time| time.nanos),
        ..event
    }
}

/// Content that tells how much of it went by.
struct Progress<'a, R> {
    content: R,
    done: u64,
    told: u64,
    ended: bool,
    tell: &'a mut dyn FnMut(u64) -> std::io::Result<()>,
}

impl<R: Read> Read for Progress<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        // Steps are met exactly, so that the same content gives the same reports.
        let room = usize::try_from(self.told + PROGRESS_EVERY - self.done).unwrap_or(usize::MAX);
        let room = room.min(buf.len());
        let n = self.content.read(buf.get_mut(..room).unwrap_or_default())?;
        self.done += n as u64;
        let at_end = n == 0 && room > 0 && !self.ended;
        if self.done - self.told >= PROGRESS_EVERY || at_end {
            self.told = self.done;
            self.ended |= at_end;
            (self.tell)(self.done)?;
        }
        Ok(n)
    }
}
