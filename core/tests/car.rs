//! CAR files: what Kubo exports is what we export, what is read is what was written, and what is broken
//! is told with its place.
#![allow(clippy::unwrap_used)]

mod tree;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use coldfront::block::{DAG_CBOR, DAG_PB, IDENTITY, RAW};
use coldfront::car::{self, CarError, CarFault, CarReader, CarWriter};
use coldfront::multihash::Hasher;
use coldfront::store::memory::Memory;
use coldfront::unixfs::testing::{cid_of, identity_cid};
use coldfront::walk::{Repeats, walk};
use coldfront::{Block, BlockSource, BlockStore, Cid, Located, ReadError, StoreError, Verify};
use tree::Golden;

/// Takes the length and the SHA-256 of what is written.
struct Measured(u64, Hasher);

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        self.1.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn measured() -> Measured {
    Measured(0, Hasher::new(0x12, 32).unwrap())
}

impl Measured {
    fn hex(self) -> (u64, String) {
        let digest = self.1.finish().unwrap();
        (self.0, digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[test]
fn exports_are_byte_for_byte_those_of_kubo() {
    let golden = Golden::own("flatfs-tree");
    let repo = golden.repo(Verify::Off);
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/car.tsv");
    let table = std::fs::read_to_string(table).unwrap();
    for line in table.lines() {
        let [label, cid, len, sha256] = line.split('\t').collect::<Vec<_>>()[..] else { panic!() };
        let root: Cid = cid.parse().unwrap();
        let mut writer = CarWriter::new(measured(), &[root]).unwrap();
        for block in walk(&[root], Repeats::default(), |cid| repo.block(cid)) {
            writer.put(&block.unwrap()).unwrap();
        }
        let made = writer.finish().unwrap().hex();
        assert_eq!(made, (len.parse().unwrap(), sha256.to_owned()), "{label}");
    }
    assert!(table.lines().count() > 40, "the table has lost lines");
}

#[test]
fn the_shared_car_of_kubo_is_read_stored_and_written_again() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("shared/golden/flatfs-0.42.tree-v1.car"))
        .find(|path| path.exists());
    let Some(path) = shared else {
        println!("no shared golden files here: not tested");
        return;
    };
    let bytes = std::fs::read(path).unwrap();
    let store = Memory::new();
    let imported = car::import(&bytes[..], &store).unwrap();
    assert_eq!(imported.roots.len(), 1);
    let mut writer = CarWriter::new(Vec::new(), &imported.roots).unwrap();
    for block in walk(&imported.roots, Repeats::default(), |cid| store.get(cid)) {
        writer.put(&block.unwrap()).unwrap();
    }
    assert!(writer.finish().unwrap() == bytes, "the same bytes come out");
}

/// A raw block of some bytes.
fn raw(data: &[u8]) -> Block {
    Block::verified(cid_of(RAW, data), Bytes::copy_from_slice(data)).unwrap()
}

fn write(roots: &[Cid], blocks: &[Block]) -> Vec<u8> {
    let mut writer = CarWriter::new(Vec::new(), roots).unwrap();
    blocks.iter().for_each(|block| writer.put(block).unwrap());
    writer.finish().unwrap()
}

fn sample() -> (Vec<Cid>, Vec<Block>, Vec<u8>) {
    let mut blocks: Vec<Block> = [&b""[..], b"a", &[7; 300], b"a"].map(raw).to_vec();
    let identity = identity_cid(RAW, b"inline");
    blocks.push(Block::verified(identity, Bytes::from_static(b"inline")).unwrap());
    let v0 = Cid::new_v0(*cid_of(DAG_PB, &[0x0a, 0]).hash()).unwrap();
    blocks.push(Block::verified(v0, Bytes::from_static(&[0x0a, 0])).unwrap());
    let roots = vec![*blocks[2].cid(), v0];
    let bytes = write(&roots, &blocks);
    (roots, blocks, bytes)
}

/// A CARv2 around a version 1, with padding and bytes behind it.
fn v2(payload: &[u8], padding: usize) -> Vec<u8> {
    let mut out = vec![0x0a, 0xa1, 0x67];
    out.extend(b"version\x02");
    out.extend([0; 16]);
    for number in [51 + padding, payload.len(), 51 + padding + payload.len()] {
        out.extend((number as u64).to_le_bytes());
    }
    out.extend(vec![0xee; padding]);
    out.extend(payload);
    out.extend(b"no index at all");
    out
}

fn read(bytes: &[u8]) -> Result<(Vec<Cid>, Vec<Block>), CarError> {
    let reader = CarReader::new(bytes)?;
    let roots = reader.roots().to_vec();
    Ok((roots, reader.collect::<Result<_, _>>()?))
}

fn pairs(blocks: &[Block]) -> Vec<(Cid, &[u8])> {
    blocks.iter().map(|block| (*block.cid(), &block.data()[..])).collect()
}

#[test]
fn what_was_written_is_read_in_either_version() {
    let (roots, blocks, v1) = sample();
    for bytes in [v1.clone(), v2(&v1, 0), v2(&v1, 100)] {
        let (read_roots, read_blocks) = read(&bytes).unwrap();
        assert_eq!(read_roots, roots);
        assert_eq!(pairs(&read_blocks), pairs(&blocks));
    }
    assert_eq!(read(&write(&[], &[])).unwrap().0, []);
}

#[test]
fn the_length_of_a_section_is_foretold() {
    for len in [0, 1, 90, 91, 92, 20_000] {
        let block = raw(&vec![1; len]);
        let with = write(&[], std::slice::from_ref(&block)).len();
        let section = CarWriter::<Vec<u8>>::section_len(&block);
        assert_eq!(section, (with - write(&[], &[]).len()) as u64);
    }
}

#[test]
fn a_car_that_was_cut_short_is_told_at_every_byte() {
    let (_, blocks, bytes) = sample();
    let mut whole = BTreeMap::from([(write(&sample().0, &[]).len(), 0)]);
    let mut end = *whole.keys().next().unwrap();
    for (count, block) in blocks.iter().enumerate() {
        end += CarWriter::<Vec<u8>>::section_len(block) as usize;
        whole.insert(end, count + 1);
    }
    assert_eq!(end, bytes.len());
    for len in 0..=bytes.len() {
        match (read(&bytes[..len]), whole.get(&len)) {
            (Ok((_, read)), Some(count)) => assert_eq!(read.len(), *count),
            (Err(CarError::Format { at, .. }), None) => assert!(at <= len as u64),
            (other, expected) => panic!("{len} bytes: {other:?}, expected {expected:?}"),
        }
        // The header of a version 2 says how much there must be.
        let all = v2(&bytes, 9);
        if len < bytes.len() {
            assert!(read(&all[..60 + len]).is_err(), "{len}");
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_another_cid() {
    let (roots, blocks, bytes) = sample();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok((read_roots, read)) = read(&flipped) {
            // Only a root, or a CID that names the same bytes otherwise, may change unnoticed.
            let same: Vec<&[u8]> = blocks.iter().map(|block| &block.data()[..]).collect();
            let changed = read_roots != roots
                || read.iter().all(|block| same.contains(&&block.data()[..]))
                || read.iter().any(|block| block.cid().hash().code() == IDENTITY);
            assert!(changed, "bit {bit}");
        }
    }
}

#[test]
fn what_is_no_car_is_refused_with_its_place() {
    let (_, _, good) = sample();
    let header = write(&[], &[]);
    let with = |tail: &[u8]| [&header, tail].concat();
    let at = header.len() as u64;
    let huge = with(&[0xff, 0xff, 0xff, 0xff, 0x7f]);
    let eleven = with(&[0xff; 12]);
    let cases: Vec<(Vec<u8>, u64, CarFault)> = vec![
        (vec![], 0, CarFault::NotACar),
        (b"hello world, this is text".to_vec(), 25, CarFault::NotACar),
        (vec![0], 1, CarFault::NotACar),
        (vec![0xff, 0xff, 0xff, 0xff, 0x7f], 5, CarFault::HeaderTooLong(34_359_738_367)),
        ([&[0x0a, 0xa1, 0x67][..], b"version\x03"].concat(), 11, CarFault::Version(3)),
        (with(&[0]), at, CarFault::Empty),
        (huge, at, CarFault::TooLong(34_359_738_367)),
        (eleven, at, CarFault::Length),
        (with(&[5, 1, 2, 3]), at, CarFault::Cut(5)),
        (with(&[3, 1, 2, 3]), at, CarFault::NoCid),
        // A CID that is longer than its section.
        (with(&[&[10, 1, 0x55, 0x12, 0x20][..], &[1; 40]].concat()), at, CarFault::NoCid),
    ];
    for (bytes, at, fault) in cases {
        match read(&bytes) {
            Err(CarError::Format { at: found_at, fault: found }) => {
                assert_eq!((found_at, &found), (at, &fault));
                assert!(!found.to_string().ends_with('.'));
            }
            other => panic!("{other:?}, expected {fault:?}"),
        }
    }
    let mut offsets = v2(&good, 0);
    offsets[27..35].copy_from_slice(&5u64.to_le_bytes());
    assert!(matches!(
        read(&offsets),
        Err(CarError::Format { fault: CarFault::Payload { offset: 5, .. }, .. })
    ));
}

#[test]
fn a_block_that_is_not_what_its_cid_says_is_told_with_its_place_and_ends_the_reading() {
    let (good, bad) = (raw(b"good"), raw(b"bad"));
    let mut bytes = write(&[], &[good.clone(), bad.clone(), good.clone()]);
    let at = bytes.windows(3).position(|window| window == b"bad").unwrap();
    bytes[at] = b'm';
    let mut reader = CarReader::new(&bytes[..]).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().cid(), good.cid());
    match reader.next().unwrap() {
        Err(CarError::Block { at: section, .. }) => assert_eq!(section, at as u64 - 37),
        other => panic!("{other:?}"),
    }
    assert!(reader.next().is_none());
}

#[test]
fn memory_is_taken_for_what_comes_and_not_for_what_is_claimed() {
    /// Fails when asked for more than a megabyte at once; ends at once.
    struct Small<'a>(&'a [u8]);
    impl Read for Small<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            assert!(buf.len() <= 1 << 20, "{} bytes were made ready", buf.len());
            self.0.read(buf)
        }
    }
    // A header of 32 MiB, a section of 8: neither comes.
    let mut header = Vec::new();
    header.extend([0x80, 0x80, 0x80, 0x10]);
    assert!(CarReader::new(Small(&header)).is_err());
    let section = [&write(&[], &[])[..], &[0x80, 0x80, 0x80, 0x04]].concat();
    assert!(CarReader::new(Small(&section)).unwrap().next().unwrap().is_err());
}

