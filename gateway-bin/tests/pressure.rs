//! The RPC API under more than it has room for: whoever cannot be served is told so at once, others are served, and memory
//! stays where it was.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const MIB: u64 = 1024 * 1024;

struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(limits: &[&str]) -> Arc<Server> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_coldfront-gateway"));
        command
            .env_clear()
            .env("COLDFRONT_LOG", std::env::var("PRESSURE_LOG").unwrap_or("error".into()))
            .stdin(Stdio::null());
        command.args(["serve", "--rpc", "127.0.0.1:0"]).arg("--hot").arg(folder.path().join("hot"));
        // Write buffers of the store count against nobody's clients.
        command.args(["--limit", "hot_memory=32MiB"]);
        for limit in limits {
            command.arg("--limit").arg(limit);
        }
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("rpc: ")).unwrap();
        std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
        let address = line.split('/').nth(2).unwrap().to_owned();
        Arc::new(Server { child, address, _folder: folder })
    }

    /// What the process holds in memory now, in bytes. Pages of files are not counted.
    fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    async fn connect(&self) -> TcpStream {
        for _ in 0..100 {
            if let Ok(stream) = TcpStream::connect(&self.address).await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody listens");
    }

    /// The answer to a call, whole.
    async fn call(&self, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = self.connect().await;
        let call = async {
            // A refusal may come before all of this is sent.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(body).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = tokio::time::timeout(PATIENCE, call).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {head}"));
        (status(&answer), answer)
    }

    async fn post(&self, target: &str) -> (u16, Vec<u8>) {
        self.call(&head(target, 0, "Connection: close\r\n"), b"").await
    }

    async fn add(&self, content: &[u8]) -> (u16, Vec<u8>) {
        let body = form(content);
        self.call(&head("add?progress=false", body.len(), CLOSE_FORM), &body).await
    }

    /// An answer that takes no time is not kept waiting by the others.
    async fn answers_at_once(&self) {
        let began = Instant::now();
        assert_eq!(self.post("id").await.0, 200);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

const CLOSE_FORM: &str = "Connection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n";

fn head(target: &str, len: usize, headers: &str) -> String {
    format!("POST /api/v0/{target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n{headers}\r\n")
}

fn form(content: &[u8]) -> Vec<u8> {
    let before = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    [&before[..], content, b"\r\n--b--\r\n"].concat()
}

fn status(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer.get(..12).unwrap_or_default());
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Bytes that no other number gives. Quickly made: a test that computes keeps its own clients waiting.
fn content(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (at, page) in (0u64..).zip(bytes.chunks_mut(4096)) {
        let mark = (number << 32 | at).to_le_bytes();
        page.iter_mut().zip(mark).for_each(|(to, from)| *to = from);
    }
    bytes
}

/// Handles for so many sockets; `None` where the machine does not grant them.
fn handles(count: u64) -> Option<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < count) {
        eprintln!("skipped: {count} handles are not granted here");
        return None;
    }
    setrlimit(
        Resource::Nofile,
        Rlimit { current: Some(count.max(limit.current.unwrap_or(0))), ..limit },
    )
    .ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_adds_at_a_time_all_succeed_in_memory_that_stays_flat() {
    const ADDS: u64 = 200;
    const LEN: usize = 2 * MIB as usize;
    let server = Server::start(&[]);
    assert_eq!(server.add(&content(ADDS, LEN)).await.0, 200);
    let before = server.memory();
    let mut adds = JoinSet::new();
    for number in 0..ADDS {
        let server = server.clone();
        adds.spawn(async move { server.add(&content(number, LEN)).await });
    }
    let (mut peak, mut done) = (0, 0);
    while let Some(added) = adds.join_next().await {
        let (status, answer) = added.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        assert!(answer.ends_with(b"0\r\n\r\n"), "an answer was cut");
        peak = peak.max(server.memory());
        done += 1;
    }
    assert_eq!(done, ADDS);
    let grown = peak.saturating_sub(before) / MIB;
    eprintln!("200 adds of 2 MiB: {} MiB before, {grown} MiB more at most", before / MIB);
    // The bodies alone are 400 MiB.
    assert!(grown <= 330, "memory grew by {grown} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_a_body_503_comes_before_the_body() {
    let server = Server::start(&["rpc_body_bytes=1MiB"]);
    // Four bodies take all of it, and do not come.
    let mut taken = Vec::new();
    for _ in 0..4 {
        let mut stream = server.connect().await;
        stream.write_all(head("add", 1 << 30, CLOSE_FORM).as_bytes()).await.unwrap();
        stream.write_all(b"--b\r\n").await.unwrap();
        taken.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (status, answer) = server.call(&head("add", 1 << 30, CLOSE_FORM), b"").await;
    let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("retry-after: "), "{text}");
    server.answers_at_once().await;
    // Room that is given back is there for others.
    drop(taken);
    let end = Instant::now() + PATIENCE;
    while server.add(b"small").await.0 != 200 {
        assert!(Instant::now() < end, "the room was not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_lists_of_pins_at_a_time_are_answered_or_refused_at_once() {
    const LISTS: usize = 10_000;
    const AT_A_TIME: usize = 5_000;
    let Some(()) = handles(12_000) else { return };
    let server = Server::start(&[]);
    for number in 0..200 {
        assert_eq!(server.add(&content(number, 64)).await.0, 200);
    }
    let rows = |answer: &[u8]| answer.windows(6).filter(|part| *part == b"\"Cid\":").count();
    let before = server.memory();
    let mut lists = JoinSet::new();
    let (mut peak, mut answered, mut refused) = (0, 0, 0);
    let mut count = |ended: Option<Result<(u16, Vec<u8>), tokio::task::JoinError>>| {
        match ended.map(Result::unwrap) {
            Some((200, answer)) => {
                assert_eq!(rows(&answer), 200, "a list was cut");
                answered += 1;
            }
            // A connection beyond those that can be told is closed without a word.
            Some((503 | 0, _)) => refused += 1,
            Some((other, answer)) => panic!("{other}: {}", String::from_utf8_lossy(&answer)),
            None => {}
        }
    };
    for number in 0..LISTS {
        if lists.len() >= AT_A_TIME {
            count(lists.join_next().await);
        }
        let one = server.clone();
        lists.spawn(async move { one.post("pin/ls?stream=true&type=recursive").await });
        if number % 500 == 0 {
            peak = peak.max(server.memory());
        }
    }
    while !lists.is_empty() {
        count(lists.join_next().await);
        peak = peak.max(server.memory());
    }
    let grown = peak.saturating_sub(before) / MIB;
    eprintln!(
        "{LISTS} lists: {answered} answered, {refused} refused; {} MiB before, {grown} MiB more at most",
        before / MIB
    );
    assert_eq!(answered + refused, LISTS);
    assert!(answered >= LISTS / 4, "{answered} were answered");
    // Connections are bounded (4096), and each costs some 40 KiB.
    assert!(grown <= 256, "memory grew by {grown} MiB");
    server.answers_at_once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_take_nothing_hold_no_memory_and_lose_their_places() {
    let server = Server::start(&["stall_time=2s", "rpc_stream_calls=16"]);
    // Longer than sockets take up.
    let film = content(1, 16 * MIB as usize);
    let (_, answer) = server.add(&film).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let cid = text.split("\"Hash\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let before = server.memory();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = server.connect().await;
        let call = head(&format!("cat?arg={cid}"), 0, "");
        stream.write_all(call.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let grown = server.memory().saturating_sub(before) / MIB;
    eprintln!("200 readers who take nothing: {grown} MiB more");
    assert!(grown <= 128, "memory grew by {grown} MiB");
    server.answers_at_once().await;
    let (status, answer) = server.post(&format!("cat?arg={cid}")).await;
    assert_eq!(status, 200);
    assert!(answer.len() > film.len(), "{} bytes of {}", answer.len(), film.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_who_send_a_byte_at_a_time_hold_no_memory_and_keep_nobody_out() {
    let server = Server::start(&["stall_time=2s"]);
    assert_eq!(server.add(b"first").await.0, 200);
    let before = server.memory();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = server.connect().await;
        stream.write_all(head("add", 1 << 30, CLOSE_FORM).as_bytes()).await.unwrap();
        slow.push(stream);
    }
    for byte in form(b"").iter().take(20) {
        for stream in &mut slow {
            stream.write_all(&[*byte]).await.unwrap();
        }
    }
    let grown = server.memory().saturating_sub(before) / MIB;
    eprintln!("200 writers of a byte at a time: {grown} MiB more");
    assert!(grown <= 128, "memory grew by {grown} MiB");
    server.answers_at_once().await;
    assert_eq!(server.add(b"second").await.0, 200);
    // Who sends nothing at all is let go.
    let (_, answer) = (0, {
        let mut answer = Vec::new();
        let read = slow[0].read_to_end(&mut answer);
        let _ = tokio::time::timeout(PATIENCE, read).await.unwrap();
        answer
    });
    let text = String::from_utf8_lossy(&answer).into_owned();
    let told = text.contains("sent nothing") || text.contains("are the fewest");
    assert!(text.is_empty() || told, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_in_little_memory() {
    let server = Server::start(&[]);
    assert_eq!(server.add(b"first").await.0, 200);
    let before = server.memory();
    let part = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"";
    let bombs: Vec<(&str, Vec<u8>, &[u16])> = vec![
        // Headers of a part without an end.
        ("add", [part.as_bytes(), &[b'a'; 4 << 20]].concat(), &[400, 500]),
        // Folders in folders.
        (
            "add",
            format!("{part}{}x\"\r\n\r\nx\r\n--b--\r\n", "a/".repeat(20_000)).into_bytes(),
            &[200, 400, 500],
        ),
        // No boundary at all.
        ("add", vec![b'-'; 8 << 20], &[400, 500]),
        // A block larger than blocks are.
        ("block/put", form(&vec![7; 8 << 20]), &[500]),
        ("block/put?allow-big-block=true", form(&vec![7; 64 << 20]), &[400, 500]),
        ("dag/put", form(&vec![b'['; 4 << 20]), &[400, 500]),
    ];
    for (target, body, statuses) in bombs {
        let mut calls = JoinSet::new();
        for _ in 0..4 {
            let (server, body) = (server.clone(), body.clone());
            let head = head(target, body.len(), CLOSE_FORM);
            calls.spawn(async move { server.call(&head, &body).await });
        }
        while let Some(called) = calls.join_next().await {
            let (status, answer) = called.unwrap();
            let said = String::from_utf8_lossy(&answer[..answer.len().min(600)]).into_owned();
            assert!(statuses.contains(&status), "{target}: {status} {said}");
        }
        let grown = server.memory().saturating_sub(before) / MIB;
        assert!(grown <= 256, "{target}: memory grew by {grown} MiB");
    }
    // Oversized heads.
    let long = server.post(&format!("id?arg={}", "a".repeat(1 << 20))).await.0;
    assert!([0, 414, 431].contains(&long), "{long}");
    let many = head("id", 0, &"X-A: b\r\n".repeat(1000));
    assert!([0, 400, 431].contains(&server.call(&many, b"").await.0));
    server.answers_at_once().await;
}
