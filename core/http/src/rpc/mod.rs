//! The Kubo RPC API: `/api/v0`.
//!
//! Owns the order in which a call is processed. Each step is a file beside this one:
//!
//! 1. [`access`]: method, origin, user agent, token (else 204, 400, 403, 405), and the limits of the token (else 429);
//! 2. [`table`]: the command (else 404); [`args`]: its arguments and options (else 400);
//! 3. a place among the calls of its class, and room for its body (else 503, before the body is read);
//! 4. the command, on a thread of its own where it may block: [`call`] is what it sees;
//! 5. [`response`]: what it emits, as status, headers, chunks and trailers.
//!
//! Commands are a file a group, with the names of their twins in kubo `core/commands`. Must not know sockets, nor how blocks
//! are stored.

pub mod access;
mod add;
mod args;
mod block;
mod bootstrap;
mod call;
mod calls;
mod cat;
mod changes;
mod cid;
mod cid_text;
mod codes;
mod commands;
mod config;
mod daemon;
mod dag;
mod dag_path;
mod diag;
pub mod docs;
mod error;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod get;
mod id;
mod import_settings;
mod ipld;
mod json;
mod key;
mod ls;
mod multibase;
mod multihash;
mod multipart;
mod name;
mod off;
mod pin;
mod profile;
mod refs;
mod repo;
mod resolve;
mod response;
mod settings;
mod stats;
mod swarm;
mod table;
mod tar;
mod time;
mod to_client;
pub mod tokens;
pub(crate) mod trailers;
mod upload;
mod version;
mod where_is;

use std::sync::Arc;

use http::{Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use daemon::{Daemon, FreeSpace, Identity, Measured, Storage};
pub(crate) use response::Emitted;
pub use settings::{Save, Settings};

use crate::body::{Body, FileBody};
use crate::bridge::Bridge;
use crate::buffers::Buffers;
use crate::limits::{Limits, RpcLimits};
use access::{Access, Admitted};
use args::Parsed;
use call::{Call, Caller, Emitter};
use error::{Failed, FailedKind};
use response::{Answering, Cancel, CancelOnDrop, EVENTS, Events};
use table::{Class, Command};
use upload::{Room, Upload};

/// The path below which commands lie.
const BELOW: &str = "/api/v0/";

/// The RPC API over a node. Shared by all connections.
#[derive(Debug)]
pub struct Rpc {
    daemon: Arc<Daemon>,
    limits: Limits,
    quick: Arc<Bridge>,
    stream: Arc<Bridge>,
    upload: Arc<Bridge>,
    buffers: Arc<Buffers>,
    /// Room for bodies, in KiB.
    bodies: Arc<Semaphore>,
    large_bodies: Arc<Semaphore>,
}

impl Rpc {
    /// The API of a node. Opens nothing and listens to nothing.
    pub fn new(daemon: Arc<Daemon>, limits: Limits) -> Self {
        let RpcLimits { quick_calls, stream_calls, upload_calls, waiting_calls, .. } = limits.rpc;
        let bridge = |threads| Arc::new(Bridge::new(daemon.repo().clone(), threads, waiting_calls));
        let kib = limits.rpc.body_bytes / 1024;
        Rpc {
            quick: bridge(quick_calls),
            stream: bridge(stream_calls),
            upload: bridge(upload_calls),
            buffers: Buffers::new(limits.bytes_in_flight),
            bodies: Arc::new(Semaphore::new(kib.clamp(1, Semaphore::MAX_PERMITS))),
            large_bodies: Arc::new(Semaphore::new(limits.rpc.large_bodies.max(1))),
            daemon,
            limits,
        }
    }

    /// The node below.
    pub fn daemon(&self) -> &Arc<Daemon> {
        &self.daemon
    }

    /// The way to disks of answers that send files, and the memory for them.
    pub(crate) fn ways(&self) -> (&Arc<Bridge>, &Arc<Buffers>) {
        (&self.stream, &self.buffers)
    }

    /// The bounds it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Answers one request that came through a listener. The body is read while the answer is under way.
    pub async fn handle(&self, access: &Access, request: Request<Incoming>) -> Response<Body> {
        let admitted = match access.admit(&request) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal,
        };
        let mut response = self.answer(&admitted, request).await;
        access.stamp(&admitted, response.headers_mut());
        response
    }

    async fn answer(&self, admitted: &Admitted, request: Request<Incoming>) -> Response<Body> {
        let place = match &admitted.token {
            None => None,
            Some(token) => match token.enter().await {
                Ok(place) => Some(place),
                Err(refused) => return too_many(token.name(), refused),
            },
        };
        let caller = Caller::new(admitted.token.clone());
        match self.begin(caller, request) {
            Ok(mut answering) => {
                answering.kept.extend(place.map(|place| Box::new(place) as response::Kept));
                response::answer(answering).await
            }
            Err(response) => response,
        }
    }

    /// Starts the command of a request.
    fn begin(
        &self,
        caller: Caller,
        request: Request<Incoming>,
    ) -> Result<Answering, Response<Body>> {
        let path = request.uri().path().strip_prefix(BELOW).unwrap_or_default();
        let (command, first) = table::find(path).ok_or_else(not_found)?;
        let query = request.uri().query().unwrap_or_default();
        let parsed = args::parse(command, first, query).map_err(bad_request)?;
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary = multipart::boundary(content_type);
        check(command, &parsed, boundary.is_some()).map_err(bad_request)?;
        let timeout = match parsed.options.text("timeout") {
            None | Some("") => None,
            Some(text) => Some(args::duration(text).ok_or_else(|| {
                bad_request(format!("invalid timeout \"{text}\", expected a duration such as 30s"))
            })?),
        };
        let (body, drained) = self.body(command, &caller, request.into_body())?;
        let record = self.daemon.calls().begin(command.name, &parsed.args, &parsed.options);
        let cancel = Cancel::default();
        let (sender, events) = mpsc::channel(EVENTS);
        let deadline = timeout.and_then(|timeout| std::time::Instant::now().checked_add(timeout));
        let call = Call {
            command,
            daemon: self.daemon.clone(),
            args: parsed.args,
            options: parsed.options,
            body: body.map(|body| (body, boundary)),
            changed: Default::default(),
            caller: caller.clone(),
            out: Emitter::new(sender, cancel.clone(), deadline),
        };
        let bridge = match command.class {
            Class::Quick => &self.quick,
            Class::Stream => &self.stream,
            Class::Upload => &self.upload,
        };
        let job = bridge.admit(move |_| run(call)).map_err(|_| busy("too many calls wait"))?;
        let (stream, buffers, ahead) =
            (self.stream.clone(), self.buffers.clone(), self.limits.read_ahead);
        Ok(Answering {
            events: Events::new(events),
            late: command.late,
            pace: caller.pace(),
            drained,
            deadline: deadline.map(Instant::from_std),
            into_file: Box::new(move |files| {
                Body::file(FileBody::new(stream.clone(), buffers.clone(), ahead, files))
            }),
            cancel: CancelOnDrop(cancel),
            kept: vec![Box::new(job), Box::new(record)],
        })
    }

    /// Begins to read a body, where there is one and room for it.
    fn body(
        &self,
        command: &'static Command,
        caller: &Caller,
        body: Incoming,
    ) -> Result<(Option<Upload>, Option<upload::Drained>), Response<Body>> {
        if body.is_end_stream() {
            return Ok((None, None));
        }
        let small = self.limits.rpc.small_body as u64;
        let room = match command.class {
            Class::Upload => {
                let share = body.size_hint().upper().unwrap_or(small).clamp(1024, small) / 1024;
                let share = u32::try_from(share).unwrap_or(u32::MAX);
                let share = self.bodies.clone().try_acquire_many_owned(share);
                let share = share.map_err(|_| busy("all memory for uploads is taken"))?;
                Some(Room { _share: share, small, large: self.large_bodies.clone() })
            }
            _ => None,
        };
        let (upload, drained) = Upload::start(body, self.limits.stall_time, room, caller.pace());
        Ok((Some(upload), Some(drained)))
    }
}

