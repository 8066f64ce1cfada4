//! Nodes that contradict themselves, their parents or all sense: an error of the right kind each, in
//! bounded time and memory, and the next read is fine.
//!
//! Blocks hash to their CIDs here, as hostile content's do, except where a cycle needs a store that lies.

#![allow(clippy::unwrap_used)]

mod tree;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coldfront::block::{DAG_CBOR, DAG_PB, RAW};
use coldfront::store::memory::Memory;
use coldfront::unixfs::dag_pb::{self, PbLink};
use coldfront::unixfs::data::{DataType, UnixFsData};
use coldfront::unixfs::testing::{self, FilePlan, LeafForm, Made};
use coldfront::{Block, Cid, ContentPath, Node, ReadError, Repo, Verify};
use tree::POLICIES;

/// What any one answer may take on a slow and busy machine; the bombs here would take years.
const SOON: Duration = Duration::from_secs(20);

/// A store of hostile blocks and one good file.
struct Store {
    memory: Memory,
    good: Made,
}

const GOOD: &[u8] = b"a file like any other";

impl Store {
    fn new() -> Self {
        let memory = Memory::new();
        let good = testing::file(GOOD, &FilePlan::default(), &mut |block| memory.put(block));
        Store { memory, good }
    }

    /// Holds a dag-pb block under its own CID.
    fn pb(&self, block: Vec<u8>) -> Made {
        let cid = testing::cid_of(DAG_PB, &block);
        let tsize = block.len() as u64;
        self.memory.put(Block::verified(cid, Bytes::from(block)).unwrap());
        Made { cid, size: 0, tsize }
    }

    fn leaf(&self, data: &[u8], form: LeafForm) -> Made {
        let plan = FilePlan { leaf: form, ..FilePlan::default() };
        testing::file(data, &plan, &mut |block| self.memory.put(block))
    }

    /// An inner node that says `size` of each child.
    fn inner(&self, children: &[(Made, u64)]) -> Made {
        let sizes: Vec<u64> = children.iter().map(|(_, size)| *size).collect();
        let made: Vec<Made> = children.iter().map(|(made, _)| *made).collect();
        let total = sizes.iter().fold(0u64, |sum, size| sum.wrapping_add(*size));
        let node = self.pb(testing::inner_block_saying(b"", &made, Some(total), &sizes));
        Made { size: total, ..node }
    }
}

/// Runs `check` under every policy on a repository of its own, in bounded time, and reads on.
fn in_any_policy(store: Store, check: impl Fn(&Repo)) {
    let good = store.good.cid;
    let memory = Arc::new(store.memory);
    for policy in POLICIES {
        let repo = tree::over(memory.clone(), policy);
        soon(|| check(&repo));
        // The same once more: what an error left behind must not change the answer.
        soon(|| check(&repo));
        assert_eq!(tree::read(&repo, &tree::node(&repo, &good), ..).unwrap(), GOOD);
    }
}

fn soon<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
    done
}

fn resolve(repo: &Repo, cid: &Cid) -> Result<Arc<Node>, ReadError> {
    Ok(repo.resolve(&ContentPath::new(*cid))?.node)
}

/// The error of reading all of a file, and how many bytes came before it.
fn reading(repo: &Repo, cid: &Cid) -> (usize, ReadError) {
    let node = resolve(repo, cid).unwrap();
    let mut before = 0;
    for bytes in repo.read(&node, ..) {
        match bytes {
            Ok(bytes) => before += bytes.len(),
            Err(error) => return (before, error),
        }
    }
    panic!("{cid} could be read to its end, {before} bytes");
}

/// Insists on [`ReadError::Undecodable`] of the block `cid` for a reason that says `reason`.
#[track_caller]
fn undecodable<T: std::fmt::Debug>(answer: Result<T, ReadError>, cid: &Cid, reason: &str) {
    match answer {
        Err(ReadError::Undecodable { cid: found, reason: told }) => {
            assert!(told.contains(reason), "{told:?} does not say {reason:?}");
            assert_eq!(found, *cid, "{told}");
        }
        other => panic!("expected a node that cannot be decoded for \"{reason}\", found {other:?}"),
    }
}

