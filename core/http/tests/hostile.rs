//! Bytes that no honest client sends: each gets a clear answer or a closed connection, and the next client
//! notices nothing.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use coldfront::Cid;
use coldfront::unixfs::testing::{self, FilePlan};
use common::tree::Tree;
use common::{Client, Random, Response, Server, escaped, find, ipfs};

struct World {
    server: Server,
    tree: Tree,
    note: Cid,
}

impl World {
    fn new() -> Self {
        let tree = Tree::new();
        let note =
            testing::file(b"a note\n", &FilePlan::default(), &mut |block| tree.put(&block)).cid;
        World { server: Server::over(&tree), tree, note }
    }

    fn note(&self) -> String {
        format!("{}?filename=note.txt", ipfs(&self.note))
    }

    fn assert_serves(&self) {
        assert_eq!(self.server.get(&self.note()).text(), "a note\n");
    }

    /// What comes back for bytes, whatever they are, until the server closes.
    fn tell(&self, bytes: &[u8]) -> Vec<u8> {
        let mut client = self.server.client();
        client.send(bytes);
        // What never becomes a request would be waited for: it ends here.
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        let answer = client.rest().unwrap_or_default();
        self.assert_serves();
        answer
    }
}

/// The status of the first answer in these bytes.
fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// A refusal that is ours: it has a sentence and is kept by no cache.
fn assert_refused(answer: &Response, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.expect("cache-control"), "no-store");
    assert!(answer.text().lines().next().is_some_and(|line| line.len() > 15), "{}", answer.text());
}

