//! `refs`: the links of blocks. Twin of kubo `core/commands/refs.go`.

use std::collections::HashMap;

use coldfront::block::{DAG_PB, RAW};
use coldfront::links::for_each_link;
use coldfront::unixfs::dag_pb::PbNode;
use coldfront::{Block, Cid, Repo};
use serde::Serialize;

use super::call::Call;
use super::cid_text::CidText;
use super::error::Failed;
use super::table::{Arg, Class, Command, Opt};

/// Levels that a walk goes down.
const MAX_DEPTH: usize = 100_000;

/// CIDs that `unique` remembers, about 100 bytes each; those that come later may come again.
const MAX_SEEN: usize = 4 * 1024 * 1024;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[Arg::text("ipfs-path", "The blocks").many().stdin()],
        options: &[
            Opt::text(&["format"], "With the tokens <src>, <dst> and <linkname>").or("<dst>"),
            Opt::flag(&["edges", "e"], "As FROM -> TO"),
            Opt::flag(&["unique", "u"], "Each CID once"),
            Opt::flag(&["recursive", "r"], "Those of the blocks below as well"),
            Opt::int(&["max-depth"], "Levels to go down").or("-1"),
        ],
        output: r#"{"Ref","Err"}, one a line"#,
        class: Class::Stream,
        ..Command::new("refs", "The links of blocks", refs)
    },
    Command {
        output: r#"{"Ref","Err"}, one a line"#,
        class: Class::Stream,
        ..Command::new(
            "refs/local",
            "All blocks of the hot store; those of archives are never listed",
            local,
        )
    },
    Command {
        output: r#"{"Ref","Err"}, one a line"#,
        class: Class::Stream,
        ..Command::new("repo/ls", "The same as refs/local", local)
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ref<'a> {
    #[serde(rename = "Ref")]
    to: &'a str,
    err: &'a str,
}

fn local(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let cids = call.cids()?;
    for block in daemon.hot()?.blocks() {
        call.emit(&Ref { to: &cids.show(&block?.cid), err: "" })?;
    }
    Ok(())
}

fn refs(call: &mut Call) -> Result<(), Failed> {
    let mut format = call.options.text("format").unwrap_or_default().to_owned();
    if call.options.flag("edges") {
        if format != "<dst>" {
            return Err(Failed::new("using format argument with edges is not allowed"));
        }
        format = "<src> -> <dst>".into();
    }
    let recursive = call.options.flag("recursive");
    let depth = call.options.int("max-depth").and_then(|depth| usize::try_from(depth).ok());
    let roots: Result<Vec<Cid>, Failed> =
        call.args.clone().iter().map(|path| call.resolve_cid(path)).collect();
    let mut walk = Walk {
        repo: call.repo().clone(),
        cids: call.cids()?,
        format,
        unique: call.options.flag("unique"),
        max_depth: if recursive { depth } else { Some(1) },
        seen: HashMap::new(),
        call,
    };
    for root in roots? {
        match walk.below(&root) {
            Ok(()) => {}
            Err(failed) if failed.kind == super::error::FailedKind::Gone => return Err(failed),
            Err(failed) => walk.call.emit(&Ref { to: "", err: &failed.message })?,
        }
    }
    Ok(())
}

struct Walk<'c> {
    call: &'c mut Call,
    repo: Repo,
    cids: CidText,
    format: String,
    unique: bool,
    max_depth: Option<usize>,
    /// The least depth at which a CID came.
    seen: HashMap<Vec<u8>, usize>,
}

/// A block and the links that are still to be followed.
struct Level {
    cid: Cid,
    links: std::vec::IntoIter<(Cid, String)>,
}

impl Walk<'_> {
    /// Depth first, without recursion.
    fn below(&mut self, root: &Cid) -> Result<(), Failed> {
        let mut open = vec![self.level(root)?];
        while let Some(level) = open.last_mut() {
            let Some((to, name)) = level.links.next() else {
                open.pop();
                continue;
            };
            let from = level.cid;
            let depth = open.len();
            let (deeper, write) = self.visit(&to, depth);
            if !deeper && !write {
                continue;
            }
            // What is shown is there.
            let next = match deeper && to.codec() != RAW {
                true => Some(self.level(&to)?),
                false => {
                    self.repo.size(&to)?.ok_or_else(|| Failed::not_found(&to))?;
                    None
                }
            };
            if write {
                self.write(&from, &to, &name)?;
            }
            match next {
                Some(_) if depth >= MAX_DEPTH => {
                    return Err(Failed::new(format!("blocks lie more than {MAX_DEPTH} deep")));
                }
                Some(next) => open.push(next),
                None => {}
            }
        }
        Ok(())
    }

    fn level(&self, cid: &Cid) -> Result<Level, Failed> {
        let block = self.repo.block(cid)?.ok_or_else(|| Failed::not_found(cid))?;
        Ok(Level { cid: *cid, links: links(&block)?.into_iter() })
    }

    /// Whether to go below a CID, and whether to show it.
    fn visit(&mut self, cid: &Cid, depth: usize) -> (bool, bool) {
        let at_end = self.max_depth == Some(depth);
        if self.max_depth.is_some_and(|max| depth > max) {
            return (false, false);
        }
        if !self.unique {
            return (!at_end, true);
        }
        let key = cid.to_bytes();
        let old = self.seen.get(&key).copied();
        if old.is_some_and(|old| self.max_depth.is_none() || old <= depth) {
            return (false, false);
        }
        if self.seen.len() < MAX_SEEN {
            self.seen.insert(key, depth);
        }
        (!at_end, old.is_none())
    }

    fn write(&mut self, from: &Cid, to: &Cid, name: &str) -> Result<(), Failed> {
        let to = self.cids.show(to);
        let text = match self.format.as_str() {
            "<dst>" => to,
            format => format
                .replace("<src>", &self.cids.show(from))
                .replace("<dst>", &to)
                .replace("<linkname>", name),
        };
        self.call.emit(&Ref { to: &text, err: "" })
    }
}

/// The links of a block and their names, which those of dag-pb have.
fn links(block: &Block) -> Result<Vec<(Cid, String)>, Failed> {
    let mut found = Vec::new();
    if block.cid().codec() == DAG_PB {
        let node = PbNode::parse(block.data()).map_err(|error| Failed::new(error.to_string()))?;
        for link in node.links() {
            let cid = Cid::try_from(link.cid).map_err(|error| Failed::new(error.to_string()))?;
            found.push((cid, String::from_utf8_lossy(link.name.unwrap_or_default()).into_owned()));
        }
    } else {
        for_each_link(block, &mut |cid| found.push((cid, String::new())))?;
    }
    Ok(found)
}