// --- files

#[test]
fn a_file_that_is_its_own_child_is_an_error_and_no_loop() {
    for size in [1, 1 << 60] {
        let store = Store::new();
        let cid = testing::cid_of(DAG_PB, b"a store that lies holds something else here");
        let itself = Made { cid, size, tsize: 0 };
        store
            .memory
            .put_unchecked(&cid, testing::inner_block_saying(b"", &[itself], Some(size), &[size]));
        let good = store.good.cid;
        let repo = tree::over_memory(store.memory, Verify::Off);
        let (before, error) = soon(|| reading(&repo, &cid));
        assert_eq!(before, 0);
        undecodable::<()>(Err(error), &cid, "levels below the root");
        assert_eq!(tree::read(&repo, &tree::node(&repo, &good), ..).unwrap(), GOOD);
    }
}

#[test]
fn a_chain_of_nodes_is_read_to_64_levels_and_no_deeper() {
    let chain = |levels: usize, form| {
        let store = Store::new();
        let leaf = store.leaf(b"deep", form);
        let root = (0..levels).fold(leaf, |below, _| store.inner(&[(below, 4)]));
        (store, root.cid)
    };
    for form in [LeafForm::Raw, LeafForm::PbFile] {
        let (store, root) = chain(64, form);
        in_any_policy(store, |repo| {
            assert_eq!(tree::read(repo, &tree::node(repo, &root), ..).unwrap(), b"deep");
        });
        let (store, root) = chain(65, form);
        in_any_policy(store, |repo| {
            let (before, error) = reading(repo, &root);
            assert!(before == 0 && matches!(error, ReadError::Undecodable { .. }), "{error:?}");
        });
    }
}

#[test]
fn a_chain_of_a_hundred_thousand_nodes_is_given_up_soon() {
    let store = Store::new();
    let root =
        (0..100_000).fold(store.leaf(b"x", LeafForm::Raw), |below, _| store.inner(&[(below, 1)]));
    in_any_policy(store, |repo| {
        assert!(matches!(reading(repo, &root.cid).1, ReadError::Undecodable { .. }));
    });
}

/// Four kinds of blocks that claim 2^60 bytes between them.
#[test]
fn of_a_small_dag_that_claims_an_exbibyte_the_first_and_the_last_bytes_are_read() {
    for form in [LeafForm::Raw, LeafForm::PbFile] {
        let store = Store::new();
        let mut node = store.leaf(&[7; 1024], form);
        for _ in 0..10 {
            let size = node.size;
            node = store.inner(&[(node, size); 32]);
        }
        assert_eq!(node.size, 1 << 60);
        in_any_policy(store, |repo| {
            let root = tree::node(repo, &node.cid);
            assert_eq!(tree::size(&root), 1 << 60);
            for range in [0..100, (1 << 60) - 100..1 << 60, (1 << 59) - 50..(1 << 59) + 50] {
                assert_eq!(tree::read(repo, &root, range).unwrap(), [7; 100]);
            }
        });
    }
}

#[test]
fn a_file_may_have_two_to_the_64_bytes_less_one_and_no_more() {
    let store = Store::new();
    let leaf = store.leaf(b"tail", LeafForm::Raw);
    let huge = Made { cid: testing::cid_of(RAW, b"not held"), size: 0, tsize: 0 };
    let widest = store.inner(&[(huge, u64::MAX - 4), (leaf, 4)]);
    let over = store.inner(&[(huge, u64::MAX - 4), (leaf, 5)]);
    let wraps = store.inner(&[(huge, u64::MAX), (huge, u64::MAX), (leaf, 6)]);
    in_any_policy(store, |repo| {
        let root = tree::node(repo, &widest.cid);
        assert_eq!(tree::size(&root), u64::MAX);
        assert_eq!(tree::read(repo, &root, u64::MAX - 4..).unwrap(), b"tail");
        assert_eq!(tree::read(repo, &root, u64::MAX - 2..=u64::MAX).unwrap(), b"il");
        assert!(
            matches!(tree::read(repo, &root, ..9), Err(ReadError::Missing(cid)) if cid == huge.cid)
        );
        undecodable(resolve(repo, &over.cid), &over.cid, "more than 2^64");
        undecodable(resolve(repo, &wraps.cid), &wraps.cid, "more than 2^64");
    });
}

