//! The body of an answer.
//!
//! Owns how bytes reach the socket: what the page cache holds is sent from there
//! ([`crate::send_file`]), or read on the runtime's own thread into pooled buffers; what it does not hold is fetched through the bridge, so that a cold disk never
//! stalls a warm viewer. Reads only what is asked for, and only when the socket has room. Must not
//! know ranges, headers or paths.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::IoSliceMut;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coldfront::unixfs::file::Step;
use coldfront::{Extent, FileReader, Piece, ReadError, Repo, StoreError};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::bridge::{Bridge, Running};
use crate::buffers::{BUFFER_LEN, Buffer, Buffers, Share, Window};
use crate::connection::BusyMark;
use crate::reset::Reset;
use crate::rpc::Emitted;
use crate::send_file::Pieces;

/// Buffers that one wait for the disk fills: a whole leaf of 256 KiB in one read.
const FETCH_BUFFERS: usize = 4;

/// The body of any answer of the edge.
#[derive(Debug)]
pub struct Body {
    kind: Kind,
    /// The request's place among those under way; given back when the body is dropped.
    _place: Option<OwnedSemaphorePermit>,
    /// Says to the connection that the answer is not at its end.
    _mark: Option<BusyMark>,
    /// For a client that would take the end of the connection for that of the answer.
    reset: Option<Reset>,
}

#[derive(Debug)]
enum Kind {
    Full(Bytes),
    File(Box<FileBody>),
    Pages(Box<Pages>),
    Emitted(Box<Emitted>),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Body::full(Bytes::new())
    }

    /// Bytes that are there already.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Body::of(Kind::Full(bytes.into()))
    }

    pub(crate) fn file(body: FileBody) -> Self {
        Body::of(Kind::File(Box::new(body)))
    }

    pub(crate) fn pages(pages: Pages) -> Self {
        Body::of(Kind::Pages(Box::new(pages)))
    }

    /// What a command of the RPC API emits.
    pub(crate) fn emitted(emitted: Emitted) -> Self {
        Body::of(Kind::Emitted(Box::new(emitted)))
    }

    fn of(kind: Kind) -> Self {
        Body { kind, _place: None, _mark: None, reset: None }
    }

    /// Keeps a place until the body has been sent or dropped.
    pub(crate) fn holding(mut self, place: OwnedSemaphorePermit) -> Self {
        self._place = Some(place);
        self
    }

    /// Lets pieces of files be sent beneath hyper, by the connection that these belong to.
    pub(crate) fn sending(mut self, pieces: Pieces) -> Self {
        match &mut self.kind {
            Kind::File(file) => file.pieces = Some(pieces),
            Kind::Emitted(emitted) => emitted.send_pieces(pieces),
            Kind::Full(_) | Kind::Pages(_) => {}
        }
        self
    }

    /// Keeps its connection busy until the body has been sent or dropped.
    pub(crate) fn marked(mut self, mark: BusyMark) -> Self {
        self._mark = Some(mark);
        self
    }

    /// Resets the connection where the answer fails on its way: for a client that is told nothing otherwise.
    pub(crate) fn or_reset(mut self, reset: Option<Reset>) -> Self {
        self.reset = reset;
        self
    }
}

/// What ends a body before its time. The status is gone by then: the connection is cut, so that a
/// client cannot take the part for the whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// A block could not be read.
    #[error("the answer was cut off because a block could not be read")]
    Read(#[from] ReadError),
    /// A job panicked, or the runtime is ending.
    #[error("the answer was cut off because the server is stopping")]
    Stopped,
    /// A command of the RPC API failed after its first bytes.
    #[error("the answer was cut off because the command failed")]
    Failed,
}

