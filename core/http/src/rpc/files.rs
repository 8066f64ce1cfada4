//! `files/…`: the mutable file system. Twin of kubo `core/commands/files.go`.

use std::io::Read as _;

use bytes::Bytes;
use coldfront::mfs::{
    CidFormat, CpOptions, Kind as Is, Mfs, MfsError, MkdirOptions, Stat, WriteOptions,
};
use coldfront::unixfs::import::HashFunction;
use coldfront::unixfs::node::Mtime;
use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::json;
use super::table::{Arg, Class, Command, Effect, Kind, Opt};

const FLUSH: Opt = Opt::flag(
    &["flush", "f"],
    "Return when the change is durable; else it is seen and may be lost",
)
.or("true");

const PARENTS: Opt = Opt::flag(&["parents", "p"], "Make directories above it as needed");

const CID_VERSION: Opt = Opt::int(&["cid-version", "cid-ver"], "The version of new CIDs");

const HASH: Opt = Opt::text(&["hash"], "The hash function of new CIDs, which then have version 1");

/// What `files/stat` prints unless it is told otherwise; the client prints, we compare.
const STAT_FORMAT: &str = "<hash>\nSize: <size>\nCumulativeSize: <cumulsize>\nChildBlocks: <childs>\nType: <type>\nMode: <mode> (<mode-octal>)\nMtime: <mtime>";

const fn change(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Call) -> Result<(), Failed>,
) -> Command {
    Command { output: "nothing", effect: Effect::Writes, ..Command::new(name, about, run) }
}

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[Arg::text("path", "The directory; / if none is given").optional()],
        options: &[
            Opt::flag(&["long", "l"], "Tell type, size and CID of each entry"),
            Opt::flag(&["U"], "Leave the order to the directory; for clients that sort"),
        ],
        output: r#"{"Entries":[{"Name","Type","Size","Hash"}]}, null where there are none"#,
        class: Class::Stream,
        ..Command::new("files/ls", "The entries of a directory", ls)
    },
    Command {
        args: &[Arg::text("path", "What to look at: a path here, or of content (/ipfs/…)")],
        options: &[
            Opt::text(&["format"], "How a client prints it").or(STAT_FORMAT),
            Opt::flag(&["hash"], "Print the CID alone"),
            Opt::flag(&["size"], "Print the size alone"),
            Opt::flag(&["with-local"], "Count how much of it is here"),
        ],
        output: r#"{"Hash","Size","CumulativeSize","Blocks","Type","WithLocality"?,"Local"?,"SizeLocal"?,"Mode"?,"Mtime"?,"MtimeNsecs"?}"#,
        class: Class::Stream,
        ..Command::new("files/stat", "What is at a path", stat)
    },
    Command {
        args: &[Arg::text("path", "The file")],
        options: &[
            Opt::new(&["offset", "o"], Kind::Int64, "The byte to begin with"),
            Opt::new(&["count", "n"], Kind::Int64, "The most bytes to send"),
        ],
        output: "bytes",
        class: Class::Stream,
        ..Command::new("files/read", "The bytes of a file", read)
    },
    Command {
        args: &[
            Arg::text("path", "The file"),
            Arg { variadic: false, ..Arg::files("data", "What to write") },
        ],
        options: &[
            Opt::new(&["offset", "o"], Kind::Int64, "Where the first byte goes"),
            Opt::flag(&["create", "e"], "Make the file if it is not there"),
            PARENTS,
            Opt::flag(&["truncate", "t"], "Empty the file first"),
            Opt::new(&["count", "n"], Kind::Int64, "The most bytes to take"),
            Opt::flag(&["raw-leaves"], "Make new leaves raw blocks"),
            CID_VERSION,
            HASH,
            FLUSH,
        ],
        class: Class::Upload,
        ..change("files/write", "Write into a file", write)
    },
    Command {
        args: &[Arg::text("path", "The directory")],
        options: &[PARENTS, CID_VERSION, HASH, FLUSH],
        ..change("files/mkdir", "Make a directory", mkdir)
    },
    Command {
        args: &[
            Arg::text("source", "A path of content (/ipfs/…) or here"),
            Arg::text("dest", "The new path; one that ends in / gets the last name of the source"),
        ],
        options: &[
            Opt::flag(&["force"], "Replace a file that is there"),
            PARENTS,
            CID_VERSION,
            HASH,
            FLUSH,
        ],
        ..change("files/cp", "Copy by reference", cp)
    },
    Command {
        args: &[Arg::text("source", "What to move"), Arg::text("dest", "Where to")],
        options: &[FLUSH],
        ..change("files/mv", "Move an entry", mv)
    },
    Command {
        args: &[Arg::text("path", "What to remove").many()],
        options: &[
            Opt::flag(&["recursive", "r"], "Remove directories"),
            Opt::flag(
                &["force"],
                "Remove what is there, whatever it is, and do not mind if nothing is",
            ),
            Opt::flag(&["flush", "f"], "Always on"),
        ],
        output: "a sentence for each path that stays",
        effect: Effect::Removes,
        ..Command::new("files/rm", "Remove entries", rm)
    },
    Command {
        args: &[Arg::text("path", "The directory; not /")],
        options: &[CID_VERSION, HASH, FLUSH],
        ..change("files/chcid", "Change the form of a directory's CID", chcid)
    },
    Command {
        args: &[Arg::text("mode", "Permissions in octal"), Arg::text("path", "What gets them")],
        options: &[FLUSH],
        ..change("files/chmod", "Set permissions", chmod)
    },
    Command {
        args: &[Arg::text("path", "What gets the time")],
        options: &[
            Opt::new(&["mtime"], Kind::Int64, "Seconds since 1970; now if not given"),
            Opt::new(&["mtime-nsecs"], Kind::Uint, "Nanoseconds to add"),
            FLUSH,
        ],
        ..change("files/touch", "Set the time of the last change", touch)
    },
    Command {
        args: &[Arg::text("path", "What to answer with; / if none is given").optional()],
        options: &[FLUSH],
        output: r#"{"Cid"}"#,
        effect: Effect::Writes,
        ..Command::new("files/flush", "Make all changes durable", flush)
    },
];