#[test]
fn as_many_sizes_as_links_and_a_total_that_is_their_sum() {
    let store = Store::new();
    let leaf = store.leaf(b"four", LeafForm::Raw);
    let say = |children: &[Made], total, sizes: &[u64]| {
        store.pb(testing::inner_block_saying(b"", children, total, sizes)).cid
    };
    let cases = [
        (say(&[leaf, leaf], Some(4), &[4]), "2 links but 1 block sizes"),
        (say(&[leaf], Some(8), &[4, 4]), "1 links but 2 block sizes"),
        (say(&[leaf, leaf], Some(9), &[4, 4]), "claims 9 bytes but its parts have 8"),
        (say(&[leaf, leaf], Some(0), &[4, 4]), "claims 0 bytes but its parts have 8"),
        (say(&[leaf], Some(u64::MAX), &[4]), "but its parts have 4"),
    ];
    let unsaid = say(&[leaf, leaf], None, &[4, 4]);
    in_any_policy(store, |repo| {
        for (cid, reason) in &cases {
            undecodable(resolve(repo, cid), cid, reason);
        }
        assert_eq!(tree::read(repo, &tree::node(repo, &unsaid), ..).unwrap(), b"fourfour");
    });
}

#[test]
fn a_child_of_another_size_than_its_parent_says_is_an_error_where_it_is_met() {
    for form in [LeafForm::Raw, LeafForm::PbRaw, LeafForm::PbFile] {
        let store = Store::new();
        let first = store.leaf(b"first", form);
        let child = store.leaf(b"other", form);
        let pair = store.inner(&[(first, 5), (child, 5)]);
        for told in [1, 4, 6, 5000] {
            let liar = store.inner(&[(first, 5), (child, told)]);
            let above = store.inner(&[(first, 5), (pair, told)]);
            let fresh = Store { memory: Memory::new(), good: store.good };
            for block in [&store.good, &first, &child, &pair, &liar, &above] {
                let bytes =
                    coldfront::BlockSource::get(&store.memory, &block.cid).unwrap().unwrap();
                fresh.memory.put(bytes);
            }
            in_any_policy(fresh, |repo| {
                for (root, met) in [(liar, child), (above, pair)] {
                    let (before, error) = reading(repo, &root.cid);
                    assert_eq!(before, 5, "what comes before it is served");
                    undecodable::<()>(Err(error), &met.cid, &format!("expected {told}"));
                }
            });
        }
    }
}

#[test]
fn children_without_bytes_are_stepped_over_unread() {
    let store = Store::new();
    let absent = Made { cid: testing::cid_of(DAG_PB, b"not held"), size: 0, tsize: 0 };
    let leaf = store.leaf(b"bytes", LeafForm::Raw);
    let root =
        store.inner(&[(absent, 0), (leaf, 5), (absent, 0), (absent, 0), (leaf, 5), (absent, 0)]);
    let empty = store.inner(&[(absent, 0), (absent, 0)]);
    in_any_policy(store, |repo| {
        assert_eq!(tree::read(repo, &tree::node(repo, &root.cid), ..).unwrap(), b"bytesbytes");
        assert_eq!(tree::read(repo, &tree::node(repo, &root.cid), 3..7).unwrap(), b"esby");
        assert_eq!(tree::read(repo, &tree::node(repo, &empty.cid), ..).unwrap(), b"");
    });
}