#[test]
fn what_is_no_request_is_400_or_nothing_and_never_content() {
    let world = World::new();
    let note = world.note();
    let mut garbage: Vec<Vec<u8>> = [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET  /  HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\n: empty\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    garbage.push(format!("GET {note} HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n").into_bytes());
    garbage.push(format!("GET {note}\0 HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes());
    let mut random = Random(1);
    for len in [1, 7, 100, 5000] {
        garbage.push((0..len).map(|_| random.below(256) as u8).collect());
        garbage.push((0..len).map(|_| b"GET /\r\n:% "[random.below(10) as usize]).collect());
    }
    for bytes in garbage {
        let answer = world.tell(&bytes);
        let told = status(&answer);
        let shown = String::from_utf8_lossy(&bytes);
        assert!(answer.is_empty() || told.is_some_and(|told| told >= 400), "{shown:?}: {told:?}");
        assert!(find(&answer, b"a note").is_none(), "{shown:?}");
    }
}

#[test]
fn a_request_with_one_byte_changed_never_disturbs_the_next() {
    let world = World::new();
    let good = common::request("GET", &world.note(), &[("Range", "bytes=0-3"), ("Accept", "*/*")]);
    let mut random = Random(7);
    for _ in 0..150 {
        let mut bad = good.clone();
        let at = random.below(bad.len() as u64) as usize;
        bad[at] = random.below(256) as u8;
        let answer = world.tell(&bad);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "{:?}",
            String::from_utf8_lossy(&bad)
        );
    }
}

#[test]
fn a_path_with_an_escape_that_is_none_or_a_nul_is_400_with_a_sentence() {
    let world = World::new();
    let root = ipfs(&world.note);
    let mut client = world.server.client();
    for end in ["/%", "/%4", "/%zz", "/%00", "/a%00b", "/%e9%", "%"] {
        assert_refused(&client.get(&format!("{root}{end}")), 400);
    }
}

#[test]
fn no_path_leads_out_of_the_namespace() {
    let world = World::new();
    std::fs::write(world.tree.root().join("secret"), "a secret").unwrap();
    let mut client = world.server.client();
    let root = ipfs(&world.note);
    for path in [
        "/../../../../etc/passwd".into(),
        "/ipfs/../../etc/passwd".into(),
        "/ipfs/..%2f..%2fsecret".into(),
        "/ipfs/%2e%2e/%2e%2e/secret".into(),
        "/secret".into(),
        "/blocks/SHARDING".into(),
        "/SHARDING".into(),
        format!("{root}/../../secret"),
        format!("{root}/..\\..\\secret"),
        format!("{root}/{}secret", "%2e%2e%2f".repeat(50)),
        format!("{root}/%252e%252e%252fsecret"),
    ] {
        let answer = client.get(&path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        let text = answer.text();
        assert!(
            !text.contains("a secret") && !text.contains("root:") && !text.contains("next-to-last")
        );
    }
}

#[test]
fn a_root_that_is_huge_or_odd_is_400() {
    let world = World::new();
    let mut client = world.server.client();
    for root in [
        "b".repeat(7000),
        "z".repeat(2000),
        "Qm".into(),
        "QmInvalid0OIl".into(),
        "bafy".into(),
        "f".into(),
        "%F0%9F%98%80".into(),
        format!("{}x", world.note),
        format!("{}%20", world.note),
        format!("%20{}", world.note),
    ] {
        assert_refused(&client.get(&format!("/ipfs/{root}")), 400);
    }
    world.assert_serves();
}

#[test]
fn a_digest_longer_than_any_or_of_no_length_is_400_or_404() {
    let world = World::new();
    let mut client = world.server.client();
    // base16: version 1, raw, then hash function and length that do not fit what follows.
    for root in [
        "f01551220",
        "f0155122000",
        "f01551200",
        "f015500ff01",
        "f0155ffffffffffffffffff01",
        "f01550000",
    ] {
        let answer = client.get(&format!("/ipfs/{root}"));
        assert!(matches!(answer.status, 200 | 400 | 404), "{root}: {}", answer.status);
        assert!(answer.status != 200 || answer.body.is_empty(), "{root}");
    }
    let long = format!("f015500{:02x}01{}", 0x80, "00".repeat(128));
    assert_eq!(client.get(&format!("/ipfs/{long}")).body, [0; 128], "the longest identity");
    world.assert_serves();
}

#[test]
fn a_path_that_is_too_deep_is_400_and_one_just_below_that_is_looked_up() {
    let world = World::new();
    let root = ipfs(&world.note);
    let deep = |segments: usize| format!("{root}{}", "/a".repeat(segments));
    let mut client = world.server.client();
    assert_refused(&client.get(&deep(3000)), 400);
    assert_refused(&client.get(&deep(255)), 400);
    assert_refused(&client.get(&deep(254)), 404);
    assert_eq!(client.get(&format!("{root}{}", "/".repeat(4000))).text(), "a note\n");
}

#[test]
fn absurd_conditions_and_ranges_are_answered_like_none() {
    let world = World::new();
    let huge = "9".repeat(5000);
    let fields = [
        ("Range", format!("bytes={huge}-{huge}"), 200),
        ("Range", "bytes=0-0,".repeat(1000), 200),
        ("Range", "bytes=0-18446744073709551616".into(), 206),
        ("Range", "bytes=18446744073709551615-18446744073709551616".into(), 416),
        ("Range", "\u{e9}".into(), 200),
        ("If-None-Match", "\"".repeat(5000), 200),
        ("If-None-Match", "W/".repeat(3000), 200),
        ("If-None-Match", format!("\"{huge}\","), 200),
        ("If-None-Match", ",,,,,".into(), 200),
        ("If-Range", "\"".into(), 200),
        ("If-Modified-Since", huge.clone(), 200),
        ("If-Modified-Since", "Thu, 99 Foo 99999 99:99:99 GMT".into(), 200),
        ("If-Unmodified-Since", "-1".into(), 200),
        ("Accept", ",;=q".repeat(2000), 200),
        ("Cache-Control", "=\u{e9},,,".into(), 200),
        ("Service-Worker", "\u{e9}".into(), 200),
    ];
    let mut client = world.server.client();
    for (name, value, expected) in fields {
        let answer = client.get_with(&world.note(), &[(name, &value)]);
        let shown = &value[..value.len().min(40)];
        assert_eq!(answer.status, expected, "{name}: {shown}");
    }
    // The same field many times over.
    let many = vec![("Range", "bytes=0-0"); 50];
    let answer = client.get_with(&world.note(), &many);
    assert!(matches!(answer.status, 200 | 206), "{}", answer.status);
}

#[test]
fn nothing_in_a_request_makes_a_header_of_its_own() {
    let world = World::new();
    let mut client = world.server.client();
    let evil = "x\r\nX-Evil: 1\r\nSet-Cookie: a=b\r\n\r\n<html>";
    let quoted = escaped(evil.as_bytes());
    let root = ipfs(&world.note);
    for target in [
        format!("{root}?filename={quoted}"),
        format!("{root}?filename={quoted}&download=true"),
        format!("{root}?filename=%22;%20attachment"),
        format!("{root}/{quoted}"),
        format!("/ipfs/{quoted}"),
        format!("/{quoted}"),
        format!("{root}?format={quoted}"),
        format!("{root}?filename={quoted}&format=raw"),
    ] {
        for headers in [vec![], vec![("Accept", "text/html")]] {
            let answer = client.get_with(&target, &headers);
            for name in ["x-evil", "set-cookie"] {
                assert_eq!(answer.header(name), None, "{target}");
            }
            if let Some(disposition) = answer.header("content-disposition") {
                assert!(disposition.matches('"').count() <= 2, "{disposition}");
            }
            assert!(!answer.text().contains("\r\n\r\n<html>"), "{target}: {}", answer.text());
        }
    }
    world.assert_serves();
}

#[test]
fn a_redirect_stays_on_its_host() {
    let world = World::new();
    let folder = testing::directory([], &mut |block| world.tree.put(&block)).cid;
    let mut client = world.server.client();
    let root = ipfs(&folder);
    for target in [
        format!("/{root}"),
        format!("//{root}"),
        format!("/%2F{root}"),
        format!("/%5c{root}"),
        format!("{root}?//evil.example"),
        format!("http://evil.example{root}"),
    ] {
        let answer = client.get(&target);
        if let Some(location) = answer.header("location") {
            assert!(location.starts_with("/ipfs/"), "{target}: {location}");
        } else {
            assert!(answer.status >= 400, "{target}: {}", answer.status);
        }
    }
}

#[test]
fn a_hundred_clients_that_go_away_at_once_leave_nothing_behind() {
    let world = World::new();
    for round in 0..100 {
        let mut client = Client::connect(world.server.address);
        match round % 4 {
            0 => {}
            1 => client.send("GET /ipfs/"),
            2 => client.send(common::request("GET", &world.note(), &[])),
            _ => client.send(common::request("POST", "/", &[("Content-Length", "1000")])),
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    world.assert_serves();
    common::eventually("all memory is free", || world.server.gateway.stats().bytes_in_flight == 0);
}
