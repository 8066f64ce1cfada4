//! `ls`: the entries of directories. Twin of kubo `core/commands/ls.go`.

use coldfront::block::{DAG_PB, RAW};
use coldfront::links::for_each_link;
use coldfront::unixfs::dag_pb::PbNode;
use coldfront::unixfs::{Mtime, Node};
use coldfront::{Block, Cid, ContentPath, Entry};
use serde::Serialize;

use super::call::Call;
use super::cid_text::CidText;
use super::error::Failed;
use super::table::{Arg, Class, Command, Opt};
use super::time::rfc3339;

pub(super) const COMMANDS: &[Command] = &[Command {
    args: &[Arg::text("ipfs-path", "The directories").many().stdin()],
    options: &[
        Opt::flag(&["headers", "v"], "Used by clients"),
        Opt::flag(&["resolve-type"], "Look at each entry for its type").or("true"),
        Opt::flag(&["size"], "Look at each entry for its size").or("true"),
        Opt::flag(&["stream", "s"], "An object for each entry, in the order of the directory"),
        Opt::flag(&["long", "l"], "Used by clients"),
    ],
    output: r#"{"Objects":[{"Hash","Links":[{"Name","Hash","Size","Type","Target","Mode","ModTime"}]}]}"#,
    class: Class::Stream,
    ..Command::new("ls", "The entries of directories", ls)
}];

/// Entries of an answer that is one object; with more of them, whoever asks is told of `stream`.
const MAX_AT_ONCE: usize = 1_000_000;

const FILE: u8 = 2;
const DIRECTORY: u8 = 1;
const SYMLINK: u8 = 4;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Output<'a> {
    objects: &'a [Object],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    hash: String,
    links: Vec<Link>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Link {
    name: String,
    hash: String,
    size: u64,
    #[serde(rename = "Type")]
    kind: u8,
    target: String,
    mode: u32,
    mod_time: String,
}

/// What looking at an entry tells.
struct Looked {
    size: u64,
    kind: u8,
    target: String,
    mode: u32,
    mtime: Option<Mtime>,
}

fn ls(call: &mut Call) -> Result<(), Failed> {
    let stream = call.options.flag("stream");
    let look = call.options.flag("resolve-type") || call.options.flag("size");
    let cids = call.cids()?;
    let mut listing = Listing { call, stream, look, cids, count: 0, links: Vec::new() };
    let mut objects = Vec::new();
    for path in listing.call.args.clone() {
        listing.path(&path)?;
        let mut links = std::mem::take(&mut listing.links);
        links.sort_by(|a, b| a.name.cmp(&b.name));
        objects.push(Object { hash: path, links });
    }
    if stream { Ok(()) } else { call.once(&Output { objects: &objects }) }
}

/// An answer in the making.
struct Listing<'c> {
    call: &'c mut Call,
    stream: bool,
    look: bool,
    cids: CidText,
    count: usize,
    /// Of the path at hand, where they are not streamed.
    links: Vec<Link>,
}

impl Listing<'_> {
    fn path(&mut self, path: &str) -> Result<(), Failed> {
        let cid = self.call.resolve_cid(path)?;
        if !matches!(cid.codec(), RAW | DAG_PB) {
            let links = links_of(&self.block(&cid)?)?;
            return links.iter().try_for_each(|entry| self.take(path, entry));
        }
        let found = self.call.repo().resolve(&ContentPath::new(cid))?;
        if found.node.is_directory() {
            for entry in self.call.repo().list(&found.node)? {
                self.take(path, &entry?)?;
            }
            return Ok(());
        }
        if cid.codec() == RAW {
            return Ok(());
        }
        // The links of a file are its parts.
        let links = links_of(&self.block(&cid)?)?;
        links.iter().try_for_each(|entry| self.take(path, entry))
    }

    fn block(&self, cid: &Cid) -> Result<Block, Failed> {
        self.call.repo().block(cid)?.ok_or_else(|| Failed::not_found(cid))
    }

    fn take(&mut self, path: &str, entry: &Entry) -> Result<(), Failed> {
        let looked = if self.look { look(self.call, entry)? } else { nothing() };
        let link = link(&entry.name, &entry.cid, looked, &self.cids);
        if self.stream {
            let object = Object { hash: path.to_owned(), links: vec![link] };
            return self.call.emit(&Output { objects: &[object] });
        }
        self.count += 1;
        if self.count > MAX_AT_ONCE {
            return Err(Failed::new(format!(
                "more than {MAX_AT_ONCE} entries; ask with stream=true"
            )));
        }
        self.links.push(link);
        self.call.check()
    }
}

/// The links of a block. Those of dag-pb have names.
fn links_of(block: &Block) -> Result<Vec<Entry>, Failed> {
    let mut entries = Vec::new();
    if block.cid().codec() != DAG_PB {
        // Only links of dag-pb say a size; of others none is told, as by Kubo.
        let no_name = |cid| Entry { name: bytes::Bytes::new(), cid, tsize: Some(0) };
        for_each_link(block, &mut |cid| entries.push(no_name(cid)))?;
        return Ok(entries);
    }
    let node = PbNode::parse(block.data()).map_err(|error| Failed::new(error.to_string()))?;
    for part in node.links() {
        let cid = Cid::try_from(part.cid).map_err(|error| Failed::new(error.to_string()))?;
        let name = bytes::Bytes::copy_from_slice(part.name.unwrap_or_default());
        entries.push(Entry { name, cid, tsize: part.tsize });
    }
    Ok(entries)
}

fn link(name: &[u8], cid: &Cid, looked: Looked, cids: &CidText) -> Link {
    Link {
        name: String::from_utf8_lossy(name).into_owned(),
        hash: cids.show(cid),
        size: looked.size,
        kind: looked.kind,
        target: looked.target,
        mode: looked.mode,
        mod_time: match looked.mtime {
            Some(time) => rfc3339(time.seconds, time.nanos),
            None => "0001-01-01T00:00:00Z".into(),
        },
    }
}

fn nothing() -> Looked {
    Looked { size: 0, kind: 0, target: String::new(), mode: 0, mtime: None }
}

/// Looks at an entry. A raw block is a file whose size its link says.
fn look(call: &Call, entry: &Entry) -> Result<Looked, Failed> {
    if entry.cid.codec() == RAW {
        let size = match entry.tsize {
            Some(size) => size,
            None => call.repo().size(&entry.cid)?.unwrap_or(0),
        };
        return Ok(Looked { size, kind: FILE, ..nothing() });
    }
    // Of what is neither file nor directory nothing is told.
    if entry.cid.codec() != DAG_PB {
        return Ok(nothing());
    }
    let found = call.repo().resolve(&ContentPath::new(entry.cid))?;
    let node = &found.node;
    let (size, kind, target) = match &**node {
        Node::File(file) => (file.size(), FILE, String::new()),
        Node::Symlink(link) => {
            let target = link.target();
            (target.len() as u64, SYMLINK, String::from_utf8_lossy(target).into_owned())
        }
        _ => (0, DIRECTORY, String::new()),
    };
    Ok(Looked { size, kind, target, mode: node.mode().unwrap_or(0) & 0o777, mtime: node.mtime() })
}