/// What a call changes and how.
struct Asked {
    mfs: Mfs,
    format: Option<CidFormat>,
    flush: bool,
}

fn asked(call: &Call) -> Result<Asked, Failed> {
    let version = match call.options.int("cid-version") {
        None => None,
        Some(version) => Some(
            u8::try_from(version)
                .map_err(|_| Failed::new(format!("unknown CID version: {version}")))?,
        ),
    };
    let hash = call.options.text("hash").map(HashFunction::by_name).transpose();
    let format = hash.and_then(|hash| CidFormat::choose(version, hash));
    let format = format.map_err(|error| Failed::new(error.to_string()))?;
    Ok(Asked { mfs: call.daemon.files()?, format, flush: call.options.flag("flush") })
}

/// A number that was given, which must not be below zero.
fn not_below_zero(call: &Call, name: &str, sentence: &str) -> Result<Option<u64>, Failed> {
    let number = call.options.int(name).map(u64::try_from).transpose();
    number.map_err(|_| Failed::new(sentence))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    name: String,
    #[serde(rename = "Type")]
    kind: u8,
    size: u64,
    hash: String,
}

impl Entry {
    fn told(name: &[u8], stat: &Stat, hash: String) -> Entry {
        let name = String::from_utf8_lossy(name).into_owned();
        Entry { name, kind: u8::from(stat.kind == Is::Directory), size: stat.size, hash }
    }
}

