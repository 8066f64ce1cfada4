//! A call: what a command is given, and what it does with it.
//!
//! Owns the side of a command that blocks: its arguments and options, the files of its body, emitting, and noticing that
//! nobody waits any more. Must not know HTTP beyond "an answer is a value, values, or bytes".

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use coldfront::pin::NewPin;
use coldfront::{Cid, ContentPath, FileReader, ReadError, Repo, Resolved};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::args::Options;
use super::changes::Changed;
use super::cid_text::CidText;
use super::daemon::Daemon;
use super::error::Failed;
use super::json;
use super::multipart::Parts;
use super::response::{Cancel, Event, Form};
use super::table::Command;
use super::tokens::{MAX_OWN_PINS, OwnPins, Pace, Token};
use super::upload::Upload;
use crate::body::Part;

/// Values that wait because the client is slow, in bytes: then the command waits.
const MAX_WAITING: usize = 16 * 1024;

/// The most bytes of one event.
const PIECE: usize = 64 * 1024;

/// The most bytes of an answer that are held back for its end.
const MAX_HELD: usize = 16 * 1024;

/// A call of a command.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) command: &'static Command,
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) args: Vec<String>,
    pub(crate) options: Options,
    /// The body, and its boundary where it is form data.
    pub(crate) body: Option<(Upload, Option<String>)>,
    pub(crate) caller: Caller,
    /// For the log of changes.
    pub(crate) changed: Changed,
    pub(crate) out: Emitter,
}

/// Who called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    token: Option<Arc<Token>>,
}

impl Caller {
    pub(crate) fn new(token: Option<Arc<Token>>) -> Caller {
        Caller { token }
    }

    /// Its name; `-` where no tokens are asked for.
    pub(crate) fn name(&self) -> &str {
        self.token.as_ref().map_or("-", |token| token.name())
    }

    /// The pins it made, where it may remove no others.
    fn own_pins(&self) -> Option<&OwnPins> {
        self.token.as_ref().and_then(|token| token.own_pins())
    }

    /// What slows one direction of the call down, if anything does.
    pub(crate) fn pace(&self) -> Option<Pace> {
        self.token.as_ref().map(|token| token.pace())
    }
}

/// Roots that were not pinned before: whoever pins them may remove them.
#[derive(Debug, Default)]
pub(crate) struct Claim(Vec<Cid>);

impl Call {
    /// Notes a root that was stored or removed, for the log of changes.
    pub(crate) fn changed(&mut self, cid: &Cid) {
        self.changed.note(cid);
    }

    /// To be asked before roots are pinned: which of them will be the caller's own, where that counts. Every command that
    /// pins asks, and says [`Call::pinned`] afterwards. The pin of somebody else keeps its name: asking for another one fails.
    pub(crate) fn claim(&self, asked: &mut [NewPin]) -> Result<Claim, Failed> {
        let Some(own) = self.caller.own_pins() else { return Ok(Claim::default()) };
        let pins = self.daemon.pins()?;
        let mut new = Vec::new();
        for pin in asked {
            let Some(there) = pins.get(&pin.cid)? else {
                new.push(pin.cid);
                continue;
            };
            if there.name == pin.name || own.holds(&pin.cid).map_err(list_failed)? {
                continue;
            }
            if !pin.name.is_empty() {
                return Err(Failed::client(format!(
                    "{} was not pinned with this token, which may name its own pins alone",
                    pin.cid
                )));
            }
            pin.name = there.name;
        }
        match own.has_room(new.len()).map_err(list_failed)? {
            true => Ok(Claim(new)),
            false => Err(Failed::client(format!(
                "this token has made {MAX_OWN_PINS} pins, and more cannot be remembered as its own"
            ))),
        }
    }

    /// Notes roots that have been pinned, and whose they are.
    pub(crate) fn pinned(&mut self, cids: &[Cid], claim: Claim) -> Result<(), Failed> {
        cids.iter().for_each(|cid| self.changed.note(cid));
        match self.caller.own_pins() {
            // ORDER: after the pins. What is lost in between can be removed by others alone.
            Some(own) => own.made(&claim.0).map_err(list_failed),
            None => Ok(()),
        }
    }

