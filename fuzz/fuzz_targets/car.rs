//! Any bytes as a CAR: nothing panics, what is read hashes to its CIDs, and what is written of it reads the
//! same again.
#![no_main]

use coldfront::Block;
use coldfront::car::{CarError, CarReader, CarWriter};
use coldfront::links::for_each_link;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = match CarReader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return place(&error, bytes.len()),
    };
    let roots = reader.roots().to_vec();
    let mut blocks: Vec<Block> = Vec::new();
    for block in reader.by_ref() {
        match block {
            Ok(block) => blocks.push(block),
            Err(error) => place(&error, bytes.len()),
        }
    }
    assert!(reader.offset() <= bytes.len() as u64);
    assert!(reader.next().is_none());
    let mut writer = CarWriter::new(Vec::new(), &roots).expect("memory takes everything");
    for block in &blocks {
        let _ = for_each_link(block, &mut |_| {});
        writer.put(block).expect("memory takes everything");
    }
    let written = writer.finish().expect("memory takes everything");
    let again = CarReader::new(&written[..]).expect("what was written is read");
    assert_eq!(again.roots(), roots);
    let mut count = 0;
    for (block, same) in again.zip(&blocks) {
        let block = block.expect("what was written is read");
        assert_eq!((block.cid(), block.data()), (same.cid(), same.data()));
        count += 1;
    }
    assert_eq!(count, blocks.len());
});

/// An error says a place that there is.
fn place(error: &CarError, len: usize) {
    match error {
        CarError::Read { at, .. } | CarError::Format { at, .. } | CarError::Block { at, .. } => {
            assert!(*at <= len as u64, "{error}");
        }
        other => panic!("{other}"),
    }
}
