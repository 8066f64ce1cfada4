//! A client of the RPC API: one keep-alive connection, POST with or without form data, answers of known length or in
//! chunks, with trailers. The same code asks Kubo and coldfront.
//!
//! Owns the framing of requests and answers. A failure that comes late, by trailer or by a cut connection, is a failure here.
//! A form is sent by a thread of its own while the answer is read: servers answer while a body still comes.
//! Rules: RFC 9112 §6 and §7 (length, chunks, trailers), RFC 7578 (form data).

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

/// The path below which commands lie.
pub const BELOW: &str = "/api/v0/";
/// How much is read from the socket at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// The longest line of a head, of chunk sizes and of trailers.
const LINE_LIMIT: usize = 64 * 1024;
/// A server that is silent for this long has failed the run. Kubo's collections and pins are silent for long.
const SILENCE_LIMIT: Duration = Duration::from_secs(180);
/// What of the answer is kept for the sentence about a failure.
const SAID_LIMIT: usize = 300;
/// Separates parts; no content here holds it.
const BOUNDARY: &str = "side-by-side-7c1e";

/// One keep-alive connection to the RPC API of a server.
#[derive(Debug)]
pub struct Caller {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The server has said that it closes.
    closed: bool,
}

/// An answer as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Bytes of its body.
    pub bytes: u64,
}

/// The body of a request: form data of a known length, which a thread writes.
pub struct Form<'a> {
    length: u64,
    write: Writes<'a>,
}

/// Writes a form to a socket.
type Writes<'a> = Box<dyn FnOnce(&mut TcpStream) -> io::Result<()> + Send + 'a>;

impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form").field("length", &self.length).finish_non_exhaustive()
    }
}

impl<'a> Form<'a> {
    /// One file from a disk, sent without a copy in this process, so that the client takes little of the machine.
    pub fn of_file(path: &Path) -> Result<Form<'a>> {
        let mut file =
            File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (head, tail) = (part_head("file", "application/octet-stream"), tail());
        let length = head.len() as u64 + file.metadata()?.len() + tail.len() as u64;
        let write = move |stream: &mut TcpStream| {
            stream.write_all(&head)?;
            io::copy(&mut file, stream)?;
            stream.write_all(&tail)
        };
        Ok(Form { length, write: Box::new(write) })
    }

    /// Form data that [`write_form`] has written to a file.
    pub fn ready_made(path: &Path) -> Result<Form<'a>> {
        let mut file =
            File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let length = file.metadata()?.len();
        let write = move |stream: &mut TcpStream| io::copy(&mut file, stream).map(drop);
        Ok(Form { length, write: Box::new(write) })
    }

    /// One small file from memory.
    pub fn of_bytes(bytes: &[u8]) -> Form<'a> {
        let form = [&part_head("file", "application/octet-stream"), bytes, &tail()].concat();
        Form {
            length: form.len() as u64,
            write: Box::new(move |stream: &mut TcpStream| stream.write_all(&form)),
        }
    }
}

/// Writes the form data of a folder with files: `parts` gives the name and the bytes of each.
pub fn write_form(
    path: &Path,
    folder: &str,
    parts: impl Iterator<Item = Result<(String, Vec<u8>)>>,
) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = io::BufWriter::with_capacity(1 << 20, file);
    out.write_all(&part_head(folder, "application/x-directory"))?;
    for part in parts {
        let (name, bytes) = part?;
        out.write_all(b"\r\n")?;
        out.write_all(&part_head(&format!("{folder}%2F{name}"), "application/octet-stream"))?;
        out.write_all(&bytes)?;
    }
    out.write_all(&tail())?;
    Ok(out.into_inner().map_err(|error| anyhow!("{error}"))?.sync_all()?)
}

/// What a request with form data says of it.
pub fn form_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// A form with one small part, as text for another client.
pub fn form_text(content: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n"
    )
}

fn part_head(name: &str, kind: &str) -> Vec<u8> {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {kind}\r\n\r\n"
    )
    .into_bytes()
}

fn tail() -> Vec<u8> {
    format!("\r\n--{BOUNDARY}--\r\n").into_bytes()
}

