//! The golden repositories, imported again: what is read below a root, made into blocks with the options
//! that it was made with, has the same root.

use std::io::{self, Read};
use std::path::Path;

use coldfront::unixfs::import::{HashFunction, ImportOptions, Importer, Layout, Metadata, Tree};
use coldfront::{Cid, ContentPath, FileReader, Node, Repo, Verify};

use crate::tree::Golden;

/// The pieces of a file as a stream.
struct Pieces {
    reader: FileReader,
    piece: bytes::Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.reader.next() {
                None => return Ok(0),
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
            }
        }
        let len = buf.len().min(self.piece.len());
        buf[..len].copy_from_slice(&self.piece.split_to(len));
        Ok(len)
    }
}

/// Imports what is below a root.
fn again(repo: &Repo, root: &Cid, options: &ImportOptions) -> Cid {
    let mut importer = Importer::only_hash(options).unwrap();
    let mut tree = Tree::new();
    let mut ahead = vec![(Vec::new(), *root)];
    while let Some((path, cid)) = ahead.pop() {
        let node = repo.resolve(&ContentPath::new(cid)).unwrap().node;
        let imported = match &*node {
            Node::File(_) => {
                let content = Pieces { reader: repo.read(&node, ..), piece: bytes::Bytes::new() };
                importer.file(content, &Metadata::NONE).unwrap()
            }
            Node::Symlink(link) => importer.symlink(link.target(), &Metadata::NONE).unwrap(),
            _ => {
                tree.directory(&path, &Metadata::NONE).unwrap();
                for entry in repo.list(&node).unwrap() {
                    let entry = entry.unwrap();
                    let slash = if path.is_empty() { &b""[..] } else { b"/" };
                    ahead.push(([&path[..], slash, &entry.name].concat(), entry.cid));
                }
                continue;
            }
        };
        if path.is_empty() {
            return imported.cid;
        }
        tree.insert(&path, &imported).unwrap();
    }
    tree.finish(&mut importer, &mut |_, _| {}).unwrap().cid
}

/// The options of a label of the project's own repository: `tests/golden/make.sh`.
fn options_of(label: &str) -> Option<ImportOptions> {
    let mut options = ImportOptions { threads: Some(3), ..ImportOptions::cid_v1() };
    options.directories.threshold = 4096;
    let v0 = ["tree-v0", "240p-8k", "one-dag-pb"].contains(&label) || label.ends_with("-v0");
    if v0 {
        options.cid_version = Some(0);
    }
    let mut with = |chunker: &str, links: usize| {
        options.chunker = chunker.parse().unwrap();
        options.max_file_links = links;
    };
    match label {
        "tree-v1" | "tree-v0" | "one-raw" | "one-dag-pb" | "empty-v0" => {}
        "hamt-8" | "hamt-8-v0" => options.directories.max_fanout = 8,
        "wrapped" => {}
        "inline" => options.inline_limit = Some(32),
        "inline-dir" => options.inline_limit = Some(100),
        "big-narrow" | "big-trickle" => with("default", 3),
        "trickle-v0" => with("size-8192", 4),
        "trickle-narrow" | "deep-64" => with("size-64", 2),
        "deep-64-v0" => with("size-64", 3),
        "v1-dag-pb" => {
            with("size-1000", 174);
            options.raw_leaves = Some(false);
        }
        "rabin" => with("rabin-16384-32768-65536", 174),
        "buzhash" | "buzhash-v0" => with("buzhash", 174),
        "240p-8k" => with("size-8192", 174),
        _ => {
            let hash = label.strip_prefix("hash-")?;
            with("size-2000", 174);
            options.hash = HashFunction::by_name(hash).unwrap();
        }
    }
    if label.contains("trickle") {
        options.layout = Layout::Trickle;
    }
    Some(options)
}

#[test]
fn what_kubo_imported_is_imported_again_to_the_same_roots() {
    let golden = Golden::own("flatfs-tree");
    let repo = golden.repo(Verify::Off);
    let mut compared = 0;
    for (label, cid) in golden.expected["roots"].as_object().unwrap() {
        let Some(options) = options_of(label) else { continue };
        let cid: Cid = cid.as_str().unwrap().parse().unwrap();
        assert_eq!(again(&repo, &cid, &options), cid, "{label}");
        compared += 1;
    }
    assert!(compared >= 35, "only {compared} labels are known");
}

/// Those of the repository beside the checkout, with options found out from what it holds.
#[test]
fn what_kubo_imported_elsewhere_is_imported_again_to_the_same_roots() {
    let shared =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|at| at.join("shared/golden"));
    let Some(shared) = shared.into_iter().find(|folder| folder.is_dir()) else {
        println!("no shared golden files here: not tested");
        return;
    };
    let golden = Golden::unpack(&shared, "flatfs-0.42");
    let repo = golden.repo(Verify::Off);
    let with = |options: ImportOptions, chunker: &str| ImportOptions {
        chunker: chunker.parse().unwrap(),
        ..options
    };
    let (v0, v1) = (ImportOptions::default, ImportOptions::cid_v1);
    let hash = |name| ImportOptions { hash: HashFunction::by_name(name).unwrap(), ..v0() };
    let inline = |limit| ImportOptions { inline_limit: Some(limit), ..v1() };
    for (label, mut options) in [
        ("tree-v1", v1()),
        ("tree-v1-no-raw", ImportOptions { raw_leaves: Some(false), ..v1() }),
        ("tree-v0", v0()),
        ("big-trickle", ImportOptions { layout: Layout::Trickle, ..with(v0(), "size-65536") }),
        ("big-rabin", with(v1(), "rabin-65536-131072-262144")),
        ("big-buzhash", with(v1(), "buzhash")),
        ("big-1MiB", with(v1(), "size-1048576")),
        ("blake3", hash("blake3")),
        ("blake2b", hash("blake2b-256")),
        ("sha2-512", hash("sha2-512")),
        ("wrapped", v1()),
        ("inline", inline(32)),
        ("inline-dir", inline(64)),
    ] {
        options.directories.threshold = 4096;
        let cid = golden.cid(label);
        assert_eq!(again(&repo, &cid, &options), cid, "{label}");
    }
}
