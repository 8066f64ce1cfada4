//! A gateway in this process, and clients whose every byte is the test's own.
//!
//! Nothing here forgives: a header that comes twice, a body that is cut short or a byte too many fails
//! the test that met it.

#![allow(dead_code, clippy::unwrap_used)]

#[path = "../../../tests/tree/mod.rs"]
pub(crate) mod tree;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coldfront::{Cid, Repo, Verify};
use coldfront_http::{Gateway, Limits, serve};
use tokio::sync::oneshot;
use tree::Golden;

/// Longer than any answer takes on a busy machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The bounds that tests begin with: the defaults, and a quick end.
pub(crate) fn limits() -> Limits {
    Limits { drain_time: Duration::from_millis(500), ..Limits::default() }
}

/// A golden repository of the library's own tests.
pub(crate) fn golden(name: &str) -> Golden {
    Golden::unpack(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"), name)
}

/// The rich golden repository, served without verification.
pub(crate) fn golden_server() -> (Golden, Server) {
    let golden = golden("flatfs-tree");
    let server = Server::start(golden.repo(Verify::Off), limits());
    (golden, server)
}

/// A gateway that listens on a port of its own until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Arc<Gateway>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    pub(crate) fn start(repo: Repo, limits: Limits) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Gateway::new(repo, limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = gateway.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .max_blocking_threads(served.limits().disk_threads.max(1))
                .enable_all()
                .build()?;
            let result = runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                // A sender that was dropped says the same as one that sent.
                serve(listener, served, async { drop(stopped.await) }).await
            });
            // A read that a test holds up must not hold up its end.
            runtime.shutdown_background();
            result
        });
        Server { address, gateway, stop: Some(stop), thread: Some(thread) }
    }

    /// A server over the tree's blocks, with the bounds that tests begin with.
    pub(crate) fn over(tree: &tree::Tree) -> Self {
        Server::start(tree.repo(Verify::Off), limits())
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Response {
        self.client().get(target)
    }

    /// Gives the signal to stop; does not wait.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Whether `serve` has returned.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

/// A connection of a client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Read from the socket and not looked at yet.
    buffer: Vec<u8>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a header that may come once. The name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values =
            self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} comes twice: {:?}", self.headers);
        value
    }

    /// The value of a header that must be there.
    pub(crate) fn expect(&self, name: &str) -> &str {
        self.header(name)
            .unwrap_or_else(|| panic!("no {name} in {} {:?}", self.status, self.headers))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// All headers but `Date`, in order of name: what GET and HEAD must agree on.
    pub(crate) fn described(&self) -> Vec<(String, String)> {
        let mut headers: Vec<_> =
            self.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
        headers.sort();
        headers
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.ask("GET", target, &[])
    }

    pub(crate) fn head(&mut self, target: &str) -> Response {
        self.ask("HEAD", target, &[])
    }

    pub(crate) fn get_with(&mut self, target: &str, headers: &[(&str, &str)]) -> Response {
        self.ask("GET", target, headers)
    }

    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        self.try_ask(method, target, headers)
            .unwrap_or_else(|error| panic!("{method} {target} {headers:?}: {error}"))
    }

    pub(crate) fn try_ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<Response> {
        self.stream.write_all(&request(method, target, headers))?;
        self.response(method)
    }

    /// Reads one answer to its end. A body that ends before it should is `UnexpectedEof`.
    pub(crate) fn response(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.response_head()?;
        response.body = self.body(method, &response)?;
        Ok(response)
    }

    /// Reads the head of an answer; its body stays where it is.
    pub(crate) fn response_head(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let text = String::from_utf8_lossy(&head);
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap();
        assert!(status.starts_with("HTTP/1.1 ") || status.starts_with("HTTP/1.0 "), "{status}");
        let headers = lines.filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("header {line:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Ok(Response {
            status: status[9..12].parse().unwrap(),
            headers: headers.collect(),
            body: Vec::new(),
        })
    }

    fn body(&mut self, method: &str, head: &Response) -> io::Result<Vec<u8>> {
        if method == "HEAD" || matches!(head.status, 100..200 | 204 | 304) {
            return Ok(Vec::new());
        }
        if head.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            return self.chunks();
        }
        match head.header("content-length") {
            Some(len) => self.take(len.parse().unwrap()),
            None => self.rest(),
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.buffer, b"\r\n") {
                    break at;
                }
                self.fill()?;
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let len = std::str::from_utf8(&line[..end]).unwrap();
            let len = usize::from_str_radix(len.split(';').next().unwrap(), 16).unwrap();
            body.extend(self.take(len)?);
            assert_eq!(self.take(2)?, b"\r\n");
            if len == 0 {
                return Ok(body);
            }
        }
    }

    /// The next bytes from the server, exactly so many.
    pub(crate) fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < len {
            self.fill()?;
        }
        Ok(self.buffer.drain(..len).collect())
    }

    /// Everything until the server closes; a reset is an error.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(std::mem::take(&mut self.buffer));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the server closes the connection within `time` without another byte.
    pub(crate) fn is_closed_within(&mut self, time: Duration) -> bool {
        assert!(self.buffer.is_empty(), "unread: {:?}", String::from_utf8_lossy(&self.buffer));
        self.stream.set_read_timeout(Some(time)).unwrap();
        let closed = match self.stream.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        };
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        closed
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.buffer.extend_from_slice(&bytes[..n]);
                Ok(())
            }
        }
    }
}

/// The bytes of a request without a body.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: gateway.test\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// `/ipfs/CID`.
pub(crate) fn ipfs(cid: &Cid) -> String {
    format!("/ipfs/{cid}")
}

/// Escapes what does not mean itself in any part of a URI.
pub(crate) fn escaped(name: &[u8]) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.iter()
        .map(|&byte| if keep(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Takes the escapes out again.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    out
}

/// Waits until something is so; fails the test when it never is.
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The sha2-256 of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let cid = coldfront::unixfs::testing::cid_of(coldfront::block::RAW, bytes);
    cid.hash().digest().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // Knuth's constants; the high half is the good one.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

/// The parts of a `multipart/byteranges` answer: what each says of itself, and its bytes.
pub(crate) fn multipart(response: &Response) -> Vec<(String, String, Vec<u8>)> {
    let content_type = response.expect("content-type");
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter has no line before it.
    let body = [b"\r\n", response.body.as_slice()].concat();
    let mut parts = Vec::new();
    let mut rest = body.strip_prefix(delimiter.as_slice()).expect("the body begins with a part");
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = find(part, &delimiter).expect("a part ends with a delimiter");
        let head = find(part, b"\r\n\r\n").unwrap();
        let text = std::str::from_utf8(&part[..head]).unwrap();
        let field = |name: &str| {
            let mut lines = text.split("\r\n").filter_map(|line| line.split_once(": "));
            lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).unwrap().1.to_owned()
        };
        parts.push((field("content-range"), field("content-type"), part[head + 4..end].to_vec()));
        rest = &part[end + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n", "the body ends with the closing delimiter");
    parts
}
