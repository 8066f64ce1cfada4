//! What a command emits, as an answer of HTTP.
//!
//! Owns the headers that every answer has, when a failure is a status, when a trailer and when a cut connection, and the
//! queue between a command's thread and the socket. Must not know any command. Rules: go-ipfs-cmds
//! `http/responseemitter.go`; the recorded answers of Kubo 0.42 for order and spelling.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::error::Failed;
use super::json;
use super::table::Late;
use super::tokens::Pace;
use super::upload::Drained;
use crate::body::{Body, BodyError, Part};
use crate::send_file::Pieces;

/// Events between a command and its client: with values of some 100 bytes or pieces of 64 KiB, 1 MiB at most.
pub(crate) const EVENTS: usize = 16;

/// Time for the bytes before a cut to leave, since a cut connection loses what has not been sent.
const BEFORE_CUT: Duration = Duration::from_millis(50);

const STREAM_ERROR: HeaderName = HeaderName::from_static("x-stream-error");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("X-Stream-Output, X-Chunked-Output, X-Content-Length");

/// What the answer says of the server. Clients of Kubo look for its version.
pub(crate) const SERVER: &str =
    concat!("kubo/", "0.42.0", " coldfront/", env!("CARGO_PKG_VERSION"));

/// How an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One value.
    Once,
    /// Values, as they come.
    Values,
    /// Bytes of a type, and how many there will be if that is told.
    Bytes(&'static str, Option<u64>),
}

/// What a command sends to whoever answers.
#[derive(Debug)]
pub(crate) enum Event {
    /// Before anything else.
    Begin(Form),
    Data(Bytes),
    /// Bytes of files, with bytes between them.
    Files(Vec<Part>),
    End(Result<(), Failed>),
    /// What leaves together. These are not nested.
    Together(Vec<Event>),
}

/// The events of a command, one by one.
#[derive(Debug)]
pub(crate) struct Events {
    channel: mpsc::Receiver<Event>,
    ready: VecDeque<Event>,
}

impl Events {
    pub(crate) fn new(channel: mpsc::Receiver<Event>) -> Events {
        Events { channel, ready: VecDeque::new() }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(event));
            }
            match ready!(self.channel.poll_recv(cx)) {
                Some(Event::Together(events)) => self.ready.extend(events),
                event => return Poll::Ready(event),
            }
        }
    }

    async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// These and no others.
    fn replace(&mut self, events: impl IntoIterator<Item = Event>) {
        self.channel.close();
        self.ready = events.into_iter().collect();
    }
}

/// Says to a command that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Cancels when it is dropped.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(pub(crate) Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What an answer keeps until it has been sent, such as its place among those under way.
pub(crate) type Kept = Box<dyn std::any::Any + Send>;

/// The body of an answer whose command still runs.
pub(crate) struct Emitted {
    events: Events,
    file: Option<Body>,
    /// Where pieces of files go that need not pass through here.
    pieces: Option<Pieces>,
    late: Late,
    pace: Option<Pace>,
    state: State,
    drained: Option<Drained>,
    deadline: Option<Pin<Box<Sleep>>>,
    into_file: Box<dyn Fn(Vec<Part>) -> Body + Send>,
    cancel: CancelOnDrop,
    _kept: Vec<Kept>,
}

impl std::fmt::Debug for Emitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emitted").field("late", &self.late).finish_non_exhaustive()
    }
}

enum State {
    Open,
    /// In its last bytes before a cut.
    Cutting(Pin<Box<Sleep>>),
    /// All bytes are sent; what the client still sends is awaited, then this trailer.
    Ending(Option<HeaderMap>),
    Ended,
}

/// What an answer is made from beside its events.
pub(crate) struct Answering {
    pub(crate) events: Events,
    pub(crate) late: Late,
    /// What slows the answer down.
    pub(crate) pace: Option<Pace>,
    pub(crate) drained: Option<Drained>,
    pub(crate) deadline: Option<Instant>,
    /// Makes a body of the files that an answer ends with.
    pub(crate) into_file: Box<dyn Fn(Vec<Part>) -> Body + Send>,
    pub(crate) cancel: CancelOnDrop,
    pub(crate) kept: Vec<Kept>,
}

/// Waits for the first event, which decides about the status, and answers.
pub(crate) async fn answer(mut answering: Answering) -> Response<Body> {
    let first = match answering.deadline {
        None => answering.events.next().await,
        Some(deadline) => {
            let first = tokio::time::timeout_at(deadline, answering.events.next()).await;
            first.unwrap_or_else(|_| Some(Event::End(Err(Failed::deadline()))))
        }
    };
    let form = match first {
        Some(Event::Begin(form)) => form,
        Some(Event::End(Ok(()))) => Form::Values,
        Some(Event::End(Err(failed))) => return refused(&failed, answering),
        // The command's thread is gone.
        _ => return refused(&Failed::new("an error occurred"), answering),
    };
    let ended = matches!(first, Some(Event::End(_)));
    let mut response = Response::new(Body::empty());
    head(response.headers_mut(), form);
    *response.body_mut() = emitted(answering, ended);
    response
}

