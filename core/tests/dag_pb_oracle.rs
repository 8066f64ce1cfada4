//! dag-pb and UnixFS against a second reader and writer of protobuf: what one writes the other reads,
//! bytes that are accepted mean the same to both, and the frame of a leaf told from a few bytes is the
//! one that reading the whole block finds.
#![allow(clippy::unwrap_used)]

use coldfront::unixfs::dag_pb::{Head, LEAF_HEAD_LEN, PbLink, PbNode, encode, leaf_frame};
use coldfront::unixfs::data::{DataType, Mtime, UnixFsData};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

/// PBNode, with its fields in the order in which old nodes have them: Data first.
#[derive(Clone, PartialEq, Message)]
struct OracleNode {
    #[prost(bytes = "vec", optional, tag = "1")]
    data: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    links: Vec<OracleLink>,
}

#[derive(Clone, PartialEq, Message)]
struct OracleLink {
    #[prost(bytes = "vec", optional, tag = "1")]
    hash: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    name: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "3")]
    tsize: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct OracleData {
    #[prost(int32, optional, tag = "1")]
    data_type: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "2")]
    data: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "3")]
    filesize: Option<u64>,
    #[prost(uint64, repeated, packed = "false", tag = "4")]
    blocksizes: Vec<u64>,
    #[prost(uint64, optional, tag = "5")]
    hash_type: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    fanout: Option<u64>,
    #[prost(uint32, optional, tag = "7")]
    mode: Option<u32>,
    #[prost(message, optional, tag = "8")]
    mtime: Option<OracleTime>,
}

#[derive(Clone, PartialEq, Message)]
struct OracleTime {
    #[prost(int64, optional, tag = "1")]
    seconds: Option<i64>,
    #[prost(fixed32, optional, tag = "2")]
    nanos: Option<u32>,
}

/// Nothing but sizes, packed.
#[derive(Clone, PartialEq, Message)]
struct PackedSizes {
    #[prost(uint64, repeated, packed = "true", tag = "4")]
    blocksizes: Vec<u64>,
}

fn cids() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|digest| [&[0x12, 0x20][..], &digest].concat()),
        any::<[u8; 32]>().prop_map(|digest| [&[0x01, 0x70, 0x12, 0x20][..], &digest].concat()),
        vec(any::<u8>(), 0..128).prop_map(|bytes| {
            let len = bytes.len() as u8;
            [&[0x01, 0x55, 0x00, len][..], &bytes].concat()
        }),
    ]
}

fn links() -> impl Strategy<Value = OracleLink> {
    let name = option::of(vec(any::<u8>(), 0..20));
    (cids(), name, option::of(any::<u64>())).prop_map(|(cid, name, tsize)| OracleLink {
        hash: Some(cid),
        name,
        tsize,
    })
}

fn nodes() -> impl Strategy<Value = OracleNode> {
    (option::of(vec(any::<u8>(), 0..100)), vec(links(), 0..12))
        .prop_map(|(data, links)| OracleNode { data, links })
}

fn times() -> impl Strategy<Value = OracleTime> {
    (any::<i64>(), option::of(prop_oneof![0..1_000_000_001u32, any::<u32>()]))
        .prop_map(|(seconds, nanos)| OracleTime { seconds: Some(seconds), nanos })
}

fn messages() -> impl Strategy<Value = OracleData> {
    let number = || option::of(any::<u64>());
    (
        (0..6i32, option::of(vec(any::<u8>(), 0..300)), number(), vec(any::<u64>(), 0..6)),
        (number(), number(), option::of(any::<u32>()), option::of(times())),
    )
        .prop_map(
            |((data_type, data, filesize, blocksizes), (hash_type, fanout, mode, mtime))| {
                let data_type = Some(data_type);
                OracleData { data_type, data, filesize, blocksizes, hash_type, fanout, mode, mtime }
            },
        )
}

/// Messages of a leaf, or nearly.
fn leaves() -> impl Strategy<Value = OracleData> {
    let lengths = prop_oneof![0..140usize, 16_360..16_400usize];
    let data = lengths.prop_flat_map(|len| option::weighted(0.95, Just(vec![0x5a; len])));
    (prop_oneof![Just(2), Just(0), 0..6i32], data, -1..4i64, option::weighted(0.1, any::<u32>()))
        .prop_map(|(data_type, data, size_change, mode)| {
            let len = data.as_ref().map_or(0, Vec::len) as i64;
            // Three of five with the right size, one with none, one with a wrong one.
            let filesize = match size_change {
                -1 => None,
                3 => Some(len as u64 + 1),
                _ => Some(len as u64),
            };
            let data_type = Some(data_type);
            OracleData { data_type, data, filesize, mode, ..OracleData::default() }
        })
}

