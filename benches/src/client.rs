//! A small HTTP/1.1 client: one keep-alive connection, GET with an optional range, bodies of a known length.
//! Every answer's status and length is looked at; what the load tool of the throughput runs only sums up is exact here.
//! Rules: RFC 9112 §2 to §6 (message form), RFC 9110 §14 (ranges). No chunked bodies: files have lengths.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// How much is read from the socket at once. A quarter of a megabyte keeps the client's share of two cores small.
const BUFFER_BYTES: usize = 256 * 1024;
/// No server here sends a longer head.
const HEAD_LIMIT: usize = 16 * 1024;
/// A server that is silent for this long has failed the run.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// One keep-alive connection to a server under test.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Box<[u8]>,
}

impl Connection {
    /// Connects. One socket, one buffer of 256 KiB.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        Ok(Self { stream, address, buffer: vec![0; BUFFER_BYTES].into_boxed_slice() })
    }

    /// Fetches `path`, or the half-open `range` of it, and hands the body to `sink` piece by piece.
    ///
    /// Fails unless the status is 200 (206 for a range) and the whole announced body arrives. Returns its length.
    pub fn get(
        &mut self,
        path: &str,
        range: Option<Range<u64>>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<u64> {
        self.exchange(path, range.as_ref(), sink).with_context(|| match &range {
            Some(range) => {
                format!("GET {path} bytes {}..{} of {}", range.start, range.end, self.address)
            }
            None => format!("GET {path} of {}", self.address),
        })
    }

    /// Fetches `path` and demands that it is `length` bytes long; the body is read and thrown away.
    pub fn drain(&mut self, path: &str, length: u64) -> Result<()> {
        let got = self.get(path, None, &mut |_| ())?;
        ensure!(got == length, "GET {path} of {}: {got} bytes, expected {length}", self.address);
        Ok(())
    }

    /// Fetches the half-open `range` of `path` and demands that it arrives in full length; the body is thrown away.
    pub fn drain_range(&mut self, path: &str, range: Range<u64>) -> Result<()> {
        let length = range.end - range.start;
        let got = self.get(path, Some(range), &mut |_| ())?;
        ensure!(
            got == length,
            "GET {path} of {}: {got} bytes, expected a range of {length}",
            self.address
        );
        Ok(())
    }

    /// Fetches `path` into memory: for bodies of a few MB at most.
    pub fn fetch(&mut self, path: &str, range: Option<Range<u64>>) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        self.get(path, range, &mut |piece| body.extend_from_slice(piece))?;
        Ok(body)
    }

    fn exchange(
        &mut self,
        path: &str,
        range: Option<&Range<u64>>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<u64> {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if let Some(range) = range {
            request.push_str(&format!(
                "Range: bytes={}-{}\r\n",
                range.start,
                range.end.saturating_sub(1)
            ));
        }
        request.push_str("\r\n");
        self.stream.write_all(request.as_bytes())?;

        let (head, head_end, mut filled) = self.read_head()?;
        let wanted = if range.is_some() { 206 } else { 200 };
        ensure!(head.status == wanted, "status {}, expected {wanted}", head.status);
        let mut left = head.length.context("the answer has no Content-Length")?;
        let length = left;
        let mut start = head_end;
        loop {
            let piece = &self.buffer[start..filled];
            ensure!(
                piece.len() as u64 <= left,
                "{} bytes beyond the announced body",
                piece.len() as u64 - left
            );
            sink(piece);
            left -= piece.len() as u64;
            if left == 0 {
                return Ok(length);
            }
            start = 0;
            filled = self.stream.read(&mut self.buffer)?;
            ensure!(
                filled > 0,
                "the connection closed with {left} of {length} bytes still to come"
            );
        }
    }

    /// The head of the next answer, where it ends in the buffer, and how much of the buffer is filled.
    fn read_head(&mut self) -> Result<(Head, usize, usize)> {
        let mut filled = 0;
        loop {
            let got = self.stream.read(&mut self.buffer[filled..])?;
            ensure!(got > 0, "the connection closed after {filled} bytes of the head");
            filled += got;
            if let Some((head, end)) = parse_head(&self.buffer[..filled])? {
                return Ok((head, end, filled));
            }
            ensure!(filled < HEAD_LIMIT, "the head is longer than {HEAD_LIMIT} bytes");
        }
    }
}

/// What is needed of an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Option<u64>,
}

/// The head at the front of `bytes` and its length, or `None` while its end has not arrived.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = str::from_utf8(&bytes[..end]).context("the head is not text")?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let Some(status) = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)) else {
        bail!("\"{status_line}\" is no HTTP/1.1 status line");
    };
    let status =
        status.parse().with_context(|| format!("\"{status_line}\" has no status number"))?;
    let mut head = Head { status, length: None };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            head.length =
                Some(value.trim().parse().with_context(|| format!("bad header \"{line}\""))?);
        }
    }
    Ok(Some((head, end + 4)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Connection, Head, parse_head};
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};

    /// A server that gives the same answer to one request, then closes.
    fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn a_head_is_read_when_its_last_byte_is_there_and_not_before() {
        let bytes = b"HTTP/1.1 206 Partial Content\r\ncontent-LENGTH: 12\r\nX: y\r\n\r\nbody";
        let end = bytes.len() - 4;
        assert_eq!(parse_head(&bytes[..end - 1]).unwrap(), None);
        assert_eq!(parse_head(bytes).unwrap(), Some((Head { status: 206, length: Some(12) }, end)));
    }

    #[test]
    fn an_answer_in_full_is_taken() {
        let address = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(Connection::open(address).unwrap().fetch("/", None).unwrap(), b"abc");
    }

    #[test]
    fn a_short_body_fails() {
        let address = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc");
        let error = Connection::open(address).unwrap().fetch("/", None).unwrap_err();
        assert!(format!("{error:#}").contains("27 of 30 bytes still to come"), "{error:#}");
    }

    #[test]
    fn a_status_other_than_200_fails() {
        let address = answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        assert!(Connection::open(address).unwrap().drain("/", 0).is_err());
    }

    #[test]
    fn the_whole_file_in_answer_to_a_range_fails() {
        let address = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        assert!(Connection::open(address).unwrap().drain_range("/", 0..3).is_err());
    }

    #[test]
    fn another_length_than_the_expected_fails() {
        let address = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        assert!(Connection::open(address).unwrap().drain("/", 4).is_err());
    }
}
