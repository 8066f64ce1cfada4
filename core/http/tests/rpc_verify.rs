//! `repo/verify`, `repo/stat` and `repo/measure`: the hot store always, archives when somebody asks.

#![allow(clippy::unwrap_used)]

mod rpc;

use std::fs;
use std::path::{Path, PathBuf};

use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::{ArchiveOptions, Block, Cid, Repo, RepoOptions};
use rpc::{Server, limits};

/// A block of raw bytes.
fn block(data: Vec<u8>) -> Block {
    use coldfront::multihash::digest;
    let hash = digest(0x12, 32, &data).unwrap();
    let hash = cid::multihash::Multihash::wrap(0x12, hash.as_bytes()).unwrap();
    Block::verified(Cid::new_v1(0x55, hash), data.into()).unwrap()
}

/// A flatfs tree of such blocks, and the paths of their files.
fn tree(root: &Path, blocks: &[Block]) -> Vec<PathBuf> {
    fs::create_dir_all(root).unwrap();
    fs::write(root.join("SHARDING"), "/repo/flatfs/shard/v1/next-to-last/2\n").unwrap();
    let place = |block: &Block| {
        let name = data_encoding::BASE32_NOPAD.encode(&block.cid().hash().to_bytes());
        let shard = root.join(&name[name.len() - 3..name.len() - 1]);
        fs::create_dir_all(&shard).unwrap();
        let path = shard.join(format!("{name}.data"));
        fs::write(&path, block.data()).unwrap();
        path
    };
    blocks.iter().map(place).collect()
}

fn blocks(count: u32) -> Vec<Block> {
    (0..count).map(|n| block(format!("block {n} {}", "x".repeat(5000)).into_bytes())).collect()
}

fn options(folder: &Path, archive: Option<&Path>) -> RepoOptions {
    let hot = HotOptions { memory: 32 << 20, ..HotOptions::new(folder.join("hot")) };
    let archives = archive.map(ArchiveOptions::new).into_iter().collect();
    RepoOptions { hot: Some(hot), archives, ..RepoOptions::default() }
}

fn serve(options: &RepoOptions) -> Server {
    rpc::start(Repo::open(options).unwrap(), limits(), |rpc| rpc)
}

/// Flips a bit of the bytes of a block in the only blob file that has them.
fn damage(hot: &Path, content: &[u8]) {
    let mut found = 0;
    let mut open = vec![hot.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "blob") {
                let mut bytes = fs::read(&path).unwrap();
                if let Some(at) = bytes.windows(content.len()).position(|part| part == content) {
                    bytes[at + content.len() / 2] ^= 1;
                    fs::write(&path, bytes).unwrap();
                    found += 1;
                }
            }
        }
    }
    assert_eq!(found, 1);
}

#[test]
fn a_damaged_block_is_named_and_dropped_when_asked_and_its_pin_keeps_the_copy_that_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), None);
    let blocks = blocks(20);
    {
        let hot = HotStore::open(options.hot.as_ref().unwrap()).unwrap();
        let bulk = hot.bulk("test");
        bulk.put(&blocks).unwrap();
        bulk.flush().unwrap();
    }
    damage(folder.path(), blocks[7].data());
    let server = serve(&options);
    let bad = blocks[7].cid();
    assert_eq!(server.call(&format!("pin/add?arg={bad}")).status, 200);
    let lines = |query: &str| {
        let answer = server.call(&format!("repo/verify?{query}"));
        let told: Vec<String> = answer
            .values()
            .iter()
            .map(|line| line["Msg"].as_str().unwrap().to_owned())
            .filter(|msg| !msg.is_empty())
            .collect();
        let counted = answer.values().iter().filter(|line| line["Msg"] == "").count();
        (told, counted, answer.trailer("X-Stream-Error").map(str::to_owned))
    };
    let (told, counted, error) = lines("");
    assert!(told[0].starts_with(&format!("block {bad} was corrupt (")), "{told:?}");
    assert_eq!((told.len(), counted), (1, 20));
    assert_eq!(error.as_deref(), Some("verify complete, 1 blocks corrupt"));
    let heal = server.call("repo/verify?heal=true").message();
    assert!(heal.starts_with("blocks are healed from a network, and there is none here"), "{heal}");

    let (told, _, error) = lines("drop=true");
    assert!(told[0].ends_with(", removed"), "{told:?}");
    assert_eq!(told[1], "verify complete, 1 blocks corrupt, 1 removed");
    assert_eq!(error, None);
    assert_eq!(lines("").0, ["verify complete, all blocks validated."]);
    assert_eq!(server.call(&format!("block/get?arg={bad}")).status, 500);
    assert_eq!(server.call("repo/stat").values()[0]["NumObjects"], 19);
    // What kept it still does: a good copy is not garbage.
    server.upload("block/put", &[("x", blocks[7].data())]);
    server.call("repo/gc");
    assert!(server.call(&format!("block/get?arg={bad}")).bytes() == blocks[7].data()[..]);
    assert_eq!(server.call("repo/stat").values()[0]["NumObjects"], 1);
    // Nor are the old bytes found again under its name, wherever they still lie.
    drop(server);
    let server = serve(&options);
    assert!(server.call(&format!("block/get?arg={bad}")).bytes() == blocks[7].data()[..]);
    assert_eq!(server.call("repo/verify").trailer("X-Stream-Error"), None);
}