impl From<Infallible> for BodyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let next = match &mut this.kind {
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Kind::File(file) => file.poll_bytes(cx),
            Kind::Pages(pages) => pages.poll_bytes(cx),
            Kind::Emitted(emitted) => {
                let next = emitted.poll_frame(cx);
                return match &this.reset {
                    Some(reset) => next.map(|frame| or_reset(frame, reset)),
                    None => next,
                };
            }
        };
        next.map(|next| {
            next.map(|bytes| {
                bytes.map(Frame::data).inspect_err(|error| match error {
                    // Each bad copy is told once, by who drains the faults; this is one line a client.
                    BodyError::Read(read) => {
                        tracing::debug!(error = %Causes(read), "answer cut off")
                    }
                    BodyError::Stopped | BodyError::Failed => {
                        tracing::debug!("answer cut off: {error}")
                    }
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::File(file) => file.left == 0,
            Kind::Pages(pages) => pages.ended && pages.ready.is_none(),
            Kind::Emitted(emitted) => emitted.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::File(file) => SizeHint::with_exact(file.left),
            Kind::Pages(_) | Kind::Emitted(_) => SizeHint::default(),
        }
    }
}

/// What an answer goes on with where no trailer can follow it: one that tells of a failure is an error, and an error is a reset.
fn or_reset(
    frame: Option<Result<Frame<Bytes>, BodyError>>,
    reset: &Reset,
) -> Option<Result<Frame<Bytes>, BodyError>> {
    let failed = match &frame {
        Some(Ok(frame)) => frame.is_trailers(),
        Some(Err(_)) => true,
        None => false,
    };
    if !failed {
        return frame;
    }
    reset.wish();
    Some(frame.and_then(Result::err).map_or(Err(BodyError::Failed), Err))
}

/// An error with its causes, in one line.
pub(crate) struct Causes<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(next) = cause {
            write!(f, ": {next}")?;
            cause = next.source();
        }
        Ok(())
    }
}

/// A part of a file's body.
#[derive(Debug)]
pub(crate) enum Part {
    /// Bytes in memory: the frames of a multipart answer.
    Bytes(Bytes),
    /// A range of a file.
    File(FileReader),
}

impl Part {
    fn is_file(&self) -> bool {
        matches!(self, Part::File(_))
    }

    fn len(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File(reader) => reader.remaining(),
        }
    }
}

/// How far ahead of a cold reader leaves are asked of the page cache.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// How much is asked for next.
    step: u64,
    max: u64,
    /// Byte of the file up to which it has been asked for.
    until: u64,
}

/// One or more ranges of a file, with bytes between them.
#[derive(Debug)]
pub(crate) struct FileBody {
    bridge: Arc<Bridge>,
    window: Window,
    /// Where pieces go that need not pass through here; none: all bytes do.
    pieces: Option<Pieces>,
    /// Bytes that have not been given to the socket yet.
    left: u64,
    parts: VecDeque<Part>,
    /// What is left of the piece that is being read.
    extent: Option<Extent>,
    /// Filled already, to be sent next.
    ready: VecDeque<Bytes>,
    fetch: Option<Running<Fetched>>,
    /// The extent is not in the page cache.
    must_fetch: bool,
    /// The last wait would not have been spared by a warm page cache.
    always_waits: bool,
    ahead: Ahead,
}

/// What a wait for the disk brought.
#[derive(Debug)]
struct Fetched {
    reader: FileReader,
    always_waits: bool,
    result: Result<(VecDeque<Bytes>, Option<Extent>), ReadError>,
}

impl FileBody {
    pub(crate) fn new(
        bridge: Arc<Bridge>,
        buffers: Arc<Buffers>,
        read_ahead: u64,
        parts: impl IntoIterator<Item = Part>,
    ) -> Self {
        let parts: VecDeque<Part> = parts.into_iter().filter(|part| part.len() > 0).collect();
        FileBody {
            bridge,
            window: Window::new(buffers),
            pieces: None,
            left: parts.iter().map(Part::len).sum(),
            parts,
            extent: None,
            ready: VecDeque::new(),
            fetch: None,
            must_fetch: false,
            always_waits: false,
            ahead: Ahead { step: read_ahead / 8, max: read_ahead, until: 0 },
        }
    }

    /// Finds the first bytes of the first range: what is missing or broken there is still an answer
    /// with a status. Does not wait when they are at hand.
    pub(crate) async fn prime(&mut self) -> Result<(), BodyError> {
        if self.extent.is_some() || !self.ready.is_empty() {
            return Ok(());
        }
        std::future::poll_fn(|cx| self.poll_prime(cx)).await
    }

