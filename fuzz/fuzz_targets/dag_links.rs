//! Any bytes as a dag-cbor, dag-json and dag-pb block: finding links never panics, and takes no more links
//! than there are bytes.
#![no_main]

use coldfront::block::{DAG_CBOR, DAG_JSON, DAG_PB};
use coldfront::links::for_each_link;
use coldfront::{Block, Cid};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(short) = bytes.get(..bytes.len().min(1 << 16)) else { return };
    for codec in [DAG_CBOR, DAG_JSON, DAG_PB] {
        let digest = coldfront::multihash::digest(0x12, 32, short).expect("sha2-256 is known");
        let hash = cid::multihash::Multihash::wrap(0x12, digest.as_bytes()).expect("it fits");
        let block = Block::verified(Cid::new_v1(codec, hash), short.to_vec().into());
        let mut links = 0;
        let found = for_each_link(&block.expect("it hashes to its CID"), &mut |_| links += 1);
        assert!(links <= short.len());
        drop(found);
    }
});