    /// To be asked before a root is unpinned: fails where the caller may only remove pins of its own, and this is none.
    pub(crate) fn may_unpin(&self, cid: &Cid) -> Result<(), Failed> {
        match self.caller.own_pins() {
            Some(own) if !own.holds(cid).map_err(list_failed)? => Err(Failed::client(format!(
                "{cid} was not pinned with this token, which may remove its own pins alone"
            ))),
            _ => Ok(()),
        }
    }

    /// Notes a root that has been unpinned.
    pub(crate) fn unpinned(&mut self, cid: &Cid) -> Result<(), Failed> {
        self.changed.note(cid);
        match self.caller.own_pins() {
            Some(own) => own.removed(cid).map_err(list_failed),
            None => Ok(()),
        }
    }

    /// The argument at a place.
    pub(crate) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map(String::as_str).unwrap_or_default()
    }

    /// The repository.
    pub(crate) fn repo(&self) -> &Repo {
        self.daemon.repo()
    }

    /// How CIDs are written in this answer.
    pub(crate) fn cids(&self) -> Result<CidText, Failed> {
        CidText::of(&self.options)
    }

    /// An argument as a path, as Kubo's commands read it.
    pub(crate) fn path(&self, text: &str) -> Result<ContentPath, Failed> {
        self.daemon.path(text)
    }

    /// The end of a path.
    pub(crate) fn resolve(&self, text: &str) -> Result<Resolved, Failed> {
        let path = self.path(text)?;
        self.repo().resolve(&path).map_err(|error| match &error {
            // What is not there has no codec worth a word.
            ReadError::UnsupportedCodec { cid, .. }
                if matches!(self.repo().size(cid), Ok(None)) =>
            {
                Failed::not_found(cid)
            }
            _ => error.into(),
        })
    }

    /// The CID at the end of a path.
    pub(crate) fn resolve_cid(&self, text: &str) -> Result<Cid, Failed> {
        let path = self.path(text)?;
        if path.segments().len() == 0 {
            return Ok(*path.root());
        }
        super::dag_path::resolve(self.repo(), &path)?.into_cid(&path)
    }

    /// The files of the body, or a failure in Kubo's words.
    pub(crate) fn files(&mut self) -> Result<Parts<Upload>, Failed> {
        match self.body.take() {
            Some((upload, Some(boundary))) => Ok(Parts::new(upload, &boundary)),
            _ => {
                let name =
                    self.command.args.iter().find(|arg| arg.file).map_or("file", |arg| arg.name);
                Err(Failed::client(format!("file argument '{name}' is required")))
            }
        }
    }

    /// Emits one of several values.
    pub(crate) fn emit(&mut self, value: &impl Serialize) -> Result<(), Failed> {
        self.out.begin(Form::Values);
        self.out.value(value)
    }

    /// Emits the last of several values: it leaves with the end.
    pub(crate) fn emit_last(&mut self, value: &impl Serialize) -> Result<(), Failed> {
        self.out.begin(Form::Values);
        self.out.last(value)
    }

    /// Emits the only value.
    pub(crate) fn once(&mut self, value: &impl Serialize) -> Result<(), Failed> {
        self.out.begin(Form::Once);
        self.out.value(value)
    }

    /// Emits some of several values, a line each.
    pub(crate) fn lines(&mut self, lines: Bytes) -> Result<(), Failed> {
        self.out.begin(Form::Values);
        self.out.bytes(lines)
    }

    /// Emits a piece of the only value, in JSON.
    pub(crate) fn once_piece(&mut self, json: Bytes) -> Result<(), Failed> {
        self.out.begin(Form::Once);
        self.out.bytes(json)
    }

    /// Begins the only value, of which the text is emitted as bytes, since it may be long.
    pub(crate) fn begin_once(&mut self) -> Result<(), Failed> {
        self.out.begin(Form::Once);
        self.check()
    }

    /// Begins an answer of bytes.
    pub(crate) fn begin_bytes(
        &mut self,
        content_type: &'static str,
        len: Option<u64>,
    ) -> Result<(), Failed> {
        self.out.begin(Form::Bytes(content_type, len));
        self.check()
    }

    /// Emits bytes.
    pub(crate) fn bytes(&mut self, bytes: Bytes) -> Result<(), Failed> {
        self.out.bytes(bytes)
    }

    /// Ends the answer with these files, which are read as the client takes them.
    pub(crate) fn files_to_client(&mut self, files: Vec<FileReader>) -> Result<(), Failed> {
        self.parts_to_client(files.into_iter().map(Part::File).collect())
    }

    /// The same with bytes among them.
    pub(crate) fn parts_to_client(&mut self, parts: Vec<Part>) -> Result<(), Failed> {
        self.out.send(Event::Files(parts))
    }

    /// Fails when nobody waits any more, or the time that was given is over: to be asked now and then by work that emits nothing.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        self.out.check()
    }
}

