//! What the file system promises, one sentence a test.

use std::ops::ControlFlow;
use std::sync::Arc;

use coldfront::block::DAG_PB;
use coldfront::gc::{CollectOptions, collect};
use coldfront::mfs::{CpOptions, HotRoot, Kind, Mfs, MfsOptions, MkdirOptions, WriteOptions};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::unixfs::dag_pb::{self, PbLink};
use coldfront::unixfs::data::{DataType, UnixFsData};
use coldfront::unixfs::import::ImportOptions;
use coldfront::unixfs::testing::cid_of;
use coldfront::{Block, BlockSource, Repo, RepoOptions};

use crate::commands::{World, bytes};

fn creating() -> WriteOptions {
    WriteOptions { create: true, parents: true, ..WriteOptions::default() }
}

fn write(mfs: &Mfs, path: &str, content: &[u8]) {
    mfs.write(path, &mut &content[..], &creating()).unwrap();
}

/// A file system over a hot store in a folder.
fn open(folder: &std::path::Path) -> (Mfs, HotStore, Repo) {
    let options = HotOptions { memory: 16 * 1024 * 1024, ..HotOptions::new(folder.join("hot")) };
    let hot = HotStore::open(&options).unwrap();
    let repo = Repo::with_hot(&hot, [], &RepoOptions::default());
    let roots = Arc::new(HotRoot::of(&repo).unwrap());
    (Mfs::open(repo.clone(), roots, MfsOptions::default()).unwrap(), hot, repo)
}

fn collect_all(repo: &Repo) {
    let go_on = &mut |_: &coldfront::gc::Progress<'_>| ControlFlow::Continue(());
    collect(repo.pins().unwrap(), &CollectOptions::default(), go_on).unwrap();
}

#[test]
fn what_is_in_the_tree_outlives_a_collection_and_what_left_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (mfs, hot, repo) = open(folder.path());
    let content = vec![7u8; 900_000];
    write(&mfs, "/a/b/kept", &content);
    write(&mfs, "/gone", b"gone");
    let gone = mfs.stat("/gone").unwrap().cid;
    mfs.rm("/gone", false, false).unwrap();
    collect_all(&repo);
    assert_eq!(hot.size(&gone).unwrap(), None);
    assert_eq!(bytes(mfs.read("/a/b/kept", 0, None).unwrap()), content);
}

#[test]
fn a_change_that_was_not_flushed_is_seen_at_once_and_outlives_a_collection() {
    let folder = tempfile::tempdir().unwrap();
    let (mfs, _, repo) = open(folder.path());
    let options = WriteOptions { flush: false, ..creating() };
    mfs.write("/f", &mut &b"not flushed"[..], &options).unwrap();
    collect_all(&repo);
    assert_eq!(bytes(mfs.read("/f", 0, None).unwrap()), b"not flushed");
    assert_ne!(repo.pins().unwrap().root("mfs").unwrap(), Some(mfs.root()));
    assert_eq!(mfs.flush("/").unwrap(), mfs.root());
    assert_eq!(repo.pins().unwrap().root("mfs").unwrap(), Some(mfs.root()));
}

#[test]
fn many_changes_without_a_flush_are_flushed_after_all() {
    let folder = tempfile::tempdir().unwrap();
    let (mfs, _, repo) = open(folder.path());
    let kept = || repo.pins().unwrap().root("mfs").unwrap().unwrap();
    let first = kept();
    let options = WriteOptions { flush: false, ..creating() };
    for number in 0..=coldfront::mfs::MAX_UNFLUSHED {
        assert_eq!(kept(), first);
        mfs.write(&format!("/{number}"), &mut &b"x"[..], &options).unwrap();
    }
    assert_eq!(kept(), mfs.root());
}

#[test]
fn the_tree_is_there_again_after_it_was_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = {
        let (mfs, ..) = open(folder.path());
        write(&mfs, "/a/f", b"content");
        mfs.root()
    };
    let (mfs, ..) = open(folder.path());
    assert_eq!(mfs.root(), root);
    assert_eq!(bytes(mfs.read("/a/f", 0, None).unwrap()), b"content");
}

