//! The transport of the RPC API: framing, keep-alive, trailers, full duplex, failures that come late, and limits.

#![allow(clippy::unwrap_used)]

mod rpc;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coldfront::unixfs::import::{ImportOptions, Importer, Metadata};
use coldfront_http::{Limits, RpcLimits};
use rpc::{BOUNDARY, Client, hot_repo, limits, server, server_with, start};

const HELLO: &str = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN";
const NOWHERE: &str = "QmcKQJXFzZbbBTvmDCi5Cpek1Nbr8BQxckz1AKsDsU8eCP";

fn part(name: &str, content: &str) -> String {
    format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{content}\r\n"
    )
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[test]
fn a_part_is_answered_while_the_body_still_comes() {
    let server = server();
    let mut client = server.connect();
    client.send(Client::head_of_upload("block/put", "Transfer-Encoding: chunked").as_bytes());
    client.send(chunk(&part("a", "hello")).as_bytes());
    // The end of a part is known when the next boundary has come.
    client.send(chunk(&format!("--{BOUNDARY}\r\n")).as_bytes());
    assert_eq!(client.head().status, 200);
    let first = String::from_utf8(client.chunk().unwrap()).unwrap();
    assert!(first.starts_with("{\"Key\":\"bafkrei"), "{first}");
    client.send(
        chunk(&format!(
            "Content-Disposition: form-data; name=\"file\"\r\n\r\nworld\r\n--{BOUNDARY}--\r\n"
        ))
        .as_bytes(),
    );
    client.send(b"0\r\n\r\n");
    assert!(!client.chunk().unwrap().is_empty());
    assert!(client.chunk().unwrap().is_empty());
}

#[test]
fn a_connection_serves_ten_thousand_calls_with_trailers_and_bodies_among_them() {
    let server = server();
    server.upload("add", &[("a", b"hello\n")]);
    let mut client = server.connect();
    for at in 0..10_000 {
        let answer = match at % 4 {
            0 => client.call("version"),
            1 => client.call(&format!("cat?arg={HELLO}")),
            2 => client.call(&format!("cat?arg={NOWHERE}")),
            _ => client.upload("add?only-hash=true", &[("a", b"hello\n")]),
        };
        assert_eq!(answer.status, if at % 4 == 2 { 500 } else { 200 }, "call {at}");
        assert_eq!(answer.header("Connection"), None);
    }
}