/// The list of a token's pins lies on a disk of the operator's.
fn list_failed(error: std::io::Error) -> Failed {
    tracing::warn!(%error, "the list of a token's pins cannot be used");
    Failed::new("the list of this token's pins cannot be used; the server's log says why")
}

/// The way to whoever answers.
///
/// What can leave together does: each event by itself wakes the connection and costs a packet, and most answers are a head, a
/// value and an end that are there at once.
#[derive(Debug)]
pub(crate) struct Emitter {
    events: mpsc::Sender<Event>,
    cancel: Cancel,
    deadline: Option<Instant>,
    form: Option<Form>,
    /// Events that leave with the next: the beginning, and of a short answer everything.
    held: Vec<Event>,
    waiting: Vec<u8>,
}

impl Emitter {
    pub(crate) fn new(
        events: mpsc::Sender<Event>,
        cancel: Cancel,
        deadline: Option<Instant>,
    ) -> Self {
        Emitter { events, cancel, deadline, form: None, held: Vec::new(), waiting: Vec::new() }
    }

    /// Whether work should stop.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        if self.cancel.is_cancelled() || self.events.is_closed() {
            return Err(Failed::gone());
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Failed::deadline()),
            _ => Ok(()),
        }
    }

    /// An event behind those that are held.
    fn with_held(&mut self, event: Event) -> Event {
        if self.held.is_empty() {
            return event;
        }
        self.held.push(event);
        Event::Together(std::mem::take(&mut self.held))
    }

    fn send(&mut self, event: Event) -> Result<(), Failed> {
        let event = self.with_held(event);
        self.events.blocking_send(event).map_err(|_| Failed::gone())
    }

    fn begin(&mut self, form: Form) {
        if self.form.is_none() {
            self.form = Some(form);
            self.held.push(Event::Begin(form));
        }
    }

    /// Keeps bytes for the next event where they are the first and few: most often that is the end.
    fn hold(&mut self, bytes: &Bytes) -> bool {
        let first = matches!(self.held.as_slice(), [Event::Begin(_)]) && bytes.len() <= MAX_HELD;
        if first {
            self.held.push(Event::Data(bytes.clone()));
        }
        first
    }

    /// A value leaves at once where the client keeps up; else values gather, and leave together.
    fn value(&mut self, value: &impl Serialize) -> Result<(), Failed> {
        json::write_line(&mut self.waiting, value);
        let values = Bytes::from(std::mem::take(&mut self.waiting));
        if self.form == Some(Form::Once) && self.hold(&values) {
            return self.check();
        }
        let event = self.with_held(Event::Data(values));
        match self.events.try_send(event) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Failed::gone()),
            Err(TrySendError::Full(event)) => match event {
                Event::Data(values) if values.len() < MAX_WAITING => {
                    self.waiting = values.into();
                    Ok(())
                }
                event => self.send(event),
            },
        }
    }

    /// A value that nothing follows but the end.
    fn last(&mut self, value: &impl Serialize) -> Result<(), Failed> {
        json::write_line(&mut self.waiting, value);
        self.held.push(Event::Data(std::mem::take(&mut self.waiting).into()));
        self.check()
    }

    fn bytes(&mut self, mut bytes: Bytes) -> Result<(), Failed> {
        if self.hold(&bytes) {
            return Ok(());
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.send(Event::Data(piece))?;
        }
        Ok(())
    }

    /// What gathered, and how it ended.
    pub(crate) fn finish(mut self, result: Result<(), Failed>) {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.held.push(Event::Data(waiting.into()));
        }
        // Nobody is there to be told.
        let _ = self.send(Event::End(result));
    }
}
