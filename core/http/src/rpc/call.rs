//! A call: what a command is given, and what it does with it.
//!
//! Owns the side of a command that blocks: its arguments and options, the files of its body, emitting, and noticing that
//! nobody waits any more. Must not know HTTP beyond "an answer is a value, values, or bytes".

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use coldfront::{Cid, ContentPath, FileReader, Repo, Resolved};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::args::Options;
use super::cid_text::CidText;
use super::daemon::Daemon;
use super::error::Failed;
use super::json;
use super::multipart::Parts;
use super::response::{Cancel, Event, Form};
use super::table::Command;
use super::upload::Upload;

/// Values that wait because the client is slow, in bytes: then the command waits.
const MAX_WAITING: usize = 16 * 1024;

/// The most bytes of one event.
const PIECE: usize = 64 * 1024;

/// A call of a command.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) command: &'static Command,
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) args: Vec<String>,
    pub(crate) options: Options,
    /// The body, and its boundary where it is form data.
    pub(crate) body: Option<(Upload, Option<String>)>,
    /// Who called, for the log of changes; empty where no tokens are configured.
    pub(crate) user: String,
    pub(crate) out: Emitter,
}

impl Call {
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
        Ok(self.repo().resolve(&path)?)
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
        self.out.begin(Form::Values)?;
        self.out.value(value)
    }

    /// Emits the only value.
    pub(crate) fn once(&mut self, value: &impl Serialize) -> Result<(), Failed> {
        self.out.begin(Form::Once)?;
        self.out.value(value)
    }

    /// Begins an answer of bytes.
    pub(crate) fn begin_bytes(
        &mut self,
        content_type: &'static str,
        len: Option<u64>,
    ) -> Result<(), Failed> {
        self.out.begin(Form::Bytes(content_type, len))
    }

    /// Emits bytes.
    pub(crate) fn bytes(&mut self, bytes: Bytes) -> Result<(), Failed> {
        self.out.bytes(bytes)
    }

    /// Ends the answer with these files, which are read as the client takes them.
    pub(crate) fn files_to_client(&mut self, files: Vec<FileReader>) -> Result<(), Failed> {
        self.out.send(Event::Files(files))
    }

    /// Fails when nobody waits any more, or the time that was given is over: to be asked now and then by work that emits nothing.
    pub(crate) fn check(&self) -> Result<(), Failed> {
        self.out.check()
    }
}

/// The way to whoever answers.
#[derive(Debug)]
pub(crate) struct Emitter {
    events: mpsc::Sender<Event>,
    cancel: Cancel,
    deadline: Option<Instant>,
    begun: bool,
    waiting: Vec<u8>,
}

impl Emitter {
    pub(crate) fn new(
        events: mpsc::Sender<Event>,
        cancel: Cancel,
        deadline: Option<Instant>,
    ) -> Self {
        Emitter { events, cancel, deadline, begun: false, waiting: Vec::new() }
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

    /// Something that says whether work should stop, for those who do not hold the call.
    pub(crate) fn watch(&self) -> impl Fn() -> bool + use<> {
        let (cancel, deadline) = (self.cancel.clone(), self.deadline);
        move || cancel.is_cancelled() || deadline.is_some_and(|at| Instant::now() >= at)
    }

    fn send(&self, event: Event) -> Result<(), Failed> {
        self.events.blocking_send(event).map_err(|_| Failed::gone())
    }

    fn begin(&mut self, form: Form) -> Result<(), Failed> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.send(Event::Begin(form))
    }

    /// A value leaves at once where the client keeps up; else values gather, and leave together.
    fn value(&mut self, value: &impl Serialize) -> Result<(), Failed> {
        json::write_line(&mut self.waiting, value);
        let values = Bytes::from(std::mem::take(&mut self.waiting));
        match self.events.try_send(Event::Data(values)) {
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

    fn bytes(&mut self, mut bytes: Bytes) -> Result<(), Failed> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            self.send(Event::Data(piece))?;
        }
        Ok(())
    }

    /// What gathered, and how it ended.
    pub(crate) fn finish(mut self, result: Result<(), Failed>) {
        let waiting = std::mem::take(&mut self.waiting);
        let sent = match waiting.is_empty() {
            true => Ok(()),
            false => self.send(Event::Data(waiting.into())),
        };
        // Nobody is there to be told.
        let _ = sent.and_then(|()| self.send(Event::End(result)));
    }
}
