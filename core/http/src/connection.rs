//! A client's connection, and how long it may take.
//!
//! Owns the three clocks of a connection: for the head of a request, for the pause between requests,
//! and for an answer that nobody takes. One timer serves all three and is only looked at when there is
//! nothing to do. Must not know HTTP beyond "a request has begun".

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::Limits;

/// Says while a request is being answered: then it is us who take time, not the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Begins; ends when the mark is dropped, with the last of the answer's body.
    pub(crate) fn begin(&self) -> BusyMark {
        self.0.store(true, Ordering::Release);
        BusyMark(self.clone())
    }

    fn is_busy(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A request is being answered as long as this is held.
#[derive(Debug)]
pub(crate) struct BusyMark(Busy);

impl Drop for BusyMark {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing of the next request has come.
    Idle,
    /// Part of a request's head has come, or the connection is new.
    Head,
}

/// A stream whose client is held to its times. Fails with `TimedOut` when one has run out.
#[derive(Debug)]
pub(crate) struct Timed<S> {
    stream: S,
    busy: Busy,
    phase: Phase,
    /// The client has not taken all that was written: the clock of a stalled answer runs, no other.
    blocked: bool,
    /// When the phase began, or the last byte was taken.
    since: Instant,
    timer: Pin<Box<Sleep>>,
    head_time: Duration,
    idle_time: Duration,
    stall_time: Duration,
}

impl<S> Timed<S> {
    pub(crate) fn new(stream: S, limits: &Limits) -> Self {
        Timed {
            stream,
            busy: Busy::default(),
            // A client that connects and says nothing has the time of a head.
            phase: Phase::Head,
            blocked: false,
            since: Instant::now(),
            timer: Box::pin(tokio::time::sleep(limits.head_time)),
            head_time: limits.head_time,
            idle_time: limits.idle_time,
            stall_time: limits.stall_time,
        }
    }

    /// The mark to set while a request is answered.
    pub(crate) fn busy(&self) -> Busy {
        self.busy.clone()
    }

    /// Whether `limit` has passed since the client last did something. Arms the timer otherwise.
    fn poll_overdue(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let deadline = self.since + limit;
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
        // The timer runs longer than this limit: it was armed for a longer one.
        if self.timer.deadline() > self.since + limit {
            let deadline = self.since + limit;
            self.timer.as_mut().reset(deadline);
            if self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let was_blocked = std::mem::replace(&mut self.blocked, result.is_pending());
        match result {
            Poll::Ready(Ok(n)) => {
                if n > 0 {
                    self.since = Instant::now();
                    if was_blocked || self.phase == Phase::Head {
                        self.phase = Phase::Idle;
                        // Whoever reads may have come to wait before this, with no timer or that of a head.
                        let _ = self.poll_overdue(cx, self.idle_time);
                    }
                }
                Poll::Ready(Ok(n))
            }
            Poll::Pending if self.poll_overdue(cx, self.stall_time).is_ready() => {
                Poll::Ready(Err(overdue("the client took nothing")))
            }
            other => other,
        }
    }
}

fn overdue(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if buf.filled().len() > before && this.phase == Phase::Idle {
                    this.phase = Phase::Head;
                    this.since = Instant::now();
                }
                Poll::Ready(result)
            }
            Poll::Pending if this.busy.is_busy() || this.blocked => Poll::Pending,
            Poll::Pending => {
                let limit = match this.phase {
                    Phase::Idle => this.idle_time,
                    Phase::Head => this.head_time,
                };
                match this.poll_overdue(cx, limit) {
                    Poll::Ready(()) => Poll::Ready(Err(overdue("the client sent nothing"))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.wrote(result, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(600);

    /// A connection and its client, with room for four bytes on their way.
    fn pair(limits: Limits) -> (Timed<DuplexStream>, DuplexStream) {
        let (ours, client) = duplex(4);
        (Timed::new(ours, &limits), client)
    }

    async fn waits(connection: &mut Timed<DuplexStream>) -> bool {
        tokio::time::timeout(4 * SHORT, connection.read(&mut [0; 4])).await.is_err()
    }

    #[tokio::test]
    async fn a_client_that_has_not_taken_its_answer_is_not_idle() {
        let limits =
            Limits { head_time: SHORT, idle_time: SHORT, stall_time: LONG, ..Limits::default() };
        let (mut connection, mut client) = pair(limits);
        let answer = tokio::time::timeout(SHORT / 2, connection.write_all(b"an answer"));
        assert!(answer.await.is_err(), "the client has room for all of it");
        assert!(waits(&mut connection).await);
        client.read_exact(&mut [0; 4]).await.unwrap();
        connection.write_all(b"swer").await.unwrap();
        let error = connection.read(&mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_request_that_is_being_answered_has_no_clock() {
        let limits =
            Limits { head_time: SHORT, idle_time: SHORT, stall_time: SHORT, ..Limits::default() };
        let (mut connection, _client) = pair(limits);
        let mark = connection.busy().begin();
        assert!(waits(&mut connection).await);
        drop(mark);
        assert!(!waits(&mut connection).await);
    }

    #[tokio::test]
    async fn whoever_waits_to_read_notices_that_an_answer_has_begun_a_pause() {
        let limits =
            Limits { head_time: LONG, idle_time: SHORT, stall_time: LONG, ..Limits::default() };
        let (mut connection, mut client) = pair(limits);
        client.write_all(b"GET").await.unwrap();
        connection.read_exact(&mut [0; 3]).await.unwrap();
        // The order in which hyper may do it: wait for more, then answer, then wait to be woken.
        let ended = std::future::poll_fn(|cx| {
            let mut byte = [0; 1];
            let read = Pin::new(&mut connection).poll_read(cx, &mut ReadBuf::new(&mut byte));
            if read.is_pending() {
                let _ = Pin::new(&mut connection).poll_write(cx, b"x");
            }
            read
        });
        let ended = tokio::time::timeout(LONG / 60, ended).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