#[test]
fn a_damaged_block_that_is_dropped_is_answered_by_the_archive_below() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let blocks = blocks(3);
    tree(&archive, &blocks);
    let options = options(folder.path(), Some(&archive));
    {
        let hot = HotStore::open(options.hot.as_ref().unwrap()).unwrap();
        let bulk = hot.bulk("test");
        bulk.put(&blocks).unwrap();
        bulk.flush().unwrap();
    }
    damage(&folder.path().join("hot"), blocks[1].data());
    let server = serve(&options);
    assert_eq!(server.call("repo/verify?drop=true").trailer("X-Stream-Error"), None);
    let got = server.call(&format!("block/get?arg={}", blocks[1].cid()));
    assert!(got.bytes() == blocks[1].data()[..]);
}

#[test]
fn archives_are_read_when_that_is_asked_for_whole_or_in_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let blocks = blocks(300);
    let files = tree(&archive, &blocks);
    let server = serve(&options(folder.path(), Some(&archive)));
    let looked_at = |query: &str| {
        let answer = server.call(&format!("repo/verify?{query}"));
        assert_eq!(answer.trailer("X-Stream-Error"), None, "{query}");
        answer.values().iter().filter(|line| line["Msg"] == "").count()
    };
    assert_eq!(looked_at(""), 0);
    assert_eq!(looked_at("archives=all"), 300);
    assert_eq!(looked_at("archives=7"), 7);
    assert!((64..=100).contains(&looked_at("archives=100")));
    assert_eq!(server.call("repo/verify?archives=none").status, 400);

    // No more a second than is allowed: 300 blocks of some 5 kB at 1 MB/s.
    let began = std::time::Instant::now();
    looked_at("archives=all&archives-rate=1000000");
    assert!(began.elapsed().as_secs_f64() > 1.2, "{:?}", began.elapsed());

    fs::write(&files[3], b"something else").unwrap();
    fs::write(&files[4], b"").unwrap();
    let answer = server.call("repo/verify?archives=all&drop=true");
    assert_eq!(answer.trailer("X-Stream-Error"), Some("verify complete, 2 blocks corrupt"));
    let told = answer.text();
    assert!(told.contains(&blocks[3].cid().to_string()), "{told}");
    assert!(
        told.contains("corrupt, in an archive: its 14 bytes do not hash to its name"),
        "{told}"
    );
    assert!(told.contains("short, in an archive: it is empty"), "{told}");
    // Nobody learns where it lies, and nothing is removed there.
    assert!(!told.contains(archive.to_str().unwrap()));
    assert!(files[3].exists() && files[4].exists());
}

#[test]
fn the_size_of_archives_is_told_with_its_date_once_somebody_has_measured_it() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    let blocks = blocks(50);
    tree(&archive, &blocks);
    let server = serve(&options(folder.path(), Some(&archive)));
    assert!(server.call("repo/stat").values()[0].get("ArchiveSize").is_none());
    let measured = &server.call("repo/measure").values()[0];
    assert_eq!((&measured["Archive"], &measured["Blocks"]), (&0.into(), &50.into()));
    let bytes: u64 = blocks.iter().map(|block| block.data().len() as u64).sum();
    let told = measured["Bytes"].as_u64().unwrap();
    assert!(told.abs_diff(bytes) < bytes / 10, "{told} of {bytes}");
    let stat = &server.call("repo/stat").values()[0];
    assert_eq!(
        (&stat["ArchiveSize"], &stat["ArchiveSizeOf"]),
        (&measured["Bytes"], &measured["Measured"])
    );
    assert!(stat["RepoSize"].as_u64().unwrap() >= told);
}