#[test]
fn two_hundred_calls_at_a_time_are_all_answered() {
    let server = server();
    server.upload("add", &[("a", b"hello\n")]);
    std::thread::scope(|scope| {
        for at in 0..200 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for _ in 0..10 {
                    let answer = match at % 3 {
                        0 => client.call(&format!("block/get?arg={HELLO}")),
                        1 => client.call("pin/ls?type=recursive&stream=true"),
                        _ => client.upload("add", &[("a", format!("file {at}").as_bytes())]),
                    };
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
}

#[test]
fn calls_that_are_sent_behind_one_another_are_answered_in_order() {
    let server = server();
    let mut client = server.connect();
    let call = "POST /api/v0/repo/version HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    client.send(call.repeat(20).as_bytes());
    for _ in 0..20 {
        assert_eq!(client.answer().text(), "{\"Version\":\"18\"}\n");
    }
}

#[test]
fn a_failure_after_the_first_value_is_a_trailer_on_a_connection_that_stays() {
    let server = server();
    // A directory whose second file is not there: the parent is put as a block.
    let child = server.upload("block/put?format=v0", &[("a", b"\x0a\x04\x08\x02\x18\x00")]);
    assert_eq!(child.status, 200);
    let node = format!(
        "{{\"Data\":{{\"/\":{{\"bytes\":\"CAE\"}}}},\"Links\":[{{\"Hash\":{{\"/\":\"{}\"}},\"Name\":\"a\",\"Tsize\":6}},{{\"Hash\":{{\"/\":\"{NOWHERE}\"}},\"Name\":\"b\",\"Tsize\":6}}]}}",
        child.values()[0]["Key"].as_str().unwrap()
    );
    let put = server.upload("dag/put?store-codec=dag-pb", &[("x", node.as_bytes())]);
    let root = put.values()[0]["Cid"]["/"].as_str().unwrap().to_owned();
    let mut client = server.connect();
    let answer = client.call(&format!("dag/export?arg={root}"));
    assert_eq!(answer.status, 200);
    assert!(!answer.bytes().is_empty());
    let missing = format!("block was not found locally (offline): ipld: could not find {NOWHERE}");
    assert_eq!(answer.trailer("X-Stream-Error"), Some(missing.as_str()));
    assert_eq!(client.call("version").status, 200);
    // The same failure of a pin comes before the first value, and is a status.
    assert_eq!(client.call(&format!("pin/add?arg={root}")).message(), format!("pin: {missing}"));
}

#[test]
fn an_add_that_fails_late_is_told_in_band_and_cut() {
    let server = server();
    let mut client = server.connect();
    client
        .send(Client::head_of_upload("add?progress=true", "Transfer-Encoding: chunked").as_bytes());
    client.send(chunk(&part("a", "hello")).as_bytes());
    client.send(chunk(&part("b", "again")).as_bytes());
    assert_eq!(client.head().status, 200);
    // The body ends without its last boundary.
    client.send(b"0\r\n\r\n");
    let mut seen = String::new();
    let mut cut = false;
    loop {
        match client.chunk() {
            None => {
                cut = true;
                break;
            }
            Some(chunk) if chunk.is_empty() => break,
            Some(chunk) => seen.push_str(&String::from_utf8(chunk).unwrap()),
        }
    }
    assert!(cut, "{seen}");
    let last: serde_json::Value = serde_json::from_str(seen.lines().last().unwrap()).unwrap();
    assert_eq!(last["Type"], "error");
    assert!(client.is_closed());
}

#[test]
fn a_late_failure_resets_a_client_that_knows_no_chunks_and_a_whole_answer_just_ends() {
    let server = server();
    let parts = part("a", "hello") + &part("b", "again");
    let add = |end: &str| {
        let mut client = server.connect();
        let len = parts.len() + end.len();
        let head = Client::head_of_upload("add?progress=true", &format!("Content-Length: {len}"));
        client.send(head.replace("HTTP/1.1", "HTTP/1.0").as_bytes());
        client.send(parts.as_bytes());
        // The answer has begun when the body ends.
        assert_eq!(client.head().status, 200);
        client.send(end.as_bytes());
        client.until_the_end()
    };
    let (answer, error) = add(&format!("--{BOUNDARY}--\r\n"));
    assert_eq!((answer.matches("Qm").count(), error), (2, None), "{answer}");
    let (answer, error) = add("no boundary\r\n");
    assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset), "{answer}");
}

#[test]
fn an_upload_that_is_refused_leaves_a_connection_that_can_be_used() {
    let server = server();
    let mut client = server.connect();
    let answer = client.upload("add?chunker=foo-1", &[("a", &vec![7; 2_000_000])]);
    assert_eq!(answer.message(), "unrecognized chunker option: foo-1");
    assert_eq!(client.call("version").status, 200);
}

#[test]
fn a_full_budget_for_bodies_is_503_before_a_byte_of_one_is_read() {
    let rpc = RpcLimits { body_bytes: 64 * 1024, small_body: 64 * 1024, ..RpcLimits::default() };
    let server = server_with(Limits { rpc, ..limits() }, |rpc| rpc);
    let mut first = server.connect();
    let asks = "Transfer-Encoding: chunked\r\nExpect: 100-continue";
    first.send(Client::head_of_upload("add", asks).as_bytes());
    // It has its place when its body is asked for.
    assert_eq!(first.line(), "HTTP/1.1 100 Continue");
    assert_eq!(first.line(), "");
    first.send(chunk(&part("a", "hello")).as_bytes());
    let began = Instant::now();
    let mut second = loop {
        let mut client = server.connect();
        client.send(Client::head_of_upload("add", "Content-Length: 1000000000").as_bytes());
        let answer = client.answer();
        if answer.status == 503 || began.elapsed() > Duration::from_secs(20) {
            break answer;
        }
    };
    assert_eq!(second.status, 503);
    assert_eq!(second.header("Retry-After"), Some("2"));
    first.send(chunk(&format!("--{BOUNDARY}--\r\n")).as_bytes());
    first.send(b"0\r\n\r\n");
    assert_eq!(first.answer().status, 200);
    while second.status == 503 && began.elapsed() < Duration::from_secs(20) {
        second = server.upload("add", &[("a", b"hello\n")]);
    }
    assert_eq!(second.status, 200);
}

#[test]
fn a_client_that_stops_sending_is_told_so_and_one_that_goes_is_noticed() {
    let server =
        server_with(Limits { stall_time: Duration::from_millis(300), ..limits() }, |rpc| rpc);
    let mut client = server.connect();
    client.send(Client::head_of_upload("add", "Content-Length: 1000").as_bytes());
    client.send(part("a", "hello").as_bytes());
    let answer = client.answer();
    assert_eq!(answer.status, 500);
    assert!(answer.message().contains("sent nothing"), "{}", answer.message());
    for _ in 0..300 {
        let mut client = server.connect();
        client.send(Client::head_of_upload("add", "Content-Length: 1000").as_bytes());
        client.send(part("a", "hello").as_bytes());
    }
    assert_eq!(server.upload("add", &[("a", b"hello\n")]).status, 200);
}

#[test]
fn arguments_may_come_in_the_body_one_a_line() {
    let server = server();
    server.upload("add", &[("a", b"hello\n")]);
    let lines = format!("{HELLO}\n{HELLO}\n");
    assert_eq!(server.upload("cat", &[("", lines.as_bytes())]).text(), "hello\nhello\n");
    assert_eq!(server.call(&format!("refs/{HELLO}")).status, 200);
    assert_eq!(server.upload("cat", &[("", b"")]).message(), "argument \"ipfs-path\" is required");
}

#[test]
fn a_time_that_is_over_ends_a_call() {
    let server = server();
    let mut client = server.connect();
    client.send(Client::head_of_upload("add?timeout=200ms", "Content-Length: 1000").as_bytes());
    client.send(part("a", "hello").as_bytes());
    let began = Instant::now();
    assert_eq!(client.answer().message(), "context deadline exceeded");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_node_without_a_hot_store_reads_and_says_why_it_does_not_write() {
    let source = coldfront::store::memory::Memory::default();
    let repo = coldfront::Repo::from_sources(
        [("memory".to_owned(), std::sync::Arc::new(source) as _)],
        &coldfront::RepoOptions::default(),
    );
    let server = rpc::start(repo, limits(), |rpc| rpc);
    assert_eq!(server.call("id").status, 200);
    assert_eq!(server.call(&format!("cat?arg={NOWHERE}")).status, 500);
    for write in ["pin/add?arg=", "pin/rm?arg=", "block/rm?arg="] {
        let message = server.call(&format!("{write}{HELLO}")).message();
        assert!(message.contains("--hot DIR"), "{message}");
    }
    let message = server.upload("add", &[("a", b"hello\n")]).message();
    assert!(message.contains("--hot DIR"), "{message}");
    assert_eq!(server.upload("add?only-hash=true", &[("a", b"hello\n")]).status, 200);
}

#[test]
fn what_is_sent_from_the_files_of_a_store_is_byte_for_byte_what_was_put_there() {
    const LEAF: usize = 256 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let repo = hot_repo(&folder.path().join("hot"));
    let content: Vec<u8> = (0..5 * LEAF + 77).map(|at| ((at / 251) ^ at) as u8).collect();
    // In bulk, so that it lies in files and not in a log.
    let store = Arc::new(repo.hot().unwrap().bulk("test"));
    let mut importer = Importer::new(&ImportOptions::cid_v1(), store).unwrap();
    let root = importer.file(&content[..], &Metadata::NONE).unwrap().cid;
    importer.finish().unwrap();
    let server = start(repo, limits(), |rpc| rpc);
    let mut client = server.connect();
    let refs = client.call(&format!("refs?arg={root}")).values();
    let leaves: Vec<_> = refs.iter().map(|value| value["Ref"].as_str().unwrap()).collect();
    assert_eq!(leaves.len(), 6);
    for _ in 0..3 {
        let whole = client.call(&format!("cat?arg={root}"));
        assert!(whole.bytes() == content && whole.trailers.is_empty());
        let part = client.call(&format!("cat?arg={root}&offset=100&length=600000"));
        assert!(part.bytes() == content[100..600_100]);
        for (leaf, bytes) in leaves.iter().zip(content.chunks(LEAF)) {
            let block = client.call(&format!("block/get?arg={leaf}"));
            assert!(block.bytes() == bytes && !block.cut, "{leaf}");
            assert_eq!(client.call(&format!("block/stat?arg={leaf}")).status, 200);
        }
    }
}

#[test]
fn a_long_list_of_pins_has_each_once_the_first_one_by_one_and_the_others_together() {
    const PINS: usize = 1000;
    let server = server();
    let names: Vec<_> = (0..PINS).map(|number| format!("file {number}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    assert_eq!(server.upload("add?progress=false", &files).values().len(), PINS);
    let list = server.call("pin/ls?stream=true&type=recursive");
    let cids: BTreeSet<_> =
        list.values().iter().map(|row| row["Cid"].as_str().unwrap().to_owned()).collect();
    assert_eq!((cids.len(), list.values().len()), (PINS, PINS));
    let lines = |chunk: &Vec<u8>| chunk.iter().filter(|byte| **byte == b'\n').count();
    assert!(list.chunks.iter().take(16).all(|chunk| lines(chunk) == 1));
    assert!(list.chunks.len() < PINS / 4, "{} chunks", list.chunks.len());
    let object = server.call("pin/ls?type=recursive").values().remove(0);
    let keys: BTreeSet<_> = object["Keys"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, cids);
}
