//! What holds for every golden repository, whatever it lies on.

use std::collections::BTreeMap;

use serde_json::Value;

use super::common::tree::Golden;
use super::common::{Client, Random, Response, Server, escaped, multipart, sha256, unescaped};

/// A file of a repository.
struct File {
    /// `label/path`, as it is.
    name: Vec<u8>,
    size: u64,
    sha256: String,
}

impl File {
    fn extension(&self) -> Option<&[u8]> {
        let name = self.name.rsplit(|b| *b == b'/').next().unwrap();
        let dot = name.iter().rposition(|b| *b == b'.')?;
        Some(&name[dot + 1..])
    }
}

/// All files that Kubo can read.
fn all_files(golden: &Golden) -> Vec<File> {
    let of = |key: &str, name_of: fn(&str) -> Vec<u8>| {
        let files = golden.expected[key].as_object().unwrap().iter();
        let files = files.map(move |(name, file)| File {
            name: name_of(name),
            size: file["size"].as_u64().unwrap(),
            sha256: file["sha256"].as_str().unwrap().to_owned(),
        });
        files.collect::<Vec<_>>()
    };
    let mut files = of("files", |name| name.as_bytes().to_vec());
    files.extend(of("files_percent", unescaped));
    assert!(files.len() > 80);
    files
}

/// `/ipfs/CID/path` of `label/path`, every byte escaped that may be.
fn target(golden: &Golden, name: &[u8]) -> String {
    let mut parts = name.split(|b| *b == b'/');
    let label = std::str::from_utf8(parts.next().unwrap()).unwrap();
    let below: String = parts.map(|part| format!("/{}", escaped(part))).collect();
    format!("/ipfs/{}{below}", golden.cid(label))
}

/// The CID of everything that a listing of Kubo names, by `label/path`.
fn cids(golden: &Golden) -> BTreeMap<Vec<u8>, String> {
    let mut cids = BTreeMap::new();
    for (label, cid) in golden.expected["roots"].as_object().unwrap() {
        cids.insert(label.as_bytes().to_vec(), cid.as_str().unwrap().to_owned());
    }
    for (path, entries) in golden.expected["listings"].as_object().unwrap() {
        for entry in entries.as_array().unwrap() {
            let mut name = unescaped(path);
            name.push(b'/');
            name.extend(unescaped(entry["name"].as_str().unwrap()));
            cids.insert(name, entry["cid"].as_str().unwrap().to_owned());
        }
    }
    cids
}

/// `X-Ipfs-Roots` of `label/path`.
fn roots(cids: &BTreeMap<Vec<u8>, String>, name: &[u8]) -> String {
    let ends = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let roots: Vec<&str> =
        ends.chain([name.len()]).map(|end| cids[&name[..end]].as_str()).collect();
    roots.join(",")
}

