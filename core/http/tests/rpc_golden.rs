//! The calls that were recorded of Kubo 0.42, made here: status, headers, chunks, trailers and bodies are the same, but for
//! differences that are meant, each with its reason. See `rpc/README.md`.

#![allow(clippy::unwrap_used)]

mod rpc;

use rpc::{Answer, Server, server};

/// How an answer compares with the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant {
    /// The same values in another order: lists come in the order in which content came.
    Order,
    /// The same bytes in other chunks.
    Chunks,
    /// Of values that depend on what is stored: the same forms.
    Form,
    /// Another answer, for a reason.
    Other,
}

/// Differences that are meant. What is not here is the same, byte for byte, but for dates, the name of the server, and where
/// chunks of bytes end.
const MEANT: &[(&str, Meant, &str)] = &[
    ("/version", Meant::Form, "the commit is ours, and there is no Go"),
    ("/id", Meant::Other, "another node, with no addresses of libp2p"),
    (
        "cat?arg=QmcKQJXFzZbbBTvmDCi5Cpek1Nbr8BQxckz1AKsDsU8eCP&timeout=1s",
        Meant::Other,
        "a miss is told at once, not searched for until the time is over",
    ),
    (
        "pin/ls?type=recursive",
        Meant::Order,
        "pins come in the order in which their roots came; there is no pin of an empty MFS root",
    ),
    ("pin/ls?names=true", Meant::Order, "as above"),
    ("&progress=true&timeout=2s", Meant::Other, "a miss is told at once"),
    ("recursive=true&progress=true", Meant::Form, "bytes are not counted: leaves are not read"),
    ("pin/verify", Meant::Order, "there is no pin of an empty MFS root"),
    ("dag/export", Meant::Form, "the same bytes in fewer chunks"),
    ("dag/get", Meant::Chunks, "one chunk and not one a token"),
    ("files/ls", Meant::Chunks, "an entry a chunk: a directory is not held whole"),
    (
        "refs/local",
        Meant::Order,
        "in the order in which blocks came; empty directories of Kubo's are not there",
    ),
    ("repo/stat", Meant::Form, "sizes are those of another store"),
    ("repo/gc", Meant::Order, "in the order in which blocks came"),
    ("repo/verify", Meant::Order, "another number of blocks"),
    ("swarm/connect", Meant::Other, "nothing is dialled"),
    ("swarm/addrs", Meant::Other, "there are no addresses of libp2p"),
    ("config?arg=Addresses.API", Meant::Other, "no configuration of Kubo's is there"),
    ("diag/cmds", Meant::Other, "other times"),
    ("log/ls", Meant::Other, "other parts log"),
    ("key/list", Meant::Form, "another key"),
    ("key/gen", Meant::Form, "another key"),
    (
        "name/publish",
        Meant::Other,
        "Kubo waited for peers and said nothing; publishing here is done at once",
    ),
    ("name/resolve", Meant::Other, "so something else was published"),
];

/// A recorded call.
struct Recorded {
    curl: String,
    answer: Vec<u8>,
}

fn recorded(text: &[u8]) -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        match line.strip_prefix(b"### ") {
            Some(curl) => all.push(Recorded {
                curl: String::from_utf8(curl.to_vec()).unwrap(),
                answer: Vec::new(),
            }),
            None => {
                let answer = &mut all.last_mut().unwrap().answer;
                answer.extend_from_slice(line);
                answer.push(b'\n');
            }
        }
    }
    all
}

/// Makes a recorded call again.
fn again(server: &Server, curl: &str) -> Answer {
    let (forms, url) = curl.rsplit_once(' ').unwrap_or(("", curl));
    let path = url.split_once("/api/v0/").unwrap().1;
    let files: Vec<(String, &[u8])> = forms
        .split("-F ")
        .filter(|form| !form.trim().is_empty())
        .map(|form| {
            let form = form.trim().strip_prefix("file=@").unwrap();
            let (file, name) = form.split_once(";filename=").unwrap_or((form, form));
            let name =
                if form.contains(";filename=") { name } else { name.rsplit('/').next().unwrap() };
            (name.to_owned(), content(file))
        })
        .collect();
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    if files.is_empty() { server.call(path) } else { server.upload(path, &files) }
}

fn content(file: &str) -> &'static [u8] {
    match file {
        "t/d/a.txt" => b"hello\n",
        "t/d/sub/b.txt" => b"world\n",
        "t/big" => &[0; 600_000],
        "t/x.json" => b"{\"a\":1}",
        other => panic!("no file {other}"),
    }
}

/// An answer as curl prints it, and as the recording keeps it.
fn printed(answer: &Answer) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {}\n", answer.status).into_bytes();
    for (name, value) in &answer.headers {
        text.extend(format!("{name}: {value}\n").bytes());
    }
    text.push(b'\n');
    for chunk in &answer.chunks {
        if answer.header("Transfer-Encoding").is_some() {
            text.extend(format!("{:x}\n", chunk.len()).bytes());
        }
        text.extend_from_slice(chunk);
        text.push(b'\n');
    }
    if answer.header("Transfer-Encoding").is_some() {
        text.extend_from_slice(b"0\n");
    }
    for (name, value) in &answer.trailers {
        text.extend(format!("{name}: {value}\n").bytes());
    }
    text
}

