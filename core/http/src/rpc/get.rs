//! `get`: files and directories as a tar. Twin of kubo `core/commands/get.go`.

use std::io::{self, Write};

use coldfront::block::DAG_PB;
use coldfront::unixfs::Node;
use coldfront::unixfs::dag_pb::PbNode;
use coldfront::{Cid, ContentPath, Listing, Resolved};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Class, Command, Opt};
use super::tar::{Kind, TarWriter};
use super::to_client::ToClient;

/// Directories inside of directories.
const MAX_DEPTH: usize = 1000;

pub(super) const COMMANDS: &[Command] = &[Command {
    args: &[Arg::text("ipfs-path", "The file or directory").stdin()],
    options: &[
        Opt::text(&["output", "o"], "Used by clients"),
        Opt::flag(&["archive", "a"], "A tar; without it, with compress, the file alone"),
        Opt::flag(&["compress", "C"], "Compress with gzip"),
        Opt::int(&["compression-level", "l"], "From 1 to 9"),
        Opt::flag(&["progress", "p"], "Used by clients").or("true"),
    ],
    output: "bytes",
    class: Class::Stream,
    ..Command::new("get", "Files and directories as a tar", get)
}];

fn get(call: &mut Call) -> Result<(), Failed> {
    let path = call.arg(0).to_owned();
    let compress = call.options.flag("compress");
    let level = match call.options.int("compression-level") {
        Some(level) if compress && !(1..=9).contains(&level) => {
            return Err(Failed::client("compression level must be between 1 and 9"));
        }
        Some(level) => Compression::new(u32::try_from(level).unwrap_or(6)),
        None => Compression::default(),
    };
    let archive = call.options.flag("archive") || !compress;
    let root = call.resolve(&path)?;
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    if !archive && !matches!(&*root.node, Node::File(_)) {
        return Err(Failed::new("file is not regular"));
    }
    let size = size_of(call, &root)?;
    let content_type = if compress { "application/gzip" } else { "application/x-tar" };
    call.begin_bytes(content_type, Some(size))?;
    let out = ToClient::new(call);
    match compress {
        false => write(out, &root, &name, archive),
        true => write(Gzip(GzEncoder::new(out, level)), &root, &name, archive),
    }
}

/// What is told before: the length of a file, or that of all blocks of a directory.
fn size_of(call: &Call, root: &Resolved) -> Result<u64, Failed> {
    let cid = root.node.cid();
    match &*root.node {
        Node::File(file) => Ok(file.size()),
        Node::Symlink(link) => Ok(link.target().len() as u64),
        _ => {
            let block = call.repo().block(cid)?.ok_or_else(|| Failed::not_found(cid))?;
            let below: u64 = match cid.codec() == DAG_PB {
                true => PbNode::parse(block.data())
                    .map(|node| node.links().map(|link| link.tsize.unwrap_or(0)).sum())
                    .unwrap_or(0),
                false => 0,
            };
            Ok(below.saturating_add(block.data().len() as u64))
        }
    }
}

/// What takes an archive and can be asked for the call behind it.
trait Sink: Write {
    fn call(&mut self) -> &mut Call;
    fn failed(&mut self) -> Option<Failed>;
    fn end(self) -> io::Result<()>;
}

impl Sink for ToClient<'_> {
    fn call(&mut self) -> &mut Call {
        self.call
    }

    fn failed(&mut self) -> Option<Failed> {
        self.failed.take()
    }

    fn end(mut self) -> io::Result<()> {
        self.send()
    }
}

struct Gzip<'c>(GzEncoder<ToClient<'c>>);

impl Write for Gzip<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Sink for Gzip<'_> {
    fn call(&mut self) -> &mut Call {
        self.0.get_mut().call
    }

    fn failed(&mut self) -> Option<Failed> {
        self.0.get_mut().failed.take()
    }

    fn end(self) -> io::Result<()> {
        self.0.finish()?.send()
    }
}

fn write(out: impl Sink, root: &Resolved, name: &str, archive: bool) -> Result<(), Failed> {
    if !archive {
        let mut out = out;
        let reader = out.call().repo().read(&root.node, ..);
        for piece in reader {
            out.write_all(&piece?).map_err(|error| out.failed().unwrap_or_else(|| error.into()))?;
        }
        return Ok(out.end()?);
    }
    let mut tar = TarWriter::new(out);
    let written = entries(&mut tar, root, name);
    let out = tar.out();
    written.map_err(|failed| out.failed().unwrap_or(failed))?;
    let out = tar.finish()?;
    Ok(out.end()?)
}

/// An entry and everything below it, without recursion.
fn entries<S: Sink>(tar: &mut TarWriter<S>, root: &Resolved, name: &str) -> Result<(), Failed> {
    let mut open: Vec<(Listing, String)> = Vec::new();
    if let Some(listing) = entry(tar, &root.node, name)? {
        open.push((listing, name.to_owned()));
    }
    while let Some((listing, path)) = open.last_mut() {
        let Some(next) = listing.next() else {
            open.pop();
            continue;
        };
        let next = next?;
        let name = String::from_utf8_lossy(&next.name).into_owned();
        if matches!(name.as_str(), "" | "." | "..") || name.contains('/') {
            return Err(Failed::new(
                "relative UnixFS paths outside the root are not allowed, use CAR instead",
            ));
        }
        let path = format!("{path}/{name}");
        let node = child(tar.out().call(), &next.cid)?;
        if let Some(listing) = entry(tar, &node.node, &path)? {
            if open.len() >= MAX_DEPTH {
                return Err(Failed::new(format!("directories lie more than {MAX_DEPTH} deep")));
            }
            open.push((listing, path));
        }
    }
    Ok(())
}

fn child(call: &Call, cid: &Cid) -> Result<Resolved, Failed> {
    Ok(call.repo().resolve(&ContentPath::new(*cid))?)
}

/// Writes one entry; of a directory, what it holds is still to come.
fn entry<S: Sink>(
    tar: &mut TarWriter<S>,
    node: &std::sync::Arc<Node>,
    path: &str,
) -> Result<Option<Listing>, Failed> {
    let (mode, mtime) = (node.mode(), node.mtime().map(|time| time.seconds));
    match &**node {
        Node::File(file) => {
            tar.header(path, Kind::File, file.size(), "", mode.unwrap_or(0o644), mtime)?;
            let reader = tar.out().call().repo().read(node, ..);
            for piece in reader {
                tar.content(&piece?)?;
            }
            tar.pad()?;
            Ok(None)
        }
        Node::Symlink(link) => {
            let target = String::from_utf8_lossy(link.target()).into_owned();
            tar.header(path, Kind::Symlink, 0, &target, mode.unwrap_or(0o777), mtime)?;
            Ok(None)
        }
        _ => {
            tar.header(path, Kind::Directory, 0, "", mode.unwrap_or(0o755), mtime)?;
            Ok(Some(tar.out().call().repo().list(node)?))
        }
    }
}