#[test]
fn writers_of_many_files_and_of_one_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mfs, ..) = open(folder.path());
    write(&mfs, "/log", &[0; 400]);
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let mfs = mfs.clone();
            scope.spawn(move || {
                for round in 0..5u8 {
                    write(&mfs, &format!("/w{writer}/f{round}"), &[writer; 100]);
                    let offset = u64::from(writer) * 50 + u64::from(round) * 10;
                    let options = WriteOptions { offset, ..WriteOptions::default() };
                    mfs.write("/log", &mut &[writer + 1; 10][..], &options).unwrap();
                }
            });
        }
    });
    let log: Vec<u8> = (1..=8).flat_map(|writer| [writer; 50]).collect();
    assert_eq!(bytes(mfs.read("/log", 0, None).unwrap()), log);
    for writer in 0..8 {
        for round in 0..5 {
            let stat = mfs.stat(&format!("/w{writer}/f{round}")).unwrap();
            assert_eq!((stat.size, stat.kind), (100, Kind::File));
        }
    }
}

#[test]
fn a_call_that_fails_changes_nothing() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the line broke"))
        }
    }
    let world = World::new();
    let before = world.mfs.root();
    let error = world.mfs.write("/a/f", &mut Broken, &creating()).unwrap_err();
    assert_eq!(error.to_string(), "reading the content failed");
    assert_eq!(world.mfs.root(), before);
    assert!(world.mfs.stat("/a").is_err());
}

#[test]
fn a_copy_of_content_may_name_blocks_that_are_not_here() {
    let folder = tempfile::tempdir().unwrap();
    let (mfs, hot, repo) = open(folder.path());
    // A file of two leaves, of which only the root is put.
    let elsewhere = World::new();
    let cid = elsewhere.import(&[1; 300_000], &ImportOptions::default());
    let root = elsewhere.repo.block(&cid).unwrap().unwrap();
    coldfront::BlockStore::put(&hot, &[root]).unwrap();
    mfs.cp(&format!("/ipfs/{cid}"), "/film", &CpOptions::default()).unwrap();
    assert_eq!(mfs.stat("/film").unwrap().size, 300_000);
    let here = mfs.locality("/film").unwrap();
    assert!(!here.complete && here.bytes < 200);
    collect_all(&repo);
    assert_eq!(mfs.stat("/film").unwrap().cid, cid);
    let whole = elsewhere.mfs;
    whole.cp(&format!("/ipfs/{cid}"), "/film", &CpOptions::default()).unwrap();
    let here = whole.locality("/film").unwrap();
    assert_eq!((here.complete, here.bytes), (true, whole.stat("/film").unwrap().cumulative_size));
}

#[test]
fn a_move_below_itself_is_refused_and_one_between_directories_of_a_name_moves() {
    let world = World::new();
    write(&world.mfs, "/a/x/f", b"1");
    let refused = world.mfs.mv("/a", "/a/x", true).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cannot move /a to /a/x/a, which lies in it; choose another place"
    );
    let parents = MkdirOptions { parents: true, ..MkdirOptions::default() };
    world.mfs.mkdir("/b/x", &parents).unwrap();
    world.mfs.mv("/a/x/f", "/b/x/f", true).unwrap();
    assert!(world.mfs.stat("/a/x/f").is_err());
    assert_eq!(bytes(world.mfs.read("/b/x/f", 0, None).unwrap()), b"1");
}

#[test]
fn what_is_appended_to_a_file_of_one_block_leaves_its_bytes_where_every_reader_sees_them() {
    for options in [
        ImportOptions::default(),
        ImportOptions { raw_leaves: Some(false), ..ImportOptions::cid_v1() },
    ] {
        let world = World::new();
        let cid = world.import(b"hello", &options);
        world.mfs.cp(&format!("/ipfs/{cid}"), "/f", &CpOptions::default()).unwrap();
        let at = |offset| WriteOptions { offset, ..WriteOptions::default() };
        world.mfs.write("/f", &mut &b" world"[..], &at(5)).unwrap();
        assert_eq!(bytes(world.mfs.read("/f", 0, None).unwrap()), b"hello world");
        assert_eq!(world.mfs.stat("/f").unwrap().blocks, 2);
        world.mfs.write("/f", &mut &b"LOW"[..], &at(3)).unwrap();
        assert_eq!(bytes(world.mfs.read("/f", 0, None).unwrap()), b"helLOWworld");
    }
}