/// What is compared: without what differs between any two servers.
fn normal(text: &[u8]) -> String {
    let other = ["Date:", "Server:", "Transfer-Encoding:", "Connection:", "Content-Length:"];
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().enumerate().filter_map(|(at, line)| {
        let line = line.trim_end_matches('\r');
        if at == 0 {
            return Some(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        }
        (!other.iter().any(|name| line.starts_with(name))).then(|| {
            let line = line.to_ascii_lowercase();
            match line.strip_prefix("x-stream-error") {
                Some(rest) => format!("X-Stream-Error{rest}"),
                None => line,
            }
        })
    });
    let lines: Vec<String> = lines.map(|line| line.chars().take(900).collect()).collect();
    // The recording keeps the first 40 lines; those of headers that are left out do not count.
    lines.into_iter().filter(|line| !line.is_empty()).take(30).collect::<Vec<_>>().join("\n")
}

/// The lines of a body without what they say of content.
fn form(text: &str) -> Vec<String> {
    let plain =
        |line: &str| line.chars().filter(|c| !c.is_ascii_alphanumeric()).collect::<String>();
    let mut forms: Vec<String> = text.lines().map(plain).collect();
    forms.sort();
    forms.dedup();
    forms
}

/// An answer without the lengths of its chunks.
fn joined(text: &str) -> String {
    let is_length = |line: &str| line.len() < 5 && line.chars().all(|c| c.is_ascii_hexdigit());
    text.lines().filter(|line| !is_length(line)).collect()
}

#[test]
fn recorded_calls_of_kubo_are_answered_as_kubo_answers_them() {
    let server = server();
    let (mut same, mut meant_seen, mut wrong) = (0, vec![false; MEANT.len()], Vec::new());
    for Recorded { curl, answer } in recorded(include_bytes!("rpc/golden-kubo-0.42.txt")) {
        if !curl.contains("/api/v0/") {
            continue;
        }
        let ours = printed(&again(&server, &curl));
        let (kubo, ours) = (normal(&answer), normal(&ours));
        let meant = MEANT.iter().position(|(part, _, _)| curl.contains(part));
        match meant.map(|at| (at, MEANT[at].1)) {
            _ if kubo == ours => same += 1,
            Some((at, Meant::Chunks)) => {
                meant_seen[at] = true;
                if !joined(&ours).starts_with(&joined(&kubo)) {
                    wrong.push(format!("### {curl}\n{kubo}\n--- here:\n{ours}"));
                }
            }
            Some((at, Meant::Order | Meant::Form)) => {
                meant_seen[at] = true;
                // The head is the same, whatever the body.
                let head = |text: &str| text.lines().take(6).map(str::to_owned).collect::<Vec<_>>();
                if head(&kubo) != head(&ours) {
                    wrong.push(format!("### {curl}\n{kubo}\n--- here:\n{ours}"));
                }
                if curl.contains("version") {
                    assert_eq!(form(&kubo).len(), form(&ours).len());
                }
            }
            Some((at, Meant::Other)) => meant_seen[at] = true,
            None => wrong.push(format!("### {curl}\n{kubo}\n--- here:\n{ours}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(same >= 54, "{same} answers are the same");
    for ((part, _, reason), seen) in MEANT.iter().zip(meant_seen) {
        assert!(seen, "no difference any more: {part} ({reason})");
    }
}

/// Of the calls without sources: what is said of a miss, of a wrong path and of what is off.
const OFFLINE_SAME: &[&str] = &[
    "ls?arg=",
    "refs?arg=",
    "cat?arg=",
    "pin/add?arg=QmcK",
    "pin/ls?arg=",
    "block/rm",
    "config?arg=Nope",
    "pubsub/ls",
    "routing/findprovs",
    "ping?arg=",
    "filestore/ls",
    "cid/format",
    "log/level",
    "name/publish",
    "name/resolve",
    "swarm/connect",
    "shutdown",
];

/// Every server has a key of its own.
fn without_names(text: &str) -> String {
    let is_name = |word: &&str| word.starts_with("k51") && word.len() > 50;
    let words = text.split('"').map(|word| if is_name(&word) { "NAME" } else { word });
    words.collect::<Vec<_>>().join("\"")
}

#[test]
fn without_sources_misses_and_what_is_off_are_told_in_kubos_words() {
    let server = server();
    // What the recording began with.
    server.upload("add?pin=false", &[("d/a.txt", b"hello\n"), ("d/sub/b.txt", b"world\n")]);
    let mut compared = 0;
    for Recorded { curl, answer } in recorded(&{
        let text = include_bytes!("rpc/golden-offline-kubo-0.42.txt");
        let start = text.windows(4).position(|four| four == b"### ").unwrap();
        text[start..].to_vec()
    }) {
        let ours = server.call(&curl);
        if !OFFLINE_SAME.iter().any(|part| curl.starts_with(part)) {
            continue;
        }
        compared += 1;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(ours.status, status, "{curl}");
        let answer = without_names(&answer);
        let body: Vec<&str> = answer.lines().filter(|line| line.starts_with('{')).collect();
        let text = without_names(&ours.text());
        let here: Vec<String> = text.lines().map(|line| line.chars().take(300).collect()).collect();
        assert_eq!(here, body, "{curl}");
    }
    assert!(compared >= 18, "{compared}");
    // The last call asked for the end.
    server.join();
}
