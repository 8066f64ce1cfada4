//! The body of a request, read where blocking is allowed.
//!
//! Owns the way from the socket to a command's thread: a bounded queue, so that a slow command slows its client, and a clock
//! for a client that sends nothing, or drips. What a command leaves unread is read and dropped, within bounds, so that the
//! connection can go on. Must not know what is in a body.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

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

/// The fewest bytes a second that a client must send while it is waited for, over the longest time that it may send nothing: a
/// body that drips holds a place that others wait for.
const SLOWEST: u64 = 128;

/// How fast a client sends, in the time in which we wait for it.
struct Drip {
    stall: Duration,
    waited: Duration,
    came: u64,
}

impl Drip {
    fn new(stall: Duration) -> Drip {
        Drip { stall, waited: Duration::ZERO, came: 0 }
    }

    /// So many bytes came after so long a wait; an error when that is too few for too long.
    fn came(&mut self, bytes: usize, waited: Duration) -> io::Result<()> {
        self.waited += waited;
        self.came += bytes as u64;
        if self.waited < self.stall {
            return Ok(());
        }
        let least = (SLOWEST as f64 * self.waited.as_secs_f64()) as u64;
        if self.came < least {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "the client sent {} bytes in {:.0} seconds, and {SLOWEST} a second are the fewest",
                    self.came,
                    self.waited.as_secs_f64()
                ),
            ));
        }
        *self = Drip::new(self.stall);
        Ok(())
    }
}

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
    let (mut passed, mut drip) = (0u64, Drip::new(stall));
    loop {
        let asked = Instant::now();
        let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx));
        let piece = tokio::select! {
            next = tokio::time::timeout(stall, next) => match next {
                Ok(None) => return,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => drip.came(data.len(), asked.elapsed()).map(|()| data),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_client_may_pause_and_be_slow_and_not_drip() {
        let second = Duration::from_secs(1);
        let mut drip = Drip::new(10 * second);
        for _ in 0..100 {
            drip.came(200, second).unwrap();
        }
        // One piece after a long pause is as good as many.
        drip.came(256 * 1024, 9 * second).unwrap();
        let mut drip = Drip::new(10 * second);
        let error = (0..20).find_map(|_| drip.came(1, second).err()).unwrap();
        let sentence = "the client sent 10 bytes in 10 seconds, and 128 a second are the fewest";
        assert_eq!(error.to_string(), sentence);
    }
}