/// A few bytes changed, put in, or taken out.
fn mutations() -> impl Strategy<Value = Vec<(u8, prop::sample::Index, u8)>> {
    vec((0..4u8, any::<prop::sample::Index>(), any::<u8>()), 0..4)
}

fn mutate(mut bytes: Vec<u8>, mutations: &[(u8, prop::sample::Index, u8)]) -> Vec<u8> {
    for (kind, at, byte) in mutations {
        let at = at.index(bytes.len() + 1);
        match kind {
            0 => bytes.insert(at, *byte),
            1 => bytes.truncate(at),
            _ if at == bytes.len() => bytes.push(*byte),
            2 => bytes[at] = *byte,
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

/// What is read here, in the oracle's words.
fn as_oracle(node: &PbNode<'_>) -> OracleNode {
    let link = |link: PbLink<'_>| OracleLink {
        hash: Some(link.cid.to_vec()),
        name: link.name.map(<[u8]>::to_vec),
        tsize: link.tsize,
    };
    OracleNode { data: node.data().map(<[u8]>::to_vec), links: node.links().map(link).collect() }
}

fn number(data_type: DataType) -> i32 {
    match data_type {
        DataType::Raw => 0,
        DataType::Directory => 1,
        DataType::File => 2,
        DataType::Metadata => 3,
        DataType::Symlink => 4,
        DataType::HamtShard => 5,
    }
}

/// Compares all but the time, of which `sensible` says what should come out.
fn assert_same(parsed: &UnixFsData<'_>, oracle: &OracleData) {
    assert_eq!(Some(number(parsed.data_type)), oracle.data_type);
    assert_eq!(parsed.data, oracle.data.as_deref());
    assert_eq!(parsed.filesize, oracle.filesize);
    assert_eq!(parsed.blocksizes().len(), oracle.blocksizes.len());
    assert_eq!(parsed.blocksizes().collect::<Vec<_>>(), oracle.blocksizes);
    assert_eq!(parsed.hash_type, oracle.hash_type);
    assert_eq!(parsed.fanout, oracle.fanout);
    assert_eq!(parsed.mode, oracle.mode);
    assert_eq!(parsed.mtime, oracle.mtime.as_ref().and_then(sensible));
}

fn sensible(time: &OracleTime) -> Option<Mtime> {
    let seconds = time.seconds?;
    match time.nanos {
        None => Some(Mtime { seconds, nanos: 0 }),
        Some(nanos @ 1..1_000_000_000) => Some(Mtime { seconds, nanos }),
        Some(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nodes_written_by_another_are_read(node in nodes()) {
        let block = node.encode_to_vec();
        prop_assert_eq!(as_oracle(&PbNode::parse(&block).unwrap()), node);
    }

    #[test]
    fn another_reads_the_nodes_written(node in nodes()) {
        let links = node.links.iter().map(|link| PbLink {
            cid: link.hash.as_deref().unwrap(),
            name: link.name.as_deref(),
            tsize: link.tsize,
        });
        let block = encode(links, node.data.as_deref());
        let mut sorted = node.clone();
        sorted.links.sort_by_key(|link| link.name.clone().unwrap_or_default());
        prop_assert_eq!(OracleNode::decode(&block[..]).unwrap(), sorted);
    }

    #[test]
    fn links_stand_in_front_of_data_where_written(node in nodes().prop_filter("links", |node| !node.links.is_empty())) {
        let block = node.encode_to_vec();
        let parsed = PbNode::parse(&block).unwrap();
        let written = encode(parsed.links(), parsed.data());
        prop_assert_eq!(written[0], 0x12);
        prop_assert_eq!(encode(PbNode::parse(&written).unwrap().links(), parsed.data()), written);
    }

    #[test]
    fn messages_written_by_another_are_read(message in messages()) {
        let bytes = message.encode_to_vec();
        assert_same(&UnixFsData::parse(&bytes).unwrap(), &message);
    }

    #[test]
    fn packed_sizes_written_by_another_are_read(first in vec(any::<u64>(), 0..9), message in messages()) {
        let mut expected = message.clone();
        expected.blocksizes = [&first[..], &message.blocksizes, &first].concat();
        let packed = PackedSizes { blocksizes: first }.encode_to_vec();
        let bytes = [&packed[..], &message.encode_to_vec(), &packed].concat();
        assert_same(&UnixFsData::parse(&bytes).unwrap(), &expected);
    }

    #[test]
    fn another_reads_the_messages_written(message in messages()) {
        let bytes = message.encode_to_vec();
        let parsed = UnixFsData::parse(&bytes).unwrap();
        let written = parsed.encode(parsed.blocksizes());
        let mut expected = message.clone();
        expected.mtime = parsed.mtime.map(|time| OracleTime {
            seconds: Some(time.seconds),
            nanos: (time.nanos > 0).then_some(time.nanos),
        });
        prop_assert_eq!(OracleData::decode(&written[..]).unwrap(), expected);
    }

    #[test]
    fn damaged_nodes_never_panic_and_mean_the_same_to_both(node in nodes(), mutations in mutations()) {
        let block = mutate(node.encode_to_vec(), &mutations);
        match PbNode::parse(&block) {
            Ok(parsed) => {
                let mut oracle = OracleNode::decode(&block[..]).unwrap();
                let parsed = as_oracle(&parsed);
                // A CID may have bytes behind it, which are not part of it.
                for (link, parsed) in oracle.links.iter_mut().zip(&parsed.links) {
                    let len = parsed.hash.as_ref().unwrap().len();
                    link.hash.as_mut().unwrap().truncate(len);
                }
                prop_assert_eq!(parsed, oracle);
            }
            Err(error) => prop_assert!(error.at <= block.len()),
        }
    }

    #[test]
    fn damaged_messages_never_panic_and_mean_the_same_to_both(message in messages(), mutations in mutations()) {
        let bytes = mutate(message.encode_to_vec(), &mutations);
        // The oracle refuses known fields of another wire type, which are stepped over here.
        match (UnixFsData::parse(&bytes), OracleData::decode(&bytes[..])) {
            (Ok(parsed), Ok(oracle)) => assert_same(&parsed, &oracle),
            (Ok(parsed), Err(_)) => prop_assert_eq!(parsed.blocksizes().len(), parsed.blocksizes().count()),
            (Err(error), _) => prop_assert!(error.at <= bytes.len()),
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..64), len in any::<u64>()) {
        if let Ok(node) = PbNode::parse(&bytes) {
            prop_assert_eq!(node.links().len(), node.links().count());
        }
        if let Ok(data) = UnixFsData::parse(&bytes) {
            prop_assert_eq!(data.blocksizes().len(), data.blocksizes().count());
        }
        let _ = leaf_frame(&bytes, len);
    }

    #[test]
    fn a_leaf_told_from_its_head_is_the_leaf_that_the_whole_block_holds(
        message in leaves(),
        mutations in mutations(),
        head_len in 0..2 * LEAF_HEAD_LEN,
    ) {
        let block = OracleNode { data: Some(message.encode_to_vec()), links: Vec::new() };
        let block = mutate(block.encode_to_vec(), &mutations);
        let head = block.get(..head_len).unwrap_or(&block);
        check_head(&block, head);
        check_head(&block, &block);
    }

    #[test]
    fn every_leaf_in_kubos_form_is_told_from_its_head(len in prop_oneof![0..200usize, 16_000..20_000usize], raw in any::<bool>()) {
        let bytes = vec![7; len];
        let mut message = UnixFsData::new(if raw { DataType::Raw } else { DataType::File });
        message.data = (len > 0).then_some(&bytes);
        message.filesize = Some(len as u64);
        let block = encode([], Some(&message.encode([])));
        let head = block.get(..LEAF_HEAD_LEN).unwrap_or(&block);
        let Head::Leaf(frame) = leaf_frame(head, block.len() as u64) else { panic!("{head:?}") };
        let start = frame.data_offset as usize;
        prop_assert_eq!(&block[start..start + frame.data_len as usize], bytes);
    }
}

/// `head` is the start of `block`; what it says must be what the whole block says, but for the few
/// bytes behind the file bytes that a short head does not reach.
fn check_head(block: &[u8], head: &[u8]) {
    let all_seen = head.len() == block.len();
    match leaf_frame(head, block.len() as u64) {
        Head::NeedMore => assert!(!all_seen && head.len() < LEAF_HEAD_LEN),
        Head::Inner => {}
        Head::Leaf(frame) => {
            let (start, len) = (frame.data_offset as usize, frame.data_len as usize);
            let tail = &block[start + len..];
            let mut field = Vec::new();
            prost::encoding::uint64::encode(3, &frame.data_len, &mut field);
            if !all_seen && !tail.is_empty() && tail != field {
                // Not the file size: the head could not know. As long as it, though, and never seen whole.
                assert_eq!(tail.len(), field.len());
                assert_eq!(frame.file_size, None);
                return;
            }
            let node = PbNode::parse(block).unwrap();
            let data = UnixFsData::parse(node.data().unwrap()).unwrap();
            assert!(matches!(data.data_type, DataType::File | DataType::Raw));
            assert_eq!((node.links().len(), data.blocksizes().len()), (0, 0));
            assert_eq!(data.data.unwrap_or_default(), &block[start..start + len]);
            assert_eq!(
                data.filesize,
                (!tail.is_empty() || frame.file_size.is_some()).then_some(frame.data_len)
            );
            if all_seen {
                assert_eq!(frame.file_size, data.filesize);
            }
        }
    }
}