    fn poll_prime(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while self.extent.is_none() && self.ready.is_empty() {
            if self.fetch.is_some() {
                ready!(self.poll_fetch(cx))?;
                continue;
            }
            let Some(Part::File(reader)) = first_file(&mut self.parts) else {
                return Poll::Ready(Ok(()));
            };
            match reader.next_now()? {
                Step::Piece(piece) => self.take(piece),
                Step::End => return Poll::Ready(Ok(())),
                Step::WouldWait => ready!(self.poll_start_fetch(cx)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let next = ready!(self.poll_next(cx));
        if let Some(Ok(bytes)) = &next {
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(next)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(Part::Bytes(bytes)) = self.parts.front_mut() {
                let bytes = std::mem::take(bytes);
                self.parts.pop_front();
                return Poll::Ready(Some(Ok(bytes)));
            }
            if let Some(bytes) = self.ready.pop_front() {
                self.fetch_ahead();
                return Poll::Ready(Some(Ok(bytes)));
            }
            if self.fetch.is_some() {
                ready!(self.poll_fetch(cx))?;
                continue;
            }
            if self.must_fetch {
                ready!(self.poll_start_fetch(cx));
                continue;
            }
            if let Some(extent) = &mut self.extent {
                if let Some(bytes) = self.pieces.as_ref().and_then(|pieces| pieces.give(extent)) {
                    self.extent = self.extent.take().filter(|rest| !rest.is_empty());
                    return Poll::Ready(Some(Ok(bytes)));
                }
                let share = ready!(self.window.poll_take(cx, BUFFER_LEN as u64));
                if let Some(bytes) = self.read_now(share.into_buffer())? {
                    return Poll::Ready(Some(Ok(bytes)));
                }
                continue;
            }
            let Some(Part::File(reader)) = self.parts.front_mut() else {
                return Poll::Ready(None);
            };
            match reader.next_now()? {
                Step::Piece(piece) => self.take(piece),
                Step::End => {
                    self.parts.pop_front();
                }
                Step::WouldWait => ready!(self.poll_start_fetch(cx)),
            }
        }
    }

    /// Where every read waits (a file system that cannot tell what it caches, or blocks that are
    /// verified each time), the next wait begins while the bytes of the last are sent.
    fn fetch_ahead(&mut self) {
        if self.always_waits
            && self.fetch.is_none()
            && let Some(share) = self.window.try_take(self.fetch_bytes())
        {
            self.start_fetch(share);
        }
    }

    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Bytes(bytes) => self.ready.push_back(bytes),
            Piece::Extent(extent) => self.extent = Some(extent),
        }
    }

    /// Reads on from the page cache. `None`: it must wait, and a fetch has been started.
    fn read_now(&mut self, mut buffer: Buffer) -> Result<Option<Bytes>, ReadError> {
        let Some(extent) = &mut self.extent else { return Ok(None) };
        match extent.read_now(buffer.space()) {
            Ok(Some(n)) => {
                if extent.is_empty() {
                    self.extent = None;
                }
                Ok(Some(buffer.into_bytes(n)))
            }
            Err(error) => {
                self.bridge.repo().failed(extent, &error);
                if let Some(Part::File(reader)) = first_file(&mut self.parts) {
                    go_back(reader, extent);
                }
                self.extent = None;
                Ok(None)
            }
            Ok(None) => {
                self.must_fetch = true;
                Ok(None)
            }
        }
    }

    fn poll_start_fetch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let share = ready!(self.window.poll_take(cx, self.fetch_bytes()));
        self.start_fetch(share);
        Poll::Ready(())
    }

    /// Memory that the next wait for the disk may take: for buffers, or for a block that comes whole.
    fn fetch_bytes(&self) -> u64 {
        const MAX: u64 = (FETCH_BUFFERS * BUFFER_LEN) as u64;
        if let Some(extent) = &self.extent {
            return self.window.modestly(extent.len().min(MAX));
        }
        let Some(Part::File(reader)) = self.parts.iter().find(|part| part.is_file()) else {
            return 0;
        };
        match self.bridge.repo().may_hold_blocks_in_memory() {
            true => reader.next_block_len(),
            false => self.window.modestly(reader.remaining().min(MAX)),
        }
    }

    /// Sends the reader off to wait for the disk, with memory for what one read may bring.
    fn start_fetch(&mut self, share: Share) {
        let Some(Part::File(reader)) = first_file(&mut self.parts) else { return };
        let reader = reader.clone();
        self.must_fetch = false;
        let extent = self.extent.take();
        self.fetch = Some(self.bridge.run(move |repo| fetch(repo, reader, extent, share)));
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(fetch) = &mut self.fetch else { return Poll::Ready(Ok(())) };
        let fetched = ready!(Pin::new(fetch).poll(cx));
        self.fetch = None;
        let Fetched { reader, always_waits, result } = fetched.ok_or(BodyError::Stopped)?;
        (self.ready, self.extent) = result?;
        self.always_waits = always_waits;
        self.read_ahead(&reader);
        if let Some(Part::File(stale)) = first_file(&mut self.parts) {
            *stale = reader;
        }
        Poll::Ready(Ok(()))
    }