#[test]
fn an_import_stores_the_blocks_of_all_roots_and_says_how_many() {
    let (roots, blocks, bytes) = sample();
    let store = Memory::new();
    let imported = car::import(&bytes[..], &store).unwrap();
    assert_eq!(imported.roots, roots);
    assert_eq!((imported.blocks, imported.bytes), (6, 1 + 300 + 1 + 6 + 2));
    for block in &blocks {
        let held = store.get(block.cid()).unwrap().is_some();
        assert_eq!(held, block.cid().hash().code() != IDENTITY, "{}", block.cid());
    }
    assert!(car::import(&bytes[..bytes.len() - 1], &store).is_err());
}

#[test]
fn an_import_is_synced_when_all_is_stored_and_not_when_it_fails() {
    /// Counts what is done with it.
    #[derive(Debug, Default)]
    struct Counting(Memory, AtomicUsize);

    impl BlockSource for Counting {
        fn get(&self, cid: &Cid) -> Result<Option<Block>, StoreError> {
            self.0.get(cid)
        }
        fn locate(&self, cid: &Cid) -> Result<Option<Located>, StoreError> {
            self.0.locate(cid)
        }
        fn size(&self, cid: &Cid) -> Result<Option<u64>, StoreError> {
            self.0.size(cid)
        }
    }

    impl BlockStore for Counting {
        fn put(&self, blocks: &[Block]) -> Result<(), StoreError> {
            assert_eq!(self.1.load(Ordering::SeqCst), 0, "nothing is put behind the sync");
            BlockStore::put(&self.0, blocks)
        }
        fn sync(&self) -> Result<(), StoreError> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    let blocks: Vec<Block> = (0..100u8).map(|i| raw(&vec![i; 100_000])).collect();
    let bytes = write(&[*blocks[0].cid()], &blocks);
    let store = Counting::default();
    assert!(car::import(&bytes[..bytes.len() - 1], &store).is_err());
    assert_eq!(store.1.load(Ordering::SeqCst), 0);
    assert!(store.get(blocks[0].cid()).unwrap().is_some(), "stored as it came, in batches");
    car::import(&bytes[..], &store).unwrap();
    assert_eq!(store.1.load(Ordering::SeqCst), 1);
    assert!(blocks.iter().all(|block| store.get(block.cid()).unwrap().is_some()));
}

#[test]
fn a_bad_block_ends_an_import_where_it_stands_with_those_before_it_in_order() {
    let blocks: Vec<Block> = (0..200u8).map(|i| raw(&vec![i; 50_000])).collect();
    let mut bytes = write(&[*blocks[0].cid()], &blocks);
    let section = CarWriter::<Vec<u8>>::section_len(&blocks[0]) as usize;
    let header = bytes.len() - 200 * section;
    // A bad block, and behind it a place where the framing is broken as well.
    bytes[header + 150 * section + 1000] ^= 1;
    bytes.truncate(header + 152 * section + 1000);
    let store = Memory::new();
    match car::import(&bytes[..], &store) {
        Err(CarError::Block { at, .. }) => assert_eq!(at as usize, header + 150 * section),
        other => panic!("{other:?}"),
    }
    let held = blocks.iter().filter(|block| store.get(block.cid()).unwrap().is_some()).count();
    // Whole batches of those before.
    assert!((50..=150).contains(&held), "{held}");
    assert!(blocks[..held].iter().all(|block| store.get(block.cid()).unwrap().is_some()));
}

/// A dag-cbor list of links.
fn list(links: &[Cid]) -> Block {
    assert!(links.len() < 24);
    let mut data = vec![0x80 | links.len() as u8];
    for link in links {
        let cid = link.to_bytes();
        data.extend([0xd8, 42, 0x58, cid.len() as u8 + 1, 0]);
        data.extend(cid);
    }
    Block::verified(cid_of(DAG_CBOR, &data), data.into()).unwrap()
}

fn walked(store: &Memory, root: &Block, repeats: Repeats) -> Result<Vec<Cid>, ReadError> {
    walk(&[*root.cid()], repeats, |cid| store.get(cid)).map(|block| Ok(*block?.cid())).collect()
}

#[test]
fn a_walk_goes_down_the_first_link_first_and_gives_repeats_as_asked() {
    let (a, b) = (raw(b"a"), raw(b"b"));
    let inner = list(&[*a.cid(), *b.cid()]);
    let root = list(&[*b.cid(), *inner.cid(), identity_cid(RAW, b"x"), *inner.cid(), *a.cid()]);
    let store = Memory::new();
    for block in [&a, &b, &inner, &root] {
        store.put(block.clone());
    }
    let [a, b, i, r] = [a.cid(), b.cid(), inner.cid(), root.cid()].map(|cid| *cid);
    let x = identity_cid(RAW, b"x");
    assert_eq!(walked(&store, &root, Repeats::default()).unwrap(), [r, b, i, a, x]);
    assert_eq!(walked(&store, &root, Repeats::EachTime).unwrap(), [r, b, i, a, b, x, i, a, b, a]);
    // What is not remembered comes again.
    let little = Repeats::Once { remembered: 2 };
    assert_eq!(walked(&store, &root, little).unwrap(), [r, b, i, a, x, i, a, a]);
}

#[test]
fn what_an_identity_cid_links_to_is_walked() {
    let leaf = raw(b"leaf");
    let list = list(&[*leaf.cid()]);
    let identity = identity_cid(DAG_CBOR, list.data());
    let store = Memory::new();
    store.put(leaf.clone());
    let found: Vec<Cid> = walk(&[identity], Repeats::default(), |cid| store.get(cid))
        .map(|block| *block.unwrap().cid())
        .collect();
    assert_eq!(found, [identity, *leaf.cid()]);
}

#[test]
fn a_walk_ends_at_a_block_that_is_missing() {
    let (a, b) = (raw(b"a"), raw(b"b"));
    let root = list(&[*a.cid(), *b.cid()]);
    let store = Memory::new();
    store.put(root.clone());
    store.put(b);
    let mut walk = walk(&[*root.cid()], Repeats::default(), |cid| store.get(cid));
    assert!(walk.next().unwrap().is_ok());
    assert!(matches!(walk.next(), Some(Err(ReadError::Missing(cid))) if cid == *a.cid()));
    assert!(walk.next().is_none());
}

#[test]
fn a_deep_dag_needs_no_stack() {
    let store = Memory::new();
    let mut last = raw(b"bottom");
    store.put(last.clone());
    for _ in 0..100_000 {
        last = list(&[*last.cid()]);
        store.put(last.clone());
    }
    let found = std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(move || walked(&store, &last, Repeats::default()).unwrap().len());
    assert_eq!(found.unwrap().join().unwrap(), 100_001);
}