/// What the head of an answer says of its body.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    status: u16,
    length: Option<u64>,
    chunked: bool,
    closes: bool,
}

impl Caller {
    /// Connects. One socket, one buffer of 256 KiB.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_LIMIT))?;
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Ok(Self { stream, address, buffer, start: 0, end: 0, closed: false })
    }

    /// Calls `target`, such as `cat?arg=CID`, and hands the body to `sink` piece by piece.
    ///
    /// Fails unless the status is 200 and the answer ends as it should, without a late error.
    pub fn call(&mut self, target: &str, sink: &mut dyn FnMut(&[u8])) -> Result<Answer> {
        self.expect(200, target, None, sink)
    }

    /// The same with form data.
    pub fn send(
        &mut self,
        target: &str,
        form: Form<'_>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer> {
        self.expect(200, target, Some(form), sink)
    }

    /// Calls `target`; the answer is short, and comes whole.
    pub fn text(&mut self, target: &str) -> Result<String> {
        let mut body = Vec::new();
        self.call(target, &mut |piece| body.extend_from_slice(piece))?;
        Ok(String::from_utf8(body)?)
    }

    /// The same with form data.
    pub fn send_text(&mut self, target: &str, form: Form<'_>) -> Result<String> {
        let mut body = Vec::new();
        self.send(target, form, &mut |piece| body.extend_from_slice(piece))?;
        Ok(String::from_utf8(body)?)
    }

    /// A call that must be answered with `status`.
    pub fn expect(
        &mut self,
        status: u16,
        target: &str,
        form: Option<Form<'_>>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer> {
        let mut said = Vec::new();
        let mut kept = |piece: &[u8]| {
            let room = SAID_LIMIT.saturating_sub(said.len()).min(piece.len());
            said.extend_from_slice(&piece[..room]);
            sink(piece);
        };
        let asked = || format!("POST {BELOW}{target} of {}", self.address);
        let asked = asked();
        let answer = self.exchange(target, form, &mut kept).with_context(|| asked.clone())?;
        ensure!(
            answer.status == status,
            "{asked}: status {}, expected {status}: {}",
            answer.status,
            String::from_utf8_lossy(&said)
        );
        Ok(answer)
    }

    fn exchange(
        &mut self,
        target: &str,
        form: Option<Form<'_>>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Answer> {
        ensure!(!self.closed, "the server closes a connection that should be kept");
        let Some(form) = form else {
            let request = format!(
                "POST {BELOW}{target} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
                self.address
            );
            self.stream.write_all(request.as_bytes())?;
            return self.answer(sink);
        };
        let request = format!(
            "POST {BELOW}{target} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            form_type(),
            form.length
        );
        let mut to = self.stream.try_clone()?;
        let way_out = self.stream.try_clone()?;
        std::thread::scope(|scope| {
            let sent = scope.spawn(move || {
                to.write_all(request.as_bytes())?;
                (form.write)(&mut to)
            });
            let answer = self.answer(sink);
            if !matches!(&answer, Ok(answer) if answer.status == 200) {
                // Nobody reads the rest of the form any more.
                let _ = way_out.shutdown(Shutdown::Both);
            }
            let sent = sent.join().map_err(|_| anyhow!("the thread that sends panicked"))?;
            let answer = answer?;
            ensure!(answer.status != 200 || sent.is_ok(), "the form could not be sent: {sent:?}");
            Ok(answer)
        })
    }

    fn answer(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<Answer> {
        let head = self.head()?;
        let bytes = match (head.chunked, head.length) {
            (true, _) => self.chunks(sink)?,
            (false, Some(length)) => {
                self.take(length, sink)?;
                length
            }
            (false, None) => bail!("the answer has neither a length nor chunks"),
        };
        self.closed = head.closes;
        Ok(Answer { status: head.status, bytes })
    }

    fn head(&mut self) -> Result<Head> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.with_context(|| format!("\"{line}\" is no HTTP/1.1 status line"))?;
        let mut head = Head { status: status.parse()?, ..Head::default() };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(head);
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.parse()?),
                "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => head.closes = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
    }

    fn chunks(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<u64> {
        let mut bytes = 0;
        loop {
            let line = self.line()?;
            let size = u64::from_str_radix(&line, 16)
                .with_context(|| format!("\"{line}\" is no length of a chunk"))?;
            if size == 0 {
                self.trailers()?;
                return Ok(bytes);
            }
            self.take(size, sink)?;
            bytes += size;
            ensure!(self.line()?.is_empty(), "a chunk is longer than it says");
        }
    }

    fn trailers(&mut self) -> Result<()> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            ensure!(!lower.starts_with("x-stream-error"), "a late error: {line}");
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<String> {
        loop {
            let ready = &self.buffer[self.start..self.end];
            if let Some(at) = ready.windows(2).position(|two| two == b"\r\n") {
                let line = std::str::from_utf8(&ready[..at])?.to_owned();
                self.start += at + 2;
                return Ok(line);
            }
            ensure!(ready.len() < LINE_LIMIT, "a line is longer than {LINE_LIMIT} bytes");
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            self.fill()?;
        }
    }

    fn take(&mut self, mut left: u64, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        while left > 0 {
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
                self.fill()?;
            }
            let ready = &self.buffer[self.start..self.end];
            let len = ready.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            sink(&ready[..len]);
            self.start += len;
            left -= len as u64;
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        let got = self.stream.read(&mut self.buffer[self.end..])?;
        ensure!(got > 0, "the connection was cut");
        self.end += got;
        Ok(())
    }
}

