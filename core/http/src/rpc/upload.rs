//! The body of a request, read where blocking is allowed.
//!
//! Owns the way from the socket to a command's thread: a bounded queue, so that a slow command slows its client, and a clock
//! for a client that sends nothing. What a command leaves unread is read and dropped, within bounds, so that the
//! connection can go on. Must not know what is in a body.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::tokens::Pace;

/// Pieces of a body, of 128 KiB at most, that wait for a command. One more waits for room here.
const WAITING: usize = 1;

/// Bytes of a body that are read and dropped after its command has ended; with more the connection is closed.
const MAX_DROPPED: u64 = 4 * 1024 * 1024;

/// How long that may take.
const DROP_TIME: Duration = Duration::from_secs(5);

/// The body of a request; blocks until there is more of it.
#[derive(Debug)]
pub(crate) struct Upload {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    /// Held as long as the command works on what came, which is longer than it comes.
    _taken: Arc<Taken>,
}

/// What a body has taken of the memory for bodies; given back when neither its reader nor its command needs it.
#[derive(Debug, Default)]
struct Taken {
    _share: Option<OwnedSemaphorePermit>,
    large: OnceLock<OwnedSemaphorePermit>,
}

/// Resolves when nothing of the body is left to be read, or nobody will read it.
pub(crate) type Drained = oneshot::Receiver<()>;

/// What a body may take of the memory for bodies.
#[derive(Debug)]
pub(crate) struct Room {
    /// Its share from the start.
    pub(crate) _share: OwnedSemaphorePermit,
    /// Bytes that go by before it counts as large.
    pub(crate) small: u64,
    /// Places for large bodies: beyond so many, they wait.
    pub(crate) large: Arc<Semaphore>,
}

impl Upload {
    /// Begins to read. `stall` is the longest time that the client may send nothing; `pace` slows it down.
    pub(crate) fn start(
        body: Incoming,
        stall: Duration,
        room: Option<Room>,
        pace: Option<Pace>,
    ) -> (Upload, Drained) {
        let (sender, pieces) = mpsc::channel(WAITING);
        let (drained, wait) = oneshot::channel();
        let (share, large) = match room {
            Some(Room { _share: share, small, large }) => (Some(share), Some((small, large))),
            None => (None, None),
        };
        let taken = Arc::new(Taken { _share: share, large: OnceLock::new() });
        let kept = taken.clone();
        tokio::spawn(async move {
            pump(body, sender, stall, large, kept, pace).await;
            drop(drained);
        });
        (Upload { pieces, piece: Bytes::new(), _taken: taken }, wait)
    }

    /// What comes next, without a copy; empty at the end.
    pub(crate) fn next_piece(&mut self) -> io::Result<Bytes> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => break,
            }
        }
        Ok(std::mem::take(&mut self.piece))
    }
}

impl Read for Upload {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.next_piece()?;
        }
        let n = self.piece.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), self.piece.get(..n)) {
            to.copy_from_slice(from);
        }
        self.piece.advance(n);
        Ok(n)
    }
}

/// Reads a body to its end, for whoever takes it.
async fn pump(
    mut body: Incoming,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    stall: Duration,
    large: Option<(u64, Arc<Semaphore>)>,
    taken: Arc<Taken>,
    mut pace: Option<Pace>,
) {
    let mut passed = 0u64;
    loop {
        let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx));
        let piece = tokio::select! {
            next = tokio::time::timeout(stall, next) => match next {
                Ok(None) => return,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Ok(data),
                    Err(_) => continue,
                },
                Ok(Some(Err(_))) => Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the connection ended before the body did",
                )),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("the client sent nothing for {} seconds", stall.as_secs()),
                )),
            },
            () = pieces.closed() => break,
        };
        let ended = piece.is_err();
        passed += piece.as_ref().map_or(0, |data| data.len() as u64);
        if let Some((small, places)) = &large
            && passed > *small
            && taken.large.get().is_none()
        {
            tokio::select! {
                place = places.clone().acquire_owned() => drop(place.map(|place| taken.large.set(place))),
                () = pieces.closed() => break,
            }
        }
        if let (Some(pace), Ok(data)) = (&mut pace, &piece) {
            pace.passed(data.len());
            tokio::select! {
                () = pace.ready() => {}
                () = pieces.closed() => break,
            }
        }
        if pieces.send(piece).await.is_err() || ended {
            break;
        }
    }
    drop(taken);
    let _ = tokio::time::timeout(DROP_TIME, drop_rest(body)).await;
}

async fn drop_rest(mut body: Incoming) {
    let mut dropped = 0;
    while dropped < MAX_DROPPED {
        let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
        match next {
            Some(Ok(frame)) => dropped += frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => return,
        }
    }
}