#[test]
fn what_is_no_file_is_no_part_of_one() {
    let store = Store::new();
    let put = &mut |block| store.memory.put(block);
    let directory = testing::directory([], put);
    let link = testing::symlink("elsewhere", put);
    let cases = [directory, link].map(|child| (store.inner(&[(child, 4)]).cid, child.cid));
    let cbor = Made { cid: testing::cid_of(DAG_CBOR, b"\xa0"), size: 1, tsize: 1 };
    store.memory.put(Block::verified(cbor.cid, Bytes::from_static(b"\xa0")).unwrap());
    let of_cbor = store.inner(&[(cbor, 1)]);
    in_any_policy(store, |repo| {
        for (root, child) in &cases {
            let (before, error) = reading(repo, root);
            assert!(
                before == 0 && matches!(error, ReadError::NotAFile(cid) if cid == *child),
                "{error:?}"
            );
        }
        let (_, error) = reading(repo, &of_cbor.cid);
        assert!(
            matches!(error, ReadError::UnsupportedCodec { cid, codec: DAG_CBOR } if cid == cbor.cid),
            "{error:?}"
        );
    });
}

/// The CIDs differ in their codec alone, so one cached or open block could answer for the other.
#[test]
fn a_block_is_read_by_the_codec_of_the_link_whatever_was_read_before() {
    let store = Store::new();
    let leaf = store.leaf(&[1; 100], LeafForm::PbFile);
    let as_raw = Cid::new_v1(RAW, *leaf.cid.hash());
    let as_cbor = Cid::new_v1(DAG_CBOR, *leaf.cid.hash());
    let of_cbor = store.inner(&[(Made { cid: as_cbor, ..leaf }, 100)]);
    in_any_policy(store, |repo| {
        assert_eq!(tree::size(&tree::node(repo, &leaf.cid)), 100);
        assert_eq!(tree::size(&tree::node(repo, &as_raw)), leaf.tsize);
        let refused = resolve(repo, &as_cbor);
        assert!(matches!(refused, Err(ReadError::UnsupportedCodec { .. })), "{refused:?}");
        let (_, error) = reading(repo, &of_cbor.cid);
        assert!(matches!(error, ReadError::UnsupportedCodec { .. }), "{error:?}");
    });
}

#[test]
fn bytes_that_are_no_node_are_an_error_that_says_where() {
    let store = Store::new();
    let garbage =
        [&b""[..], b"\x0a", b"\x0a\x05\x08", b"\xff\xff\xff", b"\x12\x02\x0a\x00", b"<html>"];
    let cids: Vec<Cid> = garbage[1..].iter().map(|bytes| store.pb(bytes.to_vec()).cid).collect();
    // No data at all is a directory without entries; this is how Kubo walks paths through it.
    let nothing = store.pb(garbage[0].to_vec()).cid;
    in_any_policy(store, |repo| {
        for cid in &cids {
            undecodable(resolve(repo, cid), cid, "");
        }
        assert_eq!(repo.list(&tree::node(repo, &nothing)).unwrap().count(), 0);
    });
}

#[test]
fn a_unixfs_type_that_is_unknown_or_wraps_a_file_is_an_error() {
    let store = Store::new();
    let unknown = store.pb(dag_pb::encode([], Some(&[0x08, 0x09])));
    let wrapper = UnixFsData::new(DataType::Metadata).encode([]);
    let wrapper = store.pb(dag_pb::encode([], Some(&wrapper)));
    in_any_policy(store, |repo| {
        undecodable(resolve(repo, &unknown.cid), &unknown.cid, "UnixFS type 9");
        undecodable(resolve(repo, &wrapper.cid), &wrapper.cid, "metadata");
    });
}

/// An identity CID of 200 bytes: well framed, and longer than Kubo allows.
fn too_long_a_cid() -> Vec<u8> {
    [&[0x01, 0x55, 0x00, 0xc8, 0x01][..], &[0; 200]].concat()
}

