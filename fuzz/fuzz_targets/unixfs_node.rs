//! Any bytes as a dag-pb block: nothing panics, what is read can be written and read again, and a leaf
//! told from a few bytes is the one that the whole block holds.
#![no_main]

use bytes::Bytes;
use coldfront::unixfs::Node;
use coldfront::unixfs::dag_pb::{Head, LEAF_HEAD_LEN, LeafFrame, PbNode, encode, leaf_frame};
use coldfront::unixfs::data::{DataType, UnixFsData};
use coldfront::unixfs::hamt::{NameHash, Shard, Slot, max_depth};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    heads(block);
    let cid = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi".parse().expect("a CID");
    let decoded = Node::decode(&cid, Bytes::copy_from_slice(block));
    match PbNode::parse(block) {
        Ok(node) => links_and_data(&node),
        Err(error) => {
            assert!(error.at <= block.len());
            assert!(decoded.is_err());
        }
    }
});

fn links_and_data(node: &PbNode<'_>) {
    let links: Vec<_> = node.links().collect();
    assert_eq!(links.len(), node.links().len());
    for (i, link) in links.iter().enumerate() {
        assert_eq!(node.links().nth(i), Some(*link));
    }
    let written = encode(links.iter().copied(), node.data());
    let again = PbNode::parse(&written).expect("what was written is read");
    assert_eq!((again.data(), again.links().len()), (node.data(), links.len()));
    assert_eq!(encode(again.links(), again.data()), written);
    if let Some(data) = node.data().and_then(|message| UnixFsData::parse(message).ok()) {
        message(&data);
        if let Ok(shard) = Shard::parse(node, &data) {
            slots(&shard);
        }
    }
}

fn message(data: &UnixFsData<'_>) {
    let sizes: Vec<u64> = data.blocksizes().collect();
    assert_eq!(sizes.len(), data.blocksizes().len());
    let written = data.encode(sizes.iter().copied());
    let again = UnixFsData::parse(&written).expect("what was written is read");
    assert!(again.blocksizes().eq(sizes.iter().copied()));
    assert_eq!(
        (again.data_type, again.data, again.filesize),
        (data.data_type, data.data, data.filesize)
    );
    assert_eq!((again.hash_type, again.fanout), (data.hash_type, data.fanout));
    assert_eq!((again.mode, again.mtime), (data.mode, data.mtime));
}

fn slots(shard: &Shard<'_>) {
    for slot in shard.entries() {
        match slot {
            Ok(Slot::Entry(link)) => {
                let name = NameHash::new(link.name.unwrap_or_default());
                for depth in 0..max_depth(shard.fanout()) {
                    if let Ok(Slot::Entry(found)) = shard.lookup(&name, depth) {
                        assert_eq!(found.name, link.name);
                    }
                }
                assert!(shard.lookup(&name, max_depth(shard.fanout())).is_err());
            }
            Ok(Slot::Absent) => panic!("a listed slot is absent"),
            Ok(Slot::Child(_)) | Err(_) => {}
        }
    }
}

/// Every head of the block says the same or asks for more, but for the bytes behind the file bytes.
fn heads(block: &[u8]) {
    let len = block.len() as u64;
    let whole = leaf_frame(block, len);
    assert_ne!(whole, Head::NeedMore);
    if let Head::Leaf(frame) = whole {
        is_what_the_block_holds(block, frame);
    }
    for head_len in 0..block.len().min(2 * LEAF_HEAD_LEN) {
        match (leaf_frame(&block[..head_len], len), whole) {
            (Head::NeedMore, _) => assert!(head_len < LEAF_HEAD_LEN),
            (Head::Inner, whole) => assert_eq!(whole, Head::Inner),
            (Head::Leaf(part), Head::Leaf(whole)) => {
                assert_eq!((part.data_offset, part.data_len), (whole.data_offset, whole.data_len));
                assert!(part.file_size.is_none() || part.file_size == whole.file_size);
            }
            (Head::Leaf(part), _) => {
                let tail = len - part.data_offset - part.data_len;
                assert!((2..=11).contains(&tail) && part.file_size.is_none());
            }
        }
    }
}

fn is_what_the_block_holds(block: &[u8], frame: LeafFrame) {
    let node = PbNode::parse(block).expect("a leaf is a node");
    let data = UnixFsData::parse(node.data().expect("a leaf has data")).expect("a leaf is UnixFS");
    assert!(matches!(data.data_type, DataType::File | DataType::Raw));
    assert_eq!((node.links().len(), data.blocksizes().len()), (0, 0));
    let (start, len) = (frame.data_offset as usize, frame.data_len as usize);
    assert_eq!(data.data.unwrap_or_default(), &block[start..start + len]);
    assert_eq!(data.filesize, frame.file_size);
    assert!(frame.file_size.is_none_or(|size| size == frame.data_len));
}
