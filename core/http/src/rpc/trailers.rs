//! A connection whose every request asks for trailers.
//!
//! Owns one trick: hyper sends the trailers of an answer only when the request says `TE: trailers`. Clients of the
//! RPC API read the trailer `X-Stream-Error` and do not say so, since Go's client reads trailers unasked. So the line is put
//! behind the first line of each request on its way to hyper. For that it must be known where requests begin: the framing of
//! HTTP/1.1 is followed here, by the rules that hyper follows. Must not know commands. Rules: RFC 9112, sections 2.2, 6.3 and 7.1.
//!
//! What cannot be framed is passed on as it is: hyper refuses it, and the connection ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const LINE: &[u8] = b"TE: trailers\r\n";

/// The longest part of a header line that is looked at: names and values that frame a message are shorter.
const MAX_LINE: usize = 256;

/// Where in the stream of requests the next byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before or in the first line of a request.
    FirstLine,
    /// In the head.
    Head,
    /// In a body of known length.
    Body(u64),
    /// In the line that says how long a chunk is.
    ChunkSize,
    /// In a chunk, or in the line end behind it.
    Chunk(u64),
    /// In the lines behind the last chunk.
    Tail,
    /// Nobody knows.
    Lost,
}

/// Follows the framing of requests.
#[derive(Debug)]
pub(super) struct Framing {
    at: At,
    /// The line at hand, cut to what is looked at.
    line: Vec<u8>,
    line_len: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    pub(super) fn new() -> Self {
        Framing { at: At::FirstLine, line: Vec::new(), line_len: 0, length: None, chunked: false }
    }

    /// Takes in bytes. Gives the offset behind the first line of a request where one ends in them; what follows it
    /// has not been taken in then.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.at {
                At::Lost => return None,
                At::Body(left) | At::Chunk(left) => {
                    let n = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    done += n;
                    self.passed(left - n as u64);
                }
                At::FirstLine | At::Head | At::ChunkSize | At::Tail => {
                    let end = memchr::memchr(b'\n', rest);
                    let n = end.map_or(rest.len(), |end| end + 1);
                    self.keep(rest.get(..n).unwrap_or_default());
                    done += n;
                    if end.is_some() && self.line_ended() {
                        return Some(done);
                    }
                }
            }
        }
        None
    }

    /// Bytes of a body went by; so many are left.
    fn passed(&mut self, left: u64) {
        self.at = match (self.at, left) {
            (At::Body(_), 0) => At::FirstLine,
            (At::Body(_), left) => At::Body(left),
            (_, 0) => At::ChunkSize,
            (_, left) => At::Chunk(left),
        };
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.line_len += bytes.len();
    }

    /// A line is there. Says whether it was the first of a request.
    fn line_ended(&mut self) -> bool {
        let mut line = std::mem::take(&mut self.line);
        let is_whole = self.line_len == line.len();
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let is_first = self.at == At::FirstLine && !(text.is_empty() && is_whole);
        self.at = match self.at {
            // Empty lines before a request are stepped over.
            At::FirstLine if text.is_empty() && is_whole => At::FirstLine,
            At::FirstLine => {
                (self.length, self.chunked) = (None, false);
                At::Head
            }
            At::Head if text.is_empty() => self.body(),
            At::Head => self.header(text),
            At::ChunkSize => chunk_size(text),
            At::Tail if text.is_empty() => At::FirstLine,
            at => at,
        };
        line.clear();
        (self.line, self.line_len) = (line, 0);
        is_first
    }

    fn header(&mut self, line: &[u8]) -> At {
        let Some(colon) = memchr::memchr(b':', line) else { return At::Head };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            return if self.chunked { At::Head } else { At::Lost };
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            if length.is_none() || self.length.is_some_and(|known| Some(known) != length) {
                return At::Lost;
            }
            self.length = length;
        }
        At::Head
    }

    /// What follows the head.
    fn body(&self) -> At {
        match self.length {
            _ if self.chunked => At::ChunkSize,
            None | Some(0) => At::FirstLine,
            Some(length) => At::Body(length),
        }
    }
}