/// What must be there before the command begins.
fn check(command: &Command, parsed: &Parsed, has_files: bool) -> Result<(), String> {
    let may_come_in_body =
        has_files && command.args.last().is_some_and(|last| last.stdin && !last.file);
    if let Some(missing) = args::missing(command, &parsed.args)
        && !(may_come_in_body && missing.stdin)
    {
        return Err(format!("argument \"{}\" is required", missing.name));
    }
    if let Some(file) = command.args.iter().find(|arg| arg.file && arg.required)
        && !has_files
    {
        return Err(format!("file argument '{}' is required", file.name));
    }
    Ok(())
}

/// Runs a command where it may block.
fn run(mut call: Call) {
    let result = arguments_of_body(&mut call).and_then(|()| (call.command.run)(&mut call));
    if let Err(failed) = &result
        && failed.kind != FailedKind::Gone
    {
        tracing::debug!(command = call.command.name, error = failed.message, "a call failed");
    }
    changes::log(&call, &result);
    let Call { out, body, .. } = call;
    // What is left of the body is stepped over while the answer ends.
    drop(body);
    out.finish(result);
}

/// The longest argument that comes in a body, in bytes, and the most of all.
const MAX_ARGUMENTS: u64 = 64 * 1024 * 1024;

/// Arguments may come in the body instead, one a line.
fn arguments_of_body(call: &mut Call) -> Result<(), Failed> {
    use std::io::Read;
    let takes = call.command.args.last().is_some_and(|last| last.stdin && !last.file);
    if !takes || !matches!(call.body, Some((_, Some(_)))) {
        return Ok(());
    }
    let mut parts = call.files()?;
    if parts.next_part()?.is_none() {
        return Ok(());
    }
    let mut text = String::new();
    parts.take(MAX_ARGUMENTS + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_ARGUMENTS {
        return Err(Failed::client(format!("arguments of more than {MAX_ARGUMENTS} bytes")));
    }
    let lines = text.lines().filter(|line| !line.is_empty());
    let variadic = call.command.args.last().is_some_and(|last| last.variadic);
    let room = if variadic {
        usize::MAX
    } else {
        call.command.args.len() - call.args.len().min(call.command.args.len())
    };
    call.args.extend(lines.take(room).map(str::to_owned));
    match args::missing(call.command, &call.args) {
        None => Ok(()),
        Some(arg) => Err(Failed::client(format!("argument \"{}\" is required", arg.name))),
    }
}

fn not_found() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn bad_request(sentence: String) -> Response<Body> {
    plain(StatusCode::BAD_REQUEST, &format!("{sentence}\n"))
}

fn busy(what: &str) -> Response<Body> {
    let sentence = format!("{what}; please try again shortly\n");
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, &sentence);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
    response
}

/// A token's calls, or its bytes, are as many as they may be.
fn too_many(name: &str, refused: tokens::TooMany) -> Response<Body> {
    let seconds = refused.retry_after.as_secs_f64().ceil().max(1.0) as u64;
    let sentence =
        format!("the token \"{name}\" has as much under way as it may; try again in {seconds} s\n");
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, &sentence);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    response
}

/// An answer in words, as Go's `http.Error` gives it.
fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(text.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let value = header::HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, value("text/plain; charset=utf-8"));
    headers.insert(header::VARY, value("Origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, value("nosniff"));
    response
}