#[test]
fn bytes_beside_the_links_of_a_root_are_neither_lost_nor_misplaced() {
    let world = World::new();
    let leaf = world.import(b"world", &ImportOptions::cid_v1());
    let link = leaf.to_bytes();
    let link = PbLink { cid: &link, name: Some(b""), tsize: Some(5) };
    let mut message = UnixFsData::new(DataType::File);
    (message.data, message.filesize) = (Some(&b"hello "[..]), Some(11));
    // As boxo makes it when it appends to a file of one block.
    let block = dag_pb::encode([link], Some(&message.encode([5])));
    let cid = cid_of(DAG_PB, &block);
    world.roots.blocks().put(Block::verified(cid, block.into()).unwrap());
    let at = |offset| WriteOptions { offset, ..WriteOptions::default() };
    let content = |path: &str| bytes(world.mfs.read(path, 0, None).unwrap());
    for path in ["/over", "/behind", "/cut"] {
        world.mfs.cp(&format!("/ipfs/{cid}"), path, &CpOptions::default()).unwrap();
        assert_eq!(content(path), b"hello world");
    }
    world.mfs.write("/over", &mut &b"LO W"[..], &at(3)).unwrap();
    assert_eq!(content("/over"), b"helLO World");
    world.mfs.write("/behind", &mut &b"!!"[..], &at(10)).unwrap();
    assert_eq!(content("/behind"), b"hello worl!!");
    let raw = WriteOptions { raw_leaves: Some(true), ..at(0) };
    world.mfs.write("/cut", &mut &b""[..], &raw).unwrap();
    assert_eq!(content("/cut"), b"hello world");
}

#[test]
fn a_hole_is_filled_with_zeros_and_an_endless_one_refused() {
    let world = World::new();
    let at = |offset| WriteOptions { offset, ..creating() };
    world.mfs.write("/f", &mut &b"x"[..], &at(10_000)).unwrap();
    let content = bytes(world.mfs.read("/f", 0, None).unwrap());
    assert!(content.len() == 10_001 && content[..10_000].iter().all(|byte| *byte == 0));
    let refused = world.mfs.write("/f", &mut &b"x"[..], &at(u64::MAX)).unwrap_err();
    assert!(refused.to_string().contains("leaves a hole of"), "{refused}");
}

#[test]
fn looking_tells_mode_time_and_links() {
    let world = World::new();
    write(&world.mfs, "/d/f", &[1; 600_000]);
    world.mfs.chmod("/d/f", 0o4640).unwrap();
    let time = coldfront::unixfs::node::Mtime { seconds: 7, nanos: 9 };
    world.mfs.touch("/d", Some(time)).unwrap();
    let file = world.mfs.stat("/d/f").unwrap();
    assert_eq!((file.blocks, file.size, file.mode), (3, 600_000, Some(0o640)));
    let directory = world.mfs.stat("/d").unwrap();
    assert_eq!((directory.kind, directory.mtime, directory.size), (Kind::Directory, Some(time), 0));
    assert!(directory.cumulative_size > file.cumulative_size);
}

#[test]
fn reading_behind_the_end_and_reading_a_directory_are_refused_in_kubos_words() {
    let world = World::new();
    write(&world.mfs, "/d/f", b"abc");
    let refused = |path: &str, offset| match world.mfs.read(path, offset, None) {
        Ok(_) => String::new(),
        Err(error) => error.sentence(),
    };
    assert_eq!(refused("/d/f", 4), "offset was past end of file (4 > 3)");
    assert_eq!(refused("/d", 0), "/d was not a file");
    assert_eq!(refused("/nope", 0), "/nope: file does not exist");
    assert_eq!(bytes(world.mfs.read("/d/f", 3, None).unwrap()), b"");
}

#[test]
fn collections_beside_writers_take_nothing_that_is_in_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let (mfs, _, repo) = open(folder.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3u8)
            .map(|writer| {
                let mfs = mfs.clone();
                scope.spawn(move || {
                    for round in 0..12u8 {
                        let flush = round % 3 > 0;
                        let options = WriteOptions { flush, truncate: true, ..creating() };
                        let content = vec![writer * 16 + round; 300_000];
                        mfs.write(
                            &format!("/w{writer}/f{}", round % 4),
                            &mut &content[..],
                            &options,
                        )
                        .unwrap();
                        if round % 4 == 3 {
                            mfs.rm(&format!("/w{writer}/f0"), false, false).unwrap();
                            mfs.mv(&format!("/w{writer}/f1"), &format!("/w{writer}/f0"), false)
                                .unwrap();
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                collect_all(&repo);
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    mfs.flush("/").unwrap();
    collect_all(&repo);
    for writer in 0..3u8 {
        for (name, round) in [("f0", 9u8), ("f2", 10), ("f3", 11)] {
            let content = bytes(mfs.read(&format!("/w{writer}/{name}"), 0, None).unwrap());
            assert!(content == vec![writer * 16 + round; 300_000], "/w{writer}/{name}");
        }
    }
}
