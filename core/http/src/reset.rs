//! A connection that can be made to end as a failure.
//!
//! Owns the one way to tell a client of HTTP/1.0 that an answer is not whole: there are no chunks and no trailers, and the end
//! of the connection is the end of the answer, so it is reset. nginx speaks HTTP/1.0 to whom it stands before unless it is told
//! otherwise. Must not know what failed.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The wish to reset a connection when it ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reset(Arc<AtomicBool>);

impl Reset {
    /// An answer ends before its time.
    pub(crate) fn wish(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A connection that is closed when it is dropped, and reset where that was wished.
#[derive(Debug)]
pub(crate) struct Resettable<S: AsFd> {
    stream: S,
    reset: Reset,
}

impl<S: AsFd> Resettable<S> {
    pub(crate) fn new(stream: S) -> Self {
        Resettable { stream, reset: Reset::default() }
    }

    pub(crate) fn reset(&self) -> Reset {
        self.reset.clone()
    }
}

impl<S: AsFd> Drop for Resettable<S> {
    fn drop(&mut self) {
        if self.reset.0.load(Ordering::Acquire) {
            // Where it cannot be set, the connection just ends, as it would without us.
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
    }
}

impl<S: AsFd + AsyncRead + Unpin> AsyncRead for Resettable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsFd + AsyncWrite + Unpin> AsyncWrite for Resettable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