/// Three entries, of which the second, "odd", has such a link.
fn directory_with_an_odd_link(store: &Store) -> Cid {
    let (good, odd) = (store.good.cid.to_bytes(), too_long_a_cid());
    let links = [(&good, "good"), (&odd, "odd"), (&good, "z")].map(|(cid, name)| PbLink {
        cid,
        name: Some(name.as_bytes()),
        tsize: None,
    });
    let data = UnixFsData::new(DataType::Directory).encode([]);
    store.pb(dag_pb::encode(links, Some(&data))).cid
}

/// The same as one shard.
fn shard_with_an_odd_link(store: &Store) -> Cid {
    let (good, odd) = (store.good.cid.to_bytes(), too_long_a_cid());
    let slot = slot_of("odd", 0);
    let others = (0..8).filter(|other| *other != slot).take(2);
    let mut slots: Vec<(u32, String, &[u8])> =
        others.map(|other| (other, format!("{other}good-{other}"), &good[..])).collect();
    slots.push((slot, format!("{slot}odd"), &odd));
    slots.sort();
    let bits = slots.iter().fold(0, |bits, (slot, ..)| bits | 1 << slot);
    let mut message = UnixFsData::new(DataType::HamtShard);
    message.data = Some(std::slice::from_ref(&bits));
    (message.hash_type, message.fanout) = (Some(0x22), Some(8));
    let links =
        slots.iter().map(|(_, name, cid)| PbLink { cid, name: Some(name.as_bytes()), tsize: None });
    store.pb(dag_pb::encode(links, Some(&message.encode([])))).cid
}

fn is_odd<T: std::fmt::Debug>(result: &Result<T, ReadError>, directory: &Cid) -> bool {
    matches!(result, Err(ReadError::BadLink { name, dir, .. })
        if &name[..] == b"odd" && dir == directory)
}

#[test]
fn a_link_whose_cid_nobody_can_hold_fails_where_it_is_followed() {
    let store = Store::new();
    let (plain, shard) = (directory_with_an_odd_link(&store), shard_with_an_odd_link(&store));
    in_any_policy(store, |repo| {
        let at = |name: &str| repo.resolve(&ContentPath::new(plain).join(name.as_bytes()));
        assert_eq!(tree::size(&at("good").unwrap().node), GOOD.len() as u64);
        assert!(is_odd(&at("odd"), &plain), "{:?}", at("odd"));
        let sharded = repo.resolve(&ContentPath::new(shard).join(b"odd"));
        assert!(is_odd(&sharded, &shard), "{sharded:?}");
    });
}

#[test]
fn a_link_whose_cid_nobody_can_hold_is_one_bad_entry_of_a_listing_that_goes_on() {
    let store = Store::new();
    let (plain, shard) = (directory_with_an_odd_link(&store), shard_with_an_odd_link(&store));
    in_any_policy(store, |repo| {
        for directory in [plain, shard] {
            let node = resolve(repo, &directory).unwrap();
            let entries: Vec<_> = repo.list(&node).unwrap().collect();
            assert_eq!(entries.len(), 3, "{entries:?}");
            assert_eq!(entries.iter().filter(|entry| entry.is_ok()).count(), 2);
            assert_eq!(entries.iter().filter(|entry| is_odd(entry, &directory)).count(), 1);
        }
    });
}

// --- sharded directories

/// The slot of a name at a depth of a HAMT of width 8, found by asking a shard with all slots taken.
fn slot_of(name: &str, depth: u32) -> u32 {
    let here = Made { cid: testing::cid_of(RAW, b""), size: 0, tsize: 0 };
    let hash = coldfront::unixfs::hamt::NameHash::new(name.as_bytes());
    let taken = |slot| {
        let block = testing::shard_block(8, &[(slot, "", here)]);
        let node = dag_pb::PbNode::parse(&block).unwrap();
        let data = UnixFsData::parse(node.data().unwrap()).unwrap();
        let shard = coldfront::unixfs::hamt::Shard::parse(&node, &data).unwrap();
        shard.lookup(&hash, depth).unwrap() != coldfront::unixfs::hamt::Slot::Absent
    };
    (0..8).find(|slot| taken(*slot)).unwrap()
}