pub(crate) fn files(golden: &Golden, server: &Server) {
    let mut client = server.client();
    for file in all_files(golden) {
        let target = target(golden, &file.name);
        let answer = client.get(&target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(answer.expect("content-length"), file.size.to_string(), "{target}");
        assert_eq!(sha256(&answer.body), file.sha256, "{target}");
    }
}

pub(crate) fn descriptions(golden: &Golden, server: &Server) {
    let (cids, mut client) = (cids(golden), server.client());
    for file in all_files(golden) {
        let target = target(golden, &file.name);
        let (cid, answer) = (&cids[&file.name], client.get(&target));
        let tag = format!("\"{cid}\"");
        assert_eq!(answer.expect("etag"), tag, "{target}");
        assert_eq!(
            answer.expect("cache-control"),
            "public, max-age=29030400, immutable",
            "{target}"
        );
        assert_eq!(answer.expect("accept-ranges"), "bytes", "{target}");
        assert_eq!(answer.expect("x-ipfs-roots"), roots(&cids, &file.name), "{target}");
        let path = unescaped(&target);
        let printable = path.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        let said = answer.header("x-ipfs-path");
        // A field value has no blanks at its ends.
        let expected = String::from_utf8_lossy(&path).trim_end().to_owned();
        assert_eq!(said, printable.then_some(expected.as_str()), "{target}");
        assert_eq!(answer.expect("access-control-allow-origin"), "*");

        let same = client.get_with(&target, &[("If-None-Match", &format!("W/{tag}"))]);
        assert_eq!((same.status, same.body.len()), (304, 0), "{target}");
        for name in ["etag", "cache-control", "x-ipfs-roots", "x-ipfs-path"] {
            assert_eq!(same.header(name), answer.header(name), "{target}: {name} of 304");
        }
    }
}

pub(crate) fn heads(golden: &Golden, server: &Server) {
    let mut client = server.client();
    for file in all_files(golden) {
        let target = target(golden, &file.name);
        let (head, get) = (client.head(&target), client.get(&target));
        assert_eq!((head.status, head.described()), (get.status, get.described()), "{target}");
    }
}

pub(crate) fn ranges(golden: &Golden, server: &Server) {
    let (mut random, mut client) = (Random(1), server.client());
    for file in all_files(golden) {
        let target = target(golden, &file.name);
        let whole = client.get(&target);
        if file.size == 0 {
            let answer = client.get_with(&target, &[("Range", "bytes=0-")]);
            assert_eq!(
                (answer.status, answer.expect("content-range")),
                (416, "bytes */0"),
                "{target}"
            );
            continue;
        }
        single_ranges(&mut client, &target, &whole, &mut random);
        several_ranges(&mut client, &target, &whole, &mut random);
    }
}

fn single_ranges(client: &mut Client, target: &str, whole: &Response, random: &mut Random) {
    let size = whole.body.len() as u64;
    let start = random.below(size);
    let len = 1 + random.below(size - start);
    let suffix = 1 + random.below(size + 10);
    for (range, from, to) in [
        (format!("bytes={start}-{}", start + len - 1), start, start + len),
        (format!("bytes={start}-"), start, size),
        (format!("bytes={start}-{}", size + 5), start, size),
        (format!("bytes=-{suffix}"), size.saturating_sub(suffix), size),
    ] {
        let answer = client.get_with(target, &[("Range", &range)]);
        assert_eq!(answer.status, 206, "{target} {range}");
        assert_eq!(
            answer.expect("content-range"),
            format!("bytes {from}-{}/{size}", to - 1),
            "{target}"
        );
        assert!(answer.body == whole.body[from as usize..to as usize], "{target} {range}");
        for name in ["etag", "content-type", "cache-control", "accept-ranges", "x-ipfs-roots"] {
            assert_eq!(answer.expect(name), whole.expect(name), "{target} {range}: {name}");
        }
    }
    let beyond = client.get_with(target, &[("Range", &format!("bytes={size}-"))]);
    assert_eq!((beyond.status, beyond.body.len()), (416, 0), "{target}");
    assert_eq!(beyond.expect("content-range"), format!("bytes */{size}"), "{target}");
}

fn several_ranges(client: &mut Client, target: &str, whole: &Response, random: &mut Random) {
    let size = whole.body.len() as u64;
    // Five pieces, of which the first, third and last are asked for: never next to each other.
    let mut cuts: Vec<u64> = (0..4).map(|_| random.below(size)).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let &[a, b, c, d] = cuts.as_slice() else { return };
    let range = format!("bytes={b}-{}, 0-{}, -{}", c - 1, a.max(1) - 1, size - d);
    if a.max(1) == b {
        return;
    }
    let answer = client.get_with(target, &[("Range", &range)]);
    assert_eq!(answer.status, 206, "{target} {range}");
    let parts = multipart(&answer);
    let expected = [(b, c), (0, a.max(1)), (d, size)];
    assert_eq!(parts.len(), expected.len(), "{target} {range}");
    for ((content_range, media_type, bytes), (from, to)) in parts.into_iter().zip(expected) {
        assert_eq!(content_range, format!("bytes {from}-{}/{size}", to - 1), "{target}");
        assert_eq!(media_type, whole.expect("content-type"), "{target}");
        assert!(bytes == whole.body[from as usize..to as usize], "{target} {range}: {from}-{to}");
    }
}

pub(crate) fn directories(golden: &Golden, server: &Server) {
    let (cids, mut client) = (cids(golden), server.client());
    for (path, entries) in golden.expected["listings"].as_object().unwrap() {
        let (name, entries) = (unescaped(path), entries.as_array().unwrap());
        let target = target(golden, &name);
        let bare = client.get(&format!("{target}?a=b%20c"));
        assert_eq!(bare.status, 301, "{target}");
        let location = bare.expect("location");
        assert_eq!(location, format!("{target}/?a=b%20c"), "{target}");

        let page = client.get(&format!("{target}/"));
        let index = entries.iter().find(|entry| entry["name"] == "index.html");
        if let Some(index) = index {
            if index["type"] == "directory" {
                assert_eq!(page.status, 422, "{target}: {}", page.text());
            } else {
                let file = client.get(&format!("{target}/index.html"));
                assert_eq!((page.status, &page.body), (200, &file.body), "{target}");
                assert_eq!(page.expect("etag"), format!("\"{}\"", cids[&name]), "{target}");
                assert_eq!(page.expect("content-type"), "text/html", "{target}");
            }
            continue;
        }
        assert_eq!(page.expect("x-ipfs-roots"), roots(&cids, &name), "{target}");
        listing(&target, &page, entries);
    }
}

fn listing(target: &str, page: &Response, entries: &[Value]) {
    assert_eq!(page.status, 200, "{target}");
    assert_eq!(page.expect("content-type"), "text/html; charset=utf-8", "{target}");
    assert!(!page.expect("cache-control").contains("immutable"), "{target}");
    let text = page.text();
    assert!(text.contains("Index of"), "{target}");
    assert_eq!(text.matches("class=\"ipfs-hash\"").count(), entries.len(), "{target}");
    for entry in entries {
        let name = escaped(&unescaped(entry["name"].as_str().unwrap()));
        let link = format!("<a href=\"{target}/{name}\">");
        assert!(text.contains(&link), "{target}: no {link}");
        let twice = escaped(name.as_bytes());
        let hash = format!("href=\"/ipfs/{}?filename={twice}\"", entry["cid"].as_str().unwrap());
        assert!(text.contains(&hash), "{target}: no {hash}");
    }
}

pub(crate) fn links(golden: &Golden, server: &Server) {
    let mut client = server.client();
    for (path, link) in golden.expected["links"].as_object().unwrap() {
        let target = target(golden, &unescaped(path));
        let (get, head) = (client.get(&target), client.head(&target));
        assert_eq!((get.status, get.text()), (200, link.as_str().unwrap().to_owned()), "{target}");
        assert_eq!(get.expect("content-type"), "inode/symlink", "{target}");
        assert_eq!(head.described(), get.described(), "{target}");
        let below = client.get(&format!("{target}/x"));
        assert_eq!(below.status, 404, "{target}/x: {}", below.text());
    }
}

pub(crate) fn media_types(golden: &Golden, server: &Server) {
    let by_extension = |extension: &[u8]| match extension {
        b"json" => "application/json",
        b"ts" => "video/mp2t",
        b"m4s" => "video/iso.segment",
        b"m3u8" => "application/vnd.apple.mpegurl",
        b"mp4" => "video/mp4",
        b"html" => "text/html",
        b"svg" => "image/svg+xml",
        b"mpd" => "application/dash+xml",
        b"bin" | b"key" => "application/octet-stream",
        b"vtt" => "text/vtt",
        _ => "text/plain; charset=utf-8",
    };
    let by_content = [
        ("tree-v1/kinds/page", "text/html"),
        ("tree-v1/kinds/plain", "text/plain; charset=utf-8"),
        ("tree-v1/kinds/playlist", "application/vnd.apple.mpegurl"),
        ("tree-v1/kinds/png", "image/png"),
        ("tree-v1/kinds/zeros", "application/octet-stream"),
    ];
    let mut client = server.client();
    let mut told = 0;
    for file in all_files(golden) {
        let known = by_content.iter().find(|(name, _)| name.as_bytes() == file.name);
        let Some(expected) = known.map(|(_, t)| *t).or(file.extension().map(by_extension)) else {
            continue;
        };
        let target = target(golden, &file.name);
        assert_eq!(client.head(&target).expect("content-type"), expected, "{target}");
        // By content, too, the part asked for plays no role.
        let last = client.get_with(&target, &[("Range", "bytes=-1")]);
        if last.status == 206 {
            assert_eq!(last.expect("content-type"), expected, "the end of {target}");
        }
        told += usize::from(known.is_some());
    }
    assert_eq!(told, by_content.len());
}
