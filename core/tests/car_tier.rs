//! A CAR file as a tier: found by an index of its own or one beside it, whatever that says.
#![allow(clippy::unwrap_used)]

mod tree;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use coldfront::block::{IDENTITY, RAW};
use coldfront::car::CarWriter;
use coldfront::store::car::{Car, CarOptions};
use coldfront::store::contract;
use coldfront::unixfs::testing::{self, FilePlan, cid_of, identity_cid};
use coldfront::walk::{Repeats, walk};
use coldfront::{
    ArchiveOptions, Block, BlockSource, Cid, ContentPath, Located, Repo, RepoOptions, StoreError,
    Verify,
};
use tempfile::TempDir;
use tree::{Golden, POLICIES, content, node, over, read};

/// Blocks of all lengths, one of them twice, one in its CID, one under another hash function.
fn blocks(count: usize) -> Vec<Block> {
    let mut blocks: Vec<Block> = (0..count)
        .map(|i| {
            let len = [0, 1, 100, 4096, 70_000][i % 5];
            let data = if len == 0 { Vec::new() } else { content(len + i, i as u64) };
            Block::verified(cid_of(RAW, &data), data.into()).unwrap()
        })
        .collect();
    blocks.push(blocks[1].clone());
    blocks.push(Block::verified(identity_cid(RAW, b"x"), Bytes::from_static(b"x")).unwrap());
    let hash = coldfront::multihash::digest(0x1e, 32, b"three").unwrap();
    let hash = cid::multihash::Multihash::wrap(0x1e, hash.as_bytes()).unwrap();
    blocks.push(Block::verified(Cid::new_v1(RAW, hash), Bytes::from_static(b"three")).unwrap());
    blocks
}

/// A version 1, and where each block's section begins in it.
fn v1(blocks: &[Block]) -> (Vec<u8>, Vec<u64>) {
    let mut writer = CarWriter::new(Vec::new(), &[*blocks[0].cid()]).unwrap();
    let mut at = CarWriter::new(Vec::new(), &[*blocks[0].cid()]).unwrap().finish().unwrap().len();
    let mut offsets = Vec::new();
    for block in blocks {
        offsets.push(at as u64);
        at += CarWriter::<Vec<u8>>::section_len(block) as usize;
        writer.put(block).unwrap();
    }
    (writer.finish().unwrap(), offsets)
}

/// A version 2 around it, with an index.
fn v2(payload: &[u8], index: &[u8]) -> Vec<u8> {
    let padding = 13;
    let mut out = vec![0x0a, 0xa1, 0x67];
    out.extend(b"version\x02");
    out.extend([0; 16]);
    let index_at = if index.is_empty() { 0 } else { 51 + 2 * padding + payload.len() };
    for number in [51 + padding, payload.len(), index_at] {
        out.extend((number as u64).to_le_bytes());
    }
    out.extend(vec![0xee; padding]);
    out.extend(payload);
    out.extend(vec![0xee; padding]);
    out.extend(index);
    out
}

/// The tables of a sorted index: rows of equal width together, in order.
fn tables(rows: &[(&Block, u64)]) -> Vec<u8> {
    let mut widths: Vec<usize> =
        rows.iter().map(|(b, _)| b.cid().hash().digest().len() + 8).collect();
    widths.sort_unstable();
    widths.dedup();
    let mut out = (widths.len() as u32).to_le_bytes().to_vec();
    for width in widths {
        let mut lines: Vec<Vec<u8>> = rows
            .iter()
            .filter(|(b, _)| b.cid().hash().digest().len() + 8 == width)
            .map(|(b, at)| [b.cid().hash().digest(), &at.to_le_bytes()].concat())
            .collect();
        lines.sort();
        out.extend((width as u32).to_le_bytes());
        out.extend(((lines.len() * width) as u64).to_le_bytes());
        out.extend(lines.concat());
    }
    out
}

fn index_sorted(rows: &[(&Block, u64)]) -> Vec<u8> {
    [&[0x80, 0x08][..], &tables(rows)].concat()
}

