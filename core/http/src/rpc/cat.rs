//! `cat`: the bytes of files. Twin of kubo `core/commands/cat.go`.

use coldfront::unixfs::Node;

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Class, Command, Kind, Opt};
use crate::body::Part;

pub(super) const COMMANDS: &[Command] = &[Command {
    args: &[Arg::text("ipfs-path", "The files, one behind the other").many().stdin()],
    options: &[
        Opt::new(&["offset", "o"], Kind::Int64, "The byte to begin with"),
        Opt::new(&["length", "l"], Kind::Int64, "The most bytes to send"),
        Opt::flag(&["progress", "p"], "Whether a client shows progress"),
    ],
    output: "bytes",
    class: Class::Stream,
    ..Command::new("cat", "The bytes of files", cat)
}];

fn cat(call: &mut Call) -> Result<(), Failed> {
    let not_below_zero = |name: &str| match call.options.int(name) {
        Some(value) => u64::try_from(value)
            .map(Some)
            .map_err(|_| Failed::new(format!("cannot specify negative {name}"))),
        None => Ok(None),
    };
    let mut skip = not_below_zero("offset")?.unwrap_or(0);
    let max = not_below_zero("length")?;
    let mut left = max.unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    let mut length = 0;
    for path in call.args.clone() {
        if left == 0 {
            break;
        }
        let node = call.resolve(&path)?.node;
        let size = match &*node {
            Node::File(file) => file.size(),
            // It is not followed.
            Node::Symlink(link) => link.target().len() as u64,
            node if node.is_directory() => return Err(Failed::new("this dag node is a directory")),
            _ => return Err(Failed::new("this dag node is not a regular file")),
        };
        let start = skip.min(size);
        skip -= start;
        let end = size.min(start.saturating_add(left));
        left -= end - start;
        length += end - start;
        parts.push(match &*node {
            // Both ends are within the target, which is in memory.
            Node::Symlink(link) => Part::Bytes(link.target().slice(start as usize..end as usize)),
            _ => Part::File(call.repo().read(&node, start..end)),
        });
    }
    call.begin_bytes("text/plain", Some(length))?;
    call.parts_to_client(parts)
}
