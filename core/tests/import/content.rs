//! The contents of `tests/golden/import.mjs`, made again: bytes as streams, trees as entries.

use std::io::{self, Read};

use coldfront::unixfs::import::{Metadata, Mtime};

/// Content by its specification: `noise:SEED:LEN`, `zeros:LEN`, `cycle:LEN`. Made as it is read.
pub(crate) struct Content {
    kind: Kind,
    at: u64,
    len: u64,
}

enum Kind {
    Zeros,
    Cycle,
    Noise { state: u32, left: u8 },
}

impl Content {
    pub(crate) fn of(spec: &str) -> Content {
        let parts: Vec<&str> = spec.split(':').collect();
        let kind = match parts[0] {
            "zeros" => Kind::Zeros,
            "cycle" => Kind::Cycle,
            "noise" => {
                let seed: u32 = parts[1].parse().unwrap();
                Kind::Noise { state: seed.wrapping_add(1).wrapping_mul(0x9e37_79b1) | 1, left: 0 }
            }
            other => panic!("no content is called {other}"),
        };
        Content { kind, at: 0, len: parts.last().unwrap().parse().unwrap() }
    }

    pub(crate) fn noise(seed: usize, len: usize) -> Content {
        Content::of(&format!("noise:{seed}:{len}"))
    }
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(usize::try_from(self.len - self.at).unwrap());
        match &mut self.kind {
            Kind::Zeros => buf[..len].fill(0),
            Kind::Cycle => {
                for (i, byte) in buf[..len].iter_mut().enumerate() {
                    *byte = ((self.at + i as u64) % 251) as u8;
                }
            }
            Kind::Noise { state, left } => {
                for byte in &mut buf[..len] {
                    if *left == 0 {
                        *state ^= *state << 13;
                        *state ^= *state >> 17;
                        *state ^= *state << 5;
                        *left = 4;
                    }
                    *byte = (*state >> (8 * (4 - *left))) as u8;
                    *left -= 1;
                }
            }
        }
        self.at += len as u64;
        Ok(len)
    }
}

/// An entry of a tree, with the metadata it has on disk.
pub(crate) enum What {
    File(Content),
    Link(&'static str),
    Directory,
}

/// A path, what is there, and the mode and time that it has on disk where the script sets them.
pub(crate) type Item = (String, What, Metadata);

/// The entries of a tree by its specification; `None` when it is a file's. Parents come first.
pub(crate) fn tree(spec: &str) -> Option<Vec<Item>> {
    let parts: Vec<&str> = spec.split(':').collect();
    let number = |at: usize| -> usize { parts[at].parse().unwrap() };
    let mut items: Vec<Item> = Vec::new();
    let mut add = |path: String, what: What| items.push((path, what, Metadata::NONE));
    match parts[0] {
        "flat" => {
            for i in 0..number(1) {
                let name = format!("{i:f>width$}", width = number(3));
                add(name, What::File(Content::noise(i, number(2))));
            }
        }
        "dirs" => {
            for i in 0..number(1) {
                add(format!("d{i}"), What::Directory);
                add(format!("d{i}/file"), What::File(Content::noise(i, number(2))));
            }
        }
        "deep" => {
            let mut top = String::new();
            for i in 0..number(1) {
                add(format!("{top}file"), What::File(Content::noise(i, 10)));
                add(format!("{top}d{}", i % 10), What::Directory);
                top += &format!("d{}/", i % 10);
            }
        }
        "odd" => odd(&mut add),
        "stat" => items = stat(),
        _ => return None,
    }
    Some(items)
}

fn odd(add: &mut dyn FnMut(String, What)) {
    let long = "x".repeat(255);
    let names = [
        "a b",
        "ünï ☂",
        "日本語",
        "%2e",
        "quote\"<&>",
        "tab\there",
        "line\nbreak",
        "...",
        "~",
        "-dash",
        &long,
        "B",
        "a",
        "A",
    ];
    for (i, name) in names.iter().enumerate() {
        add((*name).to_owned(), What::File(Content::noise(i, i * 7)));
    }
    add("link".into(), What::Link("B"));
    add("zlink".into(), What::Link("../nowhere/☂"));
    add("empty".into(), What::Directory);
    add("one".into(), What::Directory);
    add("one/empty".into(), What::Directory);
    add("two".into(), What::Directory);
    add("two/big".into(), What::File(Content::noise(7, 600_000)));
}

fn stat() -> Vec<Item> {
    let meta =
        |mode, seconds, nanos| Metadata { mode: Some(mode), mtime: Some(Mtime { seconds, nanos }) };
    let mut items = vec![
        (String::new(), What::Directory, meta(0o755, 1_300_000_000, 250_000_000)),
        ("dir".to_owned(), What::Directory, meta(0o750, 1_400_000_000, 0)),
        ("dir/link".to_owned(), What::Link("f0"), meta(0o777, 1_500_000_000, 0)),
    ];
    let modes = [0o644, 0o600, 0o755, 0o444, 0o664, 0o777, 0o400, 0o640];
    for (i, mode) in modes.into_iter().enumerate() {
        let half = if i % 2 == 1 { 500_000_000 } else { 0 };
        let meta = meta(mode, 1_600_000_000 + i as i64 * 1000, half);
        items.push((format!("dir/f{i}"), What::File(Content::noise(i, i * 1000)), meta));
    }
    items
}