fn look_up(repo: &Repo, directory: &Cid, name: &str) -> Result<Cid, ReadError> {
    Ok(*repo.resolve(&ContentPath::new(*directory).join(name.as_bytes()))?.cid())
}

/// Listing until the first error, which must come.
fn listing(repo: &Repo, cid: &Cid) -> (usize, ReadError) {
    let node = resolve(repo, cid).unwrap();
    let mut before = 0;
    let mut entries = repo.list(&node).unwrap();
    for entry in entries.by_ref() {
        match entry {
            Ok(_) => before += 1,
            Err(error) => {
                assert!(entries.next().is_none(), "an error ends the walk");
                return (before, error);
            }
        }
    }
    panic!("{cid} could be listed to its end, {before} entries");
}

#[test]
fn a_shard_that_is_its_own_child_is_an_error_and_no_loop() {
    let store = Store::new();
    let cid = testing::cid_of(DAG_PB, b"a store that lies holds a shard here");
    let itself = Made { cid, size: 0, tsize: 0 };
    let slots: Vec<_> = (0..8).map(|slot| (slot, "", itself)).collect();
    store.memory.put_unchecked(&cid, testing::shard_block(8, &slots));
    let repo = tree::over_memory(store.memory, Verify::Off);
    undecodable(soon(|| look_up(&repo, &cid, "name")), &cid, "HAMT shard at depth 21");
    let (before, error) = soon(|| listing(&repo, &cid));
    assert_eq!(before, 0);
    undecodable::<()>(Err(error), &cid, "shards go deeper");
}

/// Eight blocks that a walk would take 2^49 steps through without meeting one entry.
#[test]
fn a_small_dag_of_shards_without_entries_is_given_up_soon() {
    let store = Store::new();
    let bottom = store.pb(testing::shard_block(128, &[]));
    let root = (0..7).fold(bottom, |below, _| {
        let slots: Vec<_> = (0..128).map(|slot| (slot, "", below)).collect();
        store.pb(testing::shard_block(128, &slots))
    });
    in_any_policy(store, |repo| {
        let (before, error) = listing(repo, &root.cid);
        assert_eq!(before, 0);
        undecodable::<()>(Err(error), &bottom.cid, "hold no entry");
        assert!(matches!(look_up(repo, &root.cid, "name"), Err(ReadError::NoLink { .. })));
    });
}

/// A few empty shards are odd and harmless: boxo steps over them.
#[test]
fn an_empty_shard_between_others_is_stepped_over() {
    let store = Store::new();
    let empty = store.pb(testing::shard_block(8, &[]));
    let full = store.pb(testing::shard_block(8, &[(0, "a", store.good), (3, "b", store.good)]));
    let slots = [(0, "", empty), (1, "", full), (2, "", empty), (3, "", full), (7, "", empty)];
    let root = store.pb(testing::shard_block(8, &slots));
    in_any_policy(store, |repo| {
        let names: Vec<_> =
            repo.list(&tree::node(repo, &root.cid)).unwrap().map(|e| e.unwrap().name).collect();
        assert_eq!(names, ["a", "b", "a", "b"]);
    });
}

#[test]
fn a_listing_of_a_sharded_exbibyte_yields_from_the_start_in_bounded_memory() {
    let store = Store::new();
    let slots: Vec<_> = (0..256).map(|slot| (slot, "x", store.good)).collect();
    let bottom = store.pb(testing::shard_block(256, &slots));
    let root = (0..7).fold(bottom, |below, _| {
        let slots: Vec<_> = (0..256).map(|slot| (slot, "", below)).collect();
        store.pb(testing::shard_block(256, &slots))
    });
    in_any_policy(store, |repo| {
        let listing = repo.list(&tree::node(repo, &root.cid)).unwrap();
        assert_eq!(listing.take(10_000).filter(|entry| entry.is_ok()).count(), 10_000);
    });
}

