//! An RPC server in this process, and a client whose every byte is the test's own.

#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coldfront::ipns::Names;
use coldfront::keys::{HotKeys, Keyring};
use coldfront::store::hot::HotOptions;
use coldfront::{Repo, RepoOptions};
use coldfront_http::rpc::access::Access;
use coldfront_http::rpc::{Daemon, Identity};
use coldfront_http::{Limits, Rpc, RpcListener, serve_rpc};
use tokio::sync::oneshot;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    pub address: SocketAddr,
    pub rpc: Arc<Rpc>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: Option<tempfile::TempDir>,
}

pub fn limits() -> Limits {
    Limits { drain_time: Duration::from_millis(500), ..Limits::default() }
}

/// A node with a hot store of its own and nothing in it.
pub fn server() -> Server {
    server_with(limits(), |rpc| rpc)
}

pub fn server_with(limits: Limits, change: impl FnOnce(Rpc) -> Rpc) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let repo = hot_repo(&folder.path().join("hot"));
    let mut server = start(repo, limits, change);
    server._folder = Some(folder);
    server
}

pub fn hot_repo(path: &Path) -> Repo {
    let hot = HotOptions { memory: 32 * 1024 * 1024, ..HotOptions::new(path) };
    Repo::open(&RepoOptions { hot: Some(hot), ..RepoOptions::default() }).unwrap()
}

pub fn start(repo: Repo, limits: Limits, change: impl FnOnce(Rpc) -> Rpc) -> Server {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let names = repo.hot().map(|hot| {
        let place = Arc::new(HotKeys::of(hot));
        Names::new(Keyring::new(place.identity().unwrap(), place.clone()), place)
    });
    let daemon = Daemon::new(repo, Identity::of_ed25519(&[7; 32]));
    let daemon = match names {
        Some(names) => daemon.named_by(names),
        None => daemon,
    };
    let threads = limits.disk_threads + limits.rpc.threads();
    let rpc = Arc::new(change(Rpc::new(Arc::new(daemon), limits)));
    let (stop, stopped) = oneshot::channel::<()>();
    let served = rpc.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(threads)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let ended = served.daemon().clone();
            let stop = async move {
                tokio::select! {
                    _ = stopped => {}
                    () = ended.ended() => {}
                }
            };
            let listener = RpcListener { listener, access: Access::new(), tls: None };
            serve_rpc(listener, served, stop).await.unwrap();
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
    });
    Server { address, rpc, stop: Some(stop), thread: Some(thread), _folder: None }
}

impl Server {
    /// Waits for the end that a call asked for.
    pub fn join(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { reader: BufReader::new(stream) }
    }

    /// A call without a body, on a connection of its own.
    pub fn call(&self, path: &str) -> Answer {
        self.connect().call(path)
    }

    /// A call with files, each a name and its content.
    pub fn upload(&self, path: &str, files: &[(&str, &[u8])]) -> Answer {
        self.connect().upload(path, files)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// An answer, whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// As they were spelled, in their order.
    pub headers: Vec<(String, String)>,
    pub chunks: Vec<Vec<u8>>,
    pub trailers: Vec<(String, String)>,
    /// The connection ended before the body did.
    pub cut: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn trailer(&self, name: &str) -> Option<&str> {
        let found = self.trailers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The values of a body that has one a line.
    pub fn values(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The text of a failure that came as a status.
    pub fn message(&self) -> String {
        assert!(self.status >= 400, "{self:?}");
        self.values()[0]["Message"].as_str().unwrap().to_owned()
    }
}

pub const BOUNDARY: &str = "------------------------a1b2c3";

/// A body of form data.
pub fn form(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in files {
        let filename =
            if name.is_empty() { String::new() } else { format!("; filename=\"{name}\"") };
        write!(
            body,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"{filename}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        .unwrap();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    write!(body, "--{BOUNDARY}--\r\n").unwrap();
    body
}

/// A connection that stays open.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    pub fn call(&mut self, path: &str) -> Answer {
        self.send(
            format!("POST /api/v0/{path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
                .as_bytes(),
        );
        self.answer()
    }

    pub fn with_headers(&mut self, path: &str, headers: &str) -> Answer {
        self.send(
            format!(
                "POST /api/v0/{path} HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: 0\r\n\r\n"
            )
            .as_bytes(),
        );
        self.answer()
    }

    pub fn head_of_upload(path: &str, framing: &str) -> String {
        format!(
            "POST /api/v0/{path} HTTP/1.1\r\nHost: test\r\n{framing}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        )
    }

    pub fn upload(&mut self, path: &str, files: &[(&str, &[u8])]) -> Answer {
        let body = form(files);
        let head = Self::head_of_upload(path, &format!("Content-Length: {}", body.len()));
        self.send(&[head.as_bytes(), &body].concat());
        self.answer()
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    pub fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return fields;
            }
            let (name, value) = line.split_once(':').unwrap();
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// The status and the headers.
    pub fn head(&mut self) -> Answer {
        let line = self.line();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {line:?}"));
        Answer { status: status.parse().unwrap(), headers: self.fields(), ..Answer::default() }
    }

    /// The next chunk; empty at the end, `None` where the connection ended.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line();
        if size.is_empty() {
            return None;
        }
        let mut chunk = vec![0; usize::from_str_radix(&size, 16).unwrap()];
        self.reader.read_exact(&mut chunk).ok()?;
        if !chunk.is_empty() {
            assert_eq!(self.line(), "");
        }
        Some(chunk)
    }

    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if answer.header("Transfer-Encoding") != Some("chunked") {
            let len = answer.header("Content-Length").map_or(0, |len| len.parse().unwrap());
            let mut body = vec![0; len];
            self.reader.read_exact(&mut body).unwrap();
            answer.chunks.push(body);
            return answer;
        }
        loop {
            match self.chunk() {
                None => {
                    answer.cut = true;
                    return answer;
                }
                Some(chunk) if chunk.is_empty() => break,
                Some(chunk) => answer.chunks.push(chunk),
            }
        }
        answer.trailers = self.fields();
        answer
    }

    /// All that comes until the connection ends, and how it ended where that was no end of its own.
    pub fn until_the_end(&mut self) -> (String, Option<std::io::ErrorKind>) {
        let mut bytes = Vec::new();
        let error = self.reader.read_to_end(&mut bytes).err().map(|error| error.kind());
        (String::from_utf8_lossy(&bytes).into_owned(), error)
    }

    /// Whether the server has closed its side.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.reader.fill_buf(), Ok([]) | Err(_))
    }
}