/// The text behind `"NAME":"` in the last value of an answer that has it.
pub fn last_text(answer: &str, name: &str) -> Result<String> {
    let mark = format!("\"{name}\":\"");
    let found = answer.rsplit(&mark).next().filter(|_| answer.contains(&mark));
    let text = found.and_then(|rest| rest.split('"').next());
    Ok(text.with_context(|| format!("no {name} in {answer}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Answer, Caller, Form, last_text};
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};

    /// A server that takes `request` bytes, gives the same answer to it, then closes.
    fn answering(request: usize, answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut vec![0; request]).unwrap();
            stream.write_all(answer).unwrap();
        });
        address
    }

    fn call(answer: &'static [u8]) -> anyhow::Result<(Answer, Vec<u8>)> {
        let mut body = Vec::new();
        let mut caller = Caller::open(answering(20, answer))?;
        let answer = caller.call("id", &mut |piece| body.extend_from_slice(piece))?;
        Ok((answer, body))
    }

    #[test]
    fn chunks_are_put_together() {
        let (answer, body) =
            call(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")
                .unwrap();
        assert_eq!((answer.bytes, body.as_slice()), (13, &b"abc0123456789"[..]));
    }

    #[test]
    fn an_error_in_the_trailer_fails() {
        let error = call(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Stream-Error: no\r\n\r\n",
        )
        .unwrap_err();
        assert!(format!("{error:#}").contains("late error"), "{error:#}");
    }

    #[test]
    fn a_cut_answer_fails() {
        assert!(call(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab").is_err());
        assert!(call(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").is_err());
    }

    #[test]
    fn another_status_fails_with_what_was_said() {
        let error = call(b"HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\nno").unwrap_err();
        assert!(format!("{error:#}").contains("status 500, expected 200: no"), "{error:#}");
    }

    #[test]
    fn an_answer_may_come_before_the_form_has_been_sent() {
        let address = answering(20, b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n");
        let form = Form::of_bytes(&vec![7; 64 << 20]);
        let answer = Caller::open(address).unwrap().expect(500, "add", Some(form), &mut |_| ());
        // The server may have reset the connection by then; it must not hang.
        drop(answer);
    }

    #[test]
    fn the_last_value_is_found() {
        let answer = "{\"Name\":\"a\",\"Hash\":\"x\"}\n{\"Name\":\"b\",\"Hash\":\"y\"}\n";
        assert_eq!(last_text(answer, "Hash").unwrap(), "y");
        assert!(last_text(answer, "Hush").is_err());
    }
}