    /// The disk had to be waited for: asks for the leaves that come next, twice as far each time.
    fn read_ahead(&mut self, reader: &FileReader) {
        let Ahead { step, max, until } = self.ahead;
        let from = until.max(reader.position());
        if max == 0 || reader.remaining() == 0 || reader.position() + step / 2 < until {
            return;
        }
        let ahead = reader.clone();
        let started = self.bridge.run_if_idle(move |_| {
            ahead.warm(from, step);
        });
        if started {
            self.ahead = Ahead { step: (step * 2).min(max), max, until: from.saturating_add(step) };
        }
    }
}

/// The first range among the parts.
fn first_file(parts: &mut VecDeque<Part>) -> Option<&mut Part> {
    parts.iter_mut().find(|part| part.is_file())
}

/// Reads on where waiting is allowed: the next piece if none is begun, and its bytes in one read.
fn fetch(repo: &Repo, mut reader: FileReader, extent: Option<Extent>, share: Share) -> Fetched {
    let piece = extent.map(|extent| Ok(Piece::Extent(extent))).or_else(|| reader.next_piece());
    let (always_waits, result) = match piece {
        None => (false, Ok((VecDeque::new(), None))),
        Some(Err(error)) => (false, Err(error)),
        Some(Ok(Piece::Bytes(bytes))) => (true, Ok((VecDeque::from([share.charge(bytes)]), None))),
        Some(Ok(Piece::Extent(mut extent))) => {
            let always_waits = !extent.reads_without_waiting();
            match read_into(&mut extent, share.into_buffers()) {
                Ok(filled) => {
                    let rest = (!extent.is_empty()).then_some(extent);
                    (always_waits, Ok((filled, rest)))
                }
                Err(error) => {
                    repo.failed(&extent, &error);
                    go_back(&mut reader, &extent);
                    (always_waits, Ok((VecDeque::new(), None)))
                }
            }
        }
    };
    Fetched { reader, always_waits, result }
}

/// A copy of a block failed in its middle: the reader goes back to the first byte that was not read. The block is looked
/// for anew and verified from now on, so it comes from a copy that is whole, or the next step says that there is none.
fn go_back(reader: &mut FileReader, unread: &Extent) {
    let read_to = FileReader::position(reader).saturating_sub(unread.len());
    reader.go_back_to(read_to);
}

/// Fills buffers from the front of an extent, in one read if the system is willing.
fn read_into(extent: &mut Extent, mut buffers: Vec<Buffer>) -> Result<VecDeque<Bytes>, StoreError> {
    let mut room = usize::try_from(extent.len()).unwrap_or(usize::MAX);
    let mut slices = Vec::with_capacity(buffers.len());
    for buffer in &mut buffers {
        let len = room.min(BUFFER_LEN);
        if len > 0 {
            slices.push(IoSliceMut::new(buffer.space().split_at_mut(len).0));
        }
        room -= len;
    }
    let mut read = extent.read_vectored(&mut slices)?;
    let mut filled = VecDeque::with_capacity(buffers.len());
    for buffer in buffers {
        let len = read.min(BUFFER_LEN);
        if len > 0 {
            filled.push_back(buffer.into_bytes(len));
        }
        read -= len;
    }
    Ok(filled)
}

/// A body that is made page by page in the blocking world: a directory listing.
///
/// `next` gives the next page and whether it is the last; it is called again only when the page before
/// has gone to the socket, so that a slow client holds one page and no thread.
pub(crate) struct Pages {
    bridge: Arc<Bridge>,
    next: Option<PageSource>,
    making: Option<Running<(PageSource, Result<Page, ReadError>)>>,
    ready: Option<Bytes>,
    ended: bool,
}

/// Makes the next page.
pub(crate) type PageSource = Box<dyn FnMut() -> Result<Page, ReadError> + Send>;

/// A page, and whether it is the last.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) bytes: Bytes,
    pub(crate) last: bool,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Pages {
    /// A body that begins with `first`, made already, and goes on with what `next` makes.
    pub(crate) fn new(bridge: Arc<Bridge>, first: Page, next: PageSource) -> Self {
        Pages {
            bridge,
            next: Some(next),
            making: None,
            ready: Some(first.bytes),
            ended: first.last,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(bytes) = self.ready.take() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(mut next) = self.next.take() {
            self.making = Some(self.bridge.run(move |_| {
                let page = next();
                (next, page)
            }));
        }
        let Some(making) = &mut self.making else { return Poll::Ready(None) };
        let made = ready!(Pin::new(making).poll(cx));
        self.making = None;
        let (next, page) = made.ok_or(BodyError::Stopped)?;
        let page = page?;
        self.next = Some(next);
        self.ended = page.last;
        Poll::Ready(Some(Ok(page.bytes)))
    }
}