#[test]
fn a_shard_of_an_odd_fanout_or_with_other_bits_than_links_is_an_error() {
    let store = Store::new();
    let good = store.good;
    let two = [(0, "a", good), (1, "b", good)];
    let cases = [
        (store.pb(testing::shard_block(0, &[])), "fanout"),
        (store.pb(testing::shard_block(4, &[])), "fanout"),
        (store.pb(testing::shard_block(1 << 40, &[])), "fanout"),
        (store.pb(testing::shard_block(100, &[])), "fanout"),
        (
            store.pb(testing::shard_block_saying(8, &[0b1], &two)),
            "2 links whose bitfield has 1 bits",
        ),
        (
            store.pb(testing::shard_block_saying(8, &[0b111], &two)),
            "2 links whose bitfield has 3 bits",
        ),
        (store.pb(testing::shard_block_saying(8, &[1, 1], &two)), "bitfield of 2 bytes"),
    ];
    let above: Vec<Cid> = cases
        .iter()
        .map(|(broken, _)| {
            let slots: Vec<_> = (0..8).map(|slot| (slot, "", *broken)).collect();
            store.pb(testing::shard_block(8, &slots)).cid
        })
        .collect();
    in_any_policy(store, |repo| {
        for ((broken, reason), above) in cases.iter().zip(&above) {
            undecodable(resolve(repo, &broken.cid), &broken.cid, reason);
            undecodable(look_up(repo, above, "name"), &broken.cid, reason);
            undecodable::<()>(Err(listing(repo, above).1), &broken.cid, reason);
        }
    });
}

#[test]
fn a_shard_whose_child_is_no_shard_is_an_error_where_it_is_met() {
    let store = Store::new();
    let put = &mut |block| store.memory.put(block);
    let children = [
        store.good,
        store.leaf(b"a dag-pb file", LeafForm::PbFile),
        testing::directory([], put),
        testing::symlink("x", put),
    ];
    let slot = slot_of("name", 0);
    let other = (slot + 1) % 8;
    let shards: Vec<(Cid, Cid)> = children
        .iter()
        .map(|child| {
            let mut slots = [(slot, "", *child), (other, "fine", store.good)];
            slots.sort_by_key(|(slot, _, _)| *slot);
            (store.pb(testing::shard_block(8, &slots)).cid, child.cid)
        })
        .collect();
    in_any_policy(store, |repo| {
        for (shard, child) in &shards {
            undecodable(look_up(repo, shard, "name"), child, "it is not");
            undecodable::<()>(Err(listing(repo, shard).1), child, "it is not");
        }
    });
}

#[test]
fn an_entry_in_a_slot_of_another_name_is_not_found() {
    let store = Store::new();
    let slot = slot_of("name", 0);
    let wrong = store.pb(testing::shard_block(8, &[((slot + 1) % 8, "name", store.good)]));
    let right = store.pb(testing::shard_block(8, &[(slot, "name", store.good)]));
    let good = store.good.cid;
    in_any_policy(store, |repo| {
        assert!(matches!(look_up(repo, &wrong.cid, "name"), Err(ReadError::NoLink { .. })));
        assert_eq!(look_up(repo, &right.cid, "name").unwrap(), good);
    });
}

#[test]
fn a_child_that_is_not_held_is_missing_by_its_cid() {
    let store = Store::new();
    let absent = Made { cid: testing::cid_of(RAW, b"not held"), size: 0, tsize: 0 };
    let slot = slot_of("name", 0);
    let shard = store.pb(testing::shard_block(8, &[(slot, "", absent)]));
    let file = store.inner(&[(absent, 10)]);
    in_any_policy(store, |repo| {
        let missing = |error| matches!(error, ReadError::Missing(cid) if cid == absent.cid);
        assert!(missing(look_up(repo, &shard.cid, "name").unwrap_err()));
        assert!(missing(listing(repo, &shard.cid).1));
        assert!(missing(reading(repo, &file.cid).1));
        assert!(missing(resolve(repo, &absent.cid).unwrap_err()));
    });
}
