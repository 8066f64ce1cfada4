//! `ls`: the entries of directories. Twin of kubo `core/commands/ls.go`.

use coldfront::block::RAW;
use coldfront::unixfs::dag_pb::PbNode;
use coldfront::unixfs::{Mtime, Node};
use coldfront::{Cid, ContentPath, Entry};
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
    let mut objects = Vec::new();
    let mut count = 0;
    for path in call.args.clone() {
        let found = call.resolve(&path)?;
        let mut links: Vec<Link> = Vec::new();
        let mut failed = None;
        let mut take = |call: &mut Call, link: Link| -> Result<(), Failed> {
            if stream {
                return call.emit(&Output {
                    objects: &[Object { hash: path.clone(), links: vec![link] }],
                });
            }
            count += 1;
            if count > MAX_AT_ONCE {
                return Err(Failed::new(format!(
                    "more than {MAX_AT_ONCE} entries; ask with stream=true"
                )));
            }
            links.push(link);
            call.check()
        };
        if found.node.is_directory() {
            for entry in call.repo().list(&found.node)? {
                let entry = entry?;
                let looked = if look { self::look(call, &entry)? } else { nothing() };
                take(call, link(&entry.name, &entry.cid, looked, &cids))?;
            }
        } else if let Some(block) =
            call.repo().block(found.node.cid())?.filter(|block| block.cid().codec() != RAW)
        {
            // The links of a file are its parts.
            let node =
                PbNode::parse(block.data()).map_err(|error| Failed::new(error.to_string()))?;
            for part in node.links() {
                let Ok(cid) = Cid::try_from(part.cid) else { continue };
                let name = bytes::Bytes::copy_from_slice(part.name.unwrap_or_default());
                let entry = Entry { name, cid, tsize: part.tsize };
                let looked = if look { self::look(call, &entry)? } else { nothing() };
                if let Err(error) = take(call, link(&entry.name, &cid, looked, &cids)) {
                    failed = Some(error);
                    break;
                }
            }
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        links.sort_by(|a, b| a.name.cmp(&b.name));
        objects.push(Object { hash: path, links });
    }
    if stream { Ok(()) } else { call.once(&Output { objects: &objects }) }
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