/// Entries leave as they are met: a directory may have millions.
fn ls(call: &mut Call) -> Result<(), Failed> {
    let path = if call.args.is_empty() { "/".to_owned() } else { call.arg(0).to_owned() };
    let (mfs, long, cids) = (call.daemon.files()?, call.options.flag("long"), call.cids()?);
    // Kubo writes the CIDs of a listing as they are, and that of a file by itself as it is asked to.
    let itself = mfs.stat_here(&path)?.kind != Is::Directory;
    let (mut before, mut failed) = ("{\"Entries\":[", None);
    mfs.list(&path, &mut |listed| {
        let mut entry = || -> Result<(), Failed> {
            let entry = if long {
                let stat = mfs.stat_cid(&listed.cid)?;
                let hash = if itself { cids.show(&stat.cid) } else { stat.cid.to_string() };
                Entry::told(&listed.name, &stat, hash)
            } else {
                let name = String::from_utf8_lossy(&listed.name).into_owned();
                Entry { name, kind: 0, size: 0, hash: String::new() }
            };
            let mut text = std::mem::replace(&mut before, ",").as_bytes().to_vec();
            let value = json::line(&entry);
            text.extend_from_slice(value.trim_ascii_end());
            call.begin_once()?;
            call.bytes(text.into())
        };
        entry().map_err(|error| failed = Some(error)).is_ok()
    })?;
    match (failed, before) {
        (Some(failed), _) => Err(failed),
        (None, ",") => call.bytes(Bytes::from_static(b"]}\n")),
        (None, _) => {
            call.begin_once()?;
            call.bytes(Bytes::from_static(b"{\"Entries\":null}\n"))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    hash: String,
    size: u64,
    cumulative_size: u64,
    blocks: usize,
    #[serde(rename = "Type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_unset")]
    with_locality: bool,
    #[serde(skip_serializing_if = "is_unset")]
    local: bool,
    #[serde(skip_serializing_if = "is_zero")]
    size_local: u64,
    #[serde(skip_serializing_if = "is_zero")]
    mtime: i64,
    #[serde(skip_serializing_if = "is_zero")]
    mtime_nsecs: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

fn is_unset(flag: &bool) -> bool {
    !flag
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// The bits of Go's `os.FileMode`, in which Kubo writes a mode.
fn go_mode(stat: &Stat) -> Option<u32> {
    const DIRECTORY: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    let moved = |from: u32, to: u32, mode: u32| if mode & from != 0 { to } else { 0 };
    let special = |mode| {
        moved(0o4000, 1 << 23, mode) | moved(0o2000, 1 << 22, mode) | moved(0o1000, 1 << 20, mode)
    };
    let of_kind = match stat.kind {
        Is::Directory => DIRECTORY,
        Is::Symlink => SYMLINK,
        _ => 0,
    };
    match (stat.mode, stat.kind) {
        (Some(mode), _) => Some(mode & 0o777 | special(mode) | of_kind),
        (None, Is::Symlink) => Some(SYMLINK | 0o777),
        (None, _) => None,
    }
}

fn stat(call: &mut Call) -> Result<(), Failed> {
    let formats = [
        call.options.flag("hash"),
        call.options.flag("size"),
        call.options.text("format") != Some(STAT_FORMAT),
    ];
    if formats.iter().filter(|given| **given).count() > 1 {
        return Err(Failed::client(
            "invalid parameters: format was set by multiple options. Only one format option is allowed",
        ));
    }
    let (mfs, path) = (call.daemon.files()?, call.arg(0).to_owned());
    let stat = mfs.stat(&path)?;
    let mut told = Told {
        hash: call.cids()?.show(&stat.cid),
        size: stat.size,
        cumulative_size: stat.cumulative_size,
        blocks: stat.blocks,
        kind: if stat.kind == Is::Directory { "directory" } else { "file" },
        with_locality: false,
        local: false,
        size_local: 0,
        mode: go_mode(&stat).map(|mode| format!("{mode:04o}")),
        mtime: stat.mtime.map_or(0, |time| time.seconds),
        mtime_nsecs: stat.mtime.map_or(0, |time| time.nanos),
    };
    if call.options.flag("with-local") {
        let here = mfs.locality_cid(&stat.cid, &mut || call.check().is_ok())?;
        (told.with_locality, told.local, told.size_local) = (true, here.complete, here.bytes);
    }
    call.once(&told)
}

fn read(call: &mut Call) -> Result<(), Failed> {
    let (mfs, path) = (call.daemon.files()?, call.arg(0).to_owned());
    let offset = match not_below_zero(call, "offset", "cannot specify negative offset") {
        Ok(offset) => offset.unwrap_or(0),
        // What is no file is said first.
        Err(error) => return Err(mfs.read(&path, 0, None).err().map_or(error, Failed::from)),
    };
    let reader = mfs.read(&path, offset, None)?;
    let count = not_below_zero(call, "count", "cannot specify negative 'count'")?;
    let reader = match count {
        Some(_) => mfs.read(&path, offset, count)?,
        None => reader,
    };
    call.begin_bytes("text/plain", None)?;
    call.files_to_client(vec![reader])
}

fn write(call: &mut Call) -> Result<(), Failed> {
    let Asked { mfs, format, flush } = asked(call)?;
    let options = WriteOptions {
        offset: not_below_zero(call, "offset", "cannot have negative write offset")?.unwrap_or(0),
        create: call.options.flag("create"),
        parents: call.options.flag("parents"),
        truncate: call.options.flag("truncate"),
        count: not_below_zero(call, "count", "cannot have negative byte count")?,
        raw_leaves: call.options.bool("raw-leaves"),
        format,
        flush,
    };
    let path = call.arg(0).to_owned();
    let mut parts = call.files()?;
    if parts.next_part()?.is_none() {
        return Err(Failed::new("expected a file argument"));
    }
    Ok(mfs.write(&path, &mut parts.by_ref(), &options)?)
}

fn mkdir(call: &mut Call) -> Result<(), Failed> {
    let Asked { mfs, format, flush } = asked(call)?;
    let parents = call.options.flag("parents");
    Ok(mfs.mkdir(call.arg(0), &MkdirOptions { parents, format, flush })?)
}

fn cp(call: &mut Call) -> Result<(), Failed> {
    let Asked { mfs, format, .. } = asked(call)?;
    let (parents, force) = (call.options.flag("parents"), call.options.flag("force"));
    Ok(mfs.cp(call.arg(0), call.arg(1), &CpOptions { parents, force, format })?)
}

fn mv(call: &mut Call) -> Result<(), Failed> {
    Ok(call.daemon.files()?.mv(call.arg(0), call.arg(1), call.options.flag("flush"))?)
}

fn rm(call: &mut Call) -> Result<(), Failed> {
    if call.options.bool("flush") == Some(false) {
        return Err(Failed::new(
            "files rm always flushes for safety. The --flush flag cannot be set to false for this command",
        ));
    }
    let mfs = call.daemon.files()?;
    let (recursive, force) = (call.options.flag("recursive"), call.options.flag("force"));
    let mut sentences = Vec::new();
    for path in &call.args {
        match mfs.rm(path, recursive, force) {
            Ok(()) => {}
            Err(error @ (MfsError::EmptyPath | MfsError::RelativePath)) => {
                sentences.push(format!("{path} is not a valid path: {error}"));
            }
            Err(error) => {
                sentences.push(format!("{}: {}", cleaned(path), Failed::from(error).message));
            }
        }
    }
    for sentence in &sentences {
        call.emit(sentence)?;
    }
    match sentences.is_empty() {
        true => Ok(()),
        false => Err(Failed::new("can't remove some files")),
    }
}

/// A path as it is named in sentences.
fn cleaned(path: &str) -> String {
    coldfront::mfs::cleaned(path).unwrap_or_else(|_| path.to_owned())
}

fn chcid(call: &mut Call) -> Result<(), Failed> {
    let Asked { mfs, format, flush } = asked(call)?;
    Ok(mfs.chcid(call.arg(0), format, flush)?)
}

fn chmod(call: &mut Call) -> Result<(), Failed> {
    let mfs = call.daemon.files()?;
    let (text, path) = (call.arg(0), call.arg(1));
    let refused = |why| Failed::new(format!("strconv.ParseInt: parsing {text:?}: {why}"));
    coldfront::mfs::cleaned(path)?;
    let mode = i64::from_str_radix(text, 8).map_err(|_| refused("invalid syntax"))?;
    let mode = i32::try_from(mode).map_err(|_| refused("value out of range"))?;
    Ok(mfs.chmod(path, mode.cast_unsigned())?)
}

fn touch(call: &mut Call) -> Result<(), Failed> {
    let mfs = call.daemon.files()?;
    let seconds = call.options.int("mtime").filter(|seconds| *seconds != 0);
    let nanos = call.options.int("mtime-nsecs").unwrap_or(0);
    let time = seconds.map(|seconds| Mtime {
        // Nanoseconds may make seconds, as in Go's `time.Unix`.
        seconds: seconds.saturating_add(nanos.div_euclid(1_000_000_000)),
        nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
    });
    Ok(mfs.touch(call.arg(0), time)?)
}

fn flush(call: &mut Call) -> Result<(), Failed> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Flushed {
        cid: String,
    }
    let path = if call.args.is_empty() { "/".to_owned() } else { call.arg(0).to_owned() };
    let cid = call.daemon.files()?.flush(&path)?;
    let cid = call.cids()?.show(&cid);
    call.once(&Flushed { cid })
}
