//! `pin/…`: what must stay. Twin of kubo `core/commands/pin/pin.go`.
//!
//! Everything is answered from the index of pins: no DAG is walked but that of a new pin.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use coldfront::pin::{NewPin, PinError, PinMode, PinStatus};
use coldfront::walk::{Repeats, walk};
use coldfront::{Cid, ReadError};
use serde::Serialize;

use super::add::check_pin_name;
use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Class, Command, Effect, Late, Opt};

/// Between two reports of progress. IPFS Cluster gives up after two minutes without one.
const TICK: Duration = Duration::from_millis(500);

const RECURSIVE: Opt = Opt::flag(&["recursive", "r"], "With everything below").or("true");

const NOT_ANNOUNCED: &str = "Ignored: nothing is announced";

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[Arg::text("ipfs-path", "What is to be pinned").many().stdin()],
        options: &[
            RECURSIVE,
            Opt::text(&["name", "n"], "A name for the pins"),
            Opt::flag(&["progress"], "Report every half second how far it is"),
            Opt::flag(&["fast-provide-root"], NOT_ANNOUNCED),
            Opt::flag(&["fast-provide-dag"], NOT_ANNOUNCED),
            Opt::flag(&["fast-provide-wait"], NOT_ANNOUNCED),
        ],
        output: r#"{"Progress"?} every half second if asked for, then {"Pins":[…]}"#,
        effect: Effect::Writes,
        class: Class::Stream,
        late: Late::Cut,
        ..Command::new("pin/add", "Keep content", add)
    },
    Command {
        args: &[Arg::text("ipfs-path", "What is no longer to be pinned").many().stdin()],
        options: &[RECURSIVE],
        output: r#"{"Pins":[…]}"#,
        effect: Effect::Removes,
        class: Class::Stream,
        ..Command::new(
            "pin/rm",
            "Keep content no longer; a collection removes what nothing keeps",
            rm,
        )
    },
    Command {
        args: &[Arg::text("ipfs-path", "What to look for; all pins where none is given")
            .optional()
            .many()],
        options: &[
            Opt::text(&["type", "t"], "direct, indirect, recursive or all").or("all"),
            Opt::flag(&["quiet", "q"], "Used by clients"),
            Opt::text(&["name", "n"], "Pins with this text in their names"),
            Opt::flag(&["stream", "s"], "A value a line, as they are found"),
            Opt::flag(&["names"], "With their names"),
        ],
        output: r#"{"Keys":{CID:{"Type","Name"}}}, or with stream {"Cid","Name"?,"Type"}, one a line"#,
        class: Class::Stream,
        late: Late::Cut,
        ..Command::new("pin/ls", "What is pinned", ls)
    },
    Command {
        args: &[Arg::text("from-path", "The pin"), Arg::text("to-path", "What it is to become")],
        options: &[
            Opt::flag(&["unpin"], "Remove the old pin").or("true"),
            Opt::flag(&["fast-provide-root"], NOT_ANNOUNCED),
            Opt::flag(&["fast-provide-dag"], NOT_ANNOUNCED),
            Opt::flag(&["fast-provide-wait"], NOT_ANNOUNCED),
        ],
        output: r#"{"Pins":[FROM,TO]}"#,
        effect: Effect::Writes,
        class: Class::Stream,
        ..Command::new("pin/update", "Replace a pin by one of similar content", update)
    },
    Command {
        options: &[
            Opt::flag(&["verbose"], "Report sound pins as well"),
            Opt::flag(&["quiet", "q"], "Used by clients"),
        ],
        output: r#"{"Cid","Err"?,"Ok"?,"BadNodes"?:[{"Cid","Err"}]}, one a line"#,
        class: Class::Stream,
        ..Command::new("pin/verify", "Read every block below every recursive pin", verify)
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pinned {
    pins: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tick {
    #[serde(skip_serializing_if = "is_zero")]
    progress: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn add(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let pins = daemon.pins()?;
    let name = call.options.text("name").unwrap_or_default().to_owned();
    check_pin_name(&name)?;
    let recursive = call.options.flag("recursive");
    let with_progress = call.options.flag("progress");
    let cids = call.cids()?;
    let mut done = 0;
    let mut pinned = Vec::new();
    for path in call.args.clone() {
        // What is no path at all is told without the word in front.
        call.path(&path)?;
        let cid = call.resolve_cid(&path).map_err(|failed| failed.within("pin"))?;
        let mode = if recursive { PinMode::Recursive } else { PinMode::Direct };
        let mut pin = NewPin { cid, mode, name: name.clone() };
        let claim = call.claim(std::slice::from_mut(&mut pin))?;
        let mut told = Instant::now();
        let mut failed = None;
        let mut here = 0;
        let added = pins.add_watched(&pin, &mut |walked| {
            here = walked;
            let ok = match told.elapsed() >= TICK {
                true if with_progress => {
                    told = Instant::now();
                    call.emit(&Tick { progress: done + walked })
                }
                _ => call.check(),
            };
            match ok {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        match (added, failed) {
            (Ok(()), _) => {}
            (Err(PinError::Cancelled(_)), Some(failed)) => return Err(failed),
            (Err(PinError::PinnedRecursively(cid)), _) => {
                let cid = cids.show(&cid);
                return Err(Failed::new(format!("pin: {cid} already pinned recursively")));
            }
            (Err(error), _) => return Err(Failed::from(error).within("pin")),
        }
        call.pinned(&[cid], claim)?;
        done += here.max(1);
        pinned.push(cids.show(&cid));
    }
    let pinned = Pinned { pins: pinned };
    if !with_progress {
        return call.once(&pinned);
    }
    call.emit(&Tick { progress: done })?;
    call.emit(&pinned)
}

fn rm(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let pins = daemon.pins()?;
    let recursive = call.options.flag("recursive");
    let cids = call.cids()?;
    let mut removed = Vec::new();
    for path in call.args.clone() {
        let cid = call.resolve_cid(&path)?;
        call.may_unpin(&cid)?;
        pins.remove(&cid, recursive)?;
        call.unpinned(&cid)?;
        removed.push(cids.show(&cid));
    }
    call.once(&Pinned { pins: removed })
}

fn update(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let pins = daemon.pins()?;
    let cids = call.cids()?;
    let from = call.resolve_cid(call.arg(0))?;
    let to = call.resolve_cid(call.arg(1))?;
    let unpin = call.options.flag("unpin");
    if unpin {
        call.may_unpin(&from)?;
    }
    let claim = call.claim(&mut [NewPin::new(to)])?;
    pins.update(&from, &to, unpin).map_err(|error| match error {
        PinError::NotPinned(_) => Failed::new("'from' cid was not recursively pinned already"),
        PinError::AlreadyPinned(_) => Failed::new("'to' cid was already recursively pinned"),
        PinError::Read(ReadError::Missing(cid)) => {
            Failed::not_found(&cid).within(&format!("get {cid}"))
        }
        error => error.into(),
    })?;
    call.pinned(&[to], claim)?;
    if unpin && from != to {
        call.unpinned(&from)?;
    }
    call.once(&Pinned { pins: vec![cids.show(&from), cids.show(&to)] })
}

/// Which pins a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Direct,
    Indirect,
    Recursive,
    All,
}

impl Wanted {
    fn of(text: &str) -> Result<Wanted, Failed> {
        Ok(match text {
            "direct" => Wanted::Direct,
            "indirect" => Wanted::Indirect,
            "recursive" => Wanted::Recursive,
            "all" => Wanted::All,
            other => {
                return Err(Failed::new(format!(
                    "invalid type '{other}', must be one of {{direct, indirect, recursive, all}}"
                )));
            }
        })
    }

    fn has(self, kind: Wanted) -> bool {
        self == Wanted::All || self == kind
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<'a> {
    cid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Key<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    name: &'a str,
}

/// Pins on their way to the client, in either form. The one object of the older form is written piece by piece as well, so
/// that a million of them take no memory.
struct List<'c> {
    call: &'c mut Call,
    stream: bool,
    names: bool,
    /// What has not left yet.
    waiting: Vec<u8>,
    rows: u64,
    /// Pins that were looked at, listed or not.
    seen: u64,
    sent: Instant,
}

/// Bytes of a list that leave at once. Sixteen such pieces wait for a slow client, in each of the calls that may stream.
const LIST_PIECE: usize = 8 * 1024;

/// Rows that leave one by one: what a person looks at, and what a client takes that wants the first. Of a million rows each
/// by itself would be a packet.
const SINGLE_ROWS: u64 = 64;

/// The longest time that a row waits for others.
const ROW_TIME: Duration = Duration::from_millis(10);

/// Pins between two looks at the clock.
const LOOK_EVERY: u64 = 256;

impl List<'_> {
    fn put(&mut self, cid: &str, kind: &str, name: &str) -> Result<(), Failed> {
        let name = if self.names { name } else { "" };
        self.rows += 1;
        if self.stream {
            let row = Listed { cid, name, kind };
            if self.rows <= SINGLE_ROWS {
                return self.call.emit(&row);
            }
            super::json::write_line(&mut self.waiting, &row);
        } else {
            self.waiting.extend_from_slice(if self.rows > 1 { b"," } else { b"{\"Keys\":{" });
            super::json::write_line(&mut self.waiting, &cid);
            self.waiting.pop();
            self.waiting.push(b':');
            super::json::write_line(&mut self.waiting, &Key { kind, name });
            self.waiting.pop();
        }
        if self.waiting.len() >= LIST_PIECE { self.send() } else { Ok(()) }
    }

    /// To be said for each pin that is looked at: what is listed leaves in time, and nobody works for a client that is gone.
    fn look(&mut self) -> Result<(), Failed> {
        self.seen += 1;
        if !self.seen.is_multiple_of(LOOK_EVERY) {
            return Ok(());
        }
        self.call.check()?;
        let late = self.stream && !self.waiting.is_empty() && self.sent.elapsed() >= ROW_TIME;
        if late { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Failed> {
        self.sent = Instant::now();
        let piece = std::mem::take(&mut self.waiting).into();
        match self.stream {
            true => self.call.lines(piece),
            false => self.call.once_piece(piece),
        }
    }

    fn finish(mut self) -> Result<(), Failed> {
        if !self.stream {
            self.waiting.extend_from_slice(if self.rows > 0 { b"}}\n" } else { b"{}\n" });
        }
        if self.waiting.is_empty() { Ok(()) } else { self.send() }
    }
}

fn ls(call: &mut Call) -> Result<(), Failed> {
    let wanted = Wanted::of(call.options.text("type").unwrap_or_default())?;
    let name = call.options.text("name").unwrap_or_default().to_owned();
    check_pin_name(&name)?;
    let names = call.options.flag("names") || !name.is_empty();
    let stream = call.options.flag("stream");
    let args = call.args.clone();
    let sent = Instant::now();
    let list = List { call, stream, names, waiting: Vec::new(), rows: 0, seen: 0, sent };
    if args.is_empty() { list_all(list, wanted, &name) } else { list_some(list, wanted, &args) }
}

fn list_all(mut list: List<'_>, wanted: Wanted, part: &str) -> Result<(), Failed> {
    let daemon = list.call.daemon.clone();
    let pins = daemon.pins()?;
    let cids = list.call.cids()?;
    for (kind, mode, text) in [
        (Wanted::Recursive, PinMode::Recursive, "recursive"),
        (Wanted::Direct, PinMode::Direct, "direct"),
    ] {
        if !wanted.has(kind) {
            continue;
        }
        for pin in pins.list(Some(mode)) {
            let pin = pin?;
            list.look()?;
            if pin.name.contains(part) {
                list.put(&cids.show(&pin.cid), text, &pin.name)?;
            }
        }
    }
    // What has no name has no part of one.
    if wanted.has(Wanted::Indirect) && part.is_empty() {
        for cid in pins.indirect() {
            list.look()?;
            list.put(&cids.show(&cid?), "indirect", "")?;
        }
    }
    list.finish()
}

fn list_some(mut list: List<'_>, wanted: Wanted, args: &[String]) -> Result<(), Failed> {
    let daemon = list.call.daemon.clone();
    let pins = daemon.pins()?;
    let cids = list.call.cids()?;
    let mut found = Vec::new();
    for path in args {
        let cid = list.call.resolve_cid(path)?;
        // Asked for alone, it is found beside a direct pin of the block's own, as by Kubo; one that is recursive hides it.
        let status = match (wanted, pins.status(&cid)?) {
            (Wanted::Indirect, PinStatus::Direct) => pins
                .through(&cid)?
                .map_or(PinStatus::NotPinned, |through| PinStatus::Indirect { through }),
            (_, status) => status,
        };
        let kind = match status {
            PinStatus::Recursive if wanted.has(Wanted::Recursive) => "recursive".to_owned(),
            PinStatus::Direct if wanted.has(Wanted::Direct) => "direct".to_owned(),
            PinStatus::Indirect { through } if wanted.has(Wanted::Indirect) => {
                format!("indirect through {}", cids.show(&through))
            }
            _ => return Err(Failed::new(format!("path '{path}' is not pinned"))),
        };
        let name = pins.get(&cid)?.map(|pin| pin.name).unwrap_or_default();
        found.push((cids.show(&cid), kind, name));
    }
    for (cid, kind, name) in found {
        list.put(&cid, &kind, &name)?;
    }
    list.finish()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Verified {
    cid: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bad_nodes: Vec<BadNode>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BadNode {
    cid: String,
    err: String,
}

fn verify(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let cids = call.cids()?;
    let verbose = call.options.flag("verbose");
    if verbose && call.options.flag("quiet") {
        return Err(Failed::new(
            "the --verbose and --quiet options can not be used at the same time",
        ));
    }
    for pin in daemon.pins()?.list(Some(PinMode::Recursive)) {
        let cid = pin?.cid;
        let bad = first_bad(call, &cid)?;
        if bad.is_some() || verbose {
            let ok = bad.is_none();
            let node = |(cid, err)| BadNode { cid: cids.show(&cid), err };
            let bad_nodes = bad.map(node).into_iter().collect();
            call.emit(&Verified { cid: cids.show(&cid), ok, bad_nodes })?;
        }
    }
    Ok(())
}

/// The first block below a root that is missing or damaged.
fn first_bad(call: &Call, root: &Cid) -> Result<Option<(Cid, String)>, Failed> {
    let repo = call.repo();
    let mut at = *root;
    let blocks = walk(&[*root], Repeats::default(), |cid| {
        at = *cid;
        let Some(block) = repo.block(cid)? else { return Ok(None) };
        coldfront::Block::verified(*cid, block.into_data()).map(Some)
    });
    let mut failed = None;
    for block in blocks {
        call.check()?;
        if let Err(error) = block {
            failed = Some(error);
        }
    }
    Ok(failed.map(|error| match &error {
        ReadError::Missing(cid) => (*cid, format!("ipld: could not find {cid}")),
        _ => (at, Failed::from(error).message),
    }))
}