fn multihash_index_sorted(rows: &[(&Block, u64)]) -> Vec<u8> {
    let mut codes: Vec<u64> = rows.iter().map(|(b, _)| b.cid().hash().code()).collect();
    codes.sort_unstable();
    codes.dedup();
    let mut out = vec![0x81, 0x08];
    out.extend((codes.len() as u32).to_le_bytes());
    for code in codes {
        let of: Vec<_> =
            rows.iter().copied().filter(|(b, _)| b.cid().hash().code() == code).collect();
        out.extend(code.to_le_bytes());
        out.extend(tables(&of));
    }
    out
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn put(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("a.car");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn open(path: &Path) -> Result<Car, StoreError> {
    Car::open(&CarOptions::new(path))
}

fn absent() -> Cid {
    cid_of(RAW, b"absent")
}

fn stored(blocks: &[Block]) -> Vec<Block> {
    blocks.iter().filter(|block| block.cid().hash().code() != IDENTITY).cloned().collect()
}

#[test]
fn a_car_of_either_version_and_with_any_index_keeps_the_contract_of_sources() {
    let blocks = blocks(200);
    let (payload, offsets) = v1(&blocks);
    let rows: Vec<(&Block, u64)> = blocks.iter().zip(offsets).collect();
    for (name, bytes, made) in [
        ("v1", payload.clone(), true),
        ("v2 without", v2(&payload, &[]), true),
        ("v2 sorted", v2(&payload, &index_sorted(&rows)), false),
        ("v2 by multihash", v2(&payload, &multihash_index_sorted(&rows)), false),
        ("v2 of an unknown kind", v2(&payload, &[0x99, 0x09, 1, 2, 3]), true),
        ("v2 cut short", v2(&payload, &index_sorted(&rows)[..300]), true),
    ] {
        let folder = Folder::new();
        let path = folder.put(&bytes);
        let car = open(&path).unwrap();
        assert_eq!(car.roots(), [*blocks[0].cid()]);
        assert_eq!(folder.names().len(), if made { 2 } else { 1 }, "{name}: {:?}", folder.names());
        contract::check(&car, &stored(&blocks), &absent());
        assert!(fs::read(&path).unwrap() == bytes, "{name}: the CAR is what it was");
    }
}

#[test]
fn the_index_is_made_once_and_again_when_the_car_has_changed() {
    let folder = Folder::new();
    let blocks = blocks(50);
    let path = folder.put(&v1(&blocks[..20]).0);
    let index = folder.0.path().join("a.car.idx");
    let inode = || fs::metadata(&index).unwrap().ino();
    drop(open(&path).unwrap());
    let first = inode();
    contract::check(&open(&path).unwrap(), &blocks[..20], blocks[21].cid());
    assert_eq!(inode(), first);
    // Kept open, so that a new file cannot get its number.
    let _old = fs::File::open(&index).unwrap();
    let path = folder.put(&v1(&blocks).0);
    contract::check(&open(&path).unwrap(), &stored(&blocks), &absent());
    assert_ne!(inode(), first);
    assert_eq!(folder.names(), ["a.car", "a.car.idx"], "nothing is left behind");
}

#[test]
fn an_index_that_is_not_whole_is_made_again_and_one_that_lies_finds_nothing() {
    let folder = Folder::new();
    let blocks = blocks(300);
    let path = folder.put(&v1(&blocks).0);
    let index = folder.0.path().join("a.car.idx");
    drop(open(&path).unwrap());
    let good = fs::read(&index).unwrap();
    for bad in [&good[..0], &good[..64], &good[..good.len() - 1], &vec![0; good.len()][..]] {
        fs::write(&index, bad).unwrap();
        contract::check(&open(&path).unwrap(), &stored(&blocks), &absent());
        assert!(fs::read(&index).unwrap() == good);
    }
    // Every byte behind the head in turn: no panic, and never another block.
    for at in (64..good.len()).step_by(7) {
        let mut lies = good.clone();
        lies[at] ^= 0x55;
        fs::write(&index, lies).unwrap();
        let repo = over(Arc::new(open(&path).unwrap()), Verify::Always);
        for block in blocks.iter().step_by(31) {
            if let Ok(Some(found)) = repo.block(block.cid()) {
                assert_eq!(found.data(), block.data());
            }
        }
    }
}

#[test]
fn an_index_of_version_2_that_lies_finds_nothing() {
    let blocks = blocks(40);
    let (payload, offsets) = v1(&blocks);
    let folder = Folder::new();
    let shift = |by: u64| -> Vec<(&Block, u64)> {
        blocks.iter().zip(offsets.iter().map(|at| at.wrapping_add(by))).collect()
    };
    for by in [1, 37, 1 << 40, u64::MAX, payload.len() as u64] {
        let path = folder.put(&v2(&payload, &index_sorted(&shift(by))));
        let repo = over(Arc::new(open(&path).unwrap()), Verify::Always);
        for block in stored(&blocks) {
            if let Ok(Some(found)) = repo.block(block.cid()) {
                assert_eq!(found.data(), block.data());
            }
        }
    }
}

#[test]
fn an_index_that_leads_to_another_block_finds_nothing_even_unverified() {
    let blocks = blocks(40);
    let (payload, offsets) = v1(&blocks);
    let turned = offsets.iter().cycle().skip(1).copied();
    let rows: Vec<(&Block, u64)> = blocks.iter().zip(turned).collect();
    let folder = Folder::new();
    let car = open(&folder.put(&v2(&payload, &multihash_index_sorted(&rows)))).unwrap();
    for block in &blocks[1..40] {
        if let Some(found) = car.get(block.cid()).unwrap() {
            assert_eq!(found.data(), block.data(), "the block that comes twice");
        }
    }
}

#[test]
fn thousands_of_rows_of_one_digest_do_not_keep_a_request() {
    // A CAR without the block that all rows of the index name.
    let blocks = blocks(20);
    let (payload, offsets) = v1(&blocks);
    let wanted = Block::verified(cid_of(RAW, b"wanted"), Bytes::from_static(b"wanted")).unwrap();
    let rows: Vec<(&Block, u64)> = (0..300_000).map(|i| (&wanted, offsets[i % 20])).collect();
    let folder = Folder::new();
    let car = open(&folder.put(&v2(&payload, &index_sorted(&rows)))).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..20 {
        assert!(car.get(wanted.cid()).unwrap().is_none());
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_car_that_is_broken_is_refused_with_the_place() {
    let folder = Folder::new();
    let (good, _) = v1(&blocks(10));
    let sentence = |bytes: &[u8]| {
        let error = open(&folder.put(bytes)).unwrap_err();
        let source = std::error::Error::source(&error).map(|source| source.to_string());
        format!("{error}: {}", source.unwrap_or_default())
    };
    assert!(sentence(b"no car at all").ends_with("no CAR header; is this a CAR file?"));
    assert!(sentence(b"").ends_with("no CAR header; is this a CAR file?"));
    assert!(sentence(&good[..good.len() - 1]).contains("was it cut short?"));
    assert!(sentence(&[&good[..], &[0; 9]].concat()).contains("is the file filled up with zeros?"));
    let mut beyond = v2(&good, &[]);
    beyond.truncate(good.len());
    assert!(sentence(&beyond).contains("which cannot be"));
    assert!(matches!(open(folder.0.path()), Err(StoreError::Io { .. })), "a folder is no CAR");
    assert!(matches!(open(Path::new("/nowhere/a.car")), Err(StoreError::Io { .. })));
}

#[test]
fn the_index_may_lie_elsewhere_and_one_that_cannot_be_written_is_an_error() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let blocks = blocks(10);
    let path = folder.put(&v1(&blocks).0);
    let index =
        |path: PathBuf| CarOptions { index: Some(path), ..CarOptions::new(path_of(&folder)) };
    let nowhere = index(elsewhere.0.path().join("no/such/folder/i"));
    assert!(matches!(Car::open(&nowhere), Err(StoreError::CarIndex { .. })));
    let car = Car::open(&index(elsewhere.0.path().join("i"))).unwrap();
    contract::check(&car, &stored(&blocks), &absent());
    assert_eq!((folder.names().len(), elsewhere.names().len()), (1, 1));
    assert_eq!(car.path(), path);
}

fn path_of(folder: &Folder) -> PathBuf {
    folder.0.path().join("a.car")
}

#[test]
fn a_car_that_is_cut_while_it_is_open_is_an_error_and_said_to_be_away() {
    let folder = Folder::new();
    let blocks = blocks(10);
    let bytes = v1(&blocks).0;
    let path = folder.put(&bytes);
    let car = open(&path).unwrap();
    assert!(car.available().is_ok());
    let file = fs::File::options().write(true).open(&path).unwrap();
    let whole = car.locate(blocks[4].cid()).unwrap().unwrap();
    file.set_len(bytes.len() as u64 / 2).unwrap();
    assert!(matches!(car.available(), Err(StoreError::CarChanged { .. })));
    for block in &blocks {
        // Found in the front half, not in the other; never a panic.
        let _ = car.get(block.cid());
    }
    file.set_len(100).unwrap();
    let Located::Extent(mut extent) = whole else { panic!("{whole:?}") };
    let mut buf = vec![0; 1 << 20];
    assert!(matches!(extent.read(&mut buf), Err(StoreError::Truncated { .. })));
}

#[test]
fn files_are_read_from_a_car_as_from_an_archive_under_every_policy() {
    let bytes = content(900_000, 3);
    let mut writer = CarWriter::new(Vec::new(), &[absent()]).unwrap();
    let made =
        testing::file(&bytes, &FilePlan::default(), &mut |block| writer.put(&block).unwrap());
    let folder = Folder::new();
    let path = folder.put(&writer.finish().unwrap());
    for policy in POLICIES {
        let repo = over(Arc::new(open(&path).unwrap()), policy);
        let file = node(&repo, &made.cid);
        for range in [0..900_000u64, 262_140..262_150, 899_999..900_000, 1..600_000] {
            let expected = &bytes[range.start as usize..range.end as usize];
            assert!(read(&repo, &file, range.clone()).unwrap() == expected, "{policy:?} {range:?}");
        }
    }
}

#[test]
fn a_bad_block_in_a_car_is_told_when_it_is_verified() {
    let folder = Folder::new();
    let blocks = blocks(10);
    let (mut bytes, offsets) = v1(&blocks);
    bytes[offsets[4] as usize + 60_000] ^= 1;
    let path = folder.put(&bytes);
    let repo = over(Arc::new(open(&path).unwrap()), Verify::Always);
    assert!(repo.block(blocks[3].cid()).unwrap().is_some());
    assert!(matches!(repo.block(blocks[4].cid()), Err(StoreError::Corrupt { .. })));
    assert_eq!(repo.take_faults().len(), 1);
}

#[test]
fn a_repository_opens_a_car_where_an_archive_may_stand() {
    let golden = Golden::own("flatfs-tree");
    let archive = golden.repo(Verify::Off);
    let root = golden.cid("tree-v1");
    let folder = Folder::new();
    let mut writer = CarWriter::new(Vec::new(), &[root]).unwrap();
    let mut count = 0;
    for block in walk(&[root], Repeats::default(), |cid| archive.block(cid)) {
        writer.put(&block.unwrap()).unwrap();
        count += 1;
    }
    let path = folder.put(&writer.finish().unwrap());
    let options = RepoOptions {
        archives: vec![ArchiveOptions::new(&path)],
        verify: Verify::Always,
        ..RepoOptions::default()
    };
    let repo = Repo::open(&options).unwrap();
    let same = walk(&[root], Repeats::default(), |cid| repo.block(cid)).map(Result::unwrap).count();
    assert_eq!((same, count > 100), (count, true));
    let file = ContentPath::with_segments(root, ["video", "movie.mp4"]);
    let all = |repo: &Repo| read(repo, &repo.resolve(&file).unwrap().node, ..).unwrap();
    assert!(all(&repo) == all(&archive));
}

#[test]
fn a_car_knows_without_waiting_what_it_lacks_and_never_says_so_of_what_it_holds() {
    let blocks = blocks(2000);
    let (payload, offsets) = v1(&blocks);
    let rows: Vec<(&Block, u64)> = blocks.iter().zip(offsets).collect();
    let absent: Vec<Cid> = (0..500u32).map(|n| cid_of(RAW, &n.to_le_bytes())).collect();
    for (name, bytes) in [
        ("v1", payload.clone()),
        ("v2 sorted", v2(&payload, &index_sorted(&rows))),
        ("v2 by multihash", v2(&payload, &multihash_index_sorted(&rows))),
    ] {
        let folder = Folder::new();
        let car = open(&folder.put(&bytes)).unwrap();
        assert!(stored(&blocks).iter().all(|block| !car.lacks_now(block.cid())), "{name}");
        assert!(absent.iter().all(|cid| car.locate(cid).unwrap().is_none()));
        assert!(absent.iter().all(|cid| car.lacks_now(cid)), "{name}");
    }
}