fn emitted(answering: Answering, ended: bool) -> Body {
    let deadline = answering.deadline.map(|at| Box::pin(tokio::time::sleep_until(at)));
    Body::emitted(Emitted {
        events: answering.events,
        file: None,
        pieces: None,
        late: answering.late,
        pace: answering.pace,
        state: if ended { State::Ending(None) } else { State::Open },
        drained: answering.drained,
        deadline,
        into_file: answering.into_file,
        cancel: answering.cancel,
        _kept: answering.kept,
    })
}

/// A failure before the first byte.
fn refused(failed: &Failed, mut answering: Answering) -> Response<Body> {
    answering.cancel.0.cancel();
    answering.events.replace([Event::Data(error_value(failed)), Event::End(Ok(()))]);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = failed.status();
    head(response.headers_mut(), Form::Once);
    if failed.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    *response.body_mut() = emitted(answering, false);
    response
}

/// `{"Message":…,"Code":0,"Type":"error"}` and a line end.
pub(crate) fn error_value(failed: &Failed) -> Bytes {
    #[derive(serde::Serialize)]
    struct ErrorValue<'a> {
        #[serde(rename = "Message")]
        message: &'a str,
        #[serde(rename = "Code")]
        code: u32,
        #[serde(rename = "Type")]
        kind: &'static str,
    }
    json::line(&ErrorValue { message: &failed.message, code: failed.code(), kind: "error" })
}

/// The headers that every answer of a command has, in Kubo's order.
fn head(headers: &mut HeaderMap, form: Form) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, EXPOSED);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    let content_type = match form {
        Form::Once | Form::Values => "application/json",
        Form::Bytes(content_type, _) => content_type,
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::SERVER, HeaderValue::from_static(SERVER));
    headers.insert(header::TRAILER, HeaderValue::from_static("X-Stream-Error"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if form == Form::Values {
        headers.insert("x-chunked-output", HeaderValue::from_static("1"));
    }
    if let Form::Bytes(_, len) = form {
        if let Some(len) = len {
            headers.insert("x-content-length", HeaderValue::from(len));
        }
        headers.insert("x-stream-output", HeaderValue::from_static("1"));
    }
    headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
}

/// An error as the value of a header: what has no place there is a space.
fn trailer(failed: &Failed) -> HeaderMap {
    let text: String =
        failed.message.chars().map(|c| if c.is_ascii_control() { ' ' } else { c }).collect();
    let mut trailers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(text.trim().as_bytes()) {
        trailers.insert(STREAM_ERROR, value);
    }
    trailers
}

impl Emitted {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::Cutting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err(BodyError::Failed)));
                }
                State::Ending(trailers) => {
                    if let Some(drained) = &mut self.drained {
                        // Either way nothing more of the request will be read.
                        let _ = ready!(Pin::new(drained).poll(cx));
                        self.drained = None;
                    }
                    let trailers = trailers.take();
                    self.state = State::Ended;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                State::Open => {
                    if let Some(pace) = &mut self.pace {
                        ready!(pace.poll_ready(cx));
                    }
                    if let Some(frame) = ready!(self.poll_open(cx)) {
                        if let Some(pace) = &mut self.pace {
                            pace.passed(frame.len());
                        }
                        return Poll::Ready(Some(Ok(Frame::data(frame))));
                    }
                }
            }
        }
    }

    /// The next bytes; `None` where the state has changed.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(self.end(Err(Failed::deadline())));
        }
        if let Some(file) = &mut self.file {
            return match ready!(Pin::new(file).poll_frame(cx)) {
                Some(Ok(frame)) => Poll::Ready(frame.into_data().ok()),
                Some(Err(BodyError::Read(error))) => Poll::Ready(self.end(Err(error.into()))),
                Some(Err(error)) => Poll::Ready(self.end(Err(Failed::new(error.to_string())))),
                None => {
                    self.file = None;
                    Poll::Ready(None)
                }
            };
        }
        Poll::Ready(match ready!(self.events.poll_next(cx)) {
            Some(Event::Data(bytes)) => Some(bytes),
            Some(Event::Files(files)) => {
                let file = (self.into_file)(files);
                self.file = Some(match &self.pieces {
                    Some(pieces) => file.sending(pieces.clone()),
                    None => file,
                });
                None
            }
            Some(Event::Begin(_) | Event::Together(_)) => None,
            Some(Event::End(result)) => self.end(result),
            None => self.end(Err(Failed::new("an error occurred"))),
        })
    }

    fn end(&mut self, result: Result<(), Failed>) -> Option<Bytes> {
        match (result, self.late) {
            (Ok(()), _) => self.state = State::Ending(None),
            (Err(failed), Late::Trailer) => {
                self.cancel.0.cancel();
                self.state = State::Ending(Some(trailer(&failed)));
            }
            (Err(failed), Late::Cut) => {
                self.cancel.0.cancel();
                self.state = State::Cutting(Box::pin(tokio::time::sleep(BEFORE_CUT)));
                return Some(error_value(&failed));
            }
        }
        None
    }

    /// Lets pieces of files be sent beneath hyper.
    pub(crate) fn send_pieces(&mut self, pieces: Pieces) {
        self.pieces = Some(pieces);
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }
}