fn chunk_size(line: &[u8]) -> At {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    let size = if text.starts_with('+') { None } else { u64::from_str_radix(text, 16).ok() };
    match size {
        Some(0) => At::Tail,
        // With the line end behind it.
        Some(size) => size.checked_add(2).map_or(At::Lost, At::Chunk),
        None => At::Lost,
    }
}

/// A stream of requests that all say `TE: trailers`.
#[derive(Debug)]
pub(crate) struct AskTrailers<S> {
    stream: S,
    framing: Framing,
    /// Bytes of the line that are still to be given.
    line: &'static [u8],
    /// Bytes that were read behind a first line. What has been given of them is at the front.
    held: Vec<u8>,
    given: usize,
}

impl<S> AskTrailers<S> {
    pub(crate) fn new(stream: S) -> Self {
        AskTrailers { stream, framing: Framing::new(), line: &[], held: Vec::new(), given: 0 }
    }

    /// Gives what is at hand, as much as there is room for.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let before = buf.filled().len();
        let n = self.line.len().min(buf.remaining());
        let (line, rest) = self.line.split_at(n);
        buf.put_slice(line);
        self.line = rest;
        if self.line.is_empty() {
            let held = self.held.get(self.given..).unwrap_or_default();
            let held = held.get(..held.len().min(buf.remaining())).unwrap_or_default();
            let end = self.framing.take(held);
            let n = end.unwrap_or(held.len());
            buf.put_slice(held.get(..n).unwrap_or_default());
            self.given += n;
            if end.is_some() {
                self.line = LINE;
            }
            if self.given == self.held.len() {
                self.held.clear();
                self.given = 0;
            }
        }
        buf.filled().len() > before
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AskTrailers<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 || this.give(buf) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let new = buf.filled().get(before..).unwrap_or_default();
        if let Some(end) = this.framing.take(new) {
            this.held.extend_from_slice(new.get(end..).unwrap_or_default());
            this.line = LINE;
            buf.set_filled(before + end);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AskTrailers<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// What hyper would see of `sent`, which comes and is taken in pieces of these lengths.
    async fn seen(sent: &[u8], piece: usize, room: usize) -> String {
        let (ours, mut client) = duplex(piece);
        let sent = sent.to_vec();
        let sending = tokio::spawn(async move { client.write_all(&sent).await });
        let mut stream = AskTrailers::new(ours);
        let mut all = Vec::new();
        let mut buf = vec![0; room];
        loop {
            match stream.read(&mut buf).await.unwrap() {
                0 => break,
                n => all.extend_from_slice(&buf[..n]),
            }
        }
        sending.await.unwrap().unwrap();
        String::from_utf8(all).unwrap()
    }

    const REQUESTS: &str = "POST /a HTTP/1.1\r\nHost: x\r\n\r\n\
        \r\n\nPOST /b HTTP/1.1\r\ncontent-LENGTH:  5 \r\n\r\nGET /\
        POST /c HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n\
        5;x=y\r\nPOST \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
        POST /d HTTP/1.1\nHost: y\n\nPOST /e HTTP/1.1\r\nContent-Length: 0\r\n\r\n";

    #[tokio::test]
    async fn each_request_asks_for_trailers_and_nothing_else_changes() {
        let asking = |text: &str| {
            let mut text = text.to_owned();
            for path in ["/a", "/b", "/c", "/e"] {
                let first = format!("POST {path} HTTP/1.1\r\n");
                text = text.replace(&first, &format!("{first}TE: trailers\r\n"));
            }
            text.replace("/d HTTP/1.1\n", "/d HTTP/1.1\nTE: trailers\r\n")
        };
        for piece in [1, 2, 3, 7, 64, 4096] {
            for room in [1, 5, 17, 8192] {
                assert_eq!(
                    seen(REQUESTS.as_bytes(), piece, room).await,
                    asking(REQUESTS),
                    "{piece} {room}"
                );
            }
        }
    }

    #[tokio::test]
    async fn what_cannot_be_framed_is_passed_on_as_it_is() {
        let behind = "POST /z HTTP/1.1\r\n\r\n";
        for bad in [
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            let text = seen(format!("{bad}{behind}").as_bytes(), 64, 64).await;
            assert!(text.ends_with(behind), "{text}");
            assert_eq!(text.matches("TE: trailers").count(), 1, "{text}");
        }
    }
}
